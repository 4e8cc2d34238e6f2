//! `simulate`: a vCenter to try things out with.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::args::Simulate;
use super::{FAILED, OK, USAGE, complain};
use crate::simulator::vcenter::fault::Planned;
use crate::simulator::vcenter::{Options, Server};

/// The largest file with faults that is read.
const MOST: u64 = 1024 * 1024;

pub(super) fn run(args: Simulate) -> ExitCode {
    let mut options = args.options;
    for path in &args.faults {
        match schedule(path) {
            Ok(planned) => options.faults.extend(planned),
            Err(why) => {
                complain(&format!("error: {}: {why}\n", path.display()));
                return USAGE.into();
            }
        }
    }
    super::run::runtime(async {
        let stop = CancellationToken::new();
        match super::run::on_signal(stop.clone(), || {}) {
            Ok(task) => tokio::spawn(task),
            Err(error) => {
                error!(%error, "signals cannot be received");
                return FAILED.into();
            }
        };
        for (what, address) in [("vCenter", Some(options.listen)), ("control address", options.control)] {
            if address.is_some_and(|address| !address.ip().is_loopback()) {
                warn!(?address, "the {what} can be reached from other machines: it protects nothing");
            }
        }
        let server = match Server::start(options.clone()).await {
            Ok(server) => server,
            Err(error) => {
                error!("{error}");
                return FAILED.into();
            }
        };
        let (url, control) = (server.url(), server.control());
        // Whoever started it may not read what it says.
        drop(tell(&options, &url, server.thumbprint(), control));
        info!(url, seed = options.seed, rate = %options.rate, "the simulated vCenter is there");
        server.run(stop).await;
        OK.into()
    })
}

/// Reads the faults of a file.
fn schedule(path: &Path) -> Result<Vec<Planned>, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MOST + 1).read_to_string(&mut text));
    read.map_err(|error| error.to_string())?;
    if text.len() as u64 > MOST {
        return Err(format!("is larger than {MOST} bytes"));
    }
    Planned::schedule(&text).map_err(|error| error.to_string())
}

/// Says where it is, in lines that a program can read.
fn tell(options: &Options, url: &str, thumbprint: Option<&str>, control: Option<SocketAddr>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on {url}")?;
    let mut stream = json!({ "type": "stream", "provider": "vmware_vcenter", "address": url });
    // A password that somebody chose is not ours to print.
    let usual = options.password == Options::default().password;
    let password = if usual { &options.password } else { "REPLACE_ME" };
    let secret = json!({ "username": options.username, "password": password });
    stream["auth"] = json!({ "method": "user_password", "secret": secret });
    if let Some(thumbprint) = thumbprint {
        writeln!(out, "certificate SHA-256 {thumbprint}")?;
        stream["options"] = json!({ "thumbprint": thumbprint });
    }
    if let Some(control) = control {
        writeln!(out, "control on http://{control}/")?;
    }
    writeln!(out, "stream {stream}")?;
    out.flush()
}
