//! TLS, for all who speak it: whose cryptography it is done with, and what has failed when a handshake has. `rustls` wants the
//! cryptography to be chosen for a process before anything encrypts, and the first choice is the one that holds.

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError};

/// Chooses ring for this process, unless somebody has chosen before: either is fine. To be called wherever a client is made that
/// may speak TLS.
pub fn use_ring() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Why a handshake has failed, by what a person does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// Nobody who is trusted here has signed the certificate of the other side.
    Untrusted,
    /// That certificate is for other names.
    OtherName,
    /// It is not good any more, or not yet.
    OutOfTime,
    /// It is that of a CA, which no server may show.
    OfCa,
    /// The other side wants a certificate of ours, or another one.
    WantsOurs,
    /// The other side speaks something else.
    NoTls,
    /// Something else.
    Other,
}

impl TlsFault {
    /// What TLS has said in an error or its causes; none if it has said nothing.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(cause) = next {
            if let Some(said) = cause.downcast_ref::<rustls::Error>() {
                return Some(of_tls(said));
            }
            // What such an error holds is not its source.
            let held = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            let shared = cause.downcast_ref::<Arc<dyn Error + Send + Sync>>().map(|shared| &**shared);
            next = held.or(shared).map(|held| held as &(dyn Error + 'static)).or_else(|| cause.source());
        }
        None
    }
}

fn of_tls(said: &rustls::Error) -> TlsFault {
    use CertificateError as Of;
    match said {
        // The second is said of another one that has the name of the issuer.
        rustls::Error::InvalidCertificate(Of::UnknownIssuer | Of::BadSignature) => TlsFault::Untrusted,
        rustls::Error::InvalidCertificate(Of::NotValidForName | Of::NotValidForNameContext { .. }) => {
            TlsFault::OtherName
        }
        rustls::Error::InvalidCertificate(
            Of::Expired | Of::ExpiredContext { .. } | Of::NotValidYet | Of::NotValidYetContext { .. },
        ) => TlsFault::OutOfTime,
        // It has no variant of its own.
        rustls::Error::InvalidCertificate(Of::Other(other)) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            TlsFault::OfCa
        }
        rustls::Error::AlertReceived(alert) if is_about_ours(*alert) => TlsFault::WantsOurs,
        rustls::Error::InvalidMessage(_) => TlsFault::NoTls,
        _ => TlsFault::Other,
    }
}

/// What whoever is shown a certificate answers that does not like it, or misses it.
fn is_about_ours(alert: AlertDescription) -> bool {
    use AlertDescription as Said;
    matches!(
        alert,
        Said::CertificateRequired
            | Said::NoCertificate
            | Said::BadCertificate
            | Said::UnsupportedCertificate
            | Said::CertificateRevoked
            | Said::CertificateExpired
            | Said::CertificateUnknown
            | Said::UnknownCA
            | Said::AccessDenied
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_failed_is_found_in_whatever_it_is_wrapped() {
        let wrapped = |said: rustls::Error| io::Error::other(io::Error::new(io::ErrorKind::InvalidData, said));
        for (said, fault) in [
            (rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer), TlsFault::Untrusted),
            (rustls::Error::InvalidCertificate(CertificateError::NotValidForName), TlsFault::OtherName),
            (rustls::Error::InvalidCertificate(CertificateError::Expired), TlsFault::OutOfTime),
            (rustls::Error::AlertReceived(AlertDescription::CertificateRequired), TlsFault::WantsOurs),
            (rustls::Error::AlertReceived(AlertDescription::InternalError), TlsFault::Other),
        ] {
            assert_eq!(TlsFault::of(&wrapped(said)), Some(fault));
        }
        let shared: Arc<dyn Error + Send + Sync> =
            Arc::new(wrapped(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidCcs)));
        assert_eq!(TlsFault::of(&shared), Some(TlsFault::NoTls));
        assert_eq!(TlsFault::of(&io::Error::from(io::ErrorKind::ConnectionRefused)), None);
    }
}
