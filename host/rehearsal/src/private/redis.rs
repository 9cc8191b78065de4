//! A private Redis server: keeps nothing on disk, so that a restart finds it empty.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::{PATIENCE, Process, in_path, on_free_port, wait_until};

/// A running Redis server on 127.0.0.1; dropping it stops it.
#[derive(Debug)]
pub struct PrivateRedis {
    folder: PathBuf,
    port: u16,
    /// Besides those of every private server.
    options: Vec<String>,
    /// `None` after `stop`.
    process: Option<Process>,
}

impl PrivateRedis {
    /// Starts a server that works in `folder` and logs to `folder/redis.log`.
    ///
    /// # Errors
    /// If `redis-server` is not installed or does not start.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        Self::start_with(folder, &[])
    }

    /// The same with more options, as on the server's command line.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(folder: &Path, options: &[&str]) -> anyhow::Result<Self> {
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        std::fs::create_dir_all(folder).with_context(|| format!("can't create {}", folder.display()))?;
        let mut server = Self { folder: folder.canonicalize()?, port: 0, options, process: None };
        on_free_port(|port| {
            server.port = port;
            server.launch()
        })?;
        Ok(server)
    }

    /// For `PAWL_REDIS_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether its process has not ended.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// Where the server writes its log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("redis.log")
    }

    /// Kills the server and starts it again on the same port, with nothing in it.
    ///
    /// # Errors
    /// If it does not start.
    pub fn restart_empty(&mut self) -> anyhow::Result<()> {
        self.stop();
        self.launch()
    }

    /// Starts the server again after [`Self::stop`], on the same port and with nothing in it.
    ///
    /// # Errors
    /// If it does not start.
    pub fn launch(&mut self) -> anyhow::Result<()> {
        let program = in_path("redis-server")
            .into_iter()
            .next()
            .context("redis-server is not in PATH; install it, for example with `apt-get install redis-server`")?;
        let mut command = Command::new(program);
        command
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .arg("--dir")
            .arg(&self.folder)
            .args(&self.options);
        let mut process = Process::spawn("redis", command, &self.log())?;
        wait_until(PATIENCE, "the private Redis server to answer", || {
            process.ensure_running()?;
            Ok(answers(self.port))
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops it at once. Nothing is lost that Pawl can't do without.
    pub fn stop(&mut self) {
        self.process = None;
    }
}

fn answers(port: u16) -> bool {
    let ping = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"+PONG")
    };
    ping().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restarted_server_is_empty_and_keeps_its_port() -> anyhow::Result<()> {
        let folder = std::env::temp_dir().join(format!("pawl-redis-test-{}", std::process::id()));
        let mut server = PrivateRedis::start(&folder)?;
        let url = server.url();
        assert_eq!(talk(server.port, "SET a 1\r\n")?, "+OK\r\n");
        server.restart_empty()?;
        assert_eq!(server.url(), url);
        assert_eq!(talk(server.port, "EXISTS a\r\n")?, ":0\r\n");
        server.stop();
        assert!(!answers(server.port));
        Ok(std::fs::remove_dir_all(folder)?)
    }

    fn talk(port: u16, command: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(command.as_bytes())?;
        let mut answer = [0; 64];
        let length = stream.read(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    }
}
