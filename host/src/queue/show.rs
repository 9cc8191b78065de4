//! How queues look to people.

use pawl_api::types::{PausedQueue, Queue, QueueDetail, QueueList, QueueStream};
use serde::Serialize;

use super::rates::Rates;
use crate::output::{Answer, Table, ago, counted, distinct, duration, now_ms, one_line, or_dash, short, utc};
use crate::pause::since_when;

/// All streams, with their rates.
#[derive(Debug, Serialize)]
pub(super) struct Streams {
    pub(super) queues: Vec<Listed>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) paused: Vec<PausedQueue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) remarks: Vec<String>,
}

/// A stream with its rates.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    #[serde(flatten)]
    pub(super) queue: Queue,
    #[serde(flatten)]
    pub(super) rates: Rates,
}

/// One queue, with the rates of its streams in their order; none if it was looked at once.
#[derive(Debug, Serialize)]
pub(super) struct Detail {
    #[serde(flatten)]
    pub(super) queue: QueueDetail,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) rates: Vec<Rates>,
}

/// A queue at a moment, as programs that watch it read it.
#[derive(Debug, Serialize)]
pub(super) struct Watched<'a> {
    at_ms: i64,
    queue: &'a str,
    pending: u64,
    #[serde(flatten)]
    rates: &'a Rates,
}

impl<'a> Watched<'a> {
    pub(super) fn now(queue: &'a str, rates: &'a Rates) -> Self {
        Self { at_ms: now_ms(), queue, pending: rates.pending, rates }
    }
}

const STREAM: [&str; 9] = ["QUEUE", "PRIORITY", "UNREAD", "PENDING", "READERS", "OLDEST", "IN/S", "OUT/S", "EMPTY IN"];

fn row(queue: &Queue, rates: &Rates) -> [String; 9] {
    [
        queue.queue.clone(),
        queue.priority.as_str().to_owned(),
        queue.depth.saturating_sub(queue.pending).to_string(),
        queue.pending.to_string(),
        queue.consumers.to_string(),
        or_dash(queue.oldest_unread_at_ms.map(|at_ms| duration((now_ms() - at_ms).max(0)))),
        rate(rates.in_per_s),
        rate(rates.out_per_s),
        or_dash(rates.empty_in_ms.filter(|_| rates.in_per_s.is_some()).map(ms)),
    ]
}

fn rate(per_s: Option<f64>) -> String {
    or_dash(per_s.map(|per_s| format!("{per_s:.1}")))
}

fn ms(ms: u64) -> String {
    duration(i64::try_from(ms).unwrap_or(i64::MAX))
}

fn name(queue: &Queue) -> String {
    format!("{}:{}", queue.queue, queue.priority.as_str())
}

impl Answer for Streams {
    fn ids(&self) -> Vec<String> {
        self.queues.iter().map(|listed| name(&listed.queue)).collect()
    }

    fn text(&self) -> String {
        let mut table = Table::new(STREAM);
        for Listed { queue, rates } in &self.queues {
            table.row(row(queue, rates));
        }
        format!("{table}{}{}", told(&self.paused), noted(&self.remarks))
    }
}

/// The queues that are paused, a line each.
fn told(paused: &[PausedQueue]) -> String {
    paused.iter().map(|paused| format!("\n{} was paused {}", paused.queue, since_when(&paused.pause))).collect()
}

/// What to know besides, a line each.
fn noted(remarks: &[String]) -> String {
    remarks.iter().map(|remark| format!("\nnote: {}", one_line(remark))).collect()
}

impl Answer for QueueList {
    fn ids(&self) -> Vec<String> {
        self.queues.iter().map(name).collect()
    }

    fn text(&self) -> String {
        let mut table = Table::new(["QUEUE", "PRIORITY", "DEPTH", "PENDING", "CONSUMERS"]);
        for queue in &self.queues {
            table.row([
                queue.queue.clone(),
                queue.priority.as_str().to_owned(),
                queue.depth.to_string(),
                queue.pending.to_string(),
                queue.consumers.to_string(),
            ]);
        }
        format!("{table}{}{}", told(&self.paused), noted(&self.remarks))
    }
}

impl Answer for Detail {
    fn ids(&self) -> Vec<String> {
        self.queue.streams.iter().map(|stream| name(&stream.stream)).collect()
    }

    fn text(&self) -> String {
        let QueueDetail { queue, workers, oldest_ready_ms, paused, streams } = &self.queue;
        let serve = match workers.len() {
            0 => format!("no live worker serves it: start one with `pawl worker --queues {queue}`"),
            1 => "one live worker serves it".to_owned(),
            count => format!("{count} live workers serve it"),
        };
        let waits = match oldest_ready_ms {
            None => "no step is ready".to_owned(),
            Some(age_ms) => format!("its oldest ready step has waited for {}", ms(*age_ms)),
        };
        let mut table = Table::new(STREAM);
        for (index, stream) in streams.iter().enumerate() {
            table.row(row(&stream.stream, &self.rates.get(index).cloned().unwrap_or_default()));
        }
        let paused = paused.as_ref().map(|pause| format!("; it was paused {}", since_when(pause))).unwrap_or_default();
        format!(
            "queue {queue}: {serve}; {waits}{paused}\n\n{table}{}{}{}",
            repeated(streams),
            readers(streams),
            pending(streams)
        )
    }
}

/// Messages are not steps: of those that tell of the same step all but one are dropped.
fn repeated(streams: &[QueueStream]) -> String {
    let told = streams.iter().filter(|stream| stream.repeated > 0).map(|stream| {
        let (tell, are) = if stream.repeated == 1 { ("tells", "is") } else { ("tell", "are") };
        format!(
            "\n{} of {} {tell} of a step that an earlier one tells of, and {are} dropped when read\n",
            counted(stream.repeated, "message"),
            name(&stream.stream)
        )
    });
    told.collect()
}

fn readers(streams: &[QueueStream]) -> String {
    let mut table = Table::new(["READER", "PRIORITY", "WORKER", "PENDING", "LAST READ"]);
    for stream in streams {
        for reader in &stream.readers {
            table.row([
                short(&reader.name),
                stream.stream.priority.as_str().to_owned(),
                if reader.alive { "alive" } else { "gone" }.to_owned(),
                reader.pending.to_string(),
                format!("{} ago", ms(reader.idle_ms)),
            ]);
        }
    }
    if streams.iter().all(|stream| stream.readers.is_empty()) { String::new() } else { format!("\n{table}") }
}

fn pending(streams: &[QueueStream]) -> String {
    let mut table = Table::new(["PENDING MESSAGE", "PRIORITY", "READER", "DELIVERED", "RUN", "STEP"]);
    let named = streams.iter().flat_map(|stream| &stream.oldest_pending).filter_map(|message| message.run);
    let digits = distinct(&named.map(|run| run.to_string()).collect::<Vec<_>>());
    for stream in streams {
        for message in &stream.oldest_pending {
            table.row([
                message.id.clone(),
                stream.stream.priority.as_str().to_owned(),
                short(&message.reader),
                ago(now_ms() - i64::try_from(message.idle_ms).unwrap_or(0)),
                or_dash(message.run.map(|run| run.to_string()[..digits].to_owned())),
                or_dash(message.step.as_ref()),
            ]);
        }
    }
    if streams.iter().all(|stream| stream.oldest_pending.is_empty()) { String::new() } else { format!("\n{table}") }
}

/// The headings of [`line()`].
pub(super) fn head() -> String {
    format!("{:8}  {:20}  {:>8}  {:>8}  {:>8}  {:>8}  EMPTY IN", "UTC", "QUEUE", "UNREAD", "PENDING", "IN/S", "OUT/S")
}

/// A queue at this moment.
pub(super) fn line(queue: &str, sum: &Rates) -> String {
    let now = utc(now_ms());
    format!(
        "{:8}  {queue:20}  {:>8}  {:>8}  {:>8}  {:>8}  {}",
        &now[11..19],
        sum.unread,
        sum.pending,
        rate(sum.in_per_s),
        rate(sum.out_per_s),
        or_dash(sum.empty_in_ms.map(ms)),
    )
}
