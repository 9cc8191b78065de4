//! Who is let in, and for how long: slow clients, too many of them, and readers that stay.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pawl_api::types::{AppliedPipeline, RunStatus, SubmittedRun};
use pawl_tests::runtime::block_on;
use pawl_tests::{bounds, wait};
use serde_json::json;

use crate::served::{Api, PIPELINE};

/// What these tests wait for: short, and far above what sending in one go takes.
const SHORT: Duration = Duration::from_millis(500);

fn connect(api: &Api) -> Result<TcpStream> {
    let stream = TcpStream::connect(&api.config.listen)?;
    stream.set_read_timeout(Some(bounds::PROCESS))?;
    Ok(stream)
}

/// All that still comes, until the other side has ended the connection.
fn rest(stream: &mut TcpStream) -> Result<String> {
    let mut text = String::new();
    stream.read_to_string(&mut text).context("the connection stays open")?;
    Ok(text)
}

fn is_problem(answer: &str, status: &str, kind: &str) -> Result<()> {
    ensure!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    ensure!(answer.contains("content-type: application/problem+json"), "{answer}");
    ensure!(answer.contains(&format!("/problems/{kind}")), "{answer}");
    Ok(())
}

#[test]
fn a_head_that_does_not_come_is_cut_off_before_any_token_is_asked_for() -> Result<()> {
    let mut api = Api::prepare("api_slow_head")?;
    api.migrate()?;
    (api.config.header_timeout, api.config.token) = (SHORT, Some("s3cret".to_owned()));
    api.serve()?;
    let mut slow = connect(&api)?;
    slow.write_all(b"GET /v1/runs HTTP/1.1\r\nhost: localhost\r\nx-slow: ")?;
    is_problem(&rest(&mut slow)?, "408", "too-slow")?;
    // Who says nothing at all is not told anything.
    assert_eq!(rest(&mut connect(&api)?)?, "");
    api.stop()
}

#[test]
fn a_body_that_comes_in_drops_is_cut_off() -> Result<()> {
    let mut api = Api::prepare("api_slow_body")?;
    api.migrate()?;
    api.config.body_timeout = SHORT;
    api.serve()?;
    let mut slow = connect(&api)?;
    slow.write_all(
        b"POST /v1/runs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n",
    )?;
    let mut dripping = slow.try_clone()?;
    let drip = std::thread::spawn(move || {
        while dripping.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let mut head = vec![0; 4 << 10];
    let length = slow.read(&mut head)?;
    is_problem(&String::from_utf8_lossy(&head[..length]), "408", "too-slow")?;
    slow.shutdown(Shutdown::Both).ok();
    drip.join().expect("it ends with the connection");
    api.stop()
}

#[test]
fn connections_beyond_the_limit_are_told_so_and_served_when_others_have_gone() -> Result<()> {
    let mut api = Api::prepare("api_connections")?;
    api.migrate()?;
    api.config.connections = 4;
    api.serve()?;
    let mut held: Vec<TcpStream> = (0..6).map(|_| connect(&api)).collect::<Result<_>>()?;
    is_problem(&rest(&mut held[5])?, "503", "too-many-connections")?;
    held[0].write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let answer = rest(&mut held[0])?;
    assert!(answer.starts_with("HTTP/1.1 200 "), "those who are in are served: {answer}");
    drop(held);
    wait::until_true(bounds::PROCESS, "places to become free", || {
        let mut new = connect(&api)?;
        new.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        Ok(rest(&mut new).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 ")))
    })?;
    api.stop()
}

#[test]
fn readers_that_wait_are_bounded_and_submissions_are_taken_all_the_same() -> Result<()> {
    let mut api = Api::prepare("api_readers")?;
    api.migrate()?;
    api.config.readers = 1;
    api.serve()?;
    api.push_echo()?;
    api.apply(PIPELINE)?.read::<AppliedPipeline>()?;
    let run = api.submit(&json!(null))?;
    let follow = || async {
        let url = api.client.url(&format!("/v1/runs/{run}/events"));
        reqwest::Client::new().get(url).header("accept", "text/event-stream").send().await
    };
    let mut stream = block_on(follow())?;
    block_on(stream.chunk())?.context("the first event")?;
    assert_eq!(block_on(follow())?.status(), 429);
    let refused = api.client.get(&format!("/v1/runs/{run}?wait_ms=60000"))?.problem(429)?;
    assert!(refused.detail.contains("raise its `readers`"), "{refused:?}");
    // Whoever submits gets the answer that counts, at once.
    let body = b"{\"pipeline\": \"pair\"}".to_vec();
    let path = "/v1/runs?wait_ms=60000";
    let answer = block_on(api.client.send("POST", path, &[("content-type", "application/json")], body))?;
    assert_eq!(answer.read::<SubmittedRun>()?.status, RunStatus::Pending);
    drop(stream);
    wait::until_true(bounds::PROCESS, "the place to be free again", || Ok(block_on(follow())?.status() == 200))?;
    api.stop()
}

#[test]
fn a_component_that_takes_too_long_to_compile_is_refused() -> Result<()> {
    let mut api = Api::prepare("api_compile_timeout")?;
    api.migrate()?;
    api.config.apart.time = Duration::from_nanos(1);
    api.serve()?;
    let echo = pawl_tests::binary::component("echo")?;
    let pushed = api.client.post("/v1/plugins/echo/versions/1", "application/wasm", echo)?;
    let refused = pushed.problem(422)?;
    assert!(refused.detail.contains("raise `compile_timeout`"), "{refused:?}");
    api.stop()
}
