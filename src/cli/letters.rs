//! `dead-letters`: what could not be delivered, to be looked at, sent again, or let go.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches};
use http::Method;
use jiff::Timestamp;
use serde_json::Value;

use super::args::value;
use super::ask::{self, NONE, Router, unread};
use crate::admin::api::{Discarded, Letter, Letters, Outcome, Page, Retried};

/// So many are named in one call.
const CHUNK: usize = 100;

/// Which letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Which {
    /// These.
    pub ids: Vec<String>,
    /// All, or all of a processor, of a target.
    pub all: bool,
    /// The processor's name.
    pub processor: Option<String>,
    /// The target's name.
    pub target: Option<String>,
}

/// What to do with letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadLetters {
    /// Print a line for each.
    List {
        /// Which.
        which: Which,
        /// One JSON object a line.
        json: bool,
    },
    /// Print one, with its event.
    Show(String),
    /// Send them again.
    Retry(Which),
    /// Let them go.
    Discard(Which),
}

fn filters(command: clap::Command) -> clap::Command {
    command.arg(value("processor", "NAME", "only letters of this processor")).arg(value(
        "target",
        "NAME",
        "only letters for this target, such as a function",
    ))
}

fn named(command: clap::Command) -> clap::Command {
    let all = Arg::new("all").long("all").help("all letters, or all that the filters leave").action(ArgAction::SetTrue);
    filters(command)
        .arg(
            Arg::new("ids")
                .value_name("ID")
                .help("letters, as list names them")
                .num_args(0..)
                .required_unless_present("all"),
        )
        .arg(all.conflicts_with("ids"))
}

impl DeadLetters {
    pub(super) fn command() -> clap::Command {
        let json = Arg::new("json").long("json").help("one JSON object a line").action(ArgAction::SetTrue);
        clap::Command::new("dead-letters")
            .about("Look at events that could not be delivered, send them again, or let them go")
            .subcommand_required(true)
            .subcommand(filters(clap::Command::new("list").about("Print a line for each")).arg(json))
            .subcommand(
                clap::Command::new("show")
                    .about("Print one, with its event")
                    .arg(Arg::new("id").value_name("ID").help("a letter, as list names it").required(true)),
            )
            .subcommand(named(clap::Command::new("retry").about("Send them again; they stay until they have arrived")))
            .subcommand(named(clap::Command::new("discard").about("Let them go, for good")))
    }

    pub(super) fn from_matches(matches: &ArgMatches) -> Self {
        let text = |matches: &ArgMatches, name: &str| matches.get_one::<String>(name).cloned();
        let which = |matches: &ArgMatches| {
            let ids = matches.try_get_many::<String>("ids").ok().flatten().into_iter().flatten().cloned().collect();
            let all = matches.try_get_one::<bool>("all").ok().flatten().copied().unwrap_or(true);
            Which { ids, all, processor: text(matches, "processor"), target: text(matches, "target") }
        };
        match matches.subcommand() {
            Some(("show", matches)) => Self::Show(text(matches, "id").unwrap_or_default()),
            Some(("retry", matches)) => Self::Retry(which(matches)),
            Some(("discard", matches)) => Self::Discard(which(matches)),
            Some((_, matches)) => Self::List { which: which(matches), json: matches.get_flag("json") },
            None => Self::List { which: Which::default(), json: false },
        }
    }
}

impl Which {
    fn admits(&self, letter: &Letter) -> bool {
        let is = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|wanted| wanted == is);
        is(&self.processor, &letter.processor) && is(&self.target, &letter.target)
    }
}

pub(super) fn run(config: &Path, command: &DeadLetters) -> ExitCode {
    ask::with(config, async |router| command.run(router, &mut io::stdout().lock()).await)
}

impl DeadLetters {
    /// Whether all went well.
    async fn run(&self, router: &Router, out: &mut impl Write) -> Result<bool, String> {
        match self {
            Self::List { which, json } => {
                let mut after = 0;
                loop {
                    let Page { letters, next } = page(router, after).await?;
                    if letters.is_empty() {
                        return out.flush().map_err(unread).map(|()| true);
                    }
                    for letter in letters.iter().filter(|letter| which.admits(letter)) {
                        let line = if *json { serde_json::to_string(letter).unwrap_or_default() } else { line(letter) };
                        writeln!(out, "{line}").map_err(unread)?;
                    }
                    after = next;
                }
            }
            Self::Show(id) => {
                let text = router.text(Method::GET, &format!("dead-letters/{id}"), NONE).await?;
                let shown: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
                writeln!(out, "{shown:#}").and_then(|()| out.flush()).map_err(unread)?;
                Ok(true)
            }
            Self::Retry(which) => {
                let mut well = true;
                for letters in chosen(router, which).await?.chunks(CHUNK) {
                    let body = Letters { letters: letters.to_vec() };
                    let done: Vec<Outcome> = router.ask(Method::POST, "dead-letters/retry", Some(&body)).await?;
                    for Outcome { id, outcome, reason } in done {
                        let what = match outcome {
                            Retried::Delivered => "delivered",
                            Retried::Kept => "failed again",
                            Retried::Trying => "is being tried",
                            Retried::NoTarget => "its target is not there",
                            Retried::TooMany => "is being tried, or too many are: come again later",
                            Retried::Unknown => "there is no such letter",
                        };
                        well &= matches!(outcome, Retried::Delivered | Retried::Trying);
                        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                        writeln!(out, "{id} {what}{reason}").map_err(unread)?;
                    }
                }
                out.flush().map_err(unread)?;
                Ok(well)
            }
            Self::Discard(which) => {
                let (mut meant, mut gone) = (0, 0);
                for letters in chosen(router, which).await?.chunks(CHUNK) {
                    let body = Letters { letters: letters.to_vec() };
                    let Discarded { discarded } = router.ask(Method::POST, "dead-letters/discard", Some(&body)).await?;
                    meant += letters.len();
                    gone += discarded;
                }
                writeln!(out, "{gone} discarded").and_then(|()| out.flush()).map_err(unread)?;
                Ok(gone == meant)
            }
        }
    }
}

async fn page(router: &Router, after: u64) -> Result<Page, String> {
    router.ask(Method::GET, &format!("dead-letters?after={after}"), NONE).await
}

/// The names of the letters that are meant.
async fn chosen(router: &Router, which: &Which) -> Result<Vec<String>, String> {
    if !which.ids.is_empty() {
        return Ok(which.ids.clone());
    }
    let (mut after, mut chosen) = (0, Vec::new());
    loop {
        let Page { letters, next } = page(router, after).await?;
        if letters.is_empty() {
            return Ok(chosen);
        }
        chosen.extend(letters.into_iter().filter(|letter| which.admits(letter)).map(|letter| letter.id));
        after = next;
    }
}

/// A letter in a line: processor, target, event, subject, reason, attempts, age.
fn line(letter: &Letter) -> String {
    let since = letter.since.parse().unwrap_or(Timestamp::UNIX_EPOCH);
    let age = Duration::try_from(Timestamp::now().duration_since(since)).unwrap_or_default();
    let Letter { id, processor, target, event_id, subject, reason, attempts, .. } = letter;
    let status = letter.status.map(|status| format!("{status} ")).unwrap_or_default();
    let reason = reason.replace(['\n', '\r'], " ");
    let attempts = if *attempts == 1 { "1 attempt".to_owned() } else { format!("{attempts} attempts") };
    format!("{id}  {processor}  {target}  {event_id}  {subject}  {status}{reason}  {attempts}  {}", ago(age))
}

fn ago(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
