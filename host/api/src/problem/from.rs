//! What store, queue, dispatch and examiner say, as problems.

use std::error::Error;

use pawl_engine::examine::Refusal;
use pawl_queue as queue;
use pawl_store as store;

use super::kind;
use crate::types::Problem;

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::NotFound(detail) => Self::not_found(detail),
            store::Error::Conflict(detail) => Self::conflict(detail),
            store::Error::Unavailable(..)
            | store::Error::Denied(..)
            | store::Error::Unsafe(..)
            | store::Error::ReadOnly(_)
            | store::Error::Slow(..)
            | store::Error::Held(..)
            | store::Error::Silent => {
                tracing::debug!(error = error.chain(), "a request has to wait");
                Self::unavailable(format!("{error}: try again; nothing that was answered is lost"))
            }
            store::Error::Schema { .. } | store::Error::ForeignSchema { .. } => Self::unavailable(error.to_string()),
            store::Error::Newer { .. } => {
                Self::unavailable(format!("{error}: ask one that is as new, or upgrade this one"))
            }
            store::Error::Damaged(_) => {
                tracing::error!(error = &error as &dyn Error, "stored bytes are damaged");
                Self::new(&kind::DAMAGED, error.to_string())
            }
            store::Error::Refused(..) | store::Error::Config(_) => Self::internal(&error),
        }
    }
}

impl From<queue::Error> for Problem {
    fn from(error: queue::Error) -> Self {
        match error {
            queue::Error::Unavailable { .. } => {
                tracing::debug!(error = error.chain(), "a request has to wait");
                Self::unavailable(format!("{error}: try again; nothing is lost, delivery is made up for later"))
            }
            queue::Error::Config(_) => Self::internal(&error),
        }
    }
}

impl From<pawl_dispatch::Error> for Problem {
    fn from(error: pawl_dispatch::Error) -> Self {
        match error {
            pawl_dispatch::Error::Store(error) => error.into(),
            pawl_dispatch::Error::Queue(error) => error.into(),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match &refusal {
            Refusal::NotStarted(_) => Self::internal(&refusal),
            _ => Self::invalid_component(refusal.to_string()),
        }
    }
}
