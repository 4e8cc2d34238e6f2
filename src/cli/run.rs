//! The router itself.

use std::path::Path;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{FAILED, OK};
use crate::router::Router;

pub(super) fn run(config: &Path) -> ExitCode {
    let mut config = match super::configuration(config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    runtime(async {
        let stop = CancellationToken::new();
        match on_signal(stop.clone(), || {}) {
            Ok(task) => tokio::spawn(task),
            Err(error) => {
                error!(%error, "signals cannot be received");
                return FAILED.into();
            }
        };
        info!(version = super::args::VERSION, commit = super::args::COMMIT, "starting");
        config.journal = config.journal.settled();
        match Router::new(config).run(stop).await {
            Ok(()) => OK.into(),
            Err(error) => {
                error!("{error}");
                FAILED.into()
            }
        }
    })
}

/// One thread does everything: what it would wait for is the network.
pub(super) fn runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => {
            super::complain(&format!("the runtime cannot be started: {error}\n"));
            FAILED.into()
        }
    }
}

/// Stops on the first SIGTERM or SIGINT; a second one ends the process at once, after these last words.
pub(super) fn on_signal(stop: CancellationToken, last: fn()) -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        for times in 0.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if times > 0 {
                last();
                std::process::exit(i32::from(FAILED));
            }
            stop.cancel();
        }
    })
}
