//! Some of what waits for the writer: members with their sessions, place by place, and claims. What is too much at once
//! is halved.

use std::sync::Arc;

use pawl_domain::id::RunId;
use pawl_store::write::{Batch, Member, Verdict, Written};

use crate::session::Session;

/// Recorded entries of so many bytes go by themselves.
const LONG_BYTES: usize = 16 << 10;

/// A batch, and who is told of its members.
#[derive(Default)]
pub(super) struct Part {
    pub(super) sessions: Vec<Arc<Session>>,
    pub(super) batch: Batch,
}

/// What is left of a part that was too much.
pub(super) enum Halved {
    /// Two, which are sent one by one.
    Two(Box<[Part; 2]>),
    /// It is the writing of one step, and what was run ahead of it.
    Chain(Part),
    /// It is the writing, or the claim, of one step.
    One(Part),
}

impl Part {
    /// One step's writing.
    pub(super) fn of(session: Arc<Session>, member: Member) -> Self {
        Self { sessions: vec![session], batch: Batch { members: vec![member], ..Batch::default() } }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batch.members.is_empty() && self.batch.claims.is_empty()
    }

    /// The runs that it is about, each once.
    pub(super) fn runs(&self) -> Vec<RunId> {
        let members = self.batch.members.iter().map(|member| member.id.run);
        let mut runs: Vec<RunId> = members.chain(self.batch.claims.iter().map(|id| id.run)).collect();
        runs.sort_unstable();
        runs.dedup();
        runs
    }

    pub(super) fn payload_bytes(&self) -> usize {
        self.batch.members.iter().map(Member::payload_bytes).sum()
    }

    /// A part that holds all of both.
    pub(super) fn join(&mut self, other: Self) {
        self.sessions.extend(other.sessions);
        self.batch.members.extend(other.batch.members);
        self.batch.claims.extend(other.batch.claims);
    }

    /// Takes out what guests have recorded, where it is much and nothing else comes with it.
    pub(super) fn take_long_journals(&mut self) -> Option<Self> {
        if !self.batch.members.iter().any(is_long_journal) {
            return None;
        }
        let all = std::mem::take(&mut self.sessions).into_iter().zip(std::mem::take(&mut self.batch.members));
        let (long, rest): (Vec<_>, Vec<_>) = all.partition(|(_, member)| is_long_journal(member));
        (self.sessions, self.batch.members) = rest.into_iter().unzip();
        let (sessions, members) = long.into_iter().unzip();
        Some(Self { sessions, batch: Batch { members, ..Batch::default() } })
    }

    /// Halves it. A chain is not parted.
    pub(super) fn halve(mut self) -> Halved {
        let (members, claims) = (self.batch.members.len(), self.batch.claims.len());
        let chains = (1..members).filter(|place| !self.batch.members[*place].follows());
        let at = chains.min_by_key(|place| place.abs_diff(members / 2)).unwrap_or(members);
        if at == members && (claims == 0 || (members == 0 && claims == 1)) {
            return if members > 1 { Halved::Chain(self) } else { Halved::One(self) };
        }
        let rest = Self {
            sessions: self.sessions.split_off(at),
            batch: Batch { members: self.batch.members.split_off(at), claims: self.batch.claims.split_off(claims / 2) },
        };
        Halved::Two(Box::new([self, rest]))
    }

    /// Takes out the members that somebody else's lock was in the way of, run by run; the others stay, with their
    /// verdicts.
    pub(super) fn take_busy(&mut self, written: &mut Written) -> Vec<Self> {
        if !written.members.contains(&Verdict::Busy) {
            return Vec::new();
        }
        let mut busy: Vec<Self> = Vec::new();
        let (mut sessions, mut members, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
        let all = std::mem::take(&mut self.sessions).into_iter().zip(std::mem::take(&mut self.batch.members));
        for ((session, member), verdict) in all.zip(std::mem::take(&mut written.members)) {
            if verdict == Verdict::Busy {
                let part = Self::of(session, member);
                match busy.last_mut().filter(|last| last.runs() == part.runs()) {
                    Some(last) => last.join(part),
                    None => busy.push(part),
                }
            } else {
                sessions.push(session);
                members.push(member);
                verdicts.push(verdict);
            }
        }
        (self.sessions, self.batch.members, written.members) = (sessions, members, verdicts);
        busy
    }
}

/// Entries and nothing besides, which locks no run, and more than a few.
fn is_long_journal(member: &Member) -> bool {
    let Member {
        id: _,
        fence: _,
        ahead: None,
        alone: false,
        cut: None,
        segment: Some(segment),
        checkpoint: None,
        recovered: None,
        ..
    } = member
    else {
        return false;
    };
    member.settlement.is_none() && segment.bytes.len() >= LONG_BYTES
}

#[cfg(test)]
mod tests;
