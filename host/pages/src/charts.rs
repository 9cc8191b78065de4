//! Small pictures of the last hour: how many runs ended, and how long they took. Drawn from runs that the API has
//! listed.

use maud::{Markup, html};
use pawl_api::types::{RunStatus, RunSummary};

use super::times::{duration, rough};
use super::words::figure;

/// Columns, and how far back they go, ms: an hour, or as far as there are runs.
const COLUMNS: usize = 60;
const LONGEST_MS: i64 = 3_600_000;
const SHORTEST_MS: i64 = 600_000;

/// The height of a picture in units of its own; a column is one of ten wide.
const HEIGHT: usize = 60;

/// The same as a box of SVG.
const BOX: &str = "0 0 600 60";

/// What ended within one column's time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Column {
    succeeded: usize,
    failed: usize,
    /// How long each took from its submission on, ms.
    took_ms: Vec<i64>,
}

/// What ended lately.
pub(super) struct Lately {
    columns: Vec<Column>,
    /// How far back it goes.
    span_ms: i64,
}

impl Lately {
    /// Of these runs, newest first; `has_more`: there are older ones, of which some may have ended in that time, too.
    pub(super) fn of(runs: &[RunSummary], has_more: bool, now_ms: i64) -> Self {
        let oldest = runs.last().map_or(now_ms, |run| run.created_at_ms);
        let is_cut = has_more && now_ms - oldest < LONGEST_MS;
        let shortest = if is_cut { 1_000 } else { SHORTEST_MS };
        let span_ms = (now_ms - oldest).clamp(shortest, LONGEST_MS);
        let mut columns = vec![Column::default(); COLUMNS];
        for run in runs {
            let Some(ended) = run.ended_at_ms else { continue };
            let age = (now_ms - ended).max(0);
            let Some(back) = usize::try_from(age * COLUMNS as i64 / span_ms).ok().filter(|back| *back < COLUMNS) else {
                continue;
            };
            let column = &mut columns[COLUMNS - 1 - back];
            match run.status {
                RunStatus::Succeeded => column.succeeded += 1,
                RunStatus::Failed => column.failed += 1,
                _ => continue,
            }
            column.took_ms.push((ended - run.created_at_ms).max(0));
        }
        columns.iter_mut().for_each(|column| column.took_ms.sort_unstable());
        Self { columns, span_ms }
    }

    /// How many succeeded and failed.
    pub(super) fn ended(&self) -> (usize, usize) {
        self.columns.iter().fold((0, 0), |(good, bad), column| (good + column.succeeded, bad + column.failed))
    }

    /// `the last hour`.
    pub(super) fn when(&self) -> String {
        if self.span_ms < LONGEST_MS { format!("the last {}", rough(self.span_ms)) } else { "the last hour".to_owned() }
    }

    /// The median of how long they took, ms, and the time within which 95 of 100 did.
    pub(super) fn took(&self) -> Option<(i64, i64)> {
        let mut all: Vec<i64> = self.columns.iter().flat_map(|column| column.took_ms.iter().copied()).collect();
        all.sort_unstable();
        Some((of_hundred(&all, 50)?, of_hundred(&all, 95)?))
    }

    /// How many ended, those that failed on top.
    pub(super) fn throughput(&self) -> Markup {
        let most = self.columns.iter().map(|column| column.succeeded + column.failed).max().unwrap_or(0).max(1);
        let (good, bad) = self.ended();
        let said = format!("{good} runs succeeded and {bad} failed in {}", self.when());
        html! {
            figure {
                figcaption {
                    "Ended"
                    span class="muted" { " per " (rough(self.span_ms / COLUMNS as i64)) ", at most " (figure(most as u64)) }
                }
                svg class="chart" viewBox=(BOX) preserveAspectRatio="none" role="img" aria-label=(said) {
                    @for (number, Column { succeeded, failed, .. }) in self.columns.iter().enumerate() {
                        @let (good, bad) = (high(*succeeded, most), high(*failed, most));
                        @if good > 0 { rect class="ok" x=(number * 10 + 1) y=(HEIGHT - good) width="8" height=(good) {} }
                        @if bad > 0 {
                            rect class="bad" x=(number * 10 + 1) y=(HEIGHT.saturating_sub(good + bad)) width="8" height=(bad) {}
                        }
                    }
                }
            }
        }
    }

    /// How long they took: the median as a mark, 95 of 100 as the line above it.
    pub(super) fn times(&self) -> Markup {
        let tall = |share: usize| self.columns.iter().filter_map(move |column| of_hundred(&column.took_ms, share));
        let most = tall(95).max().unwrap_or(0).max(1);
        let said = self.took().map_or_else(
            || format!("no run ended in {}", self.when()),
            |(half, most)| {
                format!(
                    "half of the runs of {} took {} at most, 95 of 100 {}",
                    self.when(),
                    duration(half),
                    duration(most)
                )
            },
        );
        let y = |ms: i64| HEIGHT - usize::try_from(ms * (HEIGHT as i64 - 4) / most).unwrap_or(0) - 2;
        html! {
            figure {
                figcaption { "Took" span class="muted" { " median, and 95 % of them; at most " (duration(most)) } }
                svg class="chart" viewBox=(BOX) preserveAspectRatio="none" role="img" aria-label=(said) {
                    @for (number, column) in self.columns.iter().enumerate() {
                        @let (half, most) = (of_hundred(&column.took_ms, 50), of_hundred(&column.took_ms, 95));
                        @if let (Some(half), Some(most)) = (half, most) {
                            rect class="range" x=(number * 10 + 4) y=(y(most)) width="2" height=(y(half).saturating_sub(y(most))) {}
                            rect class="run" x=(number * 10 + 1) y=(y(half)) width="8" height="2" {}
                        }
                    }
                }
            }
        }
    }
}

/// What is there is seen.
fn high(count: usize, most: usize) -> usize {
    if count == 0 { 0 } else { (count * HEIGHT / most).max(2) }
}

/// Of sorted times, the one that so many of a hundred do not exceed.
fn of_hundred(sorted: &[i64], share: usize) -> Option<i64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last * share).div_ceil(100)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(created_at_ms: i64, status: RunStatus, ended_at_ms: Option<i64>) -> RunSummary {
        RunSummary {
            id: pawl_domain::id::RunId::new(),
            pipeline: "p".into(),
            pipeline_digest: pawl_domain::id::Digest::of(b""),
            status,
            step_count: 1,
            live_steps: 0,
            parked: false,
            kept: false,
            paused: None,
            event_count: 1,
            idempotency_key: None,
            created_at_ms,
            started_at_ms: None,
            ended_at_ms,
        }
    }

    #[test]
    fn pictures_go_as_far_back_as_the_runs_that_are_listed() {
        let now = 10 * LONGEST_MS;
        let runs = [
            run(now - 5_000, RunStatus::Running, None),
            run(now - 30_000, RunStatus::Succeeded, Some(now - 10_000)),
            run(now - 40_000, RunStatus::Failed, Some(now - 39_000)),
            run(now - 50_000, RunStatus::Cancelled, Some(now - 1)),
        ];
        let young = Lately::of(&runs, false, now);
        assert_eq!((&*young.when(), young.ended(), young.took()), ("the last 10 min", (1, 1), Some((20_000, 20_000))));
        assert_eq!(Lately::of(&runs, true, now).when(), "the last 50 s", "older ones are not told");
        let old = [&runs[..], &[run(0, RunStatus::Succeeded, Some(1))]].concat();
        let old = Lately::of(&old, true, now);
        assert_eq!((&*old.when(), old.ended()), ("the last hour", (1, 1)), "it ended long ago");
        assert_eq!(Lately::of(&[], false, now).ended(), (0, 0));
    }

    #[test]
    fn shares_of_few_and_many() {
        assert_eq!(of_hundred(&[], 50), None);
        assert_eq!(of_hundred(&[7], 95), Some(7));
        let hundred: Vec<i64> = (1..=101).collect();
        assert_eq!((of_hundred(&hundred, 50), of_hundred(&hundred, 95)), (Some(51), Some(96)));
    }
}
