//! What the first bytes of a file say, before anything is copied or opened: whether it may be a backup that this build can
//! read. The layout: <https://www.sqlite.org/fileformat.html#the_database_header>.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::super::version;
use crate::Error;

const BYTES: usize = 100;
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The first bytes of a file, and how long it is.
pub(super) struct Head {
    bytes: Vec<u8>,
    size_bytes: u64,
}

impl Head {
    pub(super) fn read(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let size_bytes = file.metadata()?.len();
        let mut bytes = Vec::with_capacity(BYTES);
        file.take(BYTES as u64).read_to_end(&mut bytes)?;
        Ok(Self { bytes, size_bytes })
    }

    /// Why this is no backup of a build with these tables, or of one before it.
    pub(super) fn judge(&self, schema: &[&str]) -> Result<(), String> {
        if self.size_bytes == 0 {
            return Err("it is empty".to_owned());
        }
        if self.bytes.len() < BYTES || !self.bytes.starts_with(MAGIC) {
            return Err("it is no database of SQLite".to_owned());
        }
        let (found, mark) = (i64::from(self.number(60).cast_signed()), i64::from(self.number(68).cast_signed()));
        let whole_bytes = self.page_bytes() * u64::from(self.number(28));
        match version(found, mark, schema) {
            Ok(0) => Err("it is a database of something else".to_owned()),
            Err(Error::Schema { needed, .. }) => Err(format!(
                "its schema is at version {found}, this build knows those up to {needed}; if `pawl backup` wrote it, use that pawl"
            )),
            Err(_) => Err(format!(
                "it is of something else, or of a pawl whose schema {found} is another one than this build's"
            )),
            Ok(_) if self.size_bytes < whole_bytes => {
                Err(format!("it is cut off: {} bytes of {whole_bytes}", self.size_bytes))
            }
            Ok(_) => Ok(()),
        }
    }

    fn number(&self, at: usize) -> u32 {
        self.bytes[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
    }

    fn page_bytes(&self) -> u64 {
        match u16::from_be_bytes([self.bytes[16], self.bytes[17]]) {
            1 => 65_536,
            bytes => u64::from(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::mark_of;
    use super::*;

    const TABLES: [&str; 2] = ["create table a (n integer) strict;", "alter table a add column m integer;"];

    fn head(version: u32, mark: i64, pages: u32, size_bytes: u64) -> Head {
        let mut bytes = MAGIC.to_vec();
        bytes.resize(BYTES, 0);
        bytes[16..18].copy_from_slice(&4_096_u16.to_be_bytes());
        bytes[28..32].copy_from_slice(&pages.to_be_bytes());
        bytes[60..64].copy_from_slice(&version.to_be_bytes());
        bytes[68..72].copy_from_slice(&u32::try_from(mark).unwrap().to_be_bytes());
        Head { bytes, size_bytes }
    }

    #[test]
    fn a_backup_is_told_from_other_files_by_its_head() {
        let text = |text: &[u8]| Head { bytes: text.to_vec(), size_bytes: text.len() as u64 };
        let (first, second) = (mark_of(&TABLES[..1]), mark_of(&TABLES));
        for (head, says) in [
            (text(b""), "it is empty"),
            (text(b"name = 'p'"), "no database of SQLite"),
            (text(MAGIC), "no database of SQLite"),
            (head(0, 0, 1, 4_096), "of something else"),
            (head(2, first, 1, 4_096), "another one than this build's"),
            (head(3, second, 1, 4_096), "version 3, this build knows those up to 2"),
            (head(2, second, 3, 12_287), "cut off: 12287 bytes of 12288"),
        ] {
            let why = head.judge(&TABLES).expect_err(says);
            assert!(why.contains(says), "{why}");
        }
        head(2, second, 3, 12_288).judge(&TABLES).expect("one of this build");
        head(1, first, 3, 12_288).judge(&TABLES).expect("one of the build before");
    }
}
