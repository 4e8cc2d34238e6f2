//! What an EventBridge processor is told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::arn::{Bus, RuleArn, parse_region, parse_role};
use crate::config::delivery::{DELIVERY_OPTIONS, Options, PATTERN};
use crate::config::option::{AuthSpec, Kind, Method, NO_ADDRESS, OptionSpec, Provider, SectionKind, parse_list};
use crate::config::tls::HTTP_OPTIONS;
use crate::config::{Complaint, Secret, Section};
use crate::http::TlsOptions;

/// No more rules than this: they are looked at for every event.
const MOST_RULES: usize = 100;

const ACCESS_KEY_ID: OptionSpec = OptionSpec {
    name: "aws_access_key_id",
    kind: Kind::Text,
    default: None,
    required: true,
    doc: "The access key's id.",
    example: "${env:AWS_ACCESS_KEY_ID}",
};

const SECRET_ACCESS_KEY: OptionSpec = OptionSpec {
    name: "aws_secret_access_key",
    kind: Kind::Text,
    default: None,
    required: true,
    doc: "The access key itself.",
    example: "${file:/run/secrets/aws/secret-access-key}",
};

const SESSION_TOKEN: OptionSpec = OptionSpec {
    name: "aws_session_token",
    kind: Kind::Text,
    default: None,
    required: false,
    doc: "The token of temporary credentials.",
    example: "${file:/run/secrets/aws/session-token}",
};

const ACCESS_KEY: Method =
    Method { name: "access_key", secrets: &[ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN], doc: "An access key." };

const DEFAULT_CHAIN: Method = Method {
    name: "default_chain",
    secrets: &[],
    doc: "What AWS's own tools would use here: environment variables, a profile, a web identity (EKS), the role of the \
          container or of the machine.",
};

const REGION: OptionSpec = OptionSpec {
    name: "aws_region",
    kind: Kind::Special { name: "region", pattern: "^\\s*[a-z0-9]+(-[a-z0-9]+)+\\s*$" },
    default: None,
    required: true,
    doc: "The region of the bus.",
    example: "eu-central-1",
};

const EVENT_BUS: OptionSpec = OptionSpec {
    name: "aws_eventbridge_event_bus",
    kind: Kind::Special {
        name: "name or ARN",
        pattern: "^\\s*(arn:aws[a-z0-9-]*:events:[a-z0-9-]+:[0-9]+:event-bus/)?[A-Za-z0-9._/-]+\\s*$",
    },
    default: Some("default"),
    required: false,
    doc: "The bus to which events go.",
    example: "vmware",
};

const RULE_ARN: OptionSpec = OptionSpec {
    name: "aws_eventbridge_rule_arn",
    kind: Kind::Special {
        name: "list of ARNs",
        pattern: "^[\\s,]*arn:aws[a-z0-9-]*:events:[a-z0-9-]+:[0-9]+:rule/[A-Za-z0-9._/-]+\\s*(,[\\s\\S]*)?$",
    },
    default: None,
    required: false,
    doc: "The rules of the bus whose event patterns say which events go there: those that any of them means while it is \
          enabled. May be left out with `pattern` or `aws_all_events`.",
    example: "arn:aws:events:eu-central-1:1234567890:rule/vmware-event-router",
};

const ALL_EVENTS: OptionSpec = OptionSpec {
    name: "aws_all_events",
    kind: Kind::Bool,
    default: Some("false"),
    required: false,
    doc: "Without rules: send every event. AWS charges for each.",
    example: "true",
};

const SYNC_INTERVAL: OptionSpec = OptionSpec {
    name: "aws_rule_sync_interval",
    kind: Kind::Duration { min: Duration::from_secs(1), max: Duration::from_secs(24 * 60 * 60) },
    default: Some("5m"),
    required: false,
    doc: "How often the rules are read again.",
    example: "1m",
};

const ROLE_ARN: OptionSpec = OptionSpec {
    name: "aws_role_arn",
    kind: Kind::Special { name: "ARN", pattern: "^\\s*arn:aws[a-z0-9-]*:iam::[0-9]+:role/[!-~]+\\s*$" },
    default: None,
    required: false,
    doc: "The role to take on with the credentials of `auth`; its session is called `vmware-event-router`.",
    example: "arn:aws:iam::123456789012:role/event-router",
};

const EXTERNAL_ID: OptionSpec = OptionSpec {
    name: "aws_external_id",
    kind: Kind::Text,
    default: None,
    required: false,
    doc: "The external id that the role of `aws_role_arn` asks for.",
    example: "vcenter-west",
};

const ENDPOINT_URL: OptionSpec = OptionSpec {
    name: "aws_endpoint_url",
    kind: Kind::Url,
    default: None,
    required: false,
    doc: "Where EventBridge and STS are, if not where the region says: a VPC endpoint, or something that plays AWS.",
    example: "http://127.0.0.1:4566",
};

const MAX_REQUEST_BYTES: OptionSpec = OptionSpec {
    name: "aws_max_request_bytes",
    kind: Kind::Integer { min: 1024, max: 1024 * 1024 },
    default: Some("262144"),
    required: false,
    doc: "How large the events of one request may be together, as AWS counts. A larger event is never sent: \
          it becomes a dead letter.",
    example: "1048576",
};

const BATCH_DELAY: OptionSpec = OptionSpec {
    name: "batch_delay",
    kind: Kind::Duration { min: Duration::ZERO, max: Duration::from_secs(10) },
    default: Some("20ms"),
    required: false,
    doc: "How long an event may wait for others to fill a request of ten, while another request is under way.",
    example: "200ms",
};

const TIMEOUT: OptionSpec = OptionSpec {
    name: "timeout",
    kind: Kind::Duration { min: Duration::from_millis(1), max: Duration::from_secs(60 * 60) },
    default: Some("15s"),
    required: false,
    doc: "How long one request may take, to the end of the answer.",
    example: "1m",
};

const OPTIONS: &[OptionSpec] = &[
    REGION,
    EVENT_BUS,
    RULE_ARN,
    ALL_EVENTS,
    SYNC_INTERVAL,
    ROLE_ARN,
    EXTERNAL_ID,
    ENDPOINT_URL,
    MAX_REQUEST_BYTES,
    BATCH_DELAY,
    TIMEOUT,
];

/// An event bus of AWS EventBridge.
pub const PROVIDER: Provider = Provider {
    kind: SectionKind::Processor,
    name: "aws_event_bridge",
    address: NO_ADDRESS,
    auth: AuthSpec { required: true, methods: &[ACCESS_KEY, DEFAULT_CHAIN] },
    options: &[HTTP_OPTIONS, DELIVERY_OPTIONS, OPTIONS],
    doc: "An event bus of AWS EventBridge, with the events that the patterns of its rules mean.",
};

/// An access key, or where to find it.
#[derive(Clone, Debug)]
pub struct AccessKey {
    /// The key's id.
    pub id: Secret,
    /// The key.
    pub secret: Secret,
    /// What temporary credentials have besides.
    pub token: Option<Secret>,
}

/// A role to take on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its ARN.
    pub arn: String,
    /// What it may ask for.
    pub external_id: Option<String>,
}

/// What an EventBridge processor is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the processor is known by.
    pub name: Arc<str>,
    /// The bus, for people: its ARN where that is known.
    pub address: String,
    /// Where the bus is.
    pub region: String,
    /// The bus.
    pub bus: Bus,
    /// The rules that say what is wanted; empty: all that comes.
    pub rules: Vec<RuleArn>,
    /// How often they are read again.
    pub sync_interval: Duration,
    /// None for AWS's default chain.
    pub access_key: Option<AccessKey>,
    /// The role to take on.
    pub role: Option<Role>,
    /// Where AWS is, if not where the region says.
    pub endpoint: Option<Url>,
    /// How large the events of one request may be together.
    pub max_request_bytes: usize,
    /// How long an event may wait for others.
    pub batch_delay: Duration,
    /// How long one request may take.
    pub timeout: Duration,
    /// Whom to trust.
    pub tls: TlsOptions,
    /// How events are delivered.
    pub delivery: Options,
}

impl Config {
    /// Takes the section; what is wrong is noted there.
    pub fn parse(section: &mut Section) -> Self {
        section.expect(&PROVIDER);
        let keyed = section.method(&PROVIDER).is_some_and(|method| method.name == ACCESS_KEY.name);
        let access_key = keyed.then(|| AccessKey {
            id: section.secret(&ACCESS_KEY_ID),
            secret: section.secret(&SECRET_ACCESS_KEY),
            token: section.given_secret(&SESSION_TOKEN),
        });
        let region = section.parsed(&REGION, parse_region);
        let bus = section.parsed(&EVENT_BUS, Bus::parse);
        let rules = rules(section);
        if let Some(bus) = &bus {
            agree(section, region.as_deref(), bus, &rules);
        }
        wanted(section);
        let role = section.parsed(&ROLE_ARN, parse_role);
        let external_id = section.parsed(&EXTERNAL_ID, parse_external_id);
        if section.has(&EXTERNAL_ID) && !section.has(&ROLE_ARN) {
            let complaint = Complaint::new("is given without aws_role_arn", "add that, or remove this");
            section.complain(&EXTERNAL_ID, complaint);
        }
        let region = region.unwrap_or_default();
        let bus = bus.unwrap_or_else(|| Bus { text: String::new(), name: String::new(), place: None });
        Self {
            name: section.identity(&identity(&region, &bus, &rules)),
            address: address(&region, &bus, &rules),
            access_key,
            role: role.map(|arn| Role { arn, external_id }),
            endpoint: section.url(&ENDPOINT_URL),
            sync_interval: section.duration(&SYNC_INTERVAL),
            max_request_bytes: usize::try_from(section.integer(&MAX_REQUEST_BYTES)).unwrap_or(usize::MAX),
            batch_delay: section.duration(&BATCH_DELAY),
            timeout: section.duration(&TIMEOUT),
            tls: section.tls(),
            delivery: section.delivery(),
            region,
            bus,
            rules,
        }
    }
}

/// The rules, each once. Those that are wrong are noted, and left out.
fn rules(section: &mut Section) -> Vec<RuleArn> {
    let given = section.parsed(&RULE_ARN, |text| Ok(parse_list(text))).unwrap_or_default();
    if section.has(&RULE_ARN) && given.len() > MOST_RULES {
        let complaint = Complaint::new(
            format!("names {} rules, and {MOST_RULES} are possible", given.len()),
            "leave it out and say with \"pattern\" what is wanted",
        );
        section.complain(&RULE_ARN, complaint);
        return Vec::new();
    }
    let mut rules = BTreeSet::new();
    for text in given {
        match RuleArn::parse(&text) {
            Ok(rule) => {
                rules.insert(rule);
            }
            Err(complaint) => section.complain(&RULE_ARN, complaint),
        }
    }
    rules.into_iter().collect()
}

/// Region, bus and rules must be of one place.
fn agree(section: &mut Section, region: Option<&str>, bus: &Bus, rules: &[RuleArn]) {
    if let (Some(region), Some([_, of_bus, _])) = (region, &bus.place)
        && region != of_bus
    {
        let complaint = Complaint::new(
            format!("the bus is in {of_bus}, and aws_region is {region}"),
            "write the same region in both",
        );
        section.complain(&EVENT_BUS, complaint);
    }
    for rule in rules {
        let name = &rule.name;
        if let Some(region) = region.filter(|region| *region != rule.region) {
            let what = format!("rule {name} is in {}, and aws_region is {region}", rule.region);
            section.complain(&RULE_ARN, Complaint::new(what, "write the same region in both"));
        }
        if rule.bus != bus.name {
            let what = format!("rule {name} is on bus {}, and aws_eventbridge_event_bus is {}", rule.bus, bus.name);
            section.complain(&RULE_ARN, Complaint::new(what, "name rules of that bus, or another bus"));
        }
    }
    let of_bus = bus.place.as_ref().map(|[_, _, account]| account.as_str());
    let first = of_bus.or_else(|| rules.first().map(|rule| rule.account.as_str()));
    if let Some((first, other)) =
        first.and_then(|first| Some((first, rules.iter().find(|rule| rule.account != *first)?)))
    {
        let of = if of_bus.is_some() { "the bus" } else { "another rule" };
        let what = format!("rule {} is of account {}, and {of} of account {first}", other.name, other.account);
        section.complain(&RULE_ARN, Complaint::new(what, "give each account a processor of its own"));
    }
}

/// Somebody has to say which events are wanted.
fn wanted(section: &mut Section) {
    let all = section.bool(&ALL_EVENTS);
    if section.has(&RULE_ARN) {
        if all {
            let complaint =
                Complaint::new("is \"true\", and there are rules", "remove this, or aws_eventbridge_rule_arn");
            section.complain(&ALL_EVENTS, complaint);
        }
    } else if !all && !section.has(&PATTERN) {
        let hint = "add it, or \"pattern\", or \"aws_all_events\": \"true\"";
        section.complain(&RULE_ARN, Complaint::new("is missing, so that no event is wanted", hint));
    }
}

fn parse_external_id(text: &str) -> Result<String, Complaint> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c);
    if (2..=1224).contains(&text.len()) && text.chars().all(fits) {
        return Ok(text.to_owned());
    }
    let hint = "write 2 to 1224 letters, digits and characters of _+=,.@:/-, as the role's trust policy has them";
    Err(Complaint::new("is not an external id", hint))
}

/// The account of the bus, where somebody says it.
fn account<'a>(bus: &'a Bus, rules: &'a [RuleArn]) -> Option<&'a str> {
    let of_bus = bus.place.as_ref().map(|[_, _, account]| account.as_str());
    of_bus.or_else(|| rules.first().map(|rule| rule.account.as_str()))
}

/// Bus and rules: what tells this processor from another.
fn identity(region: &str, bus: &Bus, rules: &[RuleArn]) -> String {
    let account = account(bus, rules).map(|account| format!("{account}/")).unwrap_or_default();
    let names: Vec<_> = rules.iter().map(|rule| rule.name.as_str()).collect();
    let rules = if names.is_empty() { String::new() } else { format!("/{}", names.join(",")) };
    format!("{region}/{account}{}{rules}", bus.name)
}

fn address(region: &str, bus: &Bus, rules: &[RuleArn]) -> String {
    let partition = bus.place.as_ref().map(|[partition, ..]| partition.as_str());
    let partition = partition.or_else(|| rules.first().map(|rule| rule.partition.as_str()));
    match (partition, account(bus, rules)) {
        (Some(partition), Some(account)) => {
            format!("arn:{partition}:events:{region}:{account}:event-bus/{}", bus.name)
        }
        _ => format!("{region}/{}", bus.name),
    }
}
