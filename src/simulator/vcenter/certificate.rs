//! What the server shows to those who connect.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::Tls;

/// TLS for a server at this address, and the digest of its certificate; none if it shall speak plain HTTP.
pub(super) fn acceptor(tls: &Tls, address: IpAddr) -> io::Result<Option<(TlsAcceptor, String)>> {
    let (chain, key) = match tls {
        Tls::Off => return Ok(None),
        Tls::Own => own(address).map_err(io::Error::other)?,
        Tls::Given(chain, key) => {
            let bad = |path: &std::path::Path, error: rustls_pki_types::pem::Error| {
                io::Error::other(format!("{} cannot be used: {error}", path.display()))
            };
            let found = CertificateDer::pem_file_iter(chain).map_err(|error| bad(chain, error))?;
            let found = found.collect::<Result<Vec<_>, _>>().map_err(|error| bad(chain, error))?;
            (found, PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, error))?)
        }
    };
    let thumbprint = chain.first().map(|certificate| digest(certificate)).unwrap_or_default();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    Ok(Some((TlsAcceptor::from(Arc::new(config.map_err(io::Error::other)?)), thumbprint)))
}

/// The SHA-256 digest of a certificate, as it is usually written.
fn digest(certificate: &CertificateDer<'_>) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    let pairs: Vec<_> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

/// A certificate made for the moment. It signs nothing but itself.
fn own(address: IpAddr) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), rcgen::Error> {
    let mut params = CertificateParams::new(["localhost".to_owned()])?;
    for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST), address] {
        let name = SanType::IpAddress(ip);
        if !params.subject_alt_names.contains(&name) {
            params.subject_alt_names.push(name);
        }
    }
    params.distinguished_name.push(DnType::CommonName, "simulated vCenter");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into())))
}
