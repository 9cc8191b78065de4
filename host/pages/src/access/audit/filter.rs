//! Which changes a page or an export is of: what the fields of its form say, as an address and as a question to the API.

use maud::{Markup, html};
use pawl_api::recorded_operations;
use url::form_urlencoded::Serializer;

use super::PATH;
use crate::query::Query;
use crate::span::Span;

/// What is asked for; empty fields of the form are none.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    who: Option<String>,
    what: Option<String>,
    run: Option<String>,
    within: Option<String>,
    from: Option<String>,
    to: Option<String>,
    pub(super) before: Option<String>,
}

impl Filter {
    pub(super) fn of(query: &Query) -> Self {
        let said = |name: &str| query.said(name).map(str::to_owned);
        Self {
            who: said("who"),
            what: said("what"),
            run: said("run"),
            within: said("within"),
            from: said("from"),
            to: said("to"),
            before: said("before"),
        }
    }

    fn span(&self) -> Span<'_> {
        Span { within: self.within.as_deref(), from: self.from.as_deref(), to: self.to.as_deref() }
    }

    /// Its address, under that path.
    pub(super) fn path(&self, path: &str) -> String {
        let all = [
            ("who", &self.who),
            ("what", &self.what),
            ("run", &self.run),
            ("within", &self.within),
            ("from", &self.from),
            ("to", &self.to),
            ("before", &self.before),
        ];
        let mut query = Serializer::new(String::new());
        query.extend_pairs(all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))));
        let query = query.finish();
        if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
    }

    /// The question to the API, of so many changes at most.
    pub(super) fn question(&self, limit: u32, now_ms: i64) -> String {
        let (since, until) = self.span().times(now_ms);
        let all = [
            ("limit", Some(limit.to_string())),
            ("who", self.who.clone()),
            ("what", self.what.clone()),
            ("run", self.run.clone()),
            ("since_ms", since.map(|ms| ms.to_string())),
            ("until_ms", until.map(|ms| ms.to_string())),
            ("before", self.before.clone()),
        ];
        let mut query = Serializer::new(String::new());
        query.extend_pairs(all.into_iter().filter_map(|(name, value)| Some((name, value?))));
        format!("/v1/audit?{}", query.finish())
    }

    /// The same from there on.
    pub(super) fn going_on(&self, before: Option<&str>) -> Self {
        Self { before: before.map(str::to_owned), ..self.clone() }
    }

    /// Whether anything of it stands in the fields that are folded.
    fn has_more(&self) -> bool {
        let Self { what, run, within, from, to, .. } = self;
        [what, run, within, from, to].into_iter().any(Option::is_some)
    }

    /// Whether it leaves any change out.
    pub(super) fn is_any(&self) -> bool {
        self.who.is_some() || self.has_more()
    }

    /// The form; its usual field in sight, the others folded.
    pub(super) fn form(&self) -> Markup {
        html! {
            form class="filter" action=(PATH) {
                label class="unseen" for="who" { "By whom: a token’s name" }
                input id="who" name="who" value=[self.who.as_deref()] placeholder="By whom" autocomplete="off" spellcheck="false";
                button class="button" { "Filter" }
                @if self.is_any() { a class="quiet" href=(PATH) { "Clear" } }
                details class="act more-fields" open[self.has_more()] {
                    summary class="quiet" { "More filters" }
                    div class="panel fields" {
                        label { "What, by its name in the list"
                            input name="what" value=[self.what.as_deref()] list="operations" placeholder="cancelRun"
                                autocomplete="off" spellcheck="false";
                        }
                        datalist id="operations" { @for name in recorded_operations() { option value=(name) {} } }
                        label { "Of one run: its id"
                            input name="run" value=[self.run.as_deref()] autocomplete="off" spellcheck="false" maxlength="36";
                        }
                        (self.span().fields("Asked for"))
                        button class="button primary" { "Filter" }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(query: &str) -> Filter {
        Filter::of(&Query::of(query))
    }

    #[test]
    fn a_filter_goes_on_with_its_pages() {
        let some = filter("run=+01ab+&who=team-a%2Fci&before=&other=1");
        assert_eq!(some.path(PATH), "/access/audit?who=team-a%2Fci&run=01ab");
        assert_eq!(some.going_on(Some("7")).path(PATH), "/access/audit?who=team-a%2Fci&run=01ab&before=7");
        assert_eq!(filter("").path(PATH), PATH);
        assert!(some.is_any() && !filter("before=7").is_any());
        assert!(some.has_more() && !filter("who=ada").has_more());
    }

    #[test]
    fn a_question_is_what_the_api_takes() {
        for (query, asked) in [
            ("", "limit=50"),
            ("who=team-a%2Fci&what=cancelRun&before=7", "limit=50&who=team-a%2Fci&what=cancelRun&before=7"),
            ("within=1h&run=01ab", "limit=50&run=01ab&since_ms=6400000"),
            ("within=1h&from=1970-01-01T00:00&to=1970-01-01T01:00:01", "limit=50&since_ms=0&until_ms=3601000"),
            ("from=yesterday", "limit=50"),
        ] {
            assert_eq!(filter(query).question(50, 10_000_000), format!("/v1/audit?{asked}"), "{query}");
        }
    }
}
