//! What it costs to put events on a bus of AWS EventBridge: from vCenter's page to the answer of `PutEvents`, against
//! AWS's own library in a bare loop that does nothing else, at the same stand-in for AWS. Run by `make bench`.
//!
//! Everything that takes part is a process of its own. `EVENT_BRIDGE_SECONDS` is how long each rate is measured (default
//! 3), `EVENT_BRIDGE_ROUNDS` how often they take turns, `END_TO_END_ROUTER` another executable to take.

mod support;

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use aws_sdk_eventbridge::config::{BehaviorVersion, Credentials, Region, StalledStreamProtectionConfig};
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use memchr::memmem;
use serde_json::Value;
use support::{Folder, PATIENCE, Process, Result, aim, beside, executable, get, median};

/// Of what the bare loop puts, at least.
const SPEED_AIM: f64 = 0.8;

/// Calls under way at once, in both.
const CALLS: usize = 64;

/// Virtual machines of the vCenter.
const MACHINES: &str = "500";

/// So many calls of the router's are kept. What they carry is more than a core's cache holds, as events always are.
const KEPT: usize = 500;

/// What a bus was given.
#[derive(Default)]
struct Given {
    events: u64,
    calls: u64,
    bytes: u64,
    /// The first calls.
    kept: Vec<Bytes>,
}

/// A bus that takes everything at once and counts it, in one thread.
async fn bus() -> Result<()> {
    let given = Rc::new(RefCell::new(Given::default()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let given = Rc::clone(&given);
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| answer(request, Rc::clone(&given)));
            drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    given: Rc<RefCell<Given>>,
) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    match request.uri().path() {
        "/figures" => {
            let Given { events, calls, bytes, .. } = &*given.borrow();
            return Ok(Response::new(Full::from(format!("{events} {calls} {bytes}"))));
        }
        "/kept" => return Ok(Response::new(Full::from(given.borrow().kept.join(&b'\n')))),
        _ => {}
    }
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    // Within an event's own text, quotation marks are escaped.
    let entries = memmem::find_iter(&body, b"\"EventBusName\":").count();
    let mut given = given.borrow_mut();
    given.events += entries as u64;
    given.calls += 1;
    given.bytes += body.len() as u64;
    if given.kept.len() < KEPT {
        given.kept.push(body);
    }
    let entry = r#"{"EventId":"7bf73129-1428-4cd3-a780-95db273d1602"}"#;
    let text = format!(r#"{{"FailedEntryCount":0,"Entries":[{}]}}"#, vec![entry; entries].join(","));
    Ok(Response::new(Full::from(text)))
}

/// AWS's library, as its documentation shows it, with what the router put before, over and over, and as many calls under
/// way as the router has.
async fn bare_loop(address: &str, kept: &str) -> Result<()> {
    let config = aws_sdk_eventbridge::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .endpoint_url(format!("http://{address}"))
        .credentials_provider(Credentials::new("AKIDEXAMPLE", "secret", None, None, "bench"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build();
    let client = aws_sdk_eventbridge::Client::from_conf(config);
    let entries: Rc<[PutEventsRequestEntry]> = entries(&fs::read_to_string(kept)?)?.into();
    let calls = (0..CALLS).map(|call| {
        let (client, entries) = (client.clone(), Rc::clone(&entries));
        tokio::task::spawn_local(async move {
            for batch in entries.chunks(10).cycle().skip(call * 7) {
                let answer = client.put_events().set_entries(Some(batch.to_vec())).send().await?;
                if answer.failed_entry_count() > 0 {
                    return Err::<(), Box<dyn std::error::Error>>("an event was refused".into());
                }
            }
            Ok(())
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await??;
    }
    Ok(())
}

/// As the router says it: digits beyond would be longer.
fn to_the_microsecond(seconds: f64) -> DateTime {
    let micros = (seconds * 1e6).round() as i64;
    DateTime::from_secs_and_nanos(micros.div_euclid(1_000_000), (micros.rem_euclid(1_000_000) * 1000) as u32)
}

/// What calls carry, one in each line.
fn entries(calls: &str) -> Result<Vec<PutEventsRequestEntry>> {
    let mut entries = Vec::new();
    for call in calls.lines() {
        let call: Value = serde_json::from_str(call)?;
        for entry in call["Entries"].as_array().into_iter().flatten() {
            let text = |name: &str| entry[name].as_str().map(str::to_owned);
            let resources = entry["Resources"].as_array();
            let resources =
                resources.map(|all| all.iter().filter_map(|one| Some(one.as_str()?.to_owned())).collect::<Vec<_>>());
            entries.push(
                PutEventsRequestEntry::builder()
                    .set_time(entry["Time"].as_f64().map(to_the_microsecond))
                    .set_source(text("Source"))
                    .set_detail_type(text("DetailType"))
                    .set_detail(text("Detail"))
                    .set_resources(resources)
                    .set_event_bus_name(text("EventBusName"))
                    .set_trace_header(text("TraceHeader"))
                    .build(),
            );
        }
    }
    Ok(entries)
}

/// Starts this executable in another part.
fn part(arguments: &[&str]) -> Result<Process> {
    let mut command = Command::new(env::current_exe()?);
    Process::start("a part of the bench", command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()))
}

fn figures(bus: &str) -> Result<[f64; 3]> {
    let (_, body) = get(bus, "/figures")?;
    let all: Vec<f64> = body.split(' ').map(str::parse).collect::<std::result::Result<_, _>>()?;
    all.try_into().map_err(|_| "the bus has other figures".into())
}

/// Events a second, events a call, bytes of an event, and processor time of `who` in microseconds for one.
fn watch(bus: &str, who: &Process, seconds: f64) -> Result<[f64; 4]> {
    let deadline = Instant::now() + PATIENCE;
    while figures(bus)?[0] < 20_000.0 {
        if Instant::now() > deadline {
            return Err("events do not come".into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    let ([events, calls, bytes], cpu, started) = (figures(bus)?, who.cpu()?, Instant::now());
    // Not a wait for something: what happens meanwhile is what is measured.
    thread::sleep(Duration::from_secs_f64(seconds));
    let ([now, all, sent], after, took) = (figures(bus)?, who.cpu()?, started.elapsed());
    let put = now - events;
    Ok([put / took.as_secs_f64(), put / (all - calls), (sent - bytes) / put, (after - cpu).as_secs_f64() * 1e6 / put])
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

    fn bare(&self) -> Result<[f64; 4]> {
        let (_bus, address) = Self::bus()?;
        let kept = self.folder.0.join("kept");
        let bare = part(&["loop", &address, kept.to_str().ok_or("a folder has a strange name")?])?;
        watch(&address, &bare, self.seconds)
    }

    fn router(&self, more: &[(&str, &str)]) -> Result<[f64; 4]> {
        let (_bus, address) = Self::bus()?;
        let mut vcenter = Command::new(&self.router);
        vcenter.args(["simulate", "--listen", "127.0.0.1:0", "--log-level", "error", "--machines", MACHINES]);
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
        for (name, value) in more {
            options[*name] = (*value).into();
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
        let measured = watch(&address, &router, self.seconds)?;
        let (_, kept) = get(&address, "/kept")?;
        fs::write(self.folder.0.join("kept"), kept)?;
        Ok(measured)
    }
}

fn number(variable: &str, otherwise: f64) -> Result<f64> {
    Ok(env::var(variable).ok().map(|text| text.parse()).transpose()?.unwrap_or(otherwise))
}

/// What is measured, and how.
type Row<'a> = (&'a str, &'a dyn Fn() -> Result<[f64; 4]>);

fn measure() -> Result<()> {
    let stage = Stage {
        router: executable(
            "END_TO_END_ROUTER",
            beside()?.join("vmware-event-router"),
            "run `cargo build --release --locked`",
        )?,
        folder: Folder::new("event-bridge")?,
        seconds: number("EVENT_BRIDGE_SECONDS", 3.0)?,
    };
    let rounds = number("EVENT_BRIDGE_ROUNDS", 5.0)? as usize;
    println!("EventBridge: events put a second, median of {rounds} rounds of {} s", stage.seconds);
    // All that the simulated vCenter has.
    let chosen = r#"{"type":[{"prefix":"com.vmware"}],"data":{"Key":[{"numeric":[">",0]}]}}"#;
    // For what it puts, and to warm up.
    stage.router(&[])?;
    let rows: [Row<'_>; 4] = [
        ("AWS's library in a bare loop", &|| stage.bare()),
        ("the router", &|| stage.router(&[])),
        ("the router, with a pattern", &|| stage.router(&[("pattern", chosen)])),
        // The loop keeps no order either.
        ("the router, with ordering none", &|| stage.router(&[("ordering", "none")])),
    ];
    let mut measured = [const { Vec::new() }; 4];
    for _ in 0..rounds {
        for ((_, measure), row) in rows.iter().zip(&mut measured) {
            row.push(measure()?);
        }
    }
    let of = |row: &[[f64; 4]], at: usize| median(row.iter().map(|measured| measured[at]).collect());
    for ((name, _), row) in rows.iter().zip(&measured) {
        let ratio = median(row.iter().zip(&measured[0]).map(|(one, bare)| one[0] / bare[0]).collect());
        let told = if *name == "the router" { aim(ratio >= SPEED_AIM, "80 % of the bare loop") } else { String::new() };
        println!(
            "  {name}: {:.0}, {:.1} a call, {:.0} bytes and {:.2} us of its processor time each; {:.0} %{told}",
            of(row, 0),
            of(row, 1),
            of(row, 2),
            of(row, 3),
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
        ["loop", address, kept] => {
            let (address, kept) = (address.to_owned(), kept.to_owned());
            local(&move || {
                let (address, kept) = (address.clone(), kept.clone());
                Box::pin(async move { bare_loop(&address, &kept).await })
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
