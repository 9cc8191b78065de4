//! What a session notes for the trace of its attempt, if the process sends spans: its parts as they end, and the attempt itself
//! with its end. Of a session that is ahead nothing is told until its claim is confirmed, and of one that was given up nothing
//! at all: another attempt has its fence, and its ids. Where nobody has named a collector there is nothing here, and no clock
//! is read for it.

use std::sync::Mutex;

use pawl_base::lock;
use pawl_domain::attempt::Claim;
use pawl_domain::id::WorkerId;
use pawl_domain::recovery::Stage;
use pawl_domain::trace::{AttemptTrace, SpanId, TraceContext};
use pawl_engine::recorder::Sent;
use pawl_metrics::AttemptEnd;
use pawl_store::write::{Member, Settlement, Verdict};
use pawl_traces::{Asked, Attempt, Kind, Span, Tracer, tracer};

use super::Session;

/// The number of an attempt's first part; those before it are the attempt's own and the lease's.
const FIRST_PART: u32 = 2;

/// What is noted of an attempt.
pub(super) struct Traced {
    tracer: &'static Tracer,
    ids: AttemptTrace,
    /// Otherwise only requests are told to whom they belong.
    is_kept: bool,
    begun_ns: u64,
    notes: Mutex<Notes>,
}

struct Notes {
    next_part: u32,
    /// Parts that wait until the claim is there.
    parts: Vec<Span>,
    /// When the step was ready, by the message that has led to it.
    ready_ms: Option<i64>,
    /// The last stage that was passed on the way back, and when.
    passed: (Stage, u64),
    /// When the outcome was handed to the writer.
    ended_ns: Option<u64>,
}

impl Traced {
    /// That of a claim which begins now; `None` if the process sends no spans.
    pub(super) fn of(claim: &Claim, now_ns: impl FnOnce() -> u64) -> Option<Box<Self>> {
        let tracer = tracer()?;
        let ids = AttemptTrace::of(claim.id, claim.fence);
        let (is_kept, begun_ns) = (tracer.keeps(ids.trace, None), now_ns());
        let passed = (Stage::LeaseExpired, begun_ns);
        let notes = Notes { next_part: FIRST_PART, parts: Vec::new(), ready_ms: None, passed, ended_ns: None };
        Some(Box::new(Self { tracer, ids, is_kept, begun_ns, notes: Mutex::new(notes) }))
    }

    /// A new part's id.
    fn part(&self) -> SpanId {
        let mut notes = lock(&self.notes);
        notes.next_part += 1;
        self.ids.span(notes.next_part - 1)
    }

    fn span(&self, id: SpanId, name: &'static str, begun_ns: u64, ended_ns: u64) -> Span {
        Span::new(self.ids.trace, id, name, begun_ns, ended_ns).under(self.ids.span(0))
    }

    fn note(&self, span: Span) {
        lock(&self.notes).parts.push(span);
    }

    fn tell_parts(&self) {
        let parts = std::mem::take(&mut lock(&self.notes).parts);
        parts.into_iter().for_each(|span| self.tracer.tell(span));
    }

    /// It has passed a stage, and with it all before.
    fn pass(&self, stage: Stage, entries: u32, at_ns: u64) {
        let (last, mut since_ns) = lock(&self.notes).passed;
        for passed in Stage::ALL.into_iter().filter(|passed| (last < *passed) && (*passed <= stage)) {
            let span = self.span(self.part(), passed.as_str(), since_ns, at_ns);
            let entries = (passed == Stage::Replay).then_some(entries);
            self.note(span.with_some("pawl.replayed_entries", entries));
            since_ns = since_ns.max(at_ns);
            lock(&self.notes).passed = (passed, since_ns);
        }
    }
}

impl Session {
    fn kept(&self) -> Option<&Traced> {
        self.traced.as_deref().filter(|traced| traced.is_kept)
    }

    /// Its attempt's trace is told which stages it passes on its way back, if it has a way back.
    pub(super) fn traces_stages(&self) -> bool {
        let has_past = self.claim.journal_length > 0 || self.claim.checkpoint_position.is_some();
        has_past && self.kept().is_some()
    }

    /// When something begins that may be told, ns since 1970.
    pub fn now_if_traced(&self) -> Option<u64> {
        self.kept().map(|_| self.trust.clock.unix_ns())
    }

    /// Something of the attempt has ended.
    pub fn trace_part(&self, name: &'static str, begun_ns: Option<u64>) {
        if let (Some(traced), Some(begun_ns)) = (self.kept(), begun_ns) {
            traced.note(traced.span(traced.part(), name, begun_ns, self.trust.clock.unix_ns()));
        }
    }

    /// Since when its step was ready, by a message.
    pub fn was_ready_at(&self, ready_ms: i64) {
        if let Some(traced) = self.kept() {
            lock(&traced.notes).ready_ms = Some(ready_ms);
        }
    }

    /// A stage was passed. What is no recovery only reloads and replays.
    pub(super) fn trace_stage(&self, stage: Stage, entries: u32) {
        if let Some(traced) = self.kept()
            && (self.claim.recovers || stage <= Stage::Replay)
        {
            traced.pass(stage, entries, self.trust.clock.unix_ns());
        }
    }

    pub(super) fn trace_handed_over(&self) {
        if let Some(traced) = self.kept() {
            lock(&traced.notes).ended_ns = Some(self.trust.clock.unix_ns());
        }
    }

    /// The context under which a request leaves.
    pub(super) fn context_of_request(&self) -> Option<TraceContext> {
        let traced = self.traced.as_deref()?;
        Some(TraceContext { trace: traced.ids.trace, span: traced.part(), sampled: traced.is_kept, state: None })
    }

    /// A request that has left was answered, or was not: its claim is there.
    pub(super) fn trace_request(&self, sent: Sent) {
        let Some(traced) = self.kept() else { return };
        let ended_ns = self.trust.clock.unix_ns();
        let span = Span::new(traced.ids.trace, sent.context.span, sent.method.clone(), sent.begun_ns, ended_ns);
        let (status, error) = match sent.came_to {
            Ok(status) => (Some(i64::from(status)), (status >= 400).then(|| status.to_string())),
            Err(kind) => (None, Some(kind.to_owned())),
        };
        let span = span
            .under(traced.ids.span(0))
            .of_kind(Kind::Client)
            .with("http.request.method", sent.method)
            .with("url.full", sent.url)
            .with_some("server.address", sent.host)
            .with_some("server.port", sent.port.map(i64::from))
            .with_some("http.response.status_code", status)
            .with_some("error.type", error.clone())
            .with_some("pawl.sent_again", sent.is_again.then_some(true));
        traced.note(span.failed(error.map(|_| String::new())));
        traced.tell_parts();
    }

    /// What has ended by now is told, if the claim is there.
    pub(super) fn tell_parts(&self) {
        if let Some(traced) = self.kept().filter(|_| !self.is_ahead()) {
            traced.tell_parts();
        }
    }

    /// The attempt is over for this worker, with a verdict on what it had to write: its span is told, if it was one.
    pub fn trace_written(&self, worker: WorkerId, member: &Member, verdict: Verdict) {
        let Some(settlement) = &member.settlement else { return };
        match verdict {
            Verdict::Written => self.trace_end(worker, Some(settlement)),
            Verdict::LeaseLost | Verdict::Gap if member.ahead.is_none() => self.trace_end(worker, None),
            // It was a guess, or is sent again.
            Verdict::LeaseLost | Verdict::Gap | Verdict::Busy => {}
        }
    }

    /// The same, with how it has ended; without, the step is not this worker's any more.
    pub fn trace_end(&self, worker: WorkerId, settlement: Option<&Settlement>) {
        let Some(traced) = self.kept() else { return };
        let (claim, now_ns) = (&self.claim, self.trust.clock.unix_ns());
        let (ready_ms, handed_ns) = {
            let notes = lock(&traced.notes);
            (notes.ready_ms, notes.ended_ns)
        };
        let by_message = self.state().messages.iter().map(|message| message.ready_at_ms).min();
        let ready_ns = ready_ms.or(by_message).and_then(|ms| u64::try_from(ms).ok()).map(|ms| ms * 1_000_000);
        if let Some(ready_ns) = ready_ns.filter(|ready_ns| *ready_ns < traced.begun_ns) {
            traced.note(traced.span(traced.part(), "queue", ready_ns, traced.begun_ns));
        }
        if let (Some(handed_ns), Some(_)) = (handed_ns, settlement) {
            traced.note(traced.span(traced.part(), "commit", handed_ns, now_ns));
        }
        traced.tell_parts();
        let version = self.version();
        let pipeline = version.as_ref().map(|version| &version.plan.pipeline);
        let spec = pipeline.and_then(|pipeline| pipeline.step(claim.id.step));
        let name = match (pipeline, spec) {
            (Some(pipeline), Some(spec)) => format!("{}/{}", pipeline.name, spec.name),
            _ => "step".to_owned(),
        };
        let begun_ns = ready_ns.unwrap_or(traced.begun_ns).min(traced.begun_ns);
        let step = spec.map_or_else(|| claim.id.step.to_string(), |spec| spec.name.clone());
        let (outcome, error) = how(settlement);
        let span = Span::new(traced.ids.trace, traced.ids.span(0), name, begun_ns, now_ns)
            .of_kind(Kind::Consumer)
            .with("pawl.run.id", claim.run().to_string())
            .with("pawl.step", step)
            .with_some("pawl.pipeline", pipeline.map(|pipeline| pipeline.name.clone()))
            .with("pawl.pipeline.digest", claim.pipeline.short())
            .with_some("pawl.plugin", spec.map(|spec| spec.plugin.clone()))
            .with_some("pawl.version", spec.and_then(|spec| spec.version.clone()))
            .with("pawl.component", claim.component.short())
            .with("pawl.attempt", claim.failures + 1)
            .with("pawl.fence", claim.fence.0)
            .with("pawl.worker", worker.to_string())
            .with("pawl.outcome", outcome)
            .failed(error);
        let asked = Asked { step: claim.id, fence: claim.fence, is_raised: claim.recovers };
        traced.tracer.tell_attempt(Attempt { asked, span });
    }
}

/// The word for an end, and what has failed, if something has.
fn how(settlement: Option<&Settlement>) -> (&'static str, Option<String>) {
    let Some(settlement) = settlement else {
        return ("lease_lost", Some("the step is no longer this worker's".to_owned()));
    };
    let has_failed = matches!(settlement, Settlement::Failed { .. } | Settlement::Retry { .. } | Settlement::Parked(_));
    let why = has_failed.then(|| settlement.reason().unwrap_or_default());
    (AttemptEnd::from(settlement).as_str(), why)
}
