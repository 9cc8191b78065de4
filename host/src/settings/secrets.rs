//! The master keys that seal secrets of the store: from a file, the environment, or what a command says. They are read when a role
//! starts. A key is never part of a message, and neither is what a command has said.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pawl_base::envelope::{BadKeys, Keys};

/// How long the command may take, and between looks whether it has ended.
const LIMIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// The values of these settings.
#[derive(Clone, Default)]
pub(super) struct SecretKeys {
    pub(super) file: Option<PathBuf>,
    pub(super) text: Option<String>,
    pub(super) command: Option<String>,
}

/// Without the keys.
impl std::fmt::Debug for SecretKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretKeys").field("file", &self.file).field("command", &self.command).finish_non_exhaustive()
    }
}

impl SecretKeys {
    /// Whether there is one way at most by which they come.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn check(&self) -> Result<(), String> {
        let given = [self.file.is_some(), self.text.is_some(), self.command.is_some()];
        if given.into_iter().filter(|given| *given).count() > 1 {
            return Err("secrets_key_file, secrets_key and secrets_key_command are three ways to name master keys: \
                        give one of them, with several keys if need be"
                .to_owned());
        }
        Ok(())
    }

    /// Whether nobody has named any.
    pub(super) fn are_none(&self) -> bool {
        self.file.is_none() && self.text.is_none() && self.command.is_none()
    }

    /// Reads them; none if nobody has named any.
    ///
    /// # Errors
    /// What is wrong, with the setting.
    pub(super) fn read(&self) -> Result<Keys, String> {
        let wrong = |setting: &'static str| move |why: BadKeys| format!("{setting}: {why}");
        if let Some(file) = &self.file {
            let text = std::fs::read_to_string(file);
            let text = text.map_err(|error| format!("secrets_key_file: can't read {}: {error}", file.display()))?;
            return Keys::read(&text).map_err(wrong("secrets_key_file"));
        }
        if let Some(text) = &self.text {
            return Keys::read(text).map_err(wrong("secrets_key"));
        }
        let Some(command) = &self.command else { return Ok(Keys::default()) };
        let said = said_by(command).map_err(|why| format!("secrets_key_command: {why}"))?;
        Keys::read(&said).map_err(wrong("secrets_key_command"))
    }
}

/// What a command says on its standard output; what it says on the other one goes to ours.
fn said_by(command: &str) -> Result<String, String> {
    let words = Command::new("sh").args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = words.map_err(|error| format!("can't start it: {error}"))?;
    let end = Instant::now() + LIMIT;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => break,
            Ok(Some(status)) => return Err(format!("it has failed ({status})")),
            Ok(None) if Instant::now() < end => std::thread::sleep(LOOK),
            Ok(None) => {
                // It is told what it is: whatever becomes of it, nobody waits for it.
                let _ = child.kill().and_then(|()| child.wait());
                return Err(format!("it has said nothing for {} s", LIMIT.as_secs()));
            }
            Err(error) => return Err(format!("it can't be waited for: {error}")),
        }
    }
    let said = child.wait_with_output().map_err(|error| format!("it can't be read: {error}"))?;
    String::from_utf8(said.stdout).map_err(|_| "it has said what is no text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "5f0b1d6e2c3a49788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";

    #[test]
    fn keys_come_by_one_of_three_ways_and_no_message_has_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        std::fs::write(&file, format!("{KEY}\n{}\n", "1".repeat(64))).unwrap();
        let by_file = SecretKeys { file: Some(file.clone()), ..SecretKeys::default() };
        let by_text = SecretKeys { text: Some(KEY.to_owned()), ..SecretKeys::default() };
        let command = |command: &str| SecretKeys { command: Some(command.to_owned()), ..SecretKeys::default() };
        let first = by_file.read().unwrap().first().map(str::to_owned);
        for way in [&by_text, &command(&format!("cat {}", file.display()))] {
            assert_eq!(way.read().unwrap().first().map(str::to_owned), first);
        }
        assert!(SecretKeys::default().are_none() && SecretKeys::default().read().unwrap().first().is_none());
        for (way, says) in [
            (
                SecretKeys { file: Some(folder.path().join("none")), ..SecretKeys::default() },
                "secrets_key_file: can't read",
            ),
            (SecretKeys { text: Some(KEY[1..].to_owned()), ..SecretKeys::default() }, "secrets_key: key 1 is not 64"),
            (command("exit 3"), "secrets_key_command: it has failed"),
            (command("true"), "secrets_key_command: there is no key"),
            (command(&format!("echo {KEY}x")), "secrets_key_command: key 1 is not 64"),
        ] {
            let error = way.read().unwrap_err();
            assert!(error.starts_with(says) && !error.contains(&KEY[1..]), "{error}");
        }
        let twice = SecretKeys { text: Some(KEY.to_owned()), ..by_file };
        assert!(twice.check().unwrap_err().contains("give one of them"));
        assert!(by_text.check().is_ok());
    }
}
