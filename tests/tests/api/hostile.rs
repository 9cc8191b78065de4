//! Names that are chosen by somebody who wants to get elsewhere by them.

use anyhow::{Result, ensure};
use pawl_tests::runtime::block_on;
use pawl_tests::{Database, binary};
use serde_json::json;

use crate::served::Api;

/// As they stand in a path; and as text.
const TRICKS: [(&str, &str); 9] = [
    ("..%2f..%2fetc%2fpasswd", "../../etc/passwd"),
    ("%2e%2e", ".."),
    ("%2fetc%2fpasswd", "/etc/passwd"),
    ("..%5c..%5cboot.ini", "..\\..\\boot.ini"),
    ("a%2fb", "a/b"),
    ("a%00b", "a\0b"),
    ("~root", "~root"),
    ("a%0ab", "a\nb"),
    ("%e2%80%ae", "\u{202e}"),
];

#[test]
fn a_name_that_leads_elsewhere_is_no_name_on_any_route() -> Result<()> {
    let mut api = Api::start("api_names")?;
    api.push_echo()?;
    let echo = binary::component("echo")?;
    for (name, text) in TRICKS {
        let pipeline = format!("name = {}\n[[step]]\nname = \"a\"\nplugin = \"echo\"\n", json!(text));
        let step = format!("name = \"one\"\n[[step]]\nname = {}\nplugin = \"echo\"\n", json!(text));
        let component = ("application/wasm", echo.clone());
        let toml = |text: String| ("application/toml", text.into_bytes());
        let text_of = |text: &str| ("application/json", text.as_bytes().to_vec());
        let token = json!({ "name": text, "role": "read" }).to_string();
        for (method, path, (media_type, body)) in [
            ("POST", format!("/v1/plugins/{name}/versions/1"), component.clone()),
            ("POST", format!("/v1/plugins/echo/versions/{name}"), component.clone()),
            ("POST", format!("/v1/plugins?name={name}"), component),
            ("POST", format!("/v1/plugins/{name}/rollback"), text_of("{}")),
            ("POST", "/v1/pipelines".to_owned(), toml(pipeline)),
            ("POST", "/v1/pipelines".to_owned(), toml(step)),
            ("GET", format!("/v1/pipelines/{name}"), text_of("")),
            ("GET", format!("/v1/queues/{name}"), text_of("")),
            ("GET", format!("/v1/components/{name}"), text_of("")),
            ("GET", format!("/v1/runs/{name}"), text_of("")),
            ("POST", "/v1/tokens".to_owned(), text_of(&token)),
            ("PUT", format!("/v1/secrets/{name}"), ("application/octet-stream", b"hunter2hunter2".to_vec())),
        ] {
            let answer = block_on(api.client.send(method, &path, &[("content-type", media_type)], body))?;
            let said = String::from_utf8_lossy(&answer.body).into_owned();
            ensure!((400..500).contains(&answer.status), "{method} {path}: {} {said}", answer.status);
            ensure!(!said.contains('\0'), "{method} {path}: {said:?}");
        }
    }
    let eyes = Database::new(&api.postgres.url())?;
    for (table, expected) in [("plugin_version", 1), ("pipeline", 0), ("secret", 0), ("token", 0)] {
        let stored: i64 = eyes.value(&format!("select count(*) from {table}"))?;
        ensure!(stored == expected, "{table} has {stored}");
    }
    api.stop()
}
