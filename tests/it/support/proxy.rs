//! A forward proxy: CONNECT tunnels, requests with absolute addresses, and passwords. It keeps what it was asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::raw;

/// What a proxy does.
#[derive(Clone, Default)]
pub(crate) struct Rules {
    /// Where names lead that nobody else can resolve.
    pub(crate) names: HashMap<&'static str, SocketAddr>,
    /// `USER:PASSWORD` that it wants.
    pub(crate) password: Option<&'static str>,
    /// What it answers to everything.
    pub(crate) refuse: Option<u16>,
}

/// One request: the method, and where it goes (an authority, or a whole URL).
pub(crate) type Asked = (Method, String);

/// A running proxy; it ends when dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    _serving: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(rules: Rules) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let mut serving = JoinSet::new();
        let (rules, kept) = (Arc::new(rules), Arc::clone(&asked));
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (rules, asked) = (Arc::clone(&rules), Arc::clone(&kept));
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&rules), Arc::clone(&asked), request));
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades();
                    // Either side may end it at any time.
                    connection.await.ok();
                });
            }
        });
        Self { address, asked, _serving: serving }
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// `http://USER:PASSWORD@HOST:PORT`, as an environment variable has it.
    pub(crate) fn url(&self, credentials: &str) -> String {
        let at = if credentials.is_empty() { "" } else { "@" };
        format!("http://{credentials}{at}{}", self.address)
    }
}

fn plain(status: u16) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::default()).unwrap()
}

async fn answer(
    rules: Arc<Rules>,
    asked: Arc<Mutex<Vec<Asked>>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    asked.lock().unwrap().push((request.method().clone(), request.uri().to_string()));
    if let Some(status) = rules.refuse {
        return Ok(plain(status));
    }
    let given = request.headers().get("proxy-authorization").map(|value| value.to_str().unwrap().to_owned());
    let wanted =
        rules.password.map(|password| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(password)));
    if given != wanted {
        return Ok(plain(StatusCode::PROXY_AUTHENTICATION_REQUIRED.as_u16()));
    }
    let host = request.uri().host().unwrap_or_default();
    let to = match rules.names.get(host) {
        Some(to) => *to,
        None => match request.uri().authority().map(|authority| authority.as_str().parse()) {
            Some(Ok(to)) => to,
            _ => return Ok(plain(502)),
        },
    };
    if request.method() == Method::CONNECT {
        let Ok(mut upstream) = TcpStream::connect(to).await else { return Ok(plain(502)) };
        tokio::spawn(async move {
            if let Ok(client) = hyper::upgrade::on(request).await {
                tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut upstream).await.ok();
            }
        });
        return Ok(plain(200));
    }
    // To a proxy, an address is absolute; from it, it is not.
    let Some(path) = request.uri().path_and_query().map(ToString::to_string).filter(|_| !host.is_empty()) else {
        return Ok(plain(400));
    };
    let (mut head, body) = request.into_parts();
    head.uri = path.parse().unwrap();
    head.headers.remove("proxy-authorization");
    let body = body.collect().await?.to_bytes();
    let answer = raw::send(to, Request::from_parts(head, body)).await?;
    Ok(answer.map(Full::new))
}
