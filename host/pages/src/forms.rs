//! Takes what a form says, and asks the API for it. What comes of it is said on the run's page: what was done after a
//! redirect, so that a page that is loaded again does nothing again; what was refused at once, in the API's words.

use std::collections::BTreeMap;

use axum::extract::{Path, RawForm};
use axum::response::Response;
use pawl_api::types::Problem;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use url::form_urlencoded::{self, Serializer};

use super::acts::{self, Act};
use super::run;
use super::said;
use super::visit::Visit;

/// The media type of what the API takes.
pub(super) const JSON: &str = "application/json";

/// What the fields of a form say; of several of one name, the last.
#[derive(Default)]
pub(super) struct Fields(BTreeMap<String, String>);

impl Fields {
    pub(super) fn of(form: &[u8]) -> Self {
        Self(form_urlencoded::parse(form).map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// What one says, unless that is nothing.
    pub(super) fn said(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// What one says, as it is.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// JSON that somebody has typed, passed on as it is.
    pub(super) fn json(&self, name: &str) -> Result<Box<RawValue>, Problem> {
        serde_json::from_str(self.said(name).unwrap_or("null")).map_err(|error| {
            Problem::bad_request(format!("what you gave is not JSON: {error}; text stands between quotation marks"))
        })
    }
}

/// A request to the API.
#[derive(Debug, PartialEq, Eq)]
struct Sent {
    path: String,
    body: Option<Vec<u8>>,
}

pub(super) async fn act(visit: Visit, Path((id, name)): Path<(String, String)>, RawForm(form): RawForm) -> Response {
    let asked = async {
        let act = acts::ALL.into_iter().find(|act| act.name == name);
        let act = act.ok_or_else(|| Problem::not_found(format!("there is nothing to do that is called {name:?}")))?;
        let Sent { path, body } = sent(act, run::plain(&id)?, &Fields::of(&form))?;
        let body = body.map(|body| (JSON, body));
        visit.pages.inside.change::<Value>(&visit.who, act.method(), &path, body).await
    };
    match asked.await {
        Ok(_) => said::go(&format!("/runs/{id}"), &name),
        Err(problem) => run::refused(&visit, &id, problem).await,
    }
}

/// The request that a form means.
fn sent(act: &Act, run: &str, fields: &Fields) -> Result<Sent, Problem> {
    let part = |name: &str| utf8_percent_encode(fields.said(name).unwrap_or("-"), NON_ALPHANUMERIC).to_string();
    let path = act.route.replace("{run}", run).replace("{step}", &part("step")).replace("{name}", &part("name"));
    let path = path.replace("{number}", &part("number"));
    let mut query = Serializer::new(String::new());
    let mut body = None;
    match act.name {
        "retry" | "retry-step" => {
            for name in ["from", "on"] {
                if let Some(value) = fields.said(name) {
                    query.append_pair(name, value);
                }
            }
        }
        "fail" => body = Some(json!({ "message": fields.said("message").unwrap_or_default() }).to_string()),
        "pause" => body = fields.said("reason").map(|reason| json!({ "reason": reason }).to_string()),
        "resume-step" => {
            let on = fields.said("on").unwrap_or("pinned");
            let from_checkpoint = fields.said("from_checkpoint").is_some();
            body = Some(json!({ "on": on, "from_checkpoint": from_checkpoint }).to_string());
        }
        "skip" => body = Some(format!("{{\"output\":{}}}", fields.json("output")?.get())),
        "signal" | "replace-signal" => body = Some(fields.json("payload")?.get().to_owned()),
        _ => {}
    }
    let query = query.finish();
    let path = if query.is_empty() { path } else { format!("{path}?{query}") };
    Ok(Sent { path, body: body.map(String::into_bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "01890000-0000-7000-8000-000000000000";

    fn asked(name: &str, form: &str) -> String {
        let act = acts::ALL.into_iter().find(|act| act.name == name).unwrap();
        match sent(act, RUN, &Fields::of(form.as_bytes())) {
            Ok(Sent { path, body }) => {
                let body = body.map(|body| format!(" {}", String::from_utf8(body).unwrap())).unwrap_or_default();
                format!("{}{body}", path.strip_prefix(&format!("/v1/runs/{RUN}/")).unwrap())
            }
            Err(problem) => problem.status.to_string(),
        }
    }

    #[test]
    fn a_form_becomes_one_request() {
        for (name, form, request) in [
            ("cancel", "", "cancel"),
            ("retry", "from=&on=pinned", "retry?on=pinned"),
            ("retry", "from=a%26b&on=latest", "retry?from=a%26b&on=latest"),
            ("fail", "message=it+is+wrong", "fail {\"message\":\"it is wrong\"}"),
            ("pause", "reason=+", "pause"),
            ("pause", "reason=%22", "pause {\"reason\":\"\\\"\"}"),
            ("signal", "name=a%2Fb&payload=12345678901234567890.10", "signals/a%2Fb 12345678901234567890.10"),
            ("signal", "name=..&payload=", "signals/%2E%2E null"),
            ("signal", "name=a&payload=yes", "400"),
            ("skip", "step=load&output={\"a\":1}", "steps/load/skip {\"output\":{\"a\":1}}"),
            ("skip", "step=load&output=1},{\"x\":2", "400"),
            (
                "resume-step",
                "step=load&on=latest&from_checkpoint=true",
                "steps/load/resume {\"from_checkpoint\":true,\"on\":\"latest\"}",
            ),
            (
                "resume-step",
                "step=load&on=bbb094a91b6f",
                "steps/load/resume {\"from_checkpoint\":false,\"on\":\"bbb094a91b6f\"}",
            ),
            ("return-signal", "number=3", "inbox/3/return"),
            ("replace-signal", "number=3&payload={}", "inbox/3 {}"),
            ("remove-signal", "number=..%2F3", "inbox/%2E%2E%2F3"),
            ("retry-step", "step=..%2F..%2Fx", "steps/%2E%2E%2F%2E%2E%2Fx/retry"),
        ] {
            assert_eq!(asked(name, form), request, "{name} {form}");
        }
    }
}
