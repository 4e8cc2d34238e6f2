//! The options that every processor has.

use std::time::Duration;

use super::option::{Kind, OptionSpec};
use super::section::Section;

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
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrency: 64,
            max_attempts: 10,
            max_age: Duration::from_secs(24 * 60 * 60),
            ordering: Ordering::Entity,
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

/// The options that every processor has.
pub const DELIVERY_OPTIONS: &[OptionSpec] = &[CONCURRENCY, MAX_ATTEMPTS, MAX_AGE, ORDERING];

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
        }
    }
}
