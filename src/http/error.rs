//! What can go wrong with a call, in a person's words.

use std::error::Error;
use std::io;

/// What kind of trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpErrorKind {
    /// The name has no address.
    Dns,
    /// Nothing listens there.
    Refused,
    /// The host or network cannot be reached.
    Unreachable,
    /// The connection was closed or reset in the middle.
    Reset,
    /// The TLS handshake failed.
    Tls,
    /// No answer in time.
    Timeout,
    /// The answer is larger than allowed.
    TooLarge,
    /// The proxy refused or failed.
    Proxy,
    /// The answer is not HTTP, or the request cannot be sent.
    Protocol,
}

/// A call without a usable answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub struct HttpError {
    /// What kind of trouble.
    pub kind: HttpErrorKind,
    text: String,
}

impl HttpError {
    pub(super) fn new(kind: HttpErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    pub(super) fn too_late(timeout: std::time::Duration) -> Self {
        Self::new(HttpErrorKind::Timeout, format!("no complete answer within {timeout:?}"))
    }

    /// Finds the cause at the bottom that tells most.
    pub(super) fn classify(error: &(dyn Error + 'static)) -> Self {
        let mut chain = Vec::new();
        let mut next = Some(error);
        while let Some(error) = next {
            chain.push(error);
            // An `io::Error` hides what it wraps from `source`.
            next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        for error in chain.iter().rev() {
            if let Some(tls) = error.downcast_ref::<rustls::Error>() {
                return Self::new(HttpErrorKind::Tls, format!("TLS failed: {}", tls_text(tls)));
            }
            if let Some(http) = error.downcast_ref::<HttpError>() {
                return http.clone();
            }
        }
        if let Some(dns) = chain.iter().position(|error| error.to_string().starts_with("dns error")) {
            let cause = chain[dns + 1..].last().map(ToString::to_string).unwrap_or_default();
            return Self::new(HttpErrorKind::Dns, format!("the name cannot be resolved: {cause}"));
        }
        for error in chain.iter().rev() {
            if let Some(io) = error.downcast_ref::<io::Error>() {
                let (kind, text) = match io.kind() {
                    io::ErrorKind::ConnectionRefused => (HttpErrorKind::Refused, "connection refused".to_owned()),
                    io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::NotConnected
                    | io::ErrorKind::UnexpectedEof => {
                        (HttpErrorKind::Reset, "the connection was closed in the middle".to_owned())
                    }
                    io::ErrorKind::TimedOut => (HttpErrorKind::Timeout, "the connection timed out".to_owned()),
                    io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                        (HttpErrorKind::Unreachable, "the host cannot be reached".to_owned())
                    }
                    _ => continue,
                };
                return Self::new(kind, text);
            }
        }
        for error in chain.iter().rev() {
            if let Some(hyper) = error.downcast_ref::<hyper::Error>() {
                if hyper.is_incomplete_message()
                    || hyper.is_canceled()
                    || hyper.is_closed()
                    || hyper.is_body_write_aborted()
                {
                    return Self::new(HttpErrorKind::Reset, "the connection was closed in the middle");
                }
                if hyper.is_parse() {
                    return Self::new(HttpErrorKind::Protocol, format!("the answer is not HTTP: {hyper}"));
                }
            }
        }
        let text = chain.last().map_or_else(|| error.to_string(), ToString::to_string);
        Self::new(HttpErrorKind::Protocol, text)
    }
}

fn tls_text(error: &rustls::Error) -> String {
    use rustls::{AlertDescription, CertificateError, Error, OtherError};
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the certificate is signed by an authority that is not trusted here".to_owned()
        }
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "the certificate has expired".to_owned()
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "the certificate is for another name".to_owned(),
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            "the certificate is signed by another authority of the same name as one that is trusted here".to_owned()
        }
        Error::InvalidCertificate(CertificateError::Other(OtherError(other))) if is_authority(&**other) => {
            "the certificate is an authority's own, which is no server's".to_owned()
        }
        Error::InvalidCertificate(CertificateError::Other(OtherError(other))) => other.to_string(),
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the other side wants a client certificate (client_cert and client_key)".to_owned()
        }
        Error::AlertReceived(
            AlertDescription::UnknownCA | AlertDescription::BadCertificate | AlertDescription::DecryptError,
        ) => "the other side does not trust the client certificate".to_owned(),
        Error::InvalidMessage(_) => "the other side does not speak TLS".to_owned(),
        other => other.to_string(),
    }
}

/// rustls has no name for this one.
fn is_authority(error: &(dyn Error + 'static)) -> bool {
    error.to_string() == "CaUsedAsEndEntity"
}
