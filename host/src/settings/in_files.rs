//! What is secret may stand in a file of its own, as those who start processes mount secrets: then it is in no command line and in
//! no environment. A file is read when its value is wanted, so that nobody needs what he does not use. No message says what it holds.

use std::path::PathBuf;

/// A value that was given, or the file in which it stands; one of the two.
#[derive(Clone, Default)]
pub(super) struct InFile {
    /// The value.
    pub(super) text: Option<String>,
    /// The file.
    pub(super) file: Option<PathBuf>,
}

/// Without the value.
impl std::fmt::Debug for InFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InFile").field("file", &self.file).finish_non_exhaustive()
    }
}

impl InFile {
    /// Whether there is one way at most by which it comes.
    ///
    /// # Errors
    /// What is wrong, with the setting.
    pub(super) fn check(&self, setting: &str) -> Result<(), String> {
        match (&self.text, &self.file) {
            (Some(_), Some(_)) => {
                Err(format!("{setting} and {setting}_file are two ways to say one thing: give one of them"))
            }
            _ => Ok(()),
        }
    }

    /// Whether somebody has given it, one way or the other.
    pub(super) fn is_given(&self) -> bool {
        self.text.is_some() || self.file.is_some()
    }

    /// The value, without the line break at the end of the file; none if nobody has given any.
    ///
    /// # Errors
    /// Why the file can't be read, with the setting.
    pub(super) fn read(&self, setting: &str) -> Result<Option<String>, String> {
        let Some(file) = &self.file else { return Ok(self.text.clone()) };
        let wrong = |why: &dyn std::fmt::Display| format!("{setting}_file is {}: {why}", file.display());
        let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(wrong(&"it is empty")),
            text if text.contains(['\r', '\n']) => Err(wrong(&"it has several lines, and one is wanted")),
            text => Ok(Some(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stands_on_the_one_line_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        let given = InFile { text: None, file: Some(path.clone()) };
        assert!(given.is_given() && !InFile::default().is_given());
        for (text, expected) in [
            ("redis://:hunter2@a/\n", Ok("redis://:hunter2@a/")),
            ("a\r\n", Ok("a")),
            ("", Err("empty")),
            ("hunter2\nb\n", Err("several lines")),
        ] {
            std::fs::write(&path, text).unwrap();
            match (given.read("redis_url"), expected) {
                (Ok(read), Ok(expected)) => assert_eq!(read.as_deref(), Some(expected)),
                (Err(said), Err(why)) => {
                    assert!(said.starts_with("redis_url_file is ") && said.contains(why), "{said}");
                    assert!(!said.contains("hunter2"), "{said}");
                }
                other => panic!("{text:?}: {other:?}"),
            }
        }
        let missing = InFile { file: Some(folder.path().join("none")), ..InFile::default() };
        assert!(missing.read("redis_url").is_err());
        let both = InFile { text: Some("a".to_owned()), ..given };
        assert!(both.check("redis_url").unwrap_err().contains("redis_url_file"));
    }
}
