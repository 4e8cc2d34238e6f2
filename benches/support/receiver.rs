//! The functions: a gateway that lists some and answers each call at once. One thread; it counts, and notes how old
//! events are when they come.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use memchr::memmem::Finder;
use tokio::net::TcpListener;

use super::Result;

/// Buckets of ages in microseconds: eight for each doubling.
const BUCKETS: usize = 8 * 48;

/// Counts and ages since the last look.
pub struct Receiver {
    functions: String,
    dead: Option<String>,
    calls: Cell<u64>,
    failures: Cell<u64>,
    bytes: Cell<u64>,
    ages: RefCell<Vec<u64>>,
    time: Finder<'static>,
}

fn bucket(micros: u64) -> usize {
    (((micros.max(1) as f64).log2() * 8.0) as usize).min(BUCKETS - 1)
}

fn age(json: &[u8], time: &Finder<'_>) -> Option<u64> {
    let at = time.find(json)? + time.needle().len();
    let text = std::str::from_utf8(json.get(at..)?.split(|b| *b == b'"').next()?).ok()?;
    let created: jiff::Timestamp = text.parse().ok()?;
    let now = jiff::Timestamp::try_from(SystemTime::now()).ok()?;
    u64::try_from(now.as_microsecond() - created.as_microsecond()).ok()
}

impl Receiver {
    async fn serve(&self, request: Request<Incoming>) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
        let mut response = Response::new(Full::default());
        let path = request.uri().path();
        if request.method() == Method::POST {
            if self.dead.as_deref() == path.strip_prefix("/function/") {
                self.failures.set(self.failures.get() + 1);
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                return Ok(response);
            }
            let mut body = request.into_body();
            let mut first = true;
            while let Some(Ok(frame)) = body.frame().await {
                let Ok(data) = frame.into_data() else { continue };
                self.bytes.set(self.bytes.get() + data.len() as u64);
                if std::mem::replace(&mut first, false)
                    && let Some(age) = age(&data, &self.time)
                {
                    self.ages.borrow_mut()[bucket(age)] += 1;
                }
            }
            self.calls.set(self.calls.get() + 1);
            return Ok(response);
        }
        match path {
            "/system/functions" => *response.body_mut() = Full::new(Bytes::from(self.functions.clone())),
            // Calls, failed calls, bytes, median and 99th percentile of the ages since the last look, in microseconds.
            "/figures" => {
                let mut ages = self.ages.borrow_mut();
                let (median, most) = (quantile(&ages, 0.5), quantile(&ages, 0.99));
                ages.fill(0);
                let (calls, failures, bytes) = (self.calls.get(), self.failures.get(), self.bytes.get());
                let text = format!("{calls} {failures} {bytes} {median} {most}");
                *response.body_mut() = Full::new(Bytes::from(text));
            }
            _ => *response.status_mut() = StatusCode::NOT_FOUND,
        }
        Ok(response)
    }
}

/// The upper bound of the bucket that holds it.
fn quantile(ages: &[u64], part: f64) -> u64 {
    let all: u64 = ages.iter().sum();
    let mut seen = 0;
    for (at, count) in ages.iter().enumerate() {
        seen += count;
        if all > 0 && seen as f64 >= part * all as f64 {
            return ((at + 1) as f64 / 8.0).exp2() as u64;
        }
    }
    0
}

/// Serves functions `f0` to `f{count - 1}`, between which the subjects are divided, until the process ends.
pub async fn run(count: usize, subjects: &[String], dead: Option<String>) -> Result<()> {
    let functions: Vec<_> = (0..count)
        .map(|function| {
            let topics: Vec<_> = subjects.iter().skip(function).step_by(count).map(String::as_str).collect();
            serde_json::json!({"name": format!("f{function}"), "annotations": {"topic": topics.join(",")}})
        })
        .collect();
    let receiver = Rc::new(Receiver {
        functions: serde_json::Value::from(functions).to_string(),
        dead,
        calls: Cell::default(),
        failures: Cell::default(),
        bytes: Cell::default(),
        ages: RefCell::new(vec![0; BUCKETS]),
        time: Finder::new(b"\"time\":\""),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let receiver = Rc::clone(&receiver);
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| {
                let receiver = Rc::clone(&receiver);
                async move { receiver.serve(request).await }
            });
            drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}
