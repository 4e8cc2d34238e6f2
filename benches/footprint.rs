//! How much the router takes: the size of its executable, and its memory while
//! it is connected and nothing happens. Run by `make bench`.
//!
//! `FOOTPRINT_SECONDS` is how long it idles before it is measured (default 10).
//! `FOOTPRINT_ROUTER` and `FOOTPRINT_GATEWAY` are other executables to take.

mod support;

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use support::{Folder, PATIENCE, Process, Result, beside, executable, get};

/// The executable should be smaller than this.
const SIZE_AIM: u64 = 12_000_000;
/// The resident memory should be less than this.
const MEMORY_AIM: u64 = 8_000_000;

fn configuration(vcenter: &str, gateway: &str, metrics: &str) -> String {
    format!(
        r#"[
  {{"type": "stream", "provider": "vmware_vcenter", "address": "{vcenter}",
   "auth": {{"method": "user_password", "secret": {{"username": "user", "password": "pass"}}}},
   "options": {{"insecure": "true"}}}},
  {{"type": "processor", "provider": "openfaas", "address": "{gateway}",
   "auth": {{"method": "basic_auth", "secret": {{"username": "admin", "password": "secret"}}}}}},
  {{"type": "metrics", "provider": "internal", "address": "{metrics}", "auth": {{"method": "none"}}}}
]
"#
    )
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{:02} MB", bytes / 1_000_000, bytes % 1_000_000 / 10_000)
}

fn told(report: &mut String, what: &str, value: u64, aim: Option<u64>) -> Result<()> {
    let aim = aim.map_or(String::new(), |aim| {
        format!("  (aim: under {}: {})", megabytes(aim), if value < aim { "met" } else { "MISSED" })
    });
    writeln!(report, "footprint: {what:<28} {:>10}{aim}", megabytes(value))?;
    Ok(())
}

fn measure() -> Result<String> {
    let beside = beside()?;
    let router = executable("FOOTPRINT_ROUTER", beside.join("vmware-event-router"), "run `make bench`")?;
    let gateway = executable("FOOTPRINT_GATEWAY", beside.join("examples/stub_gateway"), "run `make bench`")?;
    let peers = beside.parent().ok_or("no target folder")?.join("peers/bin");
    let vcsim = executable("FOOTPRINT_VCSIM", peers.join("vcsim"), "run `make peers`")?;
    let seconds = env::var("FOOTPRINT_SECONDS").map_or(Ok(10), |text| text.parse())?;

    let mut report = String::new();
    told(&mut report, "executable", fs::metadata(&router)?.len(), Some(SIZE_AIM))?;

    let mut vcenter = Process::start(
        "vcsim",
        Command::new(vcsim)
            .args(["-l", "127.0.0.1:0", "-username", "user", "-password", "pass"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null()),
    )?;
    // export GOVC_URL=https://user:pass@127.0.0.1:PORT/sdk GOVC_SIM_PID=...
    let line = vcenter.first_line()?;
    let address = line.split_once('@').and_then(|(_, rest)| rest.split(' ').next()).ok_or("vcsim names no address")?;
    let vcenter_url = format!("https://{address}");

    let mut functions = Process::start(
        "the stub gateway",
        Command::new(&gateway)
            .args(["--listen", "127.0.0.1:0", "--username", "admin", "--password", "secret", "--quiet"])
            .args(["--function", "echo=VmPoweredOnEvent,VmPoweredOffEvent"])
            .stdout(Stdio::piped()),
    )?;
    let line = functions.first_line()?;
    let gateway_url = line.strip_prefix("listening on ").ok_or("the stub gateway names no address")?;

    // A port that is free at this moment.
    let metrics = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let folder = Folder::new("footprint")?;
    let config = folder.0.join("config.json");
    fs::write(&config, configuration(&vcenter_url, gateway_url, &metrics))?;
    let mut process = Process::start(
        "the router",
        Command::new(&router)
            .args(["-log-level", "warn", "-config"])
            .arg(&config)
            .env("STATE_DIRECTORY", &folder.0)
            .stdout(Stdio::null()),
    )?;
    let deadline = Instant::now() + PATIENCE;
    while !get(&metrics, "/readyz").is_ok_and(|(status, _)| status == 200) {
        if process.ended()? {
            return Err(format!("{report}footprint: the router ended before it was ready").into());
        }
        if Instant::now() > deadline {
            return Err(format!("{report}footprint: the router is not ready after {PATIENCE:?}").into());
        }
        thread::sleep(Duration::from_millis(50));
    }
    // Not a wait for something: idling is what is measured.
    thread::sleep(Duration::from_secs(seconds));
    told(&mut report, "idle, resident (VmRSS)", process.memory("VmRSS")?, Some(MEMORY_AIM))?;
    told(&mut report, "idle, not backed by files", process.memory("RssAnon")?, None)?;
    told(&mut report, "most so far (VmHWM)", process.memory("VmHWM")?, None)?;
    writeln!(report, "footprint: after {seconds} s idle, of {}", shown(&router))?;
    Ok(report)
}

fn shown(path: &Path) -> String {
    env::current_dir().ok().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path).display().to_string()
}

fn main() -> ExitCode {
    match measure() {
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
