//! Crashes at every host call, in every way that a crash can come, each held against a life without one.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::Request;
use super::host::Host;
use super::life::{self, Broken};
use super::loss::{Crash, Loss};
use super::run::Run;
use crate::context::Context;
use crate::failure::Failure;

/// A crash as the message about it names it.
struct Named(Crash, &'static str);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Crash { call, loss }, name) = self;
        let lost = match loss {
            Loss::Nothing => "",
            Loss::Checkpoint => ", without the last checkpoint",
            Loss::Unwritten => ", without what was not written yet",
            Loss::Answer => ", when the answer had come and was not written",
        };
        write!(f, "crashed at host call {call} ({name}){lost}")
    }
}

/// See [`Host::crash_everywhere`].
pub(super) fn everywhere<I, O, E>(
    host: &Host,
    step: &impl Fn(&mut Context, I) -> Result<O, E>,
    input: &str,
) -> Result<Run<O>, Broken>
where
    I: DeserializeOwned,
    O: Serialize,
    E: Into<Failure>,
{
    let mut calm = life::live(host, step, input, None)?.run;
    for call in 1..=calm.calls().len() {
        for crash in Loss::ALL.map(|loss| Crash { call, loss }) {
            let named = Named(crash, calm.calls()[call - 1]);
            let broken = |Broken(why)| Broken(format!("{named}: {why}"));
            let lived = life::live(host, step, input, Some(crash)).map_err(broken)?;
            if lived.crashed {
                compare(host, &calm, &lived.run).map_err(broken)?;
                calm.crashes += 1;
            }
        }
    }
    Ok(calm)
}

fn compare<O: Serialize>(host: &Host, calm: &Run<O>, crashed: &Run<O>) -> Result<(), Broken> {
    let (expected, found) = (end_of(host, calm), end_of(host, crashed));
    if expected != found {
        return Err(Broken(format!(
            "the step ended with\n    {found}\nand without a crash it ends with\n    {expected}\n(Host::ignoring leaves \
             out a member that tells of the crash)"
        )));
    }
    let (expected, found) = (effects_of(calm)?, effects_of(crashed)?);
    for (key, sent) in &found {
        match expected.get(key) {
            Some(request) if request == sent => {}
            Some(request) => return Err(two_requests(key, request, sent)),
            None => return Err(another_key(key, sent, &expected)),
        }
    }
    if let Some((key, (method, url, _))) = expected.iter().find(|(key, _)| !found.contains_key(*key)) {
        return Err(Broken(format!("{method} {url} (key {key}) was left out, which leaves without a crash")));
    }
    let done = |run: &Run<O>| {
        let mut names = run.onces().to_vec();
        names.sort_unstable();
        names
    };
    if done(calm) != done(crashed) {
        return Err(Broken(format!(
            "these once were finished: {:?}; without a crash: {:?}. One that was finished before a checkpoint is not \
             known after it: the state must tell that it is done",
            crashed.onces(),
            calm.onces()
        )));
    }
    Ok(())
}

/// How a life ended, without what the test ignores.
fn end_of<O: Serialize>(host: &Host, run: &Run<O>) -> String {
    match run.outcome() {
        Ok(output) => {
            let mut output = serde_json::to_value(output).expect("an output can be written as JSON");
            host.ignored.iter().for_each(|pointer| forget(&mut output, pointer));
            format!("the output {output}")
        }
        Err(failure) => {
            let kind = if failure.is_fatal() { "fatal failure" } else { "failure worth a retry" };
            format!("the {kind} {:?}", failure.to_string())
        }
    }
}

fn forget(output: &mut Value, pointer: &str) {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    if let Some(Value::Object(members)) = output.pointer_mut(parent) {
        members.remove(name);
    }
}

/// What left under a key: method, URL and body.
type Effect<'a> = (&'a str, &'a str, &'a [u8]);

fn effects_of<O>(run: &Run<O>) -> Result<BTreeMap<&str, Effect<'_>>, Broken> {
    let mut effects = BTreeMap::new();
    for Request { method, url, body, key, .. } in run.requests() {
        let Some(key) = key else { continue };
        let effect = (method.as_str(), url.as_str(), body.as_slice());
        if let Some(other) = effects.insert(key.as_str(), effect)
            && other != effect
        {
            return Err(two_requests(key, &other, &effect));
        }
    }
    Ok(effects)
}

fn two_requests(key: &str, one: &Effect<'_>, other: &Effect<'_>) -> Broken {
    let text = |(method, url, body): &Effect<'_>| format!("{method} {url} {}", String::from_utf8_lossy(body));
    Broken(format!("two requests left under the key {key}:\n    {}\n    {}", text(one), text(other)))
}

fn another_key(key: &str, sent: &Effect<'_>, expected: &BTreeMap<&str, Effect<'_>>) -> Broken {
    let (method, url, _) = sent;
    let usual = expected.iter().find(|(_, request)| *request == sent).map(|(usual, _)| *usual);
    Broken(match usual {
        Some(usual) => format!(
            "{method} {url} left under the key {key}, and without a crash it leaves under {usual}: it is done twice. \
             Name the effect, so that its key does not depend on its place"
        ),
        None => format!("{method} {url} left under the key {key}, and without a crash it does not leave at all"),
    })
}
