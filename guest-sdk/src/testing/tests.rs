//! The test kit is what other tests trust, so it is held to find faults, and to let good steps pass.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use serde_json::Value;

use super::{Answer, Host, Loss, crash_everywhere, json};
use crate::{Context, Failure, Level, OrFail};

const DAY: Duration = Duration::from_secs(86_400);
const SHOP: &str = "https://shop.example/orders";

fn shop() -> Host {
    Host::new().answer("POST", SHOP, Answer::status(201)).answer("GET", "https://shop.example/*", Answer::json(7))
}

/// The message with which a test would fail.
fn complaint<T>(test: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(test()))).expect_err("it should find a fault");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

fn post(ctx: &Context, body: impl serde::Serialize) -> Result<(), Failure> {
    ctx.http().post(SHOP).json(&body).send()?.ok()?;
    Ok(())
}

#[test]
fn a_step_sees_what_the_test_says() {
    let step = |ctx: &mut Context, input: u32| -> Result<Value, Failure> {
        let config: Value = ctx.config()?;
        Ok(json!([input, config["a"], ctx.secret("token")?, ctx.attempt(), ctx.step_name(), ctx.now_ns()]))
    };
    let host = Host::new().config(json!({ "a": 1 })).secret("token", "s3").step_name("charge");
    let output = json!([5, 1, "s3", 1, "charge", 1_767_225_600_000_000_000_u64]);
    assert_eq!(*host.run(step, 5).output(), output);
    assert_eq!(*host.crash_everywhere(step, 5).output(), output);
}

#[test]
fn a_missing_secret_names_the_fix() {
    let run = Host::new().run(|ctx: &mut Context, (): ()| ctx.secret("token"), ());
    assert!(run.failure().is_fatal());
    assert!(run.failure().to_string().contains(r#"add secrets = ["token"] to this step"#), "{}", run.failure());
}

#[test]
fn an_input_that_does_not_fit_is_the_steps_failure() {
    let run = Host::new().run(|_: &mut Context, input: Vec<u8>| Ok::<_, Failure>(input.len()), json!([1, "x"]));
    assert!(run.failure().to_string().contains("the input does not fit at `[1]`"), "{}", run.failure());
}

#[test]
fn logs_progress_and_calls_are_there_to_be_looked_at() {
    let step = |ctx: &mut Context, (): ()| -> Result<(), Failure> {
        ctx.warn("odd", &[("rows", &3)]);
        ctx.progress(0.5, "half");
        Ok(())
    };
    let run = Host::new().run(step, ());
    let line = &run.logs()[0];
    assert_eq!((line.level, line.message.as_str()), (Level::Warn, "odd"));
    assert_eq!(line.fields, [("rows".to_owned(), "3".to_owned())]);
    assert_eq!(run.progress(), [(0.5, "half".to_owned())]);
    assert_eq!(run.calls(), ["logging.log", "logging.progress"]);
}

#[test]
fn effects_carry_keys_and_reads_do_not() {
    let step = |ctx: &mut Context, (): ()| -> Result<u32, Failure> {
        post(ctx, "a")?;
        ctx.once("pay", || ctx.http().post(SHOP).effect("card").send()?.ok().map(|_| ()))?;
        ctx.http().post(SHOP).effect("b").send()?.ok()?;
        ctx.http().get("https://shop.example/7").send()?.ok()?.json().or_fail()
    };
    let run = shop().crash_everywhere(step, ());
    let keys: Vec<_> = run.requests().iter().map(|request| request.key.as_deref()).collect();
    assert_eq!(keys, [Some("effect 0"), Some("once \"pay\", effect \"card\""), Some("effect \"b\""), None]);
    assert_eq!(run.onces(), ["pay"]);
}

#[test]
fn the_key_that_a_step_asks_for_is_the_one_that_its_effect_carries() {
    let step = |ctx: &mut Context, (): ()| -> Result<String, Failure> {
        ctx.http().post(SHOP).effect("b").send()?.ok()?;
        Ok(ctx.idempotency_key("b"))
    };
    let run = shop().run(step, ());
    assert_eq!(run.effects().next().and_then(|effect| effect.key.as_ref()), Some(run.output()));
}

#[test]
fn answers_come_in_turn_and_a_request_without_one_fails_the_test() {
    let step = |ctx: &mut Context, url: String| -> Result<Vec<u16>, Failure> {
        (0..3).map(|_| Ok(ctx.http().get(&url).send()?.status())).collect()
    };
    let host =
        Host::new().answer("GET", "http://a/", Answer::status(503)).answer("GET", "http://a/", Answer::status(200));
    assert_eq!(host.run(step, "http://a/").output(), &[503, 200, 200]);
    assert!(complaint(|| host.run(step, "http://b/")).contains(r#"add Host::answer("GET", "http://b/", …)"#));
    let run = Host::new().run(step, "nowhere");
    assert!(run.failure().to_string().contains("no URL"), "{}", run.failure());
}

#[test]
fn a_retried_step_keeps_its_successful_effects_and_asks_the_rest_again() {
    let step = |ctx: &mut Context, (): ()| -> Result<u32, Failure> {
        let attempt = ctx.attempt();
        post(ctx, "first")?;
        let read: u32 = ctx.http().get("https://shop.example/7").send()?.ok()?.json()?;
        assert_eq!(attempt, 1, "what came before the effect was in the first attempt");
        if ctx.attempt() < 3 {
            return Err(Failure::retry("not yet").after(DAY));
        }
        Ok(read)
    };
    let run = shop().attempts(3).crash_everywhere(step, ());
    assert_eq!((*run.output(), run.attempts()), (7, 3));
    assert_eq!(run.effects().count(), 1);
    assert_eq!(run.requests().len(), 4, "the answer of the read was dropped twice");
    assert_eq!(run.elapsed(), 2 * DAY);
    assert_eq!(shop().attempts(2).run(step, ()).failure().to_string(), "not yet");
}

#[test]
fn a_fatal_failure_is_not_retried_and_a_panic_is() {
    let fatal = Host::new().attempts(9).run(|_: &mut Context, (): ()| Err::<(), _>(Failure::fatal("no")), ());
    assert_eq!(fatal.attempts(), 1);
    let panics = |ctx: &mut Context, (): ()| -> Result<(), Failure> {
        assert!(ctx.attempt() > 2, "too early");
        Ok(())
    };
    assert_eq!(Host::new().attempts(9).run(panics, ()).attempts(), 3);
    assert_eq!(Host::new().run(panics, ()).failure().to_string(), "the step panicked: too early");
}

#[test]
fn a_sleep_moves_the_clock_and_begins_the_step_again() {
    let begun = Cell::new(0);
    let step = |ctx: &mut Context, (): ()| -> Result<Duration, Failure> {
        begun.set(begun.get() + 1);
        let start = ctx.now();
        ctx.sleep(DAY);
        ctx.sleep(DAY / 2);
        ctx.now().duration_since(start).or_fail()
    };
    let run = Host::new().run(step, ());
    assert_eq!((*run.output(), begun.get()), (DAY * 3 / 2, 3));
    crash_everywhere(step, ());
}

#[test]
fn a_signal_is_waited_for_up_to_the_timeout() {
    let step = |ctx: &mut Context, timeout: Option<Duration>| ctx.await_signal::<String>("approved", timeout);
    let host = Host::new().signal_after(DAY, "approved", "by Ann").signal("other", 1);
    let run = host.run(step, None::<Duration>);
    assert_eq!((run.output().as_deref(), run.elapsed()), (Some("by Ann"), DAY));
    let run = host.run(step, Some(DAY / 2));
    assert_eq!((run.output().as_deref(), run.elapsed()), (None, DAY / 2));
    let why = complaint(|| Host::new().run(step, None::<Duration>));
    assert!(why.contains(r#"add Host::signal("approved", …)"#), "{why}");
    let run = Host::new().signal("approved", 7).run(step, None::<Duration>);
    assert!(run.failure().to_string().contains("the signal `approved` does not fit"), "{}", run.failure());
}

#[test]
fn signals_go_back_to_the_inbox_in_their_order_when_an_attempt_is_done_over() {
    let step = |ctx: &mut Context, (): ()| -> Result<[u32; 2], Failure> {
        let mut next = || ctx.await_signal::<u32>("n", None)?.or_fail();
        let both = [next()?, next()?];
        if ctx.attempt() == 1 { Err(Failure::retry("again")) } else { Ok(both) }
    };
    let run = Host::new().signal("n", 1).signal("n", 2).attempts(2).crash_everywhere(step, ());
    assert_eq!(*run.output(), [1, 2]);
}

#[test]
fn waits_and_checkpoints_are_refused_inside_once() {
    // The types forbid it to authors; a component in another language may still try.
    for call in
        [|| crate::host::sleep(1), || drop(crate::host::await_signal("x", None)), || crate::host::checkpoint(b"")]
    {
        let run = Host::new().run(
            |ctx: &mut Context, (): ()| {
                ctx.once("pay", || {
                    call();
                    Ok::<_, Failure>(())
                })
            },
            (),
        );
        assert!(run.failure().to_string().contains(r#"refused inside once("pay")"#), "{}", run.failure());
    }
}

#[test]
fn a_loop_goes_on_where_it_was() {
    let step = |ctx: &mut Context, items: Vec<u32>| -> Result<Value, Failure> {
        let start = ctx.now_ns();
        let mut each = ctx.each(items, Vec::new()).save_every(3);
        while let Some((item, seen)) = each.next(ctx)? {
            seen.push((item, ctx.random_u64(), ctx.now_ns() - start));
        }
        let (resumed_at, done) = (each.resumed_at(), each.done());
        post(ctx, done)?;
        Ok(json!({ "seen": each.into_state(), "done": done, "resumed_at": resumed_at }))
    };
    let host = shop().ignoring("/resumed_at");
    let run = host.crash_everywhere(step, (0..10).collect::<Vec<u32>>());
    assert_eq!((run.checkpoints(), run.effects().count()), (3, 1));
    assert_eq!(run.state::<Value>().unwrap()["done"], 9);
    assert!(run.crashes() > 60, "{}", run.crashes());
    let crashed = host.run_with_crash(run.calls().len(), Loss::Nothing, step, (0..10).collect::<Vec<u32>>());
    assert_eq!(crashed.output()["resumed_at"], 9);
    crash_everywhere(|ctx: &mut Context, (): ()| Ok::<_, Failure>(ctx.each([0; 0], 1).into_state()), ());
}

#[test]
fn a_second_loop_and_another_collection_are_refused() {
    let two = |ctx: &mut Context, (): ()| -> Result<(), Failure> {
        for _ in 0..2 {
            let mut each = ctx.each(0..2, ());
            while each.next(ctx)?.is_some() {}
        }
        Ok(())
    };
    assert!(Host::new().run(two, ()).failure().to_string().contains("make two steps of it"));
    let begun = Cell::new(0);
    let shrinks = |ctx: &mut Context, (): ()| -> Result<(), Failure> {
        begun.set(begun.get() + 1);
        let mut each = ctx.each(0..(8 / begun.get()), ());
        while each.next(ctx)?.is_some() {}
        Ok(())
    };
    let run = Host::new().run_with_crash(8, Loss::Nothing, shrinks, ());
    assert!(run.failure().to_string().contains("now the collection has fewer"), "{}", run.failure());
}

// Faults that the kit must find.

#[test]
fn a_question_between_restore_and_the_loop_is_found() {
    let step = |ctx: &mut Context, (): ()| -> Result<u64, Failure> {
        let mut state: [u64; 2] = ctx.restore()?.unwrap_or_default();
        let start = ctx.now_ns();
        while state[0] < 3 {
            ctx.http().get("https://shop.example/7").send()?.ok()?;
            state = [state[0] + 1, state[1] ^ start];
            ctx.checkpoint(&state)?;
        }
        Ok(state[1])
    };
    let why = complaint(|| shop().crash_everywhere(step, ()));
    assert!(why.contains("the replay diverged at journal position") && why.contains("durable.now()"), "{why}");
    assert!(why.contains("ask it before `restore`, or keep its answer in the saved state"), "{why}");
}

#[test]
fn what_is_not_in_the_state_is_found() {
    let lost = Cell::new(0);
    let step = |ctx: &mut Context, (): ()| -> Result<u32, Failure> {
        let mut next: u32 = ctx.restore()?.unwrap_or_default();
        if next == 0 {
            lost.set(0);
        }
        let mut sum = 0;
        while next < 4 {
            sum += next;
            next += 1;
            ctx.checkpoint(&next)?;
        }
        Ok(sum)
    };
    let why = complaint(|| crash_everywhere(step, ()));
    assert!(why.contains("crashed at host call") && why.contains("the output 6"), "{why}");
}

#[test]
fn a_once_that_the_state_does_not_know_of_is_found() {
    let step = |ctx: &mut Context, (): ()| -> Result<(), Failure> {
        let done: Option<bool> = ctx.restore()?;
        ctx.once("welcome", || Ok::<_, Failure>(()))?;
        if done.is_none() {
            ctx.checkpoint(&true)?;
        }
        ctx.progress(1.0, "");
        Ok(())
    };
    let why = complaint(|| crash_everywhere(step, ()));
    assert!(why.contains("the state must tell that it is done"), "{why}");
}

#[test]
fn an_effect_under_another_key_is_found() {
    // What is left to do decides the order, so that the place of an effect among all changes.
    let step = |ctx: &mut Context, (): ()| -> Result<(), Failure> {
        let mut left: Vec<u32> = ctx.restore()?.unwrap_or_else(|| vec![1, 2, 3]);
        let begun_again = left.len() < 3;
        if begun_again {
            left.reverse();
        }
        while let Some(item) = left.pop() {
            post(ctx, item)?;
            ctx.checkpoint(&left)?;
        }
        Ok(())
    };
    let why = complaint(|| shop().crash_everywhere(step, ()));
    assert!(why.contains("under the key effect 1"), "{why}");
}

#[test]
fn one_key_for_two_bodies_is_found() {
    let step = |ctx: &mut Context, (): ()| -> Result<(), Failure> {
        for body in ["a", "b"] {
            ctx.http().post(SHOP).body(body).effect("order").send()?.ok()?;
        }
        Ok(())
    };
    let why = complaint(|| shop().run(step, ()));
    assert!(why.contains("diverged") && why.contains("under the key effect \"order\""), "{why}");
}

#[test]
fn an_effect_that_is_done_in_attempts_under_two_names_is_found() {
    let begun = Cell::new(0);
    let step = |ctx: &mut Context, (): ()| -> Result<(), Failure> {
        begun.set(begun.get() + 1);
        ctx.http().post(SHOP).effect(format!("order {}", begun.get())).send()?.ok()?;
        Ok(())
    };
    let why = complaint(|| {
        begun.set(0);
        shop().crash_everywhere(step, ())
    });
    assert!(why.contains("crashed at host call 1 (http.send)") && why.contains("is done twice"), "{why}");
}

#[test]
fn something_else_than_the_journal_that_decides_is_found() {
    let begun = Cell::new(0);
    let step = |ctx: &mut Context, (): ()| -> Result<u64, Failure> {
        begun.set(begun.get() + 1);
        if begun.get() == 2 {
            post(ctx, "only now")?;
        }
        ctx.sleep(DAY);
        Ok(ctx.now_ns())
    };
    let why = complaint(|| shop().run(step, ()));
    assert!(why.contains("expected durable.sleep(86400000 ms), the step called http.send(POST"), "{why}");
}

#[test]
fn a_lost_answer_is_asked_for_under_the_same_key() {
    let step = |ctx: &mut Context, (): ()| post(ctx, 1);
    let run = shop().run_with_crash(1, Loss::Answer, step, ());
    let keys: Vec<_> = run.effects().map(|effect| effect.key.as_deref()).collect();
    assert_eq!(keys, [Some("effect 0"); 2]);
}
