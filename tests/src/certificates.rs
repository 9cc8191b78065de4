//! Certificates for tests, made by `openssl`: an authority of a test's own, and what it signs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Of every key here: quickly made.
const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";

/// Who signs certificates that nobody else trusts.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
}

/// A certificate with its key, in files (PEM).
#[derive(Debug, Clone)]
pub struct Signed {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Authority {
    /// Makes one, with its files in `folder`.
    ///
    /// # Errors
    /// If `openssl` is missing, or fails.
    pub fn new(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let this = Self { folder: folder.canonicalize()? };
        this.openssl(&format!("req -x509 {KEY} -keyout ca.key -out ca.pem -subj /CN=ours"))?;
        Ok(this)
    }

    /// Its own certificate.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Signs a certificate of that common name, for these names: `DNS:localhost,IP:127.0.0.1`.
    ///
    /// # Errors
    /// If `openssl` fails.
    pub fn sign(&self, name: &str, names: &str) -> anyhow::Result<Signed> {
        self.openssl(&format!(
            "req -x509 {KEY} -CA ca.pem -CAkey ca.key -keyout {name}.key -out {name}.pem -subj /CN={name} -addext \
             subjectAltName={names} -addext basicConstraints=critical,CA:FALSE"
        ))?;
        let file = |ending: &str| self.folder.join(format!("{name}.{ending}"));
        Ok(Signed { certificate: file("pem"), key: file("key") })
    }

    fn openssl(&self, words: &str) -> anyhow::Result<()> {
        let output = Command::new("openssl").args(words.split_whitespace()).current_dir(&self.folder).output();
        let output = output.context("openssl is missing; install it, for example with `apt-get install openssl`")?;
        ensure!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}
