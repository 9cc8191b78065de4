//! Whom an identity provider lets in, as what, and whom it does not.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use pawl_api::oidc::{Config, Place};
use pawl_api::types::{AppliedPipeline, ChangeList, NamespaceList, Role};
use pawl_tests::provider::{Provider, SigningKey};
use pawl_tests::runtime::block_on;
use pawl_tests::{bounds, wait};
use serde_json::{Value, json};

use crate::served::{Api, PIPELINE};

/// A key of RSA, and two tokens that were signed by it until the year 2100: for `pawl` among others, of `rita`, who has the word
/// `ops` in `realm_access.roles`. Nobody has its other half any more.
const MODULUS: &str = "vLsiYiJtEixae5hQoXBIbNK_gg11JJUnlmNxn_Di0UegpxOcqmtxbp04qpIl715kJLGK3Fdbq-_8CiWMmc4SZbdNPPUXuNnQp8Im\
     ToWveKJf1aFGjnReK3BwUvdxheHtrP9dmSyJx3jh6afT0TfdNpHgq3duYabXJE52yVdkeV55MiTx42h7XsaxfULIS8H5tfcahpBE\
     8eogfj-xaEeK9Gq3QEoXhpQpAK92XF6kSOvcwh87ocuWJtEhFtcilWj0dwd7xu1IqTWjbrfdaFSJR0tmP4Gmu6jwLHJpAmtCxsPB\
     6K3dZvdjBqNAFplXFOcfOVSqQcl4zOwrXqBdUAzIKQ";
const RS256: &str = "eyJhbGciOiAiUlMyNTYiLCAia2lkIjogInJzYSIsICJ0eXAiOiAiSldUIn0.eyJpc3MiOiAiaHR0cHM6Ly9pZC5leGFtcGxlLm9y\
     ZyIsICJhdWQiOiBbIm90aGVyIiwgInBhd2wiXSwgInN1YiI6ICJyaXRhIiwgImV4cCI6IDQxMDI0NDQ4MDAsICJyZWFsbV9hY2Nl\
     c3MiOiB7InJvbGVzIjogWyJvcHMiXX19.tQwDDMr4FzxCq2BexgDLQ_AePEBzCVhwFzjFU41rMB-tRDkn4ZZdIeAV9WXDDF8MnAB\
     OzqeX2_YCC6kH0305l0UoZbDoFTCEKhgXox0u_IuHuKZt-8xB2XgtVeTqLQ_rcv50NMvX1ITKuspdrHTs_wo-TST46UZzvkebKJp\
     _io_NQU5AzNm_t1S5CkRYq0GqhJqH_MgdjJqLciIHxo5ADXfmfdddFEEF6w1gVsV9-yQFMqQgQeE2WbT2aZSYCXtPuLc4Afi1qUP\
     BY8t64WSzMegWGgMScn4IcJ819qmE1fyx5C8AbRRt5evlbkIJ_b8dyBurCpQYcTTKFgwtjwfgxA";
const PS256: &str = "eyJhbGciOiAiUFMyNTYiLCAia2lkIjogInJzYSIsICJ0eXAiOiAiSldUIn0.eyJpc3MiOiAiaHR0cHM6Ly9pZC5leGFtcGxlLm9y\
     ZyIsICJhdWQiOiBbIm90aGVyIiwgInBhd2wiXSwgInN1YiI6ICJyaXRhIiwgImV4cCI6IDQxMDI0NDQ4MDAsICJyZWFsbV9hY2Nl\
     c3MiOiB7InJvbGVzIjogWyJvcHMiXX19.dNq83o-JYDv2sYkCBzN9PfeMRUvCbBJK0oQFRgN1sMJedr92b9x9RQvSovEkkNEVnRI\
     RaojtT2L5k-ddnDmgRgM4sV6kLSeImo5Mk0gtcjh7MleWtHkF5UfhZM5BqaGzn73y74HQ3ldWgg0vCYRPBh9lEALHK3KMNgu2lzx\
     wChMTu2lPWiv9bAabeebci-bKFGE5z6DB8i7aJH7XBaiFP3h808N0BKxgymjGiXJEIpl1naw3_sr6ogHKi4HmRabUkwycoW-vitd\
     o1TBmGE49lWOKjcO_JuP-P04g07hSV1llEvHpCdXiHB1LQ9ovwXjLyV_6PEaQVlSmZKI0-rd8eA";

/// As these tokens name their issuer.
const ELSEWHERE: &str = "https://id.example.org";

fn now_s() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

/// Good claims of `ada`, with these in their place.
fn claims(issuer: &str, others: Value) -> Result<Value> {
    let mut claims =
        json!({"iss": issuer, "aud": "pawl", "sub": "ada", "exp": now_s()? + 600, "roles": ["ops", "dev"]});
    claims.as_object_mut().context("an object")?.extend(others.as_object().cloned().context("an object")?);
    Ok(claims)
}

fn config(issuer: &str, keys_url: Option<String>) -> Config {
    Config {
        issuer: issuer.to_owned(),
        audience: "pawl".to_owned(),
        keys_url,
        name_claim: "sub".to_owned(),
        role_claim: "roles".to_owned(),
        roles: vec![("ops".to_owned(), Role::Operate), ("boss".to_owned(), Role::Admin)],
        namespace_claim: "groups".to_owned(),
        namespaces: vec![("*".to_owned(), Place::All)],
    }
}

fn start(name: &str, oidc: Config) -> Result<Api> {
    let mut api = Api::prepare(name)?;
    api.migrate()?;
    api.config.oidc = Some(oidc);
    // Wrong ones are what is looked at here.
    api.config.failures = 1_000;
    api.serve()?;
    Ok(api)
}

#[test]
fn a_providers_token_lets_its_bearer_in_as_what_its_words_mean() -> Result<()> {
    let provider = Provider::start()?;
    let key = SigningKey::p256("one")?;
    provider.publish(&[&key]);
    let mut api = start("oidc_roles", config(&provider.issuer, None))?;
    assert_eq!(api.client.get("/v1/runs")?.status, 401, "without a token nobody is let in, on loopback neither");
    let with = |others: Value| -> Result<_> { api.client.with(&key.token(&claims(&provider.issuer, others)?)?) };
    let ada = with(json!({}))?;
    assert_eq!(ada.get("/v1/runs")?.status, 200);
    let refused = ada.post("/v1/pipelines", "application/toml", PIPELINE)?.problem(403)?;
    assert!(
        refused.detail.contains("`deploy`") && refused.detail.contains("`oidc:ada` has `operate`"),
        "{}",
        refused.detail
    );
    let boss = with(json!({"sub": "eve", "roles": "staff boss"}))?;
    boss.post("/v1/plugins/echo/versions/1", "application/wasm", pawl_tests::binary::component("echo")?)?
        .read::<Value>()?;
    boss.post("/v1/pipelines", "application/toml", PIPELINE)?.read::<AppliedPipeline>()?;
    let list: ChangeList = ada.get("/v1/audit?limit=1")?.read()?;
    assert_eq!(list.changes[0].who.as_deref(), Some("oidc:eve"), "the record says who it was");

    for (others, status, says) in [
        (json!({"roles": ["dev"]}), 403, "has [\"dev\"] in `roles`"),
        (json!({"roles": null}), 403, "has nothing in `roles`"),
        (json!({"exp": now_s()? - 120}), 401, "has expired"),
        (json!({"nbf": now_s()? + 600}), 401, "is not good yet"),
        (json!({"nbf": "tomorrow"}), 401, "nbf"),
        (json!({"aud": "other"}), 401, "is not for `pawl`"),
        (json!({"aud": null}), 401, "aud"),
        (json!({"exp": null}), 401, "exp"),
        (json!({"iss": "https://evil.example"}), 401, "is not of http://127.0.0.1"),
        (json!({"sub": ""}), 401, "what is no name"),
        (json!({"sub": "a\u{1b}[2J"}), 401, "what is no name"),
        (json!({"sub": 7}), 401, "no claim `sub`"),
    ] {
        let problem = with(others.clone())?.get("/v1/runs")?.problem(status)?;
        assert!(problem.detail.contains(says), "{others}: {}", problem.detail);
    }
    assert_eq!(provider.asked(), 1, "its keys are kept");
    assert_eq!(ada.get("/v1/runs")?.status, 200, "who was let in before is not slowed down by wrong ones");
    api.stop()
}

#[test]
fn a_providers_token_counts_in_the_namespaces_that_its_words_mean() -> Result<()> {
    let provider = Provider::start()?;
    let key = SigningKey::p256("one")?;
    provider.publish(&[&key]);
    let place = |name: &str| name.parse().map(Place::In);
    let namespaces = vec![
        ("a".to_owned(), place("team-a")?),
        ("b".to_owned(), place("team-b")?),
        ("gone".to_owned(), place("team-c")?),
        ("platform".to_owned(), Place::All),
    ];
    let mut api = start("oidc_namespaces", Config { namespaces, ..config(&provider.issuer, None) })?;
    let with = |groups: Value| -> Result<_> {
        let claims = claims(&provider.issuer, json!({ "roles": ["boss"], "groups": groups }))?;
        api.client.with(&key.token(&claims)?)
    };
    let send = |client: &pawl_tests::Client, method: &str, path: &str, namespace: Option<&str>| {
        let headers: Vec<_> = namespace.map(|name| ("pawl-namespace", name)).into_iter().collect();
        block_on(client.send(method, path, &headers, Vec::new()))
    };
    let platform = with(json!(["platform"]))?;
    for namespace in ["team-a", "team-b"] {
        assert_eq!(send(&platform, "PUT", &format!("/v1/namespaces/{namespace}"), None)?.status, 201);
    }
    let names = |client: &pawl_tests::Client, namespace| -> Result<Vec<String>> {
        let list: NamespaceList = send(client, "GET", "/v1/namespaces", namespace)?.read()?;
        Ok(list.namespaces.iter().map(|row| row.name.to_string()).collect())
    };
    assert_eq!(names(&platform, None)?, ["default", "team-a", "team-b"]);
    assert_eq!(names(&with(json!("a other"))?, None)?, ["team-a"]);
    let both = with(json!(["a", "b"]))?;
    assert_eq!(names(&both, Some("team-b"))?, ["team-b"]);
    for (client, namespace, status, says) in [
        (&both, None, 403, "counts in the namespaces team-a, team-b: name the one"),
        (&both, Some("default"), 403, "counts in the namespaces team-a, team-b"),
        (&with(json!(["a"]))?, Some("team-b"), 403, "is for the namespace `team-a`"),
        (
            &with(json!(["other"]))?,
            None,
            403,
            "has [\"other\"] in `groups`, and `oidc_namespaces` has a namespace for none",
        ),
        (&with(json!(null))?, Some("team-a"), 403, "has nothing in `groups`"),
        (&with(json!(["gone"]))?, None, 404, "there is no namespace `team-c`"),
    ] {
        let problem = send(client, "GET", "/v1/runs", namespace)?.problem(status)?;
        assert!(problem.detail.contains(says), "{}", problem.detail);
    }
    let whole = send(&with(json!(["a"]))?, "GET", "/v1/workers", None)?.problem(403)?;
    assert!(whole.detail.contains("about the whole installation"), "{}", whole.detail);
    api.stop()
}

#[test]
fn what_a_provider_has_not_signed_lets_nobody_in() -> Result<()> {
    let provider = Provider::start()?;
    let (key, foreign) = (SigningKey::p256("one")?, SigningKey::p256("one")?);
    let hidden = SigningKey::p256("hidden")?;
    let mut kept_for_others = hidden.published.clone();
    kept_for_others["use"] = json!("enc");
    // One of a kind that nobody knows yet is no reason to know none.
    provider.publish_as(vec![json!({"kty": "new", "kid": "two"}), key.published.clone(), kept_for_others]);
    let mut api = start("oidc_forged", config(&provider.issuer, None))?;
    let claims = claims(&provider.issuer, json!({"roles": ["boss"]}))?;
    let good = key.token(&claims)?;
    let (signed, signature) = good.rsplit_once('.').context("three parts")?;
    let public = key.published["x"].as_str().context("x")?;
    let forged = [
        (foreign.token(&claims)?, "a signature that is not of"),
        (hidden.token(&claims)?, "\"hidden\", which"),
        (format!("{signed}."), "signature"),
        (format!("{signed}.{}", &signature[4..]), "signature"),
        (format!("{signed}x.{signature}"), "signature"),
        (key.token_with(&json!({"alg": "none", "kid": "one"}), &claims)?, "can't be read"),
        (key.token_with(&json!({"alg": "HS256", "kid": "one", "k": public}), &claims)?, "which is not one of two keys"),
        (key.token_with(&json!({"alg": "EdDSA", "kid": "one"}), &claims)?, ""),
        (key.token_with(&json!({"alg": "RS256", "kid": "one"}), &claims)?, ""),
        (key.token_with(&json!({"alg": "ES256", "kid": "three"}), &claims)?, "\"three\", which"),
    ];
    for (token, says) in forged {
        let problem = api.client.with(&token)?.get("/v1/runs")?.problem(401)?;
        assert!(problem.detail.contains(says), "{token}: {}", problem.detail);
    }
    assert_eq!(api.client.with(&good)?.get("/v1/runs")?.status, 200);
    let nameless = key.token_with(&json!({"alg": "ES256"}), &claims)?;
    assert_eq!(
        api.client.with(&nameless)?.get("/v1/runs")?.status,
        200,
        "there is only one that it can be signed with"
    );
    assert!(provider.asked() <= 2, "invented keys ask for nothing: {}", provider.asked());
    api.stop()
}

#[test]
fn keys_may_change_and_their_issuer_be_away() -> Result<()> {
    let provider = Provider::start()?;
    let (old, new) = (SigningKey::p256("old")?, SigningKey::ed25519("new")?);
    provider.be_away(true);
    let mut api = start("oidc_keys", config(&provider.issuer, None))?;
    let claims = claims(&provider.issuer, json!({}))?;
    let (by_old, by_new) = (api.client.with(&old.token(&claims)?)?, api.client.with(&new.token(&claims)?)?);
    let problem = by_old.get("/v1/runs")?.problem(503)?;
    assert!(problem.detail.contains("can't be had") && problem.detail.contains("answers 503"), "{}", problem.detail);
    provider.publish(&[&old]);
    provider.be_away(false);
    let is_in = |client: &pawl_tests::Client| Ok(client.get("/v1/runs")?.status == 200);
    wait::until_true(bounds::PROCESS, "the issuer to be asked again", || is_in(&by_old))?;
    provider.publish(&[&old, &new]);
    wait::until_true(bounds::PROCESS, "the new key to be found", || is_in(&by_new))?;
    provider.be_away(true);
    assert!(is_in(&by_old)? && is_in(&by_new)?, "what is known counts");
    api.stop()
}

#[test]
fn keys_of_rsa_count_too_and_claims_within_claims() -> Result<()> {
    let provider = Provider::start()?;
    provider.publish_as(vec![json!({"kty": "RSA", "kid": "rsa", "n": MODULUS, "e": "AQAB"})]);
    let config = Config { role_claim: "realm_access.roles".to_owned(), ..config(ELSEWHERE, Some(provider.keys_url())) };
    let mut api = start("oidc_rsa", config)?;
    for token in [RS256, PS256] {
        assert_eq!(api.client.with(token)?.get("/v1/runs")?.status, 200, "{token}");
        let (signed, _) = token.rsplit_once('.').context("three parts")?;
        let (_, other) = (if token == RS256 { PS256 } else { RS256 }).rsplit_once('.').context("three parts")?;
        api.client.with(&format!("{signed}.{other}"))?.get("/v1/runs")?.problem(401)?;
    }
    api.stop()
}
