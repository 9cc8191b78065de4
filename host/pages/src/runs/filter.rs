//! Which runs a list is of: what the fields of its form say, as an address of the page and as a question to the API.

use url::form_urlencoded::Serializer;

use crate::query::Query;
use crate::span::Span;

/// What is asked for; empty fields of the form are none.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    pub(super) status: Option<String>,
    pub(super) pipeline: Option<String>,
    pub(super) version: Option<String>,
    pub(super) within: Option<String>,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) key: Option<String>,
    pub(super) error: Option<String>,
    pub(super) id: Option<String>,
    pub(super) before: Option<String>,
    /// Whether runs are to be picked, to do something about them.
    pub(super) pick: Option<String>,
}

impl Filter {
    pub(super) fn of(query: &Query) -> Self {
        let said = |name: &str| query.said(name).map(str::to_owned);
        Self {
            status: said("status"),
            pipeline: said("pipeline"),
            version: said("version"),
            within: said("within"),
            from: said("from"),
            to: said("to"),
            key: said("key"),
            error: said("error"),
            id: said("id"),
            before: said("before"),
            pick: said("pick"),
        }
    }

    /// All that is said, by the names of the fields.
    pub(super) fn said(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("status", &self.status),
            ("pipeline", &self.pipeline),
            ("version", &self.version),
            ("within", &self.within),
            ("from", &self.from),
            ("to", &self.to),
            ("key", &self.key),
            ("error", &self.error),
            ("id", &self.id),
            ("before", &self.before),
            ("pick", &self.pick),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect()
    }

    /// Its address, under that path.
    pub(super) fn path(&self, path: &str) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(self.said());
        let query = query.finish();
        if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
    }

    /// The question to the API, of so many runs at most; a whole key, or the first digits of an id, go alone.
    pub(super) fn question(&self, limit: u32, now_ms: i64) -> String {
        let mut query = Serializer::new(String::new());
        query.append_pair("limit", &limit.to_string());
        let (key, prefix) = self.key_or_prefix();
        for (name, alone) in [("id", self.id.as_deref()), ("key", key)] {
            if let Some(value) = alone {
                query.append_pair(name, value);
                return format!("/v1/runs?{}", query.finish());
            }
        }
        let (since, until) = self.span().times(now_ms);
        let (since, until) = (since.map(|ms| ms.to_string()), until.map(|ms| ms.to_string()));
        for (name, value) in [
            ("status", self.status.as_deref()),
            ("pipeline", self.pipeline.as_deref()),
            ("version", self.version.as_deref()),
            ("since_ms", since.as_deref()),
            ("until_ms", until.as_deref()),
            ("key_prefix", prefix),
            ("error", self.error.as_deref()),
            ("before", self.before.as_deref()),
        ] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        format!("/v1/runs?{}", query.finish())
    }

    /// A key; or with a `*` behind it the beginning of some.
    fn key_or_prefix(&self) -> (Option<&str>, Option<&str>) {
        match self.key.as_deref().map(|key| (key, key.strip_suffix('*'))) {
            Some((_, Some(prefix))) => (None, Some(prefix).filter(|prefix| !prefix.is_empty())),
            Some((key, None)) => (Some(key), None),
            None => (None, None),
        }
    }

    /// When they were submitted.
    pub(super) fn span(&self) -> Span<'_> {
        Span { within: self.within.as_deref(), from: self.from.as_deref(), to: self.to.as_deref() }
    }

    /// Whether it is about one run, or a few, whatever their state.
    pub(super) fn goes_alone(&self) -> bool {
        self.id.is_some() || self.key_or_prefix().0.is_some()
    }

    /// Whether anything of it stands in the fields that are folded.
    pub(super) fn has_more(&self) -> bool {
        let Self { version, within, from, to, key, error, .. } = self;
        [version, within, from, to, key, error].into_iter().any(Option::is_some)
    }

    /// Whether it leaves any run out.
    pub(super) fn is_any(&self) -> bool {
        self.status.is_some() || self.pipeline.is_some() || self.id.is_some() || self.has_more()
    }

    /// The same of another state, from its first page on.
    pub(super) fn of_state(&self, status: Option<&str>) -> Self {
        let key = self.key.clone().filter(|_| !self.goes_alone());
        Self { status: status.map(str::to_owned), key, id: None, before: None, pick: None, ..self.clone() }
    }

    /// The same from there on.
    pub(super) fn going_on(&self, before: Option<&str>) -> Self {
        Self { before: before.map(str::to_owned), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(query: &str) -> Filter {
        Filter::of(&Query::of(query))
    }

    #[test]
    fn empty_fields_ask_for_nothing_and_others_go_on_with_the_page() {
        let some = filter("status=failed&pipeline=a%26b&id=&before=+&other=1");
        assert_eq!(some.path("/runs"), "/runs?status=failed&pipeline=a%26b");
        assert_eq!(some.going_on(Some("x/1")).path("/runs"), "/runs?status=failed&pipeline=a%26b&before=x%2F1");
        assert_eq!(some.of_state(None).path("/runs"), "/runs?pipeline=a%26b");
        assert_eq!(filter("").path("/runs"), "/runs");
        assert!(some.is_any() && !some.has_more() && !filter("before=x&pick=yes").is_any());
    }

    #[test]
    fn a_question_is_what_the_api_takes() {
        for (query, asked) in [
            ("", "limit=40"),
            ("id=01ab&status=failed", "limit=40&id=01ab"),
            ("key=order-17&status=failed", "limit=40&key=order-17"),
            ("key=order-*&status=failed", "limit=40&status=failed&key_prefix=order-"),
            ("key=*", "limit=40"),
            ("within=1h", "limit=40&since_ms=6400000"),
            ("within=ever", "limit=40"),
            ("within=1h&from=1970-01-01T00:00&to=1970-01-01T01:00:01", "limit=40&since_ms=0&until_ms=3601000"),
            ("version=ab12cd&error=no+%22row%22&before=x", "limit=40&version=ab12cd&error=no+%22row%22&before=x"),
        ] {
            assert_eq!(filter(query).question(40, 10_000_000), format!("/v1/runs?{asked}"), "{query}");
        }
    }
}
