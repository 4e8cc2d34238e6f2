//! What the log of events holds: batches of events, each with the change to its stream's checkpoint, and the checkpoints
//! that a segment begins with.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::log::Frames;
use crate::event::Event;
use crate::event::stored::{read_number, read_part, read_signed, read_text, write_number, write_signed, write_text};
use crate::journal::{Batch, Checkpoint, CheckpointDelta, Recent};

/// Kinds of frames.
pub(super) const EVENTS: u8 = 1;
pub(super) const CHECKPOINT: u8 = 2;

/// A frame's events take no more, unless a single one does: a reader holds a whole frame as long as one of its events.
const MOST_BYTES: usize = 64 * 1024;
const MOST_EVENTS: usize = 4096;

/// There is a change to the checkpoint; it names the newest event.
const CHANGES: u8 = 1;
const NAMES_LAST: u8 = 2;

fn write_delta(out: &mut Vec<u8>, delta: Option<&CheckpointDelta>) {
    let Some(delta) = delta else {
        out.push(0);
        return;
    };
    out.push(CHANGES | if delta.last.is_some() { NAMES_LAST } else { 0 });
    out.extend_from_slice(delta.instance.as_bytes());
    out.extend_from_slice(&delta.filter.to_le_bytes());
    for time in [delta.resume, delta.newest, delta.horizon] {
        write_signed(out, time);
    }
    if let Some((key, created)) = delta.last {
        write_signed(out, key.into());
        write_signed(out, created);
    }
}

fn read_delta(bytes: &mut &[u8]) -> Option<Option<CheckpointDelta>> {
    let flags = read_part(bytes, 1)?[0];
    if flags & CHANGES == 0 {
        return Some(None);
    }
    let instance = Uuid::from_slice(read_part(bytes, 16)?).ok()?;
    let filter = u64::from_le_bytes(*read_part(bytes, 8)?.first_chunk()?);
    let (resume, newest, horizon) = (read_signed(bytes)?, read_signed(bytes)?, read_signed(bytes)?);
    let last = if flags & NAMES_LAST > 0 {
        Some((i32::try_from(read_signed(bytes)?).ok()?, read_signed(bytes)?))
    } else {
        None
    };
    Some(Some(CheckpointDelta { instance, filter, resume, newest, last, horizon }))
}

/// How many of the events go into one frame.
fn fitting(events: &[Event]) -> usize {
    let mut bytes = 0;
    let fits = |event: &&Event| {
        bytes += event.size();
        bytes <= MOST_BYTES
    };
    events.iter().take(MOST_EVENTS).take_while(fits).count().max(1).min(events.len())
}

/// Adds a batch to what is to be appended.
pub(super) fn write(frames: &mut Frames, batch: &Batch) {
    let mut rest = &batch.events[..];
    loop {
        let (now, behind) = rest.split_at(fitting(rest));
        rest = behind;
        // The change comes with the last frame: until then the batch is not whole.
        let delta = batch.checkpoint.as_ref().filter(|_| rest.is_empty());
        // No more than fit.
        frames.push(EVENTS, now.len() as u16, rest.is_empty(), |out| {
            write_text(out, &batch.stream);
            write_delta(out, delta);
            now.iter().for_each(|event| event.store(out));
        });
        if rest.is_empty() {
            return;
        }
    }
}

/// A frame of events.
pub(super) struct Part {
    pub(super) stream: Arc<str>,
    pub(super) events: Vec<Event>,
}

/// Reads a frame of so many events; none if that is no such frame. `stream` finds the streams that are known.
pub(super) fn read(payload: &[u8], count: u16, stream: impl FnOnce(&str) -> Arc<str>) -> Option<Part> {
    let mut bytes = payload;
    let stream = stream(read_text(&mut bytes)?);
    // The change to the checkpoint is of no use to who reads events.
    read_delta(&mut bytes)?;
    let mut from = Bytes::copy_from_slice(bytes);
    let events: Vec<_> = std::iter::from_fn(|| Event::restore(&mut from, &stream)).take(count.into()).collect();
    (events.len() == usize::from(count) && from.is_empty()).then_some(Part { stream, events })
}

/// Reads a frame's stream and the change to its checkpoint; none if that is no such frame.
pub(super) fn delta(payload: &[u8]) -> Option<(&str, Option<CheckpointDelta>)> {
    let mut bytes = payload;
    Some((read_text(&mut bytes)?, read_delta(&mut bytes)?))
}

/// What a checkpoint needs of a frame of events: the stream, the change, and the keys and CreatedTimes.
pub(super) struct Glance<'a> {
    pub(super) stream: &'a str,
    pub(super) delta: Option<CheckpointDelta>,
    pub(super) keys: Vec<(i32, i64)>,
}

/// Reads only that; none if that is no such frame.
pub(super) fn glance(payload: &[u8], count: u16) -> Option<Glance<'_>> {
    let mut bytes = payload;
    let stream = read_text(&mut bytes)?;
    let delta = read_delta(&mut bytes)?;
    let mut keys = Vec::with_capacity(count.into());
    for _ in 0..count {
        let (key, created) = Event::glance(&mut bytes)?;
        keys.extend(key.zip(created));
    }
    bytes.is_empty().then_some(Glance { stream, delta, keys })
}

/// Adds a stream's whole checkpoint to what a segment begins with.
pub(super) fn write_checkpoint(frames: &mut Frames, stream: &str, checkpoint: &Checkpoint) {
    // The beginning of a segment is whole when all are there.
    frames.push(CHECKPOINT, 0, false, |out| {
        let Checkpoint { instance, filter, resume, newest, last, horizon, .. } = *checkpoint;
        write_text(out, stream);
        write_delta(out, Some(&CheckpointDelta { instance, filter, resume, newest, last, horizon }));
        write_number(out, checkpoint.recent.len() as u64);
        // Most follow the one before closely, in key and time.
        let (mut key, mut created) = (0, 0);
        for (next_key, next_created) in checkpoint.recent.iter() {
            write_signed(out, i64::from(next_key) - i64::from(key));
            write_signed(out, next_created.wrapping_sub(created));
            (key, created) = (next_key, next_created);
        }
    });
}

/// Reads a stream's checkpoint; none if that is none.
pub(super) fn read_checkpoint(payload: &[u8]) -> Option<(Arc<str>, Checkpoint)> {
    let mut bytes = payload;
    let stream = read_text(&mut bytes)?.into();
    let mut checkpoint = Checkpoint::bare(&read_delta(&mut bytes)??);
    let count = read_number(&mut bytes)?;
    let mut recent = Recent::bare();
    let (mut key, mut created) = (0_i64, 0_i64);
    for _ in 0..count {
        key = key.checked_add(read_signed(&mut bytes)?)?;
        created = created.wrapping_add(read_signed(&mut bytes)?);
        recent.insert(i32::try_from(key).ok()?, created);
    }
    checkpoint.recent = recent;
    bytes.is_empty().then_some((stream, checkpoint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::Position;
    use crate::event::{Attributes, PageBuilder};
    use crate::journal::embedded::disk::simulated::Simulated;
    use crate::journal::embedded::log::{Durability, Log, Options};

    fn events(count: i32, bytes: usize) -> Vec<Event> {
        let mut page = PageBuilder::new("vc".into(), "s", &[]);
        for key in 0..count {
            let created = Some(i64::from(key) * 1_000);
            page.push(&Attributes { key: Some(key - 9), created, ..Attributes::default() }, &vec![b'7'; bytes]);
        }
        page.finish()
    }

    #[test]
    fn batches_and_checkpoints_come_back_as_they_were() {
        let delta = |last| CheckpointDelta {
            instance: Uuid::from_u128(7),
            filter: u64::MAX,
            resume: -5,
            newest: i64::MAX,
            last,
            horizon: i64::MIN,
        };
        let batch = |events, checkpoint| Batch { stream: "vc".into(), events, checkpoint };
        let batches = [
            batch(events(300, 1000), Some(delta(Some((i32::MIN, 77))))),
            batch(events(2, 200_000), None),
            batch(Vec::new(), Some(delta(None))),
        ];
        let mut checkpoint = Checkpoint::bare(&delta(None));
        checkpoint.apply(&delta(Some((3, 4))), &events(5000, 1));
        let options = Options { log: 1, segment_bytes: 1 << 20, durability: Durability::Each, recycle: false };
        let (mut log, _) =
            Log::open(std::sync::Arc::new(Simulated::default()), options, Position(0), &mut |_| {}).unwrap();
        let mut lengths = Vec::new();
        let mut snapshot = |frames: &mut Frames| {
            write_checkpoint(frames, "vc", &checkpoint);
            lengths.push(frames.bytes());
        };
        log.append(1, &mut snapshot, &mut |frames| batches.iter().for_each(|batch| write(frames, batch))).unwrap();
        assert!(lengths[0] < 5000 * 4, "{lengths:?}: a remembered event takes few bytes");
        let mut read_back = Vec::new();
        let mut deltas = Vec::new();
        let mut largest = 0;
        log.reader()
            .read(Position(0), &mut |head, payload| {
                largest = largest.max(head.count);
                let part = read(payload, head.count, |name| name.into()).unwrap();
                assert!(read(&payload[..payload.len() - 1], head.count, |name| name.into()).is_none());
                assert_eq!(&*part.stream, "vc");
                let glance = glance(payload, head.count).unwrap();
                let keys: Vec<_> = part.events.iter().filter_map(|event| event.key().zip(event.created())).collect();
                assert_eq!((glance.stream, glance.keys), ("vc", keys));
                deltas.extend(glance.delta);
                read_back.extend(part.events);
                true
            })
            .unwrap();
        let all: Vec<_> = batches.iter().flat_map(|batch| &batch.events).collect();
        assert!(
            read_back
                .iter()
                .map(|event| (event.json(), event.key()))
                .eq(all.iter().map(|event| (event.json(), event.key())))
        );
        assert_eq!(deltas, [delta(Some((i32::MIN, 77)))], "a frame without events is read at opening alone");
        assert!(largest < 100, "frames are small");
    }
}
