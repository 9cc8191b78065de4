//! What is done about all dead letters of a cause: first counted, and done when a person has seen the count. It goes on
//! piece by piece, as the API does it, for some seconds; what is left then is said.

use std::time::{Duration, Instant};

use axum::extract::RawForm;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use maud::{Markup, html};
use pawl_api::types::{ActOnDeadLetters, DeadLetterVerb, DeadLettersDone, Problem, StepStatus};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::value::RawValue;

use super::target::Target;
use super::verbs::VERBS;
use super::{ROUTE, Which, of};
use crate::forms::{Fields, JSON};
use crate::look;
use crate::said;
use crate::visit::Visit;
use crate::words::{count, name, prose};

/// How long one form goes on, and how many pieces are counted before it is asked whether to.
const GOES_ON: Duration = Duration::from_secs(5);
const COUNTED: usize = 20;

/// Refusals that are told.
const REFUSED: usize = 10;

/// Counts, and does what was counted when it is asked again.
pub(crate) async fn act(visit: Visit, RawForm(form): RawForm) -> Response {
    let fields = Fields::of(&form);
    // Without one it would be about all of them.
    let Some(which) = fields.all().find_map(|(name, value)| Which::of(name, value)) else {
        return visit.answer(Err(Problem::bad_request("no group was named, and no pipeline")));
    };
    let target = Target::before(&visit, &which).await;
    let note = match asked(&which, &fields) {
        Ok((_, asked)) if fields.said("sure").is_some() => go_on(&visit, asked, &target).await,
        Ok((word, asked)) => {
            count_first(&visit, word, asked, &Page { which: &which, fields: &fields, target: &target }).await
        }
        Err(problem) => Err(problem),
    };
    let status = note.as_ref().err().and_then(|problem| StatusCode::from_u16(problem.status).ok());
    let note = note.unwrap_or_else(|problem| said::refused(&problem));
    let mut response = visit.answer(of(&visit, &which, Some(note)).await);
    if let Some(status) = status {
        *response.status_mut() = status;
    }
    response
}

fn verb(word: &str) -> Option<DeadLetterVerb> {
    Some(match word {
        "retry" => DeadLetterVerb::Retry,
        "resume" => DeadLetterVerb::Resume,
        "skip" => DeadLetterVerb::Skip,
        "fail" => DeadLetterVerb::Fail,
        "purge" => DeadLetterVerb::Purge,
        _ => return None,
    })
}

fn asked<'a>(which: &Which, fields: &'a Fields) -> Result<(&'a str, ActOnDeadLetters), Problem> {
    let word = fields.said("verb").unwrap_or_default();
    let verb =
        verb(word).ok_or_else(|| Problem::bad_request(format!("there is nothing to do that is called {word:?}")))?;
    let (group, pipeline) = match which {
        Which::Group(group) => (Some(group.clone()), None),
        Which::Pipeline(pipeline) => (None, Some(pipeline.clone())),
    };
    let output: Option<Box<RawValue>> = match verb {
        DeadLetterVerb::Skip => Some(fields.json("output")?),
        _ => None,
    };
    let message = fields.said("message").filter(|_| verb == DeadLetterVerb::Fail).map(str::to_owned);
    Ok((
        word,
        ActOnDeadLetters {
            verb,
            run: None,
            step: None,
            pipeline,
            group,
            cause: None,
            state: None,
            since_ms: None,
            latest: fields.said("latest").is_some(),
            output,
            message,
            dry_run: false,
            after: None,
            until: None,
        },
    ))
}

async fn piece(visit: &Visit, asked: &ActOnDeadLetters) -> Result<DeadLettersDone, Problem> {
    let body = serde_json::to_vec(asked).map_err(|error| Problem::bad_request(error.to_string()))?;
    visit.pages.inside.change(&visit.who, Method::POST, ROUTE, Some((JSON, body))).await
}

/// What a form was sent from, and what it said.
struct Page<'a> {
    which: &'a Which,
    fields: &'a Fields,
    target: &'a Target,
}

/// Whether they go on by it, on one version or another.
fn goes_on(verb: DeadLetterVerb) -> bool {
    matches!(verb, DeadLetterVerb::Retry | DeadLetterVerb::Resume)
}

async fn count_first(visit: &Visit, word: &str, asked: ActOnDeadLetters, page: &Page<'_>) -> Result<Markup, Problem> {
    let mut asked = ActOnDeadLetters { dry_run: true, ..asked };
    let (mut met, mut runs, mut more) = (0, 0, false);
    for number in 1..=COUNTED {
        let counted = piece(visit, &asked).await?;
        (met, runs) = (met + counted.met, runs + counted.runs);
        more = counted.next.is_some() && number == COUNTED;
        (asked.after, asked.until) = (counted.next, counted.until);
        if asked.after.is_none() {
            break;
        }
    }
    let label = VERBS.iter().find(|(known, ..)| *known == word).map_or(word, |(_, label, _)| *label);
    let more = if more { " or more" } else { "" };
    let weight = if matches!(asked.verb, DeadLetterVerb::Fail | DeadLetterVerb::Purge) { "danger" } else { "primary" };
    Ok(html! {
        form class="note warn" method="post" action="/dead-letters" {
            (look::PARKED.icon())
            span {
                strong { (count(met.into(), "step", "steps")) (more) } " of " (count(runs.into(), "run", "runs"))
                @if goes_on(asked.verb) { " would go on, " (page.target.on(asked.latest)) "." } @else { " would be touched." }
            }
            @for (name, value) in page.fields.all() { input type="hidden" name=(name) value=(value); }
            input type="hidden" name="sure" value="true";
            button class={ "button " (weight) } { (label) }
            a class="quiet" href=(page.which.path()) { "Leave it" }
        }
    })
}

async fn go_on(visit: &Visit, mut asked: ActOnDeadLetters, target: &Target) -> Result<Markup, Problem> {
    let begun = Instant::now();
    let (mut done, mut refused) = (0, Vec::new());
    loop {
        let answer = piece(visit, &asked).await?;
        done += answer.done;
        refused.extend(answer.refused);
        (asked.after, asked.until) = (answer.next, answer.until);
        if asked.after.is_none() || begun.elapsed() > GOES_ON {
            break;
        }
    }
    let rest = if asked.after.is_some() { " There are more: do it again." } else { "" };
    // What goes on has not come to its end: it may fail again.
    let look = match asked.verb {
        _ if !refused.is_empty() => look::PARKED,
        verb if goes_on(verb) => look::of_step(StepStatus::Running),
        _ => look::GOOD,
    };
    Ok(html! {
        p class={ "note " (look.class) } role="status" {
            (look.icon())
            span {
                strong { (became(asked.verb, done.into())) }
                @if goes_on(asked.verb) { " " (target.on(asked.latest)) }
                "."
                @if !refused.is_empty() { " Refused for " (count(refused.len() as u64, "step", "steps")) ", see below." }
                (rest)
                @if let Some(pipeline) = &target.pipeline {
                    " " a href={ "/runs?pipeline=" (utf8_percent_encode(pipeline, NON_ALPHANUMERIC)) } { "Runs of " (name(pipeline)) }
                    " ·"
                }
                " " a href="/dead-letters" { "All dead letters" }
            }
        }
        @if !refused.is_empty() {
            ul {
                @for it in refused.iter().take(REFUSED) {
                    li { a href={ "/runs/" (it.run) "/steps/" (it.step) } { (it.step) } ": " (prose(&it.why)) }
                }
            }
        }
    })
}

/// What has become of so many: `8 steps go on again`.
fn became(verb: DeadLetterVerb, steps: u64) -> String {
    let (one, many) = match verb {
        DeadLetterVerb::Retry | DeadLetterVerb::Resume => ("step goes on again", "steps go on again"),
        DeadLetterVerb::Skip => ("step has the output that you gave", "steps have the output that you gave"),
        DeadLetterVerb::Fail => ("step has failed, as you said", "steps have failed, as you said"),
        DeadLetterVerb::Purge => ("step is looked after", "steps are looked after"),
    };
    count(steps, one, many)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_said_of_each_verb() {
        assert_eq!(became(DeadLetterVerb::Retry, 8), "8 steps go on again");
        assert_eq!(became(DeadLetterVerb::Resume, 1), "1 step goes on again");
        assert_eq!(became(DeadLetterVerb::Purge, 8), "8 steps are looked after");
    }
}
