//! The HTTP server: who may ask what.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ring::digest;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

use super::api::{self, Api};
use super::stats;
use crate::config::Secret;
use crate::telemetry::Telemetry;

/// Callers served at once. One more takes the place of one that has long asked nothing,
/// so that nobody can keep probes out by holding connections open.
const MOST_CONNECTIONS: usize = 128;

/// How long a caller keeps its place without having asked, when others wait for one.
const STALE: Duration = Duration::from_secs(1);

/// As much of a body is kept.
const MOST_BODY: usize = 64 * 1024;

/// How long a caller may take to send its headers, and to be answered.
const PATIENCE: Duration = Duration::from_secs(15);

const JSON: &str = "application/json; charset=utf-8";

/// How long an answer that is ready may take to be sent when the router ends.
const FLUSH: Duration = Duration::from_secs(1);

/// Takes what asynchronous functions' queues say later.
#[async_trait]
pub trait Callbacks: Send + Sync {
    /// The query that was signed, and the headers and body that tell how it went.
    async fn take(&self, query: &str, headers: &HeaderMap, body: &[u8]) -> StatusCode;
}

/// What the server shows.
pub struct Admin {
    /// The components' state and metrics.
    pub telemetry: Arc<Telemetry>,
    /// What commands ask, and the journal's figures.
    pub api: Api,
    /// User and password, if callers must give them.
    pub auth: Option<(Secret, Secret)>,
    /// Takes callbacks of asynchronous functions.
    pub callbacks: Box<dyn Callbacks>,
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    admin: Arc<Admin>,
}

impl Server {
    /// Begins to listen.
    ///
    /// # Errors
    /// The address is taken, or is not one of this machine.
    pub async fn bind(address: &str, admin: Admin) -> io::Result<Self> {
        Self::on(TcpListener::bind(address).await?, admin)
    }

    /// Takes a listener that is open already.
    ///
    /// # Errors
    /// It is none that tokio can use.
    pub fn open(listener: std::net::TcpListener, admin: Admin) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Self::on(TcpListener::from_std(listener)?, admin)
    }

    fn on(listener: TcpListener, admin: Admin) -> io::Result<Self> {
        info!(address = %listener.local_addr()?, "metrics server listens");
        Ok(Self { listener, admin: Arc::new(admin) })
    }

    /// What it shows, for another server that shows the same.
    #[must_use]
    pub fn admin(&self) -> Arc<Admin> {
        Arc::clone(&self.admin)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<std::net::SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until stopped, and finishes what it has begun to answer.
    pub async fn run(self, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let mut callers = Callers::default();
        loop {
            while !callers.have_room() && !stop.is_cancelled() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let stream = tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Out of descriptors, most likely: others will be closed.
                        debug!(%error, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
                () = stop.cancelled() => break,
            };
            tasks.spawn(serve(stream, Arc::clone(&self.admin), stop.clone(), callers.admit(), Trust::Asked));
        }
        tasks.close();
        tasks.wait().await;
    }
}

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// All: it could open the socket.
    Full,
    /// What its password allows.
    Asked,
}

/// One connection.
pub(super) struct Caller {
    /// Since when it has asked nothing that is not answered; none while it waits for an answer.
    idle: Mutex<Option<Instant>>,
    /// Its place is needed.
    evicted: CancellationToken,
}

impl Caller {
    pub(super) fn new() -> Self {
        Self { idle: Mutex::new(Some(Instant::now())), evicted: CancellationToken::new() }
    }

    fn set_idle(&self, idle: Option<Instant>) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = idle;
    }

    fn idle(&self) -> Option<Instant> {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those that are connected, the oldest first.
#[derive(Default)]
struct Callers(VecDeque<Arc<Caller>>);

impl Callers {
    /// Whether there is room for one more, if need be by sending another away.
    fn have_room(&mut self) -> bool {
        if self.0.len() >= MOST_CONNECTIONS {
            // Whose task has ended is held by nobody else.
            self.0.retain(|caller| Arc::strong_count(caller) > 1);
        }
        if self.0.len() < MOST_CONNECTIONS {
            return true;
        }
        let stale = |caller: &Arc<Caller>| caller.idle().is_some_and(|since| since.elapsed() >= STALE);
        let Some(caller) = self.0.iter().position(stale).and_then(|at| self.0.remove(at)) else { return false };
        caller.evicted.cancel();
        true
    }

    fn admit(&mut self) -> Arc<Caller> {
        let caller = Arc::new(Caller::new());
        self.0.push_back(Arc::clone(&caller));
        caller
    }
}

pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    admin: Arc<Admin>,
    stop: CancellationToken,
    caller: Arc<Caller>,
    trust: Trust,
) {
    let asking = Arc::clone(&caller);
    let service = service_fn(move |request| {
        let (admin, caller) = (Arc::clone(&admin), Arc::clone(&asking));
        async move {
            let answer = answer(&admin, &caller, request, trust).await;
            caller.set_idle(Some(Instant::now()));
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            // One that has asked nothing is owed nothing.
            let patience = if caller.idle().is_none() { PATIENCE } else { FLUSH };
            tokio::time::timeout(patience, connection).await.unwrap_or(Ok(()))
        }
        () = caller.evicted.cancelled() => Ok(()),
    };
    if let Err(error) = ended {
        debug!(%error, "a caller of the metrics server went away");
    }
}

async fn answer(admin: &Admin, caller: &Caller, request: Request<Incoming>, trust: Trust) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    if let Some(path) = path.strip_prefix(api::PREFIX) {
        let Ok(body) = tokio::time::timeout(PATIENCE, read(body)).await else {
            return text(StatusCode::REQUEST_TIMEOUT, "the body is too slow");
        };
        caller.set_idle(None);
        let call = api::Call { method: &head.method, path, query: head.uri.query().unwrap_or_default(), body: &body };
        if trust == Trust::Asked {
            if !admin.admits(&head.headers) {
                return unauthorized();
            }
            if call.changes() && admin.auth.is_none() {
                let why = "what changes something needs basic_auth at the metrics server, or the router's socket";
                return json(StatusCode::FORBIDDEN, &json!({ "error": why }));
            }
        }
        let (status, body) = admin.api.answer(call).await;
        return with(status, JSON, body);
    }
    if head.method == Method::POST {
        // The only thing that is posted here; the path is whatever the operator's proxy made of it.
        let Ok(body) = tokio::time::timeout(PATIENCE, read(body)).await else {
            return text(StatusCode::REQUEST_TIMEOUT, "the body is too slow");
        };
        caller.set_idle(None);
        let query = head.uri.query().unwrap_or_default();
        let status = admin.callbacks.take(query, &head.headers, &body).await;
        return text(status, status.canonical_reason().unwrap_or_default());
    }
    caller.set_idle(None);
    if !matches!(head.method, Method::GET | Method::HEAD) {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is understood here");
        answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match path {
        "/healthz" => text(StatusCode::OK, "ok"),
        "/readyz" => {
            let mut reasons = admin.telemetry.not_ready();
            reasons.extend(admin.api.journal.stats().trouble.map(|trouble| format!("journal: {trouble}")));
            let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            json(status, &json!({ "ready": reasons.is_empty(), "reasons": reasons }))
        }
        "/" | "/stats" | "/metrics" if trust == Trust::Asked && !admin.admits(&head.headers) => unauthorized(),
        "/stats" => json(StatusCode::OK, &stats::page(&admin.telemetry, &*admin.api.journal)),
        "/metrics" => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            with(StatusCode::OK, kind, admin.telemetry.metrics())
        }
        "/" => text(StatusCode::OK, "VMware Event Router\n\n/stats\n/metrics\n/healthz\n/readyz"),
        _ => text(StatusCode::NOT_FOUND, "there are /stats, /metrics, /healthz and /readyz"),
    }
}

fn unauthorized() -> Response<Full<Bytes>> {
    let mut answer = text(StatusCode::UNAUTHORIZED, "a user and a password are required");
    let realm = HeaderValue::from_static("Basic realm=\"vmware-event-router\", charset=\"UTF-8\"");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
    answer
}

/// The beginning of a body. However large a function's answer is, its status tells how it went.
async fn read(mut body: Incoming) -> Vec<u8> {
    let mut read = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data() {
            let room = MOST_BODY - read.len();
            read.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    read
}

impl Admin {
    fn admits(&self, headers: &HeaderMap) -> bool {
        let Some((username, password)) = &self.auth else { return true };
        let (Ok(username), Ok(password)) = (username.read(), password.read()) else { return false };
        let expected = crate::http::basic_auth(username.expose(), password.expose());
        let Some(given) = headers.get(header::AUTHORIZATION) else { return false };
        // Digests, so that how long the comparison takes tells nothing of the password.
        let digest = |value: &HeaderValue| {
            let bytes = value.as_bytes();
            let scheme = bytes.iter().position(|b| *b == b' ').unwrap_or(0);
            let mut lower = bytes[..scheme].to_ascii_lowercase();
            lower.extend_from_slice(&bytes[scheme..]);
            digest::digest(&digest::SHA256, &lower)
        };
        digest(given).as_ref() == digest(&expected).as_ref()
    }
}

fn with(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn text(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    with(status, "text/plain; charset=utf-8", format!("{body}\n"))
}

fn json(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    with(status, JSON, format!("{body:#}\n"))
}
