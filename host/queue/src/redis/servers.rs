//! Which servers there are, and the way to the one that has our keys and takes writes. Every connection is made here.
//!
//! ```text
//!  those that the URL names, and those of which a cluster has told
//!      │ one after the other, from the last good one on
//!      ▼
//!   connect ──▶ greet: an XADD that adds nothing ──▶ taken: this is the one
//!      ▲                        │
//!      └──── at another node ◀──┴──▶ a replica, loading, …: the next one
//! ```
//!
//! A name is resolved with every connection: who has it now is asked.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use pawl_base::lock;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult,
    ServerErrorKind, Value,
};
use tokio::sync::watch;

use super::keys::{Keys, Naming, WhichInstallation};
use super::{RedisConfig, Result, meaning};

/// How often a server may send us on to another before that counts as an outage.
const HOPS: usize = 3;

/// All servers, and the names of what we keep there.
pub(super) struct Servers {
    /// Of the URL.
    named: Vec<ConnectionInfo>,
    /// Told by a cluster when last connected: those of the URL may go.
    told: Mutex<Vec<ConnectionInfo>>,
    /// Where the next attempt begins.
    turn: AtomicUsize,
    /// Grows when a connection was left though it lived: its server is not the one any more.
    left: watch::Sender<u64>,
    naming: Naming,
}

impl Servers {
    pub(super) fn new(config: &RedisConfig, installation: WhichInstallation) -> Result<Self> {
        let naming = Naming::new(config.prefix()?, installation);
        let (turn, left) = (AtomicUsize::new(0), watch::Sender::new(0));
        Ok(Self { named: config.servers()?, told: Mutex::default(), turn, left, naming })
    }

    pub(super) async fn keys(&self) -> RedisResult<&Keys> {
        self.naming.keys().await
    }

    /// Connects to the server that has our keys and takes writes. Whoever gives up on it in the middle begins with the next
    /// server when he comes again.
    pub(super) async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let keys = self.keys().await?;
        let servers = self.all();
        let mut refused = RedisError::from((ErrorKind::InvalidClientConfig, "there is no server"));
        for _ in 0..servers.len() {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            match self.reach(&servers[turn % servers.len()], keys).await {
                Ok(connection) => {
                    self.turn.store(turn, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Goes where the server sends us, and learns of the others there.
    async fn reach(&self, server: &ConnectionInfo, keys: &Keys) -> RedisResult<MultiplexedConnection> {
        let mut server = server.clone();
        for _ in 0..=HOPS {
            let mut connection = open(&server).await?;
            match takes_deliveries(&mut connection, keys).await {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::Moved) => {
                    let (address, _) = error.redirect_node().ok_or(error.clone())?;
                    server = at(&server, address).ok_or(error.clone())?;
                }
                Err(error) if meaning::of(&error).ends_connection => return Err(error),
                // Full, or forbidden: what it does take can be done meanwhile, and no other does better.
                _ => {
                    if let Ok(nodes) = nodes(&mut connection, &server).await {
                        *lock(&self.told) = nodes;
                    }
                    return Ok(connection);
                }
            }
        }
        Err(RedisError::from((ErrorKind::Io, "the nodes of the cluster disagree about who has our keys")))
    }

    /// Subscribes to a channel. In a cluster, all nodes tell of it.
    pub(super) async fn subscribe(&self, channel: &str) -> RedisResult<PubSub> {
        let servers = self.all();
        let turn = self.turn.load(Ordering::Relaxed);
        // Until it has, somebody who comes again should ask the next one.
        self.turn.store(turn + 1, Ordering::Relaxed);
        let mut subscription = Client::open(servers[turn % servers.len()].clone())?.get_async_pubsub().await?;
        subscription.subscribe(channel).await?;
        self.turn.store(turn, Ordering::Relaxed);
        Ok(subscription)
    }

    /// The server of a connection is not the one any more.
    pub(super) fn leave(&self) {
        self.left.send_modify(|times| *times += 1);
    }

    /// Changes when a server was left.
    pub(super) fn left(&self) -> watch::Receiver<u64> {
        self.left.subscribe()
    }

    /// Where they are, for people; nothing else of the URL.
    pub(super) fn addresses(&self) -> String {
        self.all().iter().map(|server| server.addr().to_string()).collect::<Vec<_>>().join(", ")
    }

    /// Host and port of each; a socket has none.
    pub(super) fn endpoints(&self) -> Vec<(String, u16)> {
        let of = |server: &ConnectionInfo| match server.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => Some((host.clone(), *port)),
            _ => None,
        };
        self.all().iter().filter_map(of).collect()
    }

    /// The number of the database, which is the same everywhere.
    pub(super) fn database(&self) -> i64 {
        self.named.first().map_or(0, |server| server.redis_settings().db())
    }

    fn all(&self) -> Vec<ConnectionInfo> {
        let mut all = self.named.clone();
        for told in lock(&self.told).iter() {
            if all.iter().all(|known| known.addr().to_string() != told.addr().to_string()) {
                all.push(told.clone());
            }
        }
        all
    }
}

/// Asks whether the server has our keys and takes a delivery. Nothing is added: the stream is not there, and is not made.
pub(super) fn delivery_of_nothing(keys: &Keys) -> Cmd {
    let mut command = redis::cmd("XADD");
    command.arg(keys.nothing()).arg("NOMKSTREAM").arg("*").arg("nothing").arg("");
    command
}

async fn takes_deliveries(connection: &mut MultiplexedConnection, keys: &Keys) -> RedisResult<()> {
    delivery_of_nothing(keys).query_async::<Value>(connection).await.map(drop)
}

async fn open(server: &ConnectionInfo) -> RedisResult<MultiplexedConnection> {
    // What is waited for is bounded by those who ask.
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let opened = Client::open(server.clone())?.get_multiplexed_async_connection_with_config(&config).await;
    opened.map_err(|error| with_address(server, error))
}

/// What the network said, with the address that was tried: of several servers one may be away, and a name leads somewhere.
fn with_address(server: &ConnectionInfo, error: RedisError) -> RedisError {
    if !error.is_io_error() {
        return error;
    }
    let kind = if error.is_timeout() { io::ErrorKind::TimedOut } else { io::ErrorKind::NotConnected };
    io::Error::new(kind, At { address: server.addr().to_string(), said: error }).into()
}

/// What was said, and where: what it means is still to be found in it.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {said}")]
struct At {
    address: String,
    #[source]
    said: RedisError,
}

/// The nodes of the server's cluster; an error if it is none.
async fn nodes(connection: &mut MultiplexedConnection, server: &ConnectionInfo) -> RedisResult<Vec<ConnectionInfo>> {
    // Each range of slots, with the nodes that have it: host, port, and what is of no interest.
    let ranges: Vec<Vec<Value>> = redis::cmd("CLUSTER").arg("SLOTS").query_async(connection).await?;
    let of = |node: Value| {
        let node: Vec<Value> = redis::from_redis_value(node).ok()?;
        let mut parts = node.into_iter();
        let host: String = redis::from_redis_value(parts.next()?).ok()?;
        let port: u16 = redis::from_redis_value(parts.next()?).ok()?;
        at(server, &format!("{host}:{port}"))
    };
    Ok(ranges.into_iter().flat_map(|range| range.into_iter().skip(2)).filter_map(of).collect())
}

/// The same way in at another address, `host:port`. A node that does not know its own name leaves the host out.
fn at(server: &ConnectionInfo, address: &str) -> Option<ConnectionInfo> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let or = |known: &str| if matches!(host, "" | "?") { known.to_owned() } else { host.to_owned() };
    let there = match server.addr() {
        ConnectionAddr::Tcp(known, _) => ConnectionAddr::Tcp(or(known), port),
        ConnectionAddr::TcpTls { host: known, insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host: or(known), port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => return None,
    };
    Some(server.clone().set_addr(there))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_network_said_is_told_with_the_address_and_without_the_password() {
        let server = Client::open("redis://me:hunter2@cache:1/").expect("a URL").get_connection_info().clone();
        let refused = RedisError::from(io::Error::from(io::ErrorKind::ConnectionRefused));
        let told = pawl_base::chain(&super::super::away(with_address(&server, refused)));
        assert!(told.contains("it can't be reached: cache:1: ") && !told.contains("hunter2"), "{told}");
        let silent = with_address(&server, RedisError::from(io::Error::from(io::ErrorKind::TimedOut)));
        assert!(silent.is_timeout(), "what it means stays: {silent}");
        let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let untrusted = RedisError::from(io::Error::new(io::ErrorKind::InvalidData, untrusted));
        let why = meaning::of(&with_address(&server, untrusted)).why;
        assert!(why.contains("redis_ca"), "{why}");
    }

    #[test]
    fn another_address_keeps_all_but_the_place() {
        let known = |url: &str| Client::open(url).expect("a URL").get_connection_info().clone();
        for (url, address, there) in [
            ("redis://me:secret@a:1/", "10.0.0.7:7001", "10.0.0.7:7001"),
            ("redis://a:1/", ":7001", "a:7001"),
            ("redis://a:1/", "?:7001", "a:7001"),
            ("redis://a:1/", "::1:7001", "::1:7001"),
        ] {
            let info = at(&known(url), address).expect("an address");
            assert_eq!(info.addr().to_string(), there);
            assert_eq!(info.redis_settings().password(), known(url).redis_settings().password());
        }
        assert!(
            matches!(at(&known("rediss://a:1/"), "b:2").expect("one").addr(), ConnectionAddr::TcpTls { host, port: 2, .. } if host == "b")
        );
        assert!(at(&known("redis://a:1/"), "nonsense").is_none());
    }
}
