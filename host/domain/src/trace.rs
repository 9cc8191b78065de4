//! Traces, as far as they are rules: the context that a request brings and takes along (W3C Trace Context), the ids of an
//! attempt's trace, and which traces are kept. Nothing here is stored but the context of a submission: an attempt's ids follow
//! from its step and fence, so that whoever knows these can name its trace, and the next attempt can link to it.
//! <https://www.w3.org/TR/trace-context/>

use std::fmt;
use std::str::FromStr;

use super::id::{Fence, RunId, StepId};
use super::status::StepStatus;

/// The header that names a trace and a span in it, and the one for what vendors add to that.
pub const TRACEPARENT: &str = "traceparent";
/// See [`TRACEPARENT`].
pub const TRACESTATE: &str = "tracestate";

/// What is kept of a `tracestate`; a longer one is none. The standard asks for so much at least.
const STATE_BYTES: usize = 512;

/// The flag that says that a trace is kept.
const SAMPLED: u8 = 1;

macro_rules! hexadecimal {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; $bytes]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl FromStr for $name {
            type Err = NoContext;
            /// Lower case, and not all zeros, which stands for none.
            fn from_str(text: &str) -> Result<Self, NoContext> {
                let mut bytes = [0; $bytes];
                let digits = text.as_bytes();
                if digits.len() != 2 * $bytes {
                    return Err(NoContext);
                }
                for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
                    *byte = digit(pair[0])? << 4 | digit(pair[1])?;
                }
                if bytes == [0; $bytes] { Err(NoContext) } else { Ok(Self(bytes)) }
            }
        }
    };
}

hexadecimal! {
    /// A trace.
    TraceId, 16
}
hexadecimal! {
    /// A span of a trace.
    SpanId, 8
}

fn digit(letter: u8) -> Result<u8, NoContext> {
    match letter {
        b'0'..=b'9' => Ok(letter - b'0'),
        b'a'..=b'f' => Ok(letter - b'a' + 10),
        _ => Err(NoContext),
    }
}

/// Text that is no trace context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a trace context looks like 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
pub struct NoContext;

/// Where in which trace somebody stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span in it.
    pub span: SpanId,
    /// Whether somebody keeps it.
    pub sampled: bool,
    /// What vendors say besides.
    pub state: Option<String>,
}

impl TraceContext {
    /// What the two headers of a request say. Whatever is not of the standard's form is as good as not sent, and so is a
    /// `tracestate` alone.
    #[must_use]
    pub fn of_headers(parent: &str, state: Option<&str>) -> Option<Self> {
        let state = state.map(str::trim).filter(|state| {
            (1..=STATE_BYTES).contains(&state.len()) && state.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        });
        let context = parent.trim().parse::<Self>().ok().filter(|context| context.state.is_none())?;
        Some(Self { state: state.map(str::to_owned), ..context })
    }

    /// The header `traceparent`.
    #[must_use]
    pub fn parent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace, self.span, if self.sampled { SAMPLED } else { 0 })
    }
}

/// As it is stored: `traceparent`, and after a blank `tracestate`, if there is one.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parent())?;
        self.state.as_ref().map_or(Ok(()), |state| write!(f, " {state}"))
    }
}

impl FromStr for TraceContext {
    type Err = NoContext;
    fn from_str(text: &str) -> Result<Self, NoContext> {
        let (parent, state) = text.split_once(' ').map_or((text, None), |(parent, state)| (parent, Some(state)));
        let mut parts = parent.split('-');
        let mut part = || parts.next().ok_or(NoContext);
        let (version, trace, span, flags) = (byte(part()?)?, part()?, part()?, byte(part()?)?);
        // What a later version adds comes after these; the last one is none.
        if version == u8::MAX || (version == 0 && parts.next().is_some()) {
            return Err(NoContext);
        }
        let sampled = flags & SAMPLED != 0;
        Ok(Self { trace: trace.parse()?, span: span.parse()?, sampled, state: state.map(str::to_owned) })
    }
}

fn byte(text: &str) -> Result<u8, NoContext> {
    let [high, low] = text.as_bytes() else { return Err(NoContext) };
    Ok(digit(*high)? << 4 | digit(*low)?)
}

/// The ids of one attempt's trace.
///
/// ```text
///  trace   of the attempt (8 bytes) │ of the run (8 bytes)     span 0   the attempt: what all others are part of
///                                   └ whoever keeps or drops    span n   a part of it
///                                     by chance goes by these
/// ```
///
/// So of a run all attempts are kept or none, here and wherever their traces go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptTrace {
    /// Its trace.
    pub trace: TraceId,
    seed: [u8; 32],
}

impl AttemptTrace {
    /// Of the attempt that was claimed under this fence.
    #[must_use]
    pub fn of(step: StepId, fence: Fence) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("pawl trace of an attempt, v1");
        hasher.update(step.run.0.as_bytes()).update(&step.step.0.to_be_bytes()).update(&fence.0.to_be_bytes());
        let seed = *hasher.finalize().as_bytes();
        let mut trace = [0; 16];
        trace[..8].copy_from_slice(&seed[..8]);
        trace[8..].copy_from_slice(&chance_of(step.run));
        Self { trace: TraceId(trace), seed }
    }

    /// The span with this number; 0 is the attempt itself.
    #[must_use]
    pub fn span(&self, number: u32) -> SpanId {
        let mut hasher = blake3::Hasher::new_keyed(&self.seed);
        hasher.update(&number.to_be_bytes());
        let mut id = [0; 8];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        SpanId(id)
    }

    /// Where the attempt stands, for who links to it.
    #[must_use]
    pub fn context(&self, sampled: bool) -> TraceContext {
        TraceContext { trace: self.trace, span: self.span(0), sampled, state: None }
    }
}

fn chance_of(run: RunId) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new_derive_key("pawl traces of a run, v1");
    hasher.update(run.0.as_bytes());
    let mut chance = [0; 8];
    chance.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    chance
}

/// The fence of a step's last attempt, if its row tells: not if somebody but claims has raised it since.
#[must_use]
pub fn last_attempt(status: StepStatus, attempts: u32, fence: Fence) -> Option<Fence> {
    let under_claim =
        matches!(status, StepStatus::Running | StepStatus::Waiting | StepStatus::Succeeded | StepStatus::Failed);
    (attempts > 0 && (under_claim || i64::from(attempts) == fence.0)).then_some(fence)
}

/// Which traces are kept: those of the standard samplers.
/// <https://opentelemetry.io/docs/specs/otel/trace/sdk/#built-in-samplers>
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// Of traces that begin here, so many of one.
    pub ratio: f64,
    /// Whether what somebody else has begun is kept if they keep it, and only then.
    pub by_parent: bool,
}

impl Sampler {
    /// Whether a trace is kept, which may be a part of somebody else's.
    #[must_use]
    pub fn keeps(&self, trace: TraceId, parent: Option<&TraceContext>) -> bool {
        match parent {
            Some(parent) if self.by_parent => parent.sampled,
            _ => keeps_of(self.ratio, trace),
        }
    }
}

/// By the last 63 bits of the id, as all that sample by ids do.
fn keeps_of(ratio: f64, trace: TraceId) -> bool {
    let [.., a, b, c, d, e, f, g, h] = trace.0;
    let place = u64::from_be_bytes([a, b, c, d, e, f, g, h]) & (u64::MAX >> 1);
    ratio >= 1.0 || (place as f64) < ratio * (1_u64 << 63) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::StepNo;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_context_is_read_by_the_rules_of_the_standard() {
        let read = TraceContext::of_headers(PARENT, Some(" rojo=00f067aa0ba902b7,congo=t61 ")).expect("a context");
        assert_eq!(read.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((read.span.to_string().as_str(), read.sampled), ("00f067aa0ba902b7", true));
        assert_eq!(read.state.as_deref(), Some("rojo=00f067aa0ba902b7,congo=t61"));
        assert_eq!(read.parent(), PARENT);
        for (parent, is_context) in [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", true),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes", true),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", false),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("zz-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-é", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 a=b", false),
            ("", false),
        ] {
            assert_eq!(TraceContext::of_headers(parent, None).is_some(), is_context, "{parent}");
        }
        let long = "x".repeat(STATE_BYTES + 1);
        for none in ["", " ", "a\tb", "é", &long] {
            assert_eq!(TraceContext::of_headers(PARENT, Some(none)).expect("a context").state, None, "{none:?}");
        }
    }

    #[test]
    fn a_context_comes_back_as_it_was_stored() {
        for state in [None, Some("a=1, b=2")] {
            let context = TraceContext::of_headers(PARENT, state).expect("a context");
            assert_eq!(context.to_string().parse(), Ok(context));
        }
    }

    #[test]
    fn an_attempts_ids_follow_from_its_step_and_fence_and_differ_from_all_others() {
        let step = |run, number| StepId { run, step: StepNo(number) };
        let (run, other) = (RunId::new(), RunId::new());
        let all = [
            AttemptTrace::of(step(run, 0), Fence(1)),
            AttemptTrace::of(step(run, 0), Fence(2)),
            AttemptTrace::of(step(run, 1), Fence(1)),
            AttemptTrace::of(step(other, 0), Fence(1)),
        ];
        assert_eq!(all[0], AttemptTrace::of(step(run, 0), Fence(1)));
        for (place, one) in all.iter().enumerate() {
            assert!(all[..place].iter().all(|before| before.trace != one.trace && before.span(0) != one.span(0)));
            assert_ne!(one.span(0), one.span(1));
        }
        assert_eq!(all[0].trace.0[8..], all[2].trace.0[8..], "of one run");
        assert_ne!(all[0].trace.0[8..], all[3].trace.0[8..]);
    }

    #[test]
    fn a_row_names_its_last_attempt_unless_somebody_has_raised_its_fence_since() {
        for (status, attempts, fence, last) in [
            (StepStatus::Ready, 0, 0, None),
            (StepStatus::Running, 1, 1, Some(1)),
            (StepStatus::Ready, 2, 2, Some(2)),
            (StepStatus::Ready, 1, 2, None),
            (StepStatus::Running, 2, 3, Some(3)),
            (StepStatus::Succeeded, 2, 3, Some(3)),
            (StepStatus::Parked, 2, 3, None),
            (StepStatus::Cancelled, 1, 2, None),
        ] {
            assert_eq!(last_attempt(status, attempts, Fence(fence)), last.map(Fence), "{status}, {attempts}, {fence}");
        }
    }

    #[test]
    fn a_ratio_keeps_all_attempts_of_a_run_or_none_and_about_so_many_runs() {
        let sampler = Sampler { ratio: 0.25, by_parent: true };
        let mut kept = 0;
        for _ in 0..2_000 {
            let run = RunId::new();
            let traces = (0..4).map(|fence| AttemptTrace::of(StepId { run, step: StepNo(0) }, Fence(fence)).trace);
            let each: Vec<bool> = traces.map(|trace| sampler.keeps(trace, None)).collect();
            assert!(each.iter().all(|keeps| *keeps == each[0]));
            kept += usize::from(each[0]);
        }
        assert!((400..600).contains(&kept), "{kept} of 2,000");
    }

    #[test]
    fn what_somebody_else_began_is_kept_if_they_keep_it() {
        let parent = |sampled| TraceContext { sampled, ..PARENT.parse().expect("a context") };
        let trace = parent(true).trace;
        for (ratio, by_parent, parent, keeps) in [
            (0.0, true, Some(parent(true)), true),
            (1.0, true, Some(parent(false)), false),
            (1.0, false, Some(parent(false)), true),
            (0.0, false, Some(parent(true)), false),
            (1.0, true, None, true),
            (0.0, true, None, false),
        ] {
            assert_eq!(Sampler { ratio, by_parent }.keeps(trace, parent.as_ref()), keeps, "{ratio}, {by_parent}");
        }
    }
}
