//! The command line: one file for each command.

pub mod args;
mod check;
mod decode;
pub mod logging;
mod run;
mod schema;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use args::{Args, Command, Stop};

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
            eprint!("{text}");
            return USAGE.into();
        }
    };
    logging::start(args.log);
    match args.command {
        Command::Run => run::run(&args.config),
        Command::Check => check::run(&args.config),
        Command::Decode(decode) => decode::run(&decode),
        Command::Schema => schema::run(),
    }
}

/// Prints to standard output; a reader that went away is a failure, not a panic.
fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => OK.into(),
        Err(_) => FAILED.into(),
    }
}
