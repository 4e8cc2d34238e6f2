//! The command line: one file for each command.

pub mod args;
mod ask;
mod check;
mod decode;
pub mod demo;
pub mod explain;
pub mod journal;
pub mod letters;
pub mod logging;
mod matching;
pub mod replay;
mod run;
mod schema;
pub mod send;
mod simulate;
pub mod tail;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use args::{Args, Command, LogOptions, Stop};
use tracing::Level;

use crate::router::RouterConfig;

/// All went well.
pub const OK: u8 = 0;
/// It failed.
pub const FAILED: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// The configuration is wrong.
pub const CONFIGURATION: u8 = 78;

/// Does what the arguments say; they follow the program's name.
#[must_use]
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::parse(args) {
        Ok(args) => args,
        Err(Stop::Help(text)) => return print(&text),
        Err(Stop::Usage(text)) => {
            complain(&text);
            return USAGE.into();
        }
    };
    // The demo decides by itself where the log goes.
    match args.command {
        Command::Demo(_) => {}
        // What it prints is the answer; only what is wrong is worth another line.
        Command::DeadLetters(_)
        | Command::Explain(_)
        | Command::Journal(_)
        | Command::Match(_)
        | Command::Replay(_)
        | Command::Send(_)
        | Command::Tail(_)
            if args.log.level > Level::WARN =>
        {
            logging::start(LogOptions { level: Level::WARN, ..args.log });
        }
        _ => logging::start(args.log),
    }
    match args.command {
        Command::Run => run::run(&args.config),
        Command::Check { send_test } => check::run(&args.config, send_test),
        Command::Decode(decode) => decode::run(&decode),
        Command::DeadLetters(letters) => letters::run(&args.config, &letters),
        Command::Explain(explain) => explain::run(&args.config, &explain),
        Command::Journal(journal) => journal::run(&args.config, &journal),
        Command::Match(matching) => matching::run(&args.config, &matching),
        Command::Schema => schema::run(),
        Command::Replay(replay) => replay::run(&args.config, &replay),
        Command::Send(send) => send::run(&args.config, &send),
        Command::Tail(tail) => tail::run(&args.config, &tail),
        Command::Simulate(simulate) => simulate::run(*simulate),
        Command::Demo(demo) => demo::run(&demo, args.log),
    }
}

/// The configuration, or the exit code after its problems were told.
fn configuration(path: &Path) -> Result<RouterConfig, ExitCode> {
    RouterConfig::load(path).map_err(|problems| {
        complain(&format!("{problems}\n"));
        CONFIGURATION.into()
    })
}

/// Prints to standard error; if nobody reads that, the exit code still tells.
fn complain(text: &str) {
    drop(std::io::stderr().write_all(text.as_bytes()));
}

/// Prints to standard output; a reader that went away is a failure, not a panic.
fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => OK.into(),
        Err(_) => FAILED.into(),
    }
}
