//! `wasi:filesystem` and `wasi:sockets`: there is nothing, and nothing can be opened. A library that asks
//! gets the error that it would get in a closed room, not a trap.

use wasmtime::component::Resource;

use super::bindings::wasi::filesystem::{preopens, types};
use super::bindings::wasi::sockets::ip_name_lookup::ResolveAddressStream;
use super::bindings::wasi::sockets::network::{ErrorCode, IpAddressFamily};
use super::bindings::wasi::sockets::tcp::TcpSocket;
use super::bindings::wasi::sockets::udp::{IncomingDatagramStream, OutgoingDatagramStream, UdpSocket};
use super::bindings::wasi::sockets::{
    instance_network, ip_name_lookup, network, tcp, tcp_create_socket, udp, udp_create_socket,
};
use super::streams::Error;
use crate::engine::guest::Guest;

/// A network without anybody in it.
#[derive(Debug)]
pub struct Network;

impl preopens::Host for Guest {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<types::Descriptor>, String)>> {
        Ok(Vec::new())
    }
}

impl types::Host for Guest {
    fn filesystem_error_code(&mut self, _: Resource<Error>) -> wasmtime::Result<Option<types::ErrorCode>> {
        Ok(None)
    }
}

impl network::Host for Guest {
    fn network_error_code(&mut self, _: Resource<Error>) -> wasmtime::Result<Option<ErrorCode>> {
        Ok(None)
    }
}

impl instance_network::Host for Guest {
    fn instance_network(&mut self) -> wasmtime::Result<Resource<Network>> {
        Ok(self.push(Network)?)
    }
}

type Refused<T> = wasmtime::Result<Result<Resource<T>, ErrorCode>>;

impl ip_name_lookup::Host for Guest {
    fn resolve_addresses(&mut self, _: Resource<Network>, _: String) -> Refused<ResolveAddressStream> {
        Ok(Err(ErrorCode::AccessDenied))
    }
}

impl tcp_create_socket::Host for Guest {
    fn create_tcp_socket(&mut self, _: IpAddressFamily) -> Refused<TcpSocket> {
        Ok(Err(ErrorCode::AccessDenied))
    }
}

impl udp_create_socket::Host for Guest {
    fn create_udp_socket(&mut self, _: IpAddressFamily) -> Refused<UdpSocket> {
        Ok(Err(ErrorCode::AccessDenied))
    }
}

impl tcp::Host for Guest {}
impl udp::Host for Guest {}

/// Resources of which only the network can exist.
macro_rules! drops {
    ($($host:path: $resource:ty),* $(,)?) => {
        $(impl $host for Guest {
            fn drop(&mut self, resource: Resource<$resource>) -> wasmtime::Result<()> {
                self.take(resource).map(drop)
            }
        })*
    };
}

drops! {
    types::HostDescriptor: types::Descriptor,
    types::HostDirectoryEntryStream: types::DirectoryEntryStream,
    network::HostNetwork: Network,
    ip_name_lookup::HostResolveAddressStream: ResolveAddressStream,
    tcp::HostTcpSocket: TcpSocket,
    udp::HostUdpSocket: UdpSocket,
    udp::HostIncomingDatagramStream: IncomingDatagramStream,
    udp::HostOutgoingDatagramStream: OutgoingDatagramStream,
}
