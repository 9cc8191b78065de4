//! A TCP proxy between Pawl and one of its servers. It breaks, stalls, swallows, slows and heals connections, and
//! loses answers to what the server has already done. It is also a name that moves to another server.
//!
//! ```text
//!   pawl ──requests──▶ proxy ──requests──▶ server
//!        ◀──answers──       ◀──answers───          each direction obeys the mode of the moment
//! ```

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pawl_base::lock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::runtime::{block_on, handle};

/// What the proxy does with what arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Passes everything on.
    Pass,
    /// Passes everything on, this much later.
    Delay(Duration),
    /// Keeps everything, in order, until it may pass it on: the old that is delivered late.
    Stall,
    /// Passes requests on and loses the answers: what was asked happens, and nobody learns of it.
    LoseAnswers,
    /// Closes connections, and new ones at once.
    Break,
}

/// What all connections watch.
#[derive(Debug, Clone, Copy)]
struct State {
    mode: Mode,
    /// Grows with every break: a connection from before it ends, however soon the proxy was healed.
    breaks: u64,
    /// Grows when all connections are swallowed.
    swallowed: u64,
}

/// A proxy on a port of its own; it ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    server: Arc<Mutex<String>>,
    state: watch::Sender<State>,
    listening: AbortHandle,
}

impl Proxy {
    /// Starts to pass everything on to `server`, a `host:port`.
    ///
    /// # Errors
    /// If there is no port.
    pub fn start(server: impl Into<String>) -> anyhow::Result<Self> {
        let listener = block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let (state, states) = watch::channel(State { mode: Mode::Pass, breaks: 0, swallowed: 0 });
        let server = Arc::new(Mutex::new(server.into()));
        let listening = handle().spawn(listen(listener, Arc::clone(&server), states)).abort_handle();
        Ok(Self { address, server, state, listening })
    }

    /// The same URL, by way of the proxy: `scheme://[user@]host:port/rest`.
    #[must_use]
    pub fn url(&self, server_url: &str) -> String {
        let (scheme, rest) = server_url.split_once("://").unwrap_or(("", server_url));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let user = authority.rsplit_once('@').map_or(String::new(), |(user, _)| format!("{user}@"));
        format!("{scheme}://{user}{}/{path}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on does this, for open connections too.
    pub fn set(&self, mode: Mode) {
        self.state.send_modify(|state| {
            state.breaks += u64::from(mode == Mode::Break);
            state.mode = mode;
        });
    }

    /// From now on, nothing comes through the connections that are open, in either direction, and nobody is told: no reset,
    /// no end, whatever the other side does. So it is when a host or a router on the way has died. New ones work.
    pub fn swallow_all(&self) {
        self.state.send_modify(|state| state.swallowed += 1);
    }

    /// From now on, new connections go to another server; those that are open stay where they are. So it is when a name
    /// has moved.
    pub fn aim(&self, server: impl Into<String>) {
        *lock(&self.server) = server.into();
    }

    /// Closes all connections and refuses new ones.
    pub fn break_all(&self) {
        self.set(Mode::Break);
    }

    /// Passes everything on again.
    pub fn heal(&self) {
        self.set(Mode::Pass);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.break_all();
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, server: Arc<Mutex<String>>, states: watch::Receiver<State>) {
    while let Ok((client, _)) = listener.accept().await {
        let State { mode, breaks, swallowed } = *states.borrow();
        if mode == Mode::Break {
            continue;
        }
        let (server, states) = (lock(&server).clone(), states.clone());
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(server).await else { return };
            // Answers to small requests must not wait for company here.
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            // When one direction ends, so does the connection. What is sent after a break never passes: the
            // break is looked for first.
            tokio::select! {
                biased;
                () = broken(states.clone(), breaks) => {}
                () = carry(from_client, to_server, states.clone(), swallowed, Direction::Requests) => {}
                () = carry(from_server, to_client, states, swallowed, Direction::Answers) => {}
            }
        });
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Requests,
    Answers,
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut states: watch::Receiver<State>,
    swallowed: u64,
    direction: Direction,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = from.read(&mut buffer).await;
        let passes = |state: &State| state.mode != Mode::Stall || state.swallowed > swallowed;
        let Ok(state) = states.wait_for(passes).await.map(|state| *state) else { return };
        if state.swallowed > swallowed {
            return vanish(from).await;
        }
        let Ok(length @ 1..) = length else { return };
        match state.mode {
            Mode::Break => return,
            Mode::LoseAnswers if direction == Direction::Answers => continue,
            Mode::Delay(time) => tokio::time::sleep(time).await,
            Mode::Pass | Mode::Stall | Mode::LoseAnswers => {}
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// Takes all that still comes, and never ends.
async fn vanish(mut from: OwnedReadHalf) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(1..) = from.read(&mut buffer).await {}
    std::future::pending().await
}

/// Ends when a connection of that time is broken, or with the proxy.
async fn broken(mut states: watch::Receiver<State>, breaks: u64) {
    let _ = states.wait_for(|state| state.breaks > breaks).await;
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// A server that answers every byte with the next one, and its address.
    fn counting_server() -> anyhow::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut byte = [0];
                    while stream.read_exact(&mut byte).is_ok() {
                        let _ = stream.write_all(&[byte[0] + 1]);
                    }
                });
            }
        });
        Ok(address)
    }

    fn connect(proxy: &Proxy) -> anyhow::Result<TcpStream> {
        let stream = TcpStream::connect(proxy.address())?;
        stream.set_read_timeout(Some(Duration::from_millis(200)))?;
        Ok(stream)
    }

    fn ask(stream: &mut TcpStream, byte: u8) -> Option<u8> {
        let mut answer = [0];
        stream.write_all(&[byte]).ok()?;
        stream.read_exact(&mut answer).ok()?;
        Some(answer[0])
    }

    #[test]
    fn it_passes_on_loses_answers_stalls_swallows_breaks_and_heals() -> anyhow::Result<()> {
        let proxy = Proxy::start(counting_server()?)?;
        let mut stream = connect(&proxy)?;
        assert_eq!(ask(&mut stream, 1), Some(2));
        proxy.set(Mode::LoseAnswers);
        assert_eq!(ask(&mut stream, 10), None);
        proxy.heal();
        assert_eq!(ask(&mut stream, 20), Some(21), "the lost answer does not come later");
        proxy.set(Mode::Stall);
        assert_eq!(ask(&mut stream, 30), None);
        proxy.heal();
        let mut late = [0];
        stream.read_exact(&mut late)?;
        assert_eq!(late, [31], "what was kept is delivered late");
        proxy.swallow_all();
        assert_eq!(ask(&mut stream, 35), None);
        assert_eq!(ask(&mut connect(&proxy)?, 35), Some(36), "new connections work");
        assert_eq!(stream.read(&mut late).map_err(|error| error.kind()), Err(std::io::ErrorKind::WouldBlock), "no end");
        let mut stream = connect(&proxy)?;
        assert_eq!(ask(&mut stream, 37), Some(38));
        proxy.break_all();
        proxy.heal();
        assert_eq!(ask(&mut stream, 40), None, "a break is not missed, however short");
        proxy.break_all();
        assert_eq!(ask(&mut connect(&proxy)?, 40), None);
        proxy.heal();
        let mut stream = connect(&proxy)?;
        assert_eq!(ask(&mut stream, 50), Some(51));
        proxy.aim("127.0.0.1:1");
        assert_eq!(ask(&mut connect(&proxy)?, 60), None, "nobody is there");
        assert_eq!(ask(&mut stream, 60), Some(61), "what is open stays where it is");
        Ok(())
    }

    #[test]
    fn its_url_keeps_everything_but_the_place() -> anyhow::Result<()> {
        let proxy = Proxy::start("127.0.0.1:1")?;
        let url = proxy.url("postgres://pawl@127.0.0.1:5433/postgres");
        assert_eq!(url, format!("postgres://pawl@{}/postgres", proxy.address()));
        assert_eq!(proxy.url("redis://127.0.0.1:7000/"), format!("redis://{}/", proxy.address()));
        Ok(())
    }
}
