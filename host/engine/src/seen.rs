//! What a file is that is no component, in words for the person who has pushed the wrong one.

/// Bytes of the beginning that must be text for the file to be called so.
const LOOK_BYTES: usize = 512;

/// The beginnings of files that people have at hand.
const BEGINNINGS: [(&[u8], &str); 10] = [
    (b"PK", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x7fELF", "a native program or library (ELF)"),
    (b"\xcf\xfa\xed\xfe", "a native program or library (Mach-O)"),
    (b"\xca\xfe\xba\xbe", "a native program or library (Mach-O)"),
    (b"MZ", "a native program or library (Windows)"),
    (b"!<arch>", "a library of object files"),
    (b"(module", "WebAssembly as text"),
    (b"(component", "WebAssembly as text"),
    (b"\0asm", "WebAssembly that is cut off, or of an unknown version"),
];

/// What these bytes are.
pub(super) fn seen(bytes: &[u8]) -> &'static str {
    if bytes.is_empty() {
        return "an empty file";
    }
    let known = BEGINNINGS.iter().find(|(beginning, _)| bytes.starts_with(beginning));
    known.map_or_else(|| if is_text(bytes) { "text" } else { "something else" }, |(_, what)| what)
}

fn is_text(bytes: &[u8]) -> bool {
    let beginning = &bytes[..bytes.len().min(LOOK_BYTES)];
    let text = match std::str::from_utf8(beginning) {
        Ok(text) => text,
        // A character that is cut by the end of the look.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&beginning[..error.valid_up_to()]).unwrap_or("")
        }
        Err(_) => return false,
    };
    !text.contains(|c: char| c.is_control() && !c.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_push_by_mistake_has_a_name() {
        let long = format!("a{}", "é".repeat(LOOK_BYTES));
        for (bytes, what) in [
            (&b""[..], "an empty file"),
            (b"PK\x03\x04", "a zip archive"),
            (b"\x7fELF\x02", "a native program or library (ELF)"),
            (b"[package]\nname = \"hello\"\n", "text"),
            (long.as_bytes(), "text"),
            (b"(module)", "WebAssembly as text"),
            (b"\0asm", "WebAssembly that is cut off, or of an unknown version"),
            (b"\x89PNG\r\n\x1a\n", "something else"),
        ] {
            assert_eq!(seen(bytes), what);
        }
    }
}
