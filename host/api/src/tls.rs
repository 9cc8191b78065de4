//! TLS at the door. Certificate and key are files, which somebody renews: they are looked at again and again, and who connects
//! after a change is shown the new ones. Connections that are open stay as they are.
//!
//! ```text
//!  files ─every FRESH─▶ changed? ─▶ good together? ─▶ shown from now on
//!                                        └ no ─▶ the old ones stay, and the log says why
//! ```
//!
//! A token is wanted besides: a certificate of a client is a door in front of the others, and names nobody.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pawl_base::lock;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::ServeError;

/// How long a change of the files may go unnoticed.
const FRESH: Duration = Duration::from_secs(2);

/// A record of a handshake begins with it. <https://www.rfc-editor.org/rfc/rfc8446#section-5.1>
const HANDSHAKE: u8 = 22;

/// The files of a listener, all as PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// Its certificate first, then those in between, as far as clients may lack them.
    pub certificate: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
    /// Certificates by one of which that of each client must be signed; none: clients show none.
    pub client_ca: Option<PathBuf>,
}

/// What a listener shows; cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<Shown>);

struct Shown {
    files: TlsFiles,
    now: Mutex<Now>,
}

struct Now {
    read: Contents,
    config: Arc<ServerConfig>,
}

/// What stands in the files.
#[derive(Clone, PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`ServeError::Tls`] with the setting whose file is not what it should be.
    pub fn of(files: &TlsFiles) -> Result<Self, ServeError> {
        let read = files.read().map_err(ServeError::Tls)?;
        let config = files.config(&read).map_err(ServeError::Tls)?;
        Ok(Self(Arc::new(Shown { files: files.clone(), now: Mutex::new(Now { read, config }) })))
    }

    /// Follows the files, for ever.
    pub(super) async fn follow(self) {
        // Told once for each state that the files are in.
        let mut refused = None;
        loop {
            tokio::time::sleep(FRESH).await;
            let tls = self.clone();
            let Ok(renewed) = tokio::task::spawn_blocking(move || tls.renew()).await else { return };
            match renewed {
                Ok(false) => refused = None,
                Ok(true) => {
                    tracing::info!("the certificate has changed: new connections are shown it");
                    refused = None;
                }
                Err(why) if refused.as_ref() == Some(&why) => {}
                Err(why) => {
                    tracing::warn!(
                        error = why,
                        "the certificate has changed, and can't be used: the one before it stays"
                    );
                    refused = Some(why);
                }
            }
        }
    }

    /// Whether the files have changed; shows what they hold from now on.
    fn renew(&self) -> Result<bool, String> {
        let read = self.0.files.read()?;
        if lock(&self.0.now).read == read {
            return Ok(false);
        }
        let config = self.0.files.config(&read)?;
        *lock(&self.0.now) = Now { read, config };
        Ok(true)
    }

    /// Shakes hands, within `limit`; none if whoever has connected does not speak TLS, and then nothing of what was sent is taken.
    ///
    /// # Errors
    /// Why not, as the other side or the network has it.
    pub(super) async fn greet(&self, stream: TcpStream, limit: Duration) -> io::Result<Greeted> {
        let greeting = async {
            let mut first = [0];
            if stream.peek(&mut first).await? > 0 && first[0] != HANDSHAKE {
                return Ok(Greeted::Plain(stream));
            }
            let config = Arc::clone(&lock(&self.0.now).config);
            Ok(Greeted::Tls(Box::new(TlsAcceptor::from(config).accept(stream).await?)))
        };
        timeout(limit, greeting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Who has come in.
pub(super) enum Greeted {
    /// After a handshake.
    Tls(Box<TlsStream<TcpStream>>),
    /// Without one.
    Plain(TcpStream),
}

impl TlsFiles {
    fn read(&self) -> Result<Contents, String> {
        let read = |setting: &str, file: &Path| {
            std::fs::read(file).map_err(|error| format!("{setting} is {}: {error}", file.display()))
        };
        Ok(Contents {
            certificate: read("tls_certificate", &self.certificate)?,
            key: read("tls_key", &self.key)?,
            client_ca: self.client_ca.as_ref().map(|file| read("tls_client_ca", file)).transpose()?,
        })
    }

    fn config(&self, read: &Contents) -> Result<Arc<ServerConfig>, String> {
        let chain = certificates("tls_certificate", &self.certificate, &read.certificate)?;
        let no_key =
            |error| format!("tls_key is {}: there is no private key in it, as PEM: {error}", self.key.display());
        let key = PrivateKeyDer::from_pem_slice(&read.key).map_err(no_key)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let begun = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let begun = begun.map_err(|error| error.to_string())?;
        let begun = match (&self.client_ca, &read.client_ca) {
            (Some(file), Some(pem)) => {
                let wrong = |error: &dyn std::error::Error| format!("tls_client_ca is {}: {error}", file.display());
                let mut roots = RootCertStore::empty();
                for one in certificates("tls_client_ca", file, pem)? {
                    roots.add(one).map_err(|error| wrong(&error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                begun.with_client_cert_verifier(verifier.map_err(|error| wrong(&error))?)
            }
            _ => begun.with_no_client_auth(),
        };
        let misfit = |error| {
            let (certificate, key) = (self.certificate.display(), self.key.display());
            format!("tls_certificate is {certificate} and tls_key {key}: they do not go together: {error}")
        };
        let mut config = begun.with_single_cert(chain, key).map_err(misfit)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn certificates(setting: &str, file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |why: &str| format!("{setting} is {}: {why}", file.display());
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err(wrong("there is no certificate in it; write it as PEM")),
        Ok(all) => Ok(all),
        Err(error) => Err(wrong(&error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(files: &TlsFiles) -> String {
        match Tls::of(files) {
            Err(ServeError::Tls(why)) => why,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("they are taken"),
        }
    }

    #[test]
    fn a_file_that_is_not_what_it_should_be_is_named_with_its_setting() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let files = TlsFiles { certificate: "/nowhere/a.pem".into(), key: file("key", ""), client_ca: None };
        assert!(refused(&files).starts_with("tls_certificate is /nowhere/a.pem: "));
        let files = TlsFiles { certificate: file("certificate", "text"), ..files };
        assert!(refused(&files).contains("there is no certificate in it"));
        let ca = TlsFiles { client_ca: Some("/nowhere/ca.pem".into()), ..files };
        assert!(refused(&ca).starts_with("tls_client_ca is /nowhere/ca.pem: "));
    }

    /// A certificate with its key, made by `openssl`.
    fn made(folder: &Path, name: &str) -> TlsFiles {
        let file = |ending: &str| folder.join(format!("{name}.{ending}"));
        let files = TlsFiles { certificate: file("pem"), key: file("key"), client_ca: None };
        let mut openssl = std::process::Command::new("openssl");
        openssl
            .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=a".split(' '));
        openssl.arg("-keyout").arg(&files.key).arg("-out").arg(&files.certificate);
        assert!(openssl.output().expect("openssl is there: install it").status.success());
        files
    }

    #[test]
    fn a_certificate_whose_key_is_not_there_yet_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let (files, next) = (made(folder.path(), "first"), made(folder.path(), "second"));
        let tls = Tls::of(&files).unwrap();
        let shown = || Arc::clone(&lock(&tls.0.now).config);
        let first = shown();
        assert_eq!(tls.renew(), Ok(false));
        std::fs::copy(&next.certificate, &files.certificate).unwrap();
        assert!(tls.renew().unwrap_err().contains("they do not go together"));
        assert!(Arc::ptr_eq(&first, &shown()), "the old ones stay");
        std::fs::copy(&next.key, &files.key).unwrap();
        assert_eq!((tls.renew(), tls.renew()), (Ok(true), Ok(false)));
        assert!(!Arc::ptr_eq(&first, &shown()));
    }
}
