//! Effects of a worker that was stopped while it connected, and lost the step meanwhile: they stay.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use pawl_tests::{Cluster, Target, bounds, wait};
use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::pipelines;

/// How many effects are stopped so. `PAWL_STOPS` for more.
fn stops() -> usize {
    std::env::var("PAWL_STOPS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

/// A port whose queue of connections is full: whoever connects hangs, until it is opened.
struct Full {
    listener: TcpListener,
    /// What fills it.
    waiting: Vec<TcpStream>,
}

impl Full {
    fn new() -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
        socket.listen(0)?;
        let listener = TcpListener::from(socket);
        let address = listener.local_addr()?;
        let mut waiting = Vec::new();
        // Where the machine is busy, one may be late without a full queue.
        let mut refused = 0;
        while refused < 3 {
            match TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
                Ok(stream) => {
                    waiting.push(stream);
                    refused = 0;
                }
                Err(_) => refused += 1,
            }
        }
        Ok(Self { listener, waiting })
    }

    fn port(&self) -> Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// Connections from here to it in a state, as the kernel lists them (man 5 proc).
    fn connections(&self, state: &str) -> Result<usize> {
        let remote = format!("0100007F:{:04X}", self.port()?);
        let table = std::fs::read_to_string("/proc/net/tcp")?;
        let matches = |line: &&str| {
            let words: Vec<_> = line.split_whitespace().collect();
            words.get(2) == Some(&remote.as_str()) && words.get(3) == Some(&state)
        };
        Ok(table.lines().filter(matches).count())
    }

    /// From now on it leads to `target`, in threads that end with the test.
    fn open(self, target: SocketAddr) -> JoinHandle<()> {
        drop(self.waiting);
        std::thread::spawn(move || {
            for client in self.listener.incoming().flatten() {
                std::thread::spawn(move || -> io::Result<()> {
                    let server = TcpStream::connect(target)?;
                    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
                    std::thread::spawn(move || io::copy(&mut from, &mut to));
                    let (mut from, mut to) = (server, client);
                    io::copy(&mut from, &mut to)?;
                    to.shutdown(std::net::Shutdown::Both)
                });
            }
        })
    }
}

const SYN_SENT: &str = "02";

#[test]
fn an_effect_that_was_connecting_when_its_worker_was_stopped_does_not_leave_after_the_takeover() -> Result<()> {
    let mut cluster = Cluster::start("late_effects")?;
    pipelines::fetch(&cluster)?;
    let target = Target::start()?;
    let address: SocketAddr = target.url("").trim_start_matches("http://").trim_end_matches('/').parse()?;
    for number in 0..stops() {
        let (stopped, other) = (format!("stopped-{number}"), format!("other-{number}"));
        let full = Full::new()?;
        cluster.worker(&stopped).slots(1).start()?;
        let path = format!("/pay/{number}");
        let url = format!("http://127.0.0.1:{}{path}", full.port()?);
        let post = json!({"method": "POST", "url": url, "body": {"a": 1}});
        let before = full.connections(SYN_SENT)?;
        let run = cluster.submit("fetch", &json!({"requests": [post]}))?;
        wait::until_true(bounds::RUN, "the effect to connect", || Ok(full.connections(SYN_SENT)? > before))?;
        cluster.the(&stopped)?.sigstop()?;

        // The target is there again, the connection of the stopped worker is made, and another worker does the work.
        let _serving = full.open(address);
        cluster.worker(&other).slots(1).start()?;
        cluster.succeeds(run, bounds::RECOVERY)?;
        assert_eq!(target.count(&path), 1);
        cluster.the(&stopped)?.sigcont()?;
        // It goes on under a new id.
        let workers = || Ok(cluster.client.workers()?.workers.len() == 2);
        wait::until_true(bounds::PROCESS, "the stopped worker to be back", workers)?;
        assert_eq!(target.count(&path), 1, "the stopped worker's effect left after the takeover");
        for name in [stopped, other] {
            cluster.the(&name)?.terminate(bounds::PROCESS).context("a drain")?;
        }
    }
    cluster.finish_with(&[&target])
}
