//! The seal at the end of a backup: a sum over all bytes before it. SQLite looks at how pages hang together, and not at what is
//! in them: a bit that a disk has turned in the middle of a component or an input would be taken for what was written there.
//! SQLite reads as many pages as the head of a file says, and does not mind what follows.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::path::Path;

/// What a seal begins with.
const MARK: [u8; 16] = *b"pawl backup sum\0";

/// The mark, and a blake3 sum.
const BYTES: usize = MARK.len() + blake3::OUT_LEN;

/// Puts the seal at the end of a file, and all of it on the disk.
pub(super) fn put(file: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(file)?;
    let mut sum = blake3::Hasher::new();
    io::copy(&mut file, &mut sum)?;
    file.write_all(&[&MARK[..], sum.finalize().as_bytes()].concat())?;
    file.sync_all()
}

/// Copies what is before the seal; whether it is what was sealed.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<bool> {
    let mut from = File::open(from)?;
    let Some(length) = from.metadata()?.len().checked_sub(BYTES as u64) else { return Ok(false) };
    from.seek(SeekFrom::Start(length))?;
    let mut seal = [0; BYTES];
    from.read_exact(&mut seal)?;
    from.seek(SeekFrom::Start(0))?;
    let mut both = Summed { sum: blake3::Hasher::new(), file: File::create(to)? };
    io::copy(&mut from.take(length), &mut both)?;
    Ok(seal[..MARK.len()] == MARK && seal[MARK.len()..] == *both.sum.finalize().as_bytes())
}

/// A file that is summed while it is written.
struct Summed {
    sum: blake3::Hasher,
    file: File,
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_is_copied_and_whatever_was_changed_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (file, copied) = (folder.path().join("file"), folder.path().join("copied"));
        std::fs::write(&file, b"all of it").unwrap();
        put(&file).unwrap();
        let sealed = std::fs::read(&file).unwrap();
        assert!(copy(&file, &copied).unwrap());
        assert_eq!(std::fs::read(&copied).unwrap(), b"all of it");
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            std::fs::write(&file, &changed).unwrap();
            assert!(!copy(&file, &copied).unwrap(), "byte {place}");
            std::fs::write(&file, &sealed[..place]).unwrap();
            assert!(!copy(&file, &copied).unwrap(), "cut off at {place}");
        }
    }
}
