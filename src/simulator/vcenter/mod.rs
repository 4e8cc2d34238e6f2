//! The simulated vCenter: SOAP, sessions, collectors, and faults on demand.

mod body;
mod certificate;
mod collector;
mod control;
mod entities;
pub mod fault;
mod filter;
mod handle;
mod history;
pub mod ledger;
mod maker;
mod objects;
mod posted;
mod property;
mod rate;
mod replay;
mod server;
mod service;
mod session;
mod soap;
mod state;
mod updates;
mod upset;
mod versions;

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Size;
use fault::Planned;

pub use handle::{Figures, Handle};
pub use rate::{Rate, RateError};
pub use server::Server;

/// What the server shows to those who connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Plain HTTP.
    Off,
    /// A certificate made at the start.
    #[default]
    Own,
    /// These PEM files: the chain, and the key.
    Given(PathBuf, PathBuf),
}

/// What to simulate.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The one user there is, who may do everything.
    pub username: String,
    /// The user's password.
    pub password: String,
    /// How fast events happen.
    pub rate: Rate,
    /// The same seed gives the same data centre, and the same events in the same order.
    pub seed: u64,
    /// TLS, or not.
    pub tls: Tls,
    /// How large the data centre is.
    pub size: Size,
    /// Events that have happened before the start, over the hours before.
    pub past: u64,
    /// Events that are kept; older ones are deleted, as by vCenter's retention.
    pub keep: usize,
    /// Nothing more happens by itself after so many events.
    pub most: Option<u64>,
    /// Captured pages whose events happen again and again, instead of the data centre's.
    pub replay: Vec<PathBuf>,
    /// Faults, and when.
    pub faults: Vec<Planned>,
    /// Where faults and events may be asked for, and figures read.
    pub control: Option<SocketAddr>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8989)),
            username: "user".to_owned(),
            password: "pass".to_owned(),
            rate: Rate::PerSecond(10.0),
            seed: 1,
            tls: Tls::Own,
            size: Size { machines: 100 },
            past: 0,
            keep: 1_000_000,
            most: None,
            replay: Vec::new(),
            faults: Vec::new(),
            control: None,
        }
    }
}
