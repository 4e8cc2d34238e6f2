//! An hour of a busy vCenter that is in trouble every few seconds, in front of a router as users run it.
//!
//! ```text
//! soak run FOLDER --router PATH [--minutes 60] [--rate 2000] [--every 5] [--seed N]
//! soak report FOLDER [--seconds 420]
//! ```
//!
//! `run` starts the simulator and the router, plays the gateway with one function that takes every event, holds what
//! came against the simulator's ledger, and watches the router's memory and what it leaves behind at the vCenter. It
//! writes how it goes into FOLDER. `report` follows that for a while, so that no command takes longer than one may;
//! its exit code is 0 while all is well, and once all was well, 1 otherwise. `make soak` runs both.

use std::error::Error;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

#[path = "../tests/it/support/gateway.rs"]
mod gateway;
#[path = "../tests/it/support/judge.rs"]
mod judge;
#[path = "../tests/it/support/raw.rs"]
mod raw;

use gateway::{Function, Gateway, State};
use judge::{Judge, Verdict};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: soak run FOLDER --router PATH [--minutes 60] [--rate 2000] [--every 5] [--seed N]
       soak report FOLDER [--seconds 420]";

/// Every fault, as it happens in the field, more or less. A clock that is set back by minutes is left to other tests:
/// at this rate more events happen in minutes than are remembered, and those that are read again come twice.
const FAULTS: &[&str] = &[
    "session-expiry",
    "restart=same-keys,1s",
    "restart=new-keys,1s",
    "restore",
    "hang",
    "half-open",
    "truncated",
    "unavailable=3s",
    "soap=NotAuthenticated",
    "soap=ManagedObjectNotFound:ReadNextEvents",
    "soap=InvalidState:CreateCollectorForEvents",
    "soap=RequestCanceled:WaitForUpdatesEx",
    "soap=InvalidCollectorVersion:WaitForUpdatesEx",
    "hidden=2500",
    "key-wrap",
    "late=20,30s",
    "equal-times=1500",
    "clock=+7m",
    "clock=-20s",
    "unknown-type=5",
    "undecodable=3",
    "slow=200ms,3s",
    "collectors=2s",
    "login=2s",
    "expired=200",
];

/// Those that take events away.
const FORGETTING: &[&str] = &["restart=new-keys", "restore", "expired"];

/// How often the state is looked at and written down.
const LOOK: Duration = Duration::from_secs(5);

/// How long everything may take to arrive after the last event.
const SETTLE: Duration = Duration::from_secs(300);

/// Lines of the ledger that are read at once.
const PAGE: u64 = 20_000;

/// More events than happen between two looks at the ledger.
const AHEAD_OF_LEDGER: u64 = 5_000;

/// A restore goes back by no more.
const MOST_RESTORED: u64 = 100_000;

/// Sessions and collectors that a router which leaves nothing behind has at most, while it logs in anew.
const MOST_SESSIONS: u64 = 4;
const MOST_COLLECTORS: u64 = 8;

/// The resident memory in the last quarter may be this much more than in the second: caches and tables have filled by
/// then, a leak goes on.
const GROWTH: u64 = 3_000_000;

/// In quarters that are shorter they still fill, and what memory grows by says nothing.
const FILLED: Duration = Duration::from_secs(150);

/// A process that ends when this goes.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(Command::new("kill").arg(self.0.id().to_string()).status());
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            match self.0.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(50)),
                _ => return,
            }
        }
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Process {
    /// Starts a program whose standard error goes into a file.
    fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let log = fs::File::create(log)?;
        Ok(Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()?))
    }

    /// Resident memory in bytes.
    fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
    }
}

struct Arguments {
    folder: PathBuf,
    router: PathBuf,
    minutes: u64,
    rate: u64,
    every: u64,
    seed: u64,
    seconds: u64,
}

fn arguments(mut given: impl Iterator<Item = String>) -> Result<(String, Arguments)> {
    let what = given.next().ok_or(USAGE)?;
    let folder = PathBuf::from(given.next().ok_or(USAGE)?);
    let router = PathBuf::from("target/release/vmware-event-router");
    let seed = u64::from(std::process::id());
    let mut all = Arguments { folder, router, minutes: 60, rate: 2000, every: 5, seed, seconds: 420 };
    while let Some(flag) = given.next() {
        let value = given.next().ok_or(format!("{flag} needs a value\n{USAGE}"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{flag} {value} is no number"));
        match flag.as_str() {
            "--router" => all.router = value.into(),
            "--minutes" => all.minutes = number()?.max(1),
            "--rate" => all.rate = number()?.max(1),
            "--every" => all.every = number()?.max(1),
            "--seed" => all.seed = number()?,
            "--seconds" => all.seconds = number()?,
            _ => return Err(format!("unknown flag {flag}\n{USAGE}").into()),
        }
    }
    Ok((what, all))
}

/// The simulator's control address.
struct Control(SocketAddr);

impl Control {
    async fn ask(&self, method: &str, path: &str, body: String) -> Result<Bytes> {
        let request = Request::builder().method(method).uri(path).body(Bytes::from(body))?;
        let answer = raw::send(self.0, request).await?;
        if !answer.status().is_success() {
            return Err(
                format!("{method} {path}: {} {}", answer.status(), String::from_utf8_lossy(answer.body())).into()
            );
        }
        Ok(answer.into_body())
    }

    async fn figures(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&self.ask("GET", "/", String::new()).await?)?)
    }

    /// Every subject that its events may have.
    async fn subjects(&self) -> Result<String> {
        let mut subjects: Vec<String> = serde_json::from_slice(&self.ask("GET", "/subjects", String::new()).await?)?;
        // That one is the router's own.
        subjects.push("EventGap".to_owned());
        Ok(subjects.join(","))
    }

    /// Tells the judge what has happened since `from`; where the next look begins.
    async fn ledger(&self, mut from: u64, judge: &Mutex<Judge>) -> Result<u64> {
        loop {
            let page = self.ask("GET", &format!("/ledger?from={from}&count={PAGE}"), String::new()).await?;
            let text = std::str::from_utf8(&page)?;
            let before = from;
            let mut judge = judge.lock().unwrap_or_else(PoisonError::into_inner);
            for line in text.lines() {
                let event = judge::Happened::parse(line).ok_or(format!("no line of a ledger: {line:?}"))?;
                if event.seq != from {
                    return Err(format!("the ledger goes on with number {}, not {from}", event.seq).into());
                }
                from += 1;
                judge.happened(event);
            }
            // While this is compared, more happens: that is for the next look.
            if from - before < PAGE {
                judge.compare();
                return Ok(from);
            }
        }
    }
}

/// What is watched while it runs.
#[derive(Default)]
struct Watch {
    memory: Vec<u64>,
    most_sessions: u64,
    most_collectors: u64,
    faults: u64,
    behind: u64,
}

impl Watch {
    /// Memory of the second and of the last quarter: what a tenth of the looks at each exceed. Between floor and ceiling
    /// it goes up and down with what the allocator gives back; a leak raises both.
    fn quarters(&self) -> Option<(u64, u64)> {
        let quarter = self.memory.len() / 4;
        let ceiling = |part: &[u64]| {
            let mut part = part.to_vec();
            part.sort_unstable();
            part.get(part.len() * 9 / 10).copied()
        };
        ceiling(self.memory.get(quarter..quarter * 2)?).zip(ceiling(self.memory.get(quarter * 3..)?))
    }

    fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let quarter = LOOK * u32::try_from(self.memory.len() / 4).unwrap_or(u32::MAX);
        if let Some((early, late)) = self.quarters().filter(|_| quarter >= FILLED)
            && late > early + GROWTH
        {
            wrong.push(format!("memory grows: {early} bytes in the second quarter, {late} in the last"));
        }
        if self.most_sessions > MOST_SESSIONS {
            wrong.push(format!("{} sessions at once: the router leaves some behind", self.most_sessions));
        }
        if self.most_collectors > MOST_COLLECTORS {
            wrong.push(format!("{} collectors at once: the router leaves some behind", self.most_collectors));
        }
        wrong
    }

    fn show(&self, verdict: &Verdict) -> String {
        let newest = self.memory.last().copied().unwrap_or_default();
        let (early, late) = self.quarters().unwrap_or((newest, newest));
        let mut text = format!(
            "{} events happened, {} came, {} on their way or missing, {} lie in {} gaps that were told, {} not decoded, \
             {} again that had been forgotten; {} faults; at most {} sessions and {} collectors; memory {:.1} MB now ({:.1} and {:.1} in the second and last quarter); {} mistakes",
            verdict.happened,
            verdict.received,
            verdict.owed,
            verdict.in_gaps,
            verdict.gaps,
            verdict.undecoded,
            verdict.again,
            self.faults,
            self.most_sessions,
            self.most_collectors,
            newest as f64 / 1e6,
            early as f64 / 1e6,
            late as f64 / 1e6,
            verdict.mistakes,
        );
        for mistake in &verdict.shown {
            text.push_str("\n    ");
            text.push_str(mistake);
        }
        text
    }
}

fn locked(judge: &Mutex<Judge>) -> std::sync::MutexGuard<'_, Judge> {
    judge.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The word behind `name` in a line that a program prints about itself.
fn word_behind(line: &str, name: &str) -> Option<String> {
    Some(line.split_once(name)?.1.split_whitespace().next()?.to_owned())
}

async fn run(all: &Arguments) -> Result<bool> {
    let folder = &all.folder;
    let say = |text: String| -> Result<()> {
        let text = format!("{} {text}", jiff::Timestamp::now().strftime("%H:%M:%S"));
        let mut log = fs::OpenOptions::new().create(true).append(true).open(folder.join("progress"))?;
        writeln!(log, "{text}")?;
        Ok(fs::write(folder.join("latest"), text)?)
    };
    fastrand::seed(all.seed);
    let mut simulator = Process::start(
        Command::new(&all.router).args(["simulate", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]).args([
            "--rate",
            &all.rate.to_string(),
            "--seed",
            &all.seed.to_string(),
            "--keep",
            "400000",
        ]),
        &folder.join("simulator.log"),
    )?;
    let mut lines = BufReader::new(simulator.0.stdout.take().ok_or("no output")?).lines();
    let (mut vcenter, mut control) = (None, None);
    while vcenter.is_none() || control.is_none() {
        let line = lines.next().ok_or("the simulator ended; see simulator.log")??;
        vcenter = vcenter.or(word_behind(&line, "listening on "));
        control = control.or(word_behind(&line, "control on http://"));
    }
    std::thread::spawn(move || lines.for_each(drop));
    let vcenter = vcenter.ok_or("no address")?;
    let control = Control(control.ok_or("no control address")?.trim_end_matches('/').parse()?);

    let judge = Arc::new(Mutex::new(Judge::default()));
    let to_judge = Arc::clone(&judge);
    let mut state = State { keep: 0, ..State::default() };
    state.on_call = Some(Arc::new(move |call| locked(&to_judge).received(&call.body)));
    state.deploy(Function::subscribed("everything", &control.subjects().await?));
    let gateway = Gateway::listen(SocketAddr::from(([127, 0, 0, 1], 0)), state).await?;

    let config = json!([
        { "type": "stream", "provider": "vmware_vcenter", "address": vcenter,
          "auth": { "method": "user_password", "secret": { "username": "user", "password": "pass" } },
          "options": { "insecure": "true", "begin": "-2h" } },
        { "type": "processor", "provider": "openfaas", "address": gateway.url(),
          "auth": { "method": "basic_auth", "secret": { "username": gateway::USERNAME, "password": gateway::PASSWORD } } },
        { "type": "metrics", "provider": "internal", "address": "127.0.0.1:0", "auth": { "method": "none" } },
    ]);
    fs::write(folder.join("config.json"), config.to_string())?;
    let mut router = Process::start(
        Command::new(&all.router)
            .arg("-config")
            .arg(folder.join("config.json"))
            .env("STATE_DIRECTORY", folder.join("state")),
        &folder.join("router.log"),
    )?;
    let lines = BufReader::new(router.0.stdout.take().ok_or("no output")?);
    let mut log = fs::File::create(folder.join("router.out"))?;
    std::thread::spawn(move || {
        lines.lines().map_while(std::io::Result::ok).for_each(|line| drop(writeln!(log, "{line}")))
    });

    say(format!(
        "seed {}: {} events/s for {} minutes, a fault about every {} s",
        all.seed, all.rate, all.minutes, all.every
    ))?;
    let (mut watch, mut seen) = (Watch::default(), 0);
    let began = Instant::now();
    let end = began + Duration::from_secs(all.minutes * 60);
    let (mut next_fault, mut next_look) = (began + LOOK, began);
    let mut quiet_since: Option<Instant> = None;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = Instant::now();
        seen = control.ledger(seen, &judge).await?;
        if let Some(status) = router.0.try_wait()? {
            return Err(format!("the router ended: {status}; see router.log and router.out").into());
        }
        if now < end && now >= next_fault {
            let mut fault = FAULTS[fastrand::usize(..FAULTS.len())].to_owned();
            if FORGETTING.iter().any(|part| fault.starts_with(part)) && locked(&judge).owes_late() {
                // What is lost before it is looked for is missed by nobody, either.
                fault = "session-expiry".to_owned();
            }
            if fault == "restore" {
                // Further back than was read: had nobody ever seen what is gone, nobody could know.
                let events = locked(&judge).unread() + AHEAD_OF_LEDGER;
                fault =
                    if events <= MOST_RESTORED { format!("restore={events},1s") } else { "session-expiry".to_owned() };
            }
            control.ask("POST", "/faults", format!("{fault}\n")).await?;
            watch.faults += 1;
            next_fault = now + Duration::from_millis(all.every * 500 + fastrand::u64(0..=all.every * 1000));
        }
        if now >= end && quiet_since.is_none() {
            control.ask("POST", "/rate", "0".to_owned()).await?;
            say("no more events and faults: what is under way should arrive".to_owned())?;
            quiet_since = Some(now);
        }
        let figures = control.figures().await?;
        let count = |name: &str| figures[name].as_u64().unwrap_or_default();
        watch.most_sessions = watch.most_sessions.max(count("sessions"));
        watch.most_collectors = watch.most_collectors.max(count("collectors"));
        if now >= next_look {
            next_look = now + LOOK;
            watch.memory.push(router.memory()?);
            let verdict = locked(&judge).verdict(false);
            watch.behind = verdict.owed;
            let mut wrong = if verdict.mistakes > 0 { vec!["see above".to_owned()] } else { Vec::new() };
            // Quarters mean something once they are minutes long.
            wrong.extend(watch.wrong().into_iter().filter(|_| watch.memory.len() > 240));
            say(watch.show(&verdict))?;
            if !wrong.is_empty() {
                say(format!("NOT WELL: {}", wrong.join("; ")))?;
                return Ok(false);
            }
        }
        if let Some(since) = quiet_since
            && (locked(&judge).owed() == 0 || since.elapsed() > SETTLE)
        {
            let verdict = locked(&judge).verdict(true);
            say(watch.show(&verdict))?;
            let wrong = watch.wrong();
            if !wrong.is_empty() {
                say(format!("NOT WELL: {}", wrong.join("; ")))?;
            }
            return Ok(verdict.mistakes == 0 && wrong.is_empty());
        }
    }
}

/// Follows a run: prints how it goes, about twice a minute.
fn report(all: &Arguments) -> Result<bool> {
    let deadline = Instant::now() + Duration::from_secs(all.seconds);
    let mut shown = String::new();
    loop {
        let verdict = fs::read_to_string(all.folder.join("verdict")).ok();
        let newest = fs::read_to_string(all.folder.join("latest")).unwrap_or_default();
        if newest != shown {
            println!("{newest}");
            shown = newest;
        }
        if let Some(verdict) = verdict {
            println!("{}", verdict.trim_end());
            return Ok(verdict.starts_with("PASSED"));
        }
        if Instant::now() >= deadline {
            println!("it goes on: run this again");
            return Ok(true);
        }
        std::thread::sleep(Duration::from_secs(30).min(deadline.saturating_duration_since(Instant::now())));
    }
}

fn main() -> ExitCode {
    let done = arguments(std::env::args().skip(1)).and_then(|(what, all)| match what.as_str() {
        "run" => {
            fs::create_dir_all(&all.folder)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let well = runtime.block_on(async {
                let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
                tokio::select! {
                    well = run(&all) => well,
                    _ = terminate.recv() => Err("ended before its time".into()),
                }
            });
            let verdict = match &well {
                Ok(true) => "PASSED\n".to_owned(),
                Ok(false) => format!("FAILED: see {}\n", all.folder.join("progress").display()),
                Err(error) => format!("FAILED: {error}\n"),
            };
            fs::write(all.folder.join("verdict"), verdict)?;
            well
        }
        "report" => report(&all),
        _ => Err(USAGE.into()),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
