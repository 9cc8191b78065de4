//! The body of a request: what a guest writes is kept until the body is whole, and counts as the guest's own
//! memory so long.

use std::sync::Arc;

use bytes::Bytes;
use pawl_base::lock;
use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{DynOutputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::exchange::Shared;
use super::fields::Fields;
use super::types::{ErrorCode, HostOutgoingBody};
use crate::guest::{Guest, Halt};
use crate::limiter::Budget;
use crate::wasi::WRITE_BYTES;

/// The body of a request, to be written once.
#[derive(Debug)]
pub struct OutgoingBody {
    exchange: Shared,
    is_written: bool,
}

impl OutgoingBody {
    pub(super) fn new(exchange: Shared) -> Self {
        Self { exchange, is_written: false }
    }
}

impl HostOutgoingBody for Guest {
    fn write(&mut self, body: Resource<OutgoingBody>) -> wasmtime::Result<Result<Resource<DynOutputStream>, ()>> {
        let body = self.held(&body)?;
        if std::mem::replace(&mut body.is_written, true) {
            return Ok(Err(()));
        }
        let exchange = Arc::clone(&body.exchange);
        let written = Written { exchange, budget: self.memory.budget().clone(), limit_bytes: self.limits.memory_bytes };
        let stream: DynOutputStream = Box::new(written);
        Ok(Ok(self.push(stream)?))
    }

    fn finish(
        &mut self,
        body: Resource<OutgoingBody>,
        trailers: Option<Resource<Fields>>,
    ) -> wasmtime::Result<Result<(), ErrorCode>> {
        let body = self.take(body)?;
        if let Some(trailers) = trailers {
            self.take(trailers)?;
            self.abandon_body(&body.exchange);
            return Ok(Err(ErrorCode::InternalError(Some("requests of steps can't have trailers".into()))));
        }
        self.finish_body(&body.exchange)?;
        Ok(Ok(()))
    }

    fn drop(&mut self, body: Resource<OutgoingBody>) -> wasmtime::Result<()> {
        let body = self.take(body)?;
        self.abandon_body(&body.exchange);
        Ok(())
    }
}

/// The stream to which a body is written.
struct Written {
    exchange: Shared,
    budget: Budget,
    limit_bytes: usize,
}

#[async_trait]
impl Pollable for Written {
    async fn ready(&mut self) {}
}

impl OutputStream for Written {
    fn write(&mut self, contents: Bytes) -> StreamResult<()> {
        let mut exchange = lock(&self.exchange);
        let Some(body) = exchange.open_body() else { return Err(StreamError::Closed) };
        match self.budget.take(contents.len()) {
            Ok(true) => {}
            Ok(false) => {
                let limit = self.limit_bytes;
                let told =
                    format!("a step's memory and the bodies of its requests may take {limit} bytes (`limit_memory`)");
                return Err(StreamError::Trap(Halt::Limit(told).into()));
            }
            Err(halt) => return Err(StreamError::Trap(halt.into())),
        }
        body.extend_from_slice(&contents);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    #[test]
    fn a_body_takes_of_the_guests_memory_and_no_more_than_is_left() {
        let budget = Budget::new(10, Memory::new(100, 10).begin(), Arc::default(), None);
        let exchange = Shared::default();
        let mut stream = Written { exchange: Arc::clone(&exchange), budget: budget.clone(), limit_bytes: 10 };
        stream.write(Bytes::from_static(b"seven b")).unwrap();
        let Err(StreamError::Trap(trap)) = stream.write(Bytes::from_static(b"four")) else { panic!("it took it") };
        assert!(trap.to_string().contains("may take 10 bytes"), "{trap}");
        assert!(trap.is::<Halt>() && budget.take(3).unwrap() && !budget.take(1).unwrap());
        assert_eq!(lock(&exchange).open_body().map(|body| body.as_slice()), Some(&b"seven b"[..]));
    }
}
