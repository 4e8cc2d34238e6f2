//! What the command line says.

mod simulate;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, value_parser};
use tracing::Level;

use super::demo::Demo;
use super::explain::Explain;
use super::journal::Journal;
use super::letters::DeadLetters;
use super::matching::Match;
use super::replay::Replays;
use super::send::Sample;
use super::tail::Tail;
pub use simulate::Simulate;

/// Where the configuration is if the command line does not say.
const CONFIG: &str = "/etc/vmware-event-router/config";

/// What the command line says.
#[derive(Clone, Debug, PartialEq)]
pub struct Args {
    /// What to do.
    pub command: Command,
    /// The configuration file.
    pub config: PathBuf,
    /// How the log is written.
    pub log: LogOptions,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// The least important lines that are written.
    pub level: Level,
    /// One JSON object a line.
    pub json: bool,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Route events.
    Run,
    /// Look whether everything is well.
    Check {
        /// Send a test event, too.
        send_test: bool,
    },
    /// Print captured events.
    Decode(Decode),
    /// Print the JSON Schema of the configuration.
    Schema,
    /// Look at what could not be delivered.
    DeadLetters(DeadLetters),
    /// Print events as they come.
    Tail(Tail),
    /// Say what became of an event.
    Explain(Explain),
    /// Say what a pattern matches.
    Match(Match),
    /// Deliver a part of the journal again.
    Replay(Replays),
    /// Send one event to one target.
    Send(Sample),
    /// Look after the journal.
    Journal(Journal),
    /// Be a vCenter.
    Simulate(Box<Simulate>),
    /// Show how it works.
    Demo(Demo),
}

/// What to print of which captured events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decode {
    /// The shape of the payload: a value of the option `api_version`.
    pub api_version: String,
    /// Print `data` alone.
    pub payload: bool,
    /// The CloudEvents `source`.
    pub source: Option<String>,
    /// The vCenter's instance UUID.
    pub instance_uuid: Option<uuid::Uuid>,
    /// The captures; `-` is standard input.
    pub files: Vec<PathBuf>,
}

/// Why there is nothing to do: help was asked for, or the command line is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// What was asked for.
    Help(String),
    /// What is wrong.
    Usage(String),
}

const DEPTHS: [&str; 4] = ["debug", "info", "warn", "error"];

/// The commit that was built, where the build said so.
pub const COMMIT: &str = match option_env!("ROUTER_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// The version that was built.
pub const VERSION: &str = match option_env!("ROUTER_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

/// The lines that end the help, as users' tools expect them.
fn version() -> String {
    format!("commit: {COMMIT}\nversion: {VERSION}")
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .help(help)
        .global(true)
        .action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .default_value("false")
        .hide_default_value(true)
        .hide_possible_values(true)
        .value_parser(clap::builder::BoolishValueParser::new())
        .value_name("BOOL")
}

pub(super) fn value(name: &'static str, value_name: &'static str, help: &'static str) -> Arg {
    // As in Go, the last of several counts.
    Arg::new(name).long(name).value_name(value_name).help(help).action(ArgAction::Set).overrides_with(name)
}

fn command() -> clap::Command {
    let decode = clap::Command::new("decode")
        .about("Print the events of captured SOAP responses, one a line")
        .arg(
            value("api-version", "VERSION", "shape of the payload, as the option api_version of a stream")
                .default_value("6.7"),
        )
        .arg(
            Arg::new("payload")
                .long("payload")
                .help("print the data of each event alone, as functions get it")
                .action(ArgAction::SetTrue),
        )
        .arg(value("source", "URL", "source attribute of the events"))
        .arg(
            value("instance-uuid", "UUID", "instance UUID of the vCenter, from which ids are derived")
                .value_parser(value_parser!(uuid::Uuid)),
        )
        .arg(
            Arg::new("files")
                .value_name("FILE")
                .help("captured response; - is standard input")
                .required(true)
                .num_args(1..)
                .value_parser(value_parser!(PathBuf)),
        );
    clap::Command::new("vmware-event-router")
        .about("Reads every event of VMware vCenter Servers and delivers each as a CloudEvent to functions and buses.")
        .disable_version_flag(true)
        .args_conflicts_with_subcommands(false)
        .subcommand_negates_reqs(true)
        .after_help(version())
        .arg(
            value("config", "PATH", "path to the configuration file")
                .default_value(CONFIG)
                .value_parser(value_parser!(PathBuf))
                .global(true),
        )
        .arg(flag("verbose", "print how each event is handled; the same as -log-level debug"))
        .arg(
            value("log-level", "LEVEL", "least important log lines to print")
                .value_parser(PossibleValuesParser::new(DEPTHS))
                .global(true),
        )
        .arg(flag("log-json", "print the log as JSON, one object a line"))
        .subcommand(clap::Command::new("run").about("Route events; so it is without a command"))
        .subcommand(
            clap::Command::new("check").about("Check the configuration, and connect to all that it names").arg(
                Arg::new("send-test")
                    .long("send-test")
                    .help("have each processor that can send an event that says it is a test")
                    .action(ArgAction::SetTrue),
            ),
        )
        .subcommand(DeadLetters::command())
        .subcommand(Tail::command())
        .subcommand(Explain::command())
        .subcommand(Match::command())
        .subcommand(Replays::command())
        .subcommand(Sample::command())
        .subcommand(Journal::command())
        .subcommand(decode)
        .subcommand(clap::Command::new("schema").about("Print the JSON Schema of the configuration"))
        .subcommand(simulate::command())
        .subcommand(Demo::command())
}

/// Go's flags have one dash or two; clap's long ones have two.
fn two_dashes(args: impl IntoIterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    let mut flags = true;
    args.into_iter().map(move |arg| {
        flags &= arg != "--";
        match arg.to_str().and_then(|text| text.strip_prefix('-')) {
            Some(name) if flags && name.len() > 1 && !name.starts_with('-') => format!("--{name}").into(),
            _ => arg,
        }
    })
}

impl Args {
    /// Reads the arguments that follow the program's name.
    ///
    /// # Errors
    ///
    /// Help was asked for, or an argument is wrong.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, Stop> {
        let args = std::iter::once("vmware-event-router".into()).chain(two_dashes(args));
        let mut command = command();
        let matches = command.try_get_matches_from_mut(args).map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Stop::Help(error.to_string()),
            _ => Stop::Usage(error.to_string()),
        })?;
        Ok(Self::from_matches(&matches))
    }

    fn from_matches(matches: &ArgMatches) -> Self {
        let on = |name: &str| matches.get_one::<bool>(name).copied().unwrap_or_default();
        let level = match matches.get_one::<String>("log-level").map(String::as_str) {
            _ if on("verbose") => Level::DEBUG,
            Some("debug") => Level::DEBUG,
            Some("warn") => Level::WARN,
            Some("error") => Level::ERROR,
            _ => Level::INFO,
        };
        let command = match matches.subcommand() {
            Some(("check", matches)) => Command::Check { send_test: matches.get_flag("send-test") },
            Some(("dead-letters", matches)) => Command::DeadLetters(DeadLetters::from_matches(matches)),
            Some(("journal", matches)) => Command::Journal(Journal::from_matches(matches)),
            Some(("tail", matches)) => Command::Tail(Tail::from_matches(matches)),
            Some(("explain", matches)) => Command::Explain(Explain::from_matches(matches)),
            Some(("match", matches)) => Command::Match(Match::from_matches(matches)),
            Some(("replay", matches)) => Command::Replay(Replays::from_matches(matches)),
            Some(("send", matches)) => Command::Send(Sample::from_matches(matches)),
            Some(("schema", _)) => Command::Schema,
            Some(("simulate", matches)) => Command::Simulate(Box::new(simulate::from_matches(matches))),
            Some(("demo", matches)) => Command::Demo(Demo::from_matches(matches)),
            Some(("decode", matches)) => Command::Decode(Decode {
                api_version: matches.get_one::<String>("api-version").cloned().unwrap_or_default(),
                payload: matches.get_flag("payload"),
                source: matches.get_one("source").cloned(),
                instance_uuid: matches.get_one("instance-uuid").copied(),
                files: matches.get_many("files").into_iter().flatten().cloned().collect(),
            }),
            _ => Command::Run,
        };
        Self {
            command,
            config: matches.get_one("config").cloned().unwrap_or_else(|| CONFIG.into()),
            log: LogOptions { level, json: on("log-json") },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::letters;
    use super::*;
    use crate::journal::embedded::inspect::Which;

    fn parse(line: &str) -> Result<Args, Stop> {
        Args::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn flags_have_one_dash_or_two_and_stand_anywhere() {
        let log = LogOptions { level: Level::DEBUG, json: false };
        let args = Args { command: Command::Check { send_test: false }, config: "/x".into(), log };
        for line in [
            "-config /x -verbose check",
            "--config=/x --verbose check",
            "-config=/x check -verbose",
            "check -config /x -verbose=true",
            "check --verbose=1 -log-json=false --config /x",
            "check -log-level debug -config /y -config /x",
            "check -log-level=debug -config /x",
            "-log-level error -verbose check -config /x",
        ] {
            assert_eq!(parse(line), Ok(args.clone()), "{line}");
        }
        let args = parse("check -send-test -config /x").unwrap();
        assert_eq!((args.command, args.config), (Command::Check { send_test: true }, "/x".into()));
    }

    #[test]
    fn without_a_command_it_runs() {
        let log = LogOptions { level: Level::INFO, json: false };
        let args = Args { command: Command::Run, config: CONFIG.into(), log };
        assert_eq!(parse(""), Ok(args.clone()));
        assert_eq!(parse("run"), Ok(args.clone()));
        assert_eq!(parse("-verbose=false"), Ok(args.clone()));
        let log = LogOptions { level: Level::WARN, json: true };
        assert_eq!(parse("-log-level warn -log-json"), Ok(Args { log, ..args }));
    }

    #[test]
    fn decode_takes_files_and_what_a_capture_lacks() {
        let decode = Decode {
            api_version: "8.0".to_owned(),
            payload: true,
            source: Some("https://vc/sdk".to_owned()),
            instance_uuid: Some(uuid::Uuid::parse_str("dbed6e0c-bd88-4ef6-b594-21283e1c677f").unwrap()),
            files: vec!["a.xml".into(), "-".into()],
        };
        let line = "decode -api-version 8.0 --payload -source https://vc/sdk a.xml - \
                    --instance-uuid=dbed6e0c-bd88-4ef6-b594-21283e1c677f";
        assert_eq!(parse(line).unwrap().command, Command::Decode(decode));
        let Command::Decode(decode) = parse("decode -- -payload").unwrap().command else { panic!() };
        assert_eq!((decode.files, decode.payload), (vec![PathBuf::from("-payload")], false));
        assert_eq!(decode.api_version, "6.7");
    }

    #[test]
    fn dead_letters_are_named_or_all_are_meant() {
        let parsed = |line: &str| match parse(&format!("dead-letters {line}")).map(|args| args.command) {
            Ok(Command::DeadLetters(which)) => Ok(which),
            Ok(other) => panic!("{other:?}"),
            Err(stop) => Err(stop),
        };
        let all = letters::Which { all: true, ..letters::Which::default() };
        let of = letters::Which { processor: Some("p".to_owned()), target: Some("f".to_owned()), ..all.clone() };
        let two = letters::Which { ids: vec!["1-a".to_owned(), "2-b".to_owned()], ..letters::Which::default() };
        assert_eq!(parsed("list"), Ok(DeadLetters::List { which: all.clone(), json: false }));
        assert_eq!(
            parsed("list -json -processor p --target f"),
            Ok(DeadLetters::List { which: of.clone(), json: true })
        );
        assert_eq!(parsed("show 1-a -config /x"), Ok(DeadLetters::Show("1-a".to_owned())));
        assert_eq!(parsed("retry 1-a 2-b"), Ok(DeadLetters::Retry(two.clone())));
        assert_eq!(parsed("retry -all -processor p -target f"), Ok(DeadLetters::Retry(of)));
        assert_eq!(parsed("discard 1-a 2-b"), Ok(DeadLetters::Discard(two)));
        assert_eq!(parsed("discard --all"), Ok(DeadLetters::Discard(all)));
        for line in ["", "list x", "show", "retry", "discard", "discard 1-a -all"] {
            assert!(matches!(parsed(line), Err(Stop::Usage(_))), "{line}");
        }
    }

    #[test]
    fn the_journal_is_looked_at_mended_and_told_what_to_forget() {
        let journal = |line: &str| match parse(&format!("journal {line}")).map(|args| args.command) {
            Ok(Command::Journal(journal)) => Ok(journal),
            Ok(other) => panic!("{other:?}"),
            Err(stop) => Err(stop),
        };
        let dump = |log, from| Ok(Journal::Dump { log, from });
        assert_eq!(journal("verify"), Ok(Journal::Verify { json: false }));
        assert_eq!(journal("verify -json -config /x"), Ok(Journal::Verify { json: true }));
        assert_eq!(journal("dump"), dump(Which::Events, 0));
        assert_eq!(journal("dump -from 7 --log letters"), dump(Which::Letters, 7));
        assert_eq!(journal("repair -dry-run"), Ok(Journal::Repair { dry_run: true }));
        assert_eq!(journal("repair"), Ok(Journal::Repair { dry_run: false }));
        assert_eq!(journal("forget a"), Ok(Journal::Forget("a".to_owned())));
        assert_eq!(journal("rename a b"), Ok(Journal::Rename { old: "a".to_owned(), new: "b".to_owned() }));
        for line in ["", "mend", "dump -log places", "dump -from -1", "forget", "rename a", "verify x"] {
            assert!(matches!(journal(line), Err(Stop::Usage(_))), "{line}");
        }
    }

    #[test]
    fn a_pattern_is_tried_on_the_journal_or_on_a_file() {
        let tried = |line: &str| match parse(&format!("match {line}")).map(|args| args.command) {
            Ok(Command::Match(tried)) => Ok(tried),
            Ok(other) => panic!("{other:?}"),
            Err(stop) => Err(stop),
        };
        let pattern = Match { pattern: "{}".to_owned(), ..Match::default() };
        assert_eq!(tried("-pattern {}"), Ok(pattern.clone()));
        assert_eq!(tried("--pattern {} -from 7"), Ok(Match { from: Some("7".to_owned()), ..pattern.clone() }));
        let one = Match { event: Some("x".to_owned()), file: Some("f".into()), ..pattern };
        assert_eq!(tried("-pattern {} -event x f"), Ok(one));
        for line in ["", "f", "-pattern {} -from 7 f", "-pattern {} f g"] {
            assert!(matches!(tried(line), Err(Stop::Usage(_))), "{line}");
        }
    }

    #[test]
    fn the_demo_is_calm_unless_told_otherwise() {
        let calm = Demo { rate: 5.0, lasts: None, seed: 1, machines: 40, log: None };
        assert_eq!(parse("demo").unwrap().command, Command::Demo(calm));
        let lively = Demo {
            rate: 2.5,
            lasts: Some(std::time::Duration::from_secs(3)),
            seed: 7,
            machines: 2,
            log: Some("x".into()),
        };
        let line = "demo -rate 2.5 --seconds=3 -seed 7 -machines 2 -log x";
        assert_eq!(parse(line).unwrap().command, Command::Demo(lively));
    }

    #[test]
    fn help_ends_with_commit_and_version() {
        for line in ["-h", "-help", "--help", "-config /x -h"] {
            let Err(Stop::Help(text)) = parse(line) else { panic!("{line}") };
            assert!(text.contains("Usage: vmware-event-router"), "{text}");
            for part in [
                "--config <PATH>",
                CONFIG,
                "--verbose",
                "--log-level",
                "--log-json",
                "check",
                "decode",
                "schema",
                "demo",
            ] {
                assert!(text.contains(part), "{part} in {text}");
            }
            let commit = text.find("commit: ").unwrap();
            assert!(commit < text.find("version: ").unwrap());
        }
        assert!(matches!(parse("decode -h"), Err(Stop::Help(text)) if text.contains("--payload")));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (line, part) in [
            ("-confg /x", "--config"),
            ("chek", "check"),
            ("-log-level loud", "loud"),
            ("-verbose=perhaps", "perhaps"),
            ("decode", "FILE"),
            ("decode --instance-uuid x f", "instance-uuid"),
            ("-config", "--config <PATH>"),
            ("-config -verbose", "--config <PATH>"),
            ("check extra", "extra"),
            ("demo -rate 0", "above 0"),
            ("demo -rate NaN", "above 0"),
            ("demo -seconds 0", "seconds"),
            ("demo -machines 0", "machines"),
        ] {
            assert!(matches!(parse(line), Err(Stop::Usage(text)) if text.contains(part)), "{line}: {:?}", parse(line));
        }
    }
}
