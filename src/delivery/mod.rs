//! One visible loop for every processor: read, route, attempt, retry, set aside, commit.

pub use crate::config::delivery::{Options, Ordering};
