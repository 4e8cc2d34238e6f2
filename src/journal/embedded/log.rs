//! A log in segments: appended to at its new end, read from anywhere, let go from its old end.
//!
//! One hand appends; readers, of which there may be many, see what was acknowledged.

mod open;
mod read;
mod segment;

use std::io;
use std::sync::Arc;

pub(super) use open::Visit;
pub(super) use read::Reader;
pub(super) use segment::Segments;
pub(super) use segment::{base as segment_base, name as segment_name};

use super::disk::{Disk, File};
use super::frame::{Before, HEADER, Head, Header, HeaderError, LAST};
use crate::attempt::Position;
use segment::{Extent, Segment, name};

/// The kind of the frame that ends what a segment begins with. It has no payload.
pub(super) const BEGIN: u8 = 0;

/// The kind of a frame that holds nothing: it takes the place of what could not be read, or ends a segment.
pub(super) const GAP: u8 = 3;

/// The file that was a segment and will be one.
const SPARE: &str = "spare";

/// A reader finds its way from the nearest of these marks on.
const MARK: u64 = 64 * 1024;

/// A larger buffer is not kept from write to write. A page of a thousand events takes less.
const MOST_KEPT: usize = 2 << 20;

/// Why a log could not be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogError {
    /// The system refused or failed.
    #[error("could not {what} {name}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        name: String,
        /// What the system said.
        error: io::Error,
    },
    /// What was durable is no longer what it was.
    #[error("{name} is damaged at byte {at}: {why}")]
    Damaged {
        /// The file.
        name: String,
        /// Where.
        at: u64,
        /// What is wrong.
        why: String,
    },
    /// The file is none that this router can read.
    #[error("{name} cannot be used: {error}")]
    Foreign {
        /// The file.
        name: String,
        /// Why.
        error: HeaderError,
    },
}

pub(super) fn failed(what: &'static str, name: &str) -> impl FnOnce(io::Error) -> LogError {
    let name = name.to_owned();
    move |error| LogError::Io { what, name, error }
}

/// What was found when a log was opened, and needs no one to do anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// What a crash has left of a write that nobody was told of is passed over.
    TornTail {
        /// The file.
        name: String,
        /// From here on.
        at: u64,
    },
    /// A segment that was being made when the router ended is removed.
    Unfinished(String),
}

/// What a log is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    /// What it holds: a file of another log is none of this one.
    pub(super) log: u16,
    /// A new segment is begun behind so many bytes; less than 2 GiB.
    pub(super) segment_bytes: u64,
    pub(super) durability: Durability,
    /// Whether a segment that is let go is written over as the next one. To sync what lies where something was before
    /// takes half as long: no room has to be found, and no length to be written down.
    pub(super) recycle: bool,
}

/// When what is appended is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// Before it is acknowledged.
    Each,
    /// When [`Log::sync`] is called, and when a segment is full.
    Later,
    /// When a segment is full. What was appended since may be lost, and nobody minds.
    Never,
}

/// Frames that are to be written together.
pub(super) struct Frames {
    out: Vec<u8>,
    salt: u64,
    synced: u32,
    next: Position,
    time: i64,
    /// Where each frame begins, and what it holds.
    heads: Vec<(u64, Head)>,
    failed: Option<io::Error>,
}

impl Frames {
    /// The position that the next record will have.
    pub(super) fn next(&self) -> Position {
        self.next
    }

    /// Bytes so far.
    pub(super) fn bytes(&self) -> usize {
        self.out.len()
    }

    /// So many bytes will come, or a few more.
    pub(super) fn expect(&mut self, bytes: u64) {
        // At once: to grow by doubling would copy, and take more than is needed.
        self.out.reserve_exact(usize::try_from(bytes).unwrap_or(0));
    }

    /// Adds a frame of so many records; a batch is whole with its `last` one.
    pub(super) fn push(&mut self, kind: u8, count: u16, last: bool, payload: impl FnOnce(&mut Vec<u8>)) {
        let flags = if last { LAST } else { 0 };
        let head = Head { kind, flags, count, first: self.next, synced: self.synced, time: self.time };
        let at = self.out.len() as u64;
        if let Err(error) = head.encode(self.salt, &mut self.out, payload) {
            self.failed = Some(error);
        }
        self.heads.push((at, head));
        self.next = Position(self.next.0 + u64::from(count));
    }
}

/// The segment that is appended to.
struct Active {
    segment: Arc<Segment>,
    file: Box<dyn File>,
    end: u64,
    synced: u64,
}

/// The hand that appends.
pub(super) struct Log {
    disk: Arc<dyn Disk>,
    options: Options,
    segments: Segments,
    active: Option<Active>,
    next: Position,
    /// Kept from write to write, so that it is not made anew.
    buffer: Vec<u8>,
}

impl Log {
    /// A way to read it.
    #[cfg(test)]
    pub(super) fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.disk), self.segments.clone())
    }

    /// The position that the next record will have, at the least.
    #[cfg(test)]
    pub(super) fn next(&self) -> Position {
        self.next
    }

    /// What is known of its segments, as they come and go.
    pub(super) fn segments(&self) -> Segments {
        self.segments.clone()
    }

    /// Appends what `build` makes, at once and together: on success it is durable (where appends are synced), and
    /// readers see it. A new segment begins with what `snapshot` makes.
    ///
    /// # Errors
    /// It could not be written. Nothing of it will ever be seen.
    pub(super) fn append(
        &mut self,
        time: i64,
        snapshot: &mut dyn FnMut(&mut Frames),
        build: &mut dyn FnMut(&mut Frames),
    ) -> Result<(), LogError> {
        if self.active.as_ref().is_none_or(|active| active.end >= self.options.segment_bytes) {
            self.begin(time, snapshot)?;
        }
        self.write(time, build)
    }

    /// Writes down, when nothing more will come, that all before is durable: damage to what was appended last would pass
    /// for what a crash has left otherwise, since only what comes later testifies to it. That is no harm if it fails.
    pub(super) fn attest(&mut self, time: i64) {
        if self.sync().is_ok() {
            drop(self.write(time, &mut |frames| frames.push(GAP, 0, true, |_| {})));
        }
    }

    /// Appends to the segment that there is, if there is one.
    fn write(&mut self, time: i64, build: &mut dyn FnMut(&mut Frames)) -> Result<(), LogError> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let mut frames = Frames {
            out: std::mem::take(&mut self.buffer),
            salt: active.segment.salt,
            // A segment is smaller than that.
            synced: u32::try_from(active.synced).unwrap_or(u32::MAX),
            next: self.next,
            time,
            heads: Vec::new(),
            failed: None,
        };
        frames.out.clear();
        build(&mut frames);
        let Frames { out, next, heads, failed: unfit, .. } = frames;
        let name = &active.segment.name;
        let written = match unfit {
            Some(error) => Err(failed("make a frame for", name)(error)),
            None => active.file.write_at(&out, active.end).map_err(failed("write to", name)),
        };
        let done = written.and_then(|()| {
            if self.options.durability != Durability::Each {
                return Ok(());
            }
            active.file.sync().map_err(failed("sync", name))?;
            active.synced = active.end + out.len() as u64;
            Ok(())
        });
        if let Err(error) = done {
            // Nobody knows what the file holds behind its end now. The next segment's header says where that is.
            self.active = None;
            self.buffer = out;
            return Err(error);
        }
        let mut extent = active.segment.extent();
        for (at, head) in heads.iter().filter(|(_, head)| head.count > 0) {
            extent.mark(head.first, active.end + at);
        }
        active.end += out.len() as u64;
        extent.end = active.end;
        extent.time = time;
        if next > self.next {
            extent.last = Position(next.0 - 1);
        }
        drop(extent);
        self.next = next;
        self.buffer = out;
        if self.buffer.capacity() > MOST_KEPT {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// Makes durable what was appended and is not yet.
    ///
    /// # Errors
    /// It could not be. It may be lost; what comes next goes elsewhere.
    pub(super) fn sync(&mut self) -> Result<(), LogError> {
        let Some(active) = &mut self.active else { return Ok(()) };
        if active.synced == active.end {
            return Ok(());
        }
        match active.file.sync() {
            Ok(()) => {
                active.synced = active.end;
                Ok(())
            }
            Err(error) => {
                let error = failed("sync", &active.segment.name)(error);
                self.active = None;
                Err(error)
            }
        }
    }

    /// Begins a new segment.
    fn begin(&mut self, time: i64, snapshot: &mut dyn FnMut(&mut Frames)) -> Result<(), LogError> {
        self.sync()?;
        self.active = None;
        let newest = self.segments.read().last().map(Arc::clone);
        let empty = newest.as_ref().filter(|newest| newest.is_empty());
        let before = match (&newest, empty) {
            (_, Some(empty)) => empty.before,
            (Some(newest), None) => {
                let Extent { end, last, .. } = *newest.extent();
                Some(Before { base: newest.base, end, last })
            }
            (None, None) => None,
        };
        // A name is used once.
        let taken = empty.is_some_and(|empty| empty.base == self.next);
        let base = if taken { Position(self.next.0 + 1) } else { self.next };
        // Should anything fail, the next try takes another name.
        self.next = Position(base.0 + 1);
        let name = name(base);
        let salt = u64::from_le_bytes(*uuid::Uuid::new_v4().as_bytes().first_chunk().unwrap_or(&[7; 8]));
        let header = Header { log: self.options.log, salt, base, created: time, before };
        let mut frames = Frames {
            out: header.encode().to_vec(),
            salt,
            synced: HEADER as u32,
            next: base,
            time,
            heads: Vec::new(),
            failed: None,
        };
        snapshot(&mut frames);
        frames.push(BEGIN, 0, true, |_| {});
        let end = frames.out.len() as u64;
        let file = self.make(&name)?;
        // Whoever opens the log must not find frames behind a header that is not durable.
        let (head, rest) = frames.out.split_at(HEADER);
        let made = file.write_at(head, 0).and_then(|()| file.sync());
        let made = made.and_then(|()| file.write_at(rest, HEADER as u64)).and_then(|()| file.sync());
        if let Err(error) = made.and_then(|()| self.disk.sync()) {
            // At the latest the next opening finds that it was begun in vain.
            drop(self.disk.remove(&name));
            return Err(failed("begin", &name)(error));
        }
        let last = Position(base.0.saturating_sub(1));
        let segment = Segment::new(&header, Extent { end, last, time, marks: Vec::new() });
        self.next = base;
        let mut segments = self.segments.write();
        if empty.is_some() {
            segments.pop();
        }
        segments.push(Arc::clone(&segment));
        drop(segments);
        if let Some(empty) = empty {
            // It need not be gone: it is not in the chain any more.
            drop(self.disk.remove(&empty.name));
        }
        self.active = Some(Active { segment, file, end, synced: end });
        Ok(())
    }

    /// A file for a new segment: one that was let go, if there is one.
    fn make(&mut self, name: &str) -> Result<Box<dyn File>, LogError> {
        if self.segments.take_spare() == 0 {
            return self.disk.create(name).map_err(failed("create", name));
        }
        self.disk.rename(SPARE, name).map_err(failed("rename", SPARE))?;
        self.disk.open(name).map_err(failed("open", name))
    }

    /// Makes what was set aside ready to be written over. Should the power fail before the next header is durable, nobody
    /// shall take the old one for it.
    fn blank(&self) {
        let blank = self.disk.open(SPARE).and_then(|file| {
            file.write_at(&[0; HEADER], 0)?;
            file.sync()?;
            file.len()
        });
        match blank {
            Ok(bytes) => self.segments.set_spare(bytes),
            // Should that fail too, it is taken for nothing, and goes with the next opening.
            Err(_) => drop(self.disk.remove(SPARE)),
        }
    }

    /// Gives back the room of a segment that was let go to be written over.
    pub(super) fn forgo_spare(&self) {
        if self.segments.take_spare() > 0 {
            drop(self.disk.remove(SPARE));
        }
    }

    /// Begins a new segment now, so that the one that was appended to can be let go.
    ///
    /// # Errors
    /// It could not be written.
    pub(super) fn roll(&mut self, time: i64, snapshot: &mut dyn FnMut(&mut Frames)) -> Result<(), LogError> {
        self.begin(time, snapshot)
    }

    /// Lets go of the oldest segment if all that it holds lies at or below `settled`. Says how many bytes that gave.
    ///
    /// # Errors
    /// It could not be removed.
    pub(super) fn trim(
        &mut self,
        settled: Position,
        wanted: impl FnOnce(i64) -> bool,
    ) -> Result<Option<u64>, LogError> {
        let segments = self.segments.read();
        let [oldest, _, ..] = &segments[..] else { return Ok(None) };
        let Extent { end, last, time, .. } = *oldest.extent();
        if last > settled || wanted(time) {
            return Ok(None);
        }
        let oldest = Arc::clone(oldest);
        drop(segments);
        // Whoever does not find it any more shall see that it is gone.
        self.segments.write().remove(0);
        let recycle = self.options.recycle && end >= self.options.segment_bytes && self.segments.spare() == 0;
        let gone = if recycle { self.disk.rename(&oldest.name, SPARE) } else { self.disk.remove(&oldest.name) };
        let removed = match gone {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(failed("remove", &oldest.name)),
        };
        // In order, so that no later one is missing where an earlier one is back.
        let done = removed.and_then(|()| self.disk.sync().map_err(failed("sync", "the folder")));
        if let Err(error) = done {
            self.segments.write().insert(0, oldest);
            return Err(error);
        }
        if recycle {
            // Not before its new name is durable: under the old one it must be whole, or gone.
            self.blank();
        }
        Ok(Some(end))
    }
}
