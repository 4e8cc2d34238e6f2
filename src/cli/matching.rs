//! `match`: what a pattern matches, and why it does not.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, value_parser};
use http::Method;
use serde_json::value::RawValue;

use super::args::value;
use super::ask::{self, NONE, Router, unread};
use super::{FAILED, OK, USAGE, complain};
use crate::admin::api::events::Events;
use crate::event::Event;
use crate::pattern::{Explanation, Pattern};
use crate::processor::event_bridge::as_a_rule_sees;

/// Which pattern, and which events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// The pattern, as JSON.
    pub pattern: String,
    /// From this time or position of the journal on.
    pub from: Option<String>,
    /// The one event that is meant.
    pub event: Option<String>,
    /// The pattern is one of an EventBridge rule.
    pub rule: bool,
    /// Where the events are, if not in the journal; `-` is standard input.
    pub file: Option<PathBuf>,
}

/// What has been seen so far.
#[derive(Default)]
struct Tally {
    events: u64,
    matching: u64,
    /// The one event that there was, for as long as there was one.
    only: Option<Box<RawValue>>,
}

/// Why it goes no further.
enum Ended {
    /// Nobody reads what is printed.
    Unread(io::Error),
    /// In words.
    Failed(String),
    /// The one event that was asked for has been found.
    Found,
}

impl Match {
    pub(super) fn command() -> clap::Command {
        clap::Command::new("match")
            .about("Print the events that a pattern matches, or which part of it fails for one event")
            .arg(value("pattern", "JSON", "the event pattern, such as {\"subject\":[{\"prefix\":\"Vm\"}]}").required(true))
            .arg(value(
                "from",
                "TIME|POSITION",
                "from this time, such as 2026-11-22T10:00:00Z, or position of the journal on; from its beginning unless given",
            ))
            .arg(value("event", "EVENT-ID", "only this event, and which parts of the pattern hold for it"))
            .arg(
                Arg::new("rule")
                    .long("rule")
                    .help("the pattern is one of an EventBridge rule, which sees the event as `detail` of AWS's envelope")
                    .action(ArgAction::SetTrue),
            )
            .arg(
                Arg::new("file")
                    .value_name("FILE")
                    .help("events in JSON, as tail prints them, instead of the journal's; - is standard input")
                    .conflicts_with("from")
                    .value_parser(value_parser!(PathBuf)),
            )
    }

    pub(super) fn from_matches(matches: &ArgMatches) -> Self {
        let text = |name: &str| matches.get_one::<String>(name).cloned();
        Self {
            pattern: text("pattern").unwrap_or_default(),
            from: text("from"),
            event: text("event"),
            rule: matches.get_flag("rule"),
            file: matches.get_one("file").cloned(),
        }
    }

    /// Looks at one event, and prints it if the pattern matches it.
    fn look(
        &self,
        pattern: &Pattern,
        event: Box<RawValue>,
        tally: &mut Tally,
        out: &mut dyn Write,
    ) -> Result<(), Ended> {
        if let Some(id) = &self.event {
            #[derive(serde::Deserialize)]
            struct Named {
                #[serde(default)]
                id: String,
            }
            if serde_json::from_str::<Named>(event.get()).map_or(true, |named| named.id != *id) {
                return Ok(());
            }
        }
        tally.events += 1;
        let matches = if self.rule {
            let event = Event::from_json(event.get().as_bytes()).map_err(|error| Ended::Failed(error.to_string()))?;
            as_a_rule_sees(&event, |envelope| pattern.matches_parts(envelope))
        } else {
            pattern.matches_json(event.get().as_bytes())
        };
        if matches {
            tally.matching += 1;
            if self.event.is_none() {
                // One line, however it was written; strings have no line breaks in JSON.
                let line = event.get().replace(['\n', '\r'], " ");
                writeln!(out, "{line}").map_err(Ended::Unread)?;
            }
        }
        tally.only = (tally.events == 1).then_some(event);
        if self.event.is_some() { Err(Ended::Found) } else { Ok(()) }
    }

    fn file(&self, pattern: &Pattern, file: &Path, tally: &mut Tally, out: &mut dyn Write) -> Result<(), Ended> {
        let failed = |error: &dyn std::fmt::Display| Ended::Failed(format!("{}: {error}", file.display()));
        let read: Box<dyn Read> = if file == Path::new("-") {
            Box::new(io::stdin().lock())
        } else {
            Box::new(File::open(file).map_err(|error| failed(&error))?)
        };
        for value in serde_json::Deserializer::from_reader(BufReader::new(read)).into_iter::<Box<RawValue>>() {
            let value = value.map_err(|error| failed(&format!("this is no JSON: {error}")))?;
            let events = match value.get().as_bytes().first() {
                Some(b'[') => serde_json::from_str(value.get()).map_err(|error| failed(&error))?,
                _ => vec![value],
            };
            for event in events {
                if !event.get().starts_with('{') {
                    return Err(failed(&format!("after {} events comes what is no JSON object", tally.events)));
                }
                self.look(pattern, event, tally, out)?;
            }
        }
        Ok(())
    }

    async fn journal(
        &self,
        pattern: &Pattern,
        router: &Router,
        tally: &mut Tally,
        out: &mut dyn Write,
    ) -> Result<(), Ended> {
        let mut after = self.from.is_none().then(|| "0".to_owned());
        loop {
            let from = self.from.as_deref().filter(|_| after.is_none());
            let path = ask::query("events", &[("from", from), ("after", after.as_deref())]);
            let Events { events, next, newest, let_go } =
                router.ask(Method::GET, &path, NONE).await.map_err(Ended::Failed)?;
            if let_go && from.is_some() {
                complain("some events were let go before: they are older than what is kept\n");
            }
            let done = events.is_empty() && next >= newest;
            for placed in events {
                self.look(pattern, placed.event, tally, out)?;
            }
            if done {
                return Ok(());
            }
            after = Some(next.to_string());
        }
    }

    fn explain(&self, pattern: &Pattern, event: &RawValue) -> Explanation {
        let json = event.get().as_bytes();
        match Event::from_json(json) {
            Ok(event) if self.rule => as_a_rule_sees(&event, |envelope| pattern.explain_parts(envelope)),
            _ => pattern.explain(json),
        }
    }

    /// Says what came of it. Whether anything matched.
    fn conclude(&self, pattern: &Pattern, tally: &Tally, out: &mut dyn Write) -> io::Result<bool> {
        out.flush()?;
        let Tally { events, matching, only } = tally;
        match (&self.event, only) {
            (Some(id), None) => complain(&format!("there is no event {id}\n")),
            (Some(_), Some(event)) => {
                for way in self.explain(pattern, event).ways {
                    writeln!(out, "{}", if way.matches { "it matches:" } else { "it does not match:" })?;
                    for field in way.fields {
                        writeln!(out, "  {}  {field}", if field.holds { "holds" } else { "FAILS" })?;
                    }
                }
                out.flush()?;
            }
            (None, Some(event)) if *matching == 0 => {
                complain(&format!("it does not match: {}\n", self.explain(pattern, event)));
            }
            _ => complain(&format!("{matching} of {events} events match\n")),
        }
        Ok(*matching > 0)
    }
}

/// As grep has it, success means that something matches.
pub(super) fn run(config: &Path, this: &Match) -> ExitCode {
    let pattern = match Pattern::parse(&this.pattern) {
        Ok(pattern) => pattern,
        Err(error) => {
            complain(&format!("-pattern: {error}\n"));
            return USAGE.into();
        }
    };
    let conclude = |looked: Result<(), Ended>, tally: &Tally, out: &mut dyn Write| {
        let concluded = match looked {
            Ok(()) | Err(Ended::Found) => this.conclude(&pattern, tally, out),
            Err(Ended::Unread(error)) => Err(error),
            Err(Ended::Failed(why)) => return Err(why),
        };
        match concluded {
            // Who read it has had enough, as head has.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
            concluded => concluded.map_err(unread),
        }
    };
    let mut tally = Tally::default();
    if let Some(file) = &this.file {
        let mut out = io::BufWriter::new(io::stdout().lock());
        let looked = this.file(&pattern, file, &mut tally, &mut out);
        return match conclude(looked, &tally, &mut out) {
            Ok(true) => OK.into(),
            Ok(false) => FAILED.into(),
            Err(why) => {
                complain(&format!("{why}\n"));
                FAILED.into()
            }
        };
    }
    ask::with(config, async |router| {
        let mut out = io::BufWriter::new(io::stdout());
        let looked = this.journal(&pattern, router, &mut tally, &mut out).await;
        conclude(looked, &tally, &mut out)
    })
}
