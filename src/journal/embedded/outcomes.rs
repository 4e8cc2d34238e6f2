//! What the log of outcomes holds: how events ended, in the order in which they did.

use std::collections::HashMap;

use super::log::{Frames, LogError, Reader};
use crate::attempt::{Position, Target};
use crate::event::stored::{read_number, read_signed, read_text, write_number, write_signed, write_text};
use crate::journal::{End, Settlement};

/// The kind of its frames.
pub(super) const OUTCOMES: u8 = 1;

/// A frame holds no more.
const MOST: usize = 4096;

/// Says that a processor begins: what was said before by one of its name is not its own. No event has this position.
pub(super) const BEGINS: Settlement =
    Settlement { position: Position(0), target: None, end: End::Unwanted, attempts: 0, status: None };

fn code(end: End) -> u64 {
    match end {
        End::Delivered => 0,
        End::DeadLettered => 1,
        End::Unsubscribed => 2,
        End::Unwanted => 3,
    }
}

fn end(code: u64) -> Option<End> {
    Some(match code {
        0 => End::Delivered,
        1 => End::DeadLettered,
        2 => End::Unsubscribed,
        3 => End::Unwanted,
        _ => return None,
    })
}

/// Adds what a processor settled to what is to be appended.
pub(super) fn write(frames: &mut Frames, processor: &str, settlements: &[Settlement]) {
    for part in settlements.chunks(MOST) {
        let mut targets: Vec<&Target> = Vec::new();
        let mut index: HashMap<&Target, usize> = HashMap::new();
        let mut last: Option<(&Target, usize)> = None;
        let mut places = Vec::with_capacity(part.len());
        for settlement in part {
            let Some(target) = &settlement.target else {
                places.push(0);
                continue;
            };
            // There may be one function, or thousands.
            let place = match last {
                Some((known, place)) if known == target => place,
                _ => *index.entry(target).or_insert_with(|| {
                    targets.push(target);
                    targets.len()
                }),
            };
            last = Some((target, place));
            places.push(place);
        }
        // No more than fit.
        frames.push(OUTCOMES, part.len() as u16, true, |out| {
            write_text(out, processor);
            write_number(out, targets.len() as u64);
            targets.iter().for_each(|target| write_text(out, target.as_str()));
            let mut before = 0;
            for (Settlement { position, end, attempts, status, .. }, target) in part.iter().zip(places) {
                write_signed(out, position.0.wrapping_sub(before).cast_signed());
                before = position.0;
                write_number(out, target as u64);
                write_number(out, code(*end));
                write_number(out, (*attempts).into());
                write_number(out, status.unwrap_or(0).into());
            }
        });
    }
}

/// Reads a frame of so many outcomes, and whose they are; none if that is no such frame.
pub(super) fn read(payload: &[u8], count: u16) -> Option<(&str, Vec<Settlement>)> {
    let mut bytes = payload;
    let processor = read_text(&mut bytes)?;
    let mut targets = Vec::new();
    for _ in 0..read_number(&mut bytes)? {
        targets.push(Target::new(read_text(&mut bytes)?));
    }
    let mut settlements = Vec::with_capacity(count.into());
    let mut before = 0_u64;
    for _ in 0..count {
        before = before.wrapping_add(read_signed(&mut bytes)?.cast_unsigned());
        let target = match usize::try_from(read_number(&mut bytes)?).ok()?.checked_sub(1) {
            None => None,
            Some(at) => Some(targets.get(at)?.clone()),
        };
        let end = end(read_number(&mut bytes)?)?;
        let attempts = u32::try_from(read_number(&mut bytes)?).ok()?;
        let status = u16::try_from(read_number(&mut bytes)?).ok()?;
        let status = (status > 0).then_some(status);
        settlements.push(Settlement { position: Position(before), target, end, attempts, status });
    }
    bytes.is_empty().then_some((processor, settlements))
}

/// What `wanted` makes of a processor's own outcomes behind a place of the log, in their order. What lies before
/// something that is missing is left out: there, one of its name may have been forgotten.
pub(super) fn own<T>(
    reader: &mut Reader,
    after: Result<Position, LogError>,
    processor: &str,
    wanted: impl Fn(Settlement) -> Option<T>,
) -> Vec<T> {
    let mut own: Vec<(Position, T)> = Vec::new();
    let found = after.and_then(|after| {
        reader.read(after, &mut |head, payload| {
            if let Some((name, settlements)) = read(payload, head.count)
                && name == processor
            {
                if settlements.contains(&BEGINS) {
                    own.clear();
                }
                own.extend(settlements.into_iter().filter_map(&wanted).map(|wanted| (head.first, wanted)));
            }
            true
        })
    });
    let (all, whole_behind) = (own.len(), reader.whole_behind());
    own.retain(|(at, _)| *at > whole_behind);
    let error = found.err().map(|error| error.to_string());
    let error = error.or_else(|| (own.len() < all).then(|| "a part of the outcomes is damaged".to_owned()));
    if let Some(error) = error {
        tracing::warn!(error, processor, "some of what was delivered is not known any more, and may come twice");
    }
    own.into_iter().map(|(_, wanted)| wanted).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::journal::embedded::disk::simulated::Simulated;
    use crate::journal::embedded::log::{Durability, Log, Options};

    #[test]
    fn outcomes_come_back_as_they_were_and_take_few_bytes() {
        let ends = [End::Delivered, End::DeadLettered, End::Unsubscribed, End::Unwanted];
        let settlements: Vec<_> = (0..10_000_u64)
            .map(|at| Settlement {
                position: Position(1_000_000 + at - at % 7 * 2),
                target: (at % 4 < 3).then(|| Target::new(&format!("function.{}", at % 3))),
                end: ends[at as usize % 4],
                attempts: at as u32 % 3,
                status: (at % 2 == 0).then_some(200),
            })
            .collect();
        let options = Options { log: 2, segment_bytes: 1 << 20, durability: Durability::Never, recycle: false };
        let (mut log, _) = Log::open(Arc::new(Simulated::default()), options, Position(0), &mut |_| {}).unwrap();
        log.append(1, &mut |_| {}, &mut |frames| write(frames, "p", &settlements)).unwrap();
        assert!(log.segments().bytes() < 10_000 * 7);
        let mut back = Vec::new();
        log.reader()
            .read(Position(0), &mut |head, payload| {
                let (processor, part) = read(payload, head.count).unwrap();
                assert_eq!(processor, "p");
                assert!(read(&payload[1..], head.count).is_none() && read(payload, head.count + 1).is_none());
                back.extend(part);
                true
            })
            .unwrap();
        assert_eq!(back, settlements);
    }
}
