//! One visible loop for every processor: read, route, attempt, retry, set aside, commit.

use std::time::Duration;

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
