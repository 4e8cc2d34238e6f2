//! The peers of the tests, and how tests talk to them.

pub(crate) mod gateway;
pub(crate) mod raw;
