//! The truth about every event that there ever was, for those who judge what a reader got.

use std::collections::VecDeque;
use std::fmt;

/// What is special about an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u8);

impl Marks {
    /// The user may not see it.
    pub const HIDDEN: Self = Self(1);
    /// It came behind what was read already.
    pub const LATE: Self = Self(2);
    /// Its class is one that nobody knows.
    pub const UNKNOWN: Self = Self(4);
    /// A value of it is none, so that it cannot be decoded.
    pub const UNDECODABLE: Self = Self(8);
    /// It is no XML.
    pub const MALFORMED: Self = Self(16);
    /// The vCenter does not have it any more.
    pub const GONE: Self = Self(32);

    const LETTERS: [(Self, char); 6] = [
        (Self::HIDDEN, 'h'),
        (Self::LATE, 'l'),
        (Self::UNKNOWN, 'u'),
        (Self::UNDECODABLE, 'd'),
        (Self::MALFORMED, 'm'),
        (Self::GONE, 'g'),
    ];

    /// Whether it has all of these.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Marks {
    /// A letter for each, or `-`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters: String = Self::LETTERS.iter().filter(|(mark, _)| self.has(*mark)).map(|(_, c)| *c).collect();
        f.write_str(if letters.is_empty() { "-" } else { &letters })
    }
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// How many events there had been before it.
    pub seq: u64,
    /// Its key.
    pub key: i32,
    /// Its time, in microseconds since 1970, by the vCenter's clock.
    pub created: i64,
    /// What is special about it.
    pub marks: Marks,
}

impl fmt::Display for Entry {
    /// `SEQ KEY CREATED MARKS`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.seq, self.key, self.created, self.marks)
    }
}

/// As many events as are remembered, in 16 bytes each.
const MOST: usize = 2_000_000;

#[derive(Clone, Copy, Debug)]
struct Line {
    created: i64,
    key: i32,
    marks: Marks,
}

/// The last events that there were, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    lines: VecDeque<Line>,
    /// The number of the first line.
    base: u64,
}

impl Ledger {
    /// How many events there ever were.
    pub(super) fn end(&self) -> u64 {
        self.base + self.lines.len() as u64
    }

    pub(super) fn push(&mut self, key: i32, created: i64, marks: Marks) {
        if self.lines.len() == MOST {
            self.lines.pop_front();
            self.base += 1;
        }
        self.lines.push_back(Line { created, key, marks });
    }

    /// The vCenter does not have this event any more. Its number may have lost its upper half.
    pub(super) fn gone(&mut self, born: u32) {
        let last = self.end().wrapping_sub(1);
        // So many events ago, as the lower half says.
        #[allow(clippy::cast_possible_truncation)]
        let ago = (last as u32).wrapping_sub(born);
        let Some(seq) = last.checked_sub(u64::from(ago)) else { return };
        let index = seq.checked_sub(self.base).and_then(|index| usize::try_from(index).ok());
        if let Some(line) = index.and_then(|index| self.lines.get_mut(index)) {
            line.marks = line.marks.and(Marks::GONE);
        }
    }

    /// At most so many events from a number on, as far as they are remembered.
    pub(super) fn read(&self, from: u64, count: usize) -> impl Iterator<Item = Entry> {
        let from = from.max(self.base);
        let skipped = usize::try_from(from - self.base).unwrap_or(usize::MAX).min(self.lines.len());
        let lines = self.lines.range(skipped..).take(count);
        lines.zip(from..).map(|(line, seq)| {
            let Line { created, key, marks } = *line;
            Entry { seq, key, created, marks }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_every_event_and_what_became_of_it() {
        let mut ledger = Ledger::default();
        for key in 0..5 {
            ledger.push(key + 100, i64::from(key) * 10, if key == 1 { Marks::HIDDEN } else { Marks::default() });
        }
        ledger.gone(1);
        ledger.gone(4);
        ledger.gone(5);
        let text: Vec<_> = ledger.read(1, 3).map(|entry| entry.to_string()).collect();
        assert_eq!(text, ["1 101 10 hg", "2 102 20 -", "3 103 30 -"]);
        assert_eq!(ledger.read(4, 9).map(|entry| entry.to_string()).collect::<Vec<_>>(), ["4 104 40 g"]);
        assert_eq!((ledger.read(5, 9).count(), ledger.end()), (0, 5));
    }

    #[test]
    fn it_is_bounded_and_small() {
        assert_eq!(size_of::<Line>(), 16);
        let mut ledger = Ledger::default();
        for key in 0..2_000_003 {
            ledger.push(key, 0, Marks::default());
        }
        assert_eq!(ledger.read(0, 1).next().map(|entry| (entry.seq, entry.key)), Some((3, 3)));
        assert_eq!((ledger.lines.len(), ledger.end()), (MOST, 2_000_003));
        ledger.gone(2);
        ledger.gone(3);
        assert!(ledger.read(0, 1).all(|entry| entry.marks == Marks::GONE));
        assert!(ledger.read(4, MOST).all(|entry| entry.marks == Marks::default()));
    }
}
