//! With which compiler a guest is built. Looks at what is installed, decides ([`choose`], a pure function),
//! and makes cargo commands that build the same bytes on any machine.
//!
//! A compiler comes with a standard library for the target (rustup), or with the library's sources, from
//! which it is then built along (Debian's `rust-web-src`; needs `RUSTC_BOOTSTRAP`, because `-Zbuild-std` is
//! not stable; compiler and sources must be of one version, so they are only taken from one sysroot).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::bail;

use super::strangers;

/// Best first: without WASI a component is smaller, and there is nothing in it that the step did not ask for.
const TARGETS: [&str; 2] = ["wasm32-unknown-unknown", "wasm32-wasip2"];

/// Where compilers are looked for, best first: what the user's path says, then a distribution's own.
const COMPILERS: [(&str, &str); 2] = [("cargo", "rustc"), ("/usr/bin/cargo", "/usr/bin/rustc")];

/// The guest's stack. It lies below the data, so that an overflow traps; a small one keeps all memory that a
/// short call touches close together. JSON as deep as serde_json reads it (128 levels) takes 64 KiB of it.
const STACK_BYTES: u32 = 128 << 10;

/// A compiler and how it gets a standard library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    sysroot: PathBuf,
    pub(super) target: &'static str,
    linker: Option<PathBuf>,
    build_std: bool,
}

/// What was found of one compiler.
#[derive(Debug, Clone)]
struct Compiler {
    cargo: PathBuf,
    rustc: PathBuf,
    sysroot: PathBuf,
    /// Targets with a standard library.
    prebuilt: Vec<&'static str>,
    /// Whether the library's sources are there.
    sources: bool,
    /// Its own linker for WebAssembly.
    linker: Option<PathBuf>,
}

/// The toolchain to build guests with.
pub(super) fn find() -> anyhow::Result<Toolchain> {
    let compilers: Vec<Compiler> = COMPILERS.iter().filter_map(|(cargo, rustc)| inspect(cargo, rustc)).collect();
    let linker = compilers.iter().find_map(|compiler| compiler.linker.clone()).or_else(linker_in_path);
    match choose(&compilers, linker.as_deref()) {
        Some(toolchain) => Ok(toolchain),
        None if on_path("rustup").is_some() => bail!(
            "no installed Rust compiler can build for WebAssembly; run\n\n    rustup target add {}\n\n\
             or, where rustup can't reach its server, on Debian or Ubuntu\n\n    \
             apt-get install --no-install-recommends rustc-web cargo-web rust-web-src lld\n",
            TARGETS[0]
        ),
        None => bail!(
            "no installed Rust compiler can build for WebAssembly; install Rust from https://rustup.rs, or on \
             Debian or Ubuntu run\n\n    apt-get install --no-install-recommends rustc-web cargo-web rust-web-src lld\n"
        ),
    }
}

/// A ready standard library is better than a better target: building one takes a minute.
fn choose(compilers: &[Compiler], linker: Option<&Path>) -> Option<Toolchain> {
    let toolchain = |compiler: &Compiler, target, build_std| Toolchain {
        cargo: compiler.cargo.clone(),
        rustc: compiler.rustc.clone(),
        sysroot: compiler.sysroot.clone(),
        target,
        // A compiler finds its own.
        linker: if compiler.linker.is_some() { None } else { linker.map(Path::to_owned) },
        build_std,
    };
    let mut ready = TARGETS.iter().flat_map(|target| compilers.iter().map(move |compiler| (*target, compiler)));
    if let Some((target, compiler)) = ready.find(|(target, compiler)| compiler.prebuilt.contains(target)) {
        return Some(toolchain(compiler, target, false));
    }
    // Only this target needs no C library.
    let target = TARGETS.iter().find(|target| **target == "wasm32-unknown-unknown")?;
    let able = |compiler: &&Compiler| compiler.sources && (compiler.linker.is_some() || linker.is_some());
    compilers.iter().find(able).map(|compiler| toolchain(compiler, target, true))
}

fn inspect(cargo: &str, rustc: &str) -> Option<Compiler> {
    let (cargo, rustc) = (on_path(cargo)?, on_path(rustc)?);
    let sysroot = PathBuf::from(ask(&rustc, &["--print", "sysroot"])?);
    let has_std = |target: &&str| {
        let libraries = ask(&rustc, &["--print", "target-libdir", "--target", *target]);
        libraries.is_some_and(|dir| std::fs::read_dir(dir).is_ok_and(|mut files| files.next().is_some()))
    };
    Some(Compiler {
        prebuilt: TARGETS.into_iter().filter(has_std).collect(),
        sources: sysroot.join("lib/rustlib/src/rust/library/std/Cargo.toml").exists(),
        linker: linker_in_sysroot(&sysroot),
        cargo,
        rustc,
        sysroot,
    })
}

fn ask(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = strangers::command(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// `lib/rustlib/<host>/bin/rust-lld`
fn linker_in_sysroot(sysroot: &Path) -> Option<PathBuf> {
    let hosts = std::fs::read_dir(sysroot.join("lib/rustlib")).ok()?;
    hosts.filter_map(Result::ok).map(|host| host.path().join("bin/rust-lld")).find(|linker| linker.exists())
}

/// Distributions name it by its version: `wasm-ld-19`.
fn linker_in_path() -> Option<PathBuf> {
    on_path("wasm-ld").or_else(|| (14..40).rev().find_map(|version| on_path(&format!("wasm-ld-{version}"))))
}

pub(super) fn on_path(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.exists());
    }
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}

impl Toolchain {
    /// A cargo command for guests of the workspace, without the verb. The path `hidden` is kept out of what it makes.
    pub(super) fn cargo(&self, workspace: &Path, hidden: Option<&Path>) -> Command {
        let mut cargo = strangers::command(&self.cargo);
        cargo.current_dir(workspace);
        // Flags for the host's own code, such as `-C target-cpu=native`, must not reach the guest.
        for ambient in ["RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS"] {
            cargo.env_remove(ambient);
        }
        cargo.env("CARGO_ENCODED_RUSTFLAGS", self.rustc_flags(hidden).join("\u{1f}"));
        cargo.env("RUSTC", &self.rustc).env("CARGO_BUILD_TARGET", self.target);
        if self.build_std {
            cargo.env("RUSTC_BOOTSTRAP", "1");
            cargo.args(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"]);
        }
        if let Some(linker) = &self.linker {
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        cargo
    }

    /// Paths of this machine are kept out of panic messages, so that equal sources give equal digests.
    fn rustc_flags(&self, hidden: Option<&Path>) -> Vec<String> {
        let remap = |path: &Path, name: &str| format!("--remap-path-prefix={}={name}", path.display());
        let mut flags = vec!["-Clink-arg=-zstack-size=".to_owned() + &STACK_BYTES.to_string()];
        flags.push(remap(&self.sysroot.join("lib/rustlib/src/rust"), "rust"));
        flags.extend(registry_sources().iter().map(|dir| remap(dir, "crates")));
        flags.extend(hidden.map(|path| remap(path, ".")));
        flags
    }
}

/// Where cargo unpacks crates: one folder per registry.
fn registry_sources() -> Vec<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let dirs = home.and_then(|home| std::fs::read_dir(home.join("registry/src")).ok());
    let mut dirs: Vec<PathBuf> = dirs.into_iter().flatten().filter_map(Result::ok).map(|dir| dir.path()).collect();
    dirs.sort();
    dirs
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = TARGETS[0];

    fn compiler(name: &str, prebuilt: bool, sources: bool, linker: bool) -> Compiler {
        Compiler {
            cargo: format!("{name}/cargo").into(),
            rustc: format!("{name}/rustc").into(),
            sysroot: name.into(),
            prebuilt: if prebuilt { vec![TARGET] } else { Vec::new() },
            sources,
            linker: linker.then(|| format!("{name}/rust-lld").into()),
        }
    }

    #[test]
    fn a_ready_library_is_better_than_building_one() {
        let compilers = [compiler("rustup", false, true, true), compiler("debian", true, true, false)];
        let chosen = choose(&compilers, Some(Path::new("rustup/rust-lld"))).unwrap();
        assert_eq!((chosen.sysroot.as_path(), chosen.build_std), (Path::new("debian"), false));
    }

    #[test]
    fn the_users_compiler_is_better_than_the_distributions() {
        let compilers = [compiler("rustup", true, false, true), compiler("debian", true, true, false)];
        let chosen = choose(&compilers, None).unwrap();
        assert_eq!((chosen.sysroot.as_path(), chosen.linker), (Path::new("rustup"), None));
    }

    #[test]
    fn without_a_ready_library_it_is_built_with_anyones_linker() {
        let compilers = [compiler("rustup", false, false, true), compiler("debian", false, true, false)];
        let chosen = choose(&compilers, Some(Path::new("rustup/rust-lld"))).unwrap();
        assert_eq!((chosen.sysroot.as_path(), chosen.build_std), (Path::new("debian"), true));
        assert_eq!(chosen.linker.as_deref(), Some(Path::new("rustup/rust-lld")));
    }

    #[test]
    fn without_library_sources_or_linker_there_is_no_toolchain() {
        assert_eq!(choose(&[compiler("rustup", false, false, true)], Some(Path::new("rust-lld"))), None);
        assert_eq!(choose(&[compiler("debian", false, true, false)], None), None);
    }
}
