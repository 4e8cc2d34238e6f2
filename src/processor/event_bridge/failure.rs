//! What it means that AWS did not do what it was asked.

use std::error::Error;
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::attempt::Reason;
use crate::config::SecretError;
use crate::http::{HttpError, retry_after};
use crate::processor::{excerpt, one_line};

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Come again: AWS, or the way to it.
    Busy,
    /// Come again with other credentials, or permissions.
    Credentials,
    /// What was to be used is not there.
    Missing,
    /// AWS refuses the request as it is.
    Invalid,
    /// AWS refuses the request for its size.
    TooLarge,
    /// Nobody knows.
    Unknown,
}

/// A call that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    pub(super) why: Reason,
    /// The wait that AWS asked for.
    pub(super) after: Option<Duration>,
}

/// What an error code means.
pub(super) fn kind_of(code: &str) -> Option<Kind> {
    Some(match code {
        _ if code.contains("Throttl") => Kind::Busy,
        "InternalFailure"
        | "InternalException"
        | "InternalError"
        | "InternalServerError"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "TooManyRequestsException"
        | "LimitExceededException"
        | "SlowDown"
        | "RequestLimitExceeded"
        | "RequestTimeout"
        | "RequestTimeoutException"
        | "OperationDisabledException" => Kind::Busy,
        "AccessDenied"
        | "AccessDeniedException"
        | "NotAuthorized"
        | "OptInRequired"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignature"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "InvalidAccessKeyId"
        | "AuthFailure"
        | "RequestExpired"
        | "RequestTimeTooSkewed" => Kind::Credentials,
        "ResourceNotFoundException" => Kind::Missing,
        "ValidationException" | "ValidationError" | "SerializationException" => Kind::Invalid,
        "RequestEntityTooLarge" | "RequestEntityTooLargeException" | "RequestTooLargeException" => Kind::TooLarge,
        _ => return None,
    })
}

/// What to do about credentials that are refused.
fn advice(code: &str) -> &'static str {
    match code {
        "AccessDenied" | "AccessDeniedException" | "NotAuthorized" | "OptInRequired" => {
            "allow it in the policy of this user or role"
        }
        "ExpiredToken" | "ExpiredTokenException" => "renew the session token",
        "RequestExpired" | "RequestTimeTooSkewed" => "set this machine's clock",
        "SignatureDoesNotMatch" | "InvalidSignatureException" | "InvalidSignature" => {
            "correct aws_secret_access_key, or this machine's clock"
        }
        _ => "correct the access key",
    }
}

/// Whether AWS's message is only about who may do what. Those about signatures repeat the request, token and all.
fn is_telling(code: &str) -> bool {
    !matches!(kind_of(code), Some(Kind::Credentials)) || code.starts_with("AccessDenied") || code == "NotAuthorized"
}

/// An error, and what is behind it.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| Error::source(*error))
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// What a call's error means. `asked` is what was called, such as `PutEvents`.
pub(super) fn failure<E>(asked: &str, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let response = error.raw_response();
    let status = response.map(|response| response.status().as_u16());
    let after = response.and_then(|response| response.headers().get("retry-after"));
    let after = after.and_then(|text| retry_after(text, SystemTime::now()));
    let (kind, text) = match error {
        SdkError::ServiceError(of) => {
            let code = of.err().code().unwrap_or_default();
            let message = of.err().message().unwrap_or_default();
            answered(code, message, status)
        }
        SdkError::TimeoutError(_) => (Kind::Busy, "no complete answer in time".to_owned()),
        _ => match (find::<CredentialsError>(error), find::<HttpError>(error)) {
            (Some(credentials), _) => (Kind::Credentials, no_credentials(credentials)),
            (None, Some(http)) => (Kind::Busy, http.to_string()),
            (None, None) => {
                let body = response.and_then(|response| response.body().bytes()).unwrap_or_default();
                match status {
                    Some(413) => (Kind::TooLarge, excerpt(body)),
                    Some(_) => (Kind::Busy, format!("what came is no answer of AWS: {}", excerpt(body))),
                    None => (Kind::Busy, format!("the request cannot be sent: {}", chain(error))),
                }
            }
        },
    };
    let text = match status {
        Some(status) => format!("{asked} answered {status}: {text}"),
        None => format!("{asked}: {text}"),
    };
    Failure { kind, why: Reason { status, text }, after }
}

/// What AWS answered.
fn answered(code: &str, message: &str, status: Option<u16>) -> (Kind, String) {
    if code.is_empty() && status.is_some_and(|status| status < 400) {
        return (Kind::Busy, "what came is no answer of AWS: is aws_endpoint_url right?".to_owned());
    }
    let kind = kind_of(code).unwrap_or(match status {
        Some(413) => Kind::TooLarge,
        Some(408 | 429 | 500..) => Kind::Busy,
        Some(401 | 403) => Kind::Credentials,
        _ => Kind::Unknown,
    });
    let mut text = if code.is_empty() { "no error code".to_owned() } else { one_line(code) };
    if is_telling(code) && !message.is_empty() {
        text = format!("{text}: {}", excerpt(message.as_bytes()));
    }
    match kind {
        Kind::Credentials => text = format!("{text}; {}", advice(code)),
        Kind::Missing => text.push_str("; create the bus, or correct aws_eventbridge_event_bus and aws_region"),
        _ => {}
    }
    (kind, text)
}

/// What to do where nothing gives credentials.
const PROVIDE: &str =
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role of this machine or container";

/// Why there are no credentials, and what to do.
fn no_credentials(error: &CredentialsError) -> String {
    if let Some(secret) = find::<SecretError>(error) {
        return format!("the access key cannot be read: {secret}");
    }
    if let Some(refused) = find::<ErrorMetadata>(error) {
        let code = refused.code().unwrap_or_default();
        let (_, text) = answered(code, refused.message().unwrap_or_default(), None);
        return format!("AWS gives no credentials: {text}");
    }
    if let Some(http) = find::<HttpError>(error) {
        return format!("credentials cannot be fetched: {http}");
    }
    match error {
        CredentialsError::CredentialsNotLoaded(_) => format!("there are no credentials: {PROVIDE}"),
        _ => format!("there are no credentials: {}; {PROVIDE}", chain(error).trim_end_matches('.')),
    }
}

/// An error and what is behind it. What a program said that was to give credentials is left out: it may be those.
fn chain(error: &(dyn Error + 'static)) -> String {
    let texts: Vec<_> = causes(error).map(ToString::to_string).collect();
    let text = texts.join(": ");
    excerpt(text.split("Stderr:").next().unwrap_or_default().as_bytes())
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    /// An error as AWS answers it.
    fn refusal(code: &str, message: &str, status: u16) -> Failure {
        let meta = ErrorMetadata::builder().code(code).message(message).build();
        let error = aws_sdk_eventbridge::operation::put_events::PutEventsError::generic(meta);
        let mut response = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::empty());
        response.headers_mut().insert("retry-after", "7");
        failure("PutEvents", &SdkError::service_error(error, response))
    }

    #[test]
    fn every_code_has_its_meaning() {
        for (code, status, kind) in [
            ("ThrottlingException", 400, Kind::Busy),
            ("InternalFailure", 500, Kind::Busy),
            ("ServiceUnavailable", 503, Kind::Busy),
            ("SomethingNew", 503, Kind::Busy),
            ("SomethingNew", 429, Kind::Busy),
            ("SomethingNew", 400, Kind::Unknown),
            ("", 413, Kind::TooLarge),
            ("ExpiredTokenException", 400, Kind::Credentials),
            ("UnrecognizedClientException", 400, Kind::Credentials),
            ("AccessDeniedException", 400, Kind::Credentials),
            ("", 403, Kind::Credentials),
            ("ResourceNotFoundException", 400, Kind::Missing),
            ("ValidationException", 400, Kind::Invalid),
        ] {
            let failure = refusal(code, "m", status);
            assert_eq!((failure.kind, failure.why.status), (kind, Some(status)), "{code}");
            assert_eq!(failure.after, Some(Duration::from_secs(7)));
        }
    }

    #[test]
    fn a_reason_says_what_to_do_and_no_secret() {
        let denied = refusal("AccessDeniedException", "User: arn:aws:iam::1:user/u is not authorized", 400).why.text;
        assert_eq!(
            denied,
            "PutEvents answered 400: AccessDeniedException: User: arn:aws:iam::1:user/u is not authorized; allow it in \
             the policy of this user or role"
        );
        let signature = refusal("SignatureDoesNotMatch", "x-amz-security-token:hunter2", 403).why.text;
        assert!(!signature.contains("hunter2") && signature.contains("clock"), "{signature}");
        let process = "Error retrieving credentials: external process exited with code 1. Stderr: hunter2";
        let error = CredentialsError::provider_error(process);
        let text = no_credentials(&error);
        assert!(text.contains("exited with code 1") && !text.contains("hunter2"), "{text}");
    }
}
