//! Looking through a whole log, without writing to it: what is there, what is damaged, and how that could be cut out.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::disk::{Disk, File};
use super::frame::{Before, HEAD, HEADER, Head, Header, HeaderError, LAST};
use super::log::{GAP, LogError, failed, segment_base, segment_name};
use super::scan::{self, Next, Scan};
use crate::attempt::Position;

/// A frame that takes the place of damage is no larger, so that none needs much memory.
const MOST_GAP: u64 = 1 << 20;

/// Something that was durable and cannot be read any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The file, from the journal's folder on.
    pub file: String,
    /// The first byte.
    pub at: u64,
    /// The byte behind the last.
    pub to: u64,
    /// The positions that are lost with it: the first and the last. None, if no record was there.
    pub lost: Option<(u64, u64)>,
    /// What is wrong.
    pub why: String,
}

/// What a crash has left of a write that nobody was told of. It is passed over, and nothing is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Torn {
    /// The file, from the journal's folder on.
    pub file: String,
    /// From this byte on.
    pub at: u64,
}

/// Bytes that are to be written into a file: these, and zeros behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Patch {
    pub(super) at: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) zeros: u64,
}

impl Patch {
    pub(super) fn end(&self) -> u64 {
        self.at + self.bytes.len() as u64 + self.zeros
    }
}

/// What a log is made of.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) segments: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// The first and the last record.
    pub(super) span: Option<(Position, Position)>,
    /// When the newest frame was written, in microseconds since 1970.
    pub(super) time: i64,
    /// No position was ever given at or above it.
    pub(super) above: Position,
    pub(super) torn: Vec<Torn>,
    /// Files that were never used, or are not any more.
    pub(super) unused: Vec<String>,
    pub(super) damage: Vec<Damage>,
    /// How each damaged file can be made whole again, without what cannot be read.
    pub(super) patches: BTreeMap<String, Vec<Patch>>,
    /// Files of which nothing can be read.
    pub(super) hopeless: Vec<String>,
}

/// What there is, from the oldest to the newest.
pub(super) enum Seen<'a> {
    /// A frame.
    Frame(&'a Head, &'a [u8]),
    /// Something is missing here.
    Lost(&'a Damage),
    /// A segment ends. Frames that are no whole batch do not count, if it is the newest.
    End,
}

/// How far a segment goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It is the newest: to the last whole batch.
    Newest,
    /// So far and with this last record, as the next one says.
    Said(u64, Position),
    /// That is not known: as far as there are records below this one.
    Below(Position),
}

/// A segment of the chain.
struct Link {
    base: Position,
    name: String,
    salt: u64,
    created: i64,
    /// What its header says of the one before; nothing, if it cannot be read.
    before: Option<Option<Before>>,
    end: End,
    /// Its header must be written anew, since it is damaged or names a file that is not there.
    anew: bool,
}

/// How a file looks at its beginning.
enum Look {
    /// It is a segment's.
    Link(Link),
    /// It was never used.
    Vain,
    /// What it held cannot be read.
    Hopeless(String, u64),
}

struct Looking<'a> {
    disk: &'a dyn Disk,
    /// The folder's name, for messages.
    folder: &'a str,
    log: u16,
    /// Whether it may be that what was written is not durable.
    lenient: bool,
    bases: Vec<Position>,
    /// Newest first.
    chain: Vec<Link>,
    out: Survey,
    /// What was found before anything was read, by the base of the segment that it comes before.
    early: BTreeMap<Position, Vec<Damage>>,
}

/// Looks through a log. `is_sound` says whether a frame holds what this log's frames do; `visit` whether to go on.
///
/// # Errors
/// Something cannot be read, or is of a newer version.
pub(super) fn survey(
    disk: &Arc<dyn Disk>,
    folder: &str,
    log: u16,
    is_sound: fn(&Head, &[u8]) -> bool,
    visit: &mut dyn FnMut(Seen<'_>) -> bool,
) -> Result<Survey, LogError> {
    let names = disk.names().map_err(failed("list", folder))?;
    let mut bases: Vec<_> = names.iter().filter_map(|name| segment_base(name)).collect();
    bases.sort_unstable();
    let mut looking = Looking {
        disk: &**disk,
        folder,
        log,
        lenient: log == super::parts::OUTCOMES,
        bases,
        chain: Vec::new(),
        out: Survey { time: i64::MIN, ..Survey::default() },
        early: BTreeMap::new(),
    };
    looking.find_chain()?;
    looking.read(is_sound, visit)?;
    Ok(looking.out)
}

impl Looking<'_> {
    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    fn open(&self, name: &str) -> Result<Box<dyn File>, LogError> {
        self.disk.open(name).map_err(failed("open", &self.file(name)))
    }

    /// Looks at the beginning of a segment's file.
    fn look(&mut self, base: Position, end: End) -> Result<Look, LogError> {
        let name = segment_name(base);
        let shown = self.file(&name);
        let file = self.open(&name)?;
        let length = file.len().map_err(failed("look at", &shown))?;
        let link = |salt, created, before, anew| {
            let name = segment_name(base);
            Look::Link(Link { base, name, salt, created, before, end, anew })
        };
        let mut newer = None;
        let why = match scan::header(&*file).map_err(failed("read", &shown))? {
            Ok(header) if header.base == base && header.log == self.log => {
                return Ok(link(header.salt, header.created, Some(header.before), false));
            }
            Err(error @ HeaderError::Newer(_)) => {
                let mut header = [0; HEADER];
                file.read_at(&mut header, 0).map_err(failed("read", &shown))?;
                if Header::is_whole(&header) {
                    return Err(LogError::Foreign { name: shown, error });
                }
                // A bit of the version may have turned over, if what follows is of this one.
                let why = format!("its header is damaged, or {error}");
                newer = Some(error);
                why
            }
            // Blanked to be written over, or never written to its end.
            _ if length <= HEADER as u64 || scan::is_blank(&*file).map_err(failed("read", &shown))? => {
                return Ok(Look::Vain);
            }
            Ok(header) => format!("its header is that of {} of log {}", segment_name(header.base), header.log),
            Err(error) => error.to_string(),
        };
        // Every frame begins with the salt.
        let mut salt = [0; 8];
        file.read_at(&mut salt, HEADER as u64).map_err(failed("read", &shown))?;
        let salt = u64::from_le_bytes(salt);
        let first = Scan::new(&*file, salt, HEADER as u64, length).next().map_err(failed("read", &shown))?;
        // A lower position is that of a frame which was in the file before.
        let head = if let Next::Frame(_, head) = first { Some(head) } else { None };
        let Some(head) = head.filter(|head| head.first >= base) else {
            return match newer {
                Some(error) => Err(LogError::Foreign { name: shown, error }),
                None => Ok(Look::Hopeless(why, length)),
            };
        };
        let damage = Damage { file: shown, at: 0, to: HEADER as u64, lost: None, why };
        self.early.entry(base).or_default().push(damage);
        Ok(link(salt, head.time, None, true))
    }

    /// Whether a segment that is the newest, or not said to be in the chain, holds no batch.
    fn is_vain(&self, link: &Link) -> Result<bool, LogError> {
        let shown = self.file(&link.name);
        let file = self.open(&link.name)?;
        let length = file.len().map_err(failed("look at", &shown))?;
        let mut scan = Scan::new(&*file, link.salt, HEADER as u64, length);
        loop {
            match scan.next().map_err(failed("read", &shown))? {
                Next::Frame(_, head) if head.flags & LAST > 0 => return Ok(false),
                Next::Frame(..) => {}
                Next::Bad(bad) => return Ok(scan.testifies(bad).map_err(failed("read", &shown))?.is_none()),
                Next::End => return Ok(true),
            }
        }
    }

    fn hopeless(&mut self, base: Position, why: String, length: u64, last: Position) {
        let name = segment_name(base);
        let why = format!("nothing of it can be read: {why}");
        let lost = (base <= last).then_some((base.0, last.0));
        let damage = Damage { file: self.file(&name), at: 0, to: length, lost, why };
        self.early.entry(base).or_default().push(damage);
        self.out.above = self.out.above.max(Position(last.0.saturating_add(1)));
        self.out.hopeless.push(name);
    }

    /// The newest file at hand that holds something.
    fn next_lower(&mut self, end: End) -> Result<Option<Link>, LogError> {
        while let Some(base) = self.bases.pop() {
            match self.look(base, end)? {
                Look::Link(link) => {
                    if !self.is_vain(&link)? {
                        return Ok(Some(link));
                    }
                    if link.anew {
                        // Nothing is lost with it, but no router opens a journal with such a file.
                        self.out.above = self.out.above.max(Position(base.0.saturating_add(1)));
                        self.out.hopeless.push(link.name);
                    } else {
                        self.out.unused.push(self.file(&link.name));
                    }
                }
                Look::Vain => self.out.unused.push(self.file(&segment_name(base))),
                Look::Hopeless(why, length) => {
                    let last = match end {
                        // A record takes more than a byte.
                        End::Newest => Position(base.0.saturating_add(length)),
                        End::Said(_, last) => last,
                        End::Below(limit) => Position(limit.0.saturating_sub(1)),
                    };
                    self.hopeless(base, why, length, last);
                }
            }
        }
        Ok(None)
    }

    /// Follows what each segment says of the one before, and goes on where that is not known.
    fn find_chain(&mut self) -> Result<(), LogError> {
        let Some(newest) = self.next_lower(End::Newest)? else { return Ok(()) };
        self.chain.push(newest);
        loop {
            let Some(above) = self.chain.last() else { return Ok(()) };
            let (base, before) = (above.base, above.before);
            let next = match before {
                Some(None) => {
                    let unused: Vec<_> = self.bases.drain(..).map(segment_name).collect();
                    let unused: Vec<_> = unused.iter().map(|name| self.file(name)).collect();
                    self.out.unused.extend(unused);
                    return Ok(());
                }
                Some(Some(Before { base: wanted, end, last })) => {
                    while self.bases.last().is_some_and(|newest| *newest > wanted) {
                        // What lies between two segments of the chain is one that was begun in vain.
                        let name = self.bases.pop().map(segment_name).unwrap_or_default();
                        self.out.unused.push(self.file(&name));
                    }
                    if self.bases.last() == Some(&wanted) {
                        self.bases.pop();
                        match self.look(wanted, End::Said(end, last))? {
                            Look::Link(link) => Some(link),
                            Look::Vain => {
                                self.hopeless(wanted, "it ends before its header does".to_owned(), 0, last);
                                None
                            }
                            Look::Hopeless(why, length) => {
                                self.hopeless(wanted, why, length, last);
                                None
                            }
                        }
                    } else {
                        // The oldest go first: if there is none that is older, it was let go.
                        let Some(older) = self.next_lower(End::Below(wanted))? else { return Ok(()) };
                        let lost = (wanted <= last).then_some((wanted.0, last.0));
                        let file = self.file(&segment_name(wanted));
                        let damage = Damage { file, at: 0, to: end, lost, why: "the file is missing".to_owned() };
                        self.early.entry(wanted).or_default().push(damage);
                        Some(older)
                    }
                }
                None => None,
            };
            // Where the header does not say which one comes before, or says what is not so, it is written anew.
            let is_said = matches!((before, &next), (Some(Some(said)), Some(link)) if said.base == link.base);
            let next = match next {
                Some(link) => Some(link),
                None => self.next_lower(End::Below(base))?,
            };
            if let Some(above) = self.chain.last_mut() {
                above.anew |= !is_said;
            }
            match next {
                Some(link) => self.chain.push(link),
                None => return Ok(()),
            }
        }
    }

    /// Reads all, from the oldest on.
    fn read(
        &mut self,
        is_sound: fn(&Head, &[u8]) -> bool,
        visit: &mut dyn FnMut(Seen<'_>) -> bool,
    ) -> Result<(), LogError> {
        let mut before: Option<Before> = None;
        while let Some(link) = self.chain.pop() {
            let early = std::mem::take(&mut self.early);
            let (now, later) = early.into_iter().partition(|(base, _)| *base <= link.base);
            self.early = later;
            for damage in BTreeMap::into_values(now).flatten() {
                if !visit(Seen::Lost(&damage)) {
                    return Ok(());
                }
                self.out.damage.push(damage);
            }
            if link.anew {
                let Link { base, salt, created, .. } = link;
                let header = Header { log: self.log, salt, base, created, before };
                let patch = Patch { at: 0, bytes: header.encode().to_vec(), zeros: 0 };
                self.out.patches.entry(link.name.clone()).or_default().push(patch);
            }
            let Some((end, last)) = self.read_segment(&link, is_sound, visit)? else { return Ok(()) };
            before = Some(Before { base: link.base, end, last });
            self.out.segments += 1;
            self.out.bytes += end;
            if !visit(Seen::End) {
                return Ok(());
            }
        }
        // What cannot be read at the new end has no segment behind it.
        for damage in std::mem::take(&mut self.early).into_values().flatten() {
            if !visit(Seen::Lost(&damage)) {
                return Ok(());
            }
            self.out.damage.push(damage);
        }
        Ok(())
    }

    /// Reads a segment: how far it goes and what its last record is, unless that is enough.
    fn read_segment(
        &mut self,
        link: &Link,
        is_sound: fn(&Head, &[u8]) -> bool,
        visit: &mut dyn FnMut(Seen<'_>) -> bool,
    ) -> Result<Option<(u64, Position)>, LogError> {
        let shown = self.file(&link.name);
        let file = self.open(&link.name)?;
        let length = file.len().map_err(failed("look at", &shown))?;
        let read = || failed("read", &shown);
        let last = Position(link.base.0.saturating_sub(1));
        let mut segment = Reading { end: HEADER as u64, last, pending: 0, torn: false };
        let to = if let End::Said(end, _) = link.end { end } else { length };
        let mut expected = link.base;
        let mut scan = Scan::new(&*file, link.salt, HEADER as u64, to);
        loop {
            let (bad, next, why) = match scan.next().map_err(read())? {
                Next::End => break,
                Next::Frame(at, head) => {
                    if let End::Below(limit) = link.end
                        && head.count > 0
                        && head.first >= limit
                    {
                        // Of a write that was refused, and repeated in the next segment.
                        break;
                    }
                    if is_sound(&head, scan.payload()) {
                        expected = expected.max(Position(head.last().0.saturating_add(1)));
                        segment.take(&head, scan.at(), &mut self.out);
                        if !visit(Seen::Frame(&head, scan.payload())) {
                            return Ok(None);
                        }
                        continue;
                    }
                    let next = Position(head.last().0.saturating_add(1));
                    (at, Some((scan.at(), next)), "it holds what no router writes".to_owned())
                }
                Next::Bad(bad) => {
                    let may_be_torn = match link.end {
                        End::Newest => true,
                        End::Said(..) => self.lenient,
                        // Positions are given without gaps, for the most part.
                        End::Below(limit) => self.lenient || expected >= limit,
                    };
                    let mut behind = Scan::new(&*file, link.salt, bad, to);
                    if may_be_torn && behind.testifies(bad).map_err(read())?.is_none() {
                        segment.torn = behind.is_torn();
                        break;
                    }
                    let found = Scan::new(&*file, link.salt, bad, to).find(bad, |_| true).map_err(read())?;
                    let why =
                        if bad >= length { "the file ends here" } else { "what was durable is no frame any more" };
                    (bad, found.map(|(at, head)| (at, head.first)), why.to_owned())
                }
            };
            // What is lost ends where the next frame begins, or with the segment.
            let (behind, next) = next.unwrap_or_else(|| match link.end {
                End::Said(end, last) => (end, Position(last.0.saturating_add(1))),
                End::Below(limit) => (to, limit),
                End::Newest => (to, expected),
            });
            let lost = (expected < next).then(|| (expected.0, next.0 - 1));
            let damage = Damage { file: shown.clone(), at: bad, to: behind, lost, why };
            let time = self.out.time.max(link.created);
            let patches = self.out.patches.entry(link.name.clone()).or_default();
            patches.extend(fill(link.salt, bad, behind, next, time));
            expected = expected.max(next);
            segment.pass(behind, expected, &mut self.out);
            if !visit(Seen::Lost(&damage)) {
                return Ok(None);
            }
            self.out.damage.push(damage);
            scan = Scan::new(&*file, link.salt, behind, to);
        }
        if let End::Below(limit) = link.end
            && expected < limit
            && !self.lenient
        {
            let lost = Some((expected.0, limit.0 - 1));
            let why = "records are missing at its end".to_owned();
            let damage = Damage { file: shown.clone(), at: segment.end, to: segment.end, lost, why };
            if !visit(Seen::Lost(&damage)) {
                return Ok(None);
            }
            self.out.damage.push(damage);
        }
        self.out.above = self.out.above.max(expected);
        if link.end == End::Newest && (scan.at() > segment.end || segment.torn) {
            self.out.torn.push(Torn { file: shown, at: segment.end });
        }
        Ok(Some(match link.end {
            End::Said(end, last) => (end, last),
            _ => (segment.end, segment.last),
        }))
    }
}

/// How far a segment has been read.
struct Reading {
    /// Where its last whole batch ends, and its last record.
    end: u64,
    last: Position,
    /// Records that are no whole batch yet.
    pending: u64,
    /// Something of a frame lies behind its end.
    torn: bool,
}

impl Reading {
    fn take(&mut self, head: &Head, end: u64, out: &mut Survey) {
        self.pending += u64::from(head.count);
        out.time = out.time.max(head.time);
        if head.count > 0 {
            let first = out.span.map_or(head.first, |(first, _)| first);
            out.span = Some((first, head.last()));
        }
        if head.flags & LAST > 0 {
            self.pass(end, Position(head.last().0.saturating_add(1)), out);
        }
    }

    /// All before counts.
    fn pass(&mut self, end: u64, next: Position, out: &mut Survey) {
        out.records += std::mem::take(&mut self.pending);
        self.end = end;
        self.last = self.last.max(Position(next.0.saturating_sub(1)));
    }
}

/// Frames that take the place of what cannot be read. The next record after them has that position.
fn fill(salt: u64, mut at: u64, to: u64, next: Position, time: i64) -> Vec<Patch> {
    let head = Head { kind: GAP, flags: LAST, count: 0, first: next, synced: HEADER as u32, time };
    let mut patches: Vec<Patch> = Vec::new();
    while at + HEAD as u64 <= to {
        let mut part = (to - at).min(MOST_GAP);
        let rest = to - at - part;
        if rest > 0 && rest < HEAD as u64 {
            part -= HEAD as u64;
        }
        let zeros = part - HEAD as u64;
        let bytes = match patches.last() {
            // Where a long file is cut off, there are many of them.
            Some(last) if last.zeros == zeros => last.bytes.clone(),
            _ => {
                let mut bytes = Vec::new();
                let made = head.encode(salt, &mut bytes, |out| out.resize(part as usize, 0));
                if made.is_err() {
                    break;
                }
                bytes.truncate(HEAD);
                bytes.shrink_to_fit();
                bytes
            }
        };
        patches.push(Patch { at, bytes, zeros });
        at += part;
    }
    patches
}
