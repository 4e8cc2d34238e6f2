//! What operators' commands ask of a journal, and of the router that runs on it. The same answers come over the socket in
//! the journal's folder, over HTTP, and from a journal whose router is stopped.

pub mod events;
pub mod explain;
pub mod replay;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use crate::journal::{DeadLetter, Entry, Journal, JournalError, LetterId, LettersPlace};

/// Where the calls are, on every server.
pub const PREFIX: &str = "/api/v1/";

/// How long the answer to a retry waits for what becomes of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of a letter that was to be sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retried {
    /// It has arrived and is no letter any more.
    Delivered,
    /// It was refused again and is a letter still.
    Kept,
    /// It is being tried.
    Trying,
    /// The processor, or its target, is not there any more: it is a letter still.
    NoTarget,
    /// Too many letters are being sent again, or this one is.
    TooMany,
    /// There is no such letter.
    Unknown,
}

/// What only a running router can do.
#[async_trait]
pub trait Errands: Send + Sync {
    /// Sends a letter again; what became of it, and why if it stays.
    async fn retry(&self, letter: DeadLetter) -> (Retried, Option<String>);

    /// Has a part of the journal delivered again.
    async fn replay(&self, wanted: replay::Part) -> Result<replay::Replay, replay::Refused>;

    /// What such a replay would send, of the events behind `after`; looks at some of them.
    async fn would_replay(&self, wanted: &replay::Part) -> Result<replay::Counted, replay::Refused>;

    /// The replays that are under way.
    fn replays(&self) -> Vec<replay::Replay>;

    /// Ends a replay; what it has not sent yet it will not send. Whether there was one of that name.
    async fn cancel_replay(&self, id: &str) -> bool;

    /// Where an event stands at each processor, by name; nothing is said of one that does not answer.
    async fn standing(&self, entry: &Entry) -> Vec<(Arc<str>, explain::Standing)>;
}

/// A letter in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// What it is called here.
    pub id: String,
    /// The processor's name.
    pub processor: String,
    /// Whom the event was for.
    pub target: String,
    /// The event's id.
    pub event_id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its subject.
    pub subject: String,
    /// Its stream.
    pub stream: String,
    /// Its place in the journal.
    pub position: u64,
    /// Attempts made.
    pub attempts: u32,
    /// The last status, if there was an answer.
    pub status: Option<u16>,
    /// What the last attempt came to.
    pub reason: String,
    /// When it was set aside, in RFC 3339.
    pub since: String,
}

impl Letter {
    fn new(letter: &DeadLetter) -> Self {
        let event = &letter.entry.event;
        Self {
            id: letter.id().to_string(),
            processor: letter.processor.to_string(),
            target: letter.target.to_string(),
            event_id: event.id().to_owned(),
            kind: event.kind().to_owned(),
            subject: event.subject().to_owned(),
            stream: event.stream().to_string(),
            position: letter.entry.position.0,
            attempts: letter.attempts,
            status: letter.why.status,
            reason: letter.why.text.clone(),
            since: Timestamp::try_from(letter.since).map(|time| time.to_string()).unwrap_or_default(),
        }
    }
}

/// Some of the letters, and where to go on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Page {
    /// None: there are no more.
    pub letters: Vec<Letter>,
    /// What to give as `after`.
    pub next: u64,
}

/// Which letters are meant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Letters {
    /// What they are called here.
    pub letters: Vec<String>,
}

/// What became of each.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// What it is called here.
    pub id: String,
    /// What became of it.
    pub outcome: Retried,
    /// Why it stays.
    pub reason: Option<String>,
}

/// How many letters were discarded.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Discarded {
    /// So many were there and are gone.
    pub discarded: usize,
}

/// A letter with its event, as it was sent.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    letter: Letter,
    event: Box<RawValue>,
}

/// A call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// How.
    pub method: &'a Method,
    /// What, behind [`PREFIX`].
    pub path: &'a str,
    /// With which parameters.
    pub query: &'a str,
    /// The body.
    pub body: &'a [u8],
}

impl Call<'_> {
    /// Whether it may change something.
    #[must_use]
    pub fn changes(&self) -> bool {
        !matches!(*self.method, Method::GET | Method::HEAD)
    }
}

/// Answers calls.
pub struct Api {
    /// What they are about.
    pub journal: Arc<dyn Journal>,
    /// None where no router runs.
    pub errands: Option<Arc<dyn Errands>>,
}

/// Why there is no answer.
type Refusal = (StatusCode, String);

fn broken(error: &JournalError) -> Refusal {
    (StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

/// What was asked makes no sense.
fn wrong(why: String) -> Refusal {
    (StatusCode::BAD_REQUEST, why)
}

/// A call's parameters.
struct Query<'a>(&'a str);

impl Query<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(self.0.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

fn encoded(value: impl Serialize) -> Result<String, Refusal> {
    serde_json::to_string(&value).map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

impl Api {
    /// The answer, in JSON; where there is none, `error` says why.
    pub async fn answer(&self, call: Call<'_>) -> (StatusCode, String) {
        match self.try_answer(call).await {
            Ok(json) => (StatusCode::OK, json),
            Err((status, why)) => (status, json!({ "error": why }).to_string()),
        }
    }

    async fn try_answer(&self, call: Call<'_>) -> Result<String, Refusal> {
        let mut words = call.path.split('/');
        let query = Query(call.query);
        match (call.method, words.next(), words.next(), words.next()) {
            (&Method::GET, Some("dead-letters"), None, None) => self.letters(&query).await,
            (&Method::GET, Some("dead-letters"), Some(id), None) => self.letter(id).await,
            (&Method::POST, Some("dead-letters"), Some("retry"), None) => self.retry(call.body).await,
            (&Method::POST, Some("dead-letters"), Some("discard"), None) => self.discard(call.body).await,
            (&Method::GET, Some("events"), None, None) => self.events(&query).await,
            (&Method::GET, Some("explain"), None, None) => self.explain(&query).await,
            (&Method::GET, Some("replays"), None, None) => self.replays(),
            (&Method::POST, Some("replays"), None, None) => self.replay(call.body).await,
            (&Method::POST, Some("replays"), Some("count"), None) => self.would_replay(call.body).await,
            (&Method::DELETE, Some("replays"), Some(id), None) => self.cancel_replay(id).await,
            _ => Err((StatusCode::NOT_FOUND, format!("there is no {} {PREFIX}{}", call.method, call.path))),
        }
    }

    async fn letters(&self, query: &Query<'_>) -> Result<String, Refusal> {
        let after = query.get("after").map_or(Ok(0), |after| after.parse());
        let after = after.map_err(|_| wrong("after is not a number".to_owned()))?;
        let letters = self.journal.dead_letters().map_err(|error| broken(&error))?;
        let (letters, next) = letters.read(LettersPlace(after)).await.map_err(|error| broken(&error))?;
        encoded(Page { letters: letters.iter().map(Letter::new).collect(), next: next.0 })
    }

    /// The router that sends `what`.
    fn errands(&self, what: &str) -> Result<&Arc<dyn Errands>, Refusal> {
        let stopped =
            || (StatusCode::CONFLICT, format!("the router is not running: start it, it is what sends {what}"));
        self.errands.as_ref().ok_or_else(stopped)
    }

    /// The letters of these names, by name.
    fn named(&self) -> Result<HashMap<String, LetterId>, Refusal> {
        let letters = self.journal.dead_letters().map_err(|error| broken(&error))?;
        Ok(letters.ids().into_iter().map(|id| (id.to_string(), id)).collect())
    }

    async fn get(&self, id: &LetterId) -> Result<Option<DeadLetter>, Refusal> {
        let letters = self.journal.dead_letters().map_err(|error| broken(&error))?;
        letters.get(id).await.map_err(|error| broken(&error))
    }

    async fn letter(&self, name: &str) -> Result<String, Refusal> {
        let unknown = || (StatusCode::NOT_FOUND, format!("there is no dead letter {name}"));
        let id = self.named()?.remove(name).ok_or_else(unknown)?;
        let letter = self.get(&id).await?.ok_or_else(unknown)?;
        let event = events::raw(&letter.entry.event)?;
        encoded(Shown { letter: Letter::new(&letter), event })
    }

    fn meant(body: &[u8]) -> Result<Vec<String>, Refusal> {
        let meant: Result<Letters, _> = serde_json::from_slice(body);
        Ok(meant.map_err(|error| wrong(format!("the body does not name letters: {error}")))?.letters)
    }

    async fn retry(&self, body: &[u8]) -> Result<String, Refusal> {
        let errands = self.errands("letters")?;
        let known = self.named()?;
        let mut tries = Vec::new();
        for name in Self::meant(body)? {
            let letter = match known.get(&name) {
                Some(id) => self.get(id).await?,
                None => None,
            };
            tries.push(async move {
                let Some(letter) = letter else { return Outcome { id: name, outcome: Retried::Unknown, reason: None } };
                let (outcome, reason) =
                    tokio::time::timeout(PATIENCE, errands.retry(letter)).await.unwrap_or((Retried::Trying, None));
                Outcome { id: name, outcome, reason }
            });
        }
        encoded(join_all(tries).await)
    }

    async fn discard(&self, body: &[u8]) -> Result<String, Refusal> {
        let known = self.named()?;
        let ids: Vec<_> = Self::meant(body)?.iter().filter_map(|name| known.get(name).cloned()).collect();
        let letters = self.journal.dead_letters().map_err(|error| broken(&error))?;
        let discarded = letters.discard(ids).await.map_err(|error| broken(&error))?;
        encoded(Discarded { discarded })
    }
}
