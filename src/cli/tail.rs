//! `tail`: events as they come.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches};
use http::Method;

use super::args::value;
use super::ask::{self, NONE, Router, unread};
use super::complain;
use crate::admin::api::events::Events;

/// Which events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// From this time or position on; none: those that come from now on.
    pub from: Option<String>,
    /// Those that match this.
    pub pattern: Option<String>,
    /// Those of this stream.
    pub stream: Option<String>,
    /// End behind the newest event.
    pub no_follow: bool,
}

/// The arguments that say where to begin and which events are meant.
pub(super) fn meant(command: clap::Command) -> clap::Command {
    command
        .arg(value("from", "TIME|POSITION", "from this time, such as 2026-11-22T10:00:00Z, or journal position on"))
        .arg(value(
            "pattern",
            "JSON",
            "only events that match this event pattern, such as {\"subject\":[\"VmPoweredOnEvent\"]}",
        ))
}

impl Tail {
    pub(super) fn command() -> clap::Command {
        let no_follow = Arg::new("no-follow").long("no-follow").help("end behind the newest event");
        meant(clap::Command::new("tail").about("Print events as they come, one JSON object a line"))
            .arg(value("stream", "NAME", "only events of this stream"))
            .arg(no_follow.action(ArgAction::SetTrue))
    }

    pub(super) fn from_matches(matches: &ArgMatches) -> Self {
        let text = |name: &str| matches.get_one::<String>(name).cloned();
        Self {
            from: text("from"),
            pattern: text("pattern"),
            stream: text("stream"),
            no_follow: matches.get_flag("no-follow"),
        }
    }
}

pub(super) fn run(config: &Path, tail: &Tail) -> ExitCode {
    ask::with(config, async |router| match tail.run(router).await {
        // Who read it has had enough, as head has.
        Err(Ended::Unread(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        Err(Ended::Unread(error)) => Err(unread(error)),
        Err(Ended::Failed(why)) => Err(why),
        Ok(()) => Ok(true),
    })
}

enum Ended {
    Unread(io::Error),
    Failed(String),
}

impl Tail {
    async fn run(&self, router: &Router) -> Result<(), Ended> {
        let follow = !self.no_follow && !matches!(router, Router::Stopped(_));
        let mut after: Option<String> = None;
        let mut told = false;
        loop {
            let path = ask::query(
                "events",
                &[
                    ("from", self.from.as_deref().filter(|_| after.is_none())),
                    ("after", after.as_deref()),
                    ("pattern", self.pattern.as_deref()),
                    ("stream", self.stream.as_deref()),
                    ("wait", follow.then_some("1")),
                ],
            );
            let Events { events, next, newest, let_go } =
                router.ask(Method::GET, &path, NONE).await.map_err(Ended::Failed)?;
            if let_go && !std::mem::replace(&mut told, true) {
                complain("some events were let go before they could be printed: they are older than what is kept\n");
            }
            {
                let mut out = io::stdout().lock();
                for placed in &events {
                    writeln!(out, "{}", placed.event).map_err(Ended::Unread)?;
                }
                out.flush().map_err(Ended::Unread)?;
            }
            if !follow && events.is_empty() && next >= newest {
                return Ok(());
            }
            after = Some(next.to_string());
        }
    }
}
