//! AWS's library over the router's own HTTP: its proxies, its TLS, its bounds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::Request;
use http::uri::Scheme;
use http_body_util::{BodyExt as _, Full};

use crate::http::{Client, HttpErrorKind, Limits, TlsOptions};

/// The largest answer that is read: a page of a hundred rules is smaller.
const LARGEST: usize = 4 * 1024 * 1024;

/// Makes the calls of AWS's library.
#[derive(Clone)]
pub(super) struct Connector {
    secure: Arc<Client>,
    /// A machine's metadata and an endpoint of one's own may be without TLS. The first call of a client decides whether
    /// it reads the system's CA roots.
    plain: Arc<Client>,
    /// No call takes longer.
    timeout: Duration,
}

impl Connector {
    pub(super) fn new(tls: &TlsOptions, timeout: Duration) -> Self {
        let client = || Arc::new(Client::new(tls.clone()));
        Self { secure: client(), plain: client(), timeout }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl HttpClient for Connector {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        // Whoever looks for credentials in several places does not wait long for each.
        let asked = settings.read_timeout().map(|read| read + settings.connect_timeout().unwrap_or_default());
        let timeout = asked.map_or(self.timeout, |asked| asked.min(self.timeout));
        SharedHttpConnector::new(Self { timeout, ..self.clone() })
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let this = self.clone();
        HttpConnectorFuture::new(async move {
            let request = ours(request).await?;
            let client = if request.uri().scheme() == Some(&Scheme::HTTPS) { &this.secure } else { &this.plain };
            let answer = client.send(request, Limits { timeout: this.timeout, body: LARGEST }).await;
            let answer = answer.map_err(|error| match error.kind {
                HttpErrorKind::Timeout => ConnectorError::timeout(error.into()),
                HttpErrorKind::Protocol | HttpErrorKind::TooLarge => ConnectorError::other(error.into(), None),
                _ => ConnectorError::io(error.into()),
            })?;
            let answer: Result<HttpResponse, _> = answer.map(SdkBody::from).try_into();
            answer.map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

async fn ours(request: HttpRequest) -> Result<Request<Full<Bytes>>, ConnectorError> {
    let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
    let (head, body) = request.into_parts();
    if body.bytes().is_none() {
        return Err(ConnectorError::user("a request without an end is not sent".into()));
    }
    // One piece, which is not copied.
    let body = body.collect().await.map_err(ConnectorError::user)?.to_bytes();
    Ok(Request::from_parts(head, Full::new(body)))
}
