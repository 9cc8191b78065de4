//! What a guest makes to ask: the request and its options; and the handler that takes them.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::Resource;

use super::body::OutgoingBody;
use super::exchange::{Head, Shared};
use super::fields::Fields;
use super::outgoing_handler;
use super::response::Future;
use super::types::{ErrorCode, HostOutgoingRequest, HostRequestOptions, Method, Scheme};
use crate::guest::Guest;

/// What a part of a request's first line may have: more than a whole URL may.
const PART_BYTES: usize = 16 << 10;

fn is_too_long(part: Option<&str>) -> bool {
    part.is_some_and(|part| part.len() > PART_BYTES)
}

/// A request that has not been handed over.
#[derive(Debug)]
pub struct OutgoingRequest {
    method: Method,
    scheme: Option<Scheme>,
    authority: Option<String>,
    path: Option<String>,
    headers: Fields,
    exchange: Shared,
    has_body: bool,
}

/// How long parts of an exchange may take, ns. The host sends a request and reads its answer in one, so only
/// the first byte's counts: the whole answer must be there by then.
#[derive(Debug, Default)]
pub struct Options {
    connect: Option<u64>,
    first_byte: Option<u64>,
    between_bytes: Option<u64>,
}

impl OutgoingRequest {
    fn head(self, options: Option<&Options>) -> Head {
        let scheme = match &self.scheme {
            Some(Scheme::Http) => "http",
            Some(Scheme::Other(other)) => other,
            Some(Scheme::Https) | None => "https",
        };
        let (authority, path) = (self.authority.unwrap_or_default(), self.path.unwrap_or_default());
        let method = match self.method {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Connect => "CONNECT",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Patch => "PATCH",
            Method::Other(ref other) => other,
        };
        let timeout = options.and_then(|options| options.first_byte).map(Duration::from_nanos);
        Head { method: method.to_owned(), url: format!("{scheme}://{authority}{path}"), headers: self.headers, timeout }
    }
}

impl outgoing_handler::Host for Guest {
    fn handle(
        &mut self,
        request: Resource<OutgoingRequest>,
        options: Option<Resource<Options>>,
    ) -> wasmtime::Result<Result<Resource<Future>, ErrorCode>> {
        let request = self.take(request)?;
        let options = options.map(|options| self.take(options)).transpose()?;
        let (exchange, has_body) = (Arc::clone(&request.exchange), request.has_body);
        self.hand_over_request(&exchange, request.head(options.as_ref()), has_body)?;
        Ok(Ok(self.push(Future(exchange))?))
    }
}

impl HostOutgoingRequest for Guest {
    fn new(&mut self, headers: Resource<Fields>) -> wasmtime::Result<Resource<OutgoingRequest>> {
        let headers = self.take(headers)?.immutable();
        self.push(OutgoingRequest {
            method: Method::Get,
            scheme: None,
            authority: None,
            path: None,
            headers,
            exchange: Shared::default(),
            has_body: false,
        })
    }

    fn body(&mut self, request: Resource<OutgoingRequest>) -> wasmtime::Result<Result<Resource<OutgoingBody>, ()>> {
        let request = self.held(&request)?;
        if std::mem::replace(&mut request.has_body, true) {
            return Ok(Err(()));
        }
        let body = OutgoingBody::new(Arc::clone(&request.exchange));
        Ok(Ok(self.push(body)?))
    }

    fn method(&mut self, request: Resource<OutgoingRequest>) -> wasmtime::Result<Method> {
        Ok(self.held(&request)?.method.clone())
    }

    fn set_method(&mut self, request: Resource<OutgoingRequest>, method: Method) -> wasmtime::Result<Result<(), ()>> {
        if matches!(&method, Method::Other(other) if other.len() > PART_BYTES) {
            return Ok(Err(()));
        }
        self.held(&request)?.method = method;
        Ok(Ok(()))
    }

    fn path_with_query(&mut self, request: Resource<OutgoingRequest>) -> wasmtime::Result<Option<String>> {
        Ok(self.held(&request)?.path.clone())
    }

    fn set_path_with_query(
        &mut self,
        request: Resource<OutgoingRequest>,
        path: Option<String>,
    ) -> wasmtime::Result<Result<(), ()>> {
        if is_too_long(path.as_deref()) {
            return Ok(Err(()));
        }
        self.held(&request)?.path = path;
        Ok(Ok(()))
    }

    fn scheme(&mut self, request: Resource<OutgoingRequest>) -> wasmtime::Result<Option<Scheme>> {
        Ok(self.held(&request)?.scheme.clone())
    }

    fn set_scheme(
        &mut self,
        request: Resource<OutgoingRequest>,
        scheme: Option<Scheme>,
    ) -> wasmtime::Result<Result<(), ()>> {
        if matches!(&scheme, Some(Scheme::Other(other)) if other.len() > PART_BYTES) {
            return Ok(Err(()));
        }
        self.held(&request)?.scheme = scheme;
        Ok(Ok(()))
    }

    fn authority(&mut self, request: Resource<OutgoingRequest>) -> wasmtime::Result<Option<String>> {
        Ok(self.held(&request)?.authority.clone())
    }

    fn set_authority(
        &mut self,
        request: Resource<OutgoingRequest>,
        authority: Option<String>,
    ) -> wasmtime::Result<Result<(), ()>> {
        if is_too_long(authority.as_deref()) {
            return Ok(Err(()));
        }
        self.held(&request)?.authority = authority;
        Ok(Ok(()))
    }

    fn headers(&mut self, request: Resource<OutgoingRequest>) -> wasmtime::Result<Resource<Fields>> {
        let headers = self.held(&request)?.headers.clone();
        self.push(headers)
    }

    fn drop(&mut self, request: Resource<OutgoingRequest>) -> wasmtime::Result<()> {
        self.take(request).map(drop)
    }
}

type Set = wasmtime::Result<Result<(), ()>>;

impl HostRequestOptions for Guest {
    fn new(&mut self) -> wasmtime::Result<Resource<Options>> {
        self.push(Options::default())
    }

    fn connect_timeout(&mut self, options: Resource<Options>) -> wasmtime::Result<Option<u64>> {
        Ok(self.held(&options)?.connect)
    }

    fn set_connect_timeout(&mut self, options: Resource<Options>, ns: Option<u64>) -> Set {
        self.held(&options)?.connect = ns;
        Ok(Ok(()))
    }

    fn first_byte_timeout(&mut self, options: Resource<Options>) -> wasmtime::Result<Option<u64>> {
        Ok(self.held(&options)?.first_byte)
    }

    fn set_first_byte_timeout(&mut self, options: Resource<Options>, ns: Option<u64>) -> Set {
        self.held(&options)?.first_byte = ns;
        Ok(Ok(()))
    }

    fn between_bytes_timeout(&mut self, options: Resource<Options>) -> wasmtime::Result<Option<u64>> {
        Ok(self.held(&options)?.between_bytes)
    }

    fn set_between_bytes_timeout(&mut self, options: Resource<Options>, ns: Option<u64>) -> Set {
        self.held(&options)?.between_bytes = ns;
        Ok(Ok(()))
    }

    fn drop(&mut self, options: Resource<Options>) -> wasmtime::Result<()> {
        self.take(options).map(drop)
    }
}
