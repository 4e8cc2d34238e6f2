//! What the metrics server is told.

use crate::config::option::{
    AddressKind, AddressSpec, AuthSpec, BASIC_AUTH, Method, PASSWORD, Provider, SectionKind, USERNAME,
};
use crate::config::problem::shown;
use crate::config::{Complaint, Secret, Section};

/// The metrics server.
pub const PROVIDER: Provider = Provider {
    kind: SectionKind::Metrics,
    name: "internal",
    address: AddressSpec {
        kind: AddressKind::Bind,
        default: Some("0.0.0.0:8080"),
        doc: "The address and port to listen on. Without an address before the colon: all.",
        example: "127.0.0.1:8080",
    },
    auth: AuthSpec {
        required: false,
        methods: &[
            Method { name: "none", secrets: &[], doc: "Anybody may look. So it is without `auth`." },
            BASIC_AUTH,
        ],
    },
    options: &[],
    doc: "The metrics server. Also accepted as type `internal` with provider `metrics`.",
};

/// What the metrics server is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen: a host or IP address, and a port.
    pub address: String,
    /// User and password, if callers must give them.
    pub auth: Option<(Secret, Secret)>,
}

impl Config {
    /// Takes the section; what is wrong is noted there.
    pub fn parse(section: &mut Section) -> Self {
        if section.provider() == PROVIDER.name {
            section.expect(&PROVIDER);
        } else {
            section.unknown_provider(&[PROVIDER.name]);
        }
        let address = section.address(&PROVIDER, parse_bind).unwrap_or_default();
        let basic = section.method(&PROVIDER).is_some_and(|method| method.name == BASIC_AUTH.name);
        let auth = basic.then(|| (section.secret(&USERNAME), section.secret(&PASSWORD)));
        Self { address, auth }
    }
}

fn parse_bind(text: &str) -> Result<String, Complaint> {
    let wrong = |what: &str| {
        Complaint::new(format!("{} {what}", shown(text)), "write an address and a port, such as \"0.0.0.0:8080\"")
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong("has no port"))?;
    if host.contains('/') {
        return Err(wrong("is a URL, not an address to listen on"));
    }
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let port: u16 = port.parse().ok().filter(|_| digits).ok_or_else(|| wrong("has no port from 0 to 65535"))?;
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let fits = match v6 {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-' || b == b'_'),
    };
    if fits { Ok(format!("{host}:{port}")) } else { Err(wrong("is not an address")) }
}
