//! One HTTP client for everything that speaks HTTP: proxies, TLS, bounds, and
//! errors that a person understands.

mod connect;
mod error;
mod line;
mod retry;
mod tls;

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper_util::client::proxy::matcher::Matcher;

use line::{Answer, Lines};

pub use error::{HttpError, HttpErrorKind};
pub use retry::retry_after;
pub use tls::{Thumbprint, TlsFacts, TlsOptions, inspect_tls};

/// The bounds of one call.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the start of the call to the end of the answer's body.
    pub timeout: Duration,
    /// Bytes of the answer's body.
    pub body: usize,
}

/// A client that keeps connections alive and reuses them. Each call in flight has one of its own.
pub struct Client {
    tls: TlsOptions,
    proxies: Arc<Matcher>,
    /// Built with the first call, since the system's CA roots are read then.
    lines: OnceLock<Result<Lines, HttpError>>,
}

impl Client {
    /// Does nothing until the first call. Proxies come from `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`.
    #[must_use]
    pub fn new(tls: TlsOptions) -> Self {
        Self { tls, proxies: Arc::new(Matcher::from_env()), lines: OnceLock::new() }
    }

    fn lines(&self, https: bool) -> Result<&Lines, HttpError> {
        let build = || {
            let config = tls::client_config(&self.tls, https)?;
            let connector = hyper_rustls::HttpsConnectorBuilder::new()
                .with_tls_config(config)
                .https_or_http()
                .enable_http1()
                .wrap_connector(connect::Connector::new(Arc::clone(&self.proxies)));
            Ok(Lines::new(connector, Arc::clone(&self.proxies)))
        };
        self.lines.get_or_init(build).as_ref().map_err(Clone::clone)
    }

    /// Sends a request and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// No answer, or none within the limits.
    pub async fn send(&self, request: Request<Full<Bytes>>, limits: Limits) -> Result<Response<Bytes>, HttpError> {
        // What is pinned is not copied from hand to hand.
        let mut call = pin!(async { self.begin(request).await?.read(limits.body).await });
        tokio::time::timeout(limits.timeout, call.as_mut())
            .await
            .unwrap_or_else(|_| Err(HttpError::too_late(limits.timeout)))
    }

    /// Sends a request whose answer is its status: once that is there, a body that is
    /// too long, too slow or breaks off is no error, but cut.
    ///
    /// # Errors
    /// No status within the time.
    pub async fn send_for_status(
        &self,
        request: Request<Full<Bytes>>,
        limits: Limits,
    ) -> Result<Response<Bytes>, HttpError> {
        let deadline = tokio::time::Instant::now() + limits.timeout;
        let mut begin = pin!(self.begin(request));
        let begun = tokio::time::timeout_at(deadline, begin.as_mut()).await;
        let mut answer = begun.unwrap_or_else(|_| Err(HttpError::too_late(limits.timeout)))?;
        let mut first = Bytes::new();
        let mut more = BytesMut::new();
        while !answer.is_read() && first.len() + more.len() < limits.body {
            let Ok(Ok(Some(part))) = tokio::time::timeout_at(deadline, answer.part()).await else { break };
            if first.is_empty() {
                first = part;
            } else {
                more.extend_from_slice(&part);
            }
        }
        if !more.is_empty() {
            first = [&first[..], &more[..]].concat().into();
        }
        first.truncate(limits.body);
        Ok(answer.done(first))
    }

    async fn begin(&self, request: Request<Full<Bytes>>) -> Result<Answer<'_>, HttpError> {
        let https = request.uri().scheme_str() == Some("https");
        self.lines(https)?.call(request).await
    }
}

/// The value of an `Authorization` header for basic authentication, marked as a secret.
#[must_use]
pub fn basic_auth(username: &str, password: &str) -> HeaderValue {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
    // Base64 has no character that a header could not carry.
    let mut value = HeaderValue::from_str(&format!("Basic {text}")).unwrap_or(HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}
