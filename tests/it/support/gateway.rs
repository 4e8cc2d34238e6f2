//! A stub OpenFaaS gateway that behaves as a real one was observed to: basic
//! auth on `/system/*` alone, functions that answer as a script says, a queue
//! with a worker that calls back, and every fault that callers meet in the field.
//!
//! It keeps what it was asked, so that a test can wait for it, and can be killed
//! and restarted on its port. `examples/stub_gateway.rs` is the same code.

#![allow(dead_code, reason = "each of the programs that include this file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a stub that cannot go on ends its test")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

/// The namespace of functions whose address names none.
pub(crate) const DEFAULT_NAMESPACE: &str = "openfaas-fn";

/// The user name that the gateway knows unless told otherwise.
pub(crate) const USERNAME: &str = "admin";

/// The password that the gateway knows unless told otherwise.
pub(crate) const PASSWORD: &str = "secret";

const CALL_ID: HeaderName = HeaderName::from_static("x-call-id");
const CALLBACK_URL: HeaderName = HeaderName::from_static("x-callback-url");

/// A test that waits this long for something waits in vain.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the gateway gives to an attempt to call a function.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// The function's own answer.
    Reply { status: u16, headers: Vec<(&'static str, String)>, body: Bytes },
    /// The function takes a while, as one that is scaled up from zero does.
    After(Duration, Box<Answer>),
    /// The function does not answer; the gateway says 502 when its own timeout is over.
    Hang,
    /// The function drops the connection: the gateway says 502.
    Drop,
    /// The gateway itself drops the caller's connection without an answer.
    Close,
}

impl Answer {
    /// 200 with a small body.
    pub(crate) fn ok() -> Self {
        Self::Reply { status: 200, headers: Vec::new(), body: Bytes::from_static(b"ok") }
    }

    /// A status with no body.
    pub(crate) fn status(status: u16) -> Self {
        Self::Reply { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// A status with a body.
    pub(crate) fn text(status: u16, body: impl Into<Bytes>) -> Self {
        Self::Reply { status, headers: Vec::new(), body: body.into() }
    }

    /// The same answer with one more header.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Reply { headers, .. } = &mut self {
            headers.push((name, value.into()));
        }
        self
    }

    /// The same answer, but later.
    pub(crate) fn after(self, delay: Duration) -> Self {
        Self::After(delay, Box::new(self))
    }
}

type Script = Arc<dyn Fn(&Invocation) -> Answer + Send + Sync>;

/// What a list of functions says of their annotations.
#[derive(Clone, Debug, Default)]
pub(crate) enum Annotations {
    /// Nothing at all.
    #[default]
    Absent,
    /// `null`.
    Null,
    /// These.
    Of(BTreeMap<String, String>),
}

/// A function that is deployed.
#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// The namespace that the list names; none leaves it out.
    pub(crate) namespace: Option<String>,
    pub(crate) annotations: Annotations,
    pub(crate) image: String,
    /// Zero is left out of the list.
    pub(crate) replicas: u64,
    script: Script,
}

impl Function {
    /// A function that answers 200; `name` may be `NAME.NAMESPACE`.
    pub(crate) fn new(name: &str) -> Self {
        let (name, namespace) = match name.rsplit_once('.') {
            Some((name, namespace)) => (name, Some(namespace.to_owned())),
            None => (name, None),
        };
        Self {
            name: name.to_owned(),
            namespace,
            annotations: Annotations::Absent,
            image: format!("registry.local/{name}:latest"),
            replicas: 1,
            script: Arc::new(|_| Answer::ok()),
        }
    }

    /// One that subscribes by the annotation `topic`.
    pub(crate) fn subscribed(name: &str, topics: &str) -> Self {
        Self::new(name).annotated("topic", topics)
    }

    /// With one more annotation.
    pub(crate) fn annotated(mut self, annotation: &str, value: &str) -> Self {
        let mut all = match self.annotations {
            Annotations::Of(all) => all,
            _ => BTreeMap::new(),
        };
        all.insert(annotation.to_owned(), value.to_owned());
        self.annotations = Annotations::Of(all);
        self
    }

    /// Answers every call alike.
    pub(crate) fn always(self, answer: Answer) -> Self {
        self.script(move |_| answer.clone())
    }

    /// Answers the first `times` calls in one way and the others in another.
    pub(crate) fn first(self, times: u64, answer: Answer, then: Answer) -> Self {
        self.script(move |call| if call.number <= times { answer.clone() } else { then.clone() })
    }

    /// Answers as the script says.
    pub(crate) fn script(mut self, script: impl Fn(&Invocation) -> Answer + Send + Sync + 'static) -> Self {
        self.script = Arc::new(script);
        self
    }

    fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE)
    }

    fn json(&self) -> serde_json::Value {
        let mut all = serde_json::Map::new();
        all.insert("name".into(), self.name.clone().into());
        all.insert("image".into(), self.image.clone().into());
        if let Some(namespace) = &self.namespace {
            all.insert("namespace".into(), namespace.clone().into());
        }
        match &self.annotations {
            Annotations::Absent => {}
            Annotations::Null => {
                all.insert("annotations".into(), serde_json::Value::Null);
            }
            Annotations::Of(annotations) => {
                all.insert("annotations".into(), serde_json::to_value(annotations).unwrap());
            }
        }
        all.insert("labels".into(), serde_json::json!({ "faas_function": self.name }));
        if self.replicas > 0 {
            all.insert("replicas".into(), self.replicas.into());
            all.insert("availableReplicas".into(), self.replicas.into());
        }
        all.insert("createdAt".into(), "2020-02-11T21:29:54Z".into());
        serde_json::Value::Object(all)
    }
}

/// What `GET /system/namespaces` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Namespaces {
    /// A list, which may be empty.
    Listed(Vec<String>),
    /// 404, as old gateways do.
    Unknown,
}

/// The state of the queue behind `/async-function/*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    /// Takes calls, and its worker makes them.
    Up,
    /// Takes calls, and its worker stands still.
    Paused,
    /// Cannot be reached: 500.
    Down,
    /// Not configured: 404.
    Absent,
}

/// One call of a function that reached the gateway's provider.
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    /// The function as it was addressed: `NAME` or `NAME.NAMESPACE`.
    pub(crate) function: String,
    /// Whether the queue's worker made the call.
    pub(crate) asynchronous: bool,
    pub(crate) method: Method,
    /// What followed the name, query included.
    pub(crate) rest: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// 1 for the first call of this function.
    pub(crate) number: u64,
}

impl Invocation {
    /// A header's text, if there is one.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The CloudEvent's id; empty if the body is no CloudEvent.
    pub(crate) fn event_id(&self) -> String {
        self.attribute("id")
    }

    /// The CloudEvent's subject; empty if the body is no CloudEvent.
    pub(crate) fn subject(&self) -> String {
        self.attribute("subject")
    }

    fn attribute(&self, name: &str) -> String {
        let event = serde_json::from_slice::<HashMap<String, serde_json::Value>>(&self.body).unwrap_or_default();
        event.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
    }
}

/// One request to `/system/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lookup {
    /// Path and query.
    pub(crate) path: String,
    /// What was answered; none if the connection was dropped.
    pub(crate) status: Option<u16>,
}

/// What became of one callback of the queue's worker.
#[derive(Clone, Debug)]
pub(crate) struct Callback {
    pub(crate) url: String,
    /// The receiver's status, or why there was none.
    pub(crate) answer: Result<u16, String>,
}

/// Told of each call.
type Listener = Arc<dyn Fn(&Invocation) + Send + Sync>;

/// Answers a path and query, or leaves that to the gateway.
type Override = Arc<dyn Fn(&str) -> Option<Answer> + Send + Sync>;

/// What the gateway is, and what it was asked. Tests change the first part at will.
pub(crate) struct State {
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) functions: Vec<Function>,
    pub(crate) namespaces: Namespaces,
    pub(crate) queue: Queue,
    /// The provider does not answer: 502 for everything that needs it.
    pub(crate) provider_down: bool,
    /// Prometheus does not answer: lists of functions are dropped without an answer.
    pub(crate) prometheus_down: bool,
    /// How long a function may take before the gateway says 502.
    pub(crate) upstream_timeout: Duration,
    /// Answers a lookup (path and query) in place of the gateway, for what no gateway should do.
    pub(crate) lookup: Option<Override>,
    /// Answers a call (path and query) in place of the gateway, before the function is looked for.
    pub(crate) front: Option<Override>,
    /// Told of each call.
    pub(crate) on_call: Option<Listener>,
    /// How many calls are kept; further ones are only counted.
    pub(crate) keep: usize,

    /// Calls of functions in the order in which they arrived.
    pub(crate) invocations: Vec<Invocation>,
    /// How often each function was called.
    pub(crate) calls: HashMap<String, u64>,
    /// Lookups in the order in which they were answered.
    pub(crate) lookups: Vec<Lookup>,
    /// Callbacks in the order in which they were answered.
    pub(crate) callbacks: Vec<Callback>,
    /// Calls of functions that carried an Authorization: the password leaked.
    pub(crate) leaks: Vec<String>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            username: USERNAME.to_owned(),
            password: PASSWORD.to_owned(),
            functions: Vec::new(),
            namespaces: Namespaces::Listed(vec![DEFAULT_NAMESPACE.to_owned()]),
            queue: Queue::Up,
            provider_down: false,
            prometheus_down: false,
            upstream_timeout: Duration::from_secs(60),
            lookup: None,
            front: None,
            on_call: None,
            keep: usize::MAX,
            invocations: Vec::new(),
            calls: HashMap::new(),
            lookups: Vec::new(),
            callbacks: Vec::new(),
            leaks: Vec::new(),
        }
    }
}

impl State {
    /// Deploys a function, in the place of one with the same name and namespace.
    pub(crate) fn deploy(&mut self, function: Function) {
        self.remove(&function.name, function.namespace());
        if let (Namespaces::Listed(names), Some(namespace)) = (&mut self.namespaces, &function.namespace)
            && !names.contains(namespace)
        {
            names.push(namespace.clone());
        }
        self.functions.push(function);
    }

    /// Removes a function.
    pub(crate) fn remove(&mut self, name: &str, namespace: &str) {
        self.functions.retain(|known| known.name != name || known.namespace() != namespace);
    }

    /// Calls of one function, as it was addressed.
    pub(crate) fn calls_of(&self, function: &str) -> Vec<&Invocation> {
        self.invocations.iter().filter(|call| call.function == function).collect()
    }

    /// The events that one function was called with, each once, however often it came.
    pub(crate) fn events_of(&self, function: &str) -> BTreeSet<String> {
        self.calls_of(function).into_iter().map(Invocation::event_id).collect()
    }

    /// How often a function was called, as it was addressed.
    pub(crate) fn count(&self, function: &str) -> u64 {
        self.calls.get(function).copied().unwrap_or(0)
    }

    /// Lookups of lists of functions that were answered with 200.
    pub(crate) fn lists(&self) -> usize {
        self.lookups
            .iter()
            .filter(|lookup| lookup.path.starts_with("/system/functions") && lookup.status == Some(200))
            .count()
    }

    fn find(&self, addressed: &str) -> Option<&Function> {
        let (name, namespace) = addressed.rsplit_once('.').unwrap_or((addressed, DEFAULT_NAMESPACE));
        self.functions.iter().find(|known| known.name == name && known.namespace() == namespace)
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let expected = base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", self.username, self.password));
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        given.and_then(|given| given.strip_prefix("Basic ")) == Some(expected.as_str())
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("functions", &self.functions.iter().map(|known| &known.name).collect::<Vec<_>>())
            .field("calls", &self.calls)
            .field("lookups", &self.lookups)
            .field("callbacks", &self.callbacks)
            .field("leaks", &self.leaks)
            .finish_non_exhaustive()
    }
}

/// A call that waits in the queue.
struct Queued {
    call: Call,
    callback: Option<String>,
}

struct Call {
    function: String,
    asynchronous: bool,
    method: Method,
    rest: String,
    headers: HeaderMap,
    body: Bytes,
}

/// What all connections share.
struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    queue: mpsc::UnboundedSender<Queued>,
    call_ids: AtomicU64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A test that failed while it held the lock tells more than the poison would.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.send_modify(|version| *version += 1);
        result
    }
}

/// A running gateway. Dropping it ends it, and fails if a caller sent the password to a function.
pub(crate) struct Gateway {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: Mutex<Option<JoinHandle<()>>>,
    worker: JoinHandle<()>,
}

impl Gateway {
    /// On a port that the system chooses, with these functions.
    pub(crate) async fn start(functions: impl IntoIterator<Item = Function>) -> Self {
        let mut state = State::default();
        for function in functions {
            state.deploy(function);
        }
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0)), state).await.expect("loopback has a port to spare")
    }

    /// On an address, in a state.
    pub(crate) async fn listen(address: SocketAddr, state: State) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (queue, queued) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: watch::Sender::new(0),
            queue,
            call_ids: AtomicU64::new(1),
        });
        let worker = tokio::spawn(work(Arc::downgrade(&shared), shared.changed.subscribe(), queued));
        let server = Mutex::new(Some(tokio::spawn(serve(listener, Arc::clone(&shared)))));
        Ok(Self { shared, address, server, worker })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Looks at the state.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.shared.lock())
    }

    /// Changes the state.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        self.shared.change(change)
    }

    /// Waits until the state is as wanted.
    pub(crate) async fn wait_for(&self, mut wanted: impl FnMut(&State) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        let reached = async {
            loop {
                changed.mark_unchanged();
                if self.read(&mut wanted) {
                    return;
                }
                changed.changed().await.expect("the gateway owns the sender");
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            panic!("waited in vain: {:?}", self.shared.lock());
        }
    }

    /// Waits until a function, as it was addressed, was called so often.
    pub(crate) async fn wait_for_calls(&self, function: &str, count: u64) {
        self.wait_for(|state| state.count(function) >= count).await;
    }

    /// Ends at once, dropping every connection: what connects is refused. The queue goes on, as it does in the field.
    pub(crate) async fn kill(&self) {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = server {
            server.abort();
            // The wait ends when the listener and all connections are dropped.
            drop(server.await);
        }
    }

    /// Listens on its port again.
    pub(crate) async fn restart(&self) {
        self.kill().await;
        let listener = TcpListener::bind(self.address).await.expect("the port is still free");
        let server = tokio::spawn(serve(listener, Arc::clone(&self.shared)));
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
    }

    /// The calls that carried an Authorization, which no longer fail the test.
    pub(crate) fn take_leaks(&self) -> Vec<String> {
        self.shared.change(|state| std::mem::take(&mut state.leaks))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.worker.abort();
        if let Some(server) = self.server.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            server.abort();
        }
        let leaks = self.take_leaks();
        if !std::thread::panicking() {
            assert!(leaks.is_empty(), "Authorization was sent to functions: {leaks:?}");
        }
    }
}

/// Serves until aborted; the connections end with it.
async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                drop(stream.set_nodelay(true));
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
                    let connection = hyper::server::conn::http1::Builder::new()
                        .timer(TokioTimer::new())
                        .serve_connection(TokioIo::new(stream), service);
                    // Dropped connections are part of what the gateway does.
                    drop(connection.await);
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The connection is to be dropped without an answer.
#[derive(Debug)]
struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dropped")
    }
}

impl std::error::Error for Dropped {}

type Answered = Result<Response<Full<Bytes>>, Dropped>;

fn plain(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Answered {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
    let path = parts.uri.path().to_owned();
    if path.starts_with("/system/") {
        let asked = parts.uri.path_and_query().map_or(path.as_str(), |asked| asked.as_str()).to_owned();
        let answered = system(&shared, &parts.method, &parts.uri, &parts.headers).await;
        let status = answered.as_ref().ok().map(|response| response.status().as_u16());
        shared.change(|state| state.lookups.push(Lookup { path: asked, status }));
        return answered;
    }
    let (asynchronous, name) = match (path.strip_prefix("/function/"), path.strip_prefix("/async-function/")) {
        (Some(name), _) => (false, name),
        (None, Some(name)) => (true, name),
        (None, None) if path == "/healthz" => return Ok(plain(StatusCode::OK, "OK")),
        (None, None) => return Ok(plain(StatusCode::NOT_FOUND, "404 page not found\n")),
    };
    let (function, rest) = name.split_at(name.find('/').unwrap_or(name.len()));
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();

    let mut headers = parts.headers;
    let call_id = headers.entry(CALL_ID).or_insert_with(|| {
        let number = shared.call_ids.fetch_add(1, Ordering::Relaxed);
        HeaderValue::from_str(&format!("00000000-0000-4000-8000-{number:012x}")).unwrap()
    });
    let call_id = call_id.clone();
    if headers.contains_key(AUTHORIZATION) {
        shared.change(|state| state.leaks.push(format!("{} {}", parts.method, parts.uri)));
    }
    let front = shared.lock().front.clone();
    let early = front.and_then(|front| front(&format!("{path}{query}")));
    let call = Call {
        function: function.to_owned(),
        asynchronous,
        method: parts.method,
        rest: format!("{rest}{query}"),
        headers,
        body,
    };
    let mut response = match early {
        Some(answer) => give(answer, Duration::MAX).await?,
        None if asynchronous => enqueue(&shared, call),
        None => invoke(&shared, call).await?,
    };
    response.headers_mut().insert(CALL_ID, call_id);
    Ok(response)
}

/// `/system/*`
async fn system(shared: &Shared, method: &Method, uri: &Uri, headers: &HeaderMap) -> Answered {
    if !shared.lock().admits(headers) {
        let mut response = plain(StatusCode::UNAUTHORIZED, "invalid credentials");
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"Restricted\""));
        return Ok(response);
    }
    let asked = uri.path_and_query().map_or("/", |asked| asked.as_str());
    let lookup = shared.lock().lookup.clone();
    if let Some(answer) = lookup.and_then(|lookup| lookup(asked)) {
        return give(answer, Duration::MAX).await;
    }
    if method != Method::GET {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, ""));
    }
    let state = shared.lock();
    let json = match uri.path() {
        "/system/info" => serde_json::json!({
            "provider": {
                "provider": "faas-stub",
                "orchestration": "none",
                "version": { "sha": "0000000", "release": "0.1.0" },
            },
            "version": { "sha": "0000000", "release": "0.27.12" },
            "arch": "x86_64",
        }),
        _ if state.provider_down => return Ok(plain(StatusCode::BAD_GATEWAY, "")),
        "/system/namespaces" => match &state.namespaces {
            Namespaces::Listed(names) => serde_json::json!(names),
            Namespaces::Unknown => return Ok(plain(StatusCode::NOT_FOUND, "404 page not found\n")),
        },
        "/system/functions" => {
            if state.prometheus_down {
                return Err(Dropped);
            }
            let query = uri.query().unwrap_or_default();
            let asked = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "namespace");
            let asked = asked.map_or_else(|| DEFAULT_NAMESPACE.to_owned(), |(_, namespace)| namespace.into_owned());
            let listed = state.functions.iter().filter(|function| function.namespace() == asked);
            serde_json::Value::Array(listed.map(Function::json).collect())
        }
        _ => return Ok(plain(StatusCode::NOT_FOUND, "404 page not found\n")),
    };
    let mut response = plain(StatusCode::OK, json.to_string());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// `/async-function/*`
fn enqueue(shared: &Shared, call: Call) -> Response<Full<Bytes>> {
    let queue = shared.lock().queue;
    if queue == Queue::Absent {
        return plain(StatusCode::NOT_FOUND, "404 page not found\n");
    }
    if call.method != Method::POST {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "");
    }
    if queue == Queue::Down {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "nats: no servers available for connection\n");
    }
    let callback = call.headers.get(CALLBACK_URL).and_then(|url| url.to_str().ok()).map(str::to_owned);
    // The worker ends with the gateway, and nobody is left to be told.
    drop(shared.queue.send(Queued { call, callback }));
    plain(StatusCode::ACCEPTED, "")
}

/// `/function/*`: what its caller gets.
async fn invoke(shared: &Shared, call: Call) -> Answered {
    let (answer, limit) = {
        let state = shared.lock();
        let limit = state.upstream_timeout;
        if state.provider_down {
            return Ok(plain(StatusCode::BAD_GATEWAY, ""));
        }
        let Some(script) = state.find(&call.function).map(|function| Arc::clone(&function.script)) else {
            return Ok(plain(StatusCode::NOT_FOUND, format!("error finding function {}", call.function)));
        };
        drop(state);
        let (number, keep, on_call) = {
            let mut state = shared.lock();
            let count = match state.calls.get_mut(&call.function) {
                Some(count) => count,
                None => state.calls.entry(call.function.clone()).or_default(),
            };
            *count += 1;
            (*count, state.invocations.len() < state.keep, state.on_call.clone())
        };
        let Call { function, asynchronous, method, rest, headers, body } = call;
        let invocation = Invocation { function, asynchronous, method, rest, headers, body, number };
        let answer = script(&invocation);
        if let Some(on_call) = on_call {
            on_call(&invocation);
        }
        shared.change(|state| {
            if keep {
                state.invocations.push(invocation);
            }
        });
        (answer, limit)
    };
    give(answer, limit).await
}

async fn give(mut answer: Answer, limit: Duration) -> Answered {
    let began = Instant::now();
    loop {
        answer = match answer {
            Answer::Reply { status, headers, body } => {
                let mut response = plain(StatusCode::from_u16(status).unwrap(), body);
                for (name, value) in headers {
                    response.headers_mut().append(name, HeaderValue::from_str(&value).unwrap());
                }
                return Ok(response);
            }
            Answer::After(delay, then) if began.elapsed() + delay < limit => {
                tokio::time::sleep(delay).await;
                *then
            }
            Answer::After(..) | Answer::Hang => {
                tokio::time::sleep(limit.saturating_sub(began.elapsed())).await;
                Answer::Drop
            }
            Answer::Drop => return Ok(plain(StatusCode::BAD_GATEWAY, "")),
            Answer::Close => return Err(Dropped),
        }
    }
}

/// The queue's worker: makes each call once, whatever comes of it, and calls back.
async fn work(
    shared: std::sync::Weak<Shared>,
    mut changed: watch::Receiver<u64>,
    mut queue: mpsc::UnboundedReceiver<Queued>,
) {
    let mut calls = JoinSet::new();
    while let Some(Queued { call, callback }) = queue.recv().await {
        while calls.try_join_next().is_some() {}
        let shared = loop {
            changed.mark_unchanged();
            let Some(shared) = shared.upgrade() else { return };
            if shared.lock().queue != Queue::Paused {
                break shared;
            }
            drop(shared);
            if changed.changed().await.is_err() {
                return;
            }
        };
        calls.spawn(async move {
            let function = call.function.clone();
            let call_id = call.headers.get(CALL_ID).cloned();
            let began = Instant::now();
            let answered = invoke(&shared, call).await.unwrap_or_else(|Dropped| plain(StatusCode::BAD_GATEWAY, ""));
            let Some(url) = callback else { return };
            let (mut parts, body) = answered.into_parts();
            let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes);
            let headers = &mut parts.headers;
            headers.insert("x-function-name", HeaderValue::from_str(&function).unwrap());
            headers.insert("x-function-status", HeaderValue::from(parts.status.as_u16()));
            let took = format!("{:.6}", began.elapsed().as_secs_f64());
            headers.insert("x-duration-seconds", HeaderValue::from_str(&took).unwrap());
            if let Some(call_id) = call_id {
                headers.insert(CALL_ID, call_id);
            }
            let answer = call_back(&url, parts.headers, body).await.map_err(|error| error.to_string());
            shared.change(|state| state.callbacks.push(Callback { url, answer }));
        });
    }
}

async fn call_back(
    url: &str,
    headers: HeaderMap,
    body: Bytes,
) -> Result<u16, Box<dyn std::error::Error + Send + Sync>> {
    let uri: Uri = url.parse()?;
    let authority = uri.authority().ok_or("the callback's URL names no host")?;
    let stream = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.path_and_query().map_or("/", |asked| asked.as_str()).parse()?;
    *request.headers_mut() = headers;
    request.headers_mut().insert(http::header::HOST, HeaderValue::from_str(authority.as_str())?);
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    drop(response.into_body().collect().await);
    connection.abort();
    Ok(status)
}
