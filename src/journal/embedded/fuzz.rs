//! Arbitrary bytes as the files of a journal: for the programs in `fuzz/`, and for a test that keeps them alive.
//!
//! Whatever they are, the journal is opened or says why not, and what is read from it is what a look from outside finds.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::disk::Disk;
use super::disk::simulated::Simulated;
use super::inspect::{self, Which};
use super::log::{Reader, segment_name};
use super::parts::{Disks, Parts};
use super::state::Settings;
use super::survey::{Seen, survey};
use super::{batch, cursor, frame, letters, outcomes, place, writer};
use crate::attempt::Position;
use crate::event::Event;
use crate::journal::{Batch, CursorState, JournalError};

/// No input has more files.
const MOST_FILES: usize = 4;

/// The bytes are files of the log of events. The first one says whether their checksums are made right.
pub fn segment(data: &[u8]) {
    let Some((how, data)) = data.split_first() else { return };
    let disk = Simulated::default();
    let right = how & 1 > 0;
    put_segments(&disk, "events/", data, right);
    look_and_open(&disk, !right);
}

/// The same of any other file: the first byte says which as well.
pub fn other(data: &[u8]) {
    let Some((how, data)) = data.split_first() else { return };
    let disk = Simulated::default();
    let right = how & 1 > 0;
    match how >> 1 & 3 {
        0 => put_segments(&disk, "outcomes/", data, right),
        1 => put_segments(&disk, "letters/", data, right),
        twice => {
            let mut data = data.to_vec();
            if right {
                place::set_right(&mut data);
            }
            let stem = place::stem(&place::name_in(&data).unwrap_or_default());
            for file in place::files(&stem).iter().take(usize::from(twice) - 1) {
                put(&disk, &format!("places/{file}"), &data);
            }
        }
    }
    look_and_open(&disk, !right);
}

fn put(disk: &Simulated, name: &str, bytes: &[u8]) {
    // Two of the same name are one file.
    if let Ok(file) = disk.create(name) {
        drop(file.write_at(bytes, 0).and_then(|()| file.sync()));
    }
}

/// Puts files there, each of which begins as segments do, but for the first.
fn put_segments(disk: &Simulated, folder: &str, data: &[u8], right: bool) {
    let mut begins: Vec<_> = memchr::memmem::find_iter(data, &frame::MAGIC).filter(|at| *at > 0).collect();
    begins.truncate(MOST_FILES - 1);
    begins.insert(0, 0);
    begins.push(data.len());
    for part in begins.windows(2) {
        let mut bytes = data[part[0]..part[1]].to_vec();
        if right {
            frame::set_right(&mut bytes);
        }
        let base = bytes.get(20..28).and_then(|base| base.first_chunk()).map_or(1, |base| u64::from_le_bytes(*base));
        put(disk, &format!("{folder}{}", segment_name(Position(base))), &bytes);
    }
}

/// Events by position, with their bytes.
type Events = BTreeMap<u64, Bytes>;

/// What a look from outside finds of events; none, if something is damaged or of a newer version.
fn look(disk: &Simulated) -> Option<Events> {
    let mut events = Events::new();
    let mut whole = true;
    for which in Which::ALL {
        let folder: Arc<dyn Disk> = Arc::new(folder(disk, which.name()));
        let mut waiting = Events::new();
        let looked = survey(&folder, which.name(), which.number(), which.is_sound(), &mut |seen| {
            match seen {
                Seen::Frame(head, payload) => {
                    drop(inspect::records(which, head, payload));
                    if which == Which::Events
                        && let Some(part) = batch::read(payload, head.count, |name| name.into())
                    {
                        waiting.extend((head.first.0..).zip(part.events.iter().map(Event::json)));
                    }
                    if head.flags & frame::LAST > 0 {
                        events.append(&mut waiting);
                    }
                }
                Seen::Lost(_) => whole = false,
                Seen::End => waiting.clear(),
            }
            true
        });
        whole &= looked.is_ok_and(|survey| survey.damage.is_empty());
    }
    let places: Arc<dyn Disk> = Arc::new(folder(disk, "places"));
    whole &= place::find(&places).is_ok_and(|found| found.broken.is_empty());
    whole.then_some(events)
}

fn folder(disk: &Simulated, name: &str) -> impl Disk {
    disk.folder(match name {
        "events" => "events/",
        "outcomes" => "outcomes/",
        "letters" => "letters/",
        _ => "places/",
    })
}

fn disks(disk: &Simulated) -> Disks {
    let [events, outcomes, places, letters] =
        ["events", "outcomes", "places", "letters"].map(|name| Arc::new(folder(disk, name)) as Arc<dyn Disk>);
    Disks { events, outcomes, places, letters }
}

/// Every event, as far as it can be read.
fn read(reader: &mut Reader) -> (Events, Result<(), String>) {
    let mut events = Events::new();
    let mut strange = None;
    let read = reader.read(Position(0), &mut |head, payload| {
        let part = batch::read(payload, head.count, |name| name.into());
        strange = part.is_none().then(|| format!("what lies at {} is no event", head.first));
        events.extend((head.first.0..).zip(part.into_iter().flat_map(|part| part.events).map(|event| event.json())));
        strange.is_none()
    });
    (events, read.map_err(|error| error.to_string()).and(strange.map_or(Ok(()), Err)))
}

fn is_told(error: &JournalError) -> bool {
    matches!(error, JournalError::Damaged(_) | JournalError::Io { .. })
}

/// Opens what is there, reads all, and goes on. Where checksums were not made right, what is read can be relied on.
fn look_and_open(disk: &Simulated, reliable: bool) {
    let whole = look(disk).filter(|_| reliable);
    let settings = Settings { max_bytes: 1 << 20, segment_bytes: 4096, ..Settings::default() };
    let mut parts = match Parts::open(&disks(disk), &settings) {
        Ok(parts) => parts,
        Err(error) => {
            assert!(is_told(&error), "{error}");
            assert!(whole.is_none(), "it looks whole, and cannot be opened: {error}");
            return;
        }
    };
    if let Err(error) = &parts.letters {
        assert!(is_told(error) && whole.is_none(), "letters look whole: {error}");
    }
    for (name, (_, state)) in &parts.places {
        let mut reader = Reader::lenient(disks(disk).outcomes, parts.outcomes.segments());
        drop(cursor::settled(&mut reader, i64::MIN, name, state));
    }
    let everything = CursorState::default();
    let mut reader = Reader::lenient(disks(disk).outcomes, parts.outcomes.segments());
    drop(cursor::settled(&mut reader, i64::MIN, "p", &everything));
    let mut reader = Reader::lenient(disks(disk).outcomes, parts.outcomes.segments());
    drop(reader.read(Position(0), &mut |head, payload| outcomes::read(payload, head.count).is_some()));
    let mut reader = Reader::new(disks(disk).letters, parts.view.segments());
    drop(reader.read(Position(0), &mut |_, payload| letters::read(payload).is_some()));

    let (before, end) = read(&mut Reader::new(disks(disk).events, parts.log.segments()));
    if let Some(whole) = &whole {
        assert!(end.is_ok(), "it looks whole, and cannot be read: {end:?}");
        assert!(before == *whole, "{before:?} is read, and {whole:?} is there");
    }
    // It is appended to, and told apart from what was there.
    let batch = Batch { stream: "new".into(), events: vec![new_event()], checkpoint: None };
    let mut position = Position(0);
    let appended = parts.log.append(
        1,
        &mut |frames| {
            parts.checkpoints.iter().for_each(|(name, checkpoint)| batch::write_checkpoint(frames, name, checkpoint));
        },
        &mut |frames| {
            position = frames.next();
            batch::write(frames, &batch);
        },
    );
    if let Err(error) = appended {
        assert!(is_told(&writer::told(&error)));
        return;
    }
    if !reliable {
        return;
    }
    assert!(before.last_key_value().is_none_or(|(last, _)| *last < position.0), "{position} is given twice");
    drop(parts);
    if end.is_ok() {
        let parts = Parts::open(&disks(disk), &settings).unwrap_or_else(|error| panic!("it does not go on: {error}"));
        let (mut after, end) = read(&mut Reader::new(disks(disk).events, parts.log.segments()));
        assert!(end.is_ok(), "{end:?}");
        assert!(after.remove(&position.0) == Some(new_event().json()), "what was appended is not read");
        assert!(after == before, "{after:?} is read, and {before:?} was");
    }
}

fn new_event() -> Event {
    let mut page = crate::event::PageBuilder::new("new".into(), "https://new.example", &[]);
    page.push(&crate::event::Attributes { id: "new", ..Default::default() }, b"{}");
    page.finish().remove(0)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::journal::embedded::specimen;

    /// So many inputs are made of each file.
    const INPUTS: usize = 40;

    /// Changes bytes as a fuzzer does, a few times.
    fn mutate(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
        for _ in 0..random.usize(1..5) {
            let at = random.usize(..=bytes.len());
            let length = random.usize(..64).min(bytes.len() - at);
            match random.u8(..8) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(at..at + length)),
                2 => {
                    let part = bytes[at..at + length].to_vec();
                    let to = random.usize(..=bytes.len());
                    bytes.splice(to..to, part);
                }
                3 => bytes[at..at + length].fill(*random.choice(&[0, 255]).unwrap()),
                4 => bytes[at..at + length].iter_mut().for_each(|byte| *byte = random.u8(..)),
                _ if length > 0 => bytes[at] ^= 1 << random.u8(..8),
                _ => {}
            }
        }
    }

    #[test]
    fn no_bytes_are_too_strange_for_a_journal() {
        let seed = std::env::var("FUZZ_SEED").ok().map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
        println!("FUZZ_SEED={seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journal/v1");
        let files = specimen::files(&folder);
        for (at, file) in files.iter().enumerate() {
            let text = file.to_str().unwrap();
            let mut whole = fs::read(folder.join(file)).unwrap();
            // Two that belong together, now and then.
            if let Some(next) = files.get(at + 1).filter(|next| next.parent() == file.parent()) {
                whole.extend(fs::read(folder.join(next)).unwrap());
            }
            let kind = if text.starts_with("outcomes") {
                0
            } else if text.starts_with("letters") {
                1
            } else {
                2
            };
            for input in 0..INPUTS {
                let mut data = whole.clone();
                if input > 1 {
                    mutate(&mut data, &mut random);
                }
                data.insert(0, input as u8 & 1 | (kind + input as u8 / 2 % 2 * u8::from(kind == 2)) << 1);
                println!("{text}, input {input}");
                if text.starts_with("events") {
                    segment(&data);
                } else {
                    other(&data);
                }
            }
        }
    }

    #[test]
    fn a_file_that_is_set_right_is_what_it_was() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journal/v1");
        for file in specimen::files(&folder) {
            let whole = fs::read(folder.join(&file)).unwrap();
            let (mut right, name) = (whole.clone(), file.to_str().unwrap());
            if name.ends_with(".cursor") {
                right[26] ^= 1;
                place::set_right(&mut right);
                right[26] ^= 1;
                place::set_right(&mut right);
            } else if name.ends_with(".log") {
                frame::set_right(&mut right);
                // Behind the last frame there may be something else.
                right.truncate(HEADER_AND_BEGIN);
            } else {
                continue;
            }
            assert!(whole.starts_with(&right), "{name}");
        }
    }

    /// A header, and the frame behind it.
    const HEADER_AND_BEGIN: usize = frame::HEADER + frame::HEAD;
}
