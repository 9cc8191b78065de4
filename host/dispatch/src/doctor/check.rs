//! What a check has found: how it stands, in a sentence, and what to do. Every check is bounded in time here: a server that
//! has gone silent is a finding like others.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use pawl_base::{chain, duration};
use serde::Serialize;

/// How something stands, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should.
    Ok,
    /// It can't be told, for example since it may not be asked for.
    Unknown,
    /// Somebody should look at it; nothing stands still by it.
    Warn,
    /// Something stands still, or may be lost or wrong.
    Fail,
}

impl Status {
    /// The word in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One line of the checklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at: a word that stays.
    pub check: &'static str,
    /// Of what, where there are several: a queue, a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// How it stands.
    pub status: Status,
    /// What was found, a sentence.
    pub found: String,
    /// What to do about it, a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The numbers that it was judged by, with their units in their names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<&'static str, i64>,
}

impl Check {
    fn new(check: &'static str, status: Status, found: String, fix: Option<String>) -> Self {
        Self { check, subject: None, status, found, fix, figures: BTreeMap::new() }
    }

    /// It is as it should be.
    #[must_use]
    pub fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Status::Ok, found.into(), None)
    }

    /// It can't be told.
    #[must_use]
    pub fn unknown(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Status::Unknown, found.into(), None)
    }

    /// Somebody should look at it, and what to do.
    #[must_use]
    pub fn warn(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(check, Status::Warn, found.into(), Some(fix.into()))
    }

    /// Something stands still, or may be lost or wrong, and what to do.
    #[must_use]
    pub fn fail(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(check, Status::Fail, found.into(), Some(fix.into()))
    }

    /// The same of one of several.
    #[must_use]
    pub fn of(self, subject: impl Into<String>) -> Self {
        Self { subject: Some(subject.into()), ..self }
    }

    /// The same with a number.
    #[must_use]
    pub fn figure(mut self, name: &'static str, value: impl TryInto<i64>) -> Self {
        self.figures.insert(name, value.try_into().unwrap_or(i64::MAX));
        self
    }

    /// Its name, and of what.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.subject {
            Some(subject) => format!("{} {subject}", self.check),
            None => self.check.to_owned(),
        }
    }
}

/// The worst of all; that something can't be told is nothing wrong.
#[must_use]
pub fn worst(checks: &[Check]) -> Status {
    let worst = checks.iter().map(|check| check.status).max().unwrap_or(Status::Ok);
    if worst == Status::Unknown { Status::Ok } else { worst }
}

/// Why a look has failed.
pub type Failure = Box<dyn Error + Send + Sync>;

/// What a look has found; that it has failed, or has not ended within `limit`, is a finding of the check called so.
pub async fn bounded(
    check: &'static str,
    limit: Duration,
    look: impl Future<Output = Result<Vec<Check>, Failure>>,
) -> Vec<Check> {
    match tokio::time::timeout(limit, look).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            vec![Check::fail(check, format!("it can't be looked at: {}", chain(&*error)), "mend that, and look again")]
        }
        Err(_) => {
            let waited = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
            let fix = "if the server is only slow, give it longer with --timeout";
            vec![Check::fail(check, format!("no answer within {}", duration(waited)), fix)]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_answer_is_a_finding() {
        let silent = bounded("redis", Duration::from_millis(20), std::future::pending()).await;
        assert_eq!((silent[0].status, silent[0].found.as_str()), (Status::Fail, "no answer within 20 ms"));
        let refused = bounded("redis", Duration::from_secs(1), async { Err("refused".into()) }).await;
        assert_eq!((refused[0].status, refused[0].found.as_str()), (Status::Fail, "it can't be looked at: refused"));
        let fine = bounded("redis", Duration::from_secs(1), async { Ok(vec![Check::ok("redis", "well")]) }).await;
        assert_eq!(fine, [Check::ok("redis", "well")]);
    }

    #[test]
    fn the_keys_of_a_check_are_those_that_programs_know() {
        let check = Check::fail("queue", "stands", "start a worker").of("gpu").figure("oldest_ms", 5_u64);
        let told = serde_json::json!({
            "check": "queue", "subject": "gpu", "status": "fail", "found": "stands", "fix": "start a worker",
            "figures": {"oldest_ms": 5}
        });
        assert_eq!(serde_json::to_value(&check).unwrap(), told);
        let bare = serde_json::json!({"check": "schema", "status": "ok", "found": "fits"});
        assert_eq!(serde_json::to_value(Check::ok("schema", "fits")).unwrap(), bare);
    }
}
