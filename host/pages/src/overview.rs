//! The first page: what needs a person, then what runs, waits and fails. Of the installation's own things it tells
//! those who may see them.

use axum::response::Response;
use futures_util::future::{join, join4};
use maud::{Markup, html};
use pawl_api::types::{
    CircuitList, DeadLetterGroupList, IncidentList, PipelineList, Problem, QueueList, RecoveryList, RunList, Scale,
    WorkerList,
};
use serde::de::DeserializeOwned;

use super::charts::Lately;
use super::first;
use super::frame::{Live, Sheet, Tab, part};
use super::operations::tables;
use super::runs;
use super::said;
use super::times::{duration, now_ms};
use super::visit::Visit;
use super::words::figure;
use paused::AllPaused;

mod needs;
mod paused;

/// Runs that the pictures are made of, and those that are listed.
const LISTED: u32 = 1_000;
const NEWEST: usize = 8;

/// Takeovers that are looked through for what lost workers had in hand.
const TAKEN_OVER: u32 = 100;

/// Queues and workers that are told; all have pages of their own.
const ROWS: usize = 20;

/// What may be missing, as it is called.
const LETTERS: &str = "Dead letters";
const STUCK: &str = "Runs that stand still";
const INCIDENTS: &str = "Incidents";
const CIRCUITS: &str = "Hosts that are down";
const QUEUES: &str = "Queues";
const AGES: &str = "Ages and pauses of queues";
const WORKERS: &str = "Workers";
const PIPELINES: &str = "Pauses of pipelines";

/// All that the page is made of beside runs; what is not for the visitor, or can't be had now, is none.
struct Known {
    groups: Option<DeadLetterGroupList>,
    stuck: Option<RunList>,
    incidents: Option<IncidentList>,
    circuits: Option<CircuitList>,
    demand: Option<Scale>,
    queues: Option<QueueList>,
    workers: Option<WorkerList>,
    paused: AllPaused,
    /// What can't be had now, and why.
    unread: Vec<(&'static str, Problem)>,
}

impl Known {
    /// Which of these can't be had, as notes in their place.
    fn missing(&self, parts: &[&str]) -> Markup {
        html! {
            @for (what, problem) in self.unread.iter().filter(|(what, _)| parts.contains(what)) {
                (said::unread(what, problem, true))
            }
        }
    }

    fn lacks(&self, part: &str) -> bool {
        self.unread.iter().any(|(what, _)| *what == part)
    }
}

pub(super) async fn show(visit: Visit) -> Response {
    visit.answer(sheet(&visit).await)
}

/// None if it is not for the visitor.
async fn maybe<T: DeserializeOwned>(visit: &Visit, path: &str) -> Result<Option<T>, Problem> {
    match visit.read(path).await {
        Ok(read) => Ok(Some(read)),
        Err(problem) if problem.status == 403 => Ok(None),
        Err(problem) => Err(problem),
    }
}

async fn known(visit: &Visit) -> Known {
    let ((groups, stuck, incidents, circuits), (demand, queues, workers, pipelines)) = join(
        join4(
            maybe(visit, "/v1/dead-letters/groups?limit=50"),
            maybe(visit, "/v1/runs?status=stuck&limit=20"),
            maybe(visit, "/v1/incidents?within_ms=0&limit=20"),
            maybe(visit, "/v1/circuits"),
        ),
        join4(
            maybe(visit, "/v1/scale"),
            maybe(visit, "/v1/queues"),
            maybe(visit, "/v1/workers"),
            maybe::<PipelineList>(visit, "/v1/pipelines?paused=true"),
        ),
    )
    .await;
    let mut unread = Vec::new();
    let queues = kept(AGES, queues, &mut unread);
    let pipelines = kept(PIPELINES, pipelines, &mut unread);
    Known {
        paused: AllPaused::of(visit, queues.as_ref(), pipelines.as_ref()).await,
        groups: kept(LETTERS, groups, &mut unread),
        stuck: kept(STUCK, stuck, &mut unread),
        incidents: kept(INCIDENTS, incidents, &mut unread),
        circuits: kept(CIRCUITS, circuits, &mut unread),
        demand: kept(QUEUES, demand, &mut unread),
        queues,
        workers: kept(WORKERS, workers, &mut unread),
        unread,
    }
}

/// What was read; if it could not be, that is noted.
fn kept<T>(
    what: &'static str,
    read: Result<Option<T>, Problem>,
    unread: &mut Vec<(&'static str, Problem)>,
) -> Option<T> {
    read.unwrap_or_else(|problem| {
        unread.push((what, problem));
        None
    })
}

async fn sheet(visit: &Visit) -> Result<Sheet, Problem> {
    let listed = format!("/v1/runs?limit={LISTED}");
    let (runs, known) = join(visit.read::<RunList>(&listed), known(visit)).await;
    let (runs, now) = (runs?, now_ms());
    // Only where some were lost: without them less is said.
    let taken_over: Option<RecoveryList> = match &known.workers {
        Some(workers) if !tables::lost_of(workers).is_empty() => {
            visit.read(&format!("/v1/recoveries?limit={TAKEN_OVER}")).await.ok()
        }
        _ => None,
    };
    let first = if runs.runs.is_empty() {
        first::steps(visit).await
    } else {
        html! {}
    };
    let lately = Lately::of(&runs.runs, runs.next.is_some(), now);
    let main = html! {
        h1 class="unseen" { "Overview" }
        (part("needs", "Needs you", &html! { (known.missing(&[LETTERS, STUCK, INCIDENTS, CIRCUITS, PIPELINES])) (needs::list(&known, now)) }))
        section id="now" aria-label="Now" data-live {
            (figures(&known, &lately))
            div class="charts" { (lately.throughput()) (lately.times()) }
        }
        @if let Some(demand) = &known.demand {
            (part("queues", "Queues", &html! {
                (known.missing(&[AGES]))
                (tables::queues(demand, known.queues.as_ref(), known.workers.as_ref(), ROWS, now))
            }))
        } @else if known.lacks(QUEUES) {
            (part("queues", "Queues", &known.missing(&[QUEUES])))
        }
        @if let Some(workers) = &known.workers {
            (part("workers", "Workers", &html! {
                (tables::workers(workers, ROWS, now))
                (tables::lost(workers, taken_over.as_ref(), known.demand.as_ref(), now))
            }))
        } @else if known.lacks(WORKERS) {
            (part("workers", "Workers", &known.missing(&[WORKERS])))
        }
        // The part that has nothing to show is there, too: a page that is open gets what comes into it.
        @if runs.runs.is_empty() { (first) section id="newest" data-live {} }
        @else { section id="first" data-live {} (part("newest", "Newest runs", &newest(&runs, now))) }
    };
    Ok(Sheet { title: "Overview".to_owned(), tab: Tab::Overview, live: Live::Every(4_000), main })
}

fn figures(known: &Known, lately: &Lately) -> Markup {
    let (good, bad) = lately.ended();
    let workers = known.workers.iter().flat_map(|list| &list.workers).filter(|worker| worker.alive);
    let (running, slots) =
        workers.fold((0, 0), |(running, slots), worker| (running + tables::executes(worker).0, slots + worker.slots));
    html! {
        dl class="figures" {
            @if known.workers.is_some() {
                div { dt { "Executed now" } dd { (figure(running.into())) small { " of " (figure(slots.into())) " slots" } } }
            } @else if known.lacks(WORKERS) {
                div { dt { "Executed now" } dd { "?" } }
            }
            @if let Some(demand) = &known.demand {
                @let waits: u64 = demand.queues.iter().map(|queue| queue.backlog).sum();
                @let paused = known.queues.iter().flat_map(|list| &list.paused);
                @let held: u64 = paused.filter_map(|it| it.pause.waiting.as_ref()).map(|it| u64::from(it.steps)).sum();
                div {
                    dt { "Waiting in queues" }
                    dd { (figure(waits)) small { @if waits == 1 { " step" } @else { " steps" } @if held > 0 { ", and " (figure(held)) " behind a pause" } } }
                }
            } @else if known.lacks(QUEUES) {
                 div { dt { "Waiting in queues" } dd { "?" } }
            }
            div { dt { "Succeeded" } dd { (figure(good as u64)) small { " in " (lately.when()) } } }
            div {
                dt { "Failed" }
                dd class=[(bad > 0).then_some("bad")] { (figure(bad as u64)) small { " in " (lately.when()) } }
            }
            @if let Some((half, most)) = lately.took() {
                div { dt { "Took" } dd { (duration(half)) small { " median, 95 % within " (duration(most)) } } }
            }
        }
    }
}

fn newest(list: &RunList, now: i64) -> Markup {
    html! {
        (runs::table(&list.runs[..list.runs.len().min(NEWEST)], now))
        p class="more" { a href="/runs" { "All runs" } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_is_said_in_its_place_and_nothing_is_called_well() {
        let mut unread = Vec::new();
        let queues: Option<QueueList> = kept(QUEUES, Err(Problem::bad_request("it is slow")), &mut unread);
        let workers: Option<WorkerList> = kept(WORKERS, Ok(None), &mut unread);
        assert!(queues.is_none() && workers.is_none());
        let known = |unread| Known {
            groups: None,
            stuck: None,
            incidents: None,
            circuits: None,
            demand: None,
            queues: None,
            workers: None,
            paused: AllPaused::default(),
            unread,
        };
        let slow = known(unread);
        assert!(slow.lacks(QUEUES) && !slow.lacks(WORKERS), "what is not for the visitor is not missed");
        let said = |parts: &[&str]| slow.missing(parts).into_string();
        assert!(said(&[QUEUES]).contains("Queues could not be read: it is slow. The page looks again."));
        assert_eq!(said(&[WORKERS]), "");
        let figures = figures(&slow, &Lately::of(&[], false, 0)).into_string();
        assert!(figures.contains("<dt>Waiting in queues</dt><dd>?</dd>"), "{figures}");
        assert_eq!(needs::list(&slow, 0).into_string(), "");
        assert!(needs::list(&known(Vec::new()), 0).into_string().contains("Nothing: all that has begun"));
    }
}
