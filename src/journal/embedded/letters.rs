//! The log of dead letters: letters, and words that letters are gone. Which of them count is known in memory.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::disk::Disk;
use super::engine::blocking;
use super::keeper::Note;
use super::log::{Durability, Frames, Log, LogError, Options, Reader, Segments};
use super::parts::LETTERS;
use super::state::{Harm, micros};
use super::{frame::Head, writer};
use crate::attempt::{Position, Reason, Target};
use crate::event::Event;
use crate::event::stored::{read_number, read_signed, read_text, write_number, write_signed, write_text};
use crate::journal::letters::full;
use crate::journal::{DeadLetter, DeadLetters, Entry, JournalError, LetterId, LettersPlace};

/// Kinds of frames, of one record each.
pub(super) const LETTER: u8 = 1;
pub(super) const GONE: u8 = 2;

/// A file is no larger.
const SEGMENT_BYTES: u64 = 4 << 20;

/// So many letters are read at once.
const PAGE: usize = 256;

/// Where a letter is, and how many bytes it takes there.
#[derive(Clone, Copy, Debug)]
struct Place {
    record: Position,
    bytes: u64,
}

/// The letters that count.
#[derive(Debug, Default)]
struct Index {
    places: BTreeMap<LetterId, Place>,
    bytes: u64,
}

impl Index {
    fn insert(&mut self, id: LetterId, place: Place) {
        self.bytes += place.bytes;
        if let Some(before) = self.places.insert(id, place) {
            self.bytes -= before.bytes;
        }
    }

    fn remove(&mut self, id: &LetterId) -> bool {
        let Some(place) = self.places.remove(id) else { return false };
        self.bytes -= place.bytes;
        true
    }
}

type Shared = Arc<Mutex<Index>>;

fn lock(index: &Shared) -> MutexGuard<'_, Index> {
    index.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_id(out: &mut Vec<u8>, LetterId { position, processor, target }: &LetterId) {
    write_number(out, position.0);
    write_text(out, processor);
    write_text(out, target.as_str());
}

pub(super) fn read_id(bytes: &mut &[u8]) -> Option<LetterId> {
    let position = Position(read_number(bytes)?);
    let processor = read_text(bytes)?.into();
    Some(LetterId { position, processor, target: Target::new(read_text(bytes)?) })
}

fn write(frames: &mut Frames, letter: &DeadLetter) {
    frames.push(LETTER, 1, true, |out| {
        write_id(out, &letter.id());
        write_number(out, letter.attempts.into());
        write_number(out, letter.why.status.unwrap_or(0).into());
        write_text(out, &letter.why.text);
        write_signed(out, micros(letter.since));
        write_text(out, letter.entry.event.stream());
        letter.entry.event.store(out);
    });
}

pub(super) fn read(payload: &[u8]) -> Option<DeadLetter> {
    let mut bytes = payload;
    let LetterId { position, processor, target } = read_id(&mut bytes)?;
    let attempts = u32::try_from(read_number(&mut bytes)?).ok()?;
    let status = u16::try_from(read_number(&mut bytes)?).ok()?;
    let why = Reason { status: (status > 0).then_some(status), text: read_text(&mut bytes)?.to_owned() };
    let since = read_signed(&mut bytes)?;
    let since = Duration::from_micros(since.unsigned_abs());
    let since = SystemTime::UNIX_EPOCH.checked_add(since)?;
    let stream = read_text(&mut bytes)?.into();
    let mut rest = Bytes::copy_from_slice(bytes);
    let event = Event::restore(&mut rest, &stream)?;
    rest.is_empty().then_some(DeadLetter { processor, target, entry: Entry { position, event }, attempts, why, since })
}

/// The hand that writes letters.
pub(super) struct Letters {
    log: Log,
    index: Shared,
    reader: Reader,
    max_bytes: u64,
}

/// What is to be written, and who waits for it.
pub(super) enum Wish {
    Keep(Box<DeadLetter>, oneshot::Sender<Result<(), JournalError>>),
    Discard(Vec<LetterId>, oneshot::Sender<Result<usize, JournalError>>),
}

impl Wish {
    /// It cannot be granted.
    pub(super) fn refuse(self, error: &JournalError) {
        // Whoever asked may have gone.
        match self {
            Self::Keep(_, answer) => drop(answer.send(Err(error.clone()))),
            Self::Discard(_, answer) => drop(answer.send(Err(error.clone()))),
        }
    }
}

impl Letters {
    /// Opens the log, and finds the letters that count.
    pub(super) fn open(disk: &Arc<dyn Disk>, max_bytes: u64) -> Result<(Self, EmbeddedLetters), LogError> {
        let options = Options {
            log: LETTERS,
            segment_bytes: SEGMENT_BYTES.min(max_bytes / 4).max(1024),
            durability: Durability::Each,
            recycle: false,
        };
        let (log, notices) = Log::open(Arc::clone(disk), options, Position(0), &mut |_| {})?;
        super::parts::say(notices);
        let mut index = Index::default();
        let mut strange = None;
        let mut reader = Reader::new(Arc::clone(disk), log.segments());
        reader.read(Position(0), &mut |head, payload| {
            let found = read_id(&mut &payload[..]);
            match found {
                Some(id) if head.kind == LETTER => {
                    index.insert(id, Place { record: head.first, bytes: payload.len() as u64 });
                }
                Some(id) => drop(index.remove(&id)),
                None => strange = Some(head.first),
            }
            strange.is_none()
        })?;
        if let Some(record) = strange {
            let why = format!("record {record} is no letter");
            return Err(LogError::Damaged { name: "the log of dead letters".to_owned(), at: 0, why });
        }
        let index = Arc::new(Mutex::new(index));
        let view = EmbeddedLetters {
            index: Arc::clone(&index),
            disk: Arc::clone(disk),
            segments: log.segments(),
            notes: None,
            damaged: None,
            harm: None,
        };
        Ok((Self { log, index, reader, max_bytes }, view))
    }

    /// The highest place of an event that there is a letter of.
    pub(super) fn highest(&self) -> Position {
        lock(&self.index).places.last_key_value().map_or(Position(0), |(id, _)| id.position)
    }

    /// Lets a processor's letters be those of another one, or lets them go. Says how many there were.
    ///
    /// # Errors
    /// Some cannot be read or written; the rest is as it was.
    pub(super) fn give(&mut self, from: &str, to: Option<&Arc<str>>, time: i64) -> Result<usize, LogError> {
        let mut of: Vec<(Position, LetterId)> = {
            let index = lock(&self.index);
            let of = index.places.iter().filter(|(id, _)| &*id.processor == from);
            of.map(|(id, place)| (place.record, id.clone())).collect()
        };
        of.sort();
        for (record, id) in &of {
            let mut letter = None;
            if to.is_some() {
                self.reader.read(Position(record.0 - 1), &mut |head, payload| {
                    letter = read(payload).filter(|_| head.first == *record);
                    false
                })?;
            }
            let renamed = letter.zip(to).map(|(letter, to)| DeadLetter { processor: Arc::clone(to), ..letter });
            let mut place = None;
            self.log.append(time, &mut |_| {}, &mut |frames| {
                if let Some(letter) = &renamed {
                    let (record, before) = (frames.next(), frames.bytes());
                    write(frames, letter);
                    place = Some(Place { record, bytes: (frames.bytes() - before) as u64 });
                }
                frames.push(GONE, 1, true, |out| write_id(out, id));
            })?;
            let mut index = lock(&self.index);
            index.remove(id);
            if let Some((letter, place)) = renamed.zip(place) {
                index.insert(letter.id(), place);
            }
        }
        Ok(of.len())
    }

    /// Says that no more will come.
    pub(super) fn attest(&mut self, time: i64) {
        self.log.attest(time);
    }

    /// Does what is wished, together and at once.
    pub(super) fn grant(&mut self, wishes: Vec<Wish>, time: i64) {
        let mut granted = Vec::new();
        let mut bytes = self.log.segments().bytes().min(lock(&self.index).bytes);
        for wish in wishes {
            match wish {
                Wish::Keep(letter, answer) => {
                    let size = letter.entry.event.size() as u64;
                    if bytes + size > self.max_bytes && bytes > 0 {
                        drop(answer.send(Err(full(bytes, self.max_bytes))));
                        continue;
                    }
                    bytes += size;
                    granted.push(Wish::Keep(letter, answer));
                }
                other => granted.push(other),
            }
        }
        if granted.is_empty() {
            return;
        }
        let mut kept = Vec::new();
        let written = self.log.append(time, &mut |_| {}, &mut |frames| {
            kept.clear();
            for wish in &granted {
                match wish {
                    Wish::Keep(letter, _) => {
                        let (record, before) = (frames.next(), frames.bytes());
                        write(frames, letter);
                        kept.push((letter.id(), Some(Place { record, bytes: (frames.bytes() - before) as u64 })));
                    }
                    Wish::Discard(ids, _) => {
                        for id in ids {
                            frames.push(GONE, 1, true, |out| write_id(out, id));
                            kept.push((id.clone(), None));
                        }
                    }
                }
            }
        });
        let error = written.err().map(|error| writer::told(&error));
        let mut gone = std::collections::BTreeSet::new();
        if error.is_none() {
            let mut index = lock(&self.index);
            for (id, place) in kept {
                match place {
                    Some(place) => index.insert(id, place),
                    None => {
                        if index.remove(&id) {
                            gone.insert(id);
                        }
                    }
                }
            }
        }
        for wish in granted {
            match wish {
                Wish::Keep(_, answer) => drop(answer.send(error.clone().map_or(Ok(()), Err))),
                Wish::Discard(ids, answer) => {
                    let count = ids.iter().filter(|id| gone.remove(*id)).count();
                    drop(answer.send(error.clone().map_or(Ok(count), Err)));
                }
            }
        }
        if error.is_none()
            && let Err(error) = self.compact(time)
        {
            tracing::warn!(%error, "the log of dead letters cannot be tidied yet");
        }
    }

    /// Lets go of the oldest file where most of what there is does not count any more. What counts of it goes to the
    /// end before.
    fn compact(&mut self, time: i64) -> Result<(), LogError> {
        loop {
            let live = lock(&self.index).bytes;
            let segments = self.log.segments();
            let Some(through) = segments.oldest_through() else { return Ok(()) };
            let begin = segments.before_first().unwrap_or_default();
            if segments.bytes() < 2 * live + 2 * SEGMENT_BYTES.min(self.max_bytes / 4) {
                return Ok(());
            }
            let mut letters = Vec::new();
            let counts: BTreeMap<Position, LetterId> = {
                let index = lock(&self.index);
                let old = index.places.iter().filter(|(_, place)| place.record <= through);
                old.map(|(id, place)| (place.record, id.clone())).collect()
            };
            if !counts.is_empty() {
                self.reader.read(begin, &mut |head: &Head, payload| {
                    if head.first <= through && counts.contains_key(&head.first) {
                        letters.extend(read(payload));
                    }
                    head.first < through
                })?;
            }
            let mut moved = Vec::new();
            if !letters.is_empty() {
                self.log.append(time, &mut |_| {}, &mut |frames| {
                    moved.clear();
                    for letter in &letters {
                        let (record, before) = (frames.next(), frames.bytes());
                        write(frames, letter);
                        moved.push((letter.id(), Place { record, bytes: (frames.bytes() - before) as u64 }));
                    }
                })?;
                let mut index = lock(&self.index);
                moved.into_iter().for_each(|(id, place)| index.insert(id, place));
            }
            if self.log.trim(through, |_| false)?.is_none() {
                return Ok(());
            }
        }
    }
}

/// Where letters are asked for.
pub(super) struct EmbeddedLetters {
    index: Shared,
    disk: Arc<dyn Disk>,
    segments: Segments,
    notes: Option<Sender<Note>>,
    /// Why they cannot be used.
    damaged: Option<JournalError>,
    /// Where damage is noted.
    harm: Option<Arc<Harm>>,
}

impl EmbeddedLetters {
    /// Letters that cannot be used: nobody knows which there are.
    pub(super) fn damaged(disk: &Arc<dyn Disk>, error: JournalError) -> Self {
        Self {
            index: Shared::default(),
            disk: Arc::clone(disk),
            segments: Segments::default(),
            notes: None,
            damaged: Some(error),
            harm: None,
        }
    }

    pub(super) fn told_by(mut self, notes: Sender<Note>, harm: Arc<Harm>) -> Self {
        self.notes = Some(notes);
        self.harm = Some(harm);
        self
    }

    pub(super) fn segments(&self) -> Segments {
        self.segments.clone()
    }

    async fn wish<T>(
        &self,
        wish: impl FnOnce(oneshot::Sender<Result<T, JournalError>>) -> Wish,
    ) -> Result<T, JournalError> {
        let (answer, answered) = oneshot::channel();
        let notes = self.notes.as_ref().ok_or(JournalError::Closed)?;
        notes.send(Note::Letters(wish(answer))).map_err(|_| JournalError::Closed)?;
        answered.await.unwrap_or(Err(JournalError::Closed))
    }

    fn reader(&self) -> Result<Reader, JournalError> {
        match &self.damaged {
            Some(error) => Err(error.clone()),
            None => Ok(Reader::new(Arc::clone(&self.disk), self.segments.clone())),
        }
    }

    fn noted<T>(&self, read: Result<T, JournalError>) -> Result<T, JournalError> {
        if let (Err(error), Some(harm)) = (&read, &self.harm) {
            harm.note(error);
        }
        read
    }
}

#[async_trait]
impl DeadLetters for EmbeddedLetters {
    async fn keep(&self, letter: DeadLetter) -> Result<(), JournalError> {
        self.wish(|answer| Wish::Keep(Box::new(letter), answer)).await
    }

    async fn discard(&self, letters: Vec<LetterId>) -> Result<usize, JournalError> {
        self.wish(|answer| Wish::Discard(letters, answer)).await
    }

    async fn read(&self, after: LettersPlace) -> Result<(Vec<DeadLetter>, LettersPlace), JournalError> {
        let (mut reader, index) = (self.reader()?, Arc::clone(&self.index));
        let read = blocking(move || {
            let mut letters = Vec::new();
            let mut last = after;
            let found = reader.read(Position(after.0), &mut |head, payload| {
                last = LettersPlace(head.first.0);
                let counts = |id| lock(&index).places.get(&id).is_some_and(|place| place.record == head.first);
                if head.kind == LETTER && read_id(&mut &payload[..]).is_some_and(counts) {
                    letters.extend(read(payload));
                }
                letters.len() < PAGE
            });
            found.map_err(|error| writer::told_of("letters", error))?;
            Ok((letters, last))
        });
        self.noted(read.await)
    }

    fn ids(&self) -> Vec<LetterId> {
        lock(&self.index).places.keys().cloned().collect()
    }

    async fn get(&self, letter: &LetterId) -> Result<Option<DeadLetter>, JournalError> {
        if let Some(error) = &self.damaged {
            return Err(error.clone());
        }
        let place = lock(&self.index).places.get(letter).copied();
        let Some(Place { record, .. }) = place else { return Ok(None) };
        let mut reader = self.reader()?;
        let read = blocking(move || {
            let mut letter = None;
            let found = reader.read(Position(record.0 - 1), &mut |head, payload| {
                letter = read(payload).filter(|_| head.first == record);
                false
            });
            found.map_err(|error| writer::told_of("letters", error))?;
            Ok(letter)
        });
        self.noted(read.await)
    }

    fn held(&self) -> (u64, u64) {
        let index = lock(&self.index);
        (index.places.len() as u64, index.bytes)
    }
}
