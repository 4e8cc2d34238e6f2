//! What an event costs from vCenter's page to the function's call: how many a second, how much processor time, how much
//! memory, how late. Run by `make bench`; each figure is a ratio within the same run where it can be.
//!
//! Everything that takes part is a process of its own: `simulate` as the vCenter, router, functions, and in turn wrk and
//! a Go program of govmomi and net/http in the router's place.
//!
//! `END_TO_END_ONLY=speed,functions` runs single parts (of `speed`, `journal`, `vcenters`, `functions`, `start`, `latency`;
//! `once` is the router alone, to profile it, `once-tls` the same over TLS, `once-journal` with the journal in a folder,
//! `once-sqlite` with it in SQLite).
//! `END_TO_END_SECONDS` is how long each rate is measured (default 5), `END_TO_END_ROUTER` another executable to take.

#[path = "support/sqlite.rs"]
mod sqlite;
#[path = "support/sqlite_journal.rs"]
mod sqlite_journal;
mod support;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use serde_json::Value;
use support::{Folder, PATIENCE, Process, Result, aim, beside, executable, get, median, page, receiver};

/// Of what wrk can post, at least.
const SPEED_AIM: f64 = 0.45;
/// Times less processor time an event than the Go program, at least.
const GO_AIM: f64 = 8.0;
/// Of what it delivers with a journal in memory it does with one in a folder, at least.
const JOURNAL_AIM: f64 = 0.9;
/// Under load, at most.
const MEMORY_AIM: u64 = 20_000_000;
/// From the start to the first call of a function, at most.
const START_AIM: Duration = Duration::from_millis(150);
/// From an event's creation to its call, median and 99th percentile, at most.
const LATENCY_AIM: (u64, u64) = (5_000, 25_000);
/// The dearest of a row against its cheapest, at most.
const ROW_AIM: f64 = 1.5;

/// All that takes part, and the folder that their files are in.
struct Stage {
    router: PathBuf,
    peers: PathBuf,
    folder: Folder,
    /// On the disk that is built on.
    disk: Folder,
    /// A captured page with a thousand subjects.
    page: PathBuf,
    seconds: f64,
}

/// What a while of delivering took.
#[derive(Clone, Copy, Debug)]
struct Load {
    /// Delivered a second.
    rate: f64,
    /// Processor time of the router, vCenter and the functions, in microseconds an event.
    router: f64,
    vcenters: f64,
    functions: f64,
    /// How long a call's body is.
    bytes: f64,
    /// The router's memory at the end, and its most.
    resident: u64,
    most: u64,
    /// How old events were when functions were called, in microseconds: median and 99th percentile.
    ages: (u64, u64),
}

/// What is to be measured.
#[derive(Clone, Copy)]
struct Scene<'a> {
    vcenters: usize,
    /// Events a second of each vCenter, or `max`.
    rate: &'a str,
    tls: bool,
    /// Whether events of a thousand subjects happen, each as often as any other, and not what happens in a data centre.
    even: bool,
    functions: usize,
    dead: Option<&'a str>,
    journal: Waiting<'a>,
}

/// Where events wait.
#[derive(Clone, Copy)]
enum Waiting<'a> {
    /// In memory, so many bytes.
    Memory(&'a str),
    /// In a folder, with each page synced before it is delivered.
    Folder,
    /// In SQLite, with each page synced before it is delivered. The router is this executable.
    Sqlite,
}

const USUAL: Scene<'static> = Scene {
    vcenters: 1,
    rate: "max",
    tls: false,
    even: false,
    functions: 1,
    dead: None,
    journal: Waiting::Memory("64MiB"),
};

const TLS: Scene<'static> = Scene { tls: true, ..USUAL };

/// A simulated vCenter.
struct VCenter {
    process: Process,
    /// Its entry for a router's configuration.
    entry: Value,
    /// Where it can be asked for its subjects.
    control: String,
}

/// The processes of a scene. The router is the first to go.
struct Cast {
    router: Process,
    vcenters: Vec<VCenter>,
    functions: Process,
    /// Where the functions are.
    address: String,
}

/// Calls, failed calls, bytes, and the ages' median and 99th percentile since the last look.
fn figures(functions: &str) -> Result<[u64; 5]> {
    let (_, body) = get(functions, "/figures")?;
    let all: Vec<u64> = body.split(' ').map(str::parse).collect::<std::result::Result<_, _>>()?;
    all.try_into().map_err(|_| "the functions have other figures".into())
}

impl Stage {
    /// A vCenter: each number is another one, and always the same.
    fn vcenter(&self, scene: Scene<'_>, number: usize) -> Result<VCenter> {
        let mut command = Command::new(&self.router);
        command.args(["simulate", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--log-level", "error"]);
        command.args(["--machines", "500", "--keep", "20000", "--rate", scene.rate]);
        command.arg(format!("--seed={}", number + 1)).arg(format!("--tls={}", scene.tls));
        if scene.even {
            command.arg("--replay").arg(&self.page);
        }
        let mut process = Process::start("the vCenter", command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let lines = process.lines_to("stream ")?;
        let said = |what: &str| lines.iter().find_map(|line| line.strip_prefix(what)).ok_or(format!("no {what}"));
        let mut entry: Value = serde_json::from_str(said("stream ")?)?;
        entry["name"] = format!("vc{number}").into();
        let control = said("control on http://")?.trim_end_matches('/').to_owned();
        Ok(VCenter { process, entry, control })
    }

    /// The functions, between which the vCenter's subjects are divided.
    fn functions(&self, scene: Scene<'_>, vcenter: &VCenter) -> Result<(Process, String)> {
        let subjects = self.folder.0.join("subjects.json");
        fs::write(&subjects, get(&vcenter.control, "/subjects")?.1)?;
        let mut process = Process::start(
            "the functions",
            Command::new(env::current_exe()?)
                .args(["receiver", &scene.functions.to_string()])
                .arg(&subjects)
                .args(scene.dead)
                .stdin(Stdio::null())
                .stdout(Stdio::piped()),
        )?;
        let line = process.lines_to("listening on ")?.pop().unwrap_or_default();
        let address = line.strip_prefix("listening on http://").ok_or("it names no address")?.to_owned();
        Ok((process, address))
    }

    fn play(&self, scene: Scene<'_>) -> Result<Cast> {
        let vcenters = (0..scene.vcenters).map(|number| self.vcenter(scene, number)).collect::<Result<Vec<_>>>()?;
        let (functions, address) = self.functions(scene, vcenters.first().ok_or("no vCenter")?)?;
        let router = self.router(&vcenters, &address, scene.journal)?;
        Ok(Cast { router, vcenters, functions, address })
    }

    /// Where a router keeps what lasts. What the one before has left is gone.
    fn emptied(&self, name: &str) -> Result<PathBuf> {
        let folder = self.disk.0.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir(&folder)?;
        Ok(folder)
    }

    fn router(&self, vcenters: &[VCenter], functions: &str, journal: Waiting<'_>) -> Result<Process> {
        let config = self.folder.0.join("config.json");
        let mut command = Command::new(&self.router);
        command.args(["-log-level", "error", "-config"]).arg(&config);
        let memory = |bytes: &str| format!(r#""provider": "memory", "options": {{"max_bytes": "{bytes}"}}"#);
        let journal = match journal {
            Waiting::Memory(bytes) => memory(bytes),
            Waiting::Folder => {
                format!(r#""provider": "embedded", "address": "{}""#, self.emptied("journal")?.display())
            }
            Waiting::Sqlite => {
                command = Command::new(env::current_exe()?);
                command.arg("sqlite").arg(&config).arg(self.emptied("sqlite")?);
                memory("64MiB")
            }
        };
        // A port that is free at this moment.
        let metrics = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let text = format!(
            r#"[{},
              {{"type": "processor", "provider": "openfaas", "address": "http://{functions}",
               "auth": {{"method": "basic_auth", "secret": {{"username": "admin", "password": "secret"}}}}}},
              {{"type": "journal", {journal}}},
              {{"type": "metrics", "provider": "internal", "address": "{metrics}", "auth": {{"method": "none"}}}}]"#,
            vcenters.iter().map(|vcenter| vcenter.entry.to_string()).collect::<Vec<_>>().join(",")
        );
        fs::write(&config, text)?;
        Process::start("the router", command.env("STATE_DIRECTORY", &self.folder.0).stdout(Stdio::null()))
    }

    /// Plays a scene until events flow, and then measures for a while.
    fn measure(&self, scene: Scene<'_>) -> Result<Load> {
        let cast = self.play(scene)?;
        flow(&cast.address)?;
        self.watch(&cast, self.seconds)
    }

    /// Measures for so many seconds what goes on.
    fn watch(&self, cast: &Cast, seconds: f64) -> Result<Load> {
        let cpu = || -> Result<[Duration; 3]> {
            let of_vcenters = cast.vcenters.iter().map(|vcenter| vcenter.process.cpu()).sum::<Result<Duration>>()?;
            Ok([cast.router.cpu()?, of_vcenters, cast.functions.cpu()?])
        };
        let (before, [calls, _, bytes, ..], started) = (cpu()?, figures(&cast.address)?, Instant::now());
        // Not a wait for something: what happens meanwhile is what is measured.
        thread::sleep(Duration::from_secs_f64(seconds));
        let (after, [now, _, all, median, most], took) = (cpu()?, figures(&cast.address)?, started.elapsed());
        let events = (now - calls) as f64;
        let each = |at: usize| (after[at] - before[at]).as_secs_f64() * 1e6 / events.max(1.0);
        Ok(Load {
            rate: events / took.as_secs_f64(),
            router: each(0),
            vcenters: each(1),
            functions: each(2),
            bytes: (all - bytes) as f64 / events.max(1.0),
            resident: cast.router.memory("VmRSS")?,
            most: cast.router.memory("VmHWM")?,
            ages: (median, most),
        })
    }

    /// The Go program in the router's place.
    fn go(&self) -> Result<Load> {
        let program = executable("END_TO_END_GO", self.peers.join("govmomi-route"), "run `make bench`")?;
        let vcenter = self.vcenter(USUAL, 0)?;
        let (functions, address) = self.functions(USUAL, &vcenter)?;
        let from = vcenter.entry["address"].as_str().and_then(|url| url.strip_prefix("http://")).ok_or("no address")?;
        let router = Process::start(
            "the Go program",
            Command::new(program)
                .args(["-vcenter", &format!("http://user:pass@{from}")])
                .args(["-function", &format!("http://{address}/function/f0")]),
        )?;
        flow(&address)?;
        self.watch(&Cast { vcenters: vec![vcenter], functions, address, router }, self.seconds)
    }

    /// What wrk can post to the functions in a second, with 64 connections and bodies of so many bytes.
    fn wrk(&self, bytes: f64) -> Result<f64> {
        let vcenter = self.vcenter(USUAL, 0)?;
        let (_functions, address) = self.functions(USUAL, &vcenter)?;
        let script = self.folder.0.join("post.lua");
        let body: String = EVENT.chars().cycle().take(bytes as usize).collect();
        fs::write(
            &script,
            format!(
                "wrk.method = \"POST\"\nwrk.body = [[{body}]]\n\
                 wrk.headers[\"Content-Type\"] = \"application/cloudevents+json\"\n\
                 wrk.headers[\"X-Topic\"] = \"VmPoweredOnEvent\"\n\
                 wrk.headers[\"X-Call-Id\"] = \"08179137-b8e0-4973-b05f-8f212bf5003b\"\n\
                 wrk.headers[\"X-Connector\"] = \"vmware-event-router\"\n"
            ),
        )?;
        let output = Command::new("wrk")
            .args(["-t1", "-c64", &format!("-d{:.0}s", self.seconds.max(1.0)), "-s"])
            .arg(&script)
            .arg(format!("http://{address}/function/f0"))
            .output()
            .map_err(|error| format!("wrk does not start ({error}): run `tools/peers.sh wrk`"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok());
        Ok(rate.ok_or_else(|| format!("wrk says no rate: {text}"))?)
    }
}

/// A CloudEvent as the router makes it of one of the events.
const EVENT: &str = include_str!("support/event.json");

/// Waits until functions are called, and then a moment more.
fn flow(functions: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while figures(functions)?[0] == 0 {
        if Instant::now() > deadline {
            return Err("no function is called".into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(Duration::from_secs(1));
    figures(functions).map(drop)
}

fn tell(what: &str, load: Load) {
    println!(
        "end to end: {what:<24} {:>7.0} events/s, µs of processor time an event: router {:.2}, vCenter {:.2}, functions {:.2}",
        load.rate, load.router, load.vcenters, load.functions
    );
}

fn speed(stage: &Stage) -> Result<()> {
    let ours = stage.measure(USUAL)?;
    tell("the router, 64 in flight", ours);
    let most = stage.wrk(ours.bytes)?;
    println!(
        "end to end: {:<24} {most:>7.0} requests/s, of {:.0} bytes as the router's",
        "wrk, 64 connections", ours.bytes
    );
    let ratio = ours.rate / most;
    println!(
        "end to end: {:<24} {:>6.0} %{}",
        "the router against wrk",
        100.0 * ratio,
        aim(ratio >= SPEED_AIM, "45 % or more")
    );
    println!(
        "end to end: memory under load         {:.2} MB, at most {:.2} MB{}",
        ours.resident as f64 / 1e6,
        ours.most as f64 / 1e6,
        aim(ours.most < MEMORY_AIM, "under 20 MB")
    );
    let go = stage.go()?;
    tell("Go, 64 in flight", go);
    let ratio = go.router / ours.router;
    println!(
        "end to end: processor time of Go an event, against the router's: {ratio:.1} times{}",
        aim(ratio >= GO_AIM, "8 or more")
    );
    tell("the router, TLS from vCenter", stage.measure(TLS)?);
    Ok(())
}

/// The journal in a folder, and one in SQLite, against the one in memory, in turns.
fn journal(stage: &Stage) -> Result<()> {
    let all = [
        ("the journal in memory", Waiting::Memory("64MiB")),
        ("the journal in a folder", Waiting::Folder),
        ("the journal in SQLite", Waiting::Sqlite),
    ];
    let mut loads = [const { Vec::new() }; 3];
    for _ in 0..3 {
        for ((_, journal), loads) in all.iter().zip(&mut loads) {
            loads.push(stage.measure(Scene { journal: *journal, ..USUAL })?);
        }
    }
    for ((what, _), loads) in all.iter().zip(&loads) {
        let middle = |part: fn(&Load) -> f64| median(loads.iter().map(part).collect());
        println!(
            "end to end: {what:<24} {:>7.0} events/s, µs of processor time an event: router {:.2}; memory at most {:.2} MB",
            middle(|load| load.rate),
            middle(|load| load.router),
            middle(|load| load.most as f64) / 1e6
        );
    }
    let [memory, folder, sqlite] = &loads;
    let against =
        |loads: &[Load]| median(loads.iter().zip(memory).map(|(ours, theirs)| ours.rate / theirs.rate).collect());
    let (folder, sqlite) = (against(folder), against(sqlite));
    let aim = aim(folder >= JOURNAL_AIM, "90 % or more");
    println!("end to end: {:<24} {:>6.0} %{aim}", "folder against memory", 100.0 * folder);
    println!("end to end: {:<24} {:>6.0} %", "SQLite against memory", 100.0 * sqlite);
    Ok(())
}

fn row(stage: &Stage, name: &str, scenes: &[(&str, Scene<'_>)]) -> Result<()> {
    let mut costs = Vec::new();
    for (what, scene) in scenes {
        let load = stage.measure(*scene)?;
        tell(what, load);
        costs.push(load.router);
    }
    let (least, most) = (costs.iter().copied().fold(f64::MAX, f64::min), costs.iter().copied().fold(0.0, f64::max));
    let ratio = most / least;
    println!("end to end: {name}: dearest against cheapest {ratio:.2}{}", aim(ratio <= ROW_AIM, "at most 1.5"));
    Ok(())
}

fn start(stage: &Stage) -> Result<()> {
    let mut all = Vec::new();
    for _ in 0..9 {
        let vcenters = [stage.vcenter(USUAL, 0)?];
        let (_functions, address) = stage.functions(USUAL, &vcenters[0])?;
        let started = Instant::now();
        let _router = stage.router(&vcenters, &address, USUAL.journal)?;
        while figures(&address)?[0] == 0 {
            if started.elapsed() > PATIENCE {
                return Err("no function is called".into());
            }
            thread::sleep(Duration::from_micros(500));
        }
        all.push(started.elapsed());
    }
    all.sort();
    let median = all[all.len() / 2];
    println!(
        "end to end: start to first event, median of {}: {median:.1?}{}",
        all.len(),
        aim(median < START_AIM, "under 150 ms")
    );
    Ok(())
}

fn latency(stage: &Stage) -> Result<()> {
    // The 99th percentile of a hundred a second needs a while.
    let seconds = if env::var_os("END_TO_END_SECONDS").is_some() { stage.seconds } else { 20.0 };
    for rate in ["100", "5000"] {
        let cast = stage.play(Scene { rate, ..USUAL })?;
        flow(&cast.address)?;
        let load = stage.watch(&cast, seconds)?;
        let (median, most) = load.ages;
        println!(
            "end to end: created to called at {:.0} events/s: p50 {:.2} ms, p99 {:.2} ms, router {:.1} µs an event{}",
            load.rate,
            median as f64 / 1e3,
            most as f64 / 1e3,
            load.router,
            aim(median < LATENCY_AIM.0 && most < LATENCY_AIM.1, "p50 under 5 ms, p99 under 25 ms")
        );
    }
    Ok(())
}

fn measure() -> Result<()> {
    let beside = beside()?;
    let folder = Folder::new("end-to-end")?;
    let page = folder.0.join("page.xml");
    fs::write(&page, page::page())?;
    let stage = Stage {
        router: executable("END_TO_END_ROUTER", beside.join("vmware-event-router"), "run `make bench`")?,
        peers: beside.parent().ok_or("no target folder")?.join("peers/bin"),
        folder,
        disk: Folder::on_disk("end-to-end")?,
        page,
        seconds: env::var("END_TO_END_SECONDS").map_or(Ok(5.0), |text| text.parse())?,
    };
    let only = env::var("END_TO_END_ONLY").unwrap_or_default();
    let wanted = |part: &str| only.is_empty() || only.split(',').any(|one| one == part);
    if only == "once" {
        tell("the router, 64 in flight", stage.measure(USUAL)?);
    }
    if only == "once-journal" {
        tell("the journal in a folder", stage.measure(Scene { journal: Waiting::Folder, ..USUAL })?);
    }
    if only == "once-sqlite" {
        tell("the journal in SQLite", stage.measure(Scene { journal: Waiting::Sqlite, ..USUAL })?);
    }
    if only == "once-tls" {
        tell("the router, TLS from vCenter", stage.measure(TLS)?);
    }
    if wanted("speed") {
        speed(&stage)?;
    }
    if wanted("journal") {
        journal(&stage)?;
    }
    if wanted("vcenters") {
        let scene = |vcenters| Scene { vcenters, ..USUAL };
        row(&stage, "vCenters", &[("1 vCenter", scene(1)), ("10 vCenters", scene(10)), ("50 vCenters", scene(50))])?;
    }
    if wanted("functions") {
        let scene = |functions| Scene { functions, even: true, ..USUAL };
        // What the dead one is owed keeps all that came after it in the journal.
        let dead = Scene { dead: Some("f3"), journal: Waiting::Memory("4GiB"), ..scene(10) };
        let scenes = [
            ("1 function", scene(1)),
            ("10 functions", scene(10)),
            ("100 functions", scene(100)),
            ("1,000 functions", scene(1000)),
            ("10, one of them dead", dead),
        ];
        row(&stage, "functions", &scenes)?;
    }
    if wanted("start") {
        start(&stage)?;
    }
    if wanted("latency") {
        latency(&stage)?;
    }
    Ok(())
}

/// Plays the functions for another process of this executable.
fn receive(arguments: &[String]) -> Result<()> {
    let [count, subjects, dead @ ..] = arguments else { return Err("how many functions, and of what?".into()) };
    let subjects: Vec<String> = serde_json::from_slice(&fs::read(subjects)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = receiver::run(count.parse()?, &subjects, dead.first().cloned());
    tokio::task::LocalSet::new().block_on(&runtime, run)
}

/// Plays the router with its journal in SQLite.
fn keep_in_sqlite(arguments: &[String]) -> Result<()> {
    let [config, folder] = arguments else { return Err("of which configuration, and where?".into()) };
    sqlite_journal::run(config.as_ref(), folder.as_ref())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some("receiver") => receive(&arguments[1..]),
        Some("sqlite") => keep_in_sqlite(&arguments[1..]),
        _ => measure(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("end to end: {error}");
            ExitCode::FAILURE
        }
    }
}
