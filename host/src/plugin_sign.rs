//! `pawl plugin sign`: a signature of a component, for installations that let in only some (`trusted_keys`). The key comes from a file:
//! a command line can be read by others.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use pawl_api::trusted::message_of;
use pawl_base::signature::{PrivateKey, Signature};
use pawl_domain::id::Digest;
use serde::Serialize;

use super::exit::End;
use super::output::{Answer, Output};
use super::plugin::read_component;

/// Arguments of `pawl plugin sign`.
#[derive(Debug, Args)]
pub(super) struct Sign {
    /// A component (.wasm)
    file: PathBuf,
    /// A private key of Ed25519 (PKCS #8, PEM or DER), as `openssl genpkey -algorithm ed25519` makes it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where the signature goes [default: the component's file with .sig behind]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// A component that was signed.
#[derive(Debug, Serialize)]
struct Signed {
    /// What is signed of it.
    digest: Digest,
    signature: String,
    file: PathBuf,
}

/// Signs, and prints where the signature is.
pub(super) fn run(sign: &Sign) -> anyhow::Result<()> {
    let digest = Digest::of(&read_component(&sign.file)?);
    let key = sign.key.display();
    let bytes = std::fs::read(&sign.key).with_context(|| End::Usage(format!("can't read the key {key}")))?;
    let private = PrivateKey::read(&bytes).with_context(|| End::Usage(format!("{key} can't be signed with")))?;
    let signature = private.sign(message_of(digest).as_bytes()).to_string();
    let file = sign.out.clone().unwrap_or_else(|| {
        let mut name = sign.file.clone().into_os_string();
        name.push(".sig");
        name.into()
    });
    std::fs::write(&file, format!("{signature}\n")).with_context(|| format!("can't write {}", file.display()))?;
    sign.output.print(&Signed { digest, signature, file })?;
    Ok(())
}

/// The signature of a file, if one is named.
pub(super) fn read(file: Option<&Path>) -> anyhow::Result<Option<Signature>> {
    let Some(file) = file else { return Ok(None) };
    let wrong = || End::Usage(format!("can't read the signature {}", file.display()));
    let text = std::fs::read_to_string(file).with_context(wrong)?;
    text.parse().map(Some).with_context(wrong)
}

impl Answer for Signed {
    fn ids(&self) -> Vec<String> {
        vec![self.digest.to_string()]
    }

    fn text(&self) -> String {
        format!("{} has a signature of the component {}", self.file.display(), self.digest.short())
    }
}
