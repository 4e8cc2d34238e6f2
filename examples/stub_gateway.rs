//! The stub OpenFaaS gateway of the tests as a program, for demonstrations and measurements.
//!
//! ```text
//! cargo run --release --example stub_gateway -- --listen 127.0.0.1:0 --username admin --password secret \
//!     --function echo=VmPoweredOnEvent,VmPoweredOffEvent --function audit.ops=VmRemovedEvent
//! ```
//!
//! The first line says where it listens; then follows a line for each call of
//! a function: time, function, subject and id of the event.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

#[path = "../tests/it/support/gateway.rs"]
mod gateway;

use gateway::{Function, Gateway, Invocation, State};

const USAGE: &str = "usage: stub_gateway [--listen ADDRESS:PORT] [--username NAME] [--password TEXT]
                    [--function NAME[.NAMESPACE]=SUBJECT,SUBJECT...]... [--annotation NAME] [--quiet]

  --listen      where to listen; port 0 is one that the system chooses (default 127.0.0.1:0)
  --username    for /system/* (default admin)
  --password    for /system/* (default secret)
  --function    deploys a function that subscribes to these subjects
  --annotation  the annotation that subscribes (default topic)
  --quiet       prints no line for each call";

struct Options {
    listen: SocketAddr,
    state: State,
    quiet: bool,
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options { listen: SocketAddr::from(([127, 0, 0, 1], 0)), state: State::default(), quiet: false };
    let mut functions = Vec::new();
    let mut annotation = "topic".to_owned();
    while let Some(argument) = arguments.next() {
        let (flag, given) = match argument.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (argument, None),
        };
        let mut value = || given.clone().or_else(|| arguments.next()).ok_or_else(|| format!("{flag} needs a value"));
        match flag.trim_start_matches('-') {
            "h" | "help" => return Ok(None),
            "quiet" => options.quiet = true,
            "listen" => {
                let value = value()?;
                options.listen = value.parse().map_err(|error| format!("--listen {value}: {error}"))?;
            }
            "username" => options.state.username = value()?,
            "password" => options.state.password = value()?,
            "annotation" => annotation = value()?,
            "function" => functions.push(value()?),
            _ => return Err(format!("unknown flag {flag}")),
        }
    }
    for function in functions {
        let (name, topics) = function.split_once('=').unwrap_or((&function, ""));
        let function = Function::new(name);
        options.state.deploy(if topics.is_empty() { function } else { function.annotated(&annotation, topics) });
    }
    Ok(Some(options))
}

fn tell(call: &Invocation) {
    let now = jiff::Timestamp::now();
    let (subject, id) = (call.subject(), call.event_id());
    let text = format!("{now:.6} {} {} {}\n", call.function, subject.escape_debug(), id.escape_debug());
    // Whoever closed our output no longer wants to know.
    drop(std::io::stdout().lock().write_all(text.as_bytes()));
}

async fn run(mut options: Options) -> std::io::Result<()> {
    options.state.keep = 0;
    if !options.quiet {
        options.state.on_call = Some(Arc::new(tell));
    }
    let gateway = Gateway::listen(options.listen, options.state).await?;
    let mut output = std::io::stdout();
    writeln!(output, "listening on {}", gateway.url())?;
    output.flush()?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    for leak in gateway.take_leaks() {
        eprintln!("the password was sent to a function: {leak}");
    }
    Ok(())
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            eprintln!("{wrong}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(run(options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
