//! What an OpenFaaS processor is told.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::config::delivery::{DELIVERY_OPTIONS, Options};
use crate::config::option::{
    AddressKind, AddressSpec, AuthSpec, BASIC_AUTH, Kind, OptionSpec, PASSWORD, Provider, SectionKind, USERNAME,
};
use crate::config::tls::HTTP_OPTIONS;
use crate::config::{Complaint, Secret, Section};
use crate::http::TlsOptions;

const MOST: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether functions answer.
const ASYNC: OptionSpec = OptionSpec {
    name: "async",
    kind: Kind::Bool,
    default: Some("false"),
    required: false,
    doc: "Have the gateway queue each call instead of waiting for the function. Promises no order.",
    example: "true",
};

/// How long a function may take.
const TIMEOUT: OptionSpec = OptionSpec {
    name: "timeout",
    kind: Kind::Duration { min: Duration::from_millis(1), max: MOST },
    default: Some("15s"),
    required: false,
    doc: "How long one attempt may take, to the end of the answer.",
    example: "1m",
};

/// What stands between topics.
const TOPIC_DELIMITER: OptionSpec = OptionSpec {
    name: "topic_delimiter",
    kind: Kind::Text,
    default: Some(","),
    required: false,
    doc: "What stands between the topics in a function's annotation.",
    example: ";",
};

/// Which annotation.
const TOPIC_ANNOTATION: OptionSpec = OptionSpec {
    name: "topic_annotation",
    kind: Kind::Text,
    default: Some("topic"),
    required: false,
    doc: "The annotation of a function that holds its topics.",
    example: "vcenter-topic",
};

/// Which namespaces.
const NAMESPACES: OptionSpec = OptionSpec {
    name: "namespaces",
    kind: Kind::List,
    default: None,
    required: false,
    doc: "The namespaces whose functions count. Empty: all.",
    example: "openfaas-fn,staging",
};

/// Where functions report.
const CALLBACK_URL: OptionSpec = OptionSpec {
    name: "callback_url",
    kind: Kind::Url,
    default: None,
    required: false,
    doc: "With `async`: where the gateway reaches this router's metrics server, so that the function's own \
          answer settles an event, not the gateway's acceptance.",
    example: "http://vmware-event-router.vmware:8080",
};

/// How long to wait for a report.
const CALLBACK_TIMEOUT: OptionSpec = OptionSpec {
    name: "callback_timeout",
    kind: Kind::Duration { min: Duration::from_secs(1), max: MOST },
    default: Some("5m"),
    required: false,
    doc: "With `callback_url`: how long to wait for the function's answer before the attempt has failed.",
    example: "15m",
};

/// The options of OpenFaaS alone.
const OPTIONS: &[OptionSpec] =
    &[ASYNC, TIMEOUT, TOPIC_DELIMITER, TOPIC_ANNOTATION, NAMESPACES, CALLBACK_URL, CALLBACK_TIMEOUT];

/// An OpenFaaS gateway.
pub const PROVIDER: Provider = Provider {
    kind: SectionKind::Processor,
    name: "openfaas",
    address: AddressSpec {
        kind: AddressKind::Url,
        default: None,
        doc: "The URL of the gateway.",
        example: "http://gateway.openfaas:8080",
    },
    auth: AuthSpec { required: true, methods: &[BASIC_AUTH] },
    options: &[HTTP_OPTIONS, DELIVERY_OPTIONS, OPTIONS],
    doc: "The functions of one OpenFaaS gateway, each with the events that its annotation `topic` names.",
};

/// What an OpenFaaS processor is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the processor is known by.
    pub name: Arc<str>,
    /// The gateway's URL, without credentials.
    pub address: Url,
    /// The user.
    pub username: Secret,
    /// The user's password.
    pub password: Secret,
    /// Whom to trust.
    pub tls: TlsOptions,
    /// Whether the gateway queues the calls.
    pub asynchronous: bool,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// What stands between topics.
    pub topic_delimiter: String,
    /// The annotation that holds the topics.
    pub topic_annotation: String,
    /// The namespaces whose functions count; empty for all.
    pub namespaces: Vec<String>,
    /// Where the gateway reaches this router.
    pub callback_url: Option<Url>,
    /// How long to wait for a function's own answer.
    pub callback_timeout: Duration,
    /// How events are delivered.
    pub delivery: Options,
}

impl Config {
    /// Takes the section; what is wrong is noted there.
    pub fn parse(section: &mut Section) -> Self {
        section.expect(&PROVIDER);
        let address = section.url_address(&PROVIDER).unwrap_or_else(nowhere);
        let asynchronous = section.bool(&ASYNC);
        let callback_url = section.url(&CALLBACK_URL);
        if callback_url.is_some() && !asynchronous {
            let complaint = Complaint::new("needs \"async\": \"true\"", "add that, or remove this");
            section.complain(&CALLBACK_URL, complaint);
        }
        if section.has(&CALLBACK_TIMEOUT) && !section.has(&CALLBACK_URL) {
            let complaint = Complaint::new("is given without callback_url", "add that, or remove this");
            section.complain(&CALLBACK_TIMEOUT, complaint);
        }
        Self {
            name: section.identity(address.as_str()),
            username: section.secret(&USERNAME),
            password: section.secret(&PASSWORD),
            tls: section.tls(),
            asynchronous,
            timeout: section.duration(&TIMEOUT),
            topic_delimiter: section.text(&TOPIC_DELIMITER),
            topic_annotation: section.text(&TOPIC_ANNOTATION),
            namespaces: section.list(&NAMESPACES),
            callback_url,
            callback_timeout: section.duration(&CALLBACK_TIMEOUT),
            delivery: section.delivery(),
            address,
        }
    }
}

/// Stands in for an address that is wrong; such a configuration is never run.
fn nowhere() -> Url {
    #[expect(clippy::expect_used, reason = "a constant, parsed in every test of a wrong address")]
    Url::parse("http://invalid.").expect("is a URL")
}
