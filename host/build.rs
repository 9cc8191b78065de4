//! What is embedded is part of the build: a changed file must rebuild the crate. The SDK's sources are listed here,
//! since `pawl plugin new` must not forget one.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// All that a crate needs that depends on the SDK: from the repository's root, and where this crate carries it. Those
/// are links, which a package of this crate has as files: it must not reach outside of itself.
const SDK: [(&str, &str); 4] = [
    ("guest-sdk/Cargo.toml", "carried/sdk.toml"),
    ("guest-sdk/src", "carried/sdk"),
    ("guest-sdk/macros/Cargo.toml", "carried/macros.toml"),
    ("guest-sdk/macros/src", "carried/macros"),
];

fn main() {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let mut list = String::from("pub(super) const FILES: &[(&str, &str)] = &[\n");
    for (name, carried) in SDK {
        println!("cargo:rerun-if-changed={carried}");
        let carried = root.join(carried);
        for file in files(&carried) {
            let within = file.strip_prefix(&carried).expect("it was found below");
            // Joined with nothing, a file's path would end as a folder's does.
            let name = if carried == file { PathBuf::from(name) } else { Path::new(name).join(within) };
            writeln!(list, "    ({name:?}, include_str!({file:?})),").expect("a string takes it");
        }
    }
    list.push_str("];\n");
    let out = std::env::var_os("OUT_DIR").expect("cargo sets it");
    std::fs::write(Path::new(&out).join("sdk.rs"), list).expect("cargo's folder can be written");
}

/// All files below a path, in order.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).expect("the repository is whole");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    paths.sort();
    paths.iter().flat_map(|path| files(path)).collect()
}
