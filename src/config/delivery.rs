//! The options that every processor has.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Complaint;
use super::option::{Kind, OptionSpec};
use super::problem::shown;
use super::section::Section;
use crate::pattern::{Pattern, PatternError};

/// What keeps its order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ordering {
    /// Events of one entity, such as a VM, one after the other; different entities in parallel.
    #[default]
    Entity,
    /// All events, one after the other.
    Strict,
    /// Nothing.
    None,
}

/// Where a processor begins that the journal does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BeginAt {
    /// With the next event.
    #[default]
    End,
    /// With the oldest event that is kept.
    Oldest,
    /// With the first event that was journaled at this time or later, in microseconds since 1970.
    At(i64),
}

/// Which events a processor is for, whoever of its targets wants them.
#[derive(Clone, Debug)]
pub struct Filter(Arc<Pattern>);

impl Filter {
    /// Those that the pattern means.
    ///
    /// # Errors
    /// It is no pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        Pattern::parse(text).map(|pattern| Self(Arc::new(pattern)))
    }

    /// The pattern.
    #[must_use]
    pub fn pattern(&self) -> &Pattern {
        &self.0
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Filter {}

/// How a processor's events are delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Attempts in flight at most, over all targets.
    pub concurrency: usize,
    /// Attempts after which an event that fails is given up.
    pub max_attempts: u32,
    /// How long an event is tried, from its first attempt on.
    pub max_age: Duration,
    /// What keeps its order.
    pub ordering: Ordering,
    /// Where it begins when it is new.
    pub begin: BeginAt,
    /// The events that it is for; none: all.
    pub filter: Option<Filter>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrency: 64,
            max_attempts: 10,
            max_age: Duration::from_secs(24 * 60 * 60),
            ordering: Ordering::Entity,
            begin: BeginAt::End,
            filter: None,
        }
    }
}

/// How much at once.
pub const CONCURRENCY: OptionSpec = OptionSpec {
    name: "concurrency",
    kind: Kind::Integer { min: 1, max: 10_000 },
    default: Some("64"),
    required: false,
    doc: "Attempts in flight at most, over all targets.",
    example: "16",
};

/// How often.
pub const MAX_ATTEMPTS: OptionSpec = OptionSpec {
    name: "max_attempts",
    kind: Kind::Integer { min: 1, max: 1_000_000 },
    default: Some("10"),
    required: false,
    doc: "Attempts after which an event that a target fails on is given up. \
          Attempts that cannot reach the target, or find it overloaded, do not count.",
    example: "3",
};

/// How long.
pub const MAX_AGE: OptionSpec = OptionSpec {
    name: "max_age",
    kind: Kind::Duration { min: Duration::from_secs(1), max: Duration::from_secs(365 * 24 * 60 * 60) },
    default: Some("24h"),
    required: false,
    doc: "How long an event is tried before it is given up, from its first attempt on.",
    example: "7d",
};

/// What keeps its order.
pub const ORDERING: OptionSpec = OptionSpec {
    name: "ordering",
    kind: Kind::Choice(&["entity", "strict", "none"]),
    default: Some("entity"),
    required: false,
    doc: "What reaches a target in the order in which it happened: `entity`, the events of the same VM \
          (else host, else cluster, and so on); `strict`, all events, one at a time; `none`, nothing.",
    example: "strict",
};

/// Where to begin.
pub const BEGIN: OptionSpec = OptionSpec {
    name: "begin",
    kind: Kind::Special {
        name: "`end`, `oldest`, or a time",
        pattern: "^\\s*(end|oldest|[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ].*)\\s*$",
    },
    default: Some("end"),
    required: false,
    doc: "Where a processor begins that is new: `end`, with the next event; `oldest`, with the oldest that the journal \
          keeps; or with what was journaled since a time in RFC 3339 such as `2026-01-31T08:00:00Z`.",
    example: "oldest",
};

/// Which events.
pub const PATTERN: OptionSpec = OptionSpec {
    name: "pattern",
    kind: Kind::Special { name: "event pattern", pattern: "^\\s*\\{[\\s\\S]*\\}\\s*$" },
    default: None,
    required: false,
    doc: "Only the events that this pattern means are delivered, and any other is as one that nobody wants: an event \
          pattern as AWS EventBridge has them, applied to the whole CloudEvent.",
    example: r#"{"subject":[{"prefix":"Vm"}]}"#,
};

fn parse_pattern(text: &str) -> Result<Filter, Complaint> {
    let filter = Filter::parse(text).map_err(|error| {
        Complaint::new(
            error.to_string(),
            "compare with {\"subject\":[\"VmPoweredOnEvent\"]}, each \" in it written as \\\"",
        )
    })?;
    // As in a rule of EventBridge, where it would silently match nothing here.
    for name in ["detail", "detail-type"] {
        if filter.pattern().needs(name) {
            return Err(Complaint::new(
                format!("asks for \"{name}\", which no event has"),
                "this pattern sees the CloudEvent itself, with \"subject\" and \"data\"; \
                 a rule of EventBridge sees it within \"detail\"",
            ));
        }
    }
    Ok(filter)
}

fn parse_begin(text: &str) -> Result<BeginAt, Complaint> {
    match text {
        "end" => Ok(BeginAt::End),
        "oldest" => Ok(BeginAt::Oldest),
        _ => text.parse::<Timestamp>().map(|time| BeginAt::At(time.as_microsecond())).map_err(|_| {
            Complaint::new(
                format!("{} is not a time", shown(text)),
                "write \"end\", \"oldest\", or a time such as \"2026-01-31T08:00:00Z\"",
            )
        }),
    }
}

/// The options that every processor has.
pub const DELIVERY_OPTIONS: &[OptionSpec] = &[CONCURRENCY, MAX_ATTEMPTS, MAX_AGE, ORDERING, BEGIN, PATTERN];

impl Section {
    /// What [`DELIVERY_OPTIONS`] say.
    pub fn delivery(&mut self) -> Options {
        Options {
            concurrency: usize::try_from(self.integer(&CONCURRENCY)).unwrap_or(usize::MAX),
            max_attempts: u32::try_from(self.integer(&MAX_ATTEMPTS)).unwrap_or(u32::MAX),
            max_age: self.duration(&MAX_AGE),
            ordering: match self.choice(&ORDERING) {
                "strict" => Ordering::Strict,
                "none" => Ordering::None,
                _ => Ordering::Entity,
            },
            begin: self.parsed(&BEGIN, parse_begin).unwrap_or_default(),
            filter: self.parsed(&PATTERN, parse_pattern),
        }
    }
}
