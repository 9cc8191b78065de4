//! Brings what steps say to the store: a few times a second, all that was said since, whatever steps said it, in pieces of one
//! statement each. Beside the batches of the writer: no commit of a step waits for lines, and steps that say nothing cost
//! nothing. While the store is away, lines wait in the [logbook](crate::logbook), up to what that holds; a killed process takes
//! with it what it has not brought yet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pawl_domain::limits::KeptLog;
use pawl_metrics::{Count, figures};
use pawl_store::logs::NewLines;
use pawl_store::{SharedStore, within};

use crate::config::OUTAGE_PAUSE;
use crate::logbook::Logbook;
use crate::session::{Said, Session};

/// How long lines gather: whoever reads along sees them as soon, and a commit has those of many steps.
const GATHER: Duration = Duration::from_millis(200);

/// What one statement brings: bytes of a step, bytes in all, steps.
const STEP_BYTES: usize = 256 << 10;
const PIECE_BYTES: usize = 1 << 20;
const PIECE_STEPS: usize = 100;

/// How often a flush looks whether something is left.
const LOOK: Duration = Duration::from_millis(10);

/// Who brings them.
pub struct Bringing {
    /// Where they wait.
    pub logbook: Arc<Logbook<Session>>,
    /// Where they go.
    pub store: SharedStore,
    /// How long an answer of it is waited for.
    pub patience: Duration,
    /// What is kept of a step.
    pub most: KeptLog,
}

/// Brings lines, for ever.
pub async fn run(bringing: Bringing) {
    let Bringing { logbook, .. } = &bringing;
    let dropped = figures().log_lines_dropped.of(&["content"]);
    let mut waiting = Vec::new();
    loop {
        if waiting.is_empty() {
            logbook.some().await;
        }
        tokio::time::sleep(GATHER).await;
        waiting.extend(logbook.take());
        loop {
            let piece = Piece::of(&mut waiting);
            if piece.lines.is_empty() {
                break;
            }
            bring(&bringing, &piece.lines, &dropped).await;
            logbook.give_back(piece.held_bytes);
        }
    }
}

/// Waits until all is brought, for so long at most: the process is about to end.
pub async fn flush(logbook: &Logbook<Session>, at_most: Duration) {
    let end = Instant::now() + at_most;
    while !logbook.is_empty() && Instant::now() < end {
        tokio::time::sleep(LOOK).await;
    }
}

/// What goes at once.
struct Piece {
    lines: Vec<NewLines>,
    /// What it holds of the logbook.
    held_bytes: usize,
}

impl Piece {
    /// Of those who wait, who stay there as long as they have lines, or may have.
    fn of(waiting: &mut Vec<Arc<Session>>) -> Self {
        let mut piece = Self { lines: Vec::new(), held_bytes: 0 };
        waiting.retain(|session| {
            if piece.held_bytes >= PIECE_BYTES || piece.lines.len() >= PIECE_STEPS {
                return true;
            }
            match session.take_said(STEP_BYTES) {
                Said::Lines(lines, held_bytes, more) => {
                    piece.lines.push(lines);
                    piece.held_bytes += held_bytes;
                    more
                }
                Said::NotYet => true,
                Said::Nothing => false,
            }
        });
        piece
    }
}

/// Tries until the store has them, or says that it can't take them.
async fn bring(bringing: &Bringing, lines: &[NewLines], dropped: &Count) {
    let Bringing { store, patience, most, .. } = bringing;
    let count: u64 = lines.iter().map(|lines| u64::from(lines.length)).sum();
    let mut is_told = false;
    loop {
        match within(*patience, store.keep_lines(lines, *most)).await {
            Ok(()) => return figures().log_lines.add(count),
            Err(error) if error.is_passing() => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::warn!(error = error.chain(), "lines of steps' logs wait");
                }
                tokio::time::sleep(OUTAGE_PAUSE).await;
            }
            Err(error) => {
                tracing::error!(error = error.chain(), lines = count, "lines of steps' logs were refused");
                return dropped.add(count);
            }
        }
    }
}
