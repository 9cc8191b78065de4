//! A worker process of a cluster, and how one is described before it starts.

use std::ops::{Deref, DerefMut};

use pawl_rehearsal::private::Process;

use crate::{Cluster, Container};

/// A running `pawl worker`; killed, stopped and continued through [`Process`].
#[derive(Debug)]
pub struct Worker {
    process: Process,
}

impl Deref for Worker {
    type Target = Process;
    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Worker {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// A worker that is about to start. Without more words it has the cluster's servers, four slots and a
/// lease of 1.5 s, so that tests of takeovers are short.
#[derive(Debug)]
pub struct Description<'a> {
    cluster: &'a mut Cluster,
    name: String,
    slots: Option<u32>,
    lease_ms: Option<u64>,
    /// Besides that of the cluster, or in its place.
    environment: Vec<(String, String)>,
    flags: Vec<String>,
    container: Option<&'a Container>,
}

impl<'a> Description<'a> {
    pub(crate) fn new(cluster: &'a mut Cluster, name: &str) -> Self {
        Self {
            cluster,
            name: name.to_owned(),
            slots: Some(4),
            lease_ms: Some(1_500),
            environment: Vec::new(),
            flags: Vec::new(),
            container: None,
        }
    }

    /// A fault point and what happens there: `name=kill`, `stop`, `pause:<ms>` or `lose`, with `@N` for
    /// the N-th time.
    #[must_use]
    pub fn fault(self, fault: &str) -> Self {
        self.set("PAWL_FAULT", fault)
    }

    /// How many steps it executes at once.
    #[must_use]
    pub fn slots(mut self, slots: u32) -> Self {
        self.slots = Some(slots);
        self
    }

    /// The lease and all other times are those that users get.
    #[must_use]
    pub fn default_lease(mut self) -> Self {
        self.lease_ms = None;
        self
    }

    /// Slots, too, are those that users get.
    #[must_use]
    pub fn default_slots(mut self) -> Self {
        self.slots = None;
        self
    }

    /// Another environment variable, or another value for one.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// One more word on the command line.
    #[must_use]
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// Its memory is that of the container.
    #[must_use]
    pub fn inside(mut self, container: &'a Container) -> Self {
        self.container = Some(container);
        self
    }

    /// Starts it; returns at once. A worker of the same name is replaced and must have ended.
    ///
    /// # Errors
    /// If the program can't be started.
    pub fn start(self) -> anyhow::Result<()> {
        let mut command = self.cluster.command()?;
        command.arg("worker").args(&self.flags).envs(self.environment);
        if let Some(slots) = self.slots {
            command.args(["--slots", &slots.to_string()]);
        }
        if let Some(lease_ms) = self.lease_ms {
            command.env("PAWL_LEASE_MS", lease_ms.to_string());
        }
        if let Some(container) = self.container {
            command = container.wrap(&command);
        }
        let process = Process::spawn(format!("worker {}", self.name), command, &self.cluster.log(&self.name))?;
        self.cluster.add_worker(self.name, Worker { process });
        Ok(())
    }
}
