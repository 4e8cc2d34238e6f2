//! One vCenter Server's events.

mod config;

pub use config::{BeginAt, Config, PROVIDER};
