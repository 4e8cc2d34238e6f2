//! Connections that are kept, each for one call at a time.
//!
//! A connection has no task of its own: the call that uses it drives it, and nobody else. So an answer wakes the one who
//! waits for it without a detour, and a call that is given up closes its connection.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri, header, response, uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::proxy::matcher::Matcher;
use tower_service::Service as _;

use super::connect::{self, Connector, Stream};
use super::{HttpError, HttpErrorKind};

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(50);

/// What is read or written at once, and as long as an answer's headers may be.
const BUFFER: usize = 64 * 1024;

/// A connection to one server.
pub(super) struct Line {
    sender: SendRequest<Full<Bytes>>,
    /// None once it has ended.
    connection: Option<Connection<MaybeHttpsStream<Stream>, Full<Bytes>>>,
    /// Since when nobody has used it.
    unused: Instant,
    /// How long the body was that was read last.
    length: usize,
}

impl Line {
    fn poll(&mut self, context: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(context).is_ready()
        {
            // Whoever waits for something of it learns by this that nothing will come.
            self.connection = None;
        }
    }

    /// Drives the connection until something is done that needs nothing else.
    async fn drive<T>(&mut self, something: impl Future<Output = T>) -> T {
        // It goes on when the connection does, so it need not wake anybody; but then nothing else may make it wait. A
        // task that has done much would be told to come back later, by a wake that nobody hears.
        let mut something = pin!(tokio::task::coop::unconstrained(something));
        poll_fn(|context| {
            self.poll(context);
            something.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        })
        .await
    }

    /// Whether it takes another call.
    fn is_free(&mut self) -> bool {
        if !self.sender.is_ready() {
            self.poll(&mut Context::from_waker(Waker::noop()));
        }
        self.connection.is_some() && self.sender.is_ready()
    }
}

/// An answer that is being read.
pub(super) struct Answer<'a> {
    pub(super) head: response::Parts,
    body: Incoming,
    /// Its end has come. A body in chunks does not tell by itself.
    ended: bool,
    line: Box<Line>,
    lines: &'a Lines,
    server: usize,
}

impl Answer<'_> {
    /// Whether all of the body has been read.
    pub(super) fn is_read(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    /// The next part of the body; none at its end.
    pub(super) async fn part(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            match self.line.drive(self.body.frame()).await {
                None => {
                    self.ended = true;
                    return Ok(None);
                }
                Some(Err(error)) => return Err(HttpError::classify(&error)),
                Some(Ok(frame)) => {
                    // Trailers tell us nothing.
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The whole body.
    pub(super) async fn read(mut self, most: usize) -> Result<Response<Bytes>, HttpError> {
        let mut first = Bytes::new();
        let mut whole = BytesMut::new();
        while !self.is_read()
            && let Some(part) = self.part().await?
        {
            if first.len() + whole.len() + part.len() > most {
                return Err(HttpError::new(HttpErrorKind::TooLarge, format!("the answer exceeds {most} bytes")));
            }
            if first.is_empty() && whole.is_empty() {
                // What comes in one part need not be copied.
                first = part;
                continue;
            }
            if whole.is_empty() {
                // What it says of its length spares us copying, and if it does not say, what came here before: pages of
                // events are of about one length.
                let rest = usize::try_from(self.body.size_hint().lower()).unwrap_or(most);
                let expected = (first.len() + part.len() + rest).max(self.line.length + self.line.length / 16);
                whole.reserve(expected.min(most));
                whole.extend_from_slice(&std::mem::take(&mut first));
            }
            whole.extend_from_slice(&part);
        }
        self.line.length = first.len() + whole.len();
        let body = if whole.is_empty() { first } else { whole.freeze() };
        Ok(self.done(body))
    }

    /// Enough has been read. The connection is kept if that was all.
    pub(super) fn done(self, body: Bytes) -> Response<Bytes> {
        if self.is_read() {
            self.lines.put_back(self.server, self.line);
        }
        Response::from_parts(self.head, body)
    }
}

/// How requests reach a server.
#[derive(Clone)]
enum Way {
    /// On a connection to it, perhaps through a tunnel.
    Direct,
    /// By a proxy that is told the whole address, and this to be let through.
    Proxy(Option<HeaderValue>),
}

/// The unused connections to one server.
struct Server {
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
    way: Way,
    /// Boxed, since they are large and go from hand to hand.
    unused: VecDeque<Box<Line>>,
}

/// Connections to servers: never more than there were calls at once.
pub(super) struct Lines {
    connector: HttpsConnector<Connector>,
    proxies: Arc<Matcher>,
    servers: Mutex<Vec<Server>>,
}

impl Lines {
    pub(super) fn new(connector: HttpsConnector<Connector>, proxies: Arc<Matcher>) -> Self {
        Self { connector, proxies, servers: Mutex::default() }
    }

    fn servers(&self) -> MutexGuard<'_, Vec<Server>> {
        // Nothing can fail half-way while it is held.
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of a server, which stays the same, what its requests say of it, and how they reach it.
    fn server(&self, scheme: &Scheme, authority: &Authority) -> Result<(usize, HeaderValue, Way), HttpError> {
        let mut servers = self.servers();
        let known = servers.iter().position(|server| server.authority == *authority && server.scheme == *scheme);
        if let Some(at) = known {
            return Ok((at, servers[at].host.clone(), servers[at].way.clone()));
        }
        let usual = if *scheme == Scheme::HTTPS { 443 } else { 80 };
        let host = match authority.port_u16() {
            Some(port) if port != usual => HeaderValue::from_str(&format!("{}:{port}", authority.host())),
            _ => HeaderValue::from_str(authority.host()),
        };
        let host = host.map_err(|_| HttpError::new(HttpErrorKind::Protocol, "the host is no header's value"))?;
        let proxy =
            if *scheme == Scheme::HTTPS { None } else { connect::proxy(&self.proxies, &root(scheme, authority)?) };
        let way = proxy.map_or(Way::Direct, |proxy| Way::Proxy(proxy.basic_auth().cloned()));
        servers.push(Server {
            scheme: scheme.clone(),
            authority: authority.clone(),
            host: host.clone(),
            way: way.clone(),
            unused: VecDeque::new(),
        });
        Ok((servers.len() - 1, host, way))
    }

    /// An unused connection, the one that was used last.
    fn take(&self, server: usize) -> Option<Box<Line>> {
        let mut servers = self.servers();
        let unused = &mut servers.get_mut(server)?.unused;
        while unused.front().is_some_and(|line| line.unused.elapsed() > IDLE) {
            unused.pop_front();
        }
        unused.pop_back()
    }

    fn put_back(&self, server: usize, mut line: Box<Line>) {
        if line.is_free()
            && let Some(server) = self.servers().get_mut(server)
        {
            line.unused = Instant::now();
            server.unused.push_back(line);
        }
    }

    async fn connect(&self, scheme: &Scheme, authority: &Authority) -> Result<Box<Line>, HttpError> {
        let to = root(scheme, authority)?;
        let stream = self.connector.clone().call(to).await.map_err(|error| HttpError::classify(&*error))?;
        let (sender, connection) = Builder::new()
            .writev(false)
            .max_buf_size(BUFFER)
            .handshake(stream)
            .await
            .map_err(|error| HttpError::classify(&error))?;
        Ok(Box::new(Line { sender, connection: Some(connection), unused: Instant::now(), length: 0 }))
    }

    /// Sends a request, on a connection that is there or a new one.
    pub(super) async fn call(&self, mut request: Request<Full<Bytes>>) -> Result<Answer<'_>, HttpError> {
        let uri = std::mem::take(request.uri_mut()).into_parts();
        let (Some(scheme), Some(authority)) = (uri.scheme, uri.authority) else {
            return Err(HttpError::new(HttpErrorKind::Protocol, "the address names no server"));
        };
        let path = uri.path_and_query.unwrap_or(PathAndQuery::from_static("/"));
        let (server, host, way) = self.server(&scheme, &authority)?;
        request.headers_mut().insert(header::HOST, host);
        *request.uri_mut() = match &way {
            Way::Direct => path.into(),
            Way::Proxy(auth) => {
                if let Some(auth) = auth {
                    request.headers_mut().insert(header::PROXY_AUTHORIZATION, auth.clone());
                }
                whole(&scheme, &authority, path)?
            }
        };
        loop {
            let unused = self.take(server);
            let used_before = unused.is_some();
            let mut line = match unused {
                Some(line) => line,
                // Rare, and larger than all the rest of a call.
                None => Box::pin(self.connect(&scheme, &authority)).await?,
            };
            let sent = line.sender.try_send_request(request);
            match line.drive(sent).await {
                Ok(answer) => {
                    let (head, body) = answer.into_parts();
                    if let Way::Proxy(_) = way
                        && head.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED
                        && let Some(proxy) = connect::proxy(&self.proxies, &root(&scheme, &authority)?)
                    {
                        return Err(connect::refused(&proxy, connect::WANTS_PASSWORD));
                    }
                    return Ok(Answer { head, body, ended: false, line, lines: self, server });
                }
                Err(mut error) => match error.take_message() {
                    // The server had closed it meanwhile: nothing has been sent.
                    Some(unsent) if used_before => request = unsent,
                    _ => return Err(HttpError::classify(error.error())),
                },
            }
        }
    }
}

/// A server's address with a path.
fn whole(scheme: &Scheme, authority: &Authority, path: PathAndQuery) -> Result<Uri, HttpError> {
    let mut parts = uri::Parts::default();
    (parts.scheme, parts.authority, parts.path_and_query) = (Some(scheme.clone()), Some(authority.clone()), Some(path));
    Uri::from_parts(parts).map_err(|error| HttpError::classify(&error))
}

fn root(scheme: &Scheme, authority: &Authority) -> Result<Uri, HttpError> {
    whole(scheme, authority, PathAndQuery::from_static("/"))
}
