//! What the gateway says of itself: its namespaces and functions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::header::{ACCEPT, AUTHORIZATION, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use url::Url;

use super::{Config, one_line};
use crate::config::{Secret, SecretError};
use crate::http::{Client, HttpError, Limits, basic_auth};
use crate::processor::excerpt;

/// The namespace of functions that are addressed by their name alone.
pub(super) const DEFAULT_NAMESPACE: &str = "openfaas-fn";

/// What the router calls itself to gateways and functions.
pub(super) const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("vmware-event-router/", env!("CARGO_PKG_VERSION")));

/// The largest answer to a lookup that is read.
const LARGEST: usize = 16 * 1024 * 1024;

/// How many namespaces are asked at once.
const AT_ONCE: usize = 8;

/// The functions of a gateway by the names under which they are called, each
/// with the subjects to which it subscribes, which may be none.
pub(super) type Listing = BTreeMap<Arc<str>, BTreeSet<Box<str>>>;

/// How annotations are read.
#[derive(Clone, Debug)]
pub(super) struct Topics {
    annotation: String,
    delimiter: String,
}

impl Topics {
    /// The subjects that an annotation's text names: exact, case-sensitive, trimmed, none of them empty.
    fn parse(&self, text: &str) -> BTreeSet<Box<str>> {
        // Splitting at nothing would make a topic of each character.
        let delimiter = if self.delimiter.is_empty() { "\0" } else { self.delimiter.as_str() };
        text.split(delimiter).map(str::trim).filter(|topic| !topic.is_empty()).map(Into::into).collect()
    }
}

/// A gateway, and how to ask it.
pub(super) struct Gateway {
    client: Arc<Client>,
    /// Without a slash at its end.
    base: String,
    username: Secret,
    password: Secret,
    namespaces: Vec<String>,
    topics: Topics,
    timeout: Duration,
}

/// A lookup without a usable answer.
#[derive(Debug)]
pub(super) struct LookupError {
    /// What was asked for: path and query.
    pub(super) asked: String,
    /// What went wrong.
    pub(super) problem: Problem,
}

/// What can go wrong with a lookup.
#[derive(Debug)]
pub(super) enum Problem {
    /// The user or password cannot be read.
    Secret(SecretError),
    /// There was no answer.
    Http(HttpError),
    /// The answer was not 200; its text.
    Status(StatusCode, String),
    /// The answer is not what it should be.
    Nonsense(String),
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Problem::Secret(error) => error.fmt(f),
            Problem::Http(error) => write!(f, "GET {}: {error}", self.asked),
            Problem::Status(StatusCode::UNAUTHORIZED, _) => {
                write!(f, "GET {}: 401, the gateway does not accept the user name and password", self.asked)
            }
            Problem::Status(status, text) if text.is_empty() => write!(f, "GET {}: {}", self.asked, status.as_u16()),
            Problem::Status(status, text) => write!(f, "GET {}: {}: {text}", self.asked, status.as_u16()),
            Problem::Nonsense(what) => write!(f, "GET {}: {what}", self.asked),
        }
    }
}

/// One element of the list of functions. The gateway leaves out what is zero or absent.
#[derive(Deserialize)]
struct Function {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, serde_json::Value>>,
}

impl Gateway {
    pub(super) fn new(client: Arc<Client>, config: &Config, timeout: Duration) -> Self {
        Self {
            client,
            base: base(&config.address),
            username: config.username.clone(),
            password: config.password.clone(),
            namespaces: config.namespaces.clone(),
            topics: Topics { annotation: config.topic_annotation.clone(), delimiter: config.topic_delimiter.clone() },
            timeout,
        }
    }

    /// The gateway's URL, without credentials.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn annotation(&self) -> &str {
        &self.topics.annotation
    }

    pub(super) fn configured_namespaces(&self) -> &[String] {
        &self.namespaces
    }

    /// Every function that counts. Complete, or an error.
    pub(super) async fn list(&self) -> Result<Listing, LookupError> {
        let auth = &self.auth()?;
        let namespaces =
            if self.namespaces.is_empty() { self.namespaces_with(auth).await? } else { self.namespaces.clone() };
        let asked = if namespaces.is_empty() {
            vec![None]
        } else {
            namespaces.into_iter().collect::<BTreeSet<_>>().into_iter().map(Some).collect()
        };
        futures_util::stream::iter(asked)
            .map(|namespace| self.functions(auth, namespace))
            .buffer_unordered(AT_ONCE)
            .try_fold(Listing::new(), |mut all, part| async move {
                for (name, topics) in part {
                    all.entry(name).or_default().extend(topics);
                }
                Ok(all)
            })
            .await
    }

    /// The gateway's namespaces; none if it knows no such thing.
    pub(super) async fn namespaces(&self) -> Result<Vec<String>, LookupError> {
        self.namespaces_with(&self.auth()?).await
    }

    async fn namespaces_with(&self, auth: &HeaderValue) -> Result<Vec<String>, LookupError> {
        let path = "/system/namespaces".to_owned();
        match self.get::<Option<Vec<String>>>(auth, path).await {
            Ok(namespaces) => Ok(namespaces.unwrap_or_default()),
            Err(LookupError { problem: Problem::Status(StatusCode::NOT_FOUND, _), .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn functions(&self, auth: &HeaderValue, namespace: Option<String>) -> Result<Listing, LookupError> {
        let mut path = "/system/functions".to_owned();
        if let Some(namespace) = &namespace {
            path.push_str("?namespace=");
            path.extend(url::form_urlencoded::byte_serialize(namespace.as_bytes()));
        }
        let listed = self.get::<Option<Vec<Function>>>(auth, path.clone()).await?.unwrap_or_default();
        let mut all = Listing::new();
        for function in listed {
            let Some(name) = function.name.filter(|name| !name.is_empty()) else {
                let problem = Problem::Nonsense("the list of functions has one without a name".to_owned());
                return Err(LookupError { asked: path, problem });
            };
            let namespace = function.namespace.as_deref().filter(|named| !named.is_empty()).or(namespace.as_deref());
            let name = match namespace {
                Some(namespace) if namespace != DEFAULT_NAMESPACE => format!("{name}.{namespace}"),
                _ => name,
            };
            let annotations = function.annotations.unwrap_or_default();
            let text = annotations.get(&self.topics.annotation).and_then(serde_json::Value::as_str);
            let topics = text.map(|text| self.topics.parse(text)).unwrap_or_default();
            all.entry(name.into()).or_default().extend(topics);
        }
        Ok(all)
    }

    /// What `/system/info` says of the versions, if it says anything.
    pub(super) async fn versions(&self) -> Option<String> {
        let auth = self.auth().ok()?;
        let info = self.get::<serde_json::Value>(&auth, "/system/info".to_owned()).await.ok()?;
        let text = |pointer: &str| info.pointer(pointer).and_then(|value| value.as_str()).map(one_line);
        let gateway = text("/version/release").map(|release| format!("gateway {release}"));
        let provider = text("/provider/provider").or_else(|| text("/provider/name")).map(|provider| {
            let release = text("/provider/version/release").map(|release| format!(" {release}")).unwrap_or_default();
            format!("provider {provider}{release}")
        });
        let known: Vec<_> = [gateway, provider].into_iter().flatten().collect();
        (!known.is_empty()).then(|| known.join(", "))
    }

    /// Read anew each time, since secrets rotate.
    fn auth(&self) -> Result<HeaderValue, LookupError> {
        let read = || Ok(basic_auth(self.username.read()?.expose(), self.password.read()?.expose()));
        read().map_err(|error| LookupError { asked: String::new(), problem: Problem::Secret(error) })
    }

    async fn get<T: for<'a> Deserialize<'a>>(&self, auth: &HeaderValue, path: String) -> Result<T, LookupError> {
        match self.try_get(auth, &path).await {
            Ok(answer) => Ok(answer),
            Err(problem) => Err(LookupError { asked: path, problem }),
        }
    }

    async fn try_get<T: for<'a> Deserialize<'a>>(&self, auth: &HeaderValue, path: &str) -> Result<T, Problem> {
        let request = Request::get(format!("{}{path}", self.base))
            .header(AUTHORIZATION, auth)
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(USER_AGENT, AGENT)
            .body(Full::new(Bytes::new()))
            .map_err(|error| Problem::Nonsense(format!("cannot be asked for: {error}")))?;
        let limits = Limits { timeout: self.timeout, body: LARGEST };
        let response: Response<Bytes> = self.client.send(request, limits).await.map_err(Problem::Http)?;
        if response.status() != StatusCode::OK {
            return Err(Problem::Status(response.status(), excerpt(response.body())));
        }
        serde_json::from_slice(response.body())
            .map_err(|error| Problem::Nonsense(format!("the answer is not the JSON that it should be: {error}")))
    }
}

/// The URL without credentials, query and the slashes at its end.
fn base(address: &Url) -> String {
    let mut address = address.clone();
    address.set_query(None);
    address.set_fragment(None);
    // Refused for URLs without a host only, which have no credentials.
    let _none_left = address.set_username("").and(address.set_password(None));
    address.as_str().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn topics(annotation: &str, delimiter: &str, text: &str) -> Vec<String> {
        let topics = Topics { annotation: annotation.to_owned(), delimiter: delimiter.to_owned() };
        topics.parse(text).into_iter().map(Into::into).collect()
    }

    #[test]
    fn a_topic_is_trimmed_exact_and_never_empty() {
        assert_eq!(topics("topic", ",", " B,A ,, a,\tA\n, "), ["A", "B", "a"]);
        assert_eq!(topics("topic", ",", ""), [""; 0]);
        assert_eq!(topics("topic", ";", "A,B;C"), ["A,B", "C"]);
        assert_eq!(topics("topic", "::", "A::B:C"), ["A", "B:C"]);
        assert_eq!(topics("topic", "", "A,B"), ["A,B"]);
    }

    proptest! {
        #[test]
        fn any_annotation_gives_clean_topics(text in ".*", delimiter in ".{0,2}") {
            for topic in topics("topic", &delimiter, &text) {
                prop_assert!(!topic.is_empty() && topic.trim() == topic && text.contains(&topic));
                prop_assert!(delimiter.is_empty() || !topic.contains(&delimiter));
            }
        }

        #[test]
        fn every_topic_of_an_annotation_is_found(wanted in proptest::collection::btree_set("[!-+\\--~]{1,9}", 0..9)) {
            let wanted: Vec<_> = wanted.into_iter().collect();
            prop_assert_eq!(topics("topic", ",", &wanted.join(" , ")), wanted);
        }

        #[test]
        fn an_excerpt_of_anything_is_one_short_line(body: Vec<u8>) {
            let text = excerpt(&body);
            prop_assert!(!text.contains(char::is_control) && text.trim() == text);
        }
    }

    #[test]
    fn the_base_has_no_credentials_and_no_slash() {
        for (address, expected) in [
            ("http://gw:8080", "http://gw:8080"),
            ("http://u:p@gw:8080/", "http://gw:8080"),
            ("https://gw/faas/?a=b#c", "https://gw/faas"),
            ("http://[::1]:8080//", "http://[::1]:8080"),
        ] {
            assert_eq!(base(&Url::parse(address).unwrap()), expected);
        }
    }

    #[test]
    fn an_excerpt_is_short_and_one_line() {
        assert_eq!(excerpt(b" it\r\n broke\x1b[31m\0 \xff "), "it broke [31m \u{fffd}");
        assert!(excerpt(&[b'x'; 5000]).len() <= crate::processor::MOST_TEXT);
    }
}
