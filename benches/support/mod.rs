//! What benches share: processes that end with them, folders that go with them, and how a process fares.

// Each bench uses a part of it.
#![allow(dead_code, unreachable_pub, clippy::expect_used)]

pub mod page;
pub mod receiver;

use std::error::Error;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Nothing that we wait for takes longer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A process that ends when this goes.
pub struct Process {
    name: &'static str,
    child: Child,
}

impl Process {
    pub fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let child = command.spawn().map_err(|error| format!("{name} does not start: {error}"))?;
        Ok(Self { name, child })
    }

    /// The first line that it prints; the rest is read and forgotten.
    pub fn first_line(&mut self) -> Result<String> {
        Ok(self.lines_to("")?.remove(0))
    }

    /// What it prints up to the line that begins so; the rest is read and forgotten.
    pub fn lines_to(&mut self, last: &str) -> Result<Vec<String>> {
        let mut output = BufReader::new(self.child.stdout.take().ok_or("its output is not piped")?);
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line: &String| !line.starts_with(last)) {
            let mut line = String::new();
            if output.read_line(&mut line)? == 0 {
                return Err(format!("{} ended before it said \"{last}\"", self.name).into());
            }
            lines.push(line.trim_end().to_owned());
        }
        thread::spawn(move || io::copy(&mut output, &mut io::sink()));
        Ok(lines)
    }

    /// One field of `/proc/PID/status`, in bytes.
    pub fn memory(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or(format!("no {field}"))?;
        Ok(kilobytes.trim().parse::<u64>()? * 1024)
    }

    /// Processor time of all its threads so far.
    pub fn cpu(&self) -> Result<Duration> {
        // Its name may hold spaces and brackets; 100 ticks a second are what Linux shows to processes everywhere.
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11);
        let mut ticks = || fields.next().and_then(|field| field.parse::<u64>().ok()).ok_or("no processor time");
        Ok(Duration::from_millis(10 * (ticks()? + ticks()?)))
    }

    /// Ends it as a crash does: it can do nothing more.
    pub fn crash(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    pub fn ended(&mut self) -> Result<bool> {
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

/// What an aim has come to.
pub fn aim(met: bool, what: &str) -> String {
    format!("  (aim: {what}: {})", if met { "met" } else { "MISSED" })
}

pub fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// A folder that goes with it.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Result<Self> {
        Self::within(env::temp_dir(), name)
    }

    /// One on the disk that is built on: what is only for a while may be in memory.
    pub fn on_disk(name: &str) -> Result<Self> {
        Self::within(beside()?.parent().ok_or("no target folder")?.to_owned(), name)
    }

    fn within(folder: PathBuf, name: &str) -> Result<Self> {
        let folder = Self(folder.join(format!("{name}-{}", std::process::id())));
        fs::create_dir(&folder.0)?;
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// What this bench was built beside: `target/release`.
pub fn beside() -> Result<PathBuf> {
    // target/release/deps/footprint-HASH
    let this = env::current_exe()?;
    Ok(this.ancestors().nth(2).ok_or("this executable lies nowhere")?.to_owned())
}

pub fn executable(variable: &str, otherwise: PathBuf, hint: &str) -> Result<PathBuf> {
    let path = env::var_os(variable).map_or(otherwise, PathBuf::from);
    if path.is_file() { Ok(path) } else { Err(format!("{} is missing: {hint}", path.display()).into()) }
}

/// What `GET` of a path is answered with: status and body.
pub fn get(address: &str, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Ok((status, body))
}
