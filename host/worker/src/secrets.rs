//! Secrets of steps: those of this process's environment, which are the namespace `default`'s alone and win there, and those of the
//! store, for whom they are granted to. The store is asked only for steps that name one which the environment has not, and of one
//! secret once a second at most; what was opened stays open as long as it is the same version.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pawl_base::envelope::Keys;
use pawl_base::lock;
use pawl_dispatch::secrets::opened;
use pawl_dispatch::whose::Whose;
use pawl_domain::id::RunId;
use pawl_domain::namespace::Namespace;
use pawl_domain::pipeline::{Pipeline, StepSpec};
use pawl_domain::secret::grant::{Asker, Given, given};
use pawl_engine::{Secret, Secrets};
use pawl_store::Store;
use pawl_store::secrets::SecretRow;

use crate::reading::{Missed, Reading};

/// How long an answer of the store is good for: so long a grant that was taken back counts at most, for attempts that begin.
const FRESH: Duration = Duration::from_secs(1);

/// Secrets that are kept open.
const KEPT: usize = 1_000;

/// What a worker has of the store's secrets.
#[derive(Debug)]
pub struct StoredSecrets {
    keys: Keys,
    whose: Arc<Whose>,
    kept: Mutex<HashMap<Named, Kept>>,
}

/// Whose it is, and what it is called.
type Named = (Namespace, String);

/// One that was opened.
#[derive(Clone)]
struct Kept {
    row: SecretRow,
    value: String,
    read_at: Instant,
}

/// No log has the value.
impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.row.fmt(f)
    }
}

impl StoredSecrets {
    /// None so far; these keys open them.
    #[must_use]
    pub fn new(keys: Keys, whose: Arc<Whose>) -> Self {
        Self { keys, whose, kept: Mutex::default() }
    }

    /// Whether this process has the master key of that id.
    #[must_use]
    pub fn has_key(&self, id: &str) -> bool {
        self.keys.has(id)
    }

    /// The secrets of a run's step, if nothing has to be read for them.
    #[must_use]
    pub fn at_hand(&self, run: RunId, pipeline: &Pipeline, spec: Option<&StepSpec>) -> Option<Secrets> {
        let Some(spec) = spec.filter(|spec| !spec.secrets.is_empty()) else { return Some(Secrets::default()) };
        let namespace = self.whose.at_hand(run)?;
        let (mut here, asked) = of_environment(&namespace, spec);
        let kept = lock(&self.kept);
        for name in asked {
            let named = (namespace.clone(), name);
            let fresh = kept.get(&named).filter(|kept| kept.read_at.elapsed() < FRESH)?;
            let (_, name) = named;
            let secret = granted(asker(pipeline, spec), &name, Some(&fresh.row), Ok(fresh.value.clone()));
            here.push((name, secret));
        }
        Some(Secrets::of(here))
    }

    /// The same, read for as long as it is not given up.
    ///
    /// # Errors
    /// [`Missed`].
    pub async fn read(
        &self,
        reading: &Reading,
        run: RunId,
        pipeline: &Pipeline,
        spec: Option<&StepSpec>,
        given_up: &(impl Fn() -> bool + ?Sized),
    ) -> Result<Secrets, Missed> {
        if let Some(secrets) = self.at_hand(run, pipeline, spec) {
            return Ok(secrets);
        }
        let Some(spec) = spec else { return Ok(Secrets::default()) };
        let store = reading.store();
        let namespace = reading.ask(given_up, || Box::pin(self.whose.ask(store, run))).await?;
        let (mut here, asked) = of_environment(&namespace, spec);
        let rows = match asked.is_empty() {
            true => Vec::new(),
            false => reading.ask(given_up, || store.secrets_named(&namespace, &asked)).await?,
        };
        for name in asked {
            let row = rows.iter().find(|row| row.name == name);
            let value = self.open(&namespace, &name, row);
            here.push((name.clone(), granted(asker(pipeline, spec), &name, row, value)));
        }
        Ok(Secrets::of(here))
    }

    /// Those of these names of a namespace that this process can open.
    ///
    /// # Errors
    /// If the store is away.
    pub async fn openable(
        &self,
        store: &dyn Store,
        namespace: &Namespace,
        names: &[String],
    ) -> pawl_store::Result<HashSet<String>> {
        let rows = store.secrets_named(namespace, names).await?;
        let open = rows.iter().filter(|row| self.open(namespace, &row.name, Some(row)).is_ok());
        Ok(open.map(|row| row.name.clone()).collect())
    }

    fn open(&self, namespace: &Namespace, name: &str, row: Option<&SecretRow>) -> Result<String, String> {
        let read_at = Instant::now();
        let named = (namespace.clone(), name.to_owned());
        let mut kept = lock(&self.kept);
        // Its wrapping may be another one by now, and its grants.
        let is_same = |kept: &&Kept| row.is_some_and(|row| row.version == kept.row.version && is_one(row, &kept.row));
        let value = match kept.get(&named).filter(is_same) {
            Some(known) => Ok(known.value.clone()),
            None => opened(&self.keys, namespace, row, name),
        };
        match (&value, row) {
            (Ok(value), Some(row)) => {
                if kept.len() >= KEPT {
                    kept.clear();
                }
                kept.insert(named, Kept { row: row.clone(), value: value.clone(), read_at });
            }
            // What is lacking is asked for again each time: it may be set at any moment.
            _ => drop(kept.remove(&named)),
        }
        value
    }
}

/// Whether the same bytes are sealed in both.
fn is_one(row: &SecretRow, other: &SecretRow) -> bool {
    matches!((&row.sealed, &other.sealed), (Some(one), Some(other)) if one.bytes == other.bytes)
}

/// The value that this process's environment has for steps of that namespace. Whoever runs workers has set it for those whose
/// pipelines were there before anybody made a namespace.
pub fn in_environment(namespace: &Namespace, name: &str) -> Option<String> {
    Secrets::value_of(name).filter(|_| *namespace == Namespace::default())
}

/// Those of which this process has a value, and the names of the others.
fn of_environment(namespace: &Namespace, spec: &StepSpec) -> (Vec<(String, Secret)>, Vec<String>) {
    let (mut here, mut asked) = (Vec::new(), Vec::new());
    for name in &spec.secrets {
        match in_environment(namespace, name) {
            Some(value) => here.push((name.clone(), Secret::Given(value))),
            None => asked.push(name.clone()),
        }
    }
    (here, asked)
}

fn asker<'a>(pipeline: &'a Pipeline, spec: &'a StepSpec) -> Asker<'a> {
    Asker { pipeline: &pipeline.name, step: &spec.name, plugin: &spec.plugin }
}

/// What the step has of it. To whom it is not granted it does not even matter whether it opens.
fn granted(asker: Asker<'_>, name: &str, row: Option<&SecretRow>, value: Result<String, String>) -> Secret {
    let Some(row) = row.filter(|row| row.sealed.is_some()) else {
        return Secret::Lacking(value.err().unwrap_or_default());
    };
    match (given(&row.grants, asker), value) {
        (Given::Nothing, _) => Secret::Withheld(format!(
            "the secret `{name}` is not granted to this step: if it may have it, let an administrator run `{}`, with --host if it \
             is to leave in requests alone, then `pawl run retry` it",
            asker.command(name, None)
        )),
        (_, Err(why)) => Secret::Lacking(why),
        (Given::Value, Ok(value)) => Secret::Given(value),
        (Given::InRequestsTo(hosts), Ok(value)) => Secret::InRequests { value, hosts },
    }
}
