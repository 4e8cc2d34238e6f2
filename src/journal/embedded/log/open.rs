//! Opening a log: what a crash has left is told from damage, and what was acknowledged is found.

use std::io;
use std::sync::Arc;

use super::segment::{Extent, Segment, base, name};
use super::{Durability, GAP, Log, LogError, MARK, Notice, Options, SPARE, Segments, failed};
use crate::attempt::Position;
use crate::journal::embedded::disk::{Disk, File};
use crate::journal::embedded::frame::{Before, HEADER, HIGHEST, Head, Header, HeaderError, LAST};
use crate::journal::embedded::scan::{self, Next, Scan};

/// What comes when a log is opened, of its last segment.
pub(in crate::journal::embedded) enum Visit<'a> {
    /// A frame.
    Frame(&'a Head, &'a [u8]),
    /// The frames since the last time are whole batches.
    Whole,
    /// They are none.
    Torn,
}

/// No more records are lost when a log is not synced at each append.
const LOST: u64 = 1 << 24;

/// A log that is being opened.
struct Opening<'a> {
    disk: &'a dyn Disk,
    options: Options,
    /// The segments that were not looked at yet, oldest first.
    bases: Vec<Position>,
    next: Position,
    /// The segments that are in use, newest first.
    chain: Vec<Arc<Segment>>,
    removed: bool,
    notices: Vec<Notice>,
}

impl Log {
    /// Opens what is there. No record will have a position at or below `floor`.
    ///
    /// # Errors
    /// Something cannot be read, or is damaged.
    pub(in crate::journal::embedded) fn open(
        disk: Arc<dyn Disk>,
        options: Options,
        floor: Position,
        visit: &mut dyn FnMut(Visit<'_>),
    ) -> Result<(Self, Vec<Notice>), LogError> {
        let names = disk.names().map_err(failed("list", "the folder"))?;
        let mut bases: Vec<_> = names.iter().filter_map(|name| base(name)).collect();
        bases.sort_unstable();
        let next = Position(floor.0.saturating_add(1));
        let spare = names.iter().any(|name| name == SPARE);
        if spare {
            // It may not be blank yet.
            disk.remove(SPARE).map_err(failed("remove", SPARE))?;
        }
        let mut opening =
            Opening { disk: &*disk, options, bases, next, chain: Vec::new(), removed: spare, notices: Vec::new() };
        let before = opening.newest(visit)?;
        opening.older(before)?;
        let Opening { mut chain, mut next, removed, notices, .. } = opening;
        // The newest may not have its name for good: what the one before it holds must not come into sight with the next
        // power loss.
        if removed || (!chain.is_empty() && options.durability != Durability::Never) {
            disk.sync().map_err(failed("sync", "the folder"))?;
        }
        chain.reverse();
        if options.durability == Durability::Later && !chain.is_empty() {
            // What was acknowledged and is lost had positions above.
            next = Position(next.0.saturating_add(LOST));
        }
        if next.0 > HIGHEST {
            let (name, why) = ("the log".to_owned(), format!("no router comes to position {next}"));
            return Err(LogError::Damaged { name, at: 0, why });
        }
        let segments = Segments::new(chain);
        Ok((Self { disk, options, segments, active: None, next, buffer: Vec::new() }, notices))
    }
}

impl Opening<'_> {
    fn open(&self, base: Position) -> Result<(String, Box<dyn File>), LogError> {
        let name = name(base);
        let file = self.disk.open(&name).map_err(failed("open", &name))?;
        Ok((name, file))
    }

    fn remove(&mut self, base: Position) -> Result<(), LogError> {
        let name = name(base);
        self.disk.remove(&name).map_err(failed("remove", &name))?;
        self.removed = true;
        Ok(())
    }

    /// Finds the newest segment that was begun to its end. What it says of the one before, if there is one.
    fn newest(&mut self, visit: &mut dyn FnMut(Visit<'_>)) -> Result<Option<Before>, LogError> {
        while let Some(newest) = self.bases.pop() {
            let (name, file) = self.open(newest)?;
            let length = file.len().map_err(failed("look at", &name))?;
            // In the place of one that was never written, there may be that of a file that is gone.
            let found = scan::header(&*file).map_err(failed("read", &name))?;
            // A header is durable before anything is appended behind it.
            let vain = length <= HEADER as u64 || scan::is_blank(&*file).map_err(failed("read", &name))?;
            let header = match found {
                Ok(header) if is_own(newest, &header, self.options) => header,
                Ok(_) | Err(HeaderError::Strange | HeaderError::Damaged) if vain => {
                    self.remove(newest)?;
                    self.notices.push(Notice::Unfinished(name));
                    continue;
                }
                Err(HeaderError::Damaged) => {
                    return Err(LogError::Damaged { name, at: 0, why: HeaderError::Damaged.to_string() });
                }
                Err(error) => return Err(LogError::Foreign { name, error }),
                Ok(header) => header,
            };
            check(&name, newest, &header, self.options)?;
            let Last { extent, highest, synced, attested, torn } = scan_last(&name, &*file, &header, length, visit)?;
            // What lies behind may be damage that nothing testifies to. Its records had positions, which outcomes may name:
            // none is given again. A record takes more than a byte. Where the log was ended in order, nothing lies behind.
            let behind = if attested { 0 } else { length.saturating_sub(extent.end) };
            let highest = highest.0.max(newest.0).saturating_add(behind);
            self.next = self.next.max(Position(highest.saturating_add(1)));
            if extent.end == HEADER as u64 {
                // It begins with a frame that is durable before anything else is written there.
                self.remove(newest)?;
                self.notices.push(Notice::Unfinished(name));
                continue;
            }
            self.notices.extend(torn);
            if self.options.durability == Durability::Never {
                // Whoever wrote it may have been killed long ago. If it cannot be synced, nobody minds.
                drop(file.sync());
            } else {
                make_durable(&*file, synced, extent.end).map_err(failed("sync", &name))?;
            }
            self.chain.push(Segment::new(&header, extent));
            return Ok(header.before);
        }
        Ok(None)
    }

    /// Follows what each segment says of the one before, down to the oldest.
    fn older(&mut self, mut before: Option<Before>) -> Result<(), LogError> {
        while let Some(Before { base, end, last }) = before {
            let Ok(at) = self.bases.binary_search(&base) else { return self.missing(base) };
            let (name, file) = self.open(base)?;
            let header = scan::header(&*file).map_err(failed("read", &name))?;
            let header = header.map_err(|error| match error {
                HeaderError::Newer(_) => LogError::Foreign { name: name.clone(), error },
                error => LogError::Damaged { name: name.clone(), at: 0, why: error.to_string() },
            })?;
            check(&name, base, &header, self.options)?;
            // What lies between two segments of the chain is one that was begun in vain.
            let vain: Vec<_> = self.bases.drain(at..).skip(1).collect();
            for base in vain {
                self.remove(base)?;
            }
            // The segment behind it says what it holds.
            let time = self.chain.last().map_or(i64::MAX, |behind| behind.created);
            let extent = Extent { end, last, time, marks: Vec::new() };
            self.chain.push(Segment::new(&header, extent));
            before = header.before;
        }
        Ok(())
    }

    /// A segment is not there, though the next one names it. The oldest go first, so what is older than one that is
    /// gone was begun in vain; so was what lies between the two, whatever it holds.
    fn missing(&mut self, base: Position) -> Result<(), LogError> {
        for older in std::mem::take(&mut self.bases) {
            if older < base && !self.is_vain(older)? {
                let why = "the file is missing".to_owned();
                return Err(LogError::Damaged { name: name(base), at: 0, why });
            }
            self.remove(older)?;
        }
        Ok(())
    }

    /// Whether the segment holds no record and never did.
    fn is_vain(&self, base: Position) -> Result<bool, LogError> {
        let (name, file) = self.open(base)?;
        let length = file.len().map_err(failed("look at", &name))?;
        let Ok(header) = scan::header(&*file).map_err(failed("read", &name))? else {
            return Ok(length <= HEADER as u64 || scan::is_blank(&*file).map_err(failed("read", &name))?);
        };
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
}

fn is_own(base: Position, header: &Header, options: Options) -> bool {
    header.base == base && header.log == options.log
}

fn check(file: &str, base: Position, header: &Header, options: Options) -> Result<(), LogError> {
    if is_own(base, header, options) {
        return Ok(());
    }
    let why = format!("its header is that of {} of log {}", name(header.base), header.log);
    Err(LogError::Damaged { name: file.to_owned(), at: 0, why })
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
    /// Its end says that nothing more was written.
    attested: bool,
    torn: Option<Notice>,
}

/// Reads the last segment.
fn scan_last(
    name: &str,
    file: &dyn File,
    header: &Header,
    length: u64,
    visit: &mut dyn FnMut(Visit<'_>),
) -> Result<Last, LogError> {
    let mut scan = Scan::new(file, header.salt, HEADER as u64, length);
    let last = Position(header.base.0.saturating_sub(1));
    let mut extent = Extent { end: HEADER as u64, last, time: header.created, marks: Vec::new() };
    let (mut highest, mut synced, mut attested) = (last, HEADER as u64, false);
    loop {
        match scan.next().map_err(failed("read", name))? {
            Next::Frame(at, head) => {
                visit(Visit::Frame(&head, scan.payload()));
                highest = highest.max(head.last());
                attested = head.kind == GAP;
                synced = synced.max(u64::from(head.synced));
                if head.count > 0 {
                    extent.mark(head.first, at);
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
    let end = extent.end;
    let torn = (scan.at() > end || scan.is_torn()).then(|| Notice::TornTail { name: name.to_owned(), at: end });
    extent.marks.retain(|(_, at)| *at < end);
    Ok(Last { synced: synced.min(end), extent, highest, attested, torn })
}
