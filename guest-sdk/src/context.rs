//! The author's view of the host: facts of the attempt, time, chance, saved progress, effects, logs. Every
//! method is one host call at most, made when it is called and not before.

use std::cell::OnceCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::document;
use crate::failure::Failure;
use crate::host::{self, Info};
use crate::http::Http;
use crate::logging::{self, Fields, Level};

/// What a step may ask of Pawl.
///
/// Methods that take `&mut self` are those that are not allowed inside [`once`](Self::once); the compiler
/// refuses them there.
pub struct Context {
    /// What never changes is asked for once; attempt and deadline are not kept here.
    info: OnceCell<Info>,
    /// The loop that saves where it is; a step has one state, so it has one such loop.
    looping: bool,
}

impl Context {
    pub(crate) fn new() -> Self {
        Self { info: OnceCell::new(), looping: false }
    }

    fn facts(&self) -> &Info {
        self.info.get_or_init(host::context)
    }

    // Facts of the attempt. A resumed step sees those of the attempt that it replays. Number and deadline are
    // asked for anew each time: a retried step is in the first attempt while it replays, and in its own after.

    /// The id of the run that the step belongs to: the same in every attempt, and for all its steps.
    pub fn run_id(&self) -> &str {
        &self.facts().run_id
    }

    /// The step's name in the pipeline.
    pub fn step_name(&self) -> &str {
        &self.facts().step_name
    }

    /// Failed attempts so far, plus one. A crash of a worker does not count.
    pub fn attempt(&self) -> u32 {
        host::context().attempt
    }

    /// When this attempt is stopped.
    pub fn deadline(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(host::context().deadline_ms)
    }

    /// The step's `config` in the pipeline.
    ///
    /// # Errors
    /// A fatal failure that names the member that does not fit `T`.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        document::read_config(&self.facts().config)
    }

    /// A secret by its name. It is asked for anew each time and stands in no journal: a resumed step is given
    /// the one that is current then. Keep it out of states, outputs, logs and URLs, which do stand there.
    ///
    /// ```no_run
    /// # use pawl_sdk::{Context, Failure};
    /// # fn example(ctx: &Context) -> Result<(), Failure> {
    /// let token = ctx.secret("shop_token")?;
    /// let items = ctx.http().get("https://shop.example/items").header("authorization", format!("Bearer {token}"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A fatal failure if the pipeline does not grant the step this secret. (Where it does and the worker has no
    /// value for it, the attempt ends here and is retried, perhaps on a worker that has one.)
    pub fn secret(&self, name: &str) -> Result<String, Failure> {
        self.secret_if_granted(name).ok_or_else(|| {
            Failure::fatal(format!(
                "the secret `{name}` is not granted: add secrets = [\"{name}\"] to this step in the pipeline, and set \
                 the secret on the workers"
            ))
        })
    }

    /// The same for a step that can do without.
    pub fn secret_if_granted(&self, name: &str) -> Option<String> {
        host::secret(name)
    }

    // Time and chance.

    /// The time, recorded: a replay reads the same.
    pub fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.now_ns())
    }

    /// The same in nanoseconds since 1970.
    pub fn now_ns(&self) -> u64 {
        host::now_ns()
    }

    /// Random bytes, at most 64 KiB a call: the same on every replay, different between steps. Not for
    /// secrets.
    pub fn random_bytes(&self, len: u32) -> Vec<u8> {
        host::random(len)
    }

    /// A random number of the same kind. To draw thousands, seed a generator of your own with one.
    pub fn random_u64(&self) -> u64 {
        let bytes = host::random(8);
        u64::from_le_bytes(bytes.try_into().expect("the host gives as many bytes as were asked for"))
    }

    // Progress that survives the worker.

    /// Saves the step's state, as JSON so that people can read it. A resumed step goes on from here: what
    /// was asked before is neither asked nor replayed again. Does not stall, so call it as often as is
    /// useful: while one is being written, newer ones take the place of each other.
    ///
    /// # Errors
    /// A fatal failure if the state can't be written as JSON.
    pub fn checkpoint<T: Serialize + ?Sized>(&mut self, state: &T) -> Result<(), Failure> {
        host::checkpoint(&document::write("state", state)?);
        Ok(())
    }

    /// The same for a state in a format of your own.
    pub fn checkpoint_bytes(&mut self, state: &[u8]) {
        host::checkpoint(state);
    }

    /// The state to go on from, if an earlier attempt saved one. Call it first: what comes before it in the
    /// code is replayed.
    ///
    /// Behind it, do only what follows from the state. A question that is asked once, between `restore` and
    /// the loop, meets the answers of the loop when the step is resumed, and that parks the step: ask it
    /// before `restore`, or keep its answer in the state. The same goes for a [`Context::once`] that was
    /// finished before the checkpoint: the state must tell that it is done.
    ///
    /// # Errors
    /// A fatal failure if the saved state does not fit `T`.
    pub fn restore<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Failure> {
        host::restore().map(|state| document::read("saved state", &state)).transpose()
    }

    /// The same for a state in a format of your own.
    pub fn restore_bytes(&mut self) -> Option<Vec<u8>> {
        host::restore()
    }

    /// Marks the loop over [`Each`](crate::Each) as begun.
    ///
    /// # Errors
    /// A fatal failure if there is one already.
    pub(crate) fn begin_loop(&mut self) -> Result<(), Failure> {
        if std::mem::replace(&mut self.looping, true) {
            return Err(Failure::fatal(
                "a step saves its place in one loop: chain the collections into one, or make two steps of it",
            ));
        }
        Ok(())
    }

    // Waiting. The step ends here and holds nothing meanwhile; when it goes on, it replays up to here.

    /// Lets time pass: hours cost no more than seconds.
    pub fn sleep(&mut self, duration: Duration) {
        host::sleep(millis(duration));
    }

    /// Waits for the next signal of that name to this run (`pawl run signal`), at most for as long as `timeout`
    /// says, and returns what it carries. `None` means that none came in time; without a timeout, it waits for
    /// as long as it takes.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use pawl_sdk::{Context, Failure};
    /// # fn example(ctx: &mut Context) -> Result<(), Failure> {
    /// #[derive(serde::Deserialize)]
    /// struct Approval {
    ///     by: String,
    /// }
    /// match ctx.await_signal::<Approval>("approved", Duration::from_secs(24 * 3600))? {
    ///     Some(approval) => ctx.info("approved", &[("by", &approval.by)]),
    ///     None => return Err(Failure::fatal("nobody approved within a day")),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A fatal failure if what the signal carries does not fit `T`; it names the member.
    pub fn await_signal<T: DeserializeOwned>(
        &mut self,
        name: &str,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Option<T>, Failure> {
        let payload = host::await_signal(name, timeout.into().map(millis));
        payload.map(|payload| document::read(&format!("signal `{name}`"), payload.as_bytes())).transpose()
    }

    // Effects.

    /// Outgoing HTTP. Answers are recorded: a replay asks nobody again.
    pub fn http(&self) -> Http<'_> {
        Http::new()
    }

    /// Does something at most once to its end: when it was finished before, its value is returned and
    /// `effect` is not called. A worker that dies in the middle does it again, so `effect` itself must bear
    /// repetition; requests inside carry the same keys then. `key` is unique in the step.
    ///
    /// ```no_run
    /// # use pawl_sdk::{Context, Failure};
    /// # fn example(ctx: &Context) -> Result<(), Failure> {
    /// let receipt: String = ctx.once("charge", || {
    ///     let answer = ctx.http().post("https://bank.example/charges").body("100 EUR").send()?.ok()?;
    ///     answer.text().map(str::to_owned)
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What `effect` failed with, or a fatal failure if the value does not survive JSON. Return it: the effect
    /// is still open then, and the host refuses to begin another one.
    pub fn once<T, E>(&self, key: &str, effect: impl FnOnce() -> Result<T, E>) -> Result<T, Failure>
    where
        T: Serialize + DeserializeOwned,
        E: Into<Failure>,
    {
        let value = match host::once_begin(key) {
            Some(value) => value,
            None => {
                let value = document::write("value of a once", &effect().map_err(Into::into)?)?;
                host::once_finish(key, &value);
                value
            }
        };
        // Read back the first time as well: the step must see what it will see in a replay.
        document::read("value of a once", &value)
    }

    /// The key for an effect of that name in this step: the same in every attempt and on every worker. For
    /// systems that take a key elsewhere than in the header `idempotency-key`.
    pub fn idempotency_key(&self, name: &str) -> String {
        host::idempotency_key(name)
    }

    // What people see.

    /// A line in the step's log.
    pub fn log(&self, level: Level, message: &str, fields: Fields<'_>) {
        logging::log(level, message, fields);
    }

    /// A line at level trace.
    pub fn trace(&self, message: &str, fields: Fields<'_>) {
        logging::log(Level::Trace, message, fields);
    }

    /// A line at level debug.
    pub fn debug(&self, message: &str, fields: Fields<'_>) {
        logging::log(Level::Debug, message, fields);
    }

    /// A line at level info.
    pub fn info(&self, message: &str, fields: Fields<'_>) {
        logging::log(Level::Info, message, fields);
    }

    /// A line at level warn.
    pub fn warn(&self, message: &str, fields: Fields<'_>) {
        logging::log(Level::Warn, message, fields);
    }

    /// A line at level error.
    pub fn error(&self, message: &str, fields: Fields<'_>) {
        logging::log(Level::Error, message, fields);
    }

    /// How far the step is, from 0 to 1, and a word about it.
    pub fn progress(&self, fraction: f64, message: &str) {
        host::progress(fraction, message);
    }
}

/// A duration in the host's unit; never shorter, so that a wait of less than one is a wait.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
