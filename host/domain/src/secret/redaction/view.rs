//! A text as somebody means it, with where each byte of that stands in the text.

use std::ops::Range;

/// How often backslashes may be written as numbers that are written with backslashes.
const DEEPEST: usize = 3;

/// What a text means.
pub(super) struct View {
    pub(super) bytes: Vec<u8>,
    /// Where each of them stands.
    from: Vec<Range<usize>>,
}

impl View {
    /// Without line breaks, tabs and the blanks after them, and with escapes as what they stand for. Backslashes are gone, so that
    /// it is the same however often a text was escaped.
    pub(super) fn unescaped(text: &[u8]) -> Self {
        let mut view = Self::once_unescaped(text, |place| place);
        // A backslash that was itself written as a number.
        for _ in 0..DEEPEST {
            if !view.bytes.contains(&b'\\') {
                break;
            }
            view = Self::once_unescaped(&view.bytes, |place| view.place(place));
        }
        view
    }

    fn once_unescaped(text: &[u8], whence: impl Fn(Range<usize>) -> Range<usize>) -> Self {
        let mut view = Self { bytes: Vec::with_capacity(text.len()), from: Vec::with_capacity(text.len()) };
        let (mut at, mut is_after_break) = (0, false);
        while let Some(byte) = text.get(at).copied() {
            let start = at;
            let sign = if byte == b'\\' { escaped(text, &mut at) } else { plain(byte, &mut at) };
            match sign {
                Sign::Break => is_after_break = true,
                Sign::Byte(b' ') if is_after_break => {}
                Sign::Byte(byte) => {
                    is_after_break = false;
                    view.push(&[byte], whence(start..at));
                }
                Sign::Letter(letter) => {
                    is_after_break = false;
                    view.push(letter.encode_utf8(&mut [0; 4]).as_bytes(), whence(start..at));
                }
                Sign::Nothing => {}
            }
        }
        view
    }

    /// With bytes in place of `%2F` and its like; `None` if there is none.
    pub(super) fn percent_decoded(&self) -> Option<Self> {
        if !self.bytes.contains(&b'%') {
            return None;
        }
        let mut view = Self { bytes: Vec::with_capacity(self.bytes.len()), from: Vec::with_capacity(self.bytes.len()) };
        let mut at = 0;
        while let Some(byte) = self.bytes.get(at).copied() {
            let decoded = (byte == b'%').then(|| hexadecimal(self.bytes.get(at + 1..at + 3)?)).flatten();
            let (byte, length) = decoded.and_then(|byte| u8::try_from(byte).ok()).map_or((byte, 1), |byte| (byte, 3));
            view.push(&[byte], self.place(at..at + length));
            at += length;
        }
        // What was decoded may be escapes.
        Some(Self::once_unescaped(&view.bytes, |place| view.place(place)))
    }

    /// Where a part of it stands in the text; it is not empty.
    pub(super) fn place(&self, part: Range<usize>) -> Range<usize> {
        self.from[part.start].start..self.from[part.end - 1].end
    }

    fn push(&mut self, bytes: &[u8], from: Range<usize>) {
        self.bytes.extend_from_slice(bytes);
        self.from.extend(bytes.iter().map(|_| from.clone()));
    }
}

enum Sign {
    Byte(u8),
    Letter(char),
    Break,
    /// A backslash at the end.
    Nothing,
}

fn plain(byte: u8, at: &mut usize) -> Sign {
    *at += 1;
    if matches!(byte, b'\n' | b'\r' | b'\t') { Sign::Break } else { Sign::Byte(byte) }
}

/// What stands behind backslashes. One that escapes nothing is of no meaning.
fn escaped(text: &[u8], at: &mut usize) -> Sign {
    while text.get(*at) == Some(&b'\\') {
        *at += 1;
    }
    match text.get(*at).copied() {
        None => Sign::Nothing,
        Some(b'n' | b'r' | b't') => {
            *at += 1;
            Sign::Break
        }
        Some(b'u') => match letter(&text[*at + 1..]) {
            Some((letter, length)) => {
                *at += 1 + length;
                if matches!(letter, '\n' | '\r' | '\t') { Sign::Break } else { Sign::Letter(letter) }
            }
            None => plain(b'u', at),
        },
        Some(b'x') => match text.get(*at + 1..*at + 3).and_then(hexadecimal).and_then(|byte| u8::try_from(byte).ok()) {
            Some(byte) => {
                let mut end = *at + 2;
                let sign = plain(byte, &mut end);
                *at = end;
                sign
            }
            None => plain(b'x', at),
        },
        Some(byte) => plain(byte, at),
    }
}

/// The letter behind `u`, as JSON has it (two for those beyond the first plane) or as Rust does, and how long that is.
fn letter(text: &[u8]) -> Option<(char, usize)> {
    if let Some(inside) = text.strip_prefix(b"{") {
        let end = inside.iter().take(7).position(|byte| *byte == b'}')?;
        return Some((char::from_u32(hexadecimal(&inside[..end])?)?, end + 2));
    }
    let first = hexadecimal(text.get(..4)?)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first)?, 4));
    }
    let slashes = text[4..].iter().take_while(|byte| **byte == b'\\').count();
    let second = text[4 + slashes..].strip_prefix(b"u").and_then(|rest| hexadecimal(rest.get(..4)?))?;
    let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
    Some((char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + low)?, 4 + slashes + 5))
}

/// None if there is another sign among them, or no digit.
fn hexadecimal(digits: &[u8]) -> Option<u32> {
    let is_right = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    u32::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| is_right)?, 16).ok()
}
