//! A list to take along: a line of JSON for each thing in it, as the API tells it, while it is read page by page.

use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use pawl_api::types::Problem;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::frame;
use super::visit::Visit;

/// Things in one piece, pieces that are asked for, and things in an export at most.
pub(super) const PIECE: u32 = 1_000;
const PIECES: usize = 100;
const MOST: usize = 10_000;

/// A page of a list.
pub(super) trait Listed: DeserializeOwned + Send + 'static {
    /// What it is a list of.
    type Item: Serialize;
    /// What `before` is for the page after it.
    type Place: Serialize + ToString;

    /// Those on the page.
    fn items(&self) -> &[Self::Item];

    /// Where the next page begins, if there is one.
    fn next(&self) -> Option<&Self::Place>;
}

/// Answers with a file of that name; `question` is what the API is asked for a piece, from such a place on or from the first.
pub(super) async fn answer<L: Listed>(
    visit: Visit,
    file: &str,
    question: impl Fn(Option<&str>) -> String + Send + 'static,
) -> Response {
    let asked = question(None);
    // What is wrong is said before the first line.
    let first: L = match visit.read(&asked).await {
        Ok(first) => first,
        Err(problem) => return frame::trouble(Some(&visit), &problem),
    };
    let reading = Reading { visit, question, ready: Some(first), before: None, told: 0, pieces: 0 };
    let lines = futures_util::stream::unfold(Some(reading), |reading| async move { reading?.next().await });
    let head = [
        (CONTENT_TYPE, "application/x-ndjson".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{file}\"")),
    ];
    (head, Body::from_stream(lines)).into_response()
}

/// An export that is under way.
struct Reading<L, Q> {
    visit: Visit,
    question: Q,
    /// What was read and is not yet told.
    ready: Option<L>,
    before: Option<String>,
    told: usize,
    pieces: usize,
}

type Piece = Result<Vec<u8>, std::io::Error>;

impl<L: Listed, Q: Fn(Option<&str>) -> String + Send + 'static> Reading<L, Q> {
    /// The next lines, and what is left to read; the last line says where it goes on, if it does.
    async fn next(mut self) -> Option<(Piece, Option<Self>)> {
        let list = match self.ready.take() {
            Some(list) => list,
            None => {
                let asked = (self.question)(self.before.as_deref());
                let read: Result<L, Problem> = self.visit.read(&asked).await;
                match read {
                    Ok(list) => list,
                    // The download breaks off: what is there is not all.
                    Err(problem) => return Some((Err(std::io::Error::other(problem.detail)), None)),
                }
            }
        };
        self.told += list.items().len();
        self.pieces += 1;
        let is_over = list.next().is_none() || self.told >= MOST || self.pieces >= PIECES;
        let lines = lines(&list, is_over);
        self.before = list.next().map(ToString::to_string);
        Some((Ok(lines), (!is_over).then_some(self)))
    }
}

/// A line for each; behind the last one what is left, if there is more.
fn lines<L: Listed>(list: &L, is_over: bool) -> Vec<u8> {
    let mut lines = Vec::new();
    for item in list.items() {
        lines.extend(serde_json::to_vec(item).unwrap_or_default());
        lines.push(b'\n');
    }
    if let Some(next) = list.next().filter(|_| is_over) {
        lines.extend(json!({ "next": next }).to_string().as_bytes());
        lines.push(b'\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Numbers(Vec<u32>, Option<i64>);

    impl Listed for Numbers {
        type Item = u32;
        type Place = i64;

        fn items(&self) -> &[u32] {
            &self.0
        }

        fn next(&self) -> Option<&i64> {
            self.1.as_ref()
        }
    }

    #[test]
    fn what_is_left_is_said_in_the_last_line_alone() {
        assert_eq!(lines(&Numbers(vec![9, 8], Some(8)), false), b"9\n8\n");
        assert_eq!(lines(&Numbers(vec![7], Some(7)), true), b"7\n{\"next\":7}\n");
        assert_eq!(lines(&Numbers(vec![], None), true), b"");
    }
}
