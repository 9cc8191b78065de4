//! A private Postgres server with durable settings: what is measured and tested on it holds elsewhere.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use rustix::process::Signal;

use super::{PATIENCE, Process, free_port, in_path, on_free_port, tail, wait_until};

/// A running Postgres server on 127.0.0.1 with trusted connections; dropping it stops it.
#[derive(Debug)]
pub struct PrivatePostgres {
    programs: PathBuf,
    /// Holds the log.
    folder: PathBuf,
    /// Holds `data` and the socket; the same as `folder` unless the server's user can't get there.
    home: PathBuf,
    user: Option<SystemUser>,
    port: u16,
    /// `None` after `stop`.
    process: Option<Process>,
}

impl PrivatePostgres {
    /// Starts a server that keeps its data in `folder/data` and logs to `folder/postgres.log`. Data of an
    /// earlier server in the same folder is kept. Called by root, the server runs as `postgres` or
    /// `nobody`, since it refuses to run as root.
    ///
    /// # Errors
    /// If Postgres is not installed or does not start.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        Self::start_from(folder, None)
    }

    /// The same with a copy of that data, which a server has left that was stopped.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(folder: &Path, data: &Path) -> anyhow::Result<Self> {
        Self::start_from(folder, Some(data))
    }

    fn start_from(folder: &Path, data: Option<&Path>) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("can't create {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        let user = if rustix::process::geteuid().is_root() { Some(SystemUser::for_postgres()?) } else { None };
        let home = match &user {
            Some(user) if !reachable_for_others(&folder) => user.make_home()?,
            _ => folder.clone(),
        };
        let programs = find_programs()?;
        let mut server = Self { programs, folder, home, user, port: 0, process: None };
        server.init(data)?;
        on_free_port(|port| {
            server.port = port;
            server.launch()
        })?;
        Ok(server)
    }

    /// For `PAWL_DATABASE_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        self.database_url("postgres")
    }

    /// The URL of another database of this server.
    #[must_use]
    pub fn database_url(&self, database: &str) -> String {
        format!("postgres://pawl@127.0.0.1:{}/{database}", self.port)
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
        self.folder.join("postgres.log")
    }

    /// Stops the server without warning (`pg_ctl stop -m immediate`), so that it has to recover, and starts
    /// it again on the same port.
    ///
    /// # Errors
    /// If it does not start.
    pub fn restart_immediate(&mut self) -> anyhow::Result<()> {
        self.end(Signal::QUIT)?;
        // Else it begins by syncing each of its files, which takes longer than a lease where the disk is busy. The system goes on,
        // and has what was written.
        self.launch_with(&["fsync=off"])
    }

    /// Starts the server again after [`Self::stop`], on the same port and data.
    ///
    /// # Errors
    /// If it does not start.
    pub fn launch(&mut self) -> anyhow::Result<()> {
        self.launch_with(&[])
    }

    fn launch_with(&mut self, besides: &[&str]) -> anyhow::Result<()> {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data());
        let settings = self.settings().into_iter().map(|(name, value)| format!("{name}={value}"));
        for setting in settings.chain(besides.iter().map(|setting| (*setting).to_owned())) {
            command.arg("-c").arg(setting);
        }
        let mut process = Process::spawn("postgres", command, &self.log())?;
        // The server writes its state into the eighth line of this file; pg_ctl waits in the same way.
        let state = self.data().join("postmaster.pid");
        let own_pid = process.pid().to_string();
        wait_until(PATIENCE, "the private Postgres server to be ready", || {
            process.ensure_running()?;
            let text = std::fs::read_to_string(&state).unwrap_or_default();
            let mut lines = text.lines();
            Ok(lines.next() == Some(own_pid.as_str()) && lines.nth(6).is_some_and(|state| state.trim() == "ready"))
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops the server; its data stays.
    ///
    /// # Errors
    /// If it had to be killed.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.end(Signal::INT)
    }

    fn end(&mut self, signal: Signal) -> anyhow::Result<()> {
        match self.process.take() {
            Some(mut process) => process.end_with(signal, PATIENCE).map(drop),
            None => Ok(()),
        }
    }

    /// Where its data lies.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn init(&self, from: Option<&Path>) -> anyhow::Result<()> {
        let data = self.data();
        if data.join("PG_VERSION").exists() {
            return Ok(());
        }
        if let Some(from) = from {
            copy(from, &data)?;
        }
        std::fs::create_dir_all(&data).with_context(|| format!("can't create {}", data.display()))?;
        if let Some(user) = &self.user {
            for folder in [&self.home, &data] {
                std::os::unix::fs::chown(folder, Some(user.uid), Some(user.gid))
                    .with_context(|| format!("can't give {} to {}", folder.display(), user.name))?;
            }
        }
        if from.is_some() {
            return Ok(());
        }
        let mut command = self.command("initdb");
        // Not synced: a machine that crashes now has nothing to lose yet.
        command.args(["-U", "pawl", "-E", "UTF8", "--locale=C", "-A", "trust", "-N", "-D"]).arg(&data);
        let log = self.folder.join("initdb.log");
        let status = Process::spawn("initdb", command, &log)?.wait(PATIENCE)?;
        anyhow::ensure!(status.is_some_and(|status| status.success()), "initdb failed:\n{}", tail(&log));
        Ok(())
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("port", self.port.to_string()),
            ("fsync", "on".to_owned()),
            ("synchronous_commit", "on".to_owned()),
            ("max_connections", "300".to_owned()),
            ("shared_buffers", "256MB".to_owned()),
            ("max_wal_size", "4GB".to_owned()),
            ("autovacuum", "on".to_owned()),
        ];
        // A socket's path has at most 107 bytes.
        // https://man7.org/linux/man-pages/man7/unix.7.html
        let socket_fits = self.home.as_os_str().as_bytes().len() <= 80;
        let sockets = if socket_fits { self.home.display().to_string() } else { String::new() };
        settings.push(("unix_socket_directories", sockets));
        if self.has_statement_statistics() {
            settings.push(("shared_preload_libraries", "pg_stat_statements".to_owned()));
        }
        settings
    }

    /// Beside the programs on Debian (`lib/postgresql/15/{bin,lib}`), or in their `lib/postgresql`.
    fn has_statement_statistics(&self) -> bool {
        let parent = self.programs.parent().unwrap_or(&self.programs);
        ["lib", "lib/postgresql", "lib64/pgsql", "lib/pgsql"]
            .iter()
            .any(|folder| parent.join(folder).join("pg_stat_statements.so").exists())
    }

    /// A command that runs as the server's user, in a folder that it may read.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(&self.home);
        if let Some(user) = &self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        // An immediate stop ends the server's own children too, which a kill would leave behind.
        let _ = self.end(Signal::QUIT);
        if self.home != self.folder {
            let _ = std::fs::remove_dir_all(&self.home);
        }
    }
}

/// Copies a folder to a place where nothing is; its files stay their owners'.
///
/// # Errors
/// If that fails.
pub fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().context("can't start cp")?;
    anyhow::ensure!(copied.success(), "can't copy {} to {}", from.display(), to.display());
    Ok(())
}

/// The folder of the Postgres programs: from PATH, `pg_config`, or the newest that Debian installed.
fn find_programs() -> anyhow::Result<PathBuf> {
    // With links followed: the libraries lie beside the real programs.
    let from_path =
        in_path("initdb").into_iter().filter_map(|file| Some(file.canonicalize().ok()?.parent()?.to_owned()));
    let from_config = || {
        let output = Command::new("pg_config").arg("--bindir").output().ok()?;
        Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
    };
    let mut debian: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok())
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    debian.sort();
    from_path
        .chain(from_config())
        .chain(debian.into_iter().rev().map(|(_, folder)| folder))
        .find(|folder| ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file()))
        .context(
            "Postgres is not installed (no initdb and postgres in PATH, `pg_config --bindir` or \
                  /usr/lib/postgresql); install it, for example with `apt-get install postgresql`",
        )
}

/// A user other than root.
#[derive(Debug)]
struct SystemUser {
    name: String,
    uid: u32,
    gid: u32,
}

impl SystemUser {
    /// `postgres` where it exists, else `nobody`.
    fn for_postgres() -> anyhow::Result<Self> {
        let users = std::fs::read_to_string("/etc/passwd").context("can't read /etc/passwd")?;
        let find = |name: &str| {
            users.lines().find_map(|line| {
                let fields: Vec<&str> = line.split(':').collect();
                match fields.as_slice() {
                    [found, _, uid, gid, ..] if *found == name => {
                        Some(Self { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()? })
                    }
                    _ => None,
                }
            })
        };
        find("postgres")
            .or_else(|| find("nobody"))
            .context("Postgres refuses to run as root, and there is no user `postgres` or `nobody` to run it as")
    }

    /// A folder of its own among the temporary files.
    fn make_home(&self) -> anyhow::Result<PathBuf> {
        let port = free_port()?;
        let home = std::env::temp_dir().join(format!("pawl-postgres-{}-{port}", std::process::id()));
        std::fs::create_dir(&home).with_context(|| format!("can't create {}", home.display()))?;
        Ok(home)
    }
}

/// Whether users other than the owner may pass through all folders above.
fn reachable_for_others(folder: &Path) -> bool {
    folder.ancestors().skip(1).all(|folder| folder.metadata().is_ok_and(|data| data.mode() & 0o001 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_recovers_from_an_immediate_stop_on_its_port() -> anyhow::Result<()> {
        let folder = std::env::temp_dir().join(format!("pawl-postgres-test-{}", std::process::id()));
        let mut server = PrivatePostgres::start(&folder)?;
        let url = server.url();
        server.restart_immediate()?;
        assert_eq!(server.url(), url);
        assert!(std::fs::read_to_string(server.log())?.contains("automatic recovery"));
        server.stop()?;
        assert!(std::net::TcpStream::connect(("127.0.0.1", server.port())).is_err());
        drop(server);
        Ok(std::fs::remove_dir_all(folder)?)
    }
}
