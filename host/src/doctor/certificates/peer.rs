//! The certificate that a server shows: a connection is made as any client's, as far as the end of its handshake, and closed.
//! Nothing is trusted by it, and nothing said.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pawl_base::lock;
use percent_encoding::percent_decode_str;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};
use url::{Host, Url};

/// What a client of Postgres asks first if it wants TLS.
/// <https://www.postgresql.org/docs/14/protocol-message-formats.html>
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// How TLS begins with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    /// It is asked for first.
    Postgres,
    /// At once.
    Redis,
    /// At once, too.
    Api,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    host: String,
    port: u16,
    speaks: Speaks,
}

/// The server that a URL names, unless it is on a socket of this machine.
pub(super) fn named(url: &Url, speaks: Speaks) -> Option<Peer> {
    let host = match url.host()? {
        // An address of IPv6 stands in brackets in a URL, and nowhere else.
        Host::Ipv6(address) => address.to_string(),
        host => host.to_string(),
    };
    let usual = match speaks {
        Speaks::Postgres => 5_432,
        Speaks::Redis => 6_379,
        Speaks::Api => 443,
    };
    // The folder of a socket, in place of a host.
    let is_socket = host.is_empty() || percent_decode_str(&host).next() == Some(b'/');
    (!is_socket).then(|| Peer { host, port: url.port().unwrap_or(usual), speaks })
}

impl Peer {
    /// What is said of it.
    pub(super) fn subject(&self) -> String {
        let speaks = match self.speaks {
            Speaks::Postgres => "postgres",
            Speaks::Redis => "redis",
            Speaks::Api => "api",
        };
        format!("{speaks} {}:{}", self.host, self.port)
    }

    /// Its certificate; none if it speaks without TLS. Waits for no answer longer than `limit`.
    pub(super) fn ask(&self, limit: Duration) -> (String, Result<Option<Vec<u8>>, String>) {
        (self.subject(), self.certificate(limit))
    }

    fn certificate(&self, limit: Duration) -> Result<Option<Vec<u8>>, String> {
        let mut stream = self.connect(limit).map_err(|error| error.to_string())?;
        if self.speaks == Speaks::Postgres && !asks_for_tls(&mut stream).map_err(|error| error.to_string())? {
            return Ok(None);
        }
        let seen = Arc::new(Seen::default());
        let mut connection = self.client(&seen).map_err(|error| error.to_string())?;
        let shaken = connection.complete_io(&mut stream);
        // Whatever came after it: a server may want a certificate, too.
        let certificate = lock(&seen.certificate).take();
        match (certificate, shaken) {
            (Some(certificate), _) => Ok(Some(certificate)),
            (None, Err(error)) => Err(error.to_string()),
            (None, Ok(_)) => Err("it has shown none".to_owned()),
        }
    }

    fn connect(&self, limit: Duration) -> std::io::Result<TcpStream> {
        let mut last = std::io::ErrorKind::NotFound.into();
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, limit) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(limit))?;
                    stream.set_write_timeout(Some(limit))?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn client(&self, seen: &Arc<Seen>) -> Result<ClientConnection, Error> {
        let name = ServerName::try_from(self.host.clone()).map_err(|error| Error::General(error.to_string()))?;
        let config = ClientConfig::builder_with_provider(Arc::clone(&seen.provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(seen) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        ClientConnection::new(Arc::new(config), name)
    }
}

/// Whether a Postgres speaks TLS.
fn asks_for_tls(stream: &mut TcpStream) -> std::io::Result<bool> {
    stream.write_all(&SSL_REQUEST)?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    Ok(answer == *b"S")
}

/// Takes whatever is shown, and keeps it.
#[derive(Debug)]
struct Seen {
    certificate: Mutex<Option<Vec<u8>>>,
    provider: Arc<CryptoProvider>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { certificate: Mutex::default(), provider: Arc::new(rustls::crypto::ring::default_provider()) }
    }
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *lock(&self.certificate) = Some(shown.to_vec());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
