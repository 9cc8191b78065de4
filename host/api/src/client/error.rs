//! Why there is no answer, and what to do about it.

use pawl_base::TlsFault;
use reqwest::{StatusCode, Url};

use crate::problem::kind::{BEING_BUILT, INVALID_INPUT, MISDIRECTED};
use crate::types::Problem;

/// Why there is no answer, or not the wanted one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not one.
    #[error("{0}")]
    Url(String),
    /// Nothing was sent: the request was not carried out.
    #[error("no API answers at {url} ({})", root(cause))]
    Unreachable {
        /// The API's address.
        url: Box<Url>,
        /// What the network said.
        cause: reqwest::Error,
    },
    /// The connection broke or the answer took too long: the request may have been carried out.
    #[error("the API at {url} did not answer completely ({})", root(cause))]
    Broken {
        /// The API's address.
        url: Box<Url>,
        /// What the network said.
        cause: reqwest::Error,
    },
    /// The API refused, and says why.
    #[error("{}", describe(.0))]
    Problem(Box<Problem>),
    /// Not an answer of Pawl.
    #[error("{url} answered {status} with something that is no answer of Pawl's API")]
    Foreign {
        /// The address of the whole request.
        url: Box<Url>,
        /// Of the answer.
        status: StatusCode,
        /// Why the answer can't be read, if it should have been readable.
        #[source]
        source: Option<serde_json::Error>,
    },
}

/// What the API said is wrong, with all problems of a file, one per line.
fn describe(problem: &Problem) -> String {
    let mut text = if problem.detail.is_empty() { problem.title.clone() } else { problem.detail.clone() };
    for problem in &problem.problems {
        text.push_str(&format!("\n  {problem}"));
    }
    text
}

/// What to do when a handshake has failed.
const fn help_with(fault: TlsFault) -> &'static str {
    match fault {
        TlsFault::Untrusted => {
            "nobody who is trusted here has signed its certificate: name its CA with --api-ca, PAWL_API_CA or `api_ca`"
        }
        TlsFault::OtherName => "its certificate is for other names: say one of them in --api-url or PAWL_API_URL",
        TlsFault::OutOfTime => "its certificate has ended, or is not good yet: renew it, and look at both clocks",
        TlsFault::OfCa => "it shows the certificate of a CA itself: have that sign one for the API (tls_certificate)",
        TlsFault::WantsOurs => {
            "it wants a certificate of a client, or another one: PAWL_API_CERTIFICATE and PAWL_API_KEY name one and its key"
        }
        TlsFault::NoTls => {
            "it speaks no TLS: say http:// in --api-url or PAWL_API_URL, if the whole way there is yours"
        }
        TlsFault::Other => "TLS with it fails: check the address, --api-url or PAWL_API_URL",
    }
}

/// The innermost cause; the layers above it repeat the URL and each other.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

impl Error {
    /// What to do about it, where that is not said in the error itself.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { cause, .. } | Self::Broken { cause, .. } if TlsFault::of(cause).is_some() => {
                TlsFault::of(cause).map(help_with)
            }
            Self::Unreachable { .. } => {
                Some("start one with `pawl dev` or `pawl api`, or say where it is with --api-url or PAWL_API_URL")
            }
            Self::Broken { .. } => Some(
                "what was asked for may have been done: look before you ask again. If that is not the API's address, say it with \
                 --api-url or PAWL_API_URL",
            ),
            Self::Foreign { .. } => Some("check the address: --api-url, PAWL_API_URL or `api_url` in pawl.toml"),
            Self::Problem(problem) if problem.status == 401 => Some(
                "set PAWL_API_TOKEN, or `api_token` in pawl.toml, to a token of the API. That of a `pawl dev` is in its data folder \
                 (.pawl/token), where commands of the same user on the same machine find it",
            ),
            _ => None,
        }
    }

    /// Whether the API that is meant may be starting just now: nothing answers there yet, or somebody else does.
    #[must_use]
    pub fn is_early(&self) -> bool {
        matches!(self, Self::Unreachable { cause, .. } if TlsFault::of(cause).is_none())
            || self.is_problem(MISDIRECTED.name)
    }

    /// Whether the pipeline may be there in a moment.
    #[must_use]
    pub fn is_being_built(&self) -> bool {
        self.is_problem(BEING_BUILT.name)
    }

    /// Whether what the run would get does not fit its first steps.
    #[must_use]
    pub fn is_of_input(&self) -> bool {
        self.is_problem(INVALID_INPUT.name)
    }

    fn is_problem(&self, kind: &str) -> bool {
        matches!(self, Self::Problem(problem) if problem.kind.ends_with(kind))
    }

    /// Whether the same request may succeed later: the API was not reached, went away or has no database.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => true,
            Self::Problem(problem) => problem.status == 503,
            Self::Url(_) | Self::Foreign { .. } => false,
        }
    }
}
