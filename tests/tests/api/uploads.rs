//! Components of hostile authors, pushed: each is refused with the limit that it met, and meanwhile the API answers others.
//! They are steps that were built, changed in their bytes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use pawl_api::types::{PluginList, PushedPlugin};
use pawl_tests::{Client, binary, bounds, wait};
use serde_json::json;

use crate::served::{Api, PIPELINE};

/// How long others may wait on a busy machine.
const SOON: Duration = Duration::from_secs(5);

/// Executes for ever, and fits every type: a loop without an end, and nothing after it.
const ENDLESS: [u8; 8] = [0, 0x03, 0x40, 0x0c, 0, 0x0b, 0, 0x0b];

/// A number as the format has it: <https://webassembly.github.io/spec/core/binary/values.html#integers>.
fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        bytes.push(if value == 0 { low } else { low | 0x80 });
        if value == 0 {
            return bytes;
        }
    }
}

/// Takes a number off the front.
fn take_number(bytes: &mut &[u8]) -> Result<usize> {
    let (mut value, mut shift) = (0_usize, 0);
    loop {
        let (byte, rest) = bytes.split_first().context("a number is cut off")?;
        *bytes = rest;
        value |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &number(content.len()), content].concat()
}

/// The sections behind the eight bytes at the beginning.
fn sections(bytes: &[u8]) -> Result<Vec<(u8, &[u8])>> {
    let mut rest = bytes.get(8..).context("the beginning is cut off")?;
    let mut sections = Vec::new();
    while let Some((&id, after)) = rest.split_first() {
        rest = after;
        let size = take_number(&mut rest)?;
        let (content, after) = rest.split_at_checked(size).context("a section is cut off")?;
        sections.push((id, content));
        rest = after;
    }
    Ok(sections)
}

/// A component whose largest module has been changed.
fn changed(component: &[u8], change: impl Fn(&[u8]) -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    let all = sections(component)?;
    let largest = all.iter().filter(|(id, _)| *id == 1).map(|(_, module)| module.len()).max().context("a module")?;
    let mut bytes = component[..8].to_vec();
    for (id, content) in all {
        let is_it = id == 1 && content.len() == largest;
        bytes.extend(section(id, &if is_it { change(content)? } else { content.to_vec() }));
    }
    Ok(bytes)
}

/// A module of which sections have been changed; `None` leaves one as it is.
fn with_sections(module: &[u8], change: impl Fn(u8, &[u8]) -> Result<Option<Vec<u8>>>) -> Result<Vec<u8>> {
    let mut bytes = module[..8].to_vec();
    for (id, content) in sections(module)? {
        bytes.extend(section(id, &change(id, content)?.unwrap_or_else(|| content.to_vec())));
    }
    Ok(bytes)
}

/// The bodies of a module's functions, with those of all of them (`None`) or of one replaced.
fn with_body(code: &[u8], which: Option<usize>, body: &[u8]) -> Result<Vec<u8>> {
    let mut rest = code;
    let count = take_number(&mut rest)?;
    let mut bytes = number(count);
    for function in 0..count {
        let size = take_number(&mut rest)?;
        let (own, after) = rest.split_at_checked(size).context("a body is cut off")?;
        let body = if which.is_none_or(|which| which == function) { body } else { own };
        bytes.extend(number(body.len()));
        bytes.extend(body);
        rest = after;
    }
    Ok(bytes)
}

/// A function of the module that takes nothing and gives nothing, by its place among those that it defines, and how many it
/// imports.
fn plain_function(module: &[u8]) -> Result<(usize, usize)> {
    let find = |wanted: u8| sections(module).map(|all| all.into_iter().find(|(id, _)| *id == wanted));
    let (_, mut types) = find(1)?.context("types")?;
    let mut plain = None;
    for index in 0..take_number(&mut types)? {
        let (form, rest) = types.split_first().context("a type")?;
        ensure!(*form == 0x60, "a type that is no function's");
        types = rest;
        let mut sizes = [0; 2];
        for size in &mut sizes {
            *size = take_number(&mut types)?;
            types = types.get(*size..).context("a type is cut off")?;
        }
        if sizes == [0, 0] {
            plain = Some(index);
        }
    }
    let plain = plain.context("a function that takes and gives nothing")?;
    let mut imported = 0;
    if let Some((_, mut imports)) = find(2)? {
        for _ in 0..take_number(&mut imports)? {
            for _ in 0..2 {
                let size = take_number(&mut imports)?;
                imports = imports.get(size..).context("a name is cut off")?;
            }
            let (kind, rest) = imports.split_first().context("an import")?;
            ensure!(*kind == 0, "an import that is no function");
            imports = rest;
            take_number(&mut imports)?;
            imported += 1;
        }
    }
    let (_, mut functions) = find(3)?.context("functions")?;
    for function in 0..take_number(&mut functions)? {
        if take_number(&mut functions)? == plain {
            return Ok((function, imported));
        }
    }
    anyhow::bail!("no function takes and gives nothing")
}

/// The step with a start of its own, which does this.
fn starting(step: &[u8], body: impl Fn(usize) -> Vec<u8>) -> Result<Vec<u8>> {
    changed(step, |module| {
        let (function, imported) = plain_function(module)?;
        let index = imported + function;
        let module = with_sections(module, |id, code| {
            (id == 10).then(|| with_body(code, Some(function), &body(index))).transpose()
        })?;
        // Before the elements, the count of data and the code.
        let all = sections(&module)?;
        let is_before = |id: u8| matches!(id, 0..=7 | 13);
        let at = all.iter().position(|(id, _)| !is_before(*id)).unwrap_or(all.len());
        let mut bytes = module[..8].to_vec();
        for (number_of, (id, content)) in all.iter().enumerate() {
            if number_of == at {
                bytes.extend(section(8, &number(index)));
            }
            bytes.extend(section(*id, content));
        }
        Ok(bytes)
    })
}

/// A component of one module, with so many functions of so much code, which the compiler has to look at.
fn laborious(functions: usize, additions: usize) -> Vec<u8> {
    // Of a parameter: what is computed must stay.
    let mut body = vec![0, 0x20, 0];
    (0..additions).for_each(|_| body.extend([0x20, 0, 0x6c, 0x41, 3, 0x6a]));
    body.push(0x0b);
    let code = [&number(body.len())[..], &body].concat().repeat(functions);
    let module = [
        &b"\0asm\x01\0\0\0"[..],
        &section(1, &[1, 0x60, 1, 0x7f, 1, 0x7f]),
        &section(3, &[&number(functions)[..], &vec![0; functions]].concat()),
        &section(10, &[&number(functions)[..], &code].concat()),
    ]
    .concat();
    [&b"\0asm\x0d\0\x01\0"[..], &section(1, &module)].concat()
}

/// A function with more variables than the compiler should look at.
fn giant() -> Vec<u8> {
    let locals = [&[1][..], &number(40_000), &[0x7f]].concat();
    let body = [&locals[..], &vec![0x01; 230 << 10], &[0x0b]].concat();
    let module = [
        &b"\0asm\x01\0\0\0"[..],
        &section(1, &[1, 0x60, 0, 0]),
        &section(3, &[1, 0]),
        &section(10, &[&number(1)[..], &number(body.len()), &body].concat()),
    ]
    .concat();
    [&b"\0asm\x0d\0\x01\0"[..], &section(1, &module)].concat()
}

/// More memories than the one that the module has.
fn memories(step: &[u8], more: usize) -> Result<Vec<u8>> {
    more_of(step, 5, &[0, 1], more)
}

/// More tables.
fn tables(step: &[u8], more: usize) -> Result<Vec<u8>> {
    more_of(step, 4, &[0x70, 0, 0], more)
}

/// More of what stands in this section of the module, each like that.
fn more_of(step: &[u8], section: u8, one: &[u8], more: usize) -> Result<Vec<u8>> {
    changed(step, |module| {
        with_sections(module, |id, all| {
            if id != section {
                return Ok(None);
            }
            let mut rest = all;
            let count = take_number(&mut rest)?;
            Ok(Some([&number(count + more)[..], rest, &one.repeat(more)].concat()))
        })
    })
}

/// So many more instances, of a module that has nothing.
fn instances(step: &[u8], more: usize) -> Result<Vec<u8>> {
    let index = sections(step)?.iter().filter(|(id, _)| *id == 1).count();
    let one = [&[0][..], &number(index), &[0]].concat();
    let made = [&number(more)[..], &one.repeat(more)].concat();
    Ok([step, &section(1, b"\0asm\x01\0\0\0"), &section(2, &made)].concat())
}

/// How long others have waited at the most, while this was done.
fn beside<T>(client: &Client, what: impl FnOnce() -> T) -> Result<(T, Duration)> {
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| -> Result<Duration> {
            let mut longest = Duration::ZERO;
            while !is_done.load(Ordering::Relaxed) {
                let begun = Instant::now();
                ensure!(client.get("/health")?.status == 200);
                client.submit_all("pair", &[json!(1)])?;
                longest = longest.max(begun.elapsed());
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(longest)
        });
        let done = what();
        is_done.store(true, Ordering::Relaxed);
        let longest = asking.join().map_err(|_| anyhow::anyhow!("others were not answered"))??;
        Ok((done, longest))
    })
}

#[test]
fn what_a_hostile_author_pushes_is_refused_with_its_limit_and_holds_up_nobody() -> Result<()> {
    let mut api = Api::prepare("uploads")?;
    api.migrate()?;
    api.config.apart.time = Duration::from_secs(15);
    api.config.apart.memory_bytes = 512 << 20;
    api.serve()?;
    api.push_echo()?;
    api.apply(PIPELINE)?;
    let echo = binary::component("echo")?;
    for (what, component, says) in [
        ("an endless start", starting(&echo, |_| ENDLESS.to_vec())?, "can't describe itself"),
        (
            "a start that calls itself",
            starting(&echo, |index| [&[0, 0x10][..], &number(index), &[0x0b]].concat())?,
            "call stack",
        ),
        (
            "an endless description",
            changed(&echo, |module| {
                with_sections(module, |id, code| (id == 10).then(|| with_body(code, None, &ENDLESS)).transpose())
            })?,
            "can't describe itself",
        ),
        ("a giant function", giant(), "too long to compile"),
        ("thousands of functions", laborious(70_000, 1), "more than 60000 functions"),
        ("fifty memories", memories(&echo, 49)?, "memor"),
        ("thousands of memories", memories(&echo, 4_000)?, "memor"),
        ("thousands of tables", tables(&echo, 4_000)?, "table"),
        ("thousands of instances", instances(&echo, 4_000)?, "instance"),
        ("bytes that end early", echo[..echo.len() / 2].to_vec(), "can't be compiled"),
    ] {
        let push = || api.client.post("/v1/plugins/evil/versions/1", "application/wasm", component.clone());
        let (pushed, longest) = beside(&api.client, push)?;
        let refused = pushed?.problem(422).with_context(|| what.to_owned())?;
        ensure!(refused.kind == "/problems/invalid-component" && refused.detail.contains(says), "{what}: {refused:?}");
        ensure!(longest < SOON, "{what}: others have waited for {longest:?}");
    }
    let plugins: PluginList = api.client.get("/v1/plugins")?.read()?;
    ensure!(plugins.plugins.len() == 1, "nothing of it was stored: {plugins:?}");
    api.stop()
}

#[test]
fn an_upload_has_its_time_and_its_memory_and_no_more() -> Result<()> {
    let mut api = Api::prepare("upload_limits")?;
    api.migrate()?;
    api.config.apart.time = Duration::from_secs(2);
    api.serve()?;
    api.push_echo()?;
    api.apply(PIPELINE)?;
    let push =
        |api: &Api, component: Vec<u8>| api.client.post("/v1/plugins/evil/versions/1", "application/wasm", component);
    let begun = Instant::now();
    let (pushed, longest) = beside(&api.client, || push(&api, laborious(59_000, 150)))?;
    let refused = pushed?.problem(422)?;
    ensure!(refused.detail.contains("within 2s") && refused.detail.contains("raise `compile_timeout`"), "{refused:?}");
    ensure!(begun.elapsed() < bounds::RUN && longest < SOON, "{longest:?}");
    api.stop()?;

    api.config.apart.time = Duration::from_secs(60);
    api.config.apart.memory_bytes = 160 << 20;
    api.serve()?;
    let (pushed, longest) = beside(&api.client, || push(&api, laborious(59_000, 150)))?;
    let refused = pushed?.problem(422)?;
    ensure!(refused.detail.contains("160 MiB") && refused.detail.contains("raise `compile_memory`"), "{refused:?}");
    ensure!(longest < SOON, "{longest:?}");
    api.stop()
}

#[test]
fn what_was_let_in_is_not_examined_again_and_nothing_else_gets_past_the_examination() -> Result<()> {
    let mut api = Api::start("uploads_again")?;
    api.push_echo()?;
    api.stop()?;
    api.config.apart.program = "/nowhere/pawl".into();
    api.serve()?;
    let push =
        |name: &str| api.client.post("/v1/plugins/echo/versions/2", "application/wasm", binary::component(name)?);
    let pushed: PushedPlugin = push("echo")?.read()?;
    ensure!(pushed.created && pushed.manifest["name"] == "echo", "{pushed:?}");
    let refused = push("clock")?.problem(500)?;
    ensure!(!refused.detail.contains("/nowhere"), "{refused:?}");
    api.stop()
}

#[test]
fn an_examination_ends_when_the_process_dies_that_has_asked_for_it() -> Result<()> {
    let component = laborious(59_000, 150);
    let line = json!({"component_bytes": component.len(), "limit_component": 64 << 20, "limit_entry": 1 << 20,
        "limit_memory": 256 << 20});
    let mut command = binary::pawl()?;
    command.args(["examine-component", "2147483648", "600"]).env_clear();
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().context("it is piped")?;
    std::io::Write::write_all(&mut stdin, format!("{line}\n").as_bytes())?;
    std::io::Write::write_all(&mut stdin, &component)?;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id()))?;
    for bounded in
        ["Max data size             2147483648", "Max file size             0", "Max open files            16"]
    {
        ensure!(limits.contains(bounded), "{bounded:?} is not in\n{limits}");
    }
    ensure!(child.try_wait()?.is_none(), "it has work for long");
    drop(stdin);
    wait::until_true(bounds::PROCESS, "it to end", || Ok(child.try_wait()?.is_some()))
}
