//! Whom a client trusts, and what it shows of itself, where the API speaks TLS.

use std::path::{Path, PathBuf};

use reqwest::{Certificate, ClientBuilder, Identity};

use super::error::Error;

/// Certificates by a person's word, in files (PEM).
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// By one of these the API's certificate must be signed; none: by one of the system's.
    pub ca: Option<PathBuf>,
    /// The certificate that is shown to an API which wants one, and its key.
    pub own: Option<(PathBuf, PathBuf)>,
}

impl Trust {
    /// The same client with these certificates, which are looked at only where TLS is spoken.
    ///
    /// # Errors
    /// [`Error::Url`] with the setting whose file can't be used.
    pub(super) fn given_to(&self, mut http: ClientBuilder, is_https: bool) -> Result<ClientBuilder, Error> {
        if !is_https {
            return Ok(http);
        }
        if let Some(file) = &self.ca {
            let all = Certificate::from_pem_bundle(&read("api_ca", file)?);
            let all = all.map_err(|error| unusable("api_ca", file, &error))?;
            if all.is_empty() {
                return Err(unusable("api_ca", file, &"there is no certificate in it; write it as PEM"));
            }
            http = http.tls_certs_only(all);
        }
        if let Some((certificate, key)) = &self.own {
            let both = [read("api_certificate", certificate)?, read("api_key", key)?].concat();
            let own = Identity::from_pem(&both).map_err(|error| unusable("api_certificate", certificate, &error))?;
            http = http.identity(own);
        }
        Ok(http)
    }
}

fn read(setting: &str, file: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(file).map_err(|error| unusable(setting, file, &error))
}

fn unusable(setting: &str, file: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::Url(format!("{setting} is {}: {why}", file.display()))
}
