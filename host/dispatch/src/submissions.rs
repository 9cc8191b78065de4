//! Submissions, gathered: all that arrive while a commit is under way share the next one. Nothing waits
//! for company.
//!
//! A crash before the commit loses a submission that nobody was told about; after it, the client asks again
//! with its key and gets the same run, and steps that were not delivered are found as lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pawl_domain::ready::Ready;
use pawl_metrics::figures;
use pawl_queue::SharedQueue;
use pawl_store::submit::{NewRun, Submission};
use pawl_store::{self as store, SharedStore, connected, within};
use tokio::sync::{mpsc, oneshot};

use self::pace::Pace;

mod pace;

/// Submissions that may wait; more are refused, so that memory is bounded.
const WAITING: usize = 4_096;

/// Bytes of inputs in one commit, about.
const TOGETHER_BYTES: usize = 8 << 20;

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
    /// It took the store longer than it may, alone as it was.
    #[error("the submission takes the database too long: submit again later, with an idempotency key to be safe")]
    TooMuch,
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
        tokio::spawn(run(Intake { link: store.link(), store: store.name(), queue, pace: Pace::default() }, arrivals));
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
    let mut next = arrivals.recv().await;
    while let Some(first) = next.take() {
        let mut bytes = first.0.input.len();
        let mut batch = vec![first];
        while batch.len() < intake.pace.together() && next.is_none() {
            let Ok(waiting) = arrivals.try_recv() else { break };
            bytes += waiting.0.input.len();
            if bytes > TOGETHER_BYTES { next = Some(waiting) } else { batch.push(waiting) }
        }
        intake.take_in(batch).await;
        if next.is_none() {
            next = arrivals.recv().await;
        }
    }
}

/// The way into the store, and on to the queue.
struct Intake {
    link: Box<dyn store::Link>,
    /// What people call the store.
    store: &'static str,
    queue: SharedQueue,
    pace: Pace,
}

impl Intake {
    /// Submits all of them, in as many commits as it takes: what is too much at once is halved, and one bad member
    /// fails alone.
    async fn take_in(&mut self, batch: Vec<Waiting>) {
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            let (runs, answers): (Vec<NewRun>, Vec<_>) = part.drain(..).unzip();
            let began = Instant::now();
            match self.submit(&runs).await {
                Ok((submissions, ready)) => {
                    self.pace.took(runs.len(), began.elapsed());
                    count(&runs, &submissions, began.elapsed());
                    for (answer, submission) in answers.into_iter().zip(submissions) {
                        let _ = answer.send(Ok(submission));
                    }
                    self.deliver(ready);
                }
                Err(Refused::Content(_) | Refused::TooMuch) if runs.len() > 1 => {
                    self.pace.too_much(runs.len());
                    let mut all: Vec<Waiting> = runs.into_iter().zip(answers).collect();
                    let rest = all.split_off(all.len() / 2);
                    parts.extend([rest, all]);
                }
                Err(refused) => {
                    for answer in answers {
                        let _ = answer.send(Err(refused.clone()));
                    }
                }
            }
        }
    }

    async fn submit(&mut self, runs: &[NewRun]) -> Result<(Vec<Submission>, Vec<Ready>), Refused> {
        let (mut attempt, mut silent) = (0, 0);
        let (submissions, ready) = loop {
            attempt += 1;
            let answer = self.send(runs).await;
            silent = if matches!(answer, Err(store::Error::Silent)) { silent + 1 } else { 0 };
            match answer {
                Ok(_) if pawl_base::fault::lost("submit.committed.reply_lost") => {}
                Ok(submitted) => break submitted,
                Err(error) if !error.is_passing() => return Err(Refused::Content(error.chain())),
                // A connection that has died without a word is silent once. Twice, on a new one, it is the batch.
                Err(error) if error.may_be_too_much() && silent != 1 && (runs.len() > 1 || attempt == ATTEMPTS) => {
                    return Err(Refused::TooMuch);
                }
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

    async fn send(&mut self, runs: &[NewRun]) -> store::Result<(Vec<Submission>, Vec<Ready>)> {
        connected(&mut *self.link, PATIENCE, self.store).await?;
        within(PATIENCE, self.link.submit(runs)).await
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

/// Keeps figures of a commit. A pipeline's are looked up here, once for each run: nothing of a step does so.
fn count(runs: &[NewRun], submissions: &[Submission], time: Duration) {
    let figures = figures();
    figures.submission_runs.saw_count(runs.len());
    figures.submission_seconds.took(time);
    for (run, submission) in runs.iter().zip(submissions) {
        if *submission == Submission::Created {
            figures.of_pipeline(&run.pipeline).runs_submitted.one();
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
