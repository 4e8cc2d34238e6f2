//! One HTTP client for everything that speaks HTTP: proxies, TLS, bounds, and
//! errors that a person understands.

mod connect;
mod error;
mod tls;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::{TokioExecutor, TokioTimer};

pub use error::{HttpError, HttpErrorKind};
pub use tls::{Thumbprint, TlsFacts, TlsOptions, inspect_tls};

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(50);

/// The bounds of one call.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the start of the call to the end of the answer's body.
    pub timeout: Duration,
    /// Bytes of the answer's body.
    pub body: usize,
}

type Inner = legacy::Client<HttpsConnector<connect::Connector>, Full<Bytes>>;

/// A client that keeps connections alive and reuses them. Each call in flight has one of its own.
pub struct Client {
    tls: TlsOptions,
    proxies: Arc<Matcher>,
    /// Built with the first call, since the system's CA roots are read then.
    inner: OnceLock<Result<Inner, HttpError>>,
}

impl Client {
    /// Does nothing until the first call. Proxies come from `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`.
    #[must_use]
    pub fn new(tls: TlsOptions) -> Self {
        Self { tls, proxies: Arc::new(Matcher::from_env()), inner: OnceLock::new() }
    }

    fn inner(&self, https: bool) -> Result<&Inner, HttpError> {
        let build = || {
            let config = tls::client_config(&self.tls, https)?;
            let connector = hyper_rustls::HttpsConnectorBuilder::new()
                .with_tls_config(config)
                .https_or_http()
                .enable_http1()
                .wrap_connector(connect::Connector::new(Arc::clone(&self.proxies)));
            Ok(legacy::Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .build(connector))
        };
        self.inner.get_or_init(build).as_ref().map_err(Clone::clone)
    }

    /// Sends a request and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// No answer, or none within the limits.
    pub async fn send(&self, request: Request<Full<Bytes>>, limits: Limits) -> Result<Response<Bytes>, HttpError> {
        let call = async {
            let (head, body) = self.begin(request).await?.into_parts();
            let body = Limited::new(body, limits.body).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    HttpError::new(HttpErrorKind::TooLarge, format!("the answer exceeds {} bytes", limits.body))
                } else {
                    HttpError::of_body(&*error)
                }
            })?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        tokio::time::timeout(limits.timeout, call).await.unwrap_or_else(|_| Err(HttpError::too_late(limits.timeout)))
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
        let begun = tokio::time::timeout_at(deadline, self.begin(request)).await;
        let (head, mut body) = begun.unwrap_or_else(|_| Err(HttpError::too_late(limits.timeout)))?.into_parts();
        let mut first = Bytes::new();
        let mut more = BytesMut::new();
        while !body.is_end_stream() && first.len() + more.len() < limits.body {
            let Ok(Some(Ok(frame))) = tokio::time::timeout_at(deadline, body.frame()).await else { break };
            let Ok(data) = frame.into_data() else { continue };
            if first.is_empty() {
                first = data;
            } else {
                more.extend_from_slice(&data);
            }
        }
        if !more.is_empty() {
            first = [&first[..], &more[..]].concat().into();
        }
        first.truncate(limits.body);
        Ok(Response::from_parts(head, first))
    }

    async fn begin(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, HttpError> {
        let https = request.uri().scheme_str() == Some("https");
        let proxy = if https { None } else { self.proxies.intercept(request.uri()) };
        if let Some(auth) = proxy.as_ref().and_then(Intercept::basic_auth) {
            request.headers_mut().insert(http::header::PROXY_AUTHORIZATION, auth.clone());
        }
        let answer = self.inner(https)?.request(request).await.map_err(|error| HttpError::of_call(&error))?;
        match proxy {
            Some(proxy) if answer.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                Err(connect::refused(&proxy, connect::WANTS_PASSWORD))
            }
            _ => Ok(answer),
        }
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
