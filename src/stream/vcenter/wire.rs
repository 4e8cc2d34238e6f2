//! One SOAP call over HTTP, and what can go wrong with it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;

use crate::http::{Client, HttpError, HttpErrorKind, Limits};
use crate::vim25::soap::{AnswerError, Call, Fault, open_answer};

/// The most that one answer may hold.
pub(super) const MOST_BYTES: usize = 64 * 1024 * 1024;

/// The session's cookie.
const COOKIE: &str = "vmware_soap_session";

/// Why a call brought nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum CallError {
    /// There was no answer.
    #[error("{0}")]
    Http(#[from] HttpError),
    /// The answer is not SOAP: a proxy answered, or vCenter is starting.
    #[error("HTTP status {status} without SOAP ({kind}): vCenter, or a proxy before it, is starting or down")]
    Status {
        /// The status.
        status: StatusCode,
        /// The content type.
        kind: String,
    },
    /// vCenter refused.
    #[error("vCenter answered {method} with the fault {fault}")]
    Fault {
        /// What was called.
        method: &'static str,
        /// What it said.
        fault: Fault,
    },
    /// The answer cannot be understood.
    #[error("vCenter's answer to {method} cannot be read: {why}")]
    Answer {
        /// What was called.
        method: &'static str,
        /// What is wrong.
        why: String,
    },
}

impl CallError {
    /// The fault's type, if vCenter answered with one.
    pub(super) fn fault(&self) -> Option<&str> {
        match self {
            Self::Fault { fault, .. } => Some(&fault.kind),
            _ => None,
        }
    }

    /// The session is gone: only a new login helps.
    pub(super) fn session_gone(&self) -> bool {
        self.fault() == Some("NotAuthenticated")
    }

    /// The answer is larger than allowed.
    pub(super) fn too_large(&self) -> bool {
        matches!(self, Self::Http(error) if error.kind == HttpErrorKind::TooLarge)
    }

    /// The kind of trouble, which is told once as long as it lasts.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Http(error) => format!("{:?}", error.kind),
            Self::Status { status, .. } => format!("status {status}"),
            Self::Fault { fault, .. } => fault.kind.clone(),
            Self::Answer { .. } => "answer".to_owned(),
        }
    }

    pub(super) fn of_answer(method: &'static str, error: AnswerError) -> Self {
        match error {
            AnswerError::Fault(fault) => Self::Fault { method, fault },
            other => Self::Answer { method, why: other.to_string() },
        }
    }
}

/// The way to one vCenter.
pub(super) struct Wire {
    client: Client,
    uri: http::Uri,
    agent: HeaderValue,
}

/// An answer with status 200, or the fault of another.
pub(super) struct Answer {
    pub(super) body: Bytes,
    /// The session cookie that came with it.
    pub(super) cookie: Option<HeaderValue>,
}

impl Wire {
    pub(super) fn new(client: Client, uri: http::Uri) -> Arc<Self> {
        let agent = HeaderValue::from_static(concat!("vmware-event-router/", env!("CARGO_PKG_VERSION")));
        Arc::new(Self { client, uri, agent })
    }

    /// Calls, and gives the answer's body unread.
    pub(super) async fn call(
        &self,
        action: &HeaderValue,
        cookie: Option<&HeaderValue>,
        call: Call,
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        let method = call.method();
        let mut request = Request::new(Full::new(call.finish()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml; charset=UTF-8"));
        headers.insert("SOAPAction", action.clone());
        headers.insert(header::USER_AGENT, self.agent.clone());
        if let Some(cookie) = cookie {
            headers.insert(header::COOKIE, cookie.clone());
        }
        let answer = self.client.send(request, Limits { timeout, body: MOST_BYTES }).await?;
        let (head, body) = answer.into_parts();
        let kind =
            head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("no content type");
        if !kind.to_ascii_lowercase().contains("xml") {
            return Err(CallError::Status { status: head.status, kind: kind.to_owned() });
        }
        if head.status != StatusCode::OK {
            return Err(match open_answer(&body) {
                Err(AnswerError::Fault(fault)) => CallError::Fault { method, fault },
                _ => CallError::Status { status: head.status, kind: kind.to_owned() },
            });
        }
        Ok(Answer { body, cookie: head.headers.get_all(header::SET_COOKIE).iter().find_map(session_cookie) })
    }

    /// The versions of the API that the server speaks, as it lists them without a login.
    pub(super) async fn versions(&self, timeout: Duration) -> Result<Option<Bytes>, CallError> {
        let mut request = Request::new(Full::default());
        let uri = format!("{}/vimServiceVersions.xml", self.uri.to_string().trim_end_matches('/'));
        let Ok(uri) = uri.parse() else { return Ok(None) };
        *request.uri_mut() = uri;
        request.headers_mut().insert(header::USER_AGENT, self.agent.clone());
        let answer = self.client.send(request, Limits { timeout, body: 1024 * 1024 }).await?;
        Ok((answer.status() == StatusCode::OK).then(|| answer.into_body()))
    }
}

/// What to send back: the quotes are part of the value.
fn session_cookie(set: &HeaderValue) -> Option<HeaderValue> {
    let pair = set.to_str().ok()?.split(';').next()?.trim();
    let (name, _) = pair.split_once('=')?;
    let mut value = (name == COOKIE).then(|| HeaderValue::from_str(pair).ok())??;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_keeps_its_quotes_and_loses_its_attributes() {
        for (set, want) in [
            ("vmware_soap_session=\"0af3\"; Path=/; HttpOnly; Secure;", Some("vmware_soap_session=\"0af3\"")),
            ("vmware_soap_session=9980-238c; HttpOnly", Some("vmware_soap_session=9980-238c")),
            ("other=1; Path=/", None),
            ("", None),
        ] {
            let cookie = session_cookie(&HeaderValue::from_static(set));
            assert_eq!(cookie.as_ref().map(|cookie| cookie.to_str().unwrap()), want);
        }
    }
}
