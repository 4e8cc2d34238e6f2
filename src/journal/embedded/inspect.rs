//! Looking at a journal's folder from outside: whether it is whole, and what it holds. Nothing is written, and the
//! router that it belongs to may be running.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::disk::{Disk, Looked};
use super::frame::{HEADER, Head};
use super::log::{BEGIN, GAP, LogError, segment_base, segment_name};
use super::parts::{EVENTS, LETTERS, OUTCOMES};
use super::place::{self, Found};
use super::scan::{self, Next, Scan};
pub use super::survey::{Damage, Torn};
use super::survey::{Seen, Survey, survey};
use super::{batch, letters, outcomes, owner, writer};
use crate::attempt::Position;
use crate::event::Event;
use crate::journal::{Configured, CursorState, End, JournalError, Settlement, is_active};

/// While the router writes, what is looked at may change under the eyes: so often it is looked at again.
const TRIES: u32 = 5;

/// Which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The log of events.
    Events,
    /// How they ended.
    Outcomes,
    /// Dead letters.
    Letters,
}

impl Which {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Events, Self::Outcomes, Self::Letters];

    /// Its folder, which is its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Outcomes => "outcomes",
            Self::Letters => "letters",
        }
    }

    pub(super) fn number(self) -> u16 {
        match self {
            Self::Events => EVENTS,
            Self::Outcomes => OUTCOMES,
            Self::Letters => LETTERS,
        }
    }

    /// Whether a frame holds what those of this log do.
    pub(super) fn is_sound(self) -> fn(&Head, &[u8]) -> bool {
        match self {
            Self::Events => |head, payload| match head.kind {
                batch::EVENTS => batch::read(payload, head.count, |name| name.into()).is_some(),
                batch::CHECKPOINT => batch::read_checkpoint(payload).is_some(),
                kind => is_empty(head, kind),
            },
            Self::Outcomes => |head, payload| match head.kind {
                outcomes::OUTCOMES => outcomes::read(payload, head.count).is_some(),
                kind => is_empty(head, kind),
            },
            Self::Letters => |head, payload| match head.kind {
                letters::LETTER => letters::read(payload).is_some(),
                letters::GONE => letters::read_id(&mut &payload[..]).is_some(),
                kind => is_empty(head, kind),
            },
        }
    }
}

fn is_empty(head: &Head, kind: u8) -> bool {
    matches!(kind, BEGIN | GAP) && head.count == 0
}

/// What a log is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogState {
    /// Its name.
    pub log: &'static str,
    /// Files in use.
    pub segments: u64,
    /// Records that can be read.
    pub records: u64,
    /// The position of the first one.
    pub first: Option<u64>,
    /// And of the last one.
    pub last: Option<u64>,
    /// Bytes that count.
    pub bytes: u64,
    /// What a crash has left. Nothing is missing.
    pub torn: Vec<Torn>,
    /// Files that are not in use.
    pub unused: Vec<String>,
    /// What is missing.
    pub damage: Vec<Damage>,
}

/// A stream that the journal knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnownStream {
    /// Its name.
    pub name: String,
    /// The instance UUID of its vCenter.
    pub instance: String,
    /// It is not configured.
    pub dormant: bool,
}

/// A processor that the journal knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnownProcessor {
    /// Its name.
    pub name: String,
    /// How far all is settled; none if only dead letters or outcomes are there.
    pub settled: Option<u64>,
    /// Targets that are behind.
    pub lanes: usize,
    /// Dead letters.
    pub letters: u64,
    /// It is not configured.
    pub dormant: bool,
}

/// What was found in a journal's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The folder.
    pub folder: PathBuf,
    /// Who has it at present.
    pub used_by: Option<String>,
    /// Nothing is damaged.
    pub whole: bool,
    /// The logs.
    pub logs: Vec<LogState>,
    /// Pairs of files that say where a processor is, and cannot be read.
    pub places: Vec<String>,
    /// What is known of streams. What is lost may be events of any of them.
    pub streams: Vec<KnownStream>,
    /// What is known of processors.
    pub processors: Vec<KnownProcessor>,
}

pub(super) fn folder_of(folder: &Path, which: Which) -> Arc<dyn Disk> {
    Arc::new(Looked(folder.join(which.name())))
}

/// What is in the folder, as far as names go.
#[derive(Debug, Default)]
struct Known {
    streams: BTreeMap<Arc<str>, Uuid>,
    letters: BTreeMap<Arc<str>, BTreeSet<(u64, String)>>,
}

impl Known {
    fn see(&mut self, which: Which, head: &Head, payload: &[u8]) {
        match (which, head.kind) {
            (Which::Events, batch::EVENTS) => {
                if let Some((name, Some(delta))) = batch::delta(payload) {
                    self.streams.insert(name.into(), delta.instance);
                }
            }
            (Which::Letters, letters::LETTER | letters::GONE) => {
                let Some(id) = letters::read_id(&mut &payload[..]) else { return };
                let all = self.letters.entry(id.processor).or_default();
                let key = (id.position.0, id.target.as_str().to_owned());
                if head.kind == letters::LETTER {
                    all.insert(key);
                } else {
                    all.remove(&key);
                }
            }
            _ => {}
        }
    }
}

/// Looks through all that is in a journal's folder.
///
/// # Errors
/// It cannot be read, or is of a newer version.
pub fn verify(folder: &Path, configured: &Configured) -> Result<Verified, JournalError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let used_by = owner(folder);
        let looked = look(folder, configured, used_by.clone());
        let settled = used_by.is_none() || tries >= TRIES;
        match looked {
            Ok(verified) if settled || verified.whole => return Ok(verified),
            Err(error) if settled => return Err(error),
            _ => {}
        }
    }
}

fn look(folder: &Path, configured: &Configured, used_by: Option<String>) -> Result<Verified, JournalError> {
    let mut known = Known::default();
    let mut logs = Vec::new();
    for which in Which::ALL {
        let disk = folder_of(folder, which);
        let mut begun: BTreeMap<Arc<str>, Uuid> = BTreeMap::new();
        let found = survey(&disk, which.name(), which.number(), which.is_sound(), &mut |seen| {
            if let Seen::Frame(head, payload) = seen {
                // What a segment begins with says which streams there are still.
                match (which, head.kind) {
                    (Which::Events, batch::CHECKPOINT) => {
                        begun.extend(batch::read_checkpoint(payload).map(|(name, of)| (name, of.instance)));
                    }
                    (Which::Events, BEGIN) => known.streams = std::mem::take(&mut begun),
                    _ => known.see(which, head, payload),
                }
            }
            true
        });
        let Survey { segments, records, bytes, span, torn, unused, damage, .. } =
            found.map_err(|error| writer::told(&error))?;
        let (first, last) = span.map(|(first, last)| (first.0, last.0)).unzip();
        logs.push(LogState { log: which.name(), segments, records, first, last, bytes, torn, unused, damage });
    }
    let disk: Arc<dyn Disk> = Arc::new(Looked(folder.join("places")));
    let Found { places, broken } = place::find(&disk).map_err(io)?;
    let whole = broken.is_empty() && logs.iter().all(|log| log.damage.is_empty());
    Ok(Verified {
        folder: folder.to_owned(),
        used_by,
        whole,
        logs,
        places: broken.iter().map(|name| format!("places/{name}.*.cursor")).collect(),
        streams: streams(known.streams, configured),
        processors: processors(&places, &known.letters, configured),
    })
}

fn streams(known: BTreeMap<Arc<str>, Uuid>, configured: &Configured) -> Vec<KnownStream> {
    let stream = |(name, instance): (Arc<str>, Uuid)| {
        let dormant = !configured.streams.contains(&name);
        KnownStream { name: name.to_string(), instance: instance.to_string(), dormant }
    };
    known.into_iter().map(stream).collect()
}

fn processors(
    places: &BTreeMap<Arc<str>, (u64, usize, CursorState)>,
    letters: &BTreeMap<Arc<str>, BTreeSet<(u64, String)>>,
    configured: &Configured,
) -> Vec<KnownProcessor> {
    let with_letters = letters.iter().filter(|(_, letters)| !letters.is_empty()).map(|(name, _)| name);
    let names: BTreeSet<_> = places.keys().chain(with_letters).collect();
    let processor = |name: &Arc<str>| KnownProcessor {
        name: name.to_string(),
        settled: places.get(name).map(|(.., state)| state.settled_through().0),
        lanes: places.get(name).map_or(0, |(.., state)| state.lanes.len()),
        letters: letters.get(name).map_or(0, |letters| letters.len() as u64),
        dormant: !is_active(name, &configured.processors),
    };
    names.into_iter().map(processor).collect()
}

fn io(error: io::Error) -> JournalError {
    JournalError::Io { what: "read places".to_owned(), why: error.to_string() }
}

/// The names of streams and processors that have a place in the folder and are not configured. Reads no more than it
/// must: [`verify`] knows those too who have dead letters alone.
///
/// # Errors
/// It cannot be read.
pub fn dormant(folder: &Path, configured: &Configured) -> Result<Configured, JournalError> {
    let places: Arc<dyn Disk> = Arc::new(Looked(folder.join("places")));
    let Found { places, .. } = place::find(&places).map_err(io)?;
    let streams = newest_streams(&*folder_of(folder, Which::Events)).map_err(io)?.into_iter();
    Ok(Configured {
        streams: streams.filter(|name| !configured.streams.contains(name)).collect(),
        processors: places.into_keys().filter(|name| !is_active(name, &configured.processors)).collect(),
    })
}

/// The streams that the newest segment knows.
fn newest_streams(disk: &dyn Disk) -> io::Result<Vec<Arc<str>>> {
    let mut bases: Vec<_> = disk.names()?.iter().filter_map(|name| segment_base(name)).collect();
    bases.sort_unstable();
    while let Some(base) = bases.pop() {
        let file = disk.open(&segment_name(base))?;
        let Ok(header) = scan::header(&*file)? else { continue };
        let mut scan = Scan::new(&*file, header.salt, HEADER as u64, file.len()?);
        let mut names = BTreeSet::new();
        let mut begun = false;
        while let Next::Frame(_, head) = scan.next()? {
            begun |= head.kind == BEGIN;
            match head.kind {
                batch::CHECKPOINT => names.extend(batch::read_checkpoint(scan.payload()).map(|(name, _)| name)),
                batch::EVENTS => {
                    let delta = batch::delta(scan.payload()).filter(|(_, delta)| delta.is_some());
                    names.extend(delta.map(|(name, _)| Arc::from(name)));
                }
                _ => {}
            }
        }
        if begun {
            return Ok(names.into_iter().collect());
        }
    }
    Ok(Vec::new())
}

/// A moment in RFC 3339.
fn moment(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map(|time| time.to_string()).unwrap_or_default()
}

/// Gives every record of a log from that position on, and what is missing between them, until `line` says that it is
/// enough.
///
/// # Errors
/// It cannot be read, or is of a newer version.
pub fn dump(folder: &Path, which: Which, from: u64, line: &mut dyn FnMut(&str) -> bool) -> Result<(), JournalError> {
    let (disk, from) = (folder_of(folder, which), Position(from));
    let found = survey(&disk, which.name(), which.number(), which.is_sound(), &mut |seen| match seen {
        Seen::Frame(head, payload) if head.count > 0 && head.last() >= from => {
            records(which, head, payload).into_iter().all(|(position, text)| position < from || line(&text))
        }
        Seen::Lost(damage) if damage.lost.is_none_or(|(_, last)| last >= from.0) => {
            line(&json!({ "damage": damage }).to_string())
        }
        _ => true,
    });
    found.map(drop).map_err(|error: LogError| writer::told(&error))
}

/// A line of JSON: what is known of an event, and the event as it is.
fn with_event(known: &Value, event: &Event) -> String {
    let mut line = known.to_string();
    // It is an object, and is one again.
    line.pop();
    line.push_str(",\"event\":");
    line.push_str(&String::from_utf8_lossy(&event.json()));
    line.push('}');
    line
}

/// The records of a frame, each with its position.
pub(super) fn records(which: Which, head: &Head, payload: &[u8]) -> Vec<(Position, String)> {
    let written = moment(head.time);
    let positions = (head.first.0..).map(Position);
    match (which, head.kind) {
        (Which::Events, batch::EVENTS) => {
            let Some(part) = batch::read(payload, head.count, |name| name.into()) else { return Vec::new() };
            let event = |(position, event): (Position, Event)| {
                let known = json!({
                    "position": position.0, "written": written, "stream": *part.stream, "entity": event.entity(),
                });
                (position, with_event(&known, &event))
            };
            positions.zip(part.events).map(event).collect()
        }
        (Which::Outcomes, outcomes::OUTCOMES) => {
            let Some((processor, all)) = outcomes::read(payload, head.count) else { return Vec::new() };
            let outcome = |(record, settlement): (Position, Settlement)| {
                let begins = settlement == outcomes::BEGINS;
                let Settlement { position, target, end, attempts, status } = settlement;
                let end = match end {
                    _ if begins => "begins",
                    End::Delivered => "delivered",
                    End::DeadLettered => "dead_lettered",
                    End::Unsubscribed => "unsubscribed",
                    End::Unwanted => "unwanted",
                };
                let target = target.map(|target| target.as_str().to_owned());
                let line = json!({
                    "record": record.0, "written": written, "processor": processor, "position": position.0,
                    "target": target, "outcome": end, "attempts": attempts, "status": status,
                });
                (record, line.to_string())
            };
            positions.zip(all).map(outcome).collect()
        }
        (Which::Letters, letters::LETTER) => {
            let Some(letter) = letters::read(payload) else { return Vec::new() };
            let known = json!({
                "record": head.first.0, "written": written, "letter": letter.id().to_string(),
                "processor": *letter.processor, "target": letter.target.as_str(), "position": letter.entry.position.0,
                "attempts": letter.attempts, "status": letter.why.status, "reason": letter.why.text,
            });
            vec![(head.first, with_event(&known, &letter.entry.event))]
        }
        (Which::Letters, letters::GONE) => {
            let Some(id) = letters::read_id(&mut &payload[..]) else { return Vec::new() };
            vec![(
                head.first,
                json!({ "record": head.first.0, "written": written, "gone": id.to_string() }).to_string(),
            )]
        }
        _ => Vec::new(),
    }
}
