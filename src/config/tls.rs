//! The options that everything that speaks HTTP to others has.

use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem};

use super::option::{Kind, OptionSpec};
use super::problem::Complaint;
use super::section::Section;
use crate::http::TlsOptions;

/// Trust anybody.
pub const INSECURE: OptionSpec = OptionSpec {
    name: "insecure",
    kind: Kind::Bool,
    default: Some("false"),
    required: false,
    doc: "Trust any certificate of the server.",
    example: "true",
};

/// Trust more.
pub const ROOT_CAS: OptionSpec = OptionSpec {
    name: "root_cas",
    kind: Kind::Files,
    default: None,
    required: false,
    doc: "PEM files with CA certificates to trust besides the system's.",
    example: "/etc/ssl/corp-ca.pem",
};

/// Show a certificate.
pub const CLIENT_CERT: OptionSpec = OptionSpec {
    name: "client_cert",
    kind: Kind::File,
    default: None,
    required: false,
    doc: "PEM file with the client certificate to show to the server, its chain after it. Needs `client_key`.",
    example: "/etc/ssl/router.pem",
};

/// The key of the shown certificate.
pub const CLIENT_KEY: OptionSpec = OptionSpec {
    name: "client_key",
    kind: Kind::File,
    default: None,
    required: false,
    doc: "PEM file with the key of `client_cert`.",
    example: "/etc/ssl/router.key",
};

/// The options that everything that speaks HTTP to others has.
pub const HTTP_OPTIONS: &[OptionSpec] = &[INSECURE, ROOT_CAS, CLIENT_CERT, CLIENT_KEY];

impl Section {
    /// What [`HTTP_OPTIONS`] say. Thumbprints are the provider's own.
    pub fn tls(&mut self) -> TlsOptions {
        let insecure = self.bool(&INSECURE);
        let mut root_cas = Vec::new();
        for path in self.list(&ROOT_CAS) {
            match certificates(&path) {
                Ok(found) => root_cas.extend(found),
                Err(complaint) => self.complain(&ROOT_CAS, complaint),
            }
        }
        let certificate = self.parsed(&CLIENT_CERT, certificates);
        let key = self.parsed(&CLIENT_KEY, private_key);
        for (one, other) in [(&CLIENT_CERT, &CLIENT_KEY), (&CLIENT_KEY, &CLIENT_CERT)] {
            if self.has(one) && !self.has(other) {
                let complaint = Complaint::new(format!("is given without {}", other.name), "give both or neither");
                self.complain(one, complaint);
            }
        }
        let client = certificate.zip(key);
        if let Some((chain, key)) = &client
            && let Err(complaint) = belongs(chain, key)
        {
            self.complain(&CLIENT_KEY, complaint);
        }
        TlsOptions { insecure, root_cas, client, thumbprint: None }
    }
}

fn complaint(path: &str, holds: &str, error: &pem::Error) -> Complaint {
    match error {
        pem::Error::Io(error) => {
            Complaint::new(format!("{path} cannot be read ({error})"), "check the path, and who may read it")
        }
        pem::Error::NoItemsFound => {
            Complaint::new(format!("{path} holds no {holds}"), format!("give a PEM file with a {holds}"))
        }
        _ => Complaint::new(format!("{path} is not PEM"), format!("give a PEM file with a {holds}")),
    }
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, Complaint> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let found = found.and_then(|found| if found.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(found) });
    let found = found.map_err(|error| complaint(path, "certificate", &error))?;
    for certificate in &found {
        rustls::RootCertStore::empty().add(certificate.clone()).map_err(|_| {
            Complaint::new(format!("{path} holds a damaged certificate"), "give a PEM file with X.509 certificates")
        })?;
    }
    Ok(found)
}

fn private_key(path: &str) -> Result<PrivateKeyDer<'static>, Complaint> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| complaint(path, "private key", &error))
}

fn belongs(chain: &[CertificateDer<'static>], key: &PrivateKeyDer<'static>) -> Result<(), Complaint> {
    let provider = rustls::crypto::ring::default_provider();
    match CertifiedKey::from_der(chain.to_vec(), key.clone_key(), &provider) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(Complaint::new(format!("does not belong to {}", CLIENT_CERT.name), "give the key of that certificate"))
        }
        Err(error) => Err(Complaint::new(format!("cannot be used ({error})"), "give an RSA, ECDSA or Ed25519 key")),
    }
}
