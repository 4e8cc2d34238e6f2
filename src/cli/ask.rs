//! Asking the router, or the journal that it left.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpStream, UnixStream};

use super::{FAILED, OK, complain, run};
use crate::admin::api::{Api, Call, PREFIX};
use crate::admin::socket;
use crate::http::basic_auth;
use crate::journal::{self, JournalError};
use crate::router::RouterConfig;

/// An answer is no larger.
const MOST_BODY: usize = 64 << 20;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// No body.
pub(super) const NONE: Option<&()> = None;

/// Whom to ask.
pub(super) enum Router {
    /// One that runs, over its socket.
    Socket(PathBuf),
    /// One that runs, at its metrics server.
    Metrics(Box<crate::admin::config::Config>),
    /// None: its journal, as long as this process has it.
    Stopped(Api),
}

/// Asks the router of this configuration, or its journal. Whether all went well, or why it did not, decides the exit code.
pub(super) fn with(config: &Path, ask: impl AsyncFnOnce(&Router) -> Result<bool, String>) -> ExitCode {
    let config = match super::configuration(config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    run::runtime(async {
        let done = async {
            let router = Router::find(config).await?;
            let done = ask(&router).await;
            router.leave().await.and(done)
        };
        match done.await {
            Ok(true) => OK.into(),
            Ok(false) => FAILED.into(),
            Err(why) => {
                complain(&format!("{why}\n"));
                FAILED.into()
            }
        }
    })
}

/// What is printed has no reader.
pub(super) fn unread(error: io::Error) -> String {
    format!("nobody reads what is printed: {error}")
}

/// A path with parameters.
pub(super) fn query(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let given = parameters.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish();
    format!("{path}?{query}")
}

#[derive(Deserialize)]
struct Error {
    error: String,
}

impl Router {
    /// Finds the router of this configuration, or its journal.
    ///
    /// # Errors
    /// Neither can be asked; in words.
    pub(super) async fn find(config: RouterConfig) -> Result<Self, String> {
        let configured = config.configured();
        let journal = match config.journal.found() {
            journal::config::Config::Embedded { folder: Some(folder), settings } => {
                let path = folder.join(socket::NAME);
                match UnixStream::connect(&path).await {
                    Ok(_) => return Ok(Self::Socket(path)),
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                        return Err(format!(
                            "{} cannot be opened: {error}; run this as the router's user",
                            path.display()
                        ));
                    }
                    Err(_) => {}
                }
                journal::build(journal::config::Config::Embedded { folder: Some(folder), settings }, configured)
            }
            _ => return Ok(Self::Metrics(Box::new(config.metrics))),
        };
        let there = journal.folder().is_some_and(Path::exists);
        if !there {
            let folder = journal.folder().unwrap_or_else(|| Path::new("")).display();
            return Err(format!("there is no journal in {folder}: no router has run with this configuration"));
        }
        match journal.open().await {
            Ok(()) => Ok(Self::Stopped(Api { journal, errands: None })),
            Err(error @ JournalError::InUse { .. }) => {
                Err(format!("{error}; that process does not answer on its socket"))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Asks, and reads what is answered.
    ///
    /// # Errors
    /// There is no answer, or it is a refusal; in words.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<T, String> {
        let text = self.text(method, path, body).await?;
        serde_json::from_str(&text).map_err(|error| format!("the router's answer is not understood: {error}"))
    }

    /// Asks, and gives the answer as it is.
    ///
    /// # Errors
    /// There is no answer, or it is a refusal; in words.
    pub(super) async fn text(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<String, String> {
        let body = match body {
            Some(body) => serde_json::to_vec(body).map_err(|error| error.to_string())?,
            None => Vec::new(),
        };
        let asked = tokio::time::timeout(PATIENCE, self.call(method, path, body)).await;
        let (status, text) = asked.map_err(|_| "the router does not answer".to_owned())??;
        if status.is_success() {
            return Ok(text);
        }
        Err(serde_json::from_str::<Error>(&text)
            .map_or_else(|_| format!("{status}: {}", text.trim()), |said| said.error))
    }

    async fn call(&self, method: Method, path: &str, body: Vec<u8>) -> Result<(StatusCode, String), String> {
        match self {
            Self::Stopped(api) => {
                let (path, query) = path.split_once('?').unwrap_or((path, ""));
                Ok(api.answer(Call { method: &method, path, query, body: &body }).await)
            }
            Self::Socket(socket) => {
                let failed =
                    |error: io::Error| format!("the router cannot be reached at {}: {error}", socket.display());
                let stream = UnixStream::connect(socket).await.map_err(failed)?;
                exchange(stream, request("router", None, method, path, body)?).await
            }
            Self::Metrics(config) => {
                // What listens everywhere listens here.
                let address = config.address.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
                let failed = |error: io::Error| {
                    format!(
                        "the router cannot be reached at its metrics server, {address}: {error}; its journal is in memory, so there is nothing without it"
                    )
                };
                let stream = TcpStream::connect(&address).await.map_err(failed)?;
                exchange(stream, request(&address, Some(config), method, path, body)?).await
            }
        }
    }

    /// Lets go of the journal, if this process has it.
    pub(super) async fn leave(self) -> Result<(), String> {
        match self {
            Self::Stopped(api) => api.journal.close().await.map_err(|error| error.to_string()),
            _ => Ok(()),
        }
    }
}

fn request(
    host: &str,
    config: Option<&crate::admin::config::Config>,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<Request<Full<Bytes>>, String> {
    let uri: Uri = format!("{PREFIX}{path}").parse().map_err(|error| format!("{path}: {error}"))?;
    let mut request = Request::builder().method(method).uri(uri).header(header::HOST, host);
    if let Some((username, password)) = config.and_then(|config| config.auth.as_ref()) {
        let read = |secret: &crate::config::Secret| secret.read().map_err(|error| error.to_string());
        request = request.header(header::AUTHORIZATION, basic_auth(read(username)?.expose(), read(password)?.expose()));
    }
    request.body(Full::new(body.into())).map_err(|error| error.to_string())
}

async fn exchange(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, String), String> {
    let broken = |error: &dyn std::fmt::Display| format!("the router's answer broke off: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    tokio::spawn(connection);
    let answer: Response<_> = sender.send_request(request).await.map_err(|error| broken(&error))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MOST_BODY).collect().await.map_err(|error| broken(&error))?;
    let text = String::from_utf8(body.to_bytes().to_vec()).map_err(|error| broken(&error))?;
    Ok((status, text))
}
