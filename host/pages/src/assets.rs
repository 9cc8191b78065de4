//! The stylesheet, the script and the icon. Their names have the digest of what is in them: browsers keep them for
//! ever, and a new build's are other ones.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};

/// One of them.
pub(super) struct Asset {
    kind: &'static str,
    text: String,
    /// Where it is.
    pub(super) path: String,
}

impl Asset {
    fn new(name: &str, ending: &str, kind: &'static str, text: &str) -> Self {
        let text = without_remarks(text);
        let digest = blake3::hash(text.as_bytes()).to_hex();
        Self { kind, text, path: format!("/assets/{name}-{}.{ending}", &digest[..12]) }
    }
}

/// What a browser has no use for is not sent: lines that are empty or a remark, and what they are indented by.
fn without_remarks(text: &str) -> String {
    let is_remark = |line: &str| line.starts_with("//") || (line.starts_with("/*") && line.ends_with("*/"));
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !is_remark(line))
        .flat_map(|line| [line, "\n"])
        .collect()
}

pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("pawl", "css", "text/css; charset=utf-8", include_str!("../assets/pawl.css")));
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("pawl", "js", "text/javascript; charset=utf-8", include_str!("../assets/pawl.js")));
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("pawl", "svg", "image/svg+xml", include_str!("../assets/pawl.svg")));

pub(super) async fn show(Path(file): Path<String>) -> Response {
    let path = format!("/assets/{file}");
    match [&*STYLE, &*SCRIPT, &*ICON].into_iter().find(|asset| asset.path == path) {
        Some(asset) => {
            let forever = (CACHE_CONTROL, "public, max-age=31536000, immutable");
            ([(CONTENT_TYPE, asset.kind), forever], &*asset.text).into_response()
        }
        None => (StatusCode::NOT_FOUND, "there is no such file: load the page again").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_are_not_sent_and_all_else_is() {
        let text = "/* Rows. */\n.a { }\n\n  // why\n  f(\"//x\");  // because\n";
        assert_eq!(without_remarks(text), ".a { }\nf(\"//x\");  // because\n");
    }
}
