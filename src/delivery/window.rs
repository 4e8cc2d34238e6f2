//! The front: which of the entries read are still open.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::attempt::Position;

/// An entry that was read.
#[derive(Debug)]
struct Open {
    position: Position,
    /// How many targets the front waits for.
    targets: u32,
    bytes: usize,
    read_at: Instant,
}

/// The entries between the front and the reading place.
#[derive(Debug, Default)]
pub(super) struct Window {
    open: VecDeque<Open>,
    bytes: usize,
    read: Position,
    /// Bytes of the entries that the front has passed since it was asked last.
    passed: usize,
}

impl Window {
    pub(super) fn new(front: Position) -> Self {
        Self { read: front, ..Self::default() }
    }

    /// Everything at or below is settled, or owed by a lane.
    pub(super) fn front(&self) -> Position {
        match self.open.front() {
            Some(oldest) => Position(oldest.position.0 - 1),
            None => self.read,
        }
    }

    /// The newest entry that was read.
    pub(super) fn read(&self) -> Position {
        self.read
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the oldest open entry was read.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.open.front().map(|oldest| oldest.read_at)
    }

    /// An entry was read that so many targets want.
    pub(super) fn push(&mut self, position: Position, targets: u32, bytes: usize, read_at: Instant) {
        self.read = position;
        if targets > 0 || !self.open.is_empty() {
            self.open.push_back(Open { position, targets, bytes, read_at });
            self.bytes += bytes;
        } else {
            self.passed += bytes;
        }
    }

    /// One target of an entry is done with it, or owes it by its lane from now on.
    pub(super) fn settle(&mut self, position: Position) {
        if let Some(at) = find(&self.open, position, |open| open.position) {
            let open = &mut self.open[at];
            open.targets = open.targets.saturating_sub(1);
        }
        while let Some(Open { targets: 0, bytes, .. }) = self.open.front() {
            self.bytes -= bytes;
            self.passed += bytes;
            self.open.pop_front();
        }
    }

    /// Bytes of the entries that the front has passed since [`Window::committed`].
    pub(super) fn passed(&self) -> usize {
        self.passed
    }

    /// Where the front is has become durable.
    pub(super) fn committed(&mut self) {
        self.passed = 0;
    }
}

/// Where the one at `position` is among things in the order of their places.
pub(super) fn find<T>(of: &VecDeque<T>, position: Position, place: impl Fn(&T) -> Position) -> Option<usize> {
    // Where no place is missing, as is usual, this is it; otherwise it is not behind it.
    let furthest = usize::try_from(position.0.checked_sub(place(of.front()?).0)?).unwrap_or(usize::MAX);
    match of.get(furthest) {
        Some(there) if place(there) == position => Some(furthest),
        _ => of.binary_search_by_key(&position, place).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_at_a_place_is_found_with_gaps_and_without() {
        let dense: VecDeque<_> = (5..9).map(Position).collect();
        let gaps: VecDeque<_> = [5, 6, 9, 12].map(Position).into();
        for position in (0..20).map(Position) {
            let in_order = |of: &VecDeque<Position>| of.iter().position(|place| *place == position);
            assert_eq!(find(&dense, position, |place| *place), in_order(&dense));
            assert_eq!(find(&gaps, position, |place| *place), in_order(&gaps));
        }
        assert_eq!(find(&VecDeque::new(), Position(1), |place| *place), None);
    }

    #[test]
    fn the_front_passes_what_is_settled_and_no_more() {
        let now = Instant::now();
        let mut window = Window::new(Position(10));
        assert_eq!(window.front(), Position(10));
        window.push(Position(11), 0, 1, now);
        assert_eq!((window.front(), window.len()), (Position(11), 0), "what nobody wants is passed at once");
        window.push(Position(14), 2, 5, now);
        window.push(Position(15), 0, 5, now);
        window.push(Position(16), 1, 5, now);
        assert_eq!((window.front(), window.bytes(), window.passed()), (Position(13), 15, 1));
        window.settle(Position(16));
        window.settle(Position(14));
        assert_eq!(window.front(), Position(13), "one of its two targets is still open");
        window.settle(Position(14));
        assert_eq!((window.front(), window.bytes(), window.len(), window.passed()), (Position(16), 0, 0, 16));
        window.committed();
        window.settle(Position(14));
        assert_eq!((window.front(), window.passed()), (Position(16), 0));
    }
}
