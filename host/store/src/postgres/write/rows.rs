//! A batch as `pawl_write_v3` takes it: members as rows of numbers and words, their large bytes apart.

use pawl_domain::id::Digest;
use uuid::Uuid;

use crate::write::{Ahead, Member, Settlement};

/// `pawl_member_v1`, whose columns `migrations/0003_write.sql` explains.
#[derive(Debug, Default, sqlx::Type)]
#[sqlx(type_name = "pawl_member_v1")]
pub(super) struct MemberRow {
    place: i32,
    run_id: Uuid,
    step_no: i32,
    fence: i64,
    leader: Option<i32>,
    component: Option<[u8; 32]>,
    pipeline: Option<[u8; 32]>,
    request: Option<[u8; 32]>,
    followed: bool,
    alone: bool,
    cut: Option<i32>,
    first: Option<i32>,
    length: Option<i32>,
    digest: Option<[u8; 32]>,
    entries: Option<i32>,
    ordinal: Option<i32>,
    position: Option<i32>,
    random_position: Option<i64>,
    effect_ordinal: Option<i32>,
    prelude: Option<i32>,
    state_digest: Option<[u8; 32]>,
    state: Option<i32>,
    fraction: Option<f32>,
    message: Option<String>,
    outcome: Option<String>,
    payload: Option<i32>,
    payload_digest: Option<[u8; 32]>,
    delay_ms: Option<i64>,
    awaits: Option<String>,
    awaits_position: Option<i32>,
    successors: Option<Vec<i32>>,
    next_step: Option<i32>,
    next_joins: bool,
}

/// `pawl_recovered_v1`, whose columns `migrations/0023_recovery.sql` explains.
#[derive(Debug, sqlx::Type)]
#[sqlx(type_name = "pawl_recovered_v1")]
pub(super) struct RecoveredRow {
    place: i32,
    run_id: Uuid,
    step_no: i32,
    fence: i64,
    reloaded_ms: Option<i64>,
    replayed_ms: Option<i64>,
    ready_ms: Option<i64>,
    replayed: i32,
    outcome: String,
}

/// What members tell of recoveries.
pub(super) fn recovered(members: &[Member]) -> Vec<RecoveredRow> {
    let row = |(place, member): (i32, &Member)| {
        let told = member.recovered?;
        Some(RecoveredRow {
            place,
            run_id: member.id.run.0,
            step_no: member.id.step.0,
            fence: member.fence.0,
            reloaded_ms: told.reloaded_ms,
            replayed_ms: told.replayed_ms,
            ready_ms: told.ready_ms,
            replayed: signed(told.replayed),
            outcome: told.outcome.as_str().to_owned(),
        })
    };
    (1..).zip(members).filter_map(row).collect()
}

/// The members as rows, and the bytes that they name by place.
pub(super) fn members(members: &[Member]) -> (Vec<MemberRow>, Vec<&[u8]>) {
    let mut payloads = Payloads::default();
    let mut leader = 0;
    let mut rows: Vec<MemberRow> = Vec::with_capacity(members.len());
    for (place, member) in (1..).zip(members) {
        match rows.last_mut().filter(|_| member.follows()) {
            Some(before) => before.followed = true,
            None => leader = place,
        }
        rows.push(row(place, leader, member, &mut payloads));
    }
    (rows, payloads.0)
}

fn row<'a>(place: i32, leader: i32, member: &'a Member, payloads: &mut Payloads<'a>) -> MemberRow {
    let mut row = MemberRow {
        place,
        run_id: member.id.run.0,
        step_no: member.id.step.0,
        fence: member.fence.0,
        leader: member.ahead.map(|_| leader),
        component: member.ahead.map(|ahead| ahead.component().0),
        alone: member.alone,
        cut: member.cut.map(signed),
        ..MemberRow::default()
    };
    if let Some(Ahead::Start { pipeline, request, .. }) = &member.ahead {
        row.pipeline = Some(pipeline.0);
        row.request = Some(request.0);
    }
    if let Some(segment) = &member.segment {
        row.first = Some(signed(segment.first));
        row.length = Some(signed(segment.length));
        row.digest = Some(Digest::of(&segment.bytes).0);
        row.entries = Some(payloads.add(&segment.bytes));
    }
    if let Some(checkpoint) = &member.checkpoint {
        row.ordinal = Some(signed(checkpoint.ordinal));
        row.position = Some(signed(checkpoint.position));
        row.random_position = Some(checkpoint.random_position.cast_signed());
        row.effect_ordinal = Some(signed(checkpoint.effect_ordinal));
        row.prelude = checkpoint.prelude.map(signed);
        row.state_digest = Some(Digest::of(&checkpoint.state).0);
        row.state = Some(payloads.add(&checkpoint.state));
    }
    if let Some((fraction, message)) = &member.progress {
        row.fraction = Some(*fraction);
        row.message = Some(message.clone());
    }
    if let Some(settlement) = &member.settlement {
        row.outcome = Some(settlement.kind().to_owned());
        row.payload = settlement.payload().map(|bytes| payloads.add(bytes));
        // The row has no place of its own for it: see `migrations/0022_reasons.sql`.
        row.awaits = settlement.reason();
    }
    match &member.settlement {
        Some(Settlement::Succeeded { output, then }) => {
            row.payload_digest = Some(Digest::of(output).0);
            row.successors = Some(then.successors.iter().map(|step| step.0).collect());
            row.next_step = then.next.as_ref().map(|next| next.step.0);
            // If it doesn't, its input is the output of this member.
            row.next_joins = then.next.as_ref().is_some_and(|next| next.joins);
        }
        // The row has no place of its own for it: see `migrations/0017_inbox.sql`.
        Some(Settlement::Failed { rejects_signal, .. }) => row.next_joins = *rejects_signal,
        Some(Settlement::Retry { delay_ms, .. } | Settlement::Deferred { delay_ms, .. }) => {
            row.delay_ms = Some(delay_ms.cast_signed())
        }
        Some(Settlement::Suspended { wait, position }) => {
            row.delay_ms = wait.due_after_ms().map(u64::cast_signed);
            row.awaits = wait.signal().map(str::to_owned);
            row.awaits_position = Some(signed(*position));
        }
        _ => {}
    }
    row
}

/// Bytes, named by their place from 1.
#[derive(Default)]
struct Payloads<'a>(Vec<&'a [u8]>);

impl<'a> Payloads<'a> {
    fn add(&mut self, bytes: &'a [u8]) -> i32 {
        self.0.push(bytes);
        i32::try_from(self.0.len()).unwrap_or(i32::MAX)
    }
}

/// What there is among the members, by the names of `p_with`.
pub(super) fn contents(members: &[Member]) -> Vec<&'static str> {
    let any = |is_there: fn(&Member) -> bool| members.iter().any(is_there);
    let contents = [
        ("unsettled", any(|member| member.settlement.is_none())),
        ("claimed", any(|member| member.ahead.is_none())),
        ("ahead", any(|member| member.ahead.is_some())),
        ("cuts", any(|member| member.cut.is_some())),
        ("segments", any(|member| member.segment.is_some())),
        ("checkpoints", any(|member| member.checkpoint.is_some())),
        ("failed", any(|member| matches!(member.settlement, Some(Settlement::Failed { .. })))),
        ("successors", any(|member| member.succession().is_some_and(|then| !then.successors.is_empty()))),
        ("awaits", any(awaits_signal)),
        ("released", any(|member| matches!(member.settlement, Some(Settlement::Released)))),
    ];
    contents.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect()
}

fn awaits_signal(member: &Member) -> bool {
    matches!(&member.settlement, Some(Settlement::Suspended { wait, .. }) if wait.signal().is_some())
}

/// The runs of members that add to a history: those with an outcome, and those that tell of a recovery.
pub(super) fn runs(members: &[Member]) -> Vec<Uuid> {
    let mut runs: Vec<Uuid> = members.iter().filter(|member| member.tells()).map(|member| member.id.run.0).collect();
    runs.sort_unstable();
    runs.dedup();
    runs
}

fn signed(number: u32) -> i32 {
    number.cast_signed()
}
