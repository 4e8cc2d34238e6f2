//! What the command line says of the demo.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgMatches, value_parser};

use crate::cli::args::value;

/// The most events a second that may be asked for.
const MOST_RATE: f64 = 20_000.0;

/// What to show.
#[derive(Clone, Debug, PartialEq)]
pub struct Demo {
    /// Events a second.
    pub rate: f64,
    /// When it ends by itself.
    pub lasts: Option<Duration>,
    /// Decides what happens in the data centre.
    pub seed: u64,
    /// How many machines the data centre has.
    pub machines: u32,
    /// Where the log goes.
    pub log: Option<PathBuf>,
}

impl Demo {
    /// The command, as clap wants it.
    pub(in crate::cli) fn command() -> clap::Command {
        clap::Command::new("demo")
            .about("Show a simulated vCenter, functions and the router between them, all in this process")
            .arg(value("rate", "EVENTS", "events a second").default_value("5").value_parser(rate))
            .arg(
                value("seconds", "SECONDS", "end by itself, and fail if nothing was delivered")
                    .value_parser(value_parser!(u64).range(1..=31_536_000)),
            )
            .arg(
                value("seed", "NUMBER", "what happens in the data centre: the same for the same number")
                    .default_value("1")
                    .value_parser(value_parser!(u64)),
            )
            .arg(
                value("machines", "NUMBER", "virtual machines in the data centre")
                    .default_value("40")
                    .value_parser(value_parser!(u32).range(1..=10_000)),
            )
            .arg(value("log", "FILE", "append the router's log to this file").value_parser(value_parser!(PathBuf)))
    }

    /// What was given.
    pub(in crate::cli) fn from_matches(matches: &ArgMatches) -> Self {
        Self {
            rate: matches.get_one("rate").copied().unwrap_or(5.0),
            lasts: matches.get_one("seconds").copied().map(Duration::from_secs),
            seed: matches.get_one("seed").copied().unwrap_or(1),
            machines: matches.get_one("machines").copied().unwrap_or(40),
            log: matches.get_one("log").cloned(),
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| *rate > 0.0 && *rate <= MOST_RATE);
    rate.ok_or_else(|| format!("write a number above 0, and at most {MOST_RATE}"))
}
