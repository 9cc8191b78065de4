//! Amounts and ids, as people read them.

use std::fmt;

/// Bytes: `512 B`, `3 KiB`, `5.0 MiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    match bytes {
        ..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", bytes / 1_024),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

/// A number of things; `what` is one of them.
#[must_use]
pub fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The end of an id that names it well enough: the beginning of an id tells only when it was made.
#[must_use]
pub fn short(id: impl fmt::Display) -> String {
    let text = id.to_string();
    text[text.floor_char_boundary(text.len().saturating_sub(8))..].to_owned()
}
