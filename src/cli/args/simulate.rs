//! What the command line says about the simulated vCenter.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, ArgMatches, value_parser};

use super::value;
use crate::simulator::Size;
use crate::simulator::vcenter::fault::{FORMS, Planned, WHENS};
use crate::simulator::vcenter::{Options, Rate, Tls};

/// What to simulate.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulate {
    /// All but what stands in files.
    pub options: Options,
    /// Files with faults, and when.
    pub faults: Vec<PathBuf>,
}

/// The most virtual machines.
const MOST_MACHINES: i64 = 100_000;
/// The most events that can lie in the past, and that can be kept.
const MOST_EVENTS: u64 = 10_000_000;

fn address(text: &str) -> Result<SocketAddr, String> {
    let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let text = numeric.as_deref().unwrap_or(text);
    text.parse().map_err(|_| "write an IP address and a port, such as 127.0.0.1:8989".to_owned())
}

/// What can go wrong, for the end of the help.
fn faults() -> String {
    let widest = FORMS.iter().map(|(_, form, _)| form.len()).chain(WHENS.iter().map(|(form, _)| form.len())).max();
    let widest = widest.unwrap_or_default();
    let mut text = "Faults, each with the values that it has if none are given:\n".to_owned();
    for (_, form, what) in FORMS {
        text.push_str(&format!("  {form:widest$}  {what}\n"));
    }
    text.push_str("\nWhen, behind a fault (at once, if nothing is said):\n");
    for (form, what) in WHENS {
        text.push_str(&format!("  {form:widest$}  {what}\n"));
    }
    text
}

pub(super) fn command() -> clap::Command {
    let number = |name: &'static str, help: &'static str| value(name, "N", help);
    let files = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("FILE")
            .help(help)
            .action(ArgAction::Append)
            .num_args(1..)
            .value_parser(value_parser!(PathBuf))
    };
    clap::Command::new("simulate")
        .about("Be a vCenter whose machines live, for trying things out")
        .after_help(faults())
        .arg(value("listen", "ADDRESS", "where to listen").default_value("127.0.0.1:8989").value_parser(address))
        .arg(value("username", "NAME", "the one user there is").default_value("user"))
        .arg(value("password", "PASSWORD", "the user's password").default_value("pass"))
        .arg(
            value("rate", "RATE", "events a second, or \"max\": as fast as they are read")
                .default_value("10")
                .value_parser(value_parser!(Rate)),
        )
        .arg(
            number("seed", "the same seed gives the same data centre, events and random moments")
                .default_value("1")
                .value_parser(value_parser!(u64)),
        )
        .arg(
            Arg::new("tls")
                .long("tls")
                .help("speak TLS; -tls=false for plain HTTP")
                .action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .default_value("true")
                .hide_possible_values(true)
                .value_parser(BoolishValueParser::new())
                .value_name("BOOL"),
        )
        .arg(
            value("tls-cert", "FILE", "PEM file with a certificate and its chain, instead of one made at the start")
                .requires("tls-key")
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            value("tls-key", "FILE", "PEM file with its key").requires("tls-cert").value_parser(value_parser!(PathBuf)),
        )
        .arg(
            number("machines", "virtual machines; hosts, clusters and datastores follow from that")
                .default_value("100")
                .value_parser(value_parser!(u32).range(1..=MOST_MACHINES)),
        )
        .arg(
            number("history", "events that have happened before the start")
                .default_value("0")
                .value_parser(value_parser!(u64).range(..=MOST_EVENTS)),
        )
        .arg(
            number("keep", "events that are kept; older ones are deleted")
                .default_value("1000000")
                .value_parser(value_parser!(u64).range(1..=MOST_EVENTS)),
        )
        .arg(number("most", "nothing more happens by itself after so many events").value_parser(value_parser!(u64)))
        .arg(files("replay", "captured pages, whose events happen again and again instead of the data centre's"))
        .arg(
            Arg::new("fault")
                .long("fault")
                .value_name("FAULT")
                .help("what goes wrong, and when: see below; may be given several times")
                .action(ArgAction::Append)
                .value_parser(value_parser!(Planned)),
        )
        .arg(files("faults", "file with faults, one a line; # begins a comment"))
        .arg(
            value("control", "ADDRESS", "where faults and events may be asked for, and figures read")
                .value_parser(address),
        )
}

fn one<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str, usual: T) -> T {
    matches.get_one(name).cloned().unwrap_or(usual)
}

fn many<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> Vec<T> {
    matches.get_many(name).into_iter().flatten().cloned().collect()
}

pub(super) fn from_matches(matches: &ArgMatches) -> Simulate {
    let usual = Options::default();
    let given = matches.get_one::<PathBuf>("tls-cert").zip(matches.get_one::<PathBuf>("tls-key"));
    let tls = match given {
        _ if !one(matches, "tls", true) => Tls::Off,
        Some((cert, key)) => Tls::Given(cert.clone(), key.clone()),
        None => Tls::Own,
    };
    let keep = matches.get_one::<u64>("keep").and_then(|keep| usize::try_from(*keep).ok());
    let options = Options {
        listen: one(matches, "listen", usual.listen),
        username: one(matches, "username", usual.username),
        password: one(matches, "password", usual.password),
        rate: one(matches, "rate", usual.rate),
        seed: one(matches, "seed", usual.seed),
        tls,
        size: Size { machines: one(matches, "machines", usual.size.machines) },
        past: one(matches, "history", usual.past),
        keep: keep.unwrap_or(usual.keep),
        most: matches.get_one("most").copied(),
        replay: many(matches, "replay"),
        faults: many(matches, "fault"),
        control: matches.get_one("control").copied(),
    };
    Simulate { options, faults: many(matches, "faults") }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::cli::args::{Args, Command, Stop};

    fn parse(line: &str) -> Result<Simulate, String> {
        match Args::parse(line.split_whitespace().map(OsString::from)).map(|args| args.command) {
            Ok(Command::Simulate(simulate)) => Ok(*simulate),
            Ok(other) => panic!("{other:?}"),
            Err(Stop::Usage(text) | Stop::Help(text)) => Err(text),
        }
    }

    #[test]
    fn it_simulates_the_usual_unless_told_otherwise() {
        assert_eq!(parse("simulate"), Ok(Simulate { options: Options::default(), faults: Vec::new() }));
    }

    #[test]
    fn every_option_reaches_what_is_simulated() {
        let line = "simulate -listen 127.0.0.1:0 --username a --password b -rate max -seed 7 --tls-cert c.pem \
                    --tls-key k.pem --machines 3 --history 50 --keep 60 --most 70 --replay x.xml y.xml \
                    -fault hang@5 --fault=clock=-10m --faults f.txt --control localhost:9";
        let options = Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            username: "a".to_owned(),
            password: "b".to_owned(),
            rate: Rate::AsRead,
            seed: 7,
            tls: Tls::Given("c.pem".into(), "k.pem".into()),
            size: Size { machines: 3 },
            past: 50,
            keep: 60,
            most: Some(70),
            replay: vec!["x.xml".into(), "y.xml".into()],
            faults: vec!["hang@5".parse().unwrap(), "clock=-10m".parse().unwrap()],
            control: Some("127.0.0.1:9".parse().unwrap()),
        };
        assert_eq!(parse(line), Ok(Simulate { options, faults: vec!["f.txt".into()] }));
        assert_eq!(parse("simulate -tls=false").unwrap().options.tls, Tls::Off);
        assert_eq!(parse("simulate --rate 0.5 -tls").unwrap().options.rate, Rate::PerSecond(0.5));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (line, part) in [
            ("-rate fast", "or \"max\""),
            ("-rate=-1", "or \"max\""),
            ("-rate NaN", "or \"max\""),
            ("-listen 8989", "such as 127.0.0.1:8989"),
            ("-machines 0", "1..=100000"),
            ("-keep 0", "1..=10000000"),
            ("-tls-cert c.pem", "--tls-key"),
            ("-tls-key k.pem", "--tls-cert"),
            ("-fault hnag", "did you mean \"hang\"?"),
            ("-fault", "--fault <FAULT>"),
            ("extra", "extra"),
        ] {
            let error = parse(&format!("simulate {line}")).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn the_help_lists_every_fault() {
        let help = parse("simulate -h").unwrap_err();
        for (name, form, what) in FORMS {
            assert!(help.contains(form) && help.contains(what), "{name}");
        }
        assert!(WHENS.iter().all(|(form, _)| help.contains(form)));
    }
}
