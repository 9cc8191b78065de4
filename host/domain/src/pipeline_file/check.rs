//! From the tree to a pipeline: the keys there may be, and the rule of each.

use std::collections::HashMap;

use serde_json::Value;

use super::draft::Draft;
use super::fields::{Fields, did_you_mean, duration_in, list, name_in, text_in, unknown_word};
use super::grants::{allow_in, secrets_in};
use super::retention::retention_in;
use super::source::{Kind, Node};
use super::words::{check_name, check_version, closest};
use super::{KnownPlugins, KnownSchemas, Report, Span, documents, graph};
use crate::id::StepNo;
use crate::limits::Limits;
use crate::pipeline::{Pipeline, Priority, StepSpec, Versions, default_queue};
use crate::retention::Retention;
use crate::retry::{Backoff, RetryPolicy};

const PIPELINE_KEYS: &[&str] = &["name", "versions", "retention", "step"];
const STEP_KEYS: &[&str] =
    &["name", "plugin", "needs", "config", "secrets", "allow", "timeout", "queue", "priority", "retry"];
const RETRY_KEYS: &[&str] = &["max_attempts", "backoff", "delay", "max_delay"];

/// Checks everything; returns a pipeline if that much could be made of it. It is good only if nothing was
/// reported.
pub(super) fn check(
    tree: &Node,
    limits: &Limits,
    plugins: Option<&KnownPlugins>,
    schemas: &KnownSchemas,
    report: &mut Report<'_>,
) -> Option<Pipeline> {
    let root = Fields::of(tree, "a pipeline", PIPELINE_KEYS, report)?;
    let name = match root.get("name") {
        Some(node) => name_in(node, "the name of the pipeline", report),
        None => {
            report.absence(&root.span, "the pipeline has no name", "add `name = \"...\"` at the top".to_owned());
            None
        }
    };
    let versions = root.get("versions").map_or_else(Versions::default, |node| versions_in(node, report));
    let retention = root.get("retention").map_or_else(Retention::default, |node| retention_in(node, report));
    let nodes = steps_in(&root, limits.steps, report);
    let drafts: Vec<Draft<'_>> = nodes.iter().filter_map(|node| draft(node, limits, plugins, report)).collect();
    let steps = connect(drafts, schemas, report)?;
    Some(Pipeline { name: name.unwrap_or_default(), versions, retention, steps })
}

fn steps_in<'a>(root: &Fields<'a>, max_steps: usize, report: &mut Report<'_>) -> &'a [Node] {
    let Some(node) = root.get("step") else {
        let help = "add `[[step]]` with a name and a plugin".to_owned();
        report.absence(&root.span, "the pipeline has no steps", help);
        return &[];
    };
    let Kind::Array(nodes) = &node.kind else {
        let message = format!("`step` must be a list of steps, it is {}", node.type_name());
        report.problem(&node.span, message, "begin every step with `[[step]]`, in two brackets".to_owned());
        return &[];
    };
    if nodes.is_empty() {
        report.problem(&node.span, "the pipeline has no steps", "add one with a name and a plugin".to_owned());
    }
    match nodes.get(max_steps) {
        Some(first_over) => {
            let message = format!("the pipeline has {} steps, {max_steps} are allowed (`limit_steps`)", nodes.len());
            let help = "split it into several pipelines, or let a step work through many items".to_owned();
            report.problem(&first_over.span, message, help);
            &nodes[..max_steps]
        }
        None => nodes,
    }
}

fn draft<'a>(
    node: &'a Node,
    limits: &Limits,
    plugins: Option<&KnownPlugins>,
    report: &mut Report<'_>,
) -> Option<Draft<'a>> {
    let fields = Fields::of(node, "a step", STEP_KEYS, report)?;
    let name = match fields.get("name") {
        Some(node) => name_in(node, "the name of the step", report),
        None => {
            report.absence(&fields.span, "the step has no name", "add `name = \"...\"`".to_owned());
            None
        }
    };
    let (plugin, version) = match fields.get("plugin") {
        Some(node) => plugin_in(node, plugins, report),
        None => {
            let which = name.as_ref().map_or("the step".to_owned(), |name| format!("step `{name}`"));
            let help = "add `plugin = \"name\"` or `plugin = \"name@version\"`".to_owned();
            report.absence(&fields.span, format!("{which} has no plugin"), help);
            (String::new(), None)
        }
    };
    let queue = fields.get("queue").and_then(|node| name_in(node, "the name of the queue", report));
    let timeout_ms = fields.get("timeout").and_then(|node| duration_in(node, "timeout", report));
    if let (Some(0), Some(node)) = (timeout_ms, fields.get("timeout")) {
        report.problem(&node.span, "a timeout of 0 leaves no time at all", "leave it out for the usual one".to_owned());
    }
    let spec = StepSpec {
        name: name.unwrap_or_default(),
        plugin,
        version,
        needs: Vec::new(),
        config: fields.get("config").map_or(Value::Null, Node::to_json),
        secrets: fields.get("secrets").map_or_else(Vec::new, |node| secrets_in(node, report)),
        allow: fields.get("allow").map(|node| allow_in(node, report)),
        retry: fields.get("retry").map_or_else(RetryPolicy::default, |node| retry_in(node, report)),
        timeout_ms: timeout_ms.unwrap_or(limits.attempt_ms),
        queue: queue.unwrap_or_else(default_queue),
        priority: fields.get("priority").map_or(Priority::Normal, |node| priority_in(node, report)),
    };
    let needs = fields.get("needs").map_or_else(Vec::new, |node| needs_in(node, report));
    let config = fields.get("config").map(|node| node.span.clone());
    Some(Draft { spec, config, needs, span: fields.get("name").map_or(fields.span, |node| node.span.clone()) })
}

/// Puts the steps into an order and replaces names by numbers.
fn connect(drafts: Vec<Draft<'_>>, schemas: &KnownSchemas, report: &mut Report<'_>) -> Option<Vec<StepSpec>> {
    let mut by_name: HashMap<&str, usize> = HashMap::new();
    for (index, draft) in drafts.iter().enumerate().filter(|(_, draft)| !draft.spec.name.is_empty()) {
        if let Some(first) = by_name.get(draft.spec.name.as_str()) {
            let line = report.line(drafts[*first].span.start);
            let message = format!("there are two steps named `{}`", draft.spec.name);
            report.problem(&draft.span, message, format!("rename one; the first is on line {line}"));
        } else {
            by_name.insert(&draft.spec.name, index);
        }
    }
    let needs: Vec<Vec<usize>> = drafts.iter().map(|draft| resolve(draft, &by_name, report)).collect();
    let order = match graph::order(&needs) {
        Ok(order) => order,
        Err(circles) => {
            circles.iter().for_each(|circle| report_circle(circle, &drafts, report));
            return None;
        }
    };
    documents::check(&drafts, &needs, schemas, report);
    let mut numbers = vec![StepNo(0); drafts.len()];
    (0..).map(StepNo).zip(&order).for_each(|(number, index)| numbers[*index] = number);
    let mut specs: Vec<Option<StepSpec>> = drafts.into_iter().map(|draft| Some(draft.spec)).collect();
    let placed = order.iter().filter_map(|index| {
        let spec = specs[*index].take()?;
        Some(StepSpec { needs: needs[*index].iter().map(|need| numbers[*need]).collect(), ..spec })
    });
    Some(placed.collect())
}

/// The indices of the steps that one needs; unknown ones and itself are reported and left out.
fn resolve(draft: &Draft<'_>, by_name: &HashMap<&str, usize>, report: &mut Report<'_>) -> Vec<usize> {
    let name = &draft.spec.name;
    let mut found = Vec::new();
    for (need, span) in &draft.needs {
        match by_name.get(need) {
            _ if need == name => {
                report.problem(
                    span,
                    format!("step `{name}` needs itself"),
                    format!("remove \"{need}\" from its needs"),
                );
            }
            Some(index) if found.contains(index) => {
                report.problem(span, format!("step `{name}` needs `{need}` twice"), "remove one".to_owned());
            }
            Some(index) => found.push(*index),
            None => {
                let others = by_name.keys().copied().filter(|other| other != name);
                let message = format!("step `{name}` needs `{need}`, which is no step of this pipeline");
                report.absence(span, message, did_you_mean(need, others));
            }
        }
    }
    found
}

fn report_circle(circle: &[usize], drafts: &[Draft<'_>], report: &mut Report<'_>) {
    const NAMED: usize = 12;
    let mut names: Vec<&str> = circle.iter().take(NAMED).map(|index| drafts[*index].spec.name.as_str()).collect();
    if circle.len() > NAMED {
        names.push("...");
    }
    names.push(names[0]);
    let first = &drafts[circle[0]];
    let next = circle.get(1).map_or("", |index| drafts[*index].spec.name.as_str());
    let span = first.needs.iter().find(|(need, _)| *need == next).map_or(&first.span, |(_, span)| span);
    let message = format!("these steps need each other in a circle: {}", names.join(" → "));
    report.problem(span, message, "none of them could ever start: remove one of these needs".to_owned());
}

fn needs_in<'a>(node: &'a Node, report: &mut Report<'_>) -> Vec<(&'a str, Span)> {
    let Kind::Array(nodes) = &node.kind else {
        let message = format!("`needs` must be a list of names of steps, it is {}", node.type_name());
        report.problem(&node.span, message, "write needs = [\"...\"]".to_owned());
        return Vec::new();
    };
    let texts = nodes.iter().filter_map(|node| Some((text_in(node, "each of `needs`", report)?, node.span.clone())));
    texts.collect()
}

fn plugin_in(node: &Node, plugins: Option<&KnownPlugins>, report: &mut Report<'_>) -> (String, Option<String>) {
    let Some(text) = text_in(node, "`plugin`", report) else { return (String::new(), None) };
    let (name, version) = match text.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (text, None),
    };
    let form = check_name(name).map_err(|rule| format!("the name of the plugin {rule}")).and_then(|()| {
        version.map_or(Ok(()), check_version).map_err(|rule| format!("the version of the plugin {rule}"))
    });
    match form {
        Err(message) => report.problem(&node.span, message, "write \"name\" or \"name@version\"".to_owned()),
        Ok(()) => {
            plugins.into_iter().for_each(|plugins| check_known(name, version, plugins, &node.span, report));
        }
    }
    (name.to_owned(), version.map(str::to_owned))
}

fn check_known(name: &str, version: Option<&str>, plugins: &KnownPlugins, span: &Span, report: &mut Report<'_>) {
    let Some(plugin) = plugins.0.get(name) else {
        let push = format!(
            "push it first: `pawl plugin push FILE --name {name}`, or have it in the folder of plugins of `pawl dev`"
        );
        let meant = closest(name, plugins.0.keys().map(String::as_str));
        let help = meant.map_or(push.clone(), |meant| format!("did you mean `{meant}`? otherwise {push}"));
        return report.problem(span, format!("there is no plugin `{name}`"), help);
    };
    match version {
        Some(version) if !plugin.versions.contains(version) => {
            let versions: Vec<&str> = plugin.versions.iter().map(String::as_str).collect();
            let message = format!("plugin `{name}` has no version `{version}`");
            report.problem(span, message, format!("it has {}", list(&versions)));
        }
        None if !plugin.has_active => {
            let message = format!("plugin `{name}` has no active version");
            report.problem(span, message, format!("activate one: `pawl plugin activate {name}@VERSION`"));
        }
        _ => {}
    }
}

fn retry_in(node: &Node, report: &mut Report<'_>) -> RetryPolicy {
    let mut policy = RetryPolicy::default();
    let Some(fields) = Fields::of(node, "`retry`", RETRY_KEYS, report) else { return policy };
    if let Some(node) = fields.get("max_attempts") {
        match &node.kind {
            Kind::Scalar(Value::Number(number))
                if number.as_u64().is_some_and(|number| (1..=1_000).contains(&number)) =>
            {
                policy.max_attempts = number.as_u64().and_then(|number| number.try_into().ok()).unwrap_or(1);
            }
            _ => {
                let help = "1 means no retry: the first attempt counts".to_owned();
                report.problem(&node.span, "`max_attempts` must be a whole number from 1 to 1000", help);
            }
        }
    }
    if let Some(text) = fields.get("backoff").and_then(|node| text_in(node, "`backoff`", report)) {
        match text {
            "fixed" => policy.backoff = Backoff::Fixed,
            "exponential" => policy.backoff = Backoff::Exponential,
            _ => unknown_word(fields.get("backoff"), "backoff", text, &["fixed", "exponential"], report),
        }
    }
    if let Some(delay_ms) = fields.get("delay").and_then(|node| duration_in(node, "delay", report)) {
        policy.delay_ms = delay_ms;
        policy.max_delay_ms = policy.max_delay_ms.max(delay_ms);
    }
    if let Some((node, max_delay_ms)) =
        fields.get("max_delay").and_then(|node| Some((node, duration_in(node, "max_delay", report)?)))
    {
        if policy.backoff == Backoff::Fixed {
            let help = "remove it, or write backoff = \"exponential\"".to_owned();
            report.problem(&node.span, "`max_delay` says nothing with a fixed backoff", help);
        } else if max_delay_ms < policy.delay_ms {
            let message = format!("`max_delay` is shorter than `delay`, which is {} ms", policy.delay_ms);
            report.problem(&node.span, message, "the delay grows from `delay` to `max_delay`".to_owned());
        }
        policy.max_delay_ms = max_delay_ms;
    }
    policy
}

fn versions_in(node: &Node, report: &mut Report<'_>) -> Versions {
    let Some(text) = text_in(node, "`versions`", report) else { return Versions::default() };
    Versions::named(text).unwrap_or_else(|| {
        unknown_word(Some(node), "versions", text, &Versions::ALL.map(Versions::as_str), report);
        Versions::default()
    })
}

fn priority_in(node: &Node, report: &mut Report<'_>) -> Priority {
    let Some(text) = text_in(node, "`priority`", report) else { return Priority::Normal };
    text.parse().unwrap_or_else(|_| {
        unknown_word(Some(node), "priority", text, &Priority::ALL.map(Priority::as_str), report);
        Priority::Normal
    })
}
