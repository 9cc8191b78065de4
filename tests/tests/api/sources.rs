//! Where requests come from: who guesses tokens is slowed down there, and a proxy tells of it only if somebody has named it.

use anyhow::Result;
use pawl_api::types::ChangeList;
use pawl_domain::proxies::Proxies;
use pawl_tests::runtime::block_on;
use pawl_tests::{Client, bounds, wait};
use serde_json::json;

use crate::served::Api;

/// The setting's.
const OWN: &str = "s3cret";

#[test]
fn many_wrong_tokens_are_slowed_down_and_a_good_one_is_not() -> Result<()> {
    let mut api = Api::prepare("api_guesses")?;
    api.migrate()?;
    api.config.token = Some(OWN.to_owned());
    api.config.failures = 3;
    api.serve()?;
    let (good, guess) = (api.client.with(OWN)?, api.client.with("guess")?);
    guess.get("/v1/runs")?.problem(401)?;
    assert_eq!(good.get("/v1/runs")?.status, 200);
    let refused = wait::until(bounds::PROCESS, "guesses to be slowed down", || {
        let answer = guess.get("/v1/runs")?;
        Ok(if answer.status == 401 { wait::Look::NotYet("looked at".to_owned()) } else { wait::Look::Done(answer) })
    })?;
    assert_eq!(refused.problem(429)?.kind, "/problems/too-many-failures");
    assert_eq!(good.get("/v1/runs")?.status, 200, "it was good from here before");
    assert_eq!(api.client.get("/health")?.status, 200);
    wait::until_true(bounds::PROCESS, "one to be looked at again", || Ok(guess.get("/v1/runs")?.status == 401))?;
    api.stop()
}

#[test]
fn a_named_proxy_says_where_a_request_comes_from_and_nobody_else() -> Result<()> {
    for (name, proxies) in [("api_proxy_named", "127.0.0.0/8,10.9.0.0/16"), ("api_proxy_unnamed", "10.9.0.0/16")] {
        let mut api = Api::prepare(name)?;
        api.migrate()?;
        api.config.token = Some(OWN.to_owned());
        api.config.failures = 3;
        api.config.trusted_proxies = Proxies::read(proxies).map_err(anyhow::Error::msg)?;
        api.serve()?;
        let is_named = name.ends_with("_named");
        let (good, guess) = (api.client.with(OWN)?, api.client.with("guess")?);
        let ask = |client: &Client, from: &str| {
            // The first one is what a client sends to seem another one.
            let told = format!("192.0.2.{}, {from}, 10.9.0.1", from.len());
            block_on(client.send("GET", "/v1/runs", &[("x-forwarded-for", &told)], Vec::new()))
        };
        wait::until_true(bounds::PROCESS, "guesses from one address to be slowed down", || {
            Ok(ask(&guess, "198.51.100.7")?.status == 429)
        })?;
        let other = ask(&guess, "198.51.100.8")?.status;
        assert_eq!(other, if is_named { 401 } else { 429 }, "{name}: what another one sends is looked at");
        // Each new address would be looked at, if a stranger's word counted.
        let looked_at = (0..20)
            .filter(|number| ask(&guess, &format!("203.0.113.{number}")).is_ok_and(|answer| answer.status == 401));
        let looked_at = looked_at.count();
        assert!(if is_named { looked_at == 20 } else { looked_at < 5 }, "{name}: {looked_at}");
        if is_named {
            let told = [("x-forwarded-for", "203.0.113.77")];
            let body = json!({"name": "ada", "role": "read"}).to_string();
            let headers = [&told[..], &[("content-type", "application/json")]].concat();
            assert_eq!(block_on(good.send("POST", "/v1/tokens", &headers, body.into_bytes()))?.status, 201);
            let list: ChangeList = good.get("/v1/audit?limit=1")?.read()?;
            assert_eq!(list.changes[0].source, "203.0.113.77");
        }
        api.stop()?;
    }
    Ok(())
}
