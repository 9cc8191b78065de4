//! Pages of pipelines and plugins, without a script: a run by the form of its schema, versions that are compared, activated and
//! gone back from.

use anyhow::Result;
use pawl_api::types::{AppliedPipeline, PipelineDetail, PluginDetail, PushedPlugin};
use pawl_tests::binary;
use serde_json::{Value, json};

use super::{Browser, OWN, start};

#[test]
fn a_run_is_submitted_by_the_form_of_its_schema_and_what_is_refused_comes_back() -> Result<()> {
    let mut api = start("pages_submit")?;
    let approve = binary::component("approve")?;
    api.client.post("/v1/plugins/approve/versions/1", "application/wasm", approve)?.read::<PushedPlugin>()?;
    let toml = "name = \"refunds\"\n[[step]]\nname = \"wait\"\nplugin = \"approve\"\n";
    api.apply(toml)?.read::<AppliedPipeline>()?;
    let browser = Browser::signed_in(&api, OWN)?;
    let page = browser.get("/pipelines/refunds")?.text;
    for part in
        ["name=\"of:signal\"", "type=\"number\" name=\"of:timeout_ms\"", "The signal&#39;s name.", "name=\"whole\""]
    {
        assert!(page.contains(part) || page.contains(&part.replace("&#39;", "'")), "{part} is not in {page}");
    }
    let submit = |fields: &[(&str, &str)]| browser.submit("/pipelines/refunds/submit", fields);
    for (fields, status, says) in [
        (vec![("of:timeout_ms", "7000"), ("key", "k<1>")], 422, "<code>wait</code>"),
        (vec![("of:signal", "a"), ("of:timeout_ms", "soon")], 400, "is no number"),
        (vec![("whole", "{\"signal\":")], 400, "is not JSON"),
        (vec![("of:signal", "a"), ("key", "ä")], 400, "printable ASCII"),
    ] {
        let refused = submit(&fields)?;
        assert!(
            refused.status == status && refused.text.contains(says),
            "{fields:?}: {} {}",
            refused.status,
            refused.text
        );
        assert!(
            refused.text.contains("role=\"alert\"")
                && refused.text.contains("<details class=\"act\" name=\"act\" open>")
        );
    }
    let refused = submit(&[("of:timeout_ms", "7000"), ("key", "k<1>")])?.text;
    assert!(refused.contains("value=\"7000\"") && refused.contains("value=\"k&lt;1&gt;\""), "{refused}");

    let fields = [("of:signal", " go "), ("of:timeout_ms", "7000"), ("of:sleep_ms", ""), ("key", "refund-1")];
    let submitted = submit(&fields)?;
    assert_eq!(submitted.status, 303, "{}", submitted.text);
    let run = submitted.header("location").to_owned();
    let input: Value = api.client.get(&format!("/v1{run}/input"))?.read()?;
    assert_eq!(input, json!({"signal": " go ", "timeout_ms": 7000}));
    assert_eq!(submit(&fields)?.header("location"), run, "with its key it is the same");
    let other = submit(&[("of:signal", "other"), ("key", "refund-1")])?;
    assert!(other.status == 409 && other.text.contains("was used before"), "{}", other.text);
    // Without a schema, as JSON.
    let submitted = browser.submit("/pipelines/pair/submit", &[("whole", "[12345678901234567890.10]")])?;
    let input = api.client.get(&format!("/v1{}/input", submitted.header("location")))?.body;
    assert_eq!(input, b"[12345678901234567890.10]", "as it was typed");
    assert_eq!(browser.submit("/pipelines/nothing/submit", &[("whole", "1")])?.status, 404);
    assert_eq!(browser.submit("/pipelines/pair/fly", &[])?.status, 404);
    api.stop()
}

#[test]
fn a_pipeline_is_paused_and_two_of_its_versions_are_compared() -> Result<()> {
    let mut api = start("pages_compared")?;
    let browser = Browser::signed_in(&api, OWN)?;
    let paused = browser.submit("/pipelines/pair/pause", &[("reason", "a \"b\" & c")])?;
    assert_eq!((paused.status, paused.header("location")), (303, "/pipelines/pair?did=pause"), "{}", paused.text);
    let page = browser.get("/pipelines/pair?did=pause")?.text;
    assert!(page.contains("The pipeline is paused") && page.contains("(a &quot;b&quot; &amp; c)"), "{page}");
    assert!(!page.contains("id=\"changes\""), "there is one version");
    let overview = browser.get("/")?.text;
    assert!(overview.contains("href=\"/pipelines/pair\"") && overview.contains(" is paused"), "{overview}");
    browser.submit("/pipelines/pair/unpause", &[])?;
    let now: PipelineDetail = api.client.get("/v1/pipelines/pair")?.read()?;
    assert!(now.summary.paused.is_none());

    let changed = crate::served::PIPELINE.replace("{ unused = true }", "{ unused = \"<b>\" }").replace(
        "[[step]]\nname = \"second\"",
        "[[step]]\nname = \"extra\"\nplugin = \"echo\"\n[[step]]\nname = \"second\"",
    );
    api.apply(&changed)?.read::<AppliedPipeline>()?;
    let page = browser.get("/pipelines/pair")?.text;
    for part in ["Steps that came", "extra", "<code>config.unused</code>", "&lt;b&gt;"] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    let short = now.summary.digest.short();
    let same = browser.get(&format!("/pipelines/pair?from={short}&to={short}"))?.text;
    assert!(same.contains("They are the same."), "{same}");
    let lost = browser.get("/pipelines/pair?from=000000")?;
    assert!(lost.status == 200 && lost.text.contains("has had no version <code>000000</code>"), "{}", lost.text);
    api.stop()
}

#[test]
fn a_version_is_activated_gone_back_from_and_compared() -> Result<()> {
    let mut api = start("pages_versions")?;
    let clock = binary::component("clock")?;
    let path = "/v1/plugins/echo/versions/2?activate=false";
    api.client.post(path, "application/wasm", clock)?.read::<PushedPlugin>()?;
    let browser = Browser::signed_in(&api, OWN)?;
    let active =
        || -> Result<Option<String>> { Ok(api.client.get("/v1/plugins/echo")?.read::<PluginDetail>()?.active_version) };
    let page = browser.get("/plugins/echo")?.text;
    assert!(page.contains("unused") && !page.contains("/plugins/echo/rollback"), "{page}");
    assert!(page.contains("pawl:step/") && page.contains("href=\"/pipelines/pair\""), "{page}");
    for (act, fields, says) in [
        ("activate", vec![("version", "9")], "has no version <code>9</code>"),
        ("rollback", vec![], "was active before"),
    ] {
        let refused = browser.submit(&format!("/plugins/echo/{act}"), &fields)?;
        assert!(refused.status >= 404 && refused.text.contains(says), "{act}: {}", refused.text);
    }
    let activated = browser.submit("/plugins/echo/activate", &[("version", "2")])?;
    assert_eq!(
        (activated.status, activated.header("location")),
        (303, "/plugins/echo?did=activate"),
        "{}",
        activated.text
    );
    assert_eq!(active()?.as_deref(), Some("2"));
    let page = browser.get("/plugins/echo?did=activate")?.text;
    assert!(
        page.contains("<strong>2</strong> is active: steps get it")
            && page.contains("What changed")
            && page.contains("<code>size_bytes</code>"),
        "{page}"
    );
    let back = browser.submit("/plugins/echo/rollback", &[])?;
    assert_eq!(back.status, 303, "{}", back.text);
    assert_eq!(active()?.as_deref(), Some("1"));
    let other = browser.get("/plugins/echo?version=1&with=2")?.text;
    assert!(other.contains("From <code>2</code> to <code>1</code>"), "{other}");
    assert!(browser.get("/plugins/echo?version=9")?.text.contains("has no version <code>9</code>"));
    assert_eq!(browser.get("/plugins/nothing")?.status, 404);
    api.stop()
}
