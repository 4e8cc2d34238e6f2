//! What a vCenter stream is told.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use url::Url;

use super::timing::Timing;
use crate::config::option::{
    AddressKind, AddressSpec, AuthSpec, Kind, Method, OptionSpec, PASSWORD, Provider, SectionKind, USERNAME, duration,
    parse_url,
};
use crate::config::problem::shown;
use crate::config::tls::{HTTP_OPTIONS, INSECURE, ROOT_CAS};
use crate::config::{Complaint, Secret, Section};
use crate::http::{Thumbprint, TlsOptions};
use crate::vim25::Shape;

/// Which certificate to trust.
const THUMBPRINT: OptionSpec = OptionSpec {
    name: "thumbprint",
    kind: Kind::Special {
        name: "SHA-1 or SHA-256 in hexadecimal",
        pattern: "^\\s*(([0-9A-Fa-f]{2}:?){20}|([0-9A-Fa-f]{2}:?){32})\\s*$",
    },
    default: None,
    required: false,
    doc: "Trust the server with this certificate and no other, whoever signed it.",
    example: "3C:5D:0B:F4:5F:5E:90:1B:8C:DF:A9:2B:5C:1F:3C:68:4F:AE:0B:02",
};

/// Where to begin.
const BEGIN: OptionSpec = OptionSpec {
    name: "begin",
    kind: Kind::Special {
        name: "`now`, a duration back, or a time",
        pattern: "^\\s*(now|-([0-9]+(ms|s|m|h|d))+|[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ].*)\\s*$",
    },
    default: Some("now"),
    required: false,
    doc: "Where a stream begins that has no checkpoint: `now`, a duration back such as `-2h`, \
          or a time in RFC 3339 such as `2026-01-31T08:00:00Z`.",
    example: "-2h",
};

/// Which events.
const EVENT_TYPES: OptionSpec = OptionSpec {
    name: "event_types",
    kind: Kind::List,
    default: None,
    required: false,
    doc: "The classes of events, or for EventEx and ExtendedEvent the event type ids, that vCenter is asked for. \
          Empty: all.",
    example: "VmPoweredOnEvent,VmPoweredOffEvent",
};

/// Which shape of the payload.
const API_VERSION: OptionSpec = OptionSpec {
    name: "api_version",
    kind: Kind::Choice(&[
        "6.7", "7.0", "7.0.1", "7.0.2", "7.0.3", "8.0", "8.0.1", "8.0.2", "8.0.3", "9.0", "9.1", "latest",
    ]),
    default: Some("6.7"),
    required: false,
    doc: "The version of the vSphere API whose fields an event's `data` has, whatever the server's version.",
    example: "8.0",
};

/// Where the Go router's checkpoints are.
const CHECKPOINT_DIR: OptionSpec = OptionSpec {
    name: "checkpoint_dir",
    kind: Kind::Text,
    default: None,
    required: false,
    doc: "The folder of the Go router's checkpoints. A stream that has no checkpoint of its own yet goes on where \
          `cp-HOST.json` in it says, in place of `begin`.",
    example: "/var/lib/old-router/checkpoints",
};

/// The options of a vCenter stream alone.
const OPTIONS: &[OptionSpec] = &[THUMBPRINT, BEGIN, CHECKPOINT_DIR, EVENT_TYPES, API_VERSION];

/// A vCenter Server.
pub const PROVIDER: Provider = Provider {
    kind: SectionKind::Stream,
    name: "vmware_vcenter",
    address: AddressSpec {
        kind: AddressKind::Url,
        default: None,
        doc: "The URL of vCenter's SDK. `https://` and `/sdk` are added where they are missing. \
              It is the `source` of the events.",
        example: "https://10.0.0.1:443/sdk",
    },
    auth: AuthSpec {
        required: true,
        methods: &[Method {
            name: "user_password",
            secrets: &[USERNAME, PASSWORD],
            doc: "A user of vCenter, such as `administrator@vsphere.local`, and the password.",
        }],
    },
    options: &[HTTP_OPTIONS, OPTIONS],
    doc: "The events of one VMware vCenter Server.",
};

/// What a vCenter stream is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the stream is known by.
    pub name: Arc<str>,
    /// The SDK's URL, without credentials.
    pub address: Url,
    /// The same as it was configured, port included even where it is the usual one: the events' `source`.
    pub source: String,
    /// The user.
    pub username: Secret,
    /// The user's password.
    pub password: Secret,
    /// Whom to trust.
    pub tls: TlsOptions,
    /// Where to begin without a checkpoint.
    pub begin: BeginAt,
    /// Where the Go router's checkpoints are, if there are any to take over.
    pub checkpoint_dir: Option<PathBuf>,
    /// The event types that vCenter is asked for; empty for all.
    pub event_types: Vec<String>,
    /// The version of the API whose shape the payload has.
    pub shape: Shape,
    /// How long everything takes and waits. No file says this.
    pub timing: Timing,
}

/// Where a stream begins that has no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeginAt {
    /// At the server's present time.
    Now,
    /// So long before the server's present time.
    Ago(Duration),
    /// At this time, in microseconds since 1970.
    At(i64),
}

impl Config {
    /// Takes the section; what is wrong is noted there.
    pub fn parse(section: &mut Section) -> Self {
        section.expect(&PROVIDER);
        let (address, source) = section.address(&PROVIDER, parse_address).unwrap_or_else(nowhere);
        let mut tls = section.tls();
        tls.thumbprint = section.parsed(&THUMBPRINT, parse_thumbprint);
        for other in [&INSECURE, &ROOT_CAS] {
            let given = if other.name == INSECURE.name { tls.insecure } else { section.has(other) };
            if given && section.has(&THUMBPRINT) {
                let what = format!("is given together with {}", THUMBPRINT.name);
                section.complain(other, Complaint::new(what, "remove it: the thumbprint alone decides whom to trust"));
            }
        }
        Self {
            name: section.identity(address.as_str()),
            username: section.secret(&USERNAME),
            password: section.secret(&PASSWORD),
            tls,
            begin: section.parsed(&BEGIN, parse_begin).unwrap_or(BeginAt::Now),
            checkpoint_dir: section.parsed(&CHECKPOINT_DIR, |text| Ok(PathBuf::from(text))),
            event_types: section.parsed(&EVENT_TYPES, parse_event_types).unwrap_or_default(),
            // The choices are shapes' names, which a test sees to.
            shape: section.choice(&API_VERSION).parse().unwrap_or_default(),
            address,
            source,
            timing: Timing::default(),
        }
    }
}

/// Stands in for an address that is wrong; such a configuration is never run.
fn nowhere() -> (Url, String) {
    let source = "https://invalid./sdk";
    #[expect(clippy::expect_used, reason = "a constant, parsed in every test of a wrong address")]
    let url = Url::parse(source).expect("is a URL");
    (url, source.to_owned())
}

fn parse_address(text: &str) -> Result<(Url, String), Complaint> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None => ("https".to_owned(), text),
    };
    // What may be a user and password is not to be taken for a host and path.
    let rest = match rest.split_once('/') {
        None => format!("{rest}/sdk"),
        Some((host, "")) => format!("{host}/sdk"),
        Some(_) => rest.to_owned(),
    };
    let source = format!("{scheme}://{rest}");
    Ok((parse_url(&source)?, source))
}

fn parse_thumbprint(text: &str) -> Result<Thumbprint, Complaint> {
    Thumbprint::parse(text).ok_or_else(|| {
        Complaint::new(
            format!("{} is no thumbprint", shown(text)),
            "write the certificate's SHA-1 or SHA-256 in hexadecimal, 40 or 64 digits",
        )
    })
}

fn parse_begin(text: &str) -> Result<BeginAt, Complaint> {
    if text == "now" {
        return Ok(BeginAt::Now);
    }
    if let Some(ago) = text.strip_prefix('-').and_then(duration) {
        return Ok(BeginAt::Ago(ago));
    }
    text.parse::<Timestamp>().map(|time| BeginAt::At(time.as_microsecond())).map_err(|_| {
        Complaint::new(
            format!("{} is not a time", shown(text)),
            "write \"now\", a duration back such as \"-2h\", or a time such as \"2026-01-31T08:00:00Z\"",
        )
    })
}

fn parse_event_types(text: &str) -> Result<Vec<String>, Complaint> {
    let types = crate::config::option::parse_list(text);
    let odd = |c: char| c.is_whitespace() || c.is_control() || "<>&\"'*".contains(c);
    match types.iter().find(|name| name.contains(odd)) {
        Some(name) => Err(Complaint::new(
            format!("{} is no event type", shown(name)),
            "write names such as VmPoweredOnEvent, with commas between them and without wildcards",
        )),
        None => Ok(types),
    }
}
