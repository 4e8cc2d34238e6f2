//! Connections, through a proxy where the environment names one.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::{HttpError, HttpErrorKind};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// Connects directly, through a CONNECT tunnel (https), or to a proxy that is
/// then asked with absolute addresses (http).
#[derive(Clone)]
pub(super) struct Connector {
    direct: HttpConnector,
    proxies: Arc<Matcher>,
}

impl Connector {
    pub(super) fn new(proxies: Arc<Matcher>) -> Self {
        let mut direct = HttpConnector::new();
        direct.enforce_http(false);
        direct.set_nodelay(true);
        direct.set_connect_timeout(Some(CONNECT));
        direct.set_keepalive(Some(Duration::from_secs(60)));
        Self { direct, proxies }
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, HttpError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HttpError>> {
        self.direct.poll_ready(cx).map_err(|error| HttpError::classify(&error))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let Some(proxy) = proxy(&self.proxies, &to) else {
            let connecting = self.direct.call(to);
            return Box::pin(async move {
                let io = connecting.await.map_err(|error| HttpError::classify(&error))?;
                Ok(Stream(io))
            });
        };
        if proxy.uri().scheme_str() != Some("http") {
            return Box::pin(async move { Err(refused(&proxy, "only http:// proxies are supported")) });
        }
        if to.scheme_str() == Some("https") {
            let mut tunnel = Tunnel::new(proxy.uri().clone(), self.direct.clone());
            if let Some(auth) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(auth.clone());
            }
            let connecting = tunnel.call(to);
            return Box::pin(async move {
                match tokio::time::timeout(CONNECT, connecting).await {
                    Ok(Ok(io)) => Ok(Stream(io)),
                    Ok(Err(error)) => Err(refused(&proxy, &tunnel_text(&error))),
                    Err(_) => Err(refused(&proxy, "no answer in time")),
                }
            });
        }
        let connecting = self.direct.call(proxy.uri().clone());
        Box::pin(async move {
            let io = connecting.await.map_err(|error| refused(&proxy, &HttpError::classify(&error).to_string()))?;
            Ok(Stream(io))
        })
    }
}

/// The proxy that leads there. As for the Go router, none leads to this machine itself; nor to what only this machine's
/// link reaches, such as the place where a cloud keeps a machine's credentials.
pub(super) fn proxy(proxies: &Matcher, to: &Uri) -> Option<Intercept> {
    let host = to.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let here = host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(is_here);
    if here { None } else { proxies.intercept(to) }
}

fn is_here(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

/// What to do about a 407.
pub(super) const WANTS_PASSWORD: &str =
    "it wants a user name and password; give them as http://USER:PASSWORD@HOST:PORT in the environment";

/// An error that names the proxy, without its password.
pub(super) fn refused(proxy: &Intercept, why: &str) -> HttpError {
    let at = proxy.uri().authority().map(|authority| authority.as_str()).unwrap_or_default();
    let at = at.rsplit('@').next().unwrap_or_default();
    HttpError::new(HttpErrorKind::Proxy, format!("the proxy at {at}: {why}"))
}

fn tunnel_text(error: &(dyn std::error::Error + 'static)) -> String {
    let known = HttpError::classify(error);
    if known.kind != HttpErrorKind::Protocol {
        return known.to_string();
    }
    // Its errors have no names outside hyper-util.
    match error.to_string().trim_start_matches("tunnel error: ") {
        "proxy authorization required" => WANTS_PASSWORD.to_owned(),
        "unsuccessful" => "it refuses to connect there, or is no proxy".to_owned(),
        "unexpected end of file" => "it closed the connection".to_owned(),
        other => other.to_owned(),
    }
}

/// A TCP connection.
pub(super) struct Stream(TokioIo<TcpStream>);

/// TLS is only laid over what can tell of itself.
impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write_vectored(cx, bufs)
    }
}
