//! Whom to trust: the system's roots, further ones, one pinned certificate, or anybody.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use ring::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tower_service::Service as _;
use url::Url;

use super::connect::Connector;
use super::{HttpError, HttpErrorKind};

/// How a component decides whom it talks to.
#[derive(Default)]
pub struct TlsOptions {
    /// Trust any certificate.
    pub insecure: bool,
    /// Trusted besides the system's roots.
    pub root_cas: Vec<CertificateDer<'static>>,
    /// The certificate chain and key that the client shows.
    pub client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    /// Trust this certificate and no other.
    pub thumbprint: Option<Thumbprint>,
}

impl Clone for TlsOptions {
    fn clone(&self) -> Self {
        Self {
            insecure: self.insecure,
            root_cas: self.root_cas.clone(),
            client: self.client.as_ref().map(|(chain, key)| (chain.clone(), key.clone_key())),
            thumbprint: self.thumbprint,
        }
    }
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("insecure", &self.insecure)
            .field("root_cas", &self.root_cas.len())
            .field("client", &self.client.is_some())
            .field("thumbprint", &self.thumbprint)
            .finish()
    }
}

/// The digest of a certificate in DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thumbprint {
    /// As vCenter and govc show it.
    Sha1([u8; 20]),
    /// As browsers show it.
    Sha256([u8; 32]),
}

impl Thumbprint {
    /// From 40 or 64 hexadecimal digits, with or without colons between the pairs.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text
            .trim()
            .bytes()
            .filter(|b| *b != b':')
            .map(|b| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect::<Option<_>>()?;
        let bytes: Vec<u8> =
            digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
        match digits.len() {
            40 => bytes.try_into().ok().map(Self::Sha1),
            64 => bytes.try_into().ok().map(Self::Sha256),
            _ => None,
        }
    }

    /// Whether it is this certificate's.
    #[must_use]
    pub fn is_of(&self, certificate: &[u8]) -> bool {
        match self {
            Self::Sha1(bytes) => {
                digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, certificate).as_ref() == bytes.as_slice()
            }
            Self::Sha256(bytes) => digest::digest(&digest::SHA256, certificate).as_ref() == bytes.as_slice(),
        }
    }
}

/// Pairs of hexadecimal digits with colons between them.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// `needed` says whether the system's roots will be: reading them costs time and memory.
pub(super) fn client_config(options: &TlsOptions, needed: bool) -> Result<ClientConfig, HttpError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let failed = |error: rustls::Error| HttpError::new(HttpErrorKind::Tls, format!("TLS cannot be set up: {error}"));
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let builder = if options.insecure || options.thumbprint.is_some() {
        let verifier = Pinned { thumbprint: options.thumbprint, provider };
        builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
    } else {
        let mut roots = RootCertStore::empty();
        if needed {
            let found = rustls_native_certs::load_native_certs();
            for error in found.errors {
                tracing::debug!(%error, "some of the system's CA roots cannot be read");
            }
            roots.add_parsable_certificates(found.certs);
        }
        for certificate in &options.root_cas {
            roots.add(certificate.clone()).map_err(failed)?;
        }
        builder.with_root_certificates(roots)
    };
    match &options.client {
        Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(failed),
        None => Ok(builder.with_no_client_auth()),
    }
}

/// Trusts one certificate, or any.
#[derive(Debug)]
struct Pinned {
    thumbprint: Option<Thumbprint>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.thumbprint {
            Some(thumbprint) if !thumbprint.is_of(end_entity) => {
                let is = match thumbprint {
                    Thumbprint::Sha1(_) => digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, end_entity),
                    Thumbprint::Sha256(_) => digest::digest(&digest::SHA256, end_entity),
                };
                let text = format!("the certificate is not the pinned one: its thumbprint is {}", hex(is.as_ref()));
                let other = OtherError(Arc::new(HttpError::new(HttpErrorKind::Tls, text)));
                Err(rustls::Error::InvalidCertificate(CertificateError::Other(other)))
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// What a server's TLS looks like.
#[derive(Clone, Debug)]
pub struct TlsFacts {
    /// Such as `TLSv1.3`.
    pub version: String,
    /// The certificate's SHA-256, as `thumbprint` takes it.
    pub thumbprint: String,
}

/// Shakes hands with an https server, through the proxy if there is one and trusting anybody, to see what it shows.
///
/// # Errors
/// No connection, or no TLS.
pub async fn inspect_tls(url: &Url) -> Result<TlsFacts, HttpError> {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let uri: Uri = url
        .as_str()
        .parse()
        .map_err(|error| HttpError::new(HttpErrorKind::Protocol, format!("{host} is no address: {error}")))?;
    let name = ServerName::try_from(bare)
        .map_err(|error| HttpError::new(HttpErrorKind::Dns, format!("{host} is no name for TLS: {error}")))?;
    let config = client_config(&TlsOptions { insecure: true, ..TlsOptions::default() }, false)?;
    let shake = async {
        let stream = Connector::new(Arc::new(Matcher::from_env())).call(uri).await?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        connector.connect(name, TokioIo::new(stream)).await.map_err(|error| HttpError::classify(&error))
    };
    let stream = tokio::time::timeout(Duration::from_secs(10), shake)
        .await
        .map_err(|_| HttpError::new(HttpErrorKind::Timeout, "no TLS handshake within 10 s"))??;
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates().and_then(|chain| chain.first());
    Ok(TlsFacts {
        version: session.protocol_version().map(|version| format!("{version:?}")).unwrap_or_default().replace('_', "."),
        thumbprint: certificate.map(|der| hex(digest::digest(&digest::SHA256, der).as_ref())).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprints_are_read_with_and_without_colons() {
        let sha1 = "00:01:02:03:04:05:06:07:08:09:0A:0b:0C:0D:0E:0F:10:11:12:FF";
        let Some(Thumbprint::Sha1(bytes)) = Thumbprint::parse(sha1) else { panic!("a SHA-1") };
        assert_eq!((bytes[1], bytes[11], bytes[19]), (1, 0x0b, 0xff));
        assert_eq!(Thumbprint::parse(&sha1.replace(':', "")), Thumbprint::parse(sha1));
        assert!(matches!(Thumbprint::parse(&"ab".repeat(32)), Some(Thumbprint::Sha256(_))));
        assert_eq!(Thumbprint::parse("ab"), None);
        assert_eq!(Thumbprint::parse(&"xy".repeat(20)), None);
        assert_eq!(Thumbprint::parse(&hex(&[7; 32])), Some(Thumbprint::Sha256([7; 32])));
    }
}
