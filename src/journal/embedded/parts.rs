//! What is in a journal's folder, read and ready to be written to.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::batch;
use super::disk::Disk;
use super::letters::{EmbeddedLetters, Letters};
use super::log::{Durability, Log, LogError, Notice, Options, Visit};
use super::place::{self, Place};
use super::state::Settings;
use super::writer::told_of;
use crate::attempt::Position;
use crate::journal::{Checkpoint, CheckpointDelta, CursorState, JournalError};

/// What the logs hold, as their headers say.
pub(super) const EVENTS: u16 = 1;
pub(super) const OUTCOMES: u16 = 2;
pub(super) const LETTERS: u16 = 3;

/// Of what the folder may hold, dead letters may take one of so many parts.
const LETTERS_PART: u64 = 8;

/// A file of outcomes is no larger.
const OUTCOMES_BYTES: u64 = 4 << 20;

/// The folders of a journal.
#[derive(Clone)]
pub(super) struct Disks {
    pub(super) events: Arc<dyn Disk>,
    pub(super) outcomes: Arc<dyn Disk>,
    pub(super) places: Arc<dyn Disk>,
    pub(super) letters: Arc<dyn Disk>,
}

/// How the log of events is written.
pub(super) fn options(settings: &Settings) -> Options {
    Options {
        log: EVENTS,
        segment_bytes: settings.segment_bytes(),
        durability: if settings.synced { Durability::Each } else { Durability::Later },
        recycle: settings.synced,
    }
}

/// The highest position that a place names.
pub(super) fn highest(state: &CursorState) -> Position {
    state.lanes.iter().map(|(_, at)| *at).fold(state.front, Position::max)
}

/// All of it.
pub(super) struct Parts {
    pub(super) log: Log,
    pub(super) checkpoints: BTreeMap<Arc<str>, Checkpoint>,
    pub(super) outcomes: Log,
    /// Why they cannot be used, if they are damaged.
    pub(super) letters: Result<Letters, JournalError>,
    pub(super) view: EmbeddedLetters,
    pub(super) places: BTreeMap<Arc<str>, (Place, CursorState)>,
    /// Of processors whose place is not known: what the names of their files have in common.
    pub(super) lost: Vec<String>,
}

impl Parts {
    /// Opens what is there. Where dead letters or the place of a processor are damaged, the rest can be used.
    ///
    /// # Errors
    /// Something cannot be read or written, or the log of events is damaged.
    pub(super) fn open(disks: &Disks, settings: &Settings) -> Result<Self, JournalError> {
        let io = |error: io::Error| JournalError::Io { what: "read places".to_owned(), why: error.to_string() };
        let (places, lost) = Place::all(&disks.places).map_err(io)?;
        let floor = places.values().map(|(_, state)| highest(state)).max().unwrap_or_default();
        let (letters, view) = match Letters::open(&disks.letters, settings.max_bytes / LETTERS_PART) {
            Ok((letters, view)) => (Ok(letters), view),
            Err(error @ LogError::Damaged { .. }) => {
                let error = told_of("letters", error);
                (Err(error.clone()), EmbeddedLetters::damaged(&disks.letters, error))
            }
            Err(error) => return Err(told_of("letters", error)),
        };
        let floor = letters.as_ref().map_or(floor, |letters| floor.max(letters.highest()));
        let outcomes = open_outcomes(&disks.outcomes).map_err(|error| told_of("outcomes", error))?;
        let options = options(settings);
        let mut checkpoints = Checkpoints::default();
        let opened = Log::open(Arc::clone(&disks.events), options, floor, &mut |visit| checkpoints.visit(&visit));
        let (log, notices) = opened.map_err(|error| told_of("events", error))?;
        if checkpoints.damaged {
            return Err(JournalError::Damaged("a frame of the newest segment holds what no router writes".to_owned()));
        }
        say(notices);
        Ok(Self { log, checkpoints: checkpoints.all, outcomes, letters, view, places, lost })
    }

    /// The same, for who needs all of it.
    ///
    /// # Errors
    /// Something cannot be read or written, or is damaged.
    pub(super) fn open_whole(disks: &Disks, settings: &Settings) -> Result<Self, JournalError> {
        let parts = Self::open(disks, settings)?;
        match (&parts.letters, parts.lost.first()) {
            (Err(error), _) => Err(error.clone()),
            (Ok(_), Some(stem)) => Err(place_lost(stem)),
            (Ok(_), None) => Ok(parts),
        }
    }
}

/// Where a processor was is not known.
pub(super) fn place_lost(stem: &str) -> JournalError {
    let [one, other] = place::files(stem);
    JournalError::Damaged(format!("places/{one} and {other} are damaged: where a processor was is not known"))
}

/// A frame's stream, change, and keys and CreatedTimes.
type Waiting = (String, Option<CheckpointDelta>, Vec<(i32, i64)>);

/// Collects the checkpoints of the streams, from what the last segment says.
#[derive(Default)]
struct Checkpoints {
    all: BTreeMap<Arc<str>, Checkpoint>,
    /// What a segment begins with, until all of that is there.
    begun: Vec<(Arc<str>, Checkpoint)>,
    /// What the frames say that are no whole batch yet.
    waiting: Vec<Waiting>,
    damaged: bool,
}

impl Checkpoints {
    fn visit(&mut self, visit: &Visit<'_>) {
        match visit {
            Visit::Frame(head, payload) => match head.kind {
                batch::CHECKPOINT => match batch::read_checkpoint(payload) {
                    Some(begun) => self.begun.push(begun),
                    None => self.damaged = true,
                },
                batch::EVENTS => match batch::glance(payload, head.count) {
                    Some(part) => self.waiting.push((part.stream.to_owned(), part.delta, part.keys)),
                    None => self.damaged = true,
                },
                _ => {}
            },
            Visit::Whole => {
                self.all.extend(self.begun.drain(..));
                self.apply();
            }
            Visit::Torn => {
                self.begun.clear();
                self.waiting.clear();
            }
        }
    }

    fn apply(&mut self) {
        // The change comes with the last frame of a batch, and is about the events of all of them.
        let Some((stream, Some(delta), _)) = self.waiting.last() else {
            self.waiting.clear();
            return;
        };
        let kept = self.all.entry(stream.as_str().into()).or_insert_with(|| Checkpoint::bare(delta));
        kept.apply_named(delta, self.waiting.iter().flat_map(|(_, _, keys)| keys).copied());
        self.waiting.clear();
    }
}

pub(super) fn say(notices: Vec<Notice>) {
    for notice in notices {
        match notice {
            Notice::TornTail { name, at } => {
                tracing::info!(file = name, at, "what was being written when the router ended is passed over");
            }
            Notice::Unfinished(name) => tracing::debug!(file = name, "a file that was never used is removed"),
        }
    }
}

/// Opens the log of outcomes. Where it cannot be read, a new one is begun: without outcomes some events are delivered
/// twice, without a journal none is delivered at all.
fn open_outcomes(disk: &Arc<dyn Disk>) -> Result<Log, LogError> {
    let options =
        Options { log: OUTCOMES, segment_bytes: OUTCOMES_BYTES, durability: Durability::Never, recycle: false };
    let open = || Log::open(Arc::clone(disk), options, Position(0), &mut |_| {});
    let (log, notices) = match open() {
        Err(error @ LogError::Damaged { .. }) => {
            tracing::warn!(%error, "what was delivered lately is not known any more: some events may come twice");
            let failed = |error| LogError::Io { what: "clear", name: "the outcomes".to_owned(), error };
            for name in disk.names().map_err(failed)? {
                disk.remove(&name).map_err(failed)?;
            }
            disk.sync().map_err(failed)?;
            open()?
        }
        other => other?,
    };
    say(notices);
    Ok(log)
}
