//! One request and its answer: what the resources of the interface share.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pawl_base::lock;

use super::fields::Fields;
use super::types::ErrorCode;
use crate::guest::Guest;
use crate::host::Level;
use crate::host::http_interface::{Error, Host as _, Request, Response};
use crate::limiter::Charged;

/// A header of the guest's that names the effect.
const KEY_HEADER: &str = "idempotency-key";

/// A header that follows from the body.
const LENGTH_HEADER: &str = "content-length";

/// A request on its way.
#[derive(Debug, Default)]
pub struct Exchange {
    body: Vec<u8>,
    stage: Stage,
}

#[derive(Debug, Default)]
enum Stage {
    /// The guest makes it.
    #[default]
    Made,
    /// The body is whole, the request has not been handed over.
    BodyFinished,
    /// Handed over, the body is not finished.
    HandedOver(Box<Head>),
    /// The request left, or can't any more.
    Answered(Answer),
    /// The guest has the answer.
    Taken,
}

/// What came of it; a response counts as the guest's memory until the guest has dropped it.
type Answer = Result<(Response, Charged), ErrorCode>;

/// A request without its body.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: Fields,
    pub(super) timeout: Option<Duration>,
}

pub(super) type Shared = Arc<Mutex<Exchange>>;

impl Exchange {
    /// Whether the answer is there, or was.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self.stage, Stage::Answered(_) | Stage::Taken)
    }

    /// The body, while it may grow.
    pub(super) fn open_body(&mut self) -> Option<&mut Vec<u8>> {
        matches!(self.stage, Stage::Made | Stage::HandedOver(_)).then_some(&mut self.body)
    }

    /// The answer, once; `None` before it is there, `Err` after it was given.
    pub(super) fn take_answer(&mut self) -> Option<Result<Answer, ()>> {
        match std::mem::replace(&mut self.stage, Stage::Taken) {
            Stage::Answered(answer) => Some(Ok(answer)),
            Stage::Taken => Some(Err(())),
            earlier => {
                self.stage = earlier;
                None
            }
        }
    }
}

impl Guest {
    /// The body is whole.
    pub(super) fn finish_body(&mut self, exchange: &Shared) -> wasmtime::Result<()> {
        let stage = std::mem::replace(&mut lock(exchange).stage, Stage::BodyFinished);
        if let Stage::HandedOver(head) = stage {
            self.send_exchange(exchange, *head)?;
        }
        Ok(())
    }

    /// The body will never be whole.
    pub(super) fn abandon_body(&mut self, exchange: &Shared) {
        let mut exchange = lock(exchange);
        self.memory.budget().give_back(std::mem::take(&mut exchange.body).len());
        let reason = "the request's body was dropped before it was finished";
        exchange.stage = Stage::Answered(Err(ErrorCode::InternalError(Some(reason.into()))));
    }

    /// The guest hands the request over; it leaves when the body is whole.
    pub(super) fn hand_over_request(&mut self, exchange: &Shared, head: Head, has_body: bool) -> wasmtime::Result<()> {
        {
            let mut exchange = lock(exchange);
            if has_body && matches!(exchange.stage, Stage::Made) {
                exchange.stage = Stage::HandedOver(Box::new(head));
                return Ok(());
            }
            if exchange.is_answered() {
                return Ok(());
            }
        }
        self.send_exchange(exchange, head)
    }

    /// One call of `pawl:step/http`, on the guest's thread.
    fn send_exchange(&mut self, exchange: &Shared, head: Head) -> wasmtime::Result<()> {
        let body = std::mem::take(&mut lock(exchange).body);
        self.memory.budget().give_back(body.len());
        let answer = match request(head, body) {
            Ok(request) => {
                let asked = format!("{} {}", request.method, request.url);
                match self.send(request)? {
                    Ok(response) => {
                        let charged = self.charge(size(&response))?;
                        Ok((response, charged))
                    }
                    Err(error) => {
                        self.log_unanswered(&asked, &error);
                        Err(error_code(error))
                    }
                }
            }
            Err(reason) => Err(ErrorCode::InternalError(Some(reason))),
        };
        lock(exchange).stage = Stage::Answered(answer);
        Ok(())
    }
}

impl Guest {
    /// The code that WASI has for it leaves the reason out, and what a language makes of the code says even less.
    fn log_unanswered(&self, asked: &str, error: &Error) {
        let why = match error {
            Error::Connect(why) => format!("no connection: {why}"),
            Error::Broken(why) => format!("the connection broke: {why}"),
            Error::Invalid(_) | Error::Timeout | Error::TooLarge(_) => return,
        };
        self.tell_log();
        self.log.write(Level::Warn, &format!("{asked}: {why}"), &[]);
    }
}

fn size(response: &Response) -> usize {
    response.body.len() + response.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
}

fn request(head: Head, body: Vec<u8>) -> Result<Request, String> {
    let Head { method, url, headers, timeout } = head;
    let mut effect = None;
    let mut kept = Vec::new();
    for (name, value) in headers.entries() {
        let value = std::str::from_utf8(value).map_err(|_| format!("the value of header {name:?} is not valid"))?;
        match name.as_str() {
            KEY_HEADER => effect = Some(value.to_owned()),
            LENGTH_HEADER => {}
            _ => kept.push((name.clone(), value.to_owned())),
        }
    }
    let timeout_ms = timeout.map(|timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
    Ok(Request { method, url, headers: kept, body, effect, timeout_ms })
}

fn error_code(error: Error) -> ErrorCode {
    match error {
        Error::Invalid(reason) => ErrorCode::InternalError(Some(reason)),
        Error::Connect(_) => ErrorCode::ConnectionRefused,
        Error::Timeout => ErrorCode::HttpResponseTimeout,
        Error::Broken(_) => ErrorCode::ConnectionTerminated,
        Error::TooLarge(size) => ErrorCode::HttpResponseBodySize(Some(size)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_the_guest_names_the_effect_and_does_not_leave() {
        let mut headers = Vec::new();
        for (name, value) in [("Idempotency-Key", "order 7"), ("Content-Length", "2"), ("Accept", "text/plain")] {
            headers.push((name.to_owned(), value.to_owned()));
        }
        let headers = Fields::received(&headers);
        let head = Head { method: "POST".into(), url: "http://localhost/".into(), headers, timeout: None };
        let request = request(head, b"{}".to_vec()).unwrap();
        assert_eq!(request.effect.as_deref(), Some("order 7"));
        assert_eq!(request.headers, [("accept".to_owned(), "text/plain".to_owned())]);
    }

    #[test]
    fn an_answer_is_given_once() {
        let mut exchange = Exchange::default();
        assert!(exchange.take_answer().is_none() && !exchange.is_answered());
        exchange.stage = Stage::Answered(Err(ErrorCode::ConnectionRefused));
        assert!(exchange.is_answered());
        assert!(matches!(exchange.take_answer(), Some(Ok(Err(ErrorCode::ConnectionRefused)))));
        assert!(matches!(exchange.take_answer(), Some(Err(()))));
    }
}
