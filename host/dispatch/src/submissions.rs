//! Submissions, gathered: all that arrive while a commit is under way share the next one. Nothing waits
//! for company.
//!
//! A crash before the commit loses a submission that nobody was told about; after it, the client asks again
//! with its key and gets the same run, and steps that were not delivered are found as lost.

use std::sync::Arc;
use std::time::Duration;

use pawl_domain::ready::Ready;
use pawl_queue::SharedQueue;
use pawl_store::submit::{NewRun, Submission};
use pawl_store::{self as store, SharedStore, within};
use tokio::sync::{mpsc, oneshot};

/// Submissions that may wait; more are refused, so that memory is bounded.
const WAITING: usize = 4_096;

/// Runs in one commit.
const TOGETHER: usize = 512;

/// Attempts to reach the store before a client is told that it is away.
const ATTEMPTS: usize = 5;

/// How long each of them may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pause between them.
const PAUSE: Duration = Duration::from_millis(200);

/// Why a submission was not taken. It was not, or asking again with the same key gives the same run.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    /// The store of that name did not answer in time.
    #[error("{0} is not available: submit again, with an idempotency key to be safe")]
    Unavailable(&'static str),
    /// Too many wait already.
    #[error("too many submissions are waiting: submit again later")]
    TooMany,
    /// The store refused the content.
    #[error("the submission can't be stored: {0}")]
    Content(String),
}

type Waiting = (NewRun, oneshot::Sender<Result<Submission, Refused>>);

/// The way in; cheap to clone.
#[derive(Debug, Clone)]
pub struct Submissions {
    waiting: mpsc::Sender<Waiting>,
    store: &'static str,
}

impl Submissions {
    /// Starts the intake.
    #[must_use]
    pub fn start(store: &SharedStore, queue: SharedQueue) -> Self {
        let (waiting, arrivals) = mpsc::channel(WAITING);
        tokio::spawn(run(Intake { link: store.link(), store: store.name(), queue }, arrivals));
        Self { waiting, store: store.name() }
    }

    /// Submits a run, and waits for the commit.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn submit(&self, run: NewRun) -> Result<Submission, Refused> {
        let (answer, answered) = oneshot::channel();
        self.waiting.try_send((run, answer)).map_err(|_| Refused::TooMany)?;
        answered.await.unwrap_or(Err(Refused::Unavailable(self.store)))
    }
}

async fn run(mut intake: Intake, mut arrivals: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::new();
    while arrivals.recv_many(&mut batch, TOGETHER).await > 0 {
        let (runs, answers): (Vec<NewRun>, Vec<_>) = batch.drain(..).unzip();
        let mut answers = answers.into_iter();
        match intake.submit(&runs).await {
            Ok((submissions, ready)) => {
                for (answer, submission) in answers.by_ref().zip(submissions) {
                    let _ = answer.send(Ok(submission));
                }
                intake.deliver(ready);
            }
            // One bad member fails alone.
            Err(Refused::Content(_)) if runs.len() > 1 => {
                for (answer, run) in answers.zip(&runs) {
                    let alone = intake.submit(std::slice::from_ref(run)).await.and_then(|(submissions, ready)| {
                        intake.deliver(ready);
                        submissions.first().copied().ok_or(Refused::Unavailable(intake.store))
                    });
                    let _ = answer.send(alone);
                }
            }
            Err(refused) => {
                for answer in answers {
                    let _ = answer.send(Err(refused.clone()));
                }
            }
        }
    }
}

/// The way into the store, and on to the queue.
struct Intake {
    link: Box<dyn store::Link>,
    /// What people call the store.
    store: &'static str,
    queue: SharedQueue,
}

impl Intake {
    async fn submit(&mut self, runs: &[NewRun]) -> Result<(Vec<Submission>, Vec<Ready>), Refused> {
        let mut attempt = 0;
        let (submissions, ready) = loop {
            attempt += 1;
            match within(PATIENCE, self.link.submit(runs)).await {
                Ok(_) if pawl_base::fault::lost("submit.committed.reply_lost") => {}
                Ok(submitted) => break submitted,
                Err(error) if !error.is_passing() => return Err(Refused::Content(error.chain())),
                Err(error) if attempt == ATTEMPTS => {
                    tracing::warn!(error = error.chain(), "a submission was refused: {} is away", self.store);
                    return Err(Refused::Unavailable(self.store));
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        };
        // To the client, a resend of its own looks like the first one.
        Ok((if attempt == 1 { submissions } else { resent(submissions, runs) }, ready))
    }

    /// Nobody need wait for it: what is committed will be delivered. Called last, so that it goes on at once.
    fn deliver(&self, ready: Vec<Ready>) {
        if !ready.is_empty() {
            let queue = Arc::clone(&self.queue);
            tokio::spawn(async move {
                if let Err(error) = queue.publish(&ready).await {
                    tracing::warn!(error = error.chain(), "submitted, not delivered: the steps will be found as lost");
                }
            });
        }
    }
}

/// After a lost answer, what the first sending created is told as the same.
fn resent(submissions: Vec<Submission>, runs: &[NewRun]) -> Vec<Submission> {
    let told = |(submission, run): (Submission, &NewRun)| match submission {
        Submission::Same if run.idempotency_key.is_none() => Submission::Created,
        other => other,
    };
    submissions.into_iter().zip(runs).map(told).collect()
}
