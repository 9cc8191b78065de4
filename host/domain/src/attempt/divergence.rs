//! A replay that does not match its journal, as people read of it: where, by which call, and what is most likely to have led
//! there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::Digest;

/// Where and how a replay left its journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Divergence {
    /// The journal position.
    pub position: u32,
    /// The call that the journal holds there, as text; `None` if the guest called past the rules.
    pub expected: Option<String>,
    /// The call that the guest made.
    pub actual: String,
    /// The first argument that differs, with both values.
    pub difference: Option<String>,
    /// The component that was executed.
    pub component: Option<Digest>,
    /// The component that made the journal. The same one, if it is not deterministic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_by: Option<Digest>,
    /// Where in the guest the call was made, innermost frame first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backtrace: Option<String>,
    /// The checkpoint that it had gone on from, if it had come so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<Restored>,
}

/// How far a guest that has gone on from its checkpoint came before it left its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Restored {
    /// Where the checkpoint stands in the journal.
    pub checkpoint: u32,
    /// Entries that have answered since: one a call, two an effect.
    pub replayed: u32,
    /// Whether the guest has made another call; if not, its arguments differ, or it has ended.
    pub is_other_call: bool,
}

impl Divergence {
    /// Lets `redact` have all that a guest may have said.
    pub fn redact(&mut self, redact: impl Fn(&str) -> String) {
        self.actual = redact(&self.actual);
        for text in [&mut self.expected, &mut self.difference, &mut self.backtrace].into_iter().flatten() {
            *text = redact(text);
        }
    }

    /// One line for a person.
    #[must_use]
    pub fn message(&self) -> String {
        let expected = self.expected.as_deref().unwrap_or("nothing");
        let mut message = format!(
            "the replay left the journal at entry {}: recorded {expected}, called {}",
            self.position, self.actual
        );
        if let Some(difference) = &self.difference {
            message.push_str(&format!("; {difference}"));
        }
        if let Some(restored) = self.restored {
            message.push_str(&format!(", {}", restored.since()));
        }
        match (self.component.map(|component| component.short()), self.by_another()) {
            (Some(component), Some(recorded_by)) => {
                let recorded_by = recorded_by.short();
                message.push_str(&format!(" (component {recorded_by} made the journal, {component} was executed)"));
            }
            (Some(component), None) => message.push_str(&format!(" (component {component} made the journal, too)")),
            (None, _) => {}
        }
        if let Some(why) = self.why() {
            message.push_str(&format!(": {why}"));
        }
        message
    }

    /// What has most likely led there, if the guest was the one that made the journal. What stands between `restore` and the
    /// work that follows is replayed by no attempt but the first: to the journal it is new at each resumption.
    #[must_use]
    pub fn why(&self) -> Option<&'static str> {
        self.component.filter(|_| self.by_another().is_none())?;
        Some(match self.restored {
            None => "it is not deterministic",
            Some(Restored { is_other_call: true, .. }) => {
                "a call between `restore` and the work that follows is made once more at each resumption, and meets the \
                 answers of that work; make it before `restore`, or keep its answer in the saved state"
            }
            Some(_) => "what it does from there on must follow from its input and the saved state alone",
        })
    }

    /// The component that made the journal, if it is another one than that which has left it: back on that one, the step would
    /// go on.
    #[must_use]
    pub fn by_another(&self) -> Option<Digest> {
        self.recorded_by.filter(|recorded_by| self.component != Some(*recorded_by))
    }
}

impl Restored {
    /// Where that was, to follow on a call.
    #[must_use]
    pub fn since(self) -> String {
        let Self { checkpoint, replayed, .. } = self;
        match replayed {
            0 => format!("the first thing after it had restored its checkpoint at entry {checkpoint}"),
            1 => format!("one entry after it had restored its checkpoint at entry {checkpoint}"),
            _ => format!("{replayed} entries after it had restored its checkpoint at entry {checkpoint}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divergence(restored: Option<Restored>) -> Divergence {
        let same = Digest::of(b"a");
        Divergence {
            position: 4,
            expected: Some("http.send(GET http://a/)".into()),
            actual: "durable.now()".into(),
            difference: None,
            component: Some(same),
            recorded_by: Some(same),
            backtrace: None,
            restored,
        }
    }

    #[test]
    fn the_message_says_what_has_most_likely_led_there() {
        let restored = |replayed, is_other_call| Some(Restored { checkpoint: 4, replayed, is_other_call });
        for (restored, says) in [
            (None, "made the journal, too): it is not deterministic"),
            (
                restored(0, true),
                "called durable.now(), the first thing after it had restored its checkpoint at entry 4",
            ),
            (restored(0, true), "a call between `restore` and the work that follows is made once more"),
            (restored(2, true), "called durable.now(), 2 entries after it had restored"),
            (restored(0, false), "must follow from its input and the saved state alone"),
        ] {
            let message = divergence(restored).message();
            assert!(message.contains(says), "{message}");
        }
        let message = divergence(restored(0, true)).message();
        assert!(message.contains("(component ") && message.contains(" made the journal, too): a call"), "{message}");
        let made_by = Some(Digest::of(b"b"));
        let other = Divergence { recorded_by: made_by, ..divergence(restored(0, true)) };
        assert!(
            other.message().ends_with("was executed)"),
            "the other component is reason enough: {}",
            other.message()
        );
        assert_eq!((other.by_another(), divergence(None).by_another()), (made_by, None));
    }

    #[test]
    fn a_report_of_an_older_version_is_read() {
        let old = r#"{"position":4,"expected":null,"actual":"durable.now()","difference":null,"component":null}"#;
        let read: Divergence = serde_json::from_str(old).unwrap();
        assert_eq!((read.restored, read.recorded_by), (None, None));
    }
}
