//! The server: connections, TLS, HTTP, and what goes wrong there.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::body::Body;
use super::fault::Disturbance;
use super::maker;
use super::replay::Replay;
use super::service::{self, Reply};
use super::session::{Caller, new_cookie};
use super::soap::{Fault, read_call, write_fault};
use super::state::{Links, State, VCenter};
use super::versions;
use super::{Handle, Options, Tls, certificate, control};

/// Connections at once.
const MOST_CONNECTIONS: usize = 4_096;

/// As large as a request may be.
const MOST_BODY: usize = 4 << 20;

/// How long a client may take for a handshake, for its headers, and for its body.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long an answer that is ready may take to be sent at the end.
const FLUSH: Duration = Duration::from_secs(1);

/// What a proxy says while what is behind it is away.
const AWAY: &str = "<html>\n<head><title>503 Service Unavailable</title></head>\n<body>\n\
    <center><h1>503 Service Unavailable</h1></center>\nno healthy upstream\n</body>\n</html>\n";

/// A simulated vCenter that listens.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    vcenter: Arc<VCenter>,
    links: watch::Sender<Links>,
    options: Arc<Options>,
    thumbprint: Option<String>,
    control: Option<(TcpListener, SocketAddr)>,
}

impl Server {
    /// Begins to listen. Nothing happens before it runs, except what has happened before.
    ///
    /// # Errors
    /// The address is taken or is not one of this machine, or a certificate or a captured page cannot be used.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let (tls, thumbprint) = certificate::acceptor(&options.tls, address.ip())?.unzip();
        let replay = Replay::read(&options.replay)?;
        let control = match options.control {
            Some(address) => {
                let listener = TcpListener::bind(address).await?;
                let address = listener.local_addr()?;
                Some((listener, address))
            }
            None => None,
        };
        let mut state = State::with(options, replay);
        for planned in state.options.faults.clone() {
            state.plan(planned).map_err(io::Error::other)?;
        }
        let (links, options) = (state.links.clone(), Arc::clone(&state.options));
        let vcenter = Arc::new(VCenter::new(state));
        Ok(Self { listener, address, tls, vcenter, links, options, thumbprint, control })
    }

    /// Where clients find it.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.options.tls == Tls::Off { "http" } else { "https" };
        format!("{scheme}://{}/sdk", self.address)
    }

    /// The SHA-256 digest of the certificate, as `AA:BB:...`; none without TLS.
    #[must_use]
    pub fn thumbprint(&self) -> Option<&str> {
        self.thumbprint.as_deref()
    }

    /// Where the control address is, if there is one.
    #[must_use]
    pub fn control(&self) -> Option<SocketAddr> {
        self.control.as_ref().map(|(_, address)| *address)
    }

    /// To let things happen to it, and to look at it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.vcenter))
    }

    /// Lives and serves until stopped.
    pub async fn run(self, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        tasks.spawn({
            let (vcenter, stop) = (Arc::clone(&self.vcenter), stop.clone());
            async move {
                tokio::select! {
                    ((), ()) = async { tokio::join!(maker::live(&vcenter), maker::upset(&vcenter)) } => {}
                    () = stop.cancelled() => {}
                }
            }
        });
        let handle = self.handle();
        if let Some((listener, _)) = self.control {
            tasks.spawn(control::serve(listener, handle, stop.clone()));
        }
        let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        loop {
            let accept = async {
                let place = Arc::clone(&room).acquire_owned().await.map_err(io::Error::other)?;
                Ok::<_, io::Error>((place, self.listener.accept().await?))
            };
            let (place, (stream, peer)) = tokio::select! {
                accepted = accept => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of descriptors, most likely: others will be closed.
                        debug!(%error, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
                () = stop.cancelled() => break,
            };
            let mut number = 0;
            self.links.send_if_modified(|links| {
                number = links.next;
                links.next += 1;
                links.open += 1;
                false
            });
            let line = Line { number, links: self.links.subscribe(), stop: stop.clone() };
            let (vcenter, tls, links) = (Arc::clone(&self.vcenter), self.tls.clone(), self.links.clone());
            tasks.spawn(async move {
                line.serve(stream, tls, peer, vcenter).await;
                links.send_if_modified(|links| {
                    links.open -= 1;
                    false
                });
                drop(place);
            });
        }
        tasks.close();
        tasks.wait().await;
    }
}

/// What becomes of a connection from outside.
enum Fate {
    Silent,
    Broken,
}

/// One connection.
struct Line {
    number: u64,
    links: watch::Receiver<Links>,
    stop: CancellationToken,
}

impl Line {
    async fn serve(mut self, stream: TcpStream, tls: Option<TlsAcceptor>, peer: SocketAddr, vcenter: Arc<VCenter>) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "a connection is gone");
        }
        let Some(tls) = tls else { return self.speak(stream, peer, vcenter).await };
        let handshake = tokio::time::timeout(PATIENCE, tls.accept(stream));
        let shaken = tokio::select! {
            shaken = handshake => shaken,
            () = self.stop.cancelled() => return,
        };
        match shaken {
            Ok(Ok(stream)) => self.speak(stream, peer, vcenter).await,
            Ok(Err(error)) => debug!(%error, "a client does not want TLS with us"),
            Err(_) => debug!("a client is too slow for TLS"),
        }
    }

    async fn speak(&mut self, stream: impl AsyncRead + AsyncWrite + Unpin, peer: SocketAddr, vcenter: Arc<VCenter>) {
        let service = service_fn(move |request| {
            let vcenter = Arc::clone(&vcenter);
            async move { Ok::<_, std::convert::Infallible>(answer(&vcenter, peer, request).await) }
        });
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE * 10)
            .serve_connection(TokioIo::new(stream), service);
        let stop = self.stop.clone();
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = stop.cancelled() => {
                Pin::new(&mut connection).graceful_shutdown();
                tokio::time::timeout(FLUSH, connection).await.unwrap_or(Ok(()))
            }
            fate = self.fate(true) => {
                if matches!(fate, Fate::Silent) {
                    self.hold(connection.into_parts().io.into_inner()).await;
                }
                Ok(())
            }
        };
        if let Err(error) = ended {
            debug!(%error, "a client went away");
        }
    }

    /// Waits until something becomes of the connection.
    async fn fate(&mut self, silence: bool) -> Fate {
        let number = self.number;
        let meant = |links: &Links| number < links.broken || silence && number < links.silent;
        match self.links.wait_for(meant).await {
            Ok(links) if number >= links.broken => Fate::Silent,
            _ => Fate::Broken,
        }
    }

    /// Keeps a connection open and says nothing, until the client gives up.
    async fn hold(&mut self, mut stream: impl AsyncRead + Unpin) {
        let stop = self.stop.clone();
        let deaf = async {
            let mut unheard = [0; 4_096];
            while stream.read(&mut unheard).await.is_ok_and(|read| read > 0) {}
        };
        tokio::select! {
            () = deaf => {}
            _ = self.fate(false) => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn answer(vcenter: &VCenter, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().trim_end_matches('/');
    if head.method != Method::POST {
        // What a proxy does to every call, it does to files too.
        let away = vcenter.with(|state| state.troubles.on_call("")) == Some(Disturbance::Unavailable);
        return match path {
            _ if away => away_page(),
            "/sdk/vimServiceVersions.xml" => xml(StatusCode::OK, versions::list()),
            "" | "/sdk" => page(StatusCode::OK, "<html><body>A simulated vCenter. Clients call /sdk.</body></html>\n"),
            _ => page(StatusCode::NOT_FOUND, "<html><body>404 Not Found</body></html>\n"),
        };
    }
    if path != "/sdk" {
        return page(StatusCode::NOT_FOUND, "<html><body>404 Not Found</body></html>\n");
    }
    let collected = tokio::time::timeout(PATIENCE, Limited::new(body, MOST_BODY).collect()).await;
    let body = match collected {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return page(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large\n");
        }
        _ => return page(StatusCode::BAD_REQUEST, "the request does not come\n"),
    };
    let call = match read_call(&body) {
        Ok(call) => call,
        Err(fault) => return failed(&fault),
    };
    drop(body);
    let caller = Caller {
        address: peer.ip(),
        agent: text_of(&head.headers, header::USER_AGENT).unwrap_or_default().to_owned(),
        cookie: cookie(&head.headers),
    };
    let disturbance = vcenter.with(|state| state.troubles.on_call(&call.name));
    match &disturbance {
        Some(Disturbance::Fault(fault)) => {
            // A server that says so has no such session any more.
            if fault.kind == "NotAuthenticated" {
                vcenter.with(|state| state.end_session_of(&caller));
            }
            return failed(fault);
        }
        Some(Disturbance::Unavailable) => return away_page(),
        Some(Disturbance::Hang) => std::future::pending().await,
        _ => {}
    }
    let reply = service::answer(vcenter, &caller, &call).await;
    if let Some(Disturbance::Delay(by)) = disturbance {
        tokio::time::sleep(by).await;
    }
    let mut response = match reply {
        Ok(Reply { xml: text, cookie }) => {
            let whole = Bytes::from(text);
            let half = whole.len() * 2 / 3;
            let body = match disturbance {
                Some(Disturbance::CutOff) => Body::broken(whole, half),
                Some(Disturbance::CutShort) => Body::whole(whole.slice(..half)),
                _ => Body::whole(whole),
            };
            let mut response = answered(StatusCode::OK, "text/xml; charset=utf-8", body);
            set_cookie(&mut response, cookie, vcenter);
            response
        }
        Err(fault) => {
            let mut response = failed(&fault);
            // A login that fails gets a cookie too, which is of no use.
            set_cookie(&mut response, (call.name == "Login").then(new_cookie), vcenter);
            response
        }
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

fn answered(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn xml(status: StatusCode, text: String) -> Response<Body> {
    answered(status, "text/xml; charset=utf-8", Body::whole(Bytes::from(text)))
}

fn page(status: StatusCode, text: &'static str) -> Response<Body> {
    answered(status, "text/html", Body::whole(Bytes::from_static(text.as_bytes())))
}

fn away_page() -> Response<Body> {
    page(StatusCode::SERVICE_UNAVAILABLE, AWAY)
}

fn failed(fault: &Fault) -> Response<Body> {
    xml(StatusCode::INTERNAL_SERVER_ERROR, write_fault(fault))
}

fn set_cookie(response: &mut Response<Body>, cookie: Option<String>, vcenter: &VCenter) {
    let Some(cookie) = cookie else { return };
    // Over plain HTTP, clients would keep a secure one to themselves.
    let secure = vcenter.with(|state| if state.options.tls == Tls::Off { "" } else { " Secure;" });
    let text = format!("vmware_soap_session=\"{cookie}\"; Path=/; HttpOnly;{secure}");
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
}

fn text_of(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The session cookie. Some clients take its quotes off.
fn cookie(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let found = all.flat_map(|text| text.split(';')).find_map(|part| part.trim().strip_prefix("vmware_soap_session="));
    found.map(|value| value.trim().trim_matches('"').to_owned())
}
