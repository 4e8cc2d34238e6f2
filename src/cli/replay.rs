//! `replay`: deliver a part of the journal again.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches};
use http::Method;

use super::args::value;
use super::ask::{self, NONE, Router, unread};
use super::complain;
use crate::admin::api::replay::{Counted, Part, Replay, Wanted};

/// What to do about replays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replays {
    /// Begin one.
    Begin {
        /// Of what.
        wanted: Wanted,
        /// Only count what it would send.
        dry_run: bool,
    },
    /// Print a line for each.
    List,
    /// End one.
    Cancel(String),
}

impl Replays {
    pub(super) fn command() -> clap::Command {
        let flag =
            |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help).action(ArgAction::SetTrue);
        super::tail::meant(clap::Command::new("replay").about(
            "Have a processor deliver a part of the journal again, beside what it delivers anyway; goes on after a restart",
        ))
        .arg(value("processor", "NAME", "the processor's name"))
        .arg(value("target", "NAME", "only to this target, such as a function"))
        .arg(value("to", "TIME|POSITION", "up to this time, or journal position; without it, up to the newest event"))
        .arg(flag("dry-run", "only count what would be sent").conflicts_with_all(["list", "cancel"]))
        .arg(flag("list", "print a line for each replay that is under way"))
        .arg(value("cancel", "ID", "end this one; what it has not sent yet it will not send"))
        .group(ArgGroup::new("what").args(["processor", "list", "cancel"]).required(true))
    }

    pub(super) fn from_matches(matches: &ArgMatches) -> Self {
        let text = |name: &str| matches.get_one::<String>(name).cloned();
        if matches.get_flag("list") {
            return Self::List;
        }
        if let Some(id) = text("cancel") {
            return Self::Cancel(id);
        }
        let wanted = Wanted {
            processor: text("processor").unwrap_or_default(),
            target: text("target"),
            pattern: text("pattern"),
            from: text("from"),
            to: text("to"),
        };
        Self::Begin { wanted, dry_run: matches.get_flag("dry-run") }
    }
}

pub(super) fn run(config: &Path, command: &Replays) -> ExitCode {
    ask::with(config, async |router| command.run(router, &mut io::stdout().lock()).await)
}

impl Replays {
    async fn run(&self, router: &Router, out: &mut impl Write) -> Result<bool, String> {
        match self {
            Self::Begin { wanted, dry_run: false } => {
                let Replay { id, part, let_go, .. } = router.ask(Method::POST, "replays", Some(wanted)).await?;
                let Part { processor, after, to, .. } = part;
                if let_go {
                    say_let_go(after);
                }
                writeln!(out, "{id}  {processor} delivers positions {} to {to} again", after + 1).map_err(unread)?;
            }
            Self::Begin { wanted, dry_run: true } => {
                let (events, targets) = count(router, wanted.clone()).await?;
                for (target, events) in targets {
                    writeln!(out, "{events}  {target}").map_err(unread)?;
                }
                writeln!(out, "{events} events would be sent").map_err(unread)?;
            }
            Self::List => {
                let replays: Vec<Replay> = router.ask(Method::GET, "replays", NONE).await?;
                for replay in replays {
                    writeln!(out, "{}", line(&replay)).map_err(unread)?;
                }
            }
            Self::Cancel(id) => {
                let id: String = router.ask(Method::DELETE, &format!("replays/{id}"), NONE).await?;
                writeln!(out, "{id} ends").map_err(unread)?;
            }
        }
        out.flush().map_err(unread).map(|()| true)
    }
}

fn say_let_go(after: u64) {
    complain(&format!(
        "the journal has nothing before position {}: what came earlier, if anything did, is left out\n",
        after + 1
    ));
}

/// How many events would be sent, and to whom; asks as often as it takes.
async fn count(router: &Router, mut wanted: Wanted) -> Result<(u64, BTreeMap<String, u64>), String> {
    let (mut events, mut targets, mut told) = (0, BTreeMap::new(), false);
    loop {
        let counted: Counted = router.ask(Method::POST, "replays/count", Some(&wanted)).await?;
        if counted.let_go && !std::mem::replace(&mut told, true) {
            say_let_go(counted.after);
        }
        events += counted.events;
        for (target, events) in counted.targets {
            *targets.entry(target).or_default() += events;
        }
        if counted.next >= counted.to {
            return Ok((events, targets));
        }
        // What comes meanwhile is not meant.
        (wanted.from, wanted.to) = (Some((counted.next + 1).to_string()), Some(counted.to.to_string()));
    }
}

/// A replay in a line: what it is called, whose it is, where it is, and what came of it.
fn line(replay: &Replay) -> String {
    let Replay { id, part, done, delivered, dead_letters, let_go: _ } = replay;
    let Part { processor, target, pattern, after, to } = part;
    let target = target.as_ref().map(|target| format!("  only {target}")).unwrap_or_default();
    let pattern = pattern.as_ref().map(|pattern| format!("  {pattern}")).unwrap_or_default();
    let (all, done) = (to - after, done.clamp(after, to) - after);
    format!(
        "{id}  {processor}{target}  positions {} to {to}, {done} of {all} done  {delivered} delivered, {dead_letters} dead letters{pattern}",
        after + 1
    )
}
