//! Functions of WASI that nobody can reach, for components that import them all the same: a language's
//! runtime names every function of its C library, whether there is a file to read or not.

use wasmtime::bail;
use wasmtime::component::Linker;
use wasmtime::component::types::{Component, ComponentItem};

use crate::engine::guest::Guest;

/// The version of all packages in `wasi.wit`. Any 0.2.x is compatible with it.
const VERSION: &str = "0.2.12";

/// The interfaces in `wasi.wit`.
const INTERFACES: [&str; 29] = [
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:random/random",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:filesystem/types",
    "wasi:filesystem/preopens",
    "wasi:sockets/network",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
    "wasi:http/types",
    "wasi:http/outgoing-handler",
];

/// Whether an import is one of WASI, whatever its version.
pub(in crate::engine) fn is_wasi(import: &str) -> bool {
    import.starts_with("wasi:")
}

/// Whether an import of WASI is there.
pub(in crate::engine) fn is_offered(import: &str) -> bool {
    interface(import).is_some()
}

/// The interface of an import such as `wasi:io/poll@0.2.3`.
fn interface(import: &str) -> Option<&'static str> {
    let (name, version) = import.split_once('@')?;
    let interface = INTERFACES.iter().find(|interface| **interface == name)?;
    version.starts_with("0.2.").then_some(*interface)
}

/// Gives every function of WASI that the component imports a trap; those that exist are defined over them.
pub(super) fn add_to_linker(
    linker: &mut Linker<Guest>,
    engine: &wasmtime::Engine,
    component: &Component,
) -> wasmtime::Result<()> {
    for (import, item) in component.imports(engine) {
        let (Some(interface), ComponentItem::ComponentInstance(item)) = (interface(import), item.ty) else { continue };
        let mut instance = linker.instance(&format!("{interface}@{VERSION}"))?;
        for (name, function) in item.exports(engine) {
            if let ComponentItem::ComponentFunc(_) = function.ty {
                let missing = format!("{interface}#{name}");
                instance.func_new(name, move |_, _, _, _| bail!("steps can't use `{missing}`"))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interface_is_in_the_wit_and_every_import_there_is_an_interface() {
        let wit = include_str!("wasi.wit");
        let imports: Vec<_> = wit
            .lines()
            .filter_map(|line| line.trim().strip_prefix("import ")?.strip_suffix(&format!("@{VERSION};")))
            .collect();
        assert_eq!(imports, INTERFACES);
    }

    #[test]
    fn a_patch_version_is_the_same_interface_and_a_minor_one_is_not() {
        assert!(is_offered("wasi:io/poll@0.2.0") && is_offered("wasi:http/types@0.2.12"));
        assert!(!is_offered("wasi:io/poll@0.3.0") && !is_offered("wasi:keyvalue/store@0.2.0"));
        assert!(!is_offered("wasi:io/poll"));
    }
}
