//! What a person can do with a pipeline: submit a run, by a form that its input's schema makes, pause it, and let it go on.

use axum::extract::{Path, RawForm};
use axum::http::header::LOCATION;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use pawl_api::types::{PauseChanged, PipelineDetail, PipelineInput, Problem, SubmitRun, SubmittedRun};
use serde_json::{Value, json};

use super::{one, path};
use crate::forms::{Fields, JSON};
use crate::json::folded;
use crate::panel::{Panel, line};
use crate::query::Query;
use crate::said;
use crate::shaped::Shape;
use crate::visit::Visit;

const SUBMIT: &str = "/v1/runs";
const PAUSE: &str = "/v1/pipelines/{pipeline}/pause";
const UNPAUSE: &str = "/v1/pipelines/{pipeline}/unpause";

/// What to say after it was done.
pub(super) const DONE: [(&str, &str); 2] = [
    ("pause", "The pipeline is paused: its runs are taken, and nothing of them starts."),
    ("unpause", "The pipeline goes on."),
];

/// What somebody has typed into the form of a run, and why it was refused.
pub(super) struct Typed {
    fields: Fields,
    problem: Option<Problem>,
}

impl Typed {
    pub(super) fn nothing() -> Self {
        Self { fields: Fields::of(b""), problem: None }
    }
}

/// The forms, for whoever may.
pub(super) fn forms(
    visit: &Visit,
    pipeline: &PipelineDetail,
    input: Result<&PipelineInput, &Problem>,
    typed: &Typed,
) -> Markup {
    let at = path(&pipeline.summary.name);
    html! {
        div class="acts" {
            @if visit.may(&Method::POST, SUBMIT) { (submit(&at, input, typed)) }
            @if pipeline.summary.paused.is_some() { (unpause(&format!("{at}/unpause")).with(visit, &html! {})) }
            @else { (pause(&format!("{at}/pause")).with(visit, &line("reason", "Reason", false))) }
        }
    }
}

fn pause(action: &str) -> Panel<'_> {
    Panel {
        route: (Method::POST, PAUSE),
        action,
        label: "Pause",
        weight: "",
        what: "Takes its runs, and starts no step of them until it is unpaused. What runs goes on to its end.",
    }
}

fn unpause(action: &str) -> Panel<'_> {
    Panel { route: (Method::POST, UNPAUSE), action, label: "Unpause", weight: "", what: "Lets start what is ready." }
}

fn submit(at: &str, input: Result<&PipelineInput, &Problem>, typed: &Typed) -> Markup {
    let unread = input.err();
    let input = input.ok();
    let schemas = input.map_or(&[][..], |input| &input.steps[..]);
    let shown = schemas.first().and_then(|first| folded(first.schema.to_string().as_bytes()));
    html! {
        details class="act" name="act" open[typed.problem.is_some()] {
            summary class="button primary" { "Submit a run…" }
            form class="panel" method="post" action={ (at) "/submit" } {
                @if let Some(problem) = &typed.problem { (said::refused(problem)) }
                @if let Some(problem) = unread { (said::unread("What it takes", problem, true)) }
                (Shape::of(schema(input)).fields(&typed.fields))
                label {
                    "Idempotency key"
                    small { "Another submission with it is the same run. Empty: each is a run of its own." }
                    input name="key" value=(typed.fields.raw("key").unwrap_or_default()) maxlength="200" autocomplete="off" spellcheck="false";
                }
                @if let Some(shown) = shown {
                    details { summary class="muted" { "What it takes, as JSON Schema" } (shown) }
                }
                button class="button primary" { "Submit" }
            }
        }
    }
}

/// The schema of the input. Where several steps take it, each in its own way, no form is made of one of them.
fn schema(input: Option<&PipelineInput>) -> Option<&Value> {
    let (first, others) = input?.steps.split_first()?;
    others.iter().all(|other| other.schema == first.schema).then_some(&first.schema)
}

pub(crate) async fn act(visit: Visit, Path((name, act)): Path<(String, String)>, RawForm(form): RawForm) -> Response {
    let fields = Fields::of(&form);
    let asked = match &*act {
        "submit" => submitted(&visit, &name, &fields).await,
        "pause" | "unpause" => paused(&visit, &name, &act, &fields).await,
        _ => Err(Problem::not_found(format!("there is nothing to do that is called {act:?}"))),
    };
    let problem = match asked {
        Ok(to) => return (StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response(),
        Err(problem) => problem,
    };
    let (note, typed) = match &*act {
        "submit" if visit.may(&Method::POST, SUBMIT) => (html! {}, Typed { fields, problem: Some(problem.clone()) }),
        _ => (said::refused(&problem), Typed::nothing()),
    };
    let sheet = one::sheet(&visit, &name, &Query::default(), &note, &typed).await;
    said::answer(&visit, problem, sheet)
}

/// Where to go then: to the run.
async fn submitted(visit: &Visit, name: &str, fields: &Fields) -> Result<String, Problem> {
    let input: PipelineInput = visit.read(&format!("/v1{}/schema", path(name))).await?;
    let document = Shape::of(schema(Some(&input))).document(fields)?;
    let body = SubmitRun { pipeline: name.to_owned(), input: document };
    let body = serde_json::to_vec(&body).map_err(|error| Problem::bad_request(error.to_string()))?;
    let inside = &visit.pages.inside;
    let run: SubmittedRun = inside.post_keyed(&visit.who, SUBMIT, (JSON, body), fields.said("key")).await?;
    Ok(format!("/runs/{}", run.id))
}

async fn paused(visit: &Visit, name: &str, act: &str, fields: &Fields) -> Result<String, Problem> {
    let reason = fields.said("reason").filter(|_| act == "pause").map(str::to_owned);
    let body = reason.map(|reason| json!({ "reason": reason }).to_string().into_bytes()).map(|body| (JSON, body));
    let at = format!("/v1{}/{act}", path(name));
    visit.pages.inside.change::<PauseChanged>(&visit.who, Method::POST, &at, body).await?;
    Ok(format!("{}?did={act}", path(name)))
}
