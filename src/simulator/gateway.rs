//! A small OpenFaaS gateway whose functions are closures: for the demo, and for measurements that want a receiver
//! within a process.
//!
//! It does what a gateway does for a router in good health: lists its functions to those who know the password, calls
//! them for anybody, gives back what they answer. A gateway's own faults and its queue are the tests' business; the
//! stub of the tests has them.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// The namespace of functions whose address names none.
const NAMESPACE: &str = "openfaas-fn";

/// What a caller and the gateway know a call by.
const CALL_ID: HeaderName = HeaderName::from_static("x-call-id");

/// Callers served at once; further ones wait to be accepted.
const MOST_CONNECTIONS: usize = 1024;

/// The largest body that a function gets.
const MOST_BODY: usize = 4 * 1024 * 1024;

/// How long a caller may take to send its headers, and its body.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long what is under way may take when the gateway ends.
const FLUSH: Duration = Duration::from_secs(1);

/// What a function is called with.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The function's name.
    pub function: &'a str,
    /// The caller's headers.
    pub headers: &'a HeaderMap,
    /// The caller's body.
    pub body: &'a Bytes,
}

/// What a function answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
    /// How long it takes.
    pub delay: Duration,
}

impl Answer {
    /// At once, with a text.
    #[must_use]
    pub fn new(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self { status, body: body.into(), delay: Duration::ZERO }
    }

    /// The same, after a while.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
}

/// What a function does.
type Code = Box<dyn Fn(Call<'_>) -> Answer + Send + Sync>;

/// A function.
pub struct Function {
    name: String,
    topics: String,
    code: Code,
}

impl Function {
    /// A function that subscribes to these topics, with commas between them.
    pub fn new(name: &str, topics: &str, code: impl Fn(Call<'_>) -> Answer + Send + Sync + 'static) -> Self {
        Self { name: name.to_owned(), topics: topics.to_owned(), code: Box::new(code) }
    }

    fn listed(&self) -> serde_json::Value {
        serde_json::json!({
            "name": self.name,
            "image": format!("simulator/{}:latest", self.name),
            "namespace": NAMESPACE,
            "annotations": { "topic": self.topics },
            "replicas": 1,
            "availableReplicas": 1,
        })
    }
}

/// Whom the gateway listens to, and what it calls.
struct Shared {
    /// The `Authorization` that opens `/system/`.
    admits: String,
    functions: Vec<Function>,
}

/// A gateway that listens.
pub struct Gateway {
    listener: TcpListener,
    shared: Arc<Shared>,
}

impl Gateway {
    /// Begins to listen. The user and password are for those who ask what functions there are.
    ///
    /// # Errors
    /// The address is taken, or is not one of this machine.
    pub async fn bind(
        listen: SocketAddr,
        username: &str,
        password: &str,
        functions: Vec<Function>,
    ) -> io::Result<Self> {
        let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
        let shared = Shared { admits: format!("Basic {credentials}"), functions };
        Ok(Self { listener: TcpListener::bind(listen).await?, shared: Arc::new(shared) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until stopped, and finishes the calls that are under way.
    pub async fn run(self, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let tasks = TaskTracker::new();
        loop {
            let accept = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, self.listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                next = accept => next,
                () = stop.cancelled() => break,
            };
            let Ok((stream, _)) = accepted else {
                // Out of descriptors, most likely: others will be closed.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (shared, stop) = (Arc::clone(&self.shared), stop.clone());
            tasks.spawn(async move {
                serve(stream, shared, stop).await;
                drop(place);
            });
        }
        drop(self.listener);
        tasks.close();
        tasks.wait().await;
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>, stop: CancellationToken) {
    // Answers are small: waiting for more of them only delays them.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(&shared, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // What goes wrong with a connection is its caller's trouble, who is told by its end.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            drop(tokio::time::timeout(FLUSH, connection).await);
        }
    }
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    if path.starts_with("/system/") {
        return system(shared, &head);
    }
    let Some(called) = path.strip_prefix("/function/") else {
        return text(StatusCode::NOT_FOUND, "404 page not found");
    };
    let id = head.headers.get(&CALL_ID).cloned().or_else(|| HeaderValue::try_from(Uuid::new_v4().to_string()).ok());
    let mut answer = call(shared, called, &head.headers, body).await;
    if let Some(id) = id {
        answer.headers_mut().insert(CALL_ID, id);
    }
    answer
}

/// `/system/*`
fn system(shared: &Shared, head: &http::request::Parts) -> Response<Full<Bytes>> {
    if head.headers.get(AUTHORIZATION).is_none_or(|given| given.as_bytes() != shared.admits.as_bytes()) {
        let mut answer = text(StatusCode::UNAUTHORIZED, "invalid credentials");
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"Restricted\""));
        return answer;
    }
    if head.method != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "");
    }
    match head.uri.path() {
        "/system/namespaces" => json(&serde_json::json!([NAMESPACE])),
        "/system/functions" => {
            let query = head.uri.query().unwrap_or_default().as_bytes();
            let mut asked = url::form_urlencoded::parse(query).filter(|(name, _)| name == "namespace");
            let here = asked.next().is_none_or(|(_, namespace)| namespace == NAMESPACE);
            let listed = shared.functions.iter().filter(|_| here).map(Function::listed);
            json(&serde_json::Value::Array(listed.collect()))
        }
        _ => text(StatusCode::NOT_FOUND, "404 page not found"),
    }
}

/// `/function/NAME[.NAMESPACE][/PATH]`
async fn call(shared: &Shared, called: &str, headers: &HeaderMap, body: Incoming) -> Response<Full<Bytes>> {
    let name = called.split('/').next().unwrap_or_default();
    let name = name.strip_suffix(NAMESPACE).and_then(|name| name.strip_suffix('.')).unwrap_or(name);
    let Some(function) = shared.functions.iter().find(|function| function.name == name) else {
        return text(StatusCode::NOT_FOUND, "error finding function");
    };
    // Whoever announces too much need not send it.
    if body.size_hint().lower() > MOST_BODY as u64 {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
    }
    let body = match tokio::time::timeout(PATIENCE, Limited::new(body, MOST_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
        }
        Ok(Err(_)) => return text(StatusCode::BAD_REQUEST, "the body breaks off"),
        Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the body is too slow"),
    };
    let Answer { status, body, delay } = (function.code)(Call { function: name, headers, body: &body });
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

fn json(value: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(value.to_string())));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn start(functions: Vec<Function>) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let gateway = Gateway::bind(listen, "admin", "pw", functions).await.unwrap();
        let (address, stop) = (gateway.address().unwrap(), CancellationToken::new());
        let task = tokio::spawn(gateway.run(stop.clone()));
        (address, stop, task)
    }

    /// Sends this and reads to the end: the status, and all that came.
    async fn ask(address: SocketAddr, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = request.replacen("\r\n", "\r\nhost: x\r\nconnection: close\r\n", 1);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
    }

    // admin:pw
    const AUTH: &str = "authorization: Basic YWRtaW46cHc=\r\n";

    #[tokio::test]
    async fn functions_are_listed_to_those_who_know_the_password() {
        let echo = Function::new("echo", "A,B", |call| Answer::new(StatusCode::OK, call.body.clone()));
        let (address, stop, task) = start(vec![echo]).await;
        for path in ["/system/functions", "/system/namespaces", "/system/nothing"] {
            assert_eq!(ask(address, &format!("GET {path} HTTP/1.1\r\n\r\n")).await.0, 401);
            let wrong = "authorization: Basic YWRtaW46cHg=\r\n";
            assert_eq!(ask(address, &format!("GET {path} HTTP/1.1\r\n{wrong}\r\n")).await.0, 401);
        }
        let get = async |path: &str| {
            let (status, answer) = ask(address, &format!("GET {path} HTTP/1.1\r\n{AUTH}\r\n")).await;
            assert_eq!(status, 200, "{answer}");
            let body = answer.split_once("\r\n\r\n").unwrap().1;
            serde_json::from_str::<serde_json::Value>(body).unwrap()
        };
        assert_eq!(get("/system/namespaces").await, serde_json::json!(["openfaas-fn"]));
        for path in ["/system/functions", "/system/functions?namespace=openfaas-fn"] {
            let listed = get(path).await;
            assert_eq!((&listed[0]["name"], &listed[0]["annotations"]["topic"]), (&"echo".into(), &"A,B".into()));
        }
        assert_eq!(get("/system/functions?namespace=other").await, serde_json::json!([]));
        assert_eq!(ask(address, &format!("POST /system/functions HTTP/1.1\r\n{AUTH}\r\n")).await.0, 405);
        assert_eq!(ask(address, &format!("GET /system/nothing HTTP/1.1\r\n{AUTH}\r\n")).await.0, 404);
        stop.cancel();
        task.await.unwrap();
    }

    #[tokio::test]
    async fn functions_get_headers_and_body_and_their_answer_is_given_back() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let echo = Function::new("echo", "", move |call| {
            counted.fetch_add(1, Ordering::Relaxed);
            let topic = call.headers["x-topic"].to_str().unwrap();
            let text = format!("{} {topic} {}", call.function, std::str::from_utf8(call.body).unwrap());
            Answer::new(StatusCode::IM_A_TEAPOT, text).after(Duration::from_millis(1))
        });
        let (address, stop, task) = start(vec![echo]).await;
        let more = "x-topic: T\r\nx-call-id: 7\r\ncontent-length: 4\r\n\r\nbody";
        for path in ["/function/echo", "/function/echo.openfaas-fn/deeper?x"] {
            let (status, answer) = ask(address, &format!("POST {path} HTTP/1.1\r\n{more}")).await;
            assert_eq!(status, 418);
            assert!(answer.ends_with("\r\n\r\necho T body") && answer.contains("x-call-id: 7\r\n"), "{answer}");
        }
        for path in ["/function/ech", "/function/echo.other", "/function/", "/async-function/echo", "/"] {
            assert_eq!(ask(address, &format!("POST {path} HTTP/1.1\r\n{more}")).await.0, 404, "{path}");
        }
        let large = format!("POST /function/echo HTTP/1.1\r\ncontent-length: {}\r\n\r\n", MOST_BODY + 1);
        assert_eq!(ask(address, &large).await.0, 413);
        assert_eq!(calls.load(Ordering::Relaxed), 2);
        stop.cancel();
        task.await.unwrap();
    }

    #[tokio::test]
    async fn what_is_under_way_is_answered_before_the_end() {
        let (called, mut calls) = tokio::sync::mpsc::unbounded_channel();
        let slow = Function::new("slow", "", move |_| {
            called.send(()).unwrap();
            Answer::new(StatusCode::OK, "done").after(Duration::from_millis(50))
        });
        let (address, stop, task) = start(vec![slow]).await;
        let asking = tokio::spawn(async move { ask(address, "POST /function/slow HTTP/1.1\r\n\r\n").await });
        calls.recv().await.unwrap();
        stop.cancel();
        assert_eq!(asking.await.unwrap().0, 200);
        task.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    }
}
