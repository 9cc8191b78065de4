//! The binary form of Postgres' COPY: <https://www.postgresql.org/docs/14/sql-copy.html#id-1.9.3.55.9.4>. A value is its length
//! and its bytes, as the type's own `send` function writes them.

use tokio::sync::mpsc::Sender;

use super::Piece;
use crate::{Error, Result};

/// From how many bytes on a piece is sent.
const PIECE_BYTES: usize = 256 << 10;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// Between 1970 and 2000, where times of Postgres begin, in µs.
const EPOCH_US: i64 = 946_684_800_000_000;

/// Postgres' numbers of the types that arrays are made of.
pub(super) const INT4: u32 = 23;
pub(super) const INT8: u32 = 20;
pub(super) const UUID: u32 = 2950;
const TEXT: u32 = 25;

/// The rows of one table, on their way.
pub(super) struct Writer<'w> {
    pieces: &'w Sender<Piece>,
    bytes: Vec<u8>,
}

impl<'w> Writer<'w> {
    pub(super) fn begin(pieces: &'w Sender<Piece>) -> Self {
        // No flags, no extension.
        Self { pieces, bytes: [SIGNATURE, &[0; 8]].concat() }
    }

    /// A row with so many fields, which follow.
    pub(super) fn row(&mut self, fields: usize) -> Result<()> {
        if self.bytes.len() >= PIECE_BYTES {
            self.send()?;
        }
        let fields = i16::try_from(fields).unwrap_or(i16::MAX);
        self.bytes.extend(fields.to_be_bytes());
        Ok(())
    }

    pub(super) fn null(&mut self) {
        self.bytes.extend((-1_i32).to_be_bytes());
    }

    pub(super) fn field(&mut self, value: &[u8]) {
        self.length(value.len());
        self.bytes.extend_from_slice(value);
    }

    pub(super) fn int(&mut self, value: i32) {
        self.field(&value.to_be_bytes());
    }

    /// Text. Postgres holds no NUL in one, which SQLite does: it becomes the sign for what can't be shown.
    pub(super) fn text(&mut self, value: &[u8]) {
        match fit(value) {
            None => self.field(value),
            Some(fit) => self.field(&fit),
        }
    }

    /// A time, in µs since 1970.
    pub(super) fn time_us(&mut self, since_1970: i64) {
        self.field(&since_1970.saturating_sub(EPOCH_US).to_be_bytes());
    }

    pub(super) fn texts<T: AsRef<str>>(&mut self, items: &[Option<T>]) {
        let fit = |item: &T| fit(item.as_ref().as_bytes()).unwrap_or_else(|| item.as_ref().as_bytes().to_vec());
        let items: Vec<_> = items.iter().map(|item| item.as_ref().map(fit)).collect();
        self.array(TEXT, &items);
    }

    /// An array of one dimension, of values of that type.
    pub(super) fn array<T: AsRef<[u8]>>(&mut self, of: u32, items: &[Option<T>]) {
        let before = self.bytes.len();
        self.length(0);
        let dimensions = u32::from(!items.is_empty());
        let has_null = u32::from(items.iter().any(Option::is_none));
        [dimensions, has_null, of].iter().for_each(|number| self.bytes.extend(number.to_be_bytes()));
        if !items.is_empty() {
            self.length(items.len());
            // Where it begins.
            self.length(1);
        }
        for item in items {
            match item {
                Some(item) => self.field(item.as_ref()),
                None => self.null(),
            }
        }
        let length = i32::try_from(self.bytes.len() - before - 4).unwrap_or(i32::MAX);
        self.bytes[before..before + 4].copy_from_slice(&length.to_be_bytes());
    }

    pub(super) fn end(mut self) -> Result<()> {
        self.bytes.extend((-1_i16).to_be_bytes());
        self.send()?;
        self.give(Piece::End)
    }

    fn length(&mut self, length: usize) {
        self.bytes.extend(i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes());
    }

    fn send(&mut self) -> Result<()> {
        let bytes = std::mem::take(&mut self.bytes);
        self.give(Piece::Bytes(bytes))
    }

    fn give(&self, piece: Piece) -> Result<()> {
        let gone = |_| Error::Unavailable("whoever takes the backup in", "it has ended".into());
        self.pieces.blocking_send(piece).map_err(gone)
    }
}

/// A text without a NUL, if it has one.
fn fit(text: &[u8]) -> Option<Vec<u8>> {
    let nul = '\u{fffd}'.to_string();
    text.contains(&0).then(|| text.split(|byte| *byte == 0).collect::<Vec<_>>().join(nul.as_bytes()))
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::channel;

    use super::*;

    fn written(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let (pieces, _taken) = channel(1);
        let mut writer = Writer { pieces: &pieces, bytes: Vec::new() };
        write(&mut writer);
        writer.bytes
    }

    #[test]
    fn values_have_their_lengths_before_them() {
        assert_eq!(written(|to| to.null()), [255, 255, 255, 255]);
        assert_eq!(written(|to| to.int(258)), [0, 0, 0, 4, 0, 0, 1, 2]);
        assert_eq!(written(|to| to.text("a\0b".as_bytes())), [0, 0, 0, 5, b'a', 0xef, 0xbf, 0xbd, b'b']);
        assert_eq!(written(|to| to.time_us(EPOCH_US + 1)), [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn an_array_says_of_what_it_is_and_how_long() {
        let none: [Option<&str>; 0] = [];
        assert_eq!(written(|to| to.texts(&none)), [0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25]);
        let two = written(|to| to.texts(&[Some("a"), None]));
        let expected = [
            &[0, 0, 0, 29, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 25, 0, 0, 0, 2, 0, 0, 0, 1][..],
            &[0, 0, 0, 1, b'a'],
            &[255; 4],
        ];
        assert_eq!(two, expected.concat());
    }

    #[test]
    fn what_is_large_goes_in_pieces() {
        let (pieces, mut taken) = channel(9);
        let mut writer = Writer::begin(&pieces);
        for _ in 0..3 {
            writer.row(1).expect("somebody takes it");
            writer.field(&[7; PIECE_BYTES]);
        }
        writer.end().expect("somebody takes it");
        let sizes: Vec<usize> = std::iter::from_fn(|| taken.try_recv().ok())
            .map(|piece| if let Piece::Bytes(bytes) = piece { bytes.len() } else { 0 })
            .collect();
        // The head with the first row, and the end with the last.
        assert_eq!(sizes, [PIECE_BYTES + 6 + 19, PIECE_BYTES + 6, PIECE_BYTES + 8, 0]);
    }
}
