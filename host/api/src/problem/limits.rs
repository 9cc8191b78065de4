//! Problems of what is too much, too large, too often or too slow, with the setting or the quota that says so.

use std::time::Duration;

use pawl_domain::namespace::Namespace;
use pawl_domain::quota::Over;

use super::{SizeLimit, kind};
use crate::types::Problem;

impl Problem {
    pub(crate) fn over_quota(namespace: &Namespace, over: &Over) -> Self {
        let detail = format!(
            "a quota of the namespace `{namespace}` is used up: {over}; an administrator raises it with `pawl namespace quota`"
        );
        Self::new(&kind::OVER_QUOTA, detail)
    }

    pub(crate) fn too_many_failures() -> Self {
        let detail = "too many wrong tokens came from this address: wait some seconds, and check the token";
        Self::new(&kind::TOO_MANY_FAILURES, detail)
    }

    pub(crate) fn too_large(what: &str, limit: impl Into<SizeLimit>) -> Self {
        let SizeLimit { bytes, setting } = limit.into();
        let raise = setting.map(|setting| format!(", or raise `{setting}` of the API")).unwrap_or_default();
        let detail = format!("{what} may have {}: send less, or a reference to it{raise}", size(bytes));
        Self::new(&kind::TOO_LARGE, detail)
    }

    /// A step's past has more bytes than `most`; `at_most` are handed out at all.
    pub(crate) fn too_long_a_past(most: usize, at_most: usize) -> Self {
        let other = match most < at_most {
            true => format!("`pawl run replay` replays up to {} on your machine", size(at_most)),
            false => "let the step save checkpoints more often: only what follows the last one is read".to_owned(),
        };
        Self::new(&kind::TOO_LARGE, format!("the step's past has more than {}: {other}", size(most)))
    }

    pub(crate) fn busy(why: &str, fix: &str) -> Self {
        Self::new(&kind::BUSY, format!("{why}: {fix}"))
    }

    pub(crate) fn too_many_connections(most: usize) -> Self {
        let detail = format!(
            "this API serves {most} connections at once and has as many: close those that idle, try again in a moment, or raise \
             its `connections`"
        );
        Self::new(&kind::TOO_MANY_CONNECTIONS, detail)
    }

    pub(crate) fn too_many_readers(most: usize) -> Self {
        let detail = format!(
            "{most} readers of this API follow or await runs, which is as many as may: ask without waiting, try again in a \
             moment, or raise its `readers`"
        );
        Self::new(&kind::TOO_MANY_READERS, detail)
    }

    pub(crate) fn slow_head(limit: Duration) -> Self {
        let detail =
            format!("the request's head did not come within {limit:?}: send it in one go, or raise `header_timeout`");
        Self::new(&kind::TOO_SLOW, detail)
    }

    pub(crate) fn slow_body(what: &str) -> Self {
        let detail = format!(
            "the body, {what}, came too slowly: send it over a faster link, or raise `body_timeout` of the API"
        );
        Self::new(&kind::TOO_SLOW, detail)
    }
}

fn size(bytes: usize) -> String {
    const MIB: usize = 1 << 20;
    if bytes >= MIB && bytes.is_multiple_of(MIB) { format!("{} MiB", bytes / MIB) } else { format!("{bytes} bytes") }
}
