//! How much the router takes: the size of its executable, and its memory while
//! it is connected and nothing happens. Run by `make bench`.
//!
//! `FOOTPRINT_SECONDS` is how long it idles before it is measured (default 10).
//! `FOOTPRINT_ROUTER` and `FOOTPRINT_GATEWAY` are other executables to take.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The executable should be smaller than this.
const SIZE_AIM: u64 = 12_000_000;
/// The resident memory should be less than this.
const MEMORY_AIM: u64 = 8_000_000;
/// Nothing that we wait for takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A process that ends when this goes.
struct Process {
    name: &'static str,
    child: Child,
}

impl Process {
    fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let child = command.spawn().map_err(|error| format!("{name} does not start: {error}"))?;
        Ok(Self { name, child })
    }

    /// The first line that it prints; the rest is read and forgotten.
    fn first_line(&mut self) -> Result<String> {
        let output = self.child.stdout.take().ok_or("its output is not piped")?;
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line)?;
        if line.is_empty() {
            return Err(format!("{} ended before it said where it listens", self.name).into());
        }
        thread::spawn(move || io::copy(&mut output, &mut io::sink()));
        Ok(line.trim_end().to_owned())
    }

    /// One field of `/proc/PID/status`, in bytes.
    fn memory(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or(format!("no {field}"))?;
        Ok(kilobytes.trim().parse::<u64>()? * 1024)
    }

    fn ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.ended(), Ok(true)) {
            return;
        }
        // Asked, so that it can clean up after itself; made to, if it does not.
        let asked = Command::new("kill").arg(self.child.id().to_string()).status().is_ok_and(|status| status.success());
        let deadline = Instant::now() + PATIENCE;
        while asked && Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(20)),
                _ => return,
            }
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A folder that goes with it.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// What this bench was built beside: `target/release`.
fn beside() -> Result<PathBuf> {
    // target/release/deps/footprint-HASH
    let this = env::current_exe()?;
    Ok(this.ancestors().nth(2).ok_or("this executable lies nowhere")?.to_owned())
}

fn executable(variable: &str, otherwise: PathBuf, hint: &str) -> Result<PathBuf> {
    let path = env::var_os(variable).map_or(otherwise, PathBuf::from);
    if path.is_file() { Ok(path) } else { Err(format!("{} is missing: {hint}", path.display()).into()) }
}

/// Is `GET /readyz` answered with 200?
fn ready(address: &str) -> bool {
    let ask = || -> io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.split(' ').nth(1) == Some("200"))
}

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
    let folder = Folder(env::temp_dir().join(format!("footprint-{}", std::process::id())));
    fs::create_dir(&folder.0)?;
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
    while !ready(&metrics) {
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
