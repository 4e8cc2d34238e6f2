//! The control address: faults and events on request, and figures.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::handle::Handle;
use super::{Rate, RateError};

/// Callers served at once.
const MOST_CONNECTIONS: usize = 32;
/// As much of a body is taken.
const MOST_BODY: usize = 64 * 1024;
/// How long a caller may take over headers or body.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an answer that is ready may take to be sent at the end.
const FLUSH: Duration = Duration::from_secs(1);
/// The most lines of the ledger in one answer.
const MOST_LINES: usize = 100_000;
/// As many if none are asked for.
const USUAL_LINES: usize = 1_000;

/// Answers until stopped.
pub(super) async fn serve(listener: TcpListener, vcenter: Handle, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let tasks = TaskTracker::new();
    loop {
        let accept = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
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
        let (vcenter, stop) = (vcenter.clone(), stop.clone());
        tasks.spawn(async move {
            connection(stream, vcenter, stop).await;
            drop(place);
        });
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

async fn connection(stream: TcpStream, vcenter: Handle, stop: CancellationToken) {
    let service = service_fn(move |request| {
        let vcenter = vcenter.clone();
        async move { Ok::<_, Infallible>(answer(&vcenter, request).await) }
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

type Answer = Response<Full<Bytes>>;

async fn answer(vcenter: &Handle, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let method = match path {
        "/" | "/ledger" | "/subjects" => Method::GET,
        "/faults" | "/events" | "/rate" => Method::POST,
        _ => {
            return text(
                StatusCode::NOT_FOUND,
                "there are GET /, GET /subjects, GET /ledger?from=N&count=M, POST /faults, POST /events and POST /rate",
            );
        }
    };
    if head.method != method {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, format!("{path} wants {method}"));
        if let Ok(method) = HeaderValue::from_str(method.as_str()) {
            answer.headers_mut().insert(ALLOW, method);
        }
        return answer;
    }
    if method == Method::GET {
        return match path {
            "/" => as_json(&json!(vcenter.figures())),
            "/subjects" => as_json(&json!(vcenter.subjects())),
            _ => ledger(vcenter, head.uri.query().unwrap_or_default()),
        };
    }
    let body = match tokio::time::timeout(PATIENCE, Limited::new(body, MOST_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return text(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {MOST_BODY} bytes"));
        }
        Ok(Err(_)) => return text(StatusCode::BAD_REQUEST, "the body breaks off"),
        Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the body is too slow"),
    };
    let Ok(body) = std::str::from_utf8(&body) else { return text(StatusCode::BAD_REQUEST, "the body is no text") };
    let done = match path {
        "/faults" => vcenter.plan(body).map(|count| count as u64).map_err(|error| error.to_string()),
        "/events" => events(vcenter, body),
        _ => rate(vcenter, body),
    };
    match done {
        Ok(count) => text(StatusCode::OK, count.to_string()),
        Err(why) => text(StatusCode::BAD_REQUEST, why),
    }
}

fn text(status: StatusCode, body: impl Into<String>) -> Answer {
    let mut body: String = body.into();
    if !body.ends_with('\n') {
        body.push('\n');
    }
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

fn as_json(value: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(format!("{value:#}\n"))));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn ledger(vcenter: &Handle, query: &str) -> Answer {
    let (mut from, mut count) = (0, USUAL_LINES);
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let right = match &*name {
            "from" => value.parse().map(|value| from = value).is_ok(),
            "count" => value.parse().map(|value| count = value).is_ok() && count <= MOST_LINES,
            _ => false,
        };
        if !right {
            return text(
                StatusCode::BAD_REQUEST,
                format!("there are from=N and count=N, at most {MOST_LINES}, and not {name}={value}"),
            );
        }
    }
    let mut lines = String::new();
    for entry in vcenter.ledger(from, count) {
        lines.push_str(&format!("{entry}\n"));
    }
    let mut answer = text(StatusCode::OK, "");
    *answer.body_mut() = Full::new(Bytes::from(lines));
    answer
}

/// What is asked for of a class.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Events {
    class: String,
    #[serde(default = "one")]
    count: u64,
}

fn one() -> u64 {
    1
}

fn events(vcenter: &Handle, body: &str) -> Result<u64, String> {
    let Events { class, count } = serde_json::from_str(body)
        .map_err(|error| format!("write {{\"class\": \"VmPoweredOnEvent\", \"count\": 3}}: {error}"))?;
    vcenter.make(&class, count)
}

fn rate(vcenter: &Handle, body: &str) -> Result<u64, String> {
    let rate: Rate = body.trim().parse().map_err(|error: RateError| error.to_string())?;
    vcenter.set_rate(rate);
    Ok(1)
}
