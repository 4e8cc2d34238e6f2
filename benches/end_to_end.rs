//! What an event costs from vCenter's page to the function's call: how many a second, how much processor time, how much
//! memory, how late. Run by `make bench`; each figure is a ratio within the same run where it can be.
//!
//! Everything that takes part is a process of its own: vCenter, router, functions, and in turn wrk and a Go program of
//! govmomi and net/http in the router's place.
//!
//! `END_TO_END_ONLY=speed,functions` runs single parts (of `speed`, `vcenters`, `functions`, `start`, `latency`; `once` is the router alone, to profile it).
//! `END_TO_END_SECONDS` is how long each rate is measured (default 5), `END_TO_END_ROUTER` another executable to take.

mod support;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use support::{Folder, PATIENCE, Process, Result, beside, executable, get, receiver, vcenter};

/// Of what wrk can post, at least.
const SPEED_AIM: f64 = 0.45;
/// Times less processor time an event than the Go program, at least.
const GO_AIM: f64 = 8.0;
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
    /// Events a second of each vCenter; none for as many as are read.
    rate: Option<f64>,
    functions: usize,
    dead: Option<&'a str>,
    /// What may wait in the journal.
    journal: &'a str,
}

const USUAL: Scene<'static> = Scene { vcenters: 1, rate: None, functions: 1, dead: None, journal: "64MiB" };

/// The processes of a scene. The router is the first to go.
struct Cast {
    router: Process,
    vcenters: Vec<Process>,
    functions: Process,
    /// Where the functions are.
    address: String,
}

fn this_as(name: &'static str, arguments: &[String]) -> Result<(Process, String)> {
    let mut process = Process::start(
        name,
        Command::new(env::current_exe()?).arg(name).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()),
    )?;
    let line = process.first_line()?;
    let address = line.strip_prefix("listening on http://").ok_or("it names no address")?.to_owned();
    Ok((process, address))
}

fn functions(scene: Scene<'_>) -> Result<(Process, String)> {
    let dead = scene.dead.map(str::to_owned).unwrap_or_default();
    this_as("receiver", &[scene.functions.to_string(), dead])
}

fn simulated(scene: Scene<'_>) -> Result<(Process, String)> {
    this_as("vcenter", &scene.rate.map(|rate| rate.to_string()).into_iter().collect::<Vec<_>>())
}

/// Calls, failed calls, and the ages' median and 99th percentile since the last look.
fn figures(functions: &str) -> Result<[u64; 4]> {
    let (_, body) = get(functions, "/figures")?;
    let all: Vec<u64> = body.split(' ').map(str::parse).collect::<std::result::Result<_, _>>()?;
    all.try_into().map_err(|_| "the functions have other figures".into())
}

impl Stage {
    fn play(&self, scene: Scene<'_>) -> Result<Cast> {
        let (functions, address) = functions(scene)?;
        let mut entries = Vec::new();
        let mut vcenters = Vec::new();
        for number in 0..scene.vcenters {
            let (process, address) = simulated(scene)?;
            vcenters.push(process);
            entries.push(format!(
                r#"{{"type": "stream", "name": "vc{number}", "provider": "vmware_vcenter", "address": "http://{address}",
                 "auth": {{"method": "user_password", "secret": {{"username": "user", "password": "pass"}}}}}}"#
            ));
        }
        let router = self.router(&entries, &address, scene.journal)?;
        Ok(Cast { vcenters, functions, address, router })
    }

    fn router(&self, streams: &[String], functions: &str, journal: &str) -> Result<Process> {
        // A port that is free at this moment.
        let metrics = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = self.folder.0.join("config.json");
        let text = format!(
            r#"[{},
              {{"type": "processor", "provider": "openfaas", "address": "http://{functions}",
               "auth": {{"method": "basic_auth", "secret": {{"username": "admin", "password": "secret"}}}}}},
              {{"type": "journal", "provider": "memory", "options": {{"max_bytes": "{journal}"}}}},
              {{"type": "metrics", "provider": "internal", "address": "{metrics}", "auth": {{"method": "none"}}}}]"#,
            streams.join(",")
        );
        fs::write(&config, text)?;
        Process::start(
            "the router",
            Command::new(&self.router)
                .args(["-log-level", "error", "-config"])
                .arg(&config)
                .env("STATE_DIRECTORY", &self.folder.0)
                .stdout(Stdio::null()),
        )
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
            let of_vcenters = cast.vcenters.iter().map(Process::cpu).sum::<Result<Duration>>()?;
            Ok([cast.router.cpu()?, of_vcenters, cast.functions.cpu()?])
        };
        let (before, [calls, ..], started) = (cpu()?, figures(&cast.address)?, Instant::now());
        // Not a wait for something: what happens meanwhile is what is measured.
        thread::sleep(Duration::from_secs_f64(seconds));
        let (after, [now, _, median, most], took) = (cpu()?, figures(&cast.address)?, started.elapsed());
        let events = (now - calls) as f64;
        let each = |at: usize| (after[at] - before[at]).as_secs_f64() * 1e6 / events.max(1.0);
        Ok(Load {
            rate: events / took.as_secs_f64(),
            router: each(0),
            vcenters: each(1),
            functions: each(2),
            resident: cast.router.memory("VmRSS")?,
            most: cast.router.memory("VmHWM")?,
            ages: (median, most),
        })
    }

    /// The Go program in the router's place.
    fn go(&self) -> Result<Load> {
        let program = executable("END_TO_END_GO", self.peers.join("govmomi-route"), "run `make bench`")?;
        let (functions, address) = functions(USUAL)?;
        let (vcenter, from) = simulated(USUAL)?;
        let router = Process::start(
            "the Go program",
            Command::new(program)
                .args(["-vcenter", &format!("http://user:pass@{from}/sdk")])
                .args(["-function", &format!("http://{address}/function/f0")]),
        )?;
        flow(&address)?;
        self.watch(&Cast { vcenters: vec![vcenter], functions, address, router }, self.seconds)
    }

    /// What wrk can post to the functions in a second, with 64 connections.
    fn wrk(&self) -> Result<f64> {
        let (_functions, address) = functions(USUAL)?;
        let script = self.folder.0.join("post.lua");
        fs::write(
            &script,
            format!(
                "wrk.method = \"POST\"\nwrk.body = [[{EVENT}]]\n\
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

fn aim(met: bool, what: &str) -> String {
    format!("  (aim: {what}: {})", if met { "met" } else { "MISSED" })
}

fn tell(what: &str, load: Load) {
    println!(
        "end to end: {what:<24} {:>7.0} events/s, µs of processor time an event: router {:.2}, vCenter {:.2}, functions {:.2}",
        load.rate, load.router, load.vcenters, load.functions
    );
}

fn speed(stage: &Stage) -> Result<()> {
    let most = stage.wrk()?;
    println!("end to end: {:<24} {most:>7.0} requests/s", "wrk, 64 connections");
    let ours = stage.measure(USUAL)?;
    tell("the router, 64 in flight", ours);
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
        let (_functions, address) = functions(USUAL)?;
        let (_vcenter, from) = simulated(USUAL)?;
        let entry = format!(
            r#"{{"type": "stream", "provider": "vmware_vcenter", "address": "http://{from}",
             "auth": {{"method": "user_password", "secret": {{"username": "user", "password": "pass"}}}}}}"#
        );
        let started = Instant::now();
        let _router = stage.router(&[entry], &address, USUAL.journal)?;
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
    for rate in [100.0, 5000.0] {
        let cast = stage.play(Scene { rate: Some(rate), ..USUAL })?;
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
    let stage = Stage {
        router: executable("END_TO_END_ROUTER", beside.join("vmware-event-router"), "run `make bench`")?,
        peers: beside.parent().ok_or("no target folder")?.join("peers/bin"),
        folder: Folder::new("end-to-end")?,
        seconds: env::var("END_TO_END_SECONDS").map_or(Ok(5.0), |text| text.parse())?,
    };
    let only = env::var("END_TO_END_ONLY").unwrap_or_default();
    let wanted = |part: &str| only.is_empty() || only.split(',').any(|one| one == part);
    if only == "once" {
        tell("the router, 64 in flight", stage.measure(USUAL)?);
    }
    if wanted("speed") {
        speed(&stage)?;
    }
    if wanted("vcenters") {
        let scene = |vcenters| Scene { vcenters, ..USUAL };
        row(&stage, "vCenters", &[("1 vCenter", scene(1)), ("10 vCenters", scene(10)), ("50 vCenters", scene(50))])?;
    }
    if wanted("functions") {
        let scene = |functions| Scene { functions, ..USUAL };
        // What the dead one is owed keeps all that came after it in the journal.
        let dead = Scene { dead: Some("f3"), journal: "4GiB", ..scene(10) };
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

/// Plays a part for another process of this executable.
fn part(name: &str, arguments: &[String]) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if name == "vcenter" {
        let rate = arguments.first().map(|rate| rate.parse()).transpose()?;
        return runtime.block_on(vcenter::run(rate));
    }
    let subjects: Vec<_> = (0..vcenter::PAGE).map(vcenter::subject).collect();
    let count = arguments.first().ok_or("how many functions?")?.parse()?;
    let dead = arguments.get(1).filter(|name| !name.is_empty()).cloned();
    tokio::task::LocalSet::new().block_on(&runtime, receiver::run(count, &subjects, dead))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some(name @ ("vcenter" | "receiver")) => part(name, &arguments[1..]),
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
