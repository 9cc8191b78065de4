//! A small HTTP server that remembers what reached it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What reached the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub method: String,
    pub path: String,
    pub key: Option<String>,
    pub authorization: Option<String>,
    pub body: String,
}

/// Answers by path: `/status/N`, `/large/N` (bytes), `/headers/N` (how many), `/silent` (never), `/broken` (hangs up), `/redirect`
/// (to `/moved`), `/to/URL` (to that), `/circle` (to itself), `/echo` (what came as `authorization`, as header and body); anything else gets its own number as body.
pub struct Target {
    pub url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Target {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&received);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let log = Arc::clone(&log);
                std::thread::spawn(move || drop(serve(stream, &log)));
            }
        });
        Self { url, received }
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, log: &Mutex<Vec<Received>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (mut key, mut authorization, mut length) = (None, None, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "idempotency-key" => key = Some(value.to_owned()),
            "authorization" => authorization = Some(value.to_owned()),
            "content-length" => length = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let number = {
        let mut log = log.lock().unwrap();
        let body = String::from_utf8_lossy(&body).into_owned();
        let (path, authorization) = (path.clone(), authorization.clone());
        log.push(Received { method, path, key, authorization, body });
        log.len()
    };
    answer(stream, &path, number, &authorization.unwrap_or_default())
}

fn answer(mut stream: TcpStream, path: &str, number: usize, authorization: &str) -> std::io::Result<()> {
    let (status, headers, body) = match path.split('/').nth(1).unwrap_or_default() {
        "broken" => return Ok(()),
        "silent" => {
            // Until the client gives up.
            return stream.read_to_end(&mut Vec::new()).map(drop);
        }
        "status" => (path.rsplit('/').next().unwrap_or("500").to_owned(), String::new(), String::new()),
        "echo" => {
            // As whoever debugs a client shows it.
            let hex: String = authorization.bytes().map(|byte| format!("{byte:02x}")).collect();
            let body = serde_json::json!({ "as it is": authorization, "hex": hex }).to_string();
            ("200".into(), format!("x-echo: {authorization}\r\n"), body)
        }
        "large" => ("200".into(), String::new(), "x".repeat(number_in(path))),
        "headers" => ("200".into(), "x: y\r\n".repeat(number_in(path)), String::new()),
        "to" => ("302".into(), format!("location: {}\r\n", &path["/to/".len()..]), String::new()),
        "circle" => ("302".into(), "location: /circle\r\n".into(), String::new()),
        "redirect" => ("302".into(), "location: /moved\r\n".into(), String::new()),
        _ => ("200".into(), String::new(), number.to_string()),
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn number_in(path: &str) -> usize {
    path.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
