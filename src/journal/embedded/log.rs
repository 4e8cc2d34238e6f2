//! A log in segments: appended to at its new end, read from anywhere, let go from its old end.
//!
//! One hand appends; readers, of which there may be many, see what was acknowledged.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::disk::{Disk, File};
use super::frame::{HEADER, Head, Header, HeaderError, LAST};
use super::scan::{self, Next, Scan};
use crate::attempt::Position;

/// The kind of the frame that ends what a segment begins with. It has no payload.
pub(super) const BEGIN: u8 = 0;

/// A reader finds its way from the nearest of these marks on.
const MARK: u64 = 64 * 1024;

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

fn failed(what: &'static str, name: &str) -> impl FnOnce(io::Error) -> LogError {
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
        /// So many bytes.
        bytes: u64,
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
    /// Each append is synced before it is acknowledged.
    pub(super) synced: bool,
}

/// How far a segment goes, of what was acknowledged.
#[derive(Clone, Debug)]
struct Extent {
    end: u64,
    /// No record has a higher position.
    last: Position,
    /// None was written later.
    time: i64,
    /// Where some of its frames begin, each with the position of its first record.
    marks: Vec<(Position, u64)>,
}

/// A part of a log, in a file of its own.
#[derive(Debug)]
pub(super) struct Segment {
    name: String,
    base: Position,
    salt: u64,
    created: i64,
    before: Option<(Position, u64)>,
    extent: Mutex<Extent>,
}

impl Segment {
    fn extent(&self) -> MutexGuard<'_, Extent> {
        self.extent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        self.extent().last < self.base
    }
}

/// The segments, oldest first.
type Segments = Arc<RwLock<Vec<Arc<Segment>>>>;

fn read(segments: &Segments) -> std::sync::RwLockReadGuard<'_, Vec<Arc<Segment>>> {
    segments.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(segments: &Segments) -> std::sync::RwLockWriteGuard<'_, Vec<Arc<Segment>>> {
    segments.write().unwrap_or_else(PoisonError::into_inner)
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

/// What comes when a log is opened, of its last segment.
pub(super) enum Visit<'a> {
    /// A frame.
    Frame(&'a Head, &'a [u8]),
    /// The frames since the last time are whole batches.
    Whole,
    /// They are none.
    Torn,
}

fn name(base: Position) -> String {
    format!("{:020}.log", base.0)
}

fn base(name: &str) -> Option<Position> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 20).then(|| digits.parse().ok().map(Position)).flatten()
}

impl Log {
    /// Opens what is there. No record will have a position at or below `floor`.
    ///
    /// # Errors
    /// Something cannot be read, or is damaged.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        options: Options,
        floor: Position,
        visit: &mut dyn FnMut(Visit<'_>),
    ) -> Result<(Self, Vec<Notice>), LogError> {
        let mut bases: Vec<_> =
            disk.names().map_err(failed("list", "the folder"))?.iter().filter_map(|name| base(name)).collect();
        bases.sort_unstable();
        let mut notices = Vec::new();
        let mut chain = Vec::new();
        let mut next = Position(floor.0.saturating_add(1));
        let mut removed = false;
        while let Some(newest) = bases.pop() {
            let name = name(newest);
            let file = disk.open(&name).map_err(failed("open", &name))?;
            let length = file.len().map_err(failed("look at", &name))?;
            // In the place of one that was never written, there may be that of a file that is gone.
            let found = scan::header(&*file).map_err(failed("read", &name))?;
            let header = match found.and_then(|header| own(newest, header)) {
                Ok(header) => header,
                // A header is durable before anything is appended behind it.
                Err(HeaderError::Strange | HeaderError::Damaged) if length <= HEADER as u64 => {
                    disk.remove(&name).map_err(failed("remove", &name))?;
                    removed = true;
                    notices.push(Notice::Unfinished(name));
                    continue;
                }
                Err(HeaderError::Damaged) => {
                    return Err(LogError::Damaged { name, at: 0, why: HeaderError::Damaged.to_string() });
                }
                Err(error) => return Err(LogError::Foreign { name, error }),
            };
            check(&name, newest, &header, options)?;
            let Last { extent, highest, synced } = scan_last(&name, &*file, &header, length, visit, &mut notices)?;
            next = next.max(Position(highest.0.max(newest.0).saturating_add(1)));
            if extent.end == HEADER as u64 {
                // It begins with a frame that is durable before anything else is written there.
                disk.remove(&name).map_err(failed("remove", &name))?;
                removed = true;
                notices.retain(|notice| !matches!(notice, Notice::TornTail { .. }));
                notices.push(Notice::Unfinished(name));
                continue;
            }
            make_durable(&*file, synced, extent.end).map_err(failed("sync", &name))?;
            let mut before = header.before;
            chain.push(segment(name, &header, extent));
            while let Some((base, end)) = before {
                let Ok(at) = bases.binary_search(&base) else {
                    // The oldest go first, so what is older than one that is gone was begun in vain.
                    for older in bases.drain(..) {
                        if !is_vain(&*disk, older)? {
                            let why = "the file is missing".to_owned();
                            return Err(LogError::Damaged { name: self::name(base), at: 0, why });
                        }
                        disk.remove(&self::name(older)).map_err(failed("remove", &self::name(older)))?;
                        removed = true;
                    }
                    break;
                };
                let name = self::name(base);
                let file = disk.open(&name).map_err(failed("open", &name))?;
                let header = scan::header(&*file).map_err(failed("read", &name))?;
                let header = header.map_err(|error| match error {
                    HeaderError::Newer(_) => LogError::Foreign { name: name.clone(), error },
                    error => LogError::Damaged { name: name.clone(), at: 0, why: error.to_string() },
                })?;
                check(&name, base, &header, options)?;
                // What lies between two segments of the chain is one that was begun in vain.
                for vain in bases.drain(at..).skip(1) {
                    disk.remove(&self::name(vain)).map_err(failed("remove", &self::name(vain)))?;
                    removed = true;
                }
                // The segment behind it says what it holds.
                let behind: Option<&Arc<Segment>> = chain.last();
                let (above, time) = behind.map_or((next, i64::MAX), |behind| (behind.base, behind.created));
                let extent = Extent { end, last: Position(above.0.saturating_sub(1)), time, marks: Vec::new() };
                chain.push(segment(name, &header, extent));
                before = header.before;
            }
            break;
        }
        if removed {
            disk.sync().map_err(failed("sync", "the folder"))?;
        }
        chain.reverse();
        let segments = Arc::new(RwLock::new(chain));
        Ok((Self { disk, options, segments, active: None, next, buffer: Vec::new() }, notices))
    }

    /// A way to read it.
    pub(super) fn reader(&self) -> Reader {
        Reader {
            disk: Arc::clone(&self.disk),
            segments: Arc::clone(&self.segments),
            open: None,
            place: (Position(0), 0),
        }
    }

    /// The position that the next record will have, at the least.
    pub(super) fn next(&self) -> Position {
        self.next
    }

    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        read(&self.segments).iter().map(|segment| segment.extent().end).sum()
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
            if !self.options.synced {
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
            let at = active.end + at;
            if extent.marks.last().is_none_or(|(_, before)| at - before >= MARK) {
                extent.marks.push((head.first, at));
            }
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
        if self.buffer.capacity() > 1 << 20 {
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
        let newest = read(&self.segments).last().map(Arc::clone);
        let empty = newest.as_ref().filter(|newest| newest.is_empty());
        let before = match (&newest, empty) {
            (_, Some(empty)) => empty.before,
            (Some(newest), None) => Some((newest.base, newest.extent().end)),
            (None, None) => None,
        };
        let base = self.next;
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
        let file = self.disk.create(&name).map_err(failed("create", &name))?;
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
        let segment = segment(name, &header, Extent { end, last, time, marks: Vec::new() });
        self.next = base;
        let mut segments = write(&self.segments);
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

    /// Lets go of the oldest segment if all that it holds lies at or below `settled`. Says how many bytes that gave.
    ///
    /// # Errors
    /// It could not be removed.
    pub(super) fn trim(
        &mut self,
        settled: Position,
        wanted: impl FnOnce(i64) -> bool,
    ) -> Result<Option<u64>, LogError> {
        let segments = read(&self.segments);
        let [oldest, behind, ..] = &segments[..] else { return Ok(None) };
        let last = Position(behind.base.0.saturating_sub(1)).min(oldest.extent().last);
        let time = oldest.extent().time;
        if last > settled || wanted(time) {
            return Ok(None);
        }
        let oldest = Arc::clone(oldest);
        drop(segments);
        self.disk.remove(&oldest.name).map_err(failed("remove", &oldest.name))?;
        // In order, so that no later one is missing where an earlier one is back.
        self.disk.sync().map_err(failed("sync", "the folder"))?;
        write(&self.segments).remove(0);
        Ok(Some(oldest.extent().end))
    }
}

fn segment(name: String, header: &Header, extent: Extent) -> Arc<Segment> {
    let Header { base, salt, created, before, .. } = *header;
    Arc::new(Segment { name, base, salt, created, before, extent: Mutex::new(extent) })
}

fn own(base: Position, header: Header) -> Result<Header, HeaderError> {
    if header.base == base { Ok(header) } else { Err(HeaderError::Damaged) }
}

fn check(name: &str, base: Position, header: &Header, options: Options) -> Result<(), LogError> {
    if header.base == base && header.log == options.log {
        return Ok(());
    }
    let why = format!("its header is that of {} of log {}", self::name(header.base), header.log);
    Err(LogError::Damaged { name: name.to_owned(), at: 0, why })
}

/// Whether the segment holds no record and never did.
fn is_vain(disk: &dyn Disk, base: Position) -> Result<bool, LogError> {
    let name = name(base);
    let file = disk.open(&name).map_err(failed("open", &name))?;
    let length = file.len().map_err(failed("look at", &name))?;
    let Ok(header) = scan::header(&*file).map_err(failed("read", &name))? else { return Ok(length <= HEADER as u64) };
    let mut scan = Scan::new(&*file, header.salt, HEADER as u64, length);
    loop {
        match scan.next().map_err(failed("read", &name))? {
            Next::Frame(_, head) if head.count > 0 => return Ok(false),
            Next::Frame(..) => {}
            Next::Bad(bad) => return Ok(scan.testifies(bad).map_err(failed("read", &name))?.is_none()),
            Next::End => return Ok(true),
        }
    }
}

/// Writes once more what may not be durable, though it can be read: it may not have been synced, and if that has failed,
/// it is cached, passes for written, and is gone with the power. Half a batch at its end may change: it is passed over.
fn make_durable(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    let mut at = from;
    let mut bytes = vec![0; usize::try_from((to - from).min(MARK)).unwrap_or(0)];
    while at < to {
        let part = usize::try_from((to - at).min(MARK)).unwrap_or(0);
        let read = file.read_at(&mut bytes[..part], at)?;
        file.write_at(&bytes[..read], at)?;
        at += part as u64;
    }
    file.sync()
}

/// What the last segment holds.
struct Last {
    extent: Extent,
    /// The highest position that was ever given in it.
    highest: Position,
    /// So much of it is surely durable.
    synced: u64,
}

/// Reads the last segment.
fn scan_last(
    name: &str,
    file: &dyn File,
    header: &Header,
    length: u64,
    visit: &mut dyn FnMut(Visit<'_>),
    notices: &mut Vec<Notice>,
) -> Result<Last, LogError> {
    let mut scan = Scan::new(file, header.salt, HEADER as u64, length);
    let last = Position(header.base.0.saturating_sub(1));
    let mut extent = Extent { end: HEADER as u64, last, time: header.created, marks: Vec::new() };
    let (mut highest, mut synced) = (last, HEADER as u64);
    loop {
        match scan.next().map_err(failed("read", name))? {
            Next::Frame(at, head) => {
                visit(Visit::Frame(&head, scan.payload()));
                highest = highest.max(head.last());
                synced = synced.max(u64::from(head.synced));
                if head.count > 0 && extent.marks.last().is_none_or(|(_, before)| at - before >= MARK) {
                    extent.marks.push((head.first, at));
                }
                if head.flags & LAST > 0 {
                    visit(Visit::Whole);
                    (extent.end, extent.last, extent.time) = (scan.at(), highest, head.time);
                }
            }
            Next::Bad(bad) => {
                if let Some(later) = scan.testifies(bad).map_err(failed("read", name))? {
                    let why = format!("the frame at byte {later} was written when this was durable");
                    return Err(LogError::Damaged { name: name.to_owned(), at: bad, why });
                }
                break;
            }
            Next::End => break,
        }
    }
    visit(Visit::Torn);
    if extent.end < length {
        notices.push(Notice::TornTail { name: name.to_owned(), at: extent.end, bytes: length - extent.end });
    }
    let end = extent.end;
    extent.marks.retain(|(_, at)| *at < end);
    Ok(Last { synced: synced.min(end), extent, highest })
}

/// Reads a log, from wherever it is asked.
pub(super) struct Reader {
    disk: Arc<dyn Disk>,
    segments: Segments,
    /// The segment that was read last, by its base.
    open: Option<(Position, Box<dyn File>)>,
    /// How far: behind this record of that segment, the next frame begins there.
    place: (Position, u64),
}

impl Reader {
    /// Gives the frames that have records behind `after`, oldest first, until `take` says that it is enough.
    ///
    /// # Errors
    /// A segment cannot be read, or is damaged.
    pub(super) fn read(&mut self, after: Position, take: &mut dyn FnMut(&Head, &[u8]) -> bool) -> Result<(), LogError> {
        let segments = {
            let all = read(&self.segments);
            let from = all.partition_point(|segment| segment.base <= after).saturating_sub(1);
            all[from..].to_vec()
        };
        for segment in segments {
            let (end, at) = {
                let extent = segment.extent();
                if extent.last <= after || segment.base > extent.last {
                    continue;
                }
                let mark = extent.marks.partition_point(|(first, _)| first.0 <= after.0.saturating_add(1));
                (extent.end, mark.checked_sub(1).map_or(HEADER as u64, |mark| extent.marks[mark].1))
            };
            let (file, at) = match self.open.take() {
                Some((base, file)) if base == segment.base => {
                    let (passed, place) = self.place;
                    (file, if passed <= after { at.max(place) } else { at })
                }
                _ => (self.disk.open(&segment.name).map_err(failed("open", &segment.name))?, at),
            };
            let mut scan = Scan::new(&*file, segment.salt, at, end);
            let enough = loop {
                match scan.next().map_err(failed("read", &segment.name))? {
                    Next::Frame(_, head) if head.count == 0 || head.last() <= after => {
                        self.place = (head.last(), scan.at());
                    }
                    Next::Frame(at, head) => {
                        // It may be asked for again, in part.
                        self.place = (Position(head.first.0.saturating_sub(1)), at);
                        if !take(&head, scan.payload()) {
                            break true;
                        }
                    }
                    Next::Bad(at) => {
                        let why = "what was acknowledged is no frame any more".to_owned();
                        return Err(LogError::Damaged { name: segment.name.clone(), at, why });
                    }
                    Next::End => break false,
                }
            };
            self.open = Some((segment.base, file));
            if enough {
                break;
            }
        }
        Ok(())
    }
}
