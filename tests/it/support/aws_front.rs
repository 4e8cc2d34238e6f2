//! What stands between the router and what stands in for AWS: it hands requests on as they are, keeps what was asked and
//! answered, and lets happen whatever can happen on the way.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::aws_api::{Key, sign};
use super::raw;

/// A test that waits this long for something waits in vain.
const PATIENCE: Duration = Duration::from_secs(120);

/// So many events may be in a queue whose reader sets the pace.
const QUEUED: usize = 20;

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// AWS refuses the call with this status and code.
    Error(u16, &'static str),
    /// AWS refuses the entries that have a code, and takes the others.
    Entries(Vec<Option<&'static str>>),
    /// The connection breaks before AWS has the call, or after, so that its answer is lost.
    Reset { taken: bool },
    /// There is no answer, whether AWS has the call or not.
    Silence { taken: bool },
    /// The call goes on as soon as the front no longer holds any.
    Hold,
}

/// What an entry of `PutEvents` says.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) given: Value,
    /// The CloudEvent.
    pub(crate) detail: Value,
    /// Its id.
    pub(crate) id: String,
    /// The entity that it is about, or nothing.
    pub(crate) resource: String,
}

impl Entry {
    fn new(given: &Value) -> Self {
        let detail: Value = serde_json::from_str(given["Detail"].as_str().unwrap_or_default()).unwrap_or_default();
        let id = detail["id"].as_str().unwrap_or_default().to_owned();
        let resource = given["Resources"][0].as_str().unwrap_or_default().to_owned();
        Self { given: given.clone(), detail, id, resource }
    }

    /// Its size, as AWS documents it.
    pub(crate) fn bytes(&self) -> usize {
        let texts = ["Source", "DetailType", "Detail"].map(|name| self.given[name].as_str().unwrap_or_default().len());
        let time = if self.given["Time"].is_null() { 0 } else { 14 };
        texts.iter().sum::<usize>() + self.resource.len() + time
    }
}

/// A call that arrives.
pub(crate) struct Call {
    /// `PutEvents`, `AssumeRole`, ...
    pub(crate) action: String,
    /// 1 for the first call of this action.
    pub(crate) number: u64,
    /// Of `PutEvents`.
    pub(crate) entries: Vec<Entry>,
}

/// What the router knows of an entry once its call is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Nothing, or nobody can say.
    Nothing,
    Accepted,
    Refused(String),
}

/// One call of `PutEvents`.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) entries: Vec<Entry>,
    pub(crate) told: Vec<Told>,
    /// How many calls were under way, with this one.
    pub(crate) together: usize,
}

type Script = Arc<dyn Fn(&Call) -> Fault + Send + Sync>;

/// What was asked and answered, and what is to happen. Tests change the first part at will.
pub(crate) struct State {
    script: Script,
    /// Whose key signs what is handed on with some entries left out.
    pub(crate) key: Key,
    /// Whoever is answered later than this may have turned away.
    pub(crate) prompt: Duration,
    /// Several events of one entity may be under way.
    pub(crate) unordered: bool,
    pub(crate) holds: bool,
    /// How many events were read behind the rule, if whoever puts is to wait for whoever reads.
    pub(crate) read: Option<usize>,

    /// How often each action was asked for.
    pub(crate) asked: HashMap<String, u64>,
    /// What the others but `PutEvents` were asked with.
    pub(crate) asked_with: Vec<(String, Bytes)>,
    /// How often each fault has happened.
    pub(crate) faults: HashMap<String, u64>,
    pub(crate) puts: Vec<Put>,
    /// The ids of what AWS has, in the order in which it took them, as often as it did.
    pub(crate) taken: Vec<String>,
    /// The ids of what the router knows to be accepted.
    pub(crate) accepted: HashSet<String>,
    /// How often AWS took what without the router's knowing.
    pub(crate) lost: HashMap<String, u64>,
    /// What must not be, in words.
    pub(crate) mistakes: Vec<String>,
    under_way: HashMap<u64, Vec<(String, String)>>,
}

impl State {
    /// From now on this happens.
    pub(crate) fn script(&mut self, script: impl Fn(&Call) -> Fault + Send + Sync + 'static) {
        self.script = Arc::new(script);
    }

    /// From now on nothing happens.
    pub(crate) fn behave(&mut self) {
        self.script(|_| Fault::None);
    }

    /// How often the action was asked for.
    pub(crate) fn count(&self, action: &str) -> u64 {
        self.asked.get(action).copied().unwrap_or(0)
    }

    /// How many events each call had.
    pub(crate) fn batches(&self) -> Vec<usize> {
        self.puts.iter().map(|put| put.entries.len()).collect()
    }

    fn begins(&mut self, number: u64, entries: &[Entry]) {
        let mut own = HashSet::new();
        for entry in entries {
            let (id, resource) = (&entry.id, &entry.resource);
            if self.accepted.contains(id) {
                self.mistakes.push(format!("{id} was accepted, and came again"));
            }
            let others = self.under_way.values().flatten();
            if !own.insert(id) || others.clone().any(|(other, _)| other == id) {
                self.mistakes.push(format!("{id} is under way twice"));
            }
            let of_entity = others.filter(|(_, other)| !resource.is_empty() && other == resource).count();
            let in_call = entries.iter().filter(|other| !resource.is_empty() && other.resource == *resource).count();
            if !self.unordered && of_entity + in_call > 1 {
                self.mistakes.push(format!("{id} of {resource} is under way with others of it"));
            }
            if entry.given["Detail"].as_str().is_none_or(|detail| detail.is_empty()) || id.is_empty() {
                self.mistakes.push(format!("no event: {}", entry.given));
            }
        }
        if !(1..=10).contains(&entries.len()) {
            self.mistakes.push(format!("a call with {} entries", entries.len()));
        }
        let pairs = entries.iter().map(|entry| (entry.id.clone(), entry.resource.clone()));
        self.under_way.insert(number, pairs.collect());
        let told = vec![Told::Nothing; entries.len()];
        self.puts.push(Put { entries: entries.to_vec(), told, together: self.under_way.len() });
    }

    /// AWS answered so to these entries.
    fn took(&mut self, entries: &[Entry], results: &[Value]) {
        for (entry, _) in entries.iter().zip(results).filter(|(_, result)| result["EventId"].is_string()) {
            self.taken.push(entry.id.clone());
            *self.lost.entry(entry.id.clone()).or_default() += 1;
        }
    }

    /// The router will know of this answer.
    fn tells(&mut self, put: usize, results: &[Value]) {
        let Put { entries, told, .. } = &mut self.puts[put];
        for ((entry, told), result) in entries.iter().zip(told).zip(results) {
            *told = match result["ErrorCode"].as_str() {
                Some(code) => Told::Refused(code.to_owned()),
                None => Told::Accepted,
            };
            if *told == Told::Accepted {
                self.accepted.insert(entry.id.clone());
                *self.lost.get_mut(&entry.id).expect("AWS took it") -= 1;
            }
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("asked", &self.asked)
            .field("faults", &self.faults)
            .field("taken", &self.taken.len())
            .field("accepted", &self.accepted.len())
            .field("batches", &self.batches())
            .field("mistakes", &self.mistakes)
            .finish_non_exhaustive()
    }
}

struct Shared {
    to: SocketAddr,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
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

    async fn until(&self, mut wanted: impl FnMut(&State) -> bool) {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if wanted(&self.lock()) {
                return;
            }
            changed.changed().await.expect("it owns the sender");
        }
    }
}

/// A running front; ended when dropped.
pub(crate) struct Front {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: Mutex<Option<JoinHandle<()>>>,
}

impl Front {
    /// In front of the server with this URL, on a port that the system chooses.
    pub(crate) async fn start(url: &str, key: &Key) -> Self {
        let state = State {
            script: Arc::new(|_| Fault::None),
            key: key.clone(),
            prompt: Duration::from_secs(5),
            unordered: false,
            holds: true,
            read: None,
            asked: HashMap::new(),
            asked_with: Vec::new(),
            faults: HashMap::new(),
            puts: Vec::new(),
            taken: Vec::new(),
            accepted: HashSet::new(),
            lost: HashMap::new(),
            mistakes: Vec::new(),
            under_way: HashMap::new(),
        };
        let to = url.strip_prefix("http://").unwrap().parse().unwrap();
        let shared = Arc::new(Shared { to, state: Mutex::new(state), changed: watch::Sender::new(0) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Mutex::new(Some(tokio::spawn(serve(listener, Arc::clone(&shared)))));
        Self { shared, address, server }
    }

    /// For `aws_endpoint_url`.
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
    pub(crate) async fn wait_for(&self, wanted: impl FnMut(&State) -> bool) {
        if tokio::time::timeout(PATIENCE, self.shared.until(wanted)).await.is_err() {
            panic!("waited in vain: {:?}", self.shared.lock());
        }
    }

    /// Waits until the action was asked for so many times more.
    pub(crate) async fn wait_for_more(&self, action: &str, times: u64) {
        let before = self.read(|state| state.count(action));
        self.wait_for(|state| state.count(action) >= before + times).await;
    }

    /// From now on events are handed on no faster than whoever reads them behind the rule says that he does.
    pub(crate) fn pace(&self) -> impl Fn(usize) + Send + 'static {
        self.change(|state| state.read = Some(0));
        let shared = Arc::clone(&self.shared);
        move |read| shared.change(|state| state.read = Some(read))
    }

    /// Ends at once, with all its connections: what connects is refused.
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
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Some(server) = self.server.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            server.abort();
        }
        if !std::thread::panicking() {
            let mistakes = std::mem::take(&mut self.shared.lock().mistakes);
            let shown = &mistakes[..mistakes.len().min(20)];
            assert!(mistakes.is_empty(), "{} mistakes: {shown:#?}", mistakes.len());
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
                        .serve_connection(TokioIo::new(stream), service);
                    // Connections that break are part of what it does.
                    drop(connection.await);
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The connection is to break.
#[derive(Debug)]
struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken")
    }
}

impl std::error::Error for Broken {}

type Answered = Result<Response<Full<Bytes>>, Broken>;

/// The events of a call are under way until it is dropped, also when its caller turns away.
struct UnderWay {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.shared.change(|state| state.under_way.remove(&self.number));
    }
}

fn action(headers: &HeaderMap, body: &[u8]) -> String {
    match headers.get("x-amz-target").and_then(|target| target.to_str().ok()) {
        Some(target) => target.rsplit('.').next().unwrap_or_default().to_owned(),
        None => {
            let action = url::form_urlencoded::parse(body).find(|(name, _)| name == "Action");
            action.map(|(_, action)| action.into_owned()).unwrap_or_default()
        }
    }
}

fn answer_json(status: u16, json: &Value) -> Response<Full<Bytes>> {
    let answer = Response::builder().status(status).header(CONTENT_TYPE, "application/x-amz-json-1.1");
    answer.body(Full::from(json.to_string())).unwrap()
}

/// Who asks for an error in a form is answered in XML.
fn error(status: u16, code: &str, form: bool) -> Response<Full<Bytes>> {
    let message = format!("{code}, says the front");
    if !form {
        return answer_json(status, &json!({ "__type": code, "message": message }));
    }
    let text = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
         <RequestId>1</RequestId></ErrorResponse>"
    );
    Response::builder().status(status).header(CONTENT_TYPE, "text/xml").body(Full::from(text)).unwrap()
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Answered {
    let began = Instant::now();
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
    let action = action(&head.headers, &body);
    let form = !head.headers.contains_key("x-amz-target");
    let request = Request::from_parts(head, body);
    if action == "PutEvents" {
        return put(&shared, request, began).await;
    }
    let (number, script) = shared.change(|state| {
        let count = state.asked.entry(action.clone()).or_default();
        *count += 1;
        let number = *count;
        state.asked_with.push((action.clone(), request.body().clone()));
        (number, Arc::clone(&state.script))
    });
    let fault = script(&Call { action, number, entries: Vec::new() });
    note(&shared, &fault);
    let lasting = Arc::clone(&shared);
    match fault {
        Fault::Error(status, code) => return Ok(error(status, code, form)),
        Fault::Reset { taken: false } => return Err(Broken),
        Fault::Silence { taken: false } => std::future::pending::<()>().await,
        Fault::Hold => shared.until(|state| !state.holds).await,
        _ => {}
    }
    let answered = hand_on(lasting, request).await;
    match fault {
        Fault::Reset { .. } => Err(Broken),
        Fault::Silence { .. } => std::future::pending().await,
        _ => Ok(answered.map(Full::new)),
    }
}

fn note(shared: &Shared, fault: &Fault) {
    let what = match fault {
        Fault::None => return,
        Fault::Error(_, code) => (*code).to_owned(),
        other => format!("{other:?}").split(['(']).next().unwrap_or_default().to_owned(),
    };
    shared.change(|state| *state.faults.entry(what).or_default() += 1);
}

/// Moto refuses whom it does not know or allow in XML, and by other names. This is how AWS does it.
fn as_aws_refuses(answer: Response<Bytes>) -> Response<Bytes> {
    let text = String::from_utf8_lossy(answer.body());
    let part = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once("</")?.0.to_owned())
    };
    let code = match part("Code").as_deref() {
        Some("SignatureDoesNotMatch") => "InvalidSignatureException",
        Some("InvalidClientTokenId") => "UnrecognizedClientException",
        Some("AccessDenied") => "AccessDeniedException",
        _ => return answer,
    };
    let body = json!({ "__type": code, "message": part("Message").unwrap_or_default() });
    Response::builder()
        .status(400)
        .header(CONTENT_TYPE, "application/x-amz-json-1.1")
        .body(body.to_string().into())
        .unwrap()
}

/// What the server answers, also when nobody waits for it any more.
async fn hand_on(shared: Arc<Shared>, request: Request<Bytes>) -> Response<Bytes> {
    let to = shared.to;
    let json = request.headers().contains_key("x-amz-target");
    let sent = tokio::spawn(async move { raw::send(to, request).await });
    let mut answer = sent.await.unwrap().unwrap_or_else(|error| panic!("what stands in for AWS is gone: {error}"));
    // Those of one connection.
    for name in ["connection", "transfer-encoding", "content-length"] {
        answer.headers_mut().remove(name);
    }
    if json && answer.status() == StatusCode::FORBIDDEN { as_aws_refuses(answer) } else { answer }
}

/// The results of an answer to `PutEvents`; none if it was refused as a whole.
fn results(answer: &Response<Bytes>) -> Option<Vec<Value>> {
    if answer.status() != StatusCode::OK {
        return None;
    }
    let json: Value = serde_json::from_slice(answer.body()).unwrap();
    json["Entries"].as_array().cloned()
}

async fn put(shared: &Arc<Shared>, request: Request<Bytes>, began: Instant) -> Answered {
    let asked: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    let entries: Vec<_> = asked["Entries"].as_array().into_iter().flatten().map(Entry::new).collect();
    let (number, put, script) = shared.change(|state| {
        let count = state.asked.entry("PutEvents".to_owned()).or_default();
        *count += 1;
        let number = *count;
        state.begins(number, &entries);
        (number, state.puts.len() - 1, Arc::clone(&state.script))
    });
    let under_way = UnderWay { shared: Arc::clone(shared), number };
    let call = Call { action: "PutEvents".to_owned(), number, entries };
    let fault = script(&call);
    note(shared, &fault);
    let entries = call.entries;
    let mut codes = vec![None; entries.len()];
    match &fault {
        Fault::Error(status, code) => {
            drop(under_way);
            return Ok(error(*status, code, false));
        }
        Fault::Reset { taken: false } => {
            drop(under_way);
            return Err(Broken);
        }
        Fault::Silence { taken: false } => {
            // Whoever waits in vain may come again before it shows here that he has gone.
            drop(under_way);
            return std::future::pending().await;
        }
        Fault::Entries(refused) => codes.clone_from(refused),
        Fault::Hold => shared.until(|state| !state.holds).await,
        _ => {}
    }
    let (answer, results) = hand_on_some(shared, request, &asked, &entries, &codes).await;
    match fault {
        Fault::Reset { .. } => {
            drop(under_way);
            return Err(Broken);
        }
        Fault::Silence { .. } => {
            drop(under_way);
            return std::future::pending().await;
        }
        _ => {}
    }
    shared.change(|state| {
        if began.elapsed() < state.prompt {
            state.tells(put, &results);
        }
    });
    drop(under_way);
    Ok(answer.map(Full::new))
}

/// Hands on what is not refused: the answer, and what it says of each entry.
async fn hand_on_some(
    shared: &Arc<Shared>,
    request: Request<Bytes>,
    asked: &Value,
    entries: &[Entry],
    codes: &[Option<&'static str>],
) -> (Response<Bytes>, Vec<Value>) {
    let chosen: Vec<_> = (0..entries.len()).filter(|at| codes[*at].is_none()).collect();
    let passed: Vec<_> = chosen.iter().map(|at| entries[*at].clone()).collect();
    let (mut answer, some) = if passed.is_empty() {
        (Response::new(Bytes::new()), Vec::new())
    } else {
        let request = if passed.len() == entries.len() {
            request
        } else {
            let mut asked = asked.clone();
            asked["Entries"] = passed.iter().map(|entry| entry.given.clone()).collect();
            let key = shared.lock().key.clone();
            let (mut head, _) = request.into_parts();
            head.headers.remove(CONTENT_LENGTH);
            let mut request = Request::from_parts(head, Bytes::from(asked.to_string()));
            sign(&mut request, &key, "events");
            request
        };
        shared.until(|state| state.read.is_none_or(|read| state.taken.len() <= read + QUEUED)).await;
        // To the end, also if whoever asked turns away.
        let lasting = Arc::clone(shared);
        let handed = tokio::spawn(async move {
            let answer = hand_on(Arc::clone(&lasting), request).await;
            let results = results(&answer);
            lasting.change(|state| state.took(&passed, results.as_deref().unwrap_or_default()));
            (answer, results)
        });
        let (answer, results) = handed.await.unwrap();
        match results {
            Some(results) => (answer, results),
            None => return (answer, Vec::new()),
        }
    };
    if chosen.len() == entries.len() {
        return (answer, some);
    }
    let mut some = some.into_iter();
    let of_one = |code: &Option<&str>| match code {
        Some(code) => json!({ "ErrorCode": code, "ErrorMessage": format!("{code}, says the front") }),
        None => some.next().unwrap_or_default(),
    };
    let results: Vec<_> = codes.iter().map(of_one).collect();
    let failed = results.iter().filter(|result| result["ErrorCode"].is_string()).count();
    *answer.body_mut() = Bytes::from(json!({ "FailedEntryCount": failed, "Entries": results }).to_string());
    answer.headers_mut().insert(CONTENT_TYPE, "application/x-amz-json-1.1".parse().unwrap());
    (answer, results)
}
