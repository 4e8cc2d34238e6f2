//! The peers of the tests, and how tests talk to them.

pub(crate) mod aws;
pub(crate) mod aws_api;
pub(crate) mod aws_credentials;
pub(crate) mod aws_front;
pub(crate) mod fault_soap;
pub(crate) mod gateway;
pub(crate) mod govc;
pub(crate) mod judge;
pub(crate) mod proxy;
pub(crate) mod pyvmomi;
pub(crate) mod raw;
pub(crate) mod router;
pub(crate) mod scene;
pub(crate) mod simulator;
pub(crate) mod soap;
pub(crate) mod stream;
pub(crate) mod tls;
pub(crate) mod traced;
pub(crate) mod vcsim;

/// A number that whoever runs the test may give in the environment.
pub(crate) fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|number| number.parse().unwrap())
}
