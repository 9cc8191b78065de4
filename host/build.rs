//! What is embedded is part of the build: a changed file must rebuild the crate. The SDK's sources are listed here,
//! since `pawl plugin new` must not forget one.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// From the repository's root: all that a crate needs that depends on the SDK.
const SDK: [&str; 4] = ["guest-sdk/Cargo.toml", "guest-sdk/src", "guest-sdk/macros/Cargo.toml", "guest-sdk/macros/src"];

fn main() {
    let root = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("..");
    let mut list = String::from("pub(super) const FILES: &[(&str, &str)] = &[\n");
    for part in SDK {
        println!("cargo:rerun-if-changed=../{part}");
        for file in files(&root.join(part)) {
            let name = file.strip_prefix(&root).expect("it was found below");
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
