//! What a journal holds of streams and processors that are not configured any more: to let it go, or to give it to
//! another one.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::log::Reader;
use super::outcomes;
use super::parts::{Disks, Parts};
use super::place::{self, Place};
use super::repair::take;
use super::state::{Settings, micros};
use super::{batch, disks, failed, writer};
use crate::attempt::Position;
use crate::journal::{CursorState, JournalError, Settlement};

/// What was let go, or given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// A stream's checkpoint.
    pub checkpoint: bool,
    /// A processor's place.
    pub place: bool,
    /// So many dead letters.
    pub letters: usize,
}

impl Moved {
    /// There was nothing of that name.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// Why a name could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum RenameError {
    /// The new name has a place of its own.
    #[error("{0} has a place in the journal already: take it out of the configuration and let the journal forget it")]
    Taken(String),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Lets go of all that the journal knows of a stream or processor, for good. Its events stay as long as any.
///
/// # Errors
/// The journal is in use, is damaged, or cannot be written.
pub fn forget(folder: &Path, settings: &Settings, name: &str) -> Result<Moved, JournalError> {
    let _lock = take(folder)?;
    let disks = disks(folder)?;
    let mut parts = Parts::open_whole(&disks, settings)?;
    let time = time(&parts);
    let mut moved = Moved { letters: give(&mut parts, name, None, time)?, ..Moved::default() };
    if parts.places.remove(name).is_some() {
        remove_place(&disks, name)?;
        moved.place = true;
    }
    if parts.checkpoints.remove(name).is_some() {
        begin_anew(&mut parts, time)?;
        moved.checkpoint = true;
    }
    Ok(moved)
}

/// Gives all that the journal knows of a stream or processor to another name: where it is, what was delivered, and its
/// dead letters. Events that are in the journal keep their stream's old name.
///
/// # Errors
/// The new name has a place; or the journal is in use, is damaged, or cannot be written. Then it may be done again.
pub fn rename(folder: &Path, settings: &Settings, old: &str, new: &str) -> Result<Moved, RenameError> {
    let _lock = take(folder)?;
    let disks = disks(folder)?;
    let mut parts = Parts::open_whole(&disks, settings)?;
    let place = parts.places.get(old).map(|(_, state)| state.clone());
    let begun = parts.places.get(new).map(|(_, state)| state.clone());
    // Where both are at the same place, it was interrupted.
    if parts.checkpoints.contains_key(old) && parts.checkpoints.contains_key(new)
        || begun.is_some() && place.is_some() && begun != place
    {
        return Err(RenameError::Taken(new.to_owned()));
    }
    let time = time(&parts);
    let new: Arc<str> = new.into();
    let mut moved = Moved::default();
    if let Some(state) = place {
        let mut settled = settled(&disks, &parts, old, &state);
        settled.insert(0, outcomes::BEGINS);
        let appended = parts
            .outcomes
            .append(time, &mut |_| {}, &mut |frames| outcomes::write(frames, &new, &settled))
            .and_then(|()| parts.outcomes.sync());
        appended.map_err(|error| writer::told(&error))?;
        parts.outcomes.attest(time);
        let mut place = Place::new(Arc::clone(&disks.places), Arc::clone(&new));
        for _ in 0..2 {
            place.write(&state).and_then(|()| place.sync()).map_err(failed(format!("write the place of {new}")))?;
        }
        moved.place = true;
    }
    moved.letters = give(&mut parts, old, Some(&new), time)?;
    if moved.place {
        remove_place(&disks, old)?;
    }
    if let Some(checkpoint) = parts.checkpoints.remove(old) {
        parts.checkpoints.insert(new, checkpoint);
        begin_anew(&mut parts, time)?;
        moved.checkpoint = true;
    }
    Ok(moved)
}

fn give(parts: &mut Parts, from: &str, to: Option<&Arc<str>>, time: i64) -> Result<usize, JournalError> {
    match &mut parts.letters {
        Ok(letters) => letters.give(from, to, time).map_err(|error| writer::told(&error)),
        Err(error) => Err(error.clone()),
    }
}

fn time(parts: &Parts) -> i64 {
    let logs = [parts.log.segments(), parts.outcomes.segments(), parts.view.segments()];
    logs.iter().filter_map(super::log::Segments::time).fold(micros(SystemTime::now()), i64::max)
}

fn remove_place(disks: &Disks, name: &str) -> Result<(), JournalError> {
    place::remove(&*disks.places, name).map_err(failed(format!("remove the place of {name}")))
}

/// Begins a new segment of events, with the checkpoints as they are now.
fn begin_anew(parts: &mut Parts, time: i64) -> Result<(), JournalError> {
    let Parts { log, checkpoints, .. } = parts;
    let begun = log.roll(time, &mut |frames| {
        checkpoints.iter().for_each(|(name, checkpoint)| batch::write_checkpoint(frames, name, checkpoint));
    });
    begun.map_err(|error| writer::told(&error))
}

/// What a processor settled above its place.
fn settled(disks: &Disks, parts: &Parts, name: &str, state: &CursorState) -> Vec<Settlement> {
    let through = state.settled_through();
    let mut reader = Reader::lenient(Arc::clone(&disks.outcomes), parts.outcomes.segments());
    outcomes::own(&mut reader, Ok(Position(0)), name, |settlement| {
        (settlement.position > through).then_some(settlement)
    })
}
