//! What a guest gets back: the future, the response in it, its body and its trailers, of which there are
//! none.

use std::future::pending;

use bytes::Bytes;
use pawl_base::lock;
use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::p2::{DynInputStream, DynPollable, IoError, Pollable, subscribe};

use super::exchange::Shared;
use super::fields::Fields;
use super::types::{
    self, ErrorCode, HostFutureIncomingResponse, HostFutureTrailers, HostIncomingBody, HostIncomingRequest,
    HostIncomingResponse, HostOutgoingResponse, HostResponseOutparam, IncomingRequest, OutgoingResponse,
    ResponseOutparam,
};
use crate::guest::Guest;
use crate::limiter::Charged;

/// An answer that will be there when the guest can look.
#[derive(Debug)]
pub struct Future(pub(super) Shared);

/// An answer.
#[derive(Debug)]
pub struct IncomingResponse {
    status: u16,
    headers: Fields,
    /// None once the guest has it.
    body: Option<Received>,
}

/// Bytes that count as the guest's memory.
#[derive(Debug)]
struct Received {
    bytes: Vec<u8>,
    _charged: Charged,
}

impl AsRef<[u8]> for Received {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The body of an answer, to be read once.
#[derive(Debug)]
pub struct IncomingBody(Option<Received>);

/// What comes after a body.
#[derive(Debug)]
pub struct Trailers {
    is_taken: bool,
}

#[async_trait]
impl Pollable for Future {
    /// The answer is there before the guest can wait for it, or never comes: what the guest does not finish
    /// does not leave.
    async fn ready(&mut self) {
        let is_answered = lock(&self.0).is_answered();
        if !is_answered {
            pending::<()>().await;
        }
    }
}

#[async_trait]
impl Pollable for Trailers {
    async fn ready(&mut self) {}
}

type Once<T> = wasmtime::Result<Option<Result<Result<T, ErrorCode>, ()>>>;

impl HostFutureIncomingResponse for Guest {
    fn subscribe(&mut self, future: Resource<Future>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.wasi().table, future)
    }

    fn get(&mut self, future: Resource<Future>) -> Once<Resource<IncomingResponse>> {
        let answer = lock(&self.held(&future)?.0).take_answer();
        Ok(match answer {
            None => None,
            Some(Err(())) => Some(Err(())),
            Some(Ok(Err(error))) => Some(Ok(Err(error))),
            Some(Ok(Ok((response, charged)))) => {
                let mut headers = Fields::received(&response.headers);
                headers.charged_to(self)?;
                let body = Some(Received { bytes: response.body, _charged: charged });
                let response = IncomingResponse { status: response.status, headers, body };
                Some(Ok(Ok(self.push(response)?)))
            }
        })
    }

    fn drop(&mut self, future: Resource<Future>) -> wasmtime::Result<()> {
        self.take(future).map(drop)
    }
}

impl HostIncomingResponse for Guest {
    fn status(&mut self, response: Resource<IncomingResponse>) -> wasmtime::Result<u16> {
        Ok(self.held(&response)?.status)
    }

    fn headers(&mut self, response: Resource<IncomingResponse>) -> wasmtime::Result<Resource<Fields>> {
        let headers = self.held(&response)?.headers.clone();
        self.push(headers)
    }

    fn consume(
        &mut self,
        response: Resource<IncomingResponse>,
    ) -> wasmtime::Result<Result<Resource<IncomingBody>, ()>> {
        match self.held(&response)?.body.take() {
            Some(body) => Ok(Ok(self.push(IncomingBody(Some(body)))?)),
            None => Ok(Err(())),
        }
    }

    fn drop(&mut self, response: Resource<IncomingResponse>) -> wasmtime::Result<()> {
        self.take(response).map(drop)
    }
}

impl HostIncomingBody for Guest {
    fn stream(&mut self, body: Resource<IncomingBody>) -> wasmtime::Result<Result<Resource<DynInputStream>, ()>> {
        let Some(received) = self.held(&body)?.0.take() else { return Ok(Err(())) };
        let stream: DynInputStream = Box::new(MemoryInputPipe::new(Bytes::from_owner(received)));
        Ok(Ok(self.push(stream)?))
    }

    fn finish(&mut self, body: Resource<IncomingBody>) -> wasmtime::Result<Resource<Trailers>> {
        self.take(body)?;
        self.push(Trailers { is_taken: false })
    }

    fn drop(&mut self, body: Resource<IncomingBody>) -> wasmtime::Result<()> {
        self.take(body).map(drop)
    }
}

impl HostFutureTrailers for Guest {
    fn subscribe(&mut self, trailers: Resource<Trailers>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.wasi().table, trailers)
    }

    fn get(&mut self, trailers: Resource<Trailers>) -> Once<Option<Resource<Fields>>> {
        let was_taken = std::mem::replace(&mut self.held(&trailers)?.is_taken, true);
        Ok(Some(if was_taken { Err(()) } else { Ok(Ok(None)) }))
    }

    fn drop(&mut self, trailers: Resource<Trailers>) -> wasmtime::Result<()> {
        self.take(trailers).map(drop)
    }
}

impl types::Host for Guest {
    fn http_error_code(&mut self, _: Resource<IoError>) -> wasmtime::Result<Option<ErrorCode>> {
        Ok(None)
    }
}

/// A step is not asked anything over HTTP, so that none of these exists.
impl HostIncomingRequest for Guest {
    fn drop(&mut self, request: Resource<IncomingRequest>) -> wasmtime::Result<()> {
        self.take(request).map(drop)
    }
}

impl HostResponseOutparam for Guest {
    fn drop(&mut self, outparam: Resource<ResponseOutparam>) -> wasmtime::Result<()> {
        self.take(outparam).map(drop)
    }
}

impl HostOutgoingResponse for Guest {
    fn drop(&mut self, response: Resource<OutgoingResponse>) -> wasmtime::Result<()> {
        self.take(response).map(drop)
    }
}
