//! `journal`: whether the folder is whole, what it holds, and what to do about either.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, value_parser};
use jiff::Timestamp;

use super::args::value;
use super::{FAILED, OK, complain};
use crate::journal::Configured;
use crate::journal::config::Config;
use crate::journal::embedded::Settings;
use crate::journal::embedded::dormant::{self, Moved};
use crate::journal::embedded::inspect::{self, Damage, Verified, Which};
use crate::journal::embedded::repair::{Gap, Repaired, repair};
use crate::router::RouterConfig;

/// What to do with the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Journal {
    /// Read all of it.
    Verify {
        /// Say it in JSON.
        json: bool,
    },
    /// Print its records.
    Dump {
        /// Of this log.
        log: Which,
        /// From this position on.
        from: u64,
    },
    /// Cut damage out.
    Repair {
        /// Only say what would be done.
        dry_run: bool,
    },
    /// Let go of what is known of a stream or processor that is not configured.
    Forget(String),
    /// Give it to another one.
    Rename {
        /// Who has it now.
        old: String,
        /// Who shall have it.
        new: String,
    },
}

impl Journal {
    pub(super) fn command() -> clap::Command {
        let json = Arg::new("json").long("json").help("print one JSON object").action(ArgAction::SetTrue);
        let names = Which::ALL.map(Which::name);
        clap::Command::new("journal")
            .about("Look whether the journal's folder is whole, what it holds, and mend it")
            .subcommand_required(true)
            .subcommand(
                clap::Command::new("verify")
                    .about("Read all of it; ends with 1 if something is damaged. The router may be running")
                    .arg(json),
            )
            .subcommand(
                clap::Command::new("dump")
                    .about("Print its records, one JSON object a line. The router may be running")
                    .arg(value("log", "LOG", "which log").default_value("events").value_parser(names))
                    .arg(
                        value("from", "POSITION", "from this position on")
                            .default_value("0")
                            .value_parser(value_parser!(u64)),
                    ),
            )
            .subcommand(
                clap::Command::new("repair")
                    .about("Cut out what is damaged, after putting it aside, and have it read from vCenter again")
                    .arg(
                        Arg::new("dry-run")
                            .long("dry-run")
                            .help("only say what would be done")
                            .action(ArgAction::SetTrue),
                    ),
            )
            .subcommand(
                clap::Command::new("forget")
                    .about("Let go of what is known of a stream or processor that is not configured any more")
                    .arg(Arg::new("name").value_name("NAME").help("as verify gives it").required(true)),
            )
            .subcommand(
                clap::Command::new("rename")
                    .about("Give what is known of a stream or processor that is not configured any more to another one")
                    .arg(Arg::new("old").value_name("OLD").help("as verify gives it").required(true))
                    .arg(Arg::new("new").value_name("NEW").help("as the configuration gives it").required(true)),
            )
    }

    pub(super) fn from_matches(matches: &ArgMatches) -> Self {
        let text = |matches: &ArgMatches, name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
        match matches.subcommand() {
            Some(("dump", matches)) => {
                let name = matches.get_one::<String>("log");
                let log = Which::ALL.into_iter().find(|log| name.is_some_and(|name| name == log.name()));
                let from = matches.get_one::<u64>("from").copied().unwrap_or_default();
                Self::Dump { log: log.unwrap_or(Which::Events), from }
            }
            Some(("repair", matches)) => Self::Repair { dry_run: matches.get_flag("dry-run") },
            Some(("forget", matches)) => Self::Forget(text(matches, "name")),
            Some(("rename", matches)) => Self::Rename { old: text(matches, "old"), new: text(matches, "new") },
            Some((_, matches)) => Self::Verify { json: matches.get_flag("json") },
            None => Self::Verify { json: false },
        }
    }

    /// Whether all is well.
    fn run(&self, config: &RouterConfig, out: &mut impl Write) -> Result<bool, String> {
        let (folder, settings) = folder(config)?;
        let configured = config.configured();
        match self {
            Self::Verify { json } => {
                let found = inspect::verify(&folder, &configured).map_err(|error| error.to_string())?;
                let printed = if *json {
                    writeln!(out, "{}", serde_json::to_string(&found).unwrap_or_default())
                } else {
                    print(&found, out)
                };
                printed.and_then(|()| out.flush()).map_err(unread)?;
                Ok(found.whole)
            }
            Self::Dump { log, from } => {
                let mut printed = Ok(());
                inspect::dump(&folder, *log, *from, &mut |line| {
                    printed = writeln!(out, "{line}");
                    printed.is_ok()
                })
                .map_err(|error| error.to_string())?;
                printed.and_then(|()| out.flush()).map_err(unread)?;
                Ok(true)
            }
            Self::Repair { dry_run } => {
                let gap = |gap: &Gap| {
                    let stream = config.streams.iter().find(|stream| *stream.name() == gap.stream)?;
                    Some(stream.gap(gap.instance, gap.from, gap.to, &gap.reason))
                };
                let repaired = repair(&folder, &settings, &configured, &gap, *dry_run);
                let repaired = repaired.map_err(|error| error.to_string())?;
                print_repaired(&repaired, *dry_run, out).and_then(|()| out.flush()).map_err(unread)?;
                Ok(true)
            }
            Self::Forget(name) => {
                not_configured(config, name)?;
                let moved = dormant::forget(&folder, &settings, name).map_err(|error| error.to_string())?;
                print_moved(moved, name, "is forgotten", out)
            }
            Self::Rename { old, new } => {
                not_configured(config, old)?;
                let moved = dormant::rename(&folder, &settings, old, new).map_err(|error| error.to_string())?;
                print_moved(moved, old, &format!("is that of {new} now"), out)
            }
        }
    }
}

/// What is at work is left alone.
fn not_configured(config: &RouterConfig, name: &str) -> Result<(), String> {
    let Configured { streams, processors } = config.configured();
    if streams.iter().chain(&processors).any(|configured| **configured == *name) {
        return Err(format!("{name} is configured: only what is not configured any more can be forgotten or renamed"));
    }
    Ok(())
}

fn print_moved(moved: Moved, name: &str, what: &str, out: &mut impl Write) -> Result<bool, String> {
    if moved.is_nothing() {
        return Err(format!("the journal knows nothing of {name}; journal verify says what it knows"));
    }
    let mut print = |line: String| writeln!(out, "{line}").map_err(unread);
    if moved.checkpoint {
        print(format!("the checkpoint of {name} {what}"))?;
    }
    if moved.place {
        print(format!("the place of {name} {what}"))?;
    }
    match moved.letters {
        0 => {}
        1 => print(format!("a dead letter of {name} {what}"))?,
        letters => print(format!("each of {letters} dead letters of {name} {what}"))?,
    }
    out.flush().map_err(unread)?;
    Ok(true)
}

fn print_repaired(repaired: &Repaired, dry: bool, out: &mut impl Write) -> io::Result<()> {
    if repaired.is_nothing() {
        return writeln!(out, "nothing is damaged");
    }
    if let Some(aside) = &repaired.aside {
        writeln!(out, "the damaged files are in {}", aside.display())?;
    }
    for damage in &repaired.damage {
        writeln!(out, "cut out: {}", line(damage))?;
    }
    for files in &repaired.places {
        writeln!(out, "given up: places/{files}.*.cursor; where that processor was is not known")?;
    }
    for name in &repaired.anew {
        writeln!(
            out,
            "{name} begins at the oldest event that is kept; what is known to be delivered is not sent again"
        )?;
    }
    for Gap { stream, from, to, again, twice, .. } in &repaired.gaps {
        let time = |micros| Timestamp::from_microsecond(micros).map(|time| time.to_string()).unwrap_or_default();
        let (from, to) = (time(*from), time(*to));
        writeln!(out, "{stream} has a gap from {from} to {to}; an event with the subject EventGap tells of it")?;
        if *again {
            writeln!(out, "{stream} is rewound: it reads again what its vCenter has from {from} on")?;
        } else {
            writeln!(out, "{stream} cannot read that again: it came from another vCenter")?;
        }
        if *twice {
            writeln!(
                out,
                "{stream} has journaled more since than it remembers: some events come twice, with the same id"
            )?;
        }
    }
    if repaired.placeless {
        writeln!(out, "where streams were is not known any more: they begin where their option begin says")?;
    } else if repaired.gaps.is_empty() {
        writeln!(out, "no stream misses anything that somebody waits for")?;
    }
    if dry { writeln!(out, "so it would be: nothing was changed") } else { Ok(()) }
}

fn unread(error: io::Error) -> String {
    format!("nobody reads what is printed: {error}")
}

/// Where the journal of this configuration is.
fn folder(config: &RouterConfig) -> Result<(PathBuf, Settings), String> {
    let Config::Embedded { folder: Some(folder), settings } = config.journal.clone().found() else {
        return Err("the journal is in memory: it ends with the router, and there is no folder to look at".to_owned());
    };
    if !folder.exists() {
        return Err(format!("there is no journal in {}: no router has run with this configuration", folder.display()));
    }
    Ok((folder, settings))
}

pub(super) fn run(path: &Path, command: &Journal) -> ExitCode {
    let config = match super::configuration(path) {
        Ok(config) => config,
        Err(code) => return code,
    };
    match command.run(&config, &mut io::BufWriter::new(io::stdout().lock())) {
        Ok(true) => OK.into(),
        Ok(false) => FAILED.into(),
        Err(why) => {
            complain(&format!("{why}\n"));
            FAILED.into()
        }
    }
}

/// What is damaged, in a line.
fn line(damage: &Damage) -> String {
    let Damage { file, at, to, lost, why } = damage;
    let lost = match lost {
        Some((first, last)) if first == last => format!("position {first} is lost"),
        Some((first, last)) => format!("positions {first} to {last} are lost"),
        None => "no record is lost".to_owned(),
    };
    format!("{file}, bytes {at} to {to}: {why}; {lost}")
}

fn print(found: &Verified, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "journal {}", found.folder.display())?;
    if let Some(owner) = &found.used_by {
        writeln!(out, "  in use by {owner}")?;
    }
    for log in &found.logs {
        let span = log.first.zip(log.last).map(|(first, last)| format!(", positions {first} to {last}"));
        let (segments, records, bytes) = (log.segments, log.records, log.bytes);
        writeln!(
            out,
            "\n{}\n  {segments} segments, {records} records{}, {bytes} bytes",
            log.log,
            span.unwrap_or_default()
        )?;
        for torn in &log.torn {
            let what = "what was being written when the router ended, and nobody was told of";
            writeln!(out, "  ok       {}, from byte {} on: {what}", torn.file, torn.at)?;
        }
        for file in &log.unused {
            writeln!(out, "  ok       {file} is not in use")?;
        }
        for damage in &log.damage {
            writeln!(out, "  damaged  {}", line(damage))?;
        }
        if log.log == Which::Events.name() && !log.damage.is_empty() {
            let names: Vec<_> = found.streams.iter().map(|stream| stream.name.as_str()).collect();
            writeln!(out, "           what is lost may be events of {}", names.join(", "))?;
        }
    }
    writeln!(out, "\nplaces\n  {} processors", found.processors.len())?;
    for files in &found.places {
        writeln!(out, "  damaged  {files}: where a processor was is not known")?;
    }
    for stream in &found.streams {
        let dormant = if stream.dormant { "  dormant, since it is not configured" } else { "" };
        writeln!(out, "  stream     {}, vCenter {}{dormant}", stream.name, stream.instance)?;
    }
    for processor in &found.processors {
        let place = processor.settled.map(|at| format!(", settled through {at}")).unwrap_or_default();
        let letters =
            if processor.letters > 0 { format!(", {} dead letters", processor.letters) } else { String::new() };
        let dormant = if processor.dormant { "  dormant, since it is not configured" } else { "" };
        writeln!(out, "  processor  {}{place}{letters}{dormant}", processor.name)?;
    }
    if found.whole {
        writeln!(out, "\nall is whole")
    } else {
        writeln!(out, "\nsomething is damaged: stop the router, and run vmware-event-router journal repair")
    }
}
