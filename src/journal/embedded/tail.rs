//! The newest entries, in memory, so that who keeps up need not read files; and how many bytes lie before a reader.

use std::collections::VecDeque;

use crate::attempt::{BatchLimits, Position};
use crate::journal::Entry;

/// What is kept for readers that are behind.
const MOST_BYTES: u64 = 4 << 20;

/// Appends whose sizes are known.
const MOST_APPENDS: usize = 4096;

/// The newest entries that not all who keep up have read.
#[derive(Debug, Default)]
pub(super) struct Tail {
    entries: VecDeque<Entry>,
    bytes: u64,
    /// What lies behind this and is in the journal is here.
    after: Position,
}

impl Tail {
    /// Nothing, behind what is in files.
    pub(super) fn new(after: Position) -> Self {
        Self { after, ..Self::default() }
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.bytes += entry.event.size() as u64;
        self.entries.push_back(entry);
    }

    /// Lets go what everybody has read, who is not too far behind.
    pub(super) fn trim(&mut self, read: Position) {
        while let Some(oldest) = self.entries.front()
            && (oldest.position <= read || self.bytes > MOST_BYTES)
        {
            self.after = oldest.position;
            self.bytes -= oldest.event.size() as u64;
            self.entries.pop_front();
        }
        if self.entries.is_empty() && self.entries.capacity() > 4096 {
            self.entries.shrink_to(1024);
        }
    }

    /// What lies behind `after`, within the limits; none if that must be read from files.
    pub(super) fn read(&self, after: Position, limits: BatchLimits) -> Option<Vec<Entry>> {
        if after < self.after {
            return None;
        }
        let from = match self.entries.front() {
            // The usual case: there are no gaps.
            Some(oldest) if after.0 + 1 == oldest.position.0 => 0,
            _ => self.entries.partition_point(|entry| entry.position <= after),
        };
        let mut bytes = 0;
        let mut read = Vec::new();
        for entry in self.entries.range(from..).take(limits.events) {
            bytes += entry.event.size();
            if bytes > limits.bytes && !read.is_empty() {
                break;
            }
            read.push(entry.clone());
        }
        Some(read)
    }
}

/// How many bytes were appended up to which position, lately.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// The last position of each append, and the bytes of all appends up to it.
    appends: VecDeque<(Position, u64)>,
}

impl Flow {
    /// After what is in the journal already.
    pub(super) fn new(newest: Position) -> Self {
        Self { appends: VecDeque::from([(newest, 0)]) }
    }

    pub(super) fn push(&mut self, newest: Position, bytes: u64) {
        let before = self.appends.back().map_or(0, |(_, before)| *before);
        self.appends.push_back((newest, before + bytes));
        if self.appends.len() > MOST_APPENDS {
            self.appends.pop_front();
        }
    }

    /// About how many bytes lie behind a position: exact where an append ends.
    pub(super) fn behind(&self, after: Position) -> u64 {
        let Some((_, newest)) = self.appends.back() else { return 0 };
        let at = self.appends.partition_point(|(last, _)| *last < after);
        let Some((last, bytes)) = self.appends.get(at) else { return 0 };
        let rest = newest - bytes;
        let Some((before, bytes_before)) = at.checked_sub(1).and_then(|at| self.appends.get(at)) else {
            // What lies before the oldest that is known is not counted; it is much, anyway.
            return if *last == after { rest } else { rest + MOST_BYTES };
        };
        let (positions, part) = (last.0 - before.0, last.0 - after.0);
        rest + (bytes - bytes_before).saturating_mul(part).checked_div(positions).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Attributes, PageBuilder};

    const ALL: BatchLimits = BatchLimits { events: usize::MAX, bytes: usize::MAX };

    fn entries(positions: impl Iterator<Item = u64>, bytes: usize) -> Vec<Entry> {
        positions
            .map(|position| {
                let mut page = PageBuilder::new("vc".into(), "s", &[]);
                page.push(&Attributes::default(), &vec![b'7'; bytes]);
                Entry { position: Position(position), event: page.finish().remove(0) }
            })
            .collect()
    }

    fn positions(read: Option<Vec<Entry>>) -> Option<Vec<u64>> {
        Some(read?.iter().map(|entry| entry.position.0).collect())
    }

    #[test]
    fn the_tail_gives_what_it_has_and_says_what_it_has_not() {
        let mut tail = Tail::new(Position(10));
        assert_eq!(positions(tail.read(Position(10), ALL)), Some(vec![]));
        assert_eq!(positions(tail.read(Position(9), ALL)), None);
        // A new segment has left two out.
        entries((11..14).chain(16..18), 10).into_iter().for_each(|entry| tail.push(entry));
        assert_eq!(positions(tail.read(Position(10), ALL)), Some(vec![11, 12, 13, 16, 17]));
        for after in [13, 14, 15] {
            assert_eq!(positions(tail.read(Position(after), ALL)), Some(vec![16, 17]));
        }
        assert_eq!(positions(tail.read(Position(11), BatchLimits { events: 2, ..ALL })), Some(vec![12, 13]));
        assert_eq!(positions(tail.read(Position(11), BatchLimits { bytes: 1, ..ALL })), Some(vec![12]));
        tail.trim(Position(12));
        assert_eq!(positions(tail.read(Position(11), ALL)), None, "it is in files");
        assert_eq!(positions(tail.read(Position(12), ALL)), Some(vec![13, 16, 17]));
        tail.trim(Position(17));
        assert_eq!(positions(tail.read(Position(17), ALL)), Some(vec![]));
        assert_eq!(tail.bytes, 0);
    }

    #[test]
    fn the_tail_is_bounded() {
        let mut tail = Tail::new(Position(0));
        for entry in entries(1..100, 100_000) {
            tail.push(entry);
            tail.trim(Position(0));
            assert!(tail.bytes <= MOST_BYTES);
        }
        assert!(tail.read(Position(0), ALL).is_none());
        assert_eq!(positions(tail.read(Position(98), ALL)), Some(vec![99]));
    }

    #[test]
    fn the_flow_knows_what_lies_before_a_reader() {
        let mut flow = Flow::new(Position(5));
        assert_eq!((flow.behind(Position(5)), flow.behind(Position(9))), (0, 0));
        assert!(flow.behind(Position(4)) > 0, "there are older ones");
        flow.push(Position(15), 1000);
        flow.push(Position(15), 0);
        flow.push(Position(25), 3000);
        let behind = |after| flow.behind(Position(after));
        assert_eq!([behind(25), behind(20), behind(15), behind(10), behind(5)], [0, 1500, 3000, 3500, 4000]);
        for append in 0..10_000 {
            flow.push(Position(26 + append), 10);
        }
        assert_eq!(flow.appends.len(), MOST_APPENDS);
        assert!(flow.behind(Position(25)) >= MOST_BYTES);
        assert_eq!(flow.behind(Position(10_020)), 50);
    }
}
