//! Whose certificates are trusted, with a real server.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pawl_domain::attempt::Cause;
use pawl_engine::{Config, Engine, Outside, Resolver};

use crate::installation::{Installation, Names};
use crate::setup::{failure, limits, output, outside};

/// A server with a certificate of its own for `localhost`, until it is dropped.
struct TlsServer {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl TlsServer {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let run = |words: &str| {
            let mut openssl = Command::new("openssl");
            openssl.args(words.split(' ')).current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
            openssl.stderr(Stdio::null());
            openssl
        };
        let make = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 5 -keyout server.key \
                    -out server.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost \
                    -addext basicConstraints=critical,CA:FALSE";
        assert!(run(make).status().expect("openssl is there: install it").success());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let serve = format!("s_server -accept 127.0.0.1:{port} -key server.key -cert server.pem -www -quiet");
        let process = run(&serve).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "it does not listen");
            std::thread::yield_now();
        }
        Self { process, port, folder }
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn certificates_are_those_of_the_system_or_of_the_one_file_that_is_named() {
    let server = TlsServer::start();
    let url = format!("https://localhost:{}/", server.port);
    let allow = ["https://localhost:*"];
    let with = |certificates: Option<&str>| {
        let certificates = certificates.map(|file| server.folder.path().join(file));
        let names: Arc<dyn Resolver> = Arc::new(Names::default().lead("localhost", &["127.0.0.1"]));
        let outside = Outside { certificates, resolver: names, ..outside(&allow) };
        Engine::new(Config { limits: limits(), slots: 1, outside, ..Config::default() })
    };
    let get = |engine: Engine| Installation { engine, names: Arc::default() }.get(&allow, &url);
    let unknown = get(with(None).unwrap());
    let message = &failure(&unknown, Cause::Retry).message;
    assert!(message.contains("certificate"), "{message}");
    assert_eq!(output(&get(with(Some("server.pem")).unwrap()))[0]["status"], 200);
    for (file, says) in [("server.key", "it has none in PEM"), ("nowhere.pem", "No such file")] {
        let error = with(Some(file)).expect_err(file);
        let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(why.contains(says) && why.contains("outside_certificates"), "{file}: {why}");
    }
}
