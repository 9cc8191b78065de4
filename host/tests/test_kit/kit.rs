//! The life of a program on the SDK's test kit, as an author's test would run it.

use std::cell::Cell;
use std::time::{Duration, UNIX_EPOCH};

use pawl_sdk::testing::{Answer, Host, Request};
use pawl_sdk::{Context, Failure};

use crate::program::{self, Guest, Op, Program, Told};
use crate::{ATTEMPTS, Crash, Life, SIGNALS_MS};

pub fn live(program: &Program, crash: Crash) -> Life {
    let questions = Cell::new(0_u64);
    let answer = move |_: &Request| {
        questions.set(questions.get() + 1);
        let status = if questions.get().is_multiple_of(4) { 503 } else { 200 };
        Some(Answer::status(status).body(questions.get().to_string()))
    };
    let host = Host::new().now(UNIX_EPOCH).tick(Duration::from_nanos(1)).attempts(ATTEMPTS).answer_with(answer);
    let host = SIGNALS_MS
        .into_iter()
        .zip(0_u64..)
        .fold(host, |host, (after_ms, payload)| host.signal_after(Duration::from_millis(after_ms), "signal", payload));
    let step = |ctx: &mut Context, (): ()| program::run(program, &mut Step::Outside(ctx));
    let run = host.run_with_crash(crash.call, crash.loss, step, ());
    Life {
        told: run.outcome().ok().cloned(),
        attempts: run.attempts(),
        sent: run.requests().iter().map(|request| (request.url.clone(), request.key.clone())).collect(),
        onces: run.onces().to_vec(),
        checkpoints: run.checkpoints(),
        calls: run.calls().len(),
    }
}

/// What the compiler allows outside and inside of a `once`.
enum Step<'a> {
    Outside(&'a mut Context),
    Inside(&'a Context),
}

impl Step<'_> {
    fn ctx(&self) -> &Context {
        match self {
            Self::Outside(ctx) => ctx,
            Self::Inside(ctx) => ctx,
        }
    }

    fn outside(&mut self) -> &mut Context {
        match self {
            Self::Outside(ctx) => ctx,
            Self::Inside(_) => unreachable!("programs save and wait outside of once"),
        }
    }
}

impl Guest for Step<'_> {
    type End = Failure;

    fn attempt(&mut self) -> Result<u32, Failure> {
        Ok(self.ctx().attempt())
    }

    fn deadline_ms(&mut self) -> Result<u64, Failure> {
        Ok(u64::try_from(self.ctx().deadline().duration_since(UNIX_EPOCH)?.as_millis())?)
    }

    fn now(&mut self) -> Result<u64, Failure> {
        Ok(self.ctx().now_ns())
    }

    fn random(&mut self, len: u32) -> Result<Vec<u8>, Failure> {
        Ok(self.ctx().random_bytes(len))
    }

    fn fetch(&mut self, url: &str) -> Result<u64, Failure> {
        Ok(self.ctx().http().get(format!("http://{url}")).send()?.json()?)
    }

    fn effect(&mut self, name: Option<&str>, url: &str) -> Result<u64, Failure> {
        let request = self.ctx().http().post(format!("http://{url}"));
        let request = name.into_iter().fold(request, |request, name| request.effect(name));
        Ok(request.send()?.json()?)
    }

    fn once(&mut self, name: &str, inside: &[Op]) -> Result<Vec<Told>, Failure> {
        let ctx = self.ctx();
        ctx.once(name, || program::all(inside, &mut Step::Inside(ctx)))
    }

    fn sleep(&mut self, duration_ms: u64) -> Result<(), Failure> {
        self.outside().sleep(Duration::from_millis(duration_ms));
        Ok(())
    }

    fn await_signal(&mut self, timeout_ms: u64) -> Result<Option<u64>, Failure> {
        self.outside().await_signal("signal", Duration::from_millis(timeout_ms))
    }

    fn restore(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.outside().restore_bytes())
    }

    fn checkpoint(&mut self, state: &[u8]) -> Result<(), Failure> {
        self.outside().checkpoint_bytes(state);
        Ok(())
    }

    fn fail(&mut self, from_checkpoint: bool) -> Failure {
        let failure = Failure::retry("as the program has it");
        if from_checkpoint { failure.from_checkpoint() } else { failure }
    }
}
