//! Arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    vmware_event_router::cli::main(std::env::args_os().skip(1))
}
