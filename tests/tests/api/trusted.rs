//! Which components are let in, where that is not left to whoever may deploy.

use std::fs;
use std::path::{Path, PathBuf};

use pawl_api::trusted::{Policy, message_of};
use pawl_api::types::{ActivatedPlugin, PluginList, PushedPlugin};
use pawl_base::signature::PrivateKey;
use pawl_domain::id::Digest;
use pawl_tests::client::Answer;
use pawl_tests::runtime::block_on;
use pawl_tests::{Client, binary};
use serde_json::json;

use crate::served::Api;

const JSON: &str = "application/json";

/// The example of RFC 8410, and another one.
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
const OTHER_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAxKV1S6TNbFv0P8hsI7Y4dLxT+PwA/9hVmcPYD+4Q2SE=\n-----END PUBLIC KEY-----\n";

fn signature_of(component: &[u8]) -> anyhow::Result<String> {
    Ok(PrivateKey::read(PRIVATE.as_bytes())?.sign(message_of(Digest::of(component)).as_bytes()).to_string())
}

fn asked(
    client: &Client,
    path: &str,
    media_type: &str,
    body: Vec<u8>,
    signature: Option<&str>,
) -> anyhow::Result<Answer> {
    let mut headers = vec![("content-type", media_type)];
    headers.extend(signature.map(|signature| ("pawl-signature", signature)));
    block_on(client.send("POST", path, &headers, body))
}

fn file(folder: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let file = folder.join(name);
    fs::write(&file, text)?;
    Ok(file)
}

#[test]
fn only_what_is_listed_or_signed_is_let_in_or_becomes_active_again() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (echo, clock) = (binary::component("echo")?, binary::component("clock")?);
    let signed = signature_of(&echo)?;
    let mut api = Api::start("api_trusted")?;
    // What was stored before anybody has set a policy.
    asked(&api.client, "/v1/plugins/echo/versions/0", "application/wasm", clock.clone(), None)?
        .read::<PushedPlugin>()?;
    api.stop()?;
    let keys = file(folder.path(), "keys.pem", OTHER_PUBLIC)?;
    let digests = file(folder.path(), "digests", "# nothing yet\n")?;
    api.config.trusted = Policy { digests: Some(digests.clone()), keys: Some(keys.clone()) };
    api.serve()?;
    let push = |version: &str, bytes: &[u8], signature: Option<&str>| {
        let path = format!("/v1/plugins/echo/versions/{version}?activate={}", version != "aside");
        asked(&api.client, &path, "application/wasm", bytes.to_vec(), signature)
    };
    let refused = |answer: Answer| -> anyhow::Result<String> {
        let problem = answer.problem(422)?;
        assert_eq!(problem.kind, "/problems/untrusted-component");
        Ok(problem.detail)
    };

    let why = refused(push("1", &echo, None)?)?;
    assert!(
        why.contains("`trusted_digests`") && why.contains("`pawl plugin sign`") && why.contains("--signature"),
        "{why}"
    );
    assert!(refused(push("1", &echo, Some(&signed))?)?.contains("by a key that is not listed"), "another's key");
    // What changes in the file counts at once.
    fs::write(&keys, format!("{OTHER_PUBLIC}{PUBLIC}"))?;
    let mut tampered = echo.clone();
    *tampered.last_mut().expect("it has bytes") ^= 1;
    refused(push("1", &tampered, Some(&signed))?)?;
    refused(push("1", &clock, Some(&signed))?)?;
    refused(push("aside", &clock, None)?)?;
    push("1", &echo, Some("abc"))?.problem(400)?;
    let stored: PluginList = api.client.get("/v1/plugins")?.read()?;
    assert_eq!(stored.plugins[0].versions.len(), 1, "nothing of it is stored: a pipeline could name its version");
    let pushed: PushedPlugin = push("1", &echo, Some(&signed))?.read()?;
    assert!(pushed.created && pushed.active);

    // Going back, and to and fro.
    let post = |path: &str, body: String, signature: Option<&str>| {
        asked(&api.client, &format!("/v1/plugins/echo/{path}"), JSON, body.into_bytes(), signature)
    };
    refused(post("rollback", "{}".to_owned(), None)?)?;
    refused(post("activate", json!({"version": "0"}).to_string(), Some(&signed))?)?;
    fs::write(&digests, format!("{}  clock.wasm\n", Digest::of(&clock)))?;
    post("rollback", "{}".to_owned(), None)?.read::<ActivatedPlugin>()?;
    refused(post("activate", json!({"version": "1"}).to_string(), None)?)?;
    post("activate", json!({"version": "1"}).to_string(), Some(&signed))?.read::<ActivatedPlugin>()?;

    // Without its list, nothing is let in, and nothing else is disturbed.
    fs::remove_file(&keys)?;
    let why = refused(push("2", &echo, Some(&signed))?)?;
    assert!(why.contains("trusted_keys: can't read"), "{why}");
    api.client.get("/v1/plugins")?.read::<PluginList>()?;
    api.stop()
}

#[test]
fn a_list_that_cannot_be_read_ends_the_start_and_the_command_line_signs_what_it_pushes() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let keys = file(folder.path(), "keys.pem", PUBLIC)?;
    let started = binary::pawl()?
        .args(["api", "--trusted-digests"])
        .arg(folder.path().join("nowhere"))
        .env("PAWL_DATABASE_URL", "postgres://pawl@127.0.0.1:1/pawl")
        .env("PAWL_REDIS_URL", "redis://127.0.0.1:1/")
        .output()?;
    let said = String::from_utf8_lossy(&started.stderr);
    assert!(!started.status.success() && said.contains("trusted_digests: can't read "), "{said}");

    let mut api = Api::prepare("api_trusted_cli")?;
    api.migrate()?;
    api.config.trusted.keys = Some(keys);
    api.serve()?;
    let private = file(folder.path(), "signing.pem", PRIVATE)?;
    let component = folder.path().join("echo.wasm");
    fs::write(&component, binary::component("echo")?)?;
    let pawl = |words: &[&str]| -> anyhow::Result<std::process::Output> {
        Ok(binary::pawl()?.args(words).env("PAWL_API_URL", api.client.url("")).current_dir(folder.path()).output()?)
    };
    let unsigned = pawl(&["plugin", "push", "echo.wasm"])?;
    let said = String::from_utf8_lossy(&unsigned.stderr);
    assert!(!unsigned.status.success() && said.contains("sign it with `pawl plugin sign`"), "{said}");
    let key = private.display().to_string();
    let words = ["plugin", "sign", "echo.wasm", "--key", &key];
    let signed = binary::succeeded(&words, pawl(&words)?)?;
    assert!(signed.contains("echo.wasm.sig has a signature of the component"), "{signed}");
    let words = ["plugin", "push", "echo.wasm", "--signature", "echo.wasm.sig"];
    assert!(binary::succeeded(&words, pawl(&words)?)?.contains("stored, active"));
    let no_key = pawl(&["plugin", "sign", "echo.wasm", "--key", "echo.wasm"])?;
    let said = String::from_utf8_lossy(&no_key.stderr);
    assert!(no_key.status.code() == Some(2) && said.contains("no private key of Ed25519"), "{said}");
    api.stop()
}
