//! Bytes as the body of any request: each is answered, what is refused by a problem, and none by an error of the host.

#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use pawl_api::{Config, openapi, serve};
use pawl_dispatch::Ports;
use pawl_queue::InProcess;
use pawl_rehearsal::private::free_port;
use pawl_store::{Schema as _, Sqlite};
use pawl_tests::runtime::{block_on, handle};
use reqwest::{Client, Method};
use serde_json::Value;

const MEDIA_TYPES: [&str; 4] = ["application/json", "application/toml", "application/wasm", "text/plain"];

/// An answer takes no longer, even that to a request which waits.
const BOUND: Duration = Duration::from_secs(20);

struct Api {
    client: Client,
    base: String,
    /// All that have a body.
    routes: Vec<(Method, String)>,
    _folder: tempfile::TempDir,
}

static API: LazyLock<Api> = LazyLock::new(|| {
    let _runtime = handle().enter();
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(Sqlite::open(folder.path()).expect("a store"));
    block_on(store.migrate()).expect("a schema");
    let ports = Ports { store, queue: Arc::new(InProcess::default()) };
    let listen = format!("127.0.0.1:{}", free_port().expect("a port"));
    let mut config = Config { listen: listen.clone(), ..Config::default() };
    // This process is not Pawl.
    config.apart.program = pawl_tests::binary::pawl_file().expect("the program");
    handle().spawn(serve(config, ports, std::future::pending()));
    let client = Client::builder().no_proxy().timeout(BOUND).build().expect("a client");
    let base = format!("http://{listen}");
    pawl_rehearsal::private::wait_until(BOUND, "the API to answer", || {
        Ok(block_on(client.get(format!("{base}/health")).send()).is_ok())
    })
    .expect("it answers");
    Api { client, base, routes: routes(), _folder: folder }
});

/// All routes that take a body, with something in the place of what is variable.
fn routes() -> Vec<(Method, String)> {
    let paths = openapi::document()["paths"].as_object().expect("paths");
    let of_path = |(path, methods): (&String, &Value)| {
        let path = path
            .replace("{run}", "01890000-0000-7000-8000-000000000000")
            .replace("{digest}", &"0".repeat(64))
            .replace(['{', '}'], "");
        let with_body = |(method, operation): (&String, &Value)| {
            let method = method.to_uppercase().parse().expect("a method");
            operation.get("requestBody").map(|_| (method, path.clone()))
        };
        methods.as_object().into_iter().flatten().filter_map(with_body).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let [route, media_type, body @ ..] = bytes else { return };
    let api = &*API;
    let (method, path) = &api.routes[usize::from(*route) % api.routes.len()];
    let media_type = MEDIA_TYPES[usize::from(*media_type) % MEDIA_TYPES.len()];
    let request = api.client.request(method.clone(), format!("{}{path}", api.base));
    block_on(async {
        let answer = request.header("content-type", media_type).body(body.to_vec()).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("{method} {path} was not answered: {error}"));
        let status = answer.status();
        let told = answer.bytes().await.unwrap_or_else(|error| panic!("{method} {path} ends early: {error}"));
        assert!(!status.is_server_error(), "{method} {path} answers {status}: {}", String::from_utf8_lossy(&told));
        if status.is_client_error() {
            let problem: Value = serde_json::from_slice(&told).expect("a problem");
            assert!(problem["title"].is_string() && problem["type"].is_string(), "{problem}");
        }
    });
});
