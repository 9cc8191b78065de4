//! The interfaces of WASI that a component may import, and who implements each: `wasmtime-wasi`, for which the
//! guest is a [view](wasmtime_wasi::WasiView) of it, or the guest itself.

use wasmtime::component::types::Component;
use wasmtime::component::{HasData, HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::ResolveAddressStream;
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, Network};
use wasmtime_wasi::p2::bindings::sync::sockets::{tcp, udp, udp_create_socket};
use wasmtime_wasi::p2::bindings::sync::{filesystem, io};
use wasmtime_wasi::p2::bindings::{cli, clocks, random, sockets};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};

use super::http;
use crate::guest::Guest;

/// How an interface gets into a linker.
type Add = fn(&mut Linker<Guest>) -> wasmtime::Result<()>;

/// What implements it is the guest.
type Own = HasSelf<Guest>;

/// All of them.
const INTERFACES: [(&str, Add); 29] = [
    ("wasi:io/error", |linker| io::error::add_to_linker::<_, Table>(linker, table)),
    ("wasi:io/poll", |linker| io::poll::add_to_linker::<_, Own>(linker, own)),
    ("wasi:io/streams", |linker| io::streams::add_to_linker::<_, Table>(linker, table)),
    ("wasi:clocks/monotonic-clock", |linker| clocks::monotonic_clock::add_to_linker::<_, Own>(linker, own)),
    ("wasi:clocks/wall-clock", |linker| clocks::wall_clock::add_to_linker::<_, Own>(linker, own)),
    ("wasi:random/random", |linker| random::random::add_to_linker::<_, Own>(linker, own)),
    ("wasi:random/insecure", |linker| random::insecure::add_to_linker::<_, Own>(linker, own)),
    ("wasi:random/insecure-seed", |linker| random::insecure_seed::add_to_linker::<_, Own>(linker, own)),
    ("wasi:cli/environment", |linker| cli::environment::add_to_linker::<_, WasiCli>(linker, Guest::cli)),
    ("wasi:cli/exit", |linker| cli::exit::add_to_linker::<_, WasiCli>(linker, Guest::cli)),
    ("wasi:cli/stdin", |linker| cli::stdin::add_to_linker::<_, WasiCli>(linker, Guest::cli)),
    ("wasi:cli/stdout", |linker| cli::stdout::add_to_linker::<_, WasiCli>(linker, Guest::cli)),
    ("wasi:cli/stderr", |linker| cli::stderr::add_to_linker::<_, WasiCli>(linker, Guest::cli)),
    ("wasi:cli/terminal-input", |linker| cli::terminal_input::add_to_linker::<_, WasiCli>(linker, Guest::cli)),
    ("wasi:cli/terminal-output", |linker| cli::terminal_output::add_to_linker::<_, WasiCli>(linker, Guest::cli)),
    ("wasi:cli/terminal-stdin", |linker| cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, Guest::cli)),
    ("wasi:cli/terminal-stdout", |linker| cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, Guest::cli)),
    ("wasi:cli/terminal-stderr", |linker| cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, Guest::cli)),
    ("wasi:filesystem/types", |linker| {
        filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, Guest::filesystem)
    }),
    ("wasi:filesystem/preopens", |linker| {
        filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, Guest::filesystem)
    }),
    ("wasi:sockets/network", |linker| {
        let mut options = network::LinkOptions::default();
        options.network_error_code(true);
        network::add_to_linker::<_, WasiSockets>(linker, &options, Guest::sockets)
    }),
    ("wasi:sockets/instance-network", |linker| {
        sockets::instance_network::add_to_linker::<_, WasiSockets>(linker, Guest::sockets)
    }),
    ("wasi:sockets/ip-name-lookup", add_name_lookup),
    ("wasi:sockets/tcp", |linker| tcp::add_to_linker::<_, WasiSockets>(linker, Guest::sockets)),
    ("wasi:sockets/tcp-create-socket", |linker| {
        sockets::tcp_create_socket::add_to_linker::<_, WasiSockets>(linker, Guest::sockets)
    }),
    ("wasi:sockets/udp", |linker| udp::add_to_linker::<_, WasiSockets>(linker, Guest::sockets)),
    ("wasi:sockets/udp-create-socket", |linker| {
        udp_create_socket::add_to_linker::<_, WasiSockets>(linker, Guest::sockets)
    }),
    ("wasi:http/types", http::add_types_to_linker),
    ("wasi:http/outgoing-handler", |linker| http::outgoing_handler::add_to_linker::<_, Own>(linker, own)),
];

/// The version of the packages. Any 0.2.x is the same to a linker.
const VERSION: &str = "0.2.12";

/// What implements `wasi:io`.
struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

/// Whatever is written to a stream may be printed.
pub(super) fn table(guest: &mut Guest) -> &mut ResourceTable {
    guest.tell_log();
    guest.ctx().table
}

fn own(guest: &mut Guest) -> &mut Guest {
    guest
}

/// The library's, but for its answer: it says that the resolver failed for good, which is not why.
fn add_name_lookup(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    sockets::ip_name_lookup::add_to_linker::<_, WasiSockets>(linker, Guest::sockets)?;
    linker.allow_shadowing(true);
    let mut interface = linker.instance(&format!("wasi:sockets/ip-name-lookup@{VERSION}"))?;
    interface.func_wrap("resolve-addresses", |_, (_, _): (Resource<Network>, String)| {
        Ok((Err::<Resource<ResolveAddressStream>, _>(ErrorCode::AccessDenied),))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Whether an import is one of WASI, whatever its version.
pub(crate) fn is_wasi(import: &str) -> bool {
    import.starts_with("wasi:")
}

/// Whether an import of WASI is there.
pub(crate) fn is_offered(import: &str) -> bool {
    INTERFACES.iter().any(|(interface, _)| is_of(interface, import))
}

/// Whether an import is of a package that is offered, in a later version than is.
pub(crate) fn is_later(import: &str) -> bool {
    let Some((name, version)) = import.split_once('@') else { return false };
    let package = |interface: &str| interface.split_once('/').map(|(package, _)| package.to_owned());
    let is_known = INTERFACES.iter().any(|(interface, _)| package(interface) == package(name));
    is_known && !version.starts_with("0.1.") && !version.starts_with("0.2.")
}

/// Whether an import such as `wasi:io/poll@0.2.3` is of this interface.
fn is_of(interface: &str, import: &str) -> bool {
    import.split_once('@').is_some_and(|(name, version)| name == interface && version.starts_with("0.2."))
}

/// Offers a component those interfaces that it imports.
///
/// # Errors
/// Never, for a linker that has nothing of WASI.
pub(crate) fn add_to_linker(
    linker: &mut Linker<Guest>,
    engine: &wasmtime::Engine,
    component: &Component,
) -> wasmtime::Result<()> {
    for (interface, add) in INTERFACES {
        if component.imports(engine).any(|(import, _)| is_of(interface, import)) {
            add(linker)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A linker in which these names are taken by something that is no interface.
    fn without(names: impl Iterator<Item = &'static str>) -> Linker<Guest> {
        let mut linker = Linker::new(&wasmtime::Engine::default());
        for name in names {
            linker.root().func_wrap(&format!("{name}@{VERSION}"), |_, (): ()| Ok(())).expect("a free name");
        }
        linker
    }

    #[test]
    fn each_interface_is_added_under_its_name_and_no_other() {
        for (interface, add) in INTERFACES {
            assert!(add(&mut without([interface].into_iter())).is_err(), "{interface} is added as another one");
            let others = INTERFACES.iter().map(|(other, _)| *other).filter(|other| *other != interface);
            assert!(add(&mut without(others)).is_ok(), "{interface} is not added alone");
        }
    }

    #[test]
    fn a_patch_version_is_the_same_interface_and_a_minor_one_is_not() {
        assert!(is_offered("wasi:io/poll@0.2.0") && is_offered("wasi:http/types@0.2.12"));
        assert!(!is_offered("wasi:io/poll@0.3.0") && !is_offered("wasi:keyvalue/store@0.2.0"));
        assert!(!is_offered("wasi:io/poll"));
    }

    #[test]
    fn a_later_version_is_told_from_another_package() {
        assert!(is_later("wasi:clocks/system-clock@0.3.0") && is_later("wasi:cli/stdin@0.3.0-rc-2026-01-06"));
        assert!(!is_later("wasi:keyvalue/store@0.3.0") && !is_later("wasi:cli/run@0.2.0") && !is_later("wasi:cli/run"));
    }
}
