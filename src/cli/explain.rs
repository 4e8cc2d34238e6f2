//! `explain`: what became of an event.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches};
use http::Method;

use super::ask::{self, NONE, unread};
use crate::admin::api::explain::{Explanation, Processor, State, Target};

/// Which event, and how to say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explain {
    /// The event's id.
    pub id: String,
    /// Print one JSON object.
    pub json: bool,
}

impl Explain {
    pub(super) fn command() -> clap::Command {
        clap::Command::new("explain")
            .about("Say what became of an event at every processor and target, and why")
            .arg(Arg::new("id").value_name("EVENT-ID").help("the event's id").required(true))
            .arg(Arg::new("json").long("json").help("print one JSON object").action(ArgAction::SetTrue))
    }

    pub(super) fn from_matches(matches: &ArgMatches) -> Self {
        Self { id: matches.get_one::<String>("id").cloned().unwrap_or_default(), json: matches.get_flag("json") }
    }
}

pub(super) fn run(config: &Path, explain: &Explain) -> ExitCode {
    ask::with(config, async |router| {
        let path = ask::query("explain", &[("id", Some(&explain.id))]);
        let mut out = io::stdout().lock();
        if explain.json {
            let text = router.text(Method::GET, &path, NONE).await?;
            writeln!(out, "{text}").map_err(unread)?;
        } else {
            let explanation: Explanation = router.ask(Method::GET, &path, NONE).await?;
            print(&explanation, &mut out).map_err(unread)?;
        }
        out.flush().map_err(unread).map(|()| true)
    })
}

fn print(explanation: &Explanation, out: &mut impl Write) -> io::Result<()> {
    let Explanation { event_id, kind, subject, stream, time, position, journaled, processors } = explanation;
    let what = if subject.is_empty() { kind } else { subject };
    writeln!(out, "{what} {event_id}")?;
    writeln!(out, "  of {stream}, happened at {time}")?;
    match journaled {
        Some(at) => writeln!(out, "  journaled at {at}, position {position}")?,
        None => {
            writeln!(out, "  is not in the journal any more (it was position {position}): only dead letters are known")?
        }
    }
    for Processor { name, note, targets } in processors {
        writeln!(out, "\n{name}")?;
        for target in targets {
            writeln!(out, "  {}", line(target))?;
        }
        if let Some(note) = note {
            writeln!(out, "  {note}")?;
        }
    }
    Ok(())
}

fn line(target: &Target) -> String {
    let Target { target, state, attempts, status, reason, at, letter } = target;
    let state = match state {
        State::Delivered => "delivered",
        State::DeadLetter => "dead letter",
        State::Discarded => "was a dead letter, is none any more",
        State::Unsubscribed => "not delivered, its target is gone",
        State::Owed => "owed",
    };
    let letter = letter.as_ref().map(|letter| format!(" {letter}")).unwrap_or_default();
    let status = status.map(|status| format!(", status {status}")).unwrap_or_default();
    let tries = match attempts {
        0 => ", not tried yet".to_owned(),
        1 => ", 1 attempt".to_owned(),
        many => format!(", {many} attempts"),
    };
    let at = at.as_ref().map(|at| format!(", at {at}")).unwrap_or_default();
    let reason = reason.as_ref().map(|reason| format!(": {}", reason.replace(['\n', '\r'], " "))).unwrap_or_default();
    format!("{target}  {state}{letter}{status}{tries}{at}{reason}")
}
