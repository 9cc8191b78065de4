//! What an address says behind its `?`: members with names, as those of a form.

use std::convert::Infallible;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::forms::Fields;

/// The members of an address, of which a page reads those that it knows.
#[derive(Default)]
pub(super) struct Query(Fields);

impl Query {
    pub(super) fn of(text: &str) -> Self {
        Self(Fields::of(text.as_bytes()))
    }

    /// What one says, unless that is nothing.
    pub(super) fn said(&self, name: &str) -> Option<&str> {
        self.0.said(name)
    }

    /// The same as a number, or whatever it should be: what can't be read as that is not said.
    pub(super) fn read<T: FromStr>(&self, name: &str) -> Option<T> {
        self.said(name)?.parse().ok()
    }

    /// What one says, as it is.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.0.raw(name)
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.all()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts.uri.query().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_or_no_number_is_not_said() {
        let query = Query::of("from=a%26b&to=+3+&did=&before=+&level=x&over");
        assert_eq!((query.said("from"), query.read::<u32>("to")), (Some("a&b"), Some(3)));
        for name in ["did", "before", "over", "other"] {
            assert_eq!(query.said(name), None, "{name}");
        }
        assert_eq!((query.read::<u32>("level"), query.raw("over"), query.raw("other")), (None, Some(""), None));
        assert_eq!(Query::default().all().count(), 0);
    }
}
