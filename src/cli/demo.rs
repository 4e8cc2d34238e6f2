//! `demo`: a simulated vCenter, functions, and the router between them, in one process.

mod functions;
mod lines;
mod options;
mod record;
mod screen;
mod view;

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

pub use options::Demo;

use super::args::LogOptions;
use super::logging::{self, Recent};
use super::{FAILED, OK, complain, run};
use crate::admin::Process;
use crate::router::{Router, RouterConfig};
use crate::simulator::Size;
use crate::simulator::gateway::Gateway;
use crate::simulator::vcenter::{Options, Rate, Server};
use crate::telemetry::{StreamState, Telemetry};
use functions::NAMES;
use record::Record;
use screen::{Input, Screen};
use view::{Figures, Function, Health};

/// A port that the system chooses, for nobody but this machine.
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Where the metrics server is looked for, if nobody else is there.
const METRICS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// User and password of the vCenter and of the gateway: both are for this machine alone, and end with the demo.
const USER: &str = "demo";
const PASSWORD: &str = "demo";

/// How often the view is drawn.
const DRAWN: Duration = Duration::from_millis(125);

/// How long the last lines may take to be read by whoever reads them.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn run(demo: &Demo, log: LogOptions) -> ExitCode {
    let file = match demo.log.as_ref().map(|path| open(path)).transpose() {
        Ok(file) => file,
        Err(error) => {
            complain(&format!("--log: {error}\n"));
            return FAILED.into();
        }
    };
    let live = io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|kind| kind != "dumb");
    let recent = match (live, file) {
        (true, file) => Some(logging::start_kept(log, file)),
        (false, Some(file)) => {
            logging::start_in(log, file);
            None
        }
        (false, None) => {
            logging::start(log);
            None
        }
    };
    run::runtime(async {
        match show(demo, recent).await {
            Ok(true) => OK.into(),
            Ok(false) => FAILED.into(),
            Err(why) => {
                complain(&format!("{why}\n"));
                FAILED.into()
            }
        }
    })
}

fn open(path: &std::path::Path) -> Result<File, String> {
    OpenOptions::new().create(true).append(true).open(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Shows it until the end. Whether it went well; an error says what could not even begin.
async fn show(demo: &Demo, recent: Option<Recent>) -> Result<bool, String> {
    let stop = CancellationToken::new();
    let signals = run::on_signal(stop.clone(), screen::give_back);
    tokio::spawn(signals.map_err(|error| format!("signals cannot be received: {error}"))?);

    let unusable = |error: io::Error| format!("the terminal cannot be used: {error}; for plain lines, add: | cat");
    let mut screen = recent.is_some().then(Screen::take).transpose().map_err(unusable)?;
    let mut keyboard = match &mut screen {
        Some(screen) => {
            screen.draw(&Figures::default()).map_err(unusable)?;
            Some(screen::listen().map_err(unusable)?)
        }
        None => None,
    };
    let (settled, rows) = mpsc::channel(lines::WAITING);
    let record = Arc::new(Mutex::new(Record::new(&functions::topics(), screen.is_none().then_some(settled))));
    let printed = match &screen {
        Some(_) => None,
        None => Some(lines::print(rows, &NAMES, stop.clone()).map_err(|error| format!("no thread: {error}"))?),
    };

    let began = Instant::now();
    let (router, watched, peers) = begin(demo, &record, recent).await?;
    let (peers_stop, peer_tasks) = peers;
    let mut routing = std::pin::pin!(router.run(stop.clone()));
    let mut end = std::pin::pin!(tokio::time::sleep(demo.lasts.unwrap_or(Duration::MAX)));
    let mut drawing = tokio::time::interval(DRAWN);
    drawing.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut by_itself = false;
    let ended = loop {
        tokio::select! {
            ended = &mut routing => break ended,
            () = &mut end, if !stop.is_cancelled() => {
                by_itself = true;
                stop.cancel();
            }
            input = pressed(&mut keyboard) => match input {
                Some(Input::End) if stop.is_cancelled() => {
                    screen::give_back();
                    std::process::exit(i32::from(FAILED));
                }
                Some(Input::End) => stop.cancel(),
                Some(Input::Resized) => drawing.reset_immediately(),
                None => keyboard = None,
            },
            _ = drawing.tick(), if screen.is_some() => {
                if let Some(screen) = &mut screen {
                    let figures = watched.figures(began.elapsed(), stop.is_cancelled(), screen.height());
                    // A terminal that went away is no place to show anything.
                    if screen.draw(&figures).is_err() {
                        stop.cancel();
                    }
                }
            }
        }
    };
    let live = screen.is_some();
    drop(screen);
    peers_stop.cancel();
    peer_tasks.wait().await;
    ended.map_err(|error| error.to_string())?;

    let delivered = lock(&record).delivered();
    let read = finish(&record, live, printed).await;
    Ok(read && (delivered > 0 || !by_itself))
}

type Peers = (CancellationToken, TaskTracker);

/// Starts the vCenter and the gateway, and builds the router between them.
async fn begin(
    demo: &Demo,
    record: &Arc<Mutex<Record>>,
    recent: Option<Recent>,
) -> Result<(Router, Watched, Peers), String> {
    let refused = |what: &str, error: &dyn std::fmt::Display| format!("{what} cannot listen on loopback: {error}");
    let gateway = Gateway::bind(LOOPBACK, USER, PASSWORD, functions::functions(record))
        .await
        .map_err(|error| refused("the gateway", &error))?;
    let gateway_address = gateway.address().map_err(|error| refused("the gateway", &error))?;
    let vcenter = Server::start(Options {
        listen: LOOPBACK,
        username: USER.to_owned(),
        password: PASSWORD.to_owned(),
        rate: Rate::PerSecond(demo.rate),
        seed: demo.seed,
        size: Size { machines: demo.machines },
        keep: 100_000,
        ..Options::default()
    })
    .await
    .map_err(|error| refused("the vCenter", &error))?;
    let sdk = vcenter.url();
    let listener = TcpListener::bind(METRICS)
        .or_else(|_| TcpListener::bind(LOOPBACK))
        .map_err(|error| refused("the metrics server", &error))?;
    let metrics = listener.local_addr().map_err(|error| refused("the metrics server", &error))?;

    let config = configuration(&sdk, vcenter.thumbprint().unwrap_or_default(), gateway_address, metrics)?;
    let router = Router::new(config).listening_on(listener);
    let watched = Watched {
        telemetry: router.telemetry(),
        fill: Box::new({
            let journal = router.journal();
            move || {
                let stats = journal.stats();
                stats.pinned_bytes as f64 / stats.max_bytes.max(1) as f64
            }
        }),
        record: Arc::clone(record),
        recent,
        metrics,
        vcenter: sdk.replacen("://", &format!("://{USER}:{PASSWORD}@"), 1),
    };
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    tasks.spawn(gateway.run(stop.clone()));
    tasks.spawn(vcenter.run(stop.clone()));
    tasks.close();
    info!(vcenter = sdk, stats = %format!("http://{metrics}/stats"), "the demo begins");
    Ok((router, watched, (stop, tasks)))
}

/// What somebody would write into a file, who has such a vCenter and such a gateway.
fn configuration(
    vcenter: &str,
    thumbprint: &str,
    gateway: SocketAddr,
    metrics: SocketAddr,
) -> Result<RouterConfig, String> {
    let secret = json!({ "username": USER, "password": PASSWORD });
    let config = json!([
        {
            "type": "stream",
            "provider": "vmware_vcenter",
            "name": "vcenter",
            "address": vcenter,
            "auth": { "method": "user_password", "secret": secret },
            // From before the start, so that what happens until the login is shown too.
            "options": { "thumbprint": thumbprint, "begin": "-1m" },
        },
        {
            "type": "processor",
            "provider": "openfaas",
            "name": "functions",
            "address": format!("http://{gateway}"),
            "auth": { "method": "basic_auth", "secret": secret },
        },
        {
            "type": "metrics",
            "provider": "internal",
            "address": metrics.to_string(),
            "auth": { "method": "none" },
        },
    ]);
    RouterConfig::parse("demo", config.to_string().as_bytes()).map_err(|problems| problems.to_string())
}

/// What somebody pressed. Never ends if there is no keyboard.
async fn pressed(keyboard: &mut Option<mpsc::Receiver<Input>>) -> Option<Input> {
    match keyboard {
        Some(keyboard) => keyboard.recv().await,
        None => std::future::pending().await,
    }
}

/// Says how it went. Whether everything that was printed could be.
async fn finish(
    record: &Mutex<Record>,
    live: bool,
    printed: Option<tokio::sync::oneshot::Receiver<io::Result<()>>>,
) -> bool {
    let (summary, missed) = {
        let mut record = lock(record);
        record.finish();
        let (events, delivered) = (record.events(), record.delivered());
        (format!("{events} events, {delivered} deliveries to {} functions", NAMES.len()), record.missed())
    };
    if live {
        let next = "Your own vCenter: README.md says how, in \"Against your vCenter\".";
        return super::print(&format!("{summary}.\n{next}\n")) == OK.into();
    }
    let read = match printed {
        Some(printed) => matches!(tokio::time::timeout(PATIENCE, printed).await, Ok(Ok(Ok(())))),
        None => true,
    };
    if missed > 0 {
        warn!(missed, "events were not printed, since whoever reads them is too slow");
    }
    info!("{summary}");
    read
}

/// Where the figures come from.
struct Watched {
    telemetry: Arc<Telemetry>,
    /// How full the journal is.
    fill: Box<dyn Fn() -> f64>,
    record: Arc<Mutex<Record>>,
    recent: Option<Recent>,
    metrics: SocketAddr,
    vcenter: String,
}

impl Watched {
    fn figures(&self, elapsed: Duration, ending: bool, height: usize) -> Figures {
        let (streams, processors) = (self.telemetry.streams(), self.telemetry.processors());
        let stream = streams.first();
        let state = stream.map(|stream| stream.state());
        let targets = processors.first().map(|processor| processor.targets()).unwrap_or_default();
        let mut record = lock(&self.record);
        let counts = record.counts();
        let functions = NAMES.into_iter().zip(counts).map(|(name, counts)| {
            let target = targets.iter().find(|target| target.target.as_str() == name);
            let [attempts, _, failures, retried, _] = target.map(|target| target.counts()).unwrap_or_default();
            let health = match target {
                Some(target) if target.circuit_is_open() => Health::Away,
                Some(target) if target.has_lane() => Health::CatchesUp,
                Some(_) if attempts > 0 => Health::Answers,
                _ => Health::Unknown,
            };
            Function {
                name,
                delivered: counts.delivered,
                retried,
                waiting: counts.expected.saturating_sub(counts.delivered + failures),
                p50: counts.p50,
                p99: counts.p99,
                health,
            }
        });
        Figures {
            elapsed,
            ending,
            stream: state.as_ref().map(|state| state.name().to_owned()).unwrap_or_default(),
            streaming: state == Some(StreamState::Streaming),
            rate: stream.map(|stream| stream.events_per_second()).unwrap_or_default(),
            journal: (self.fill)(),
            resident: Process::read().resident_bytes,
            functions: functions.collect(),
            events: record.newest(height),
            log: self.recent.as_ref().map(|recent| recent.newest(height)).unwrap_or_default(),
            metrics: Some(self.metrics),
            vcenter: self.vcenter.clone(),
        }
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    // What it guards is whole after every statement.
    record.lock().unwrap_or_else(PoisonError::into_inner)
}
