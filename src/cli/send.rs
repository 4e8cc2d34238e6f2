//! `send`: one event to one target, to see what it says.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Arg, ArgMatches, value_parser};
use tokio_util::sync::CancellationToken;

use super::args::value;
use super::{FAILED, OK, complain, run};
use crate::attempt::{Delivery, Outcome, Position, Reason, Target};
use crate::event::Event;
use crate::processor;
use crate::router::RouterConfig;
use crate::telemetry::Telemetry;

/// A file has no more.
const MOST: u64 = 16 << 20;

/// How long the processor may take to know its targets.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to send, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The target's name.
    pub target: String,
    /// The processor's name, where there are several.
    pub processor: Option<String>,
    /// The event; `-` is standard input.
    pub file: PathBuf,
}

impl Sample {
    pub(super) fn command() -> clap::Command {
        clap::Command::new("send")
            .about("Send one event to one target, and print what it says; nothing of it is kept")
            .arg(value("target", "NAME", "the target, such as a function").required(true))
            .arg(value("processor", "NAME", "the processor's name, where there are several"))
            .arg(
                Arg::new("file")
                    .value_name("FILE")
                    .help("a CloudEvent in JSON, as tail prints it; - is standard input")
                    .required(true)
                    .value_parser(value_parser!(PathBuf)),
            )
    }

    pub(super) fn from_matches(matches: &ArgMatches) -> Self {
        Self {
            target: matches.get_one::<String>("target").cloned().unwrap_or_default(),
            processor: matches.get_one::<String>("processor").cloned(),
            file: matches.get_one::<PathBuf>("file").cloned().unwrap_or_default(),
        }
    }

    fn event(&self) -> Result<Event, String> {
        let name = self.file.display();
        let read = |mut from: Box<dyn io::Read>| {
            let mut bytes = Vec::new();
            from.by_ref().take(MOST + 1).read_to_end(&mut bytes).map(|_| bytes)
        };
        let bytes = if self.file == Path::new("-") {
            read(Box::new(io::stdin().lock()))
        } else {
            File::open(&self.file).and_then(|file| read(Box::new(file)))
        };
        let bytes = bytes.map_err(|error| format!("{name} cannot be read: {error}"))?;
        if bytes.len() as u64 > MOST {
            return Err(format!("{name} has more than {MOST} bytes"));
        }
        Event::from_json(&bytes).map_err(|error| format!("{name}: {error}"))
    }

    fn processor(&self, config: RouterConfig) -> Result<processor::Config, String> {
        let names: Vec<_> = config.processors.iter().map(|config| Arc::clone(config.name())).collect();
        let mut found = config.processors.into_iter().filter(|config| match &self.processor {
            Some(name) => **config.name() == **name,
            None => true,
        });
        match (found.next(), found.next(), &self.processor) {
            (Some(only), None, _) => Ok(only),
            (_, _, None) => Err(format!("say which processor, with --processor: {}", names.join(", "))),
            (_, _, Some(name)) => {
                Err(format!("there is no processor {name}; the configuration has {}", names.join(", ")))
            }
        }
    }

    async fn send(&self, config: processor::Config, event: Event) -> Result<(Outcome, Duration), String> {
        let telemetry = Telemetry::new();
        let name = Arc::clone(config.name());
        let status = telemetry.processor(config.name(), config.provider(), config.address());
        // What an asynchronous function calls back is nobody's.
        let processor = processor::build(config, Arc::clone(&status), &[0; 32]);
        let stop = CancellationToken::new();
        let keeper = (Arc::clone(&processor), stop.clone());
        tokio::spawn(async move { keeper.0.run(keeper.1).await });
        if tokio::time::timeout(PATIENCE, processor.ready()).await.is_err() {
            return Err(format!("{name} does not say which targets it has"));
        }
        let target = Target::new(&self.target);
        if !processor.routes().has(&target) {
            return Err(format!("{name} has no target {target}"));
        }
        let began = Instant::now();
        let outcome = processor.attempt(&target, &[Delivery { event, position: Position(0), attempt: 1 }]).await.pop();
        stop.cancel();
        Ok((outcome.ok_or_else(|| "the attempt had no outcome".to_owned())?, began.elapsed()))
    }
}

pub(super) fn run(config: &Path, send: &Sample) -> ExitCode {
    let config = match super::configuration(config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    run::runtime(async {
        let sent = async {
            let event = send.event()?;
            let processor = send.processor(config)?;
            send.send(processor, event).await
        };
        let (outcome, took) = match sent.await {
            Ok(sent) => sent,
            Err(why) => {
                complain(&format!("{why}\n"));
                return FAILED.into();
            }
        };
        let (code, what) = told(&send.target, &outcome);
        match super::print(&format!("{what}, after {:.1} ms\n", took.as_secs_f64() * 1e3)) {
            printed if printed == OK.into() => code.into(),
            unread => unread,
        }
    })
}

fn told(target: &str, outcome: &Outcome) -> (u8, String) {
    let said = |what: &str, why: &Reason| {
        let status = why.status.map(|status| format!(", status {status}")).unwrap_or_default();
        (FAILED, format!("{target} {what}{status}: {}", why.text))
    };
    match outcome {
        Outcome::Delivered { status } => {
            let status = status.map(|status| format!(", status {status}")).unwrap_or_default();
            (OK, format!("{target} has it{status}"))
        }
        Outcome::Accepted { .. } => {
            (OK, format!("{target} has accepted it; how that goes is not told to this command"))
        }
        Outcome::Busy { why, .. } => said("is busy, or not there; the router would wait and try again", why),
        Outcome::Failed { why, .. } => said("failed; the router would try again some times", why),
        Outcome::Rejected { why } => said("refuses it; the router would keep it as a dead letter", why),
    }
}
