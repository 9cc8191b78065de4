//! The other process: it bounds itself before it reads anything, does one piece of work, and ends. It knows no setting and no
//! server, and keeps no compiled component: nothing that it could write would be executed. It can't write, either, so that memories
//! are filled without the help of files.

use std::io::{BufRead as _, Read as _};
use std::process::ExitCode;

use pawl_domain::schema::STACK_BYTES;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::{Answer, Work};

/// Three are open from the start; the compiler opens a few to look at the machine.
const OPEN_FILES: u64 = 16;

/// A line that tells what is asked, bytes.
const LINE_BYTES: u64 = 4 << 10;

/// What the program does if it was started for this kind of work; `None` if not. Called first of all, with nothing else under
/// way in the process.
#[must_use]
pub fn do_if_asked<W: Work>() -> Option<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    if words.next()? != W::WORD {
        return None;
    }
    let mut number = || words.next()?.to_str()?.parse().ok();
    let (Some(memory_bytes), Some(cpu_seconds)) = (number(), number()) else { return Some(ExitCode::from(2)) };
    Some(match work::<W>(memory_bytes, cpu_seconds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            pawl_base::tell!("{error}");
            ExitCode::FAILURE
        }
    })
}

fn work<W: Work>(memory_bytes: u64, cpu_seconds: u64) -> std::io::Result<()> {
    bound(memory_bytes, cpu_seconds)?;
    let mut stdin = std::io::stdin().lock();
    let mut line = Vec::new();
    (&mut stdin).take(LINE_BYTES).read_until(b'\n', &mut line)?;
    let asked: W = serde_json::from_slice(&line)?;
    let mut parts = Vec::new();
    for size in asked.sizes() {
        let mut part = Vec::new();
        (&mut stdin).take(size as u64).read_to_end(&mut part)?;
        parts.push(part);
    }
    drop(stdin);
    std::thread::Builder::new().name("watch".into()).spawn(end_with_who_asked)?;
    // Schemas may be deep.
    let working = std::thread::Builder::new().stack_size(STACK_BYTES);
    let working = working.spawn(move || asked.carry_out(parts))?;
    let answer = match working.join().map_err(|_| std::io::Error::other("the work panicked"))? {
        Ok(done) => Answer::Done(done),
        Err(why) if lacks_memory(&why) => Answer::NoMemory,
        Err(why) => Answer::Unfit(why),
    };
    pawl_base::terminal::print_json(&serde_json::to_string(&answer)?)
}

/// No limit that is set here can be raised again by what runs in the process, but for that of files up to its own.
fn bound(memory_bytes: u64, cpu_seconds: u64) -> std::io::Result<()> {
    let most = |most| Rlimit { current: Some(most), maximum: Some(most) };
    // Where memory runs out, the system ends this one, and not who serves others.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    setrlimit(Resource::Core, most(0))?;
    setrlimit(Resource::Fsize, most(0))?;
    setrlimit(Resource::Nofile, most(OPEN_FILES))?;
    // Reserved addresses are not counted, of which each memory of a guest has gigabytes: what is written to is.
    setrlimit(Resource::Data, most(memory_bytes))?;
    // The first limit says what happened, the second one ends whoever does not listen.
    setrlimit(Resource::Cpu, Rlimit { current: Some(cpu_seconds), maximum: Some(cpu_seconds.saturating_add(1)) })?;
    Ok(())
}

/// Standard input stays open for as long as somebody waits for the answer.
fn end_with_who_asked() {
    let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    std::process::exit(1);
}

/// As the system says it.
fn lacks_memory(why: &str) -> bool {
    why.contains(&std::io::Error::from_raw_os_error(rustix::io::Errno::NOMEM.raw_os_error()).to_string())
}
