//! `wasi:io/streams`: bytes in memory. Nothing here waits: what can be read is there, what is written goes
//! to the log or into a request's body at once.

use std::sync::{Arc, Mutex};

use wasmtime::component::Resource;

use super::bindings::wasi::io::error;
use super::bindings::wasi::io::streams::{self, HostInputStream, HostOutputStream, StreamError};
use super::http::exchange::Exchange;
use super::poll::Pollable;
use crate::engine::guest::Guest;
use crate::engine::host::logging_interface::Level;

/// What a guest is told that it may write at a time.
const WRITE_BYTES: u64 = 64 << 10;

/// Why a stream broke. None does here: they only end.
#[derive(Debug)]
pub enum Error {}

/// Bytes to be read.
#[derive(Debug, Default)]
pub struct Input {
    bytes: Vec<u8>,
    position: usize,
}

/// Where written bytes go.
#[derive(Debug, Clone)]
pub enum Output {
    /// The log, as information.
    Stdout,
    /// The log, as warnings.
    Stderr,
    /// A request's body.
    Body(Arc<Mutex<Exchange>>),
}

impl Input {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, position: 0 }
    }

    /// Up to `len` of the bytes that are left; `Closed` at the end.
    fn read(&mut self, len: u64) -> Result<&[u8], StreamError> {
        let left = self.bytes.len() - self.position;
        if left == 0 {
            return Err(StreamError::Closed);
        }
        let start = self.position;
        self.position += usize::try_from(len).unwrap_or(usize::MAX).min(left);
        Ok(&self.bytes[start..self.position])
    }
}

type Answer<T> = wasmtime::Result<Result<T, StreamError>>;

impl streams::Host for Guest {}

impl HostInputStream for Guest {
    fn read(&mut self, stream: Resource<Input>, len: u64) -> Answer<Vec<u8>> {
        Ok(self.held(&stream)?.read(len).map(<[u8]>::to_vec))
    }

    fn blocking_read(&mut self, stream: Resource<Input>, len: u64) -> Answer<Vec<u8>> {
        HostInputStream::read(self, stream, len)
    }

    fn skip(&mut self, stream: Resource<Input>, len: u64) -> Answer<u64> {
        Ok(self.held(&stream)?.read(len).map(|skipped| skipped.len() as u64))
    }

    fn blocking_skip(&mut self, stream: Resource<Input>, len: u64) -> Answer<u64> {
        HostInputStream::skip(self, stream, len)
    }

    fn subscribe(&mut self, _: Resource<Input>) -> wasmtime::Result<Resource<Pollable>> {
        Ok(self.push(Pollable::Ready)?)
    }

    fn drop(&mut self, stream: Resource<Input>) -> wasmtime::Result<()> {
        self.take(stream).map(drop)
    }
}

impl HostOutputStream for Guest {
    fn check_write(&mut self, _: Resource<Output>) -> Answer<u64> {
        Ok(Ok(WRITE_BYTES))
    }

    fn write(&mut self, stream: Resource<Output>, contents: Vec<u8>) -> Answer<()> {
        match self.held(&stream)?.clone() {
            Output::Stdout => self.print(Level::Info, &contents).map(Ok),
            Output::Stderr => self.print(Level::Warn, &contents).map(Ok),
            Output::Body(exchange) => Ok(self.write_body(&exchange, &contents)?),
        }
    }

    fn blocking_write_and_flush(&mut self, stream: Resource<Output>, contents: Vec<u8>) -> Answer<()> {
        HostOutputStream::write(self, stream, contents)
    }

    fn flush(&mut self, _: Resource<Output>) -> Answer<()> {
        Ok(Ok(()))
    }

    fn blocking_flush(&mut self, _: Resource<Output>) -> Answer<()> {
        Ok(Ok(()))
    }

    fn subscribe(&mut self, _: Resource<Output>) -> wasmtime::Result<Resource<Pollable>> {
        Ok(self.push(Pollable::Ready)?)
    }

    fn write_zeroes(&mut self, stream: Resource<Output>, len: u64) -> Answer<()> {
        let len = len.min(WRITE_BYTES);
        HostOutputStream::write(self, stream, vec![0; usize::try_from(len)?])
    }

    fn blocking_write_zeroes_and_flush(&mut self, stream: Resource<Output>, len: u64) -> Answer<()> {
        HostOutputStream::write_zeroes(self, stream, len)
    }

    fn splice(&mut self, stream: Resource<Output>, source: Resource<Input>, len: u64) -> Answer<u64> {
        let contents = match self.held(&source)?.read(len.min(WRITE_BYTES)) {
            Ok(contents) => contents.to_vec(),
            Err(closed) => return Ok(Err(closed)),
        };
        let size = contents.len() as u64;
        Ok(HostOutputStream::write(self, stream, contents)?.map(|()| size))
    }

    fn blocking_splice(&mut self, stream: Resource<Output>, source: Resource<Input>, len: u64) -> Answer<u64> {
        HostOutputStream::splice(self, stream, source, len)
    }

    fn drop(&mut self, stream: Resource<Output>) -> wasmtime::Result<()> {
        self.take(stream).map(drop)
    }
}

impl error::Host for Guest {}

impl error::HostError for Guest {
    fn to_debug_string(&mut self, error: Resource<Error>) -> wasmtime::Result<String> {
        match *self.held(&error)? {}
    }

    fn drop(&mut self, error: Resource<Error>) -> wasmtime::Result<()> {
        match self.take(error)? {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_gives_what_it_has_and_then_ends() {
        let mut input = Input::new(b"abcde".to_vec());
        assert_eq!(input.read(3).unwrap(), b"abc");
        assert_eq!(input.read(0).unwrap(), b"");
        assert_eq!(input.read(u64::MAX).unwrap(), b"de");
        assert!(matches!(input.read(1), Err(StreamError::Closed)));
        assert!(matches!(Input::default().read(1), Err(StreamError::Closed)));
    }
}
