//! Whether the documents of a pipeline go together: each step's config with its component's schema, and what a
//! step returns with what the next one takes. Told only if it can't be right; steps whose components have no
//! schemas take and return anything.

use std::collections::HashMap;
use std::sync::Arc;

use super::draft::Draft;
use super::{Report, Span};
use crate::pipeline::StepSpec;
use crate::schema::compare::{mismatch, mismatch_of_several};
use crate::schema::{Schema, Schemas};

/// The schemas of plugins, by name and the version that a pipeline asks for.
#[derive(Debug, Default)]
pub struct KnownSchemas(pub HashMap<(String, Option<String>), Arc<Schemas>>);

impl KnownSchemas {
    fn of(&self, step: &StepSpec) -> Option<&Schemas> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&(step.plugin.clone(), step.version.clone())).map(AsRef::as_ref)
    }

    fn output(&self, step: &StepSpec) -> Option<&serde_json::Value> {
        self.of(step)?.output.as_ref().map(Schema::document)
    }
}

/// Steps that the checks of all configs may take together: about a second.
const STEPS: u64 = 200_000_000;

/// Reports what can't be right. `needs` are indices of `drafts`.
pub(super) fn check(drafts: &[Draft<'_>], needs: &[Vec<usize>], known: &KnownSchemas, report: &mut Report<'_>) {
    let mut left = STEPS;
    for (draft, needs) in drafts.iter().zip(needs) {
        let Some(schemas) = known.of(&draft.spec) else { continue };
        if let Some(schema) = &schemas.config {
            let name = &draft.spec.name;
            // Without a config a step reads an empty one: all of it must have a default.
            let (given, span, what) = match &draft.config {
                Some(span) => {
                    (draft.spec.config.to_string(), span, format!("the config of step `{name}` does not fit"))
                }
                None => ("{}".to_owned(), &draft.span, format!("step `{name}` has no `config`, which does not fit")),
            };
            if let Err(misfit) = schema.check_as_one_of(given.as_bytes(), &mut left) {
                report.problem(span, format!("{what} its plugin's schema: {misfit}"), None);
            }
        }
        let Some(wanted) = schemas.input.as_ref().map(Schema::document) else { continue };
        let given: Vec<_> =
            needs.iter().map(|need| &drafts[*need].spec).map(|step| (step.name.as_str(), known.output(step))).collect();
        let told = match given.as_slice() {
            [] => None,
            [(_, given)] => given.and_then(|given| mismatch(given, wanted)),
            several => mismatch_of_several(several, wanted),
        };
        if let Some(told) = told {
            let names: Vec<String> = given.iter().map(|(name, _)| format!("`{name}`")).collect();
            let message = format!("step `{}` can't take what {} returns: {told}", draft.spec.name, names.join(" and "));
            report.problem(&of_needs(draft), message, "put a step between them, or take another plugin".to_owned());
        }
    }
}

/// From the first of its needs to the last.
fn of_needs(draft: &Draft<'_>) -> Span {
    match (draft.needs.first(), draft.needs.last()) {
        (Some((_, first)), Some((_, last))) => first.start..last.end.max(first.end),
        _ => draft.span.clone(),
    }
}
