//! What became of an event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Api, Query, Refusal, broken, encoded, wrong};
use crate::attempt::{BatchLimits, Position};
use crate::journal::{CursorState, DeadLetter, DeadLetters, End, Ended, Found, History, LettersPlace};

/// Where an event stands at a processor that is being delivered.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Whether it was decided who wants it.
    pub routed: bool,
    /// Whether the processor is not for it.
    pub excluded: bool,
    /// Those to whom it is still owed.
    pub owed: Vec<Target>,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The event's id.
    pub event_id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its subject.
    pub subject: String,
    /// Its stream.
    pub stream: String,
    /// When it happened, as vCenter says.
    pub time: String,
    /// Its place in the journal.
    pub position: u64,
    /// When it was journaled, in RFC 3339. None: it is in the journal no more, and known from its dead letters.
    pub journaled: Option<String>,
    /// By name.
    pub processors: Vec<Processor>,
}

/// What became of it at one processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processor {
    /// The processor's name; for a replay, `replay/NUMBER/NAME`.
    pub name: String,
    /// What can be said of it as a whole.
    pub note: Option<String>,
    /// Those for whom it was or is.
    pub targets: Vec<Target>,
}

/// What became of it at one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Whom it was for.
    pub target: String,
    /// How it stands.
    pub state: State,
    /// Attempts made.
    pub attempts: u32,
    /// The last status, if there was an answer.
    pub status: Option<u16>,
    /// Why it stands so.
    pub reason: Option<String>,
    /// Since when, in RFC 3339.
    pub at: Option<String>,
    /// Its dead letter.
    pub letter: Option<String>,
}

/// How an event stands at a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The target has it.
    Delivered,
    /// It is set aside.
    DeadLetter,
    /// It was set aside, and is no letter any more.
    Discarded,
    /// The target went before it could be delivered.
    Unsubscribed,
    /// It is still to come.
    Owed,
}

fn text(time: SystemTime) -> Option<String> {
    Timestamp::try_from(time).ok().map(|time| time.to_string())
}

impl Target {
    fn ended(ended: &Ended) -> Option<Self> {
        let settlement = &ended.settlement;
        let state = match settlement.end {
            End::Delivered => State::Delivered,
            End::DeadLettered => State::Discarded,
            End::Unsubscribed => State::Unsubscribed,
            End::Unwanted => return None,
        };
        Some(Self {
            target: settlement.target.as_ref()?.to_string(),
            state,
            attempts: settlement.attempts,
            status: settlement.status,
            reason: None,
            at: text(ended.at),
            letter: None,
        })
    }

    fn letter(letter: &DeadLetter) -> Self {
        Self {
            target: letter.target.to_string(),
            state: State::DeadLetter,
            attempts: letter.attempts,
            status: letter.why.status,
            reason: Some(letter.why.text.clone()),
            at: text(letter.since),
            letter: Some(letter.id().to_string()),
        }
    }
}

/// All that is known of an event.
struct Known {
    position: Position,
    /// Whether the event is still in the journal.
    kept: bool,
    ended: Vec<Ended>,
    letters: Vec<DeadLetter>,
    /// None where no router runs.
    standing: Option<BTreeMap<Arc<str>, Standing>>,
    places: BTreeMap<Arc<str>, CursorState>,
}

impl Known {
    fn processors(&self) -> Vec<Processor> {
        let mut names: BTreeSet<&Arc<str>> = self.places.keys().collect();
        names.extend(self.ended.iter().map(|ended| &ended.processor));
        names.extend(self.letters.iter().map(|letter| &letter.processor));
        names.into_iter().map(|name| self.processor(name)).collect()
    }

    fn processor(&self, name: &Arc<str>) -> Processor {
        let ended = self.ended.iter().filter(|ended| ended.processor == *name);
        let unwanted = ended.clone().any(|ended| ended.settlement.end == End::Unwanted);
        let mut targets = BTreeMap::new();
        // What was written later counts: a letter that was sent again, for one.
        targets.extend(ended.filter_map(Target::ended).map(|target| (target.target.clone(), target)));
        for letter in self.letters.iter().filter(|letter| letter.processor == *name) {
            let target = Target::letter(letter);
            targets.insert(target.target.clone(), target);
        }
        let standing = self.standing.as_ref().map(|standing| standing.get(name));
        for owed in standing.flatten().into_iter().flat_map(|standing| &standing.owed) {
            targets.entry(owed.target.clone()).or_insert_with(|| owed.clone());
        }
        let mut note = None;
        if let Some(place) = self.places.get(name) {
            let routed = match standing {
                Some(Some(standing)) => standing.routed || self.position <= place.front,
                _ => self.position <= place.front,
            };
            note = match standing {
                Some(Some(Standing { excluded: true, .. })) if unwanted => {
                    Some("no target wanted it: the processor's option pattern does not mean it".to_owned())
                }
                _ if unwanted => Some("no target wanted it".to_owned()),
                Some(None) if self.position > place.front && targets.is_empty() => Some(format!(
                    "waits its turn: the processor is not delivering now (/readyz may say why), and has come to {} places \
                     before it",
                    self.position.0 - place.front.0
                )),
                Some(None) if self.position > place.settled_through() => {
                    Some("the processor is not delivering: what became of it here is not all known".to_owned())
                }
                _ if !routed => {
                    let before = self.position.0 - place.front.0;
                    let stopped = if standing.is_none() { " when the router runs again" } else { "" };
                    Some(format!("waits its turn{stopped}: the processor has come to {before} places before it"))
                }
                None => self.left(place, &mut targets),
                _ if targets.is_empty() && self.kept => {
                    Some("done with, or from before this processor began".to_owned())
                }
                _ => None,
            };
        }
        Processor { name: name.to_string(), note, targets: targets.into_values().collect() }
    }

    /// What a router that has stopped left undone behind the front.
    fn left(&self, place: &CursorState, targets: &mut BTreeMap<String, Target>) -> Option<String> {
        let behind: Vec<_> = place
            .lanes
            .iter()
            .filter(|(target, through)| *through < self.position && !targets.contains_key(target.as_str()))
            .map(|(target, _)| target.as_str())
            .collect();
        if !behind.is_empty() {
            let behind = behind.join(", ");
            return Some(format!(
                "targets that are behind get it when the router runs again, if they want it: {behind}"
            ));
        }
        targets.is_empty().then(|| "done with, or from before this processor began".to_owned())
    }
}

impl Api {
    pub(super) async fn explain(&self, query: &Query<'_>) -> Result<String, Refusal> {
        let id = query.get("id").ok_or_else(|| wrong("say which event, with id".to_owned()))?;
        let history = self.journal.history().map_err(|error| broken(&error))?;
        let letters = self.journal.dead_letters().map_err(|error| broken(&error))?;
        let found = history.find(&id).await.map_err(|error| broken(&error))?;
        let of_it = of_event(&*letters, &id, found.as_ref()).await?;
        let entry = match (&found, of_it.first()) {
            (Some(found), _) => found.entry.clone(),
            (None, Some(letter)) => letter.entry.clone(),
            (None, None) => return Err(unknown(&id, &*history).await),
        };
        // The places first: what is done with meanwhile is then known from what ended.
        let places = self.journal.places().into_iter().collect();
        let standing = match &self.errands {
            Some(errands) if found.is_some() => Some(errands.standing(&entry).await.into_iter().collect()),
            Some(_) => Some(BTreeMap::new()),
            None => None,
        };
        let ended = match &found {
            Some(found) => history.ended(found).await.map_err(|error| broken(&error))?,
            None => Vec::new(),
        };
        let known = Known {
            position: entry.position,
            kept: found.is_some(),
            ended,
            letters: of_event(&*letters, &id, found.as_ref()).await?,
            standing,
            places,
        };
        encoded(Explanation {
            event_id: id,
            kind: entry.event.kind().to_owned(),
            subject: entry.event.subject().to_owned(),
            stream: entry.event.stream().to_string(),
            time: entry.event.time().to_owned(),
            position: entry.position.0,
            journaled: found.and_then(|found| text(found.journaled)),
            processors: known.processors(),
        })
    }
}

/// The event's letters.
async fn of_event(letters: &dyn DeadLetters, id: &str, found: Option<&Found>) -> Result<Vec<DeadLetter>, Refusal> {
    let mut of_it = Vec::new();
    if let Some(found) = found {
        let position = found.entry.position;
        for id in letters.ids().into_iter().filter(|id| id.position == position) {
            of_it.extend(letters.get(&id).await.map_err(|error| broken(&error))?);
        }
        return Ok(of_it);
    }
    let mut after = LettersPlace::default();
    loop {
        let (read, next) = letters.read(after).await.map_err(|error| broken(&error))?;
        if read.is_empty() {
            return Ok(of_it);
        }
        of_it.extend(read.into_iter().filter(|letter| letter.entry.event.id() == id));
        after = next;
    }
}

async fn unknown(id: &str, history: &dyn History) -> Refusal {
    let (before, newest) = history.span();
    let oldest = history.read(before, BatchLimits { events: 1, bytes: 1 }).await.ok().and_then(|mut read| read.pop());
    let what = match oldest {
        Some(oldest) => format!(
            "the journal has events from position {}, which happened at {}, to {newest}",
            oldest.position,
            oldest.event.time()
        ),
        None => "the journal has no events".to_owned(),
    };
    (StatusCode::NOT_FOUND, format!("no event has the id {id}, and no dead letter: {what}"))
}
