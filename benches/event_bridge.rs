//! What it costs to put events on a bus of AWS EventBridge: from vCenter's page to the answer of `PutEvents`, against
//! AWS's own library in a bare loop that does nothing else, at the same stand-in for AWS. Run by `make bench`.
//!
//! Everything that takes part is a process of its own. `EVENT_BRIDGE_SECONDS` is how long each rate is measured (default
//! 5), `EVENT_BRIDGE_ROUNDS` how often they take turns, `END_TO_END_ROUTER` another executable to take.

mod support;

use std::cell::Cell;
use std::convert::Infallible;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use aws_sdk_eventbridge::config::{BehaviorVersion, Credentials, Region, StalledStreamProtectionConfig};
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use memchr::memmem;
use serde_json::Value;
use serde_json::value::RawValue;
use support::{Folder, PATIENCE, Process, Result, aim, beside, executable, get, median};
use vmware_event_router::event::{Attributes, PageBuilder};

/// Of what the bare loop puts, at least.
const SPEED_AIM: f64 = 0.8;

/// Calls under way at once, in both.
const CALLS: usize = 64;

/// A bus that takes everything at once and counts it, in one thread.
async fn bus() -> Result<()> {
    let counts = Rc::new((Cell::new(0_u64), Cell::new(0_u64)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let counts = Rc::clone(&counts);
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| answer(request, Rc::clone(&counts)));
            drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

type Counts = Rc<(Cell<u64>, Cell<u64>)>;

async fn answer(request: Request<Incoming>, counts: Counts) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let (events, calls) = &*counts;
    if request.uri().path() == "/figures" {
        return Ok(Response::new(Full::from(format!("{} {}", events.get(), calls.get()))));
    }
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    // Within an event's own text, quotation marks are escaped.
    let entries = memmem::find_iter(&body, b"\"EventBusName\":").count();
    events.set(events.get() + entries as u64);
    calls.set(calls.get() + 1);
    let entry = r#"{"EventId":"7bf73129-1428-4cd3-a780-95db273d1602"}"#;
    let text = format!(r#"{{"FailedEntryCount":0,"Entries":[{}]}}"#, vec![entry; entries].join(","));
    Ok(Response::new(Full::from(text)))
}

/// AWS's library, as its documentation shows it, and as many calls under way as the router has.
async fn bare_loop(address: &str) -> Result<()> {
    let config = aws_sdk_eventbridge::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .endpoint_url(format!("http://{address}"))
        .credentials_provider(Credentials::new("AKIDEXAMPLE", "secret", None, None, "bench"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build();
    let client = aws_sdk_eventbridge::Client::from_conf(config);
    let events: Rc<[String]> = events()?.into();
    let calls = (0..CALLS).map(|call| {
        let (client, events) = (client.clone(), Rc::clone(&events));
        tokio::task::spawn_local(async move {
            let mut next = call * 10;
            loop {
                let entries = (next..next + 10).map(|at| {
                    PutEventsRequestEntry::builder()
                        .source("https://10.0.0.1:443/sdk")
                        .detail_type("VmPoweredOnEvent")
                        .event_bus_name("default")
                        .resources("vm-56")
                        .detail(&events[at % events.len()])
                        .build()
                });
                let answer = client.put_events().set_entries(Some(entries.collect())).send().await?;
                if answer.failed_entry_count() > 0 {
                    return Err::<(), Box<dyn std::error::Error>>("an event was refused".into());
                }
                next += 10;
            }
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await??;
    }
    Ok(())
}

/// Captured events of 45 classes, as CloudEvents.
fn events() -> Result<Vec<String>> {
    let mut page = PageBuilder::new("vc".into(), "https://10.0.0.1:443/sdk", &[]);
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vcsim"))? {
        let path = file?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let payloads = fs::read_to_string(&path)?;
        let attributes = Attributes {
            id: "08179137-b8e0-4973-b05f-8f212bf5003b",
            kind: "com.vmware.event.router/event",
            subject: "VmPoweredOnEvent",
            time: "2026-11-22T10:00:00.123Z",
            ..Attributes::default()
        };
        for payload in serde_json::from_str::<Vec<&RawValue>>(&payloads)? {
            page.push(&attributes, payload.get().as_bytes());
        }
    }
    page.finish().iter().map(|event| Ok(String::from_utf8(event.json().to_vec())?)).collect()
}

/// Starts this executable in another part.
fn part(arguments: &[&str]) -> Result<Process> {
    let mut command = Command::new(env::current_exe()?);
    Process::start("a part of the bench", command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()))
}

fn figures(bus: &str) -> Result<[f64; 2]> {
    let (_, body) = get(bus, "/figures")?;
    let all: Vec<f64> = body.split(' ').map(str::parse).collect::<std::result::Result<_, _>>()?;
    all.try_into().map_err(|_| "the bus has other figures".into())
}

/// Events a second, events a call, and processor time of `who` in microseconds an event.
fn watch(bus: &str, who: &Process, seconds: f64) -> Result<[f64; 3]> {
    let deadline = Instant::now() + PATIENCE;
    while figures(bus)?[0] < 20_000.0 {
        if Instant::now() > deadline {
            return Err("events do not come".into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    let ([events, calls], cpu, started) = (figures(bus)?, who.cpu()?, Instant::now());
    // Not a wait for something: what happens meanwhile is what is measured.
    thread::sleep(Duration::from_secs_f64(seconds));
    let ([now, all], after, took) = (figures(bus)?, who.cpu()?, started.elapsed());
    let put = now - events;
    Ok([put / took.as_secs_f64(), put / (all - calls), (after - cpu).as_secs_f64() * 1e6 / put])
}

struct Stage {
    router: PathBuf,
    folder: Folder,
    seconds: f64,
}

impl Stage {
    fn bus() -> Result<(Process, String)> {
        let mut bus = part(&["bus"])?;
        let line = bus.lines_to("listening on ")?.pop().unwrap_or_default();
        let address = line.strip_prefix("listening on http://").ok_or("it names no address")?.to_owned();
        Ok((bus, address))
    }

    fn bare(&self) -> Result<[f64; 3]> {
        let (_bus, address) = Self::bus()?;
        let bare = part(&["loop", &address])?;
        watch(&address, &bare, self.seconds)
    }

    fn router(&self, pattern: Option<&str>) -> Result<[f64; 3]> {
        let (_bus, address) = Self::bus()?;
        let mut vcenter = Command::new(&self.router);
        vcenter.args(["simulate", "--listen", "127.0.0.1:0", "--log-level", "error", "--machines", "500"]);
        vcenter.args(["--keep", "20000", "--rate", "max", "--tls=false"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut vcenter = Process::start("the vCenter", &mut vcenter)?;
        let lines = vcenter.lines_to("stream ")?;
        let entry: Value = serde_json::from_str(
            lines.iter().find_map(|line| line.strip_prefix("stream ")).ok_or("it names no stream")?,
        )?;
        let metrics = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut options = serde_json::json!({
            "aws_region": "eu-central-1",
            "aws_endpoint_url": format!("http://{address}"),
            "aws_all_events": "true",
            "concurrency": CALLS.to_string(),
        });
        if let Some(pattern) = pattern {
            options["pattern"] = pattern.into();
        }
        let secret = serde_json::json!({"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret"});
        let config = serde_json::json!([
            entry,
            {"type": "processor", "provider": "aws_event_bridge", "options": options,
             "auth": {"method": "access_key", "secret": secret}},
            {"type": "journal", "provider": "memory", "options": {"max_bytes": "64MiB"}},
            {"type": "metrics", "provider": "internal", "address": metrics.to_string(), "auth": {"method": "none"}},
        ]);
        let file = self.folder.0.join("config.json");
        fs::write(&file, config.to_string())?;
        let mut router = Command::new(&self.router);
        router.args(["-log-level", "error", "-config"]).arg(&file).stdout(Stdio::null());
        let router = Process::start("the router", router.env("STATE_DIRECTORY", &self.folder.0))?;
        watch(&address, &router, self.seconds)
    }
}

fn number(variable: &str, otherwise: f64) -> Result<f64> {
    Ok(env::var(variable).ok().map(|text| text.parse()).transpose()?.unwrap_or(otherwise))
}

fn measure() -> Result<()> {
    let stage = Stage {
        router: executable(
            "END_TO_END_ROUTER",
            beside()?.join("vmware-event-router"),
            "run `cargo build --release --locked`",
        )?,
        folder: Folder::new("event-bridge")?,
        seconds: number("EVENT_BRIDGE_SECONDS", 5.0)?,
    };
    let rounds = number("EVENT_BRIDGE_ROUNDS", 3.0)? as usize;
    println!("EventBridge: events put a second, median of {rounds} rounds of {} s", stage.seconds);
    // All that the simulated vCenter has.
    let chosen = r#"{"type":[{"prefix":"com.vmware"}],"data":{"Key":[{"numeric":[">",0]}]}}"#;
    let mut rows = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (row, measured) in rows.iter_mut().zip([stage.bare()?, stage.router(None)?, stage.router(Some(chosen))?]) {
            row.push(measured);
        }
    }
    let of = |row: &[[f64; 3]], at: usize| median(row.iter().map(|measured| measured[at]).collect());
    for (name, row) in ["AWS's library in a bare loop", "the router", "the router, with a pattern"].iter().zip(&rows) {
        let ratio = median(row.iter().zip(&rows[0]).map(|(one, bare)| one[0] / bare[0]).collect());
        let told =
            if name.starts_with("the") { aim(ratio >= SPEED_AIM, "80 % of the bare loop") } else { String::new() };
        println!(
            "  {name}: {:.0}, {:.1} a call, {:.2} us of its processor time each; {:.0} %{told}",
            of(row, 0),
            of(row, 1),
            of(row, 2),
            ratio * 100.0
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let local = |part: &dyn Fn() -> std::pin::Pin<Box<dyn Future<Output = Result<()>>>>| -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        tokio::task::LocalSet::new().block_on(&runtime, part())
    };
    let done = match arguments[..] {
        ["bus"] => local(&|| Box::pin(bus())),
        ["loop", address] => {
            let address = address.to_owned();
            local(&move || {
                let address = address.clone();
                Box::pin(async move { bare_loop(&address).await })
            })
        }
        _ => measure(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
