//! The host's functions, as the rest of the SDK calls them: in a component the bindings of `wit/step.wit`,
//! in a native build those of the test kit. Nothing else in the SDK may name the bindings of imports, so that
//! the list of all host calls is the list of names here.

pub(crate) use crate::raw::pawl::step::context::Info;
pub(crate) use crate::raw::pawl::step::http::{Error as HttpError, Request as HttpRequest, Response as HttpResponse};
pub(crate) use crate::raw::pawl::step::logging::Level;

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::raw::pawl::step::{
    context::{get as context, secret},
    durable::{
        await_signal, checkpoint, idempotency_key, now as now_ns, once_begin, once_finish, random, restore, sleep,
    },
    http::send,
    logging::{log, progress},
};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::calls::{
    await_signal, checkpoint, context, idempotency_key, log, now_ns, once_begin, once_finish, progress, random,
    restore, secret, send, sleep,
};
