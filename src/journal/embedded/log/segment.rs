//! What is known of each segment, shared by the hand that appends and by those that read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::MARK;
use crate::attempt::Position;
use crate::journal::embedded::frame::{Before, HEADER, Header};

/// How far a segment goes, of what was acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Extent {
    pub(super) end: u64,
    /// No record has a higher position.
    pub(super) last: Position,
    /// None was written later.
    pub(super) time: i64,
    /// Where some of its frames begin, each with the position of its first record.
    pub(super) marks: Vec<(Position, u64)>,
}

impl Extent {
    /// Notes where a frame begins that has records, if no mark is near.
    pub(super) fn mark(&mut self, first: Position, at: u64) {
        if self.marks.last().is_none_or(|(_, before)| at >= before + MARK) {
            self.marks.push((first, at));
        }
    }

    /// Where to begin to look for what lies behind `after`.
    pub(super) fn near(&self, after: Position) -> u64 {
        let mark = self.marks.partition_point(|(first, _)| first.0 <= after.0.saturating_add(1));
        mark.checked_sub(1).map_or(HEADER as u64, |mark| self.marks[mark].1)
    }
}

/// A part of a log, in a file of its own.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) base: Position,
    pub(super) salt: u64,
    pub(super) created: i64,
    pub(super) before: Option<Before>,
    extent: Mutex<Extent>,
}

impl Segment {
    pub(super) fn new(header: &Header, extent: Extent) -> Arc<Self> {
        let Header { base, salt, created, before, .. } = *header;
        Arc::new(Self { name: name(base), base, salt, created, before, extent: Mutex::new(extent) })
    }

    pub(super) fn extent(&self) -> MutexGuard<'_, Extent> {
        self.extent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.extent().last < self.base
    }
}

/// The file of a segment.
pub(in crate::journal::embedded) fn name(base: Position) -> String {
    format!("{:020}.log", base.0)
}

/// The segment of a file; none if it is not one's.
pub(in crate::journal::embedded) fn base(name: &str) -> Option<Position> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 20).then(|| digits.parse().ok().map(Position)).flatten()
}

/// A log's segments, oldest first, for whoever looks on.
#[derive(Clone, Debug, Default)]
pub(in crate::journal::embedded) struct Segments {
    all: Arc<RwLock<Vec<Arc<Segment>>>>,
    /// Bytes of the file that waits to become one; none if there is no such file.
    spare: Arc<AtomicU64>,
}

impl Segments {
    pub(super) fn new(all: Vec<Arc<Segment>>) -> Self {
        Self { all: Arc::new(RwLock::new(all)), spare: Arc::default() }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Vec<Arc<Segment>>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Vec<Arc<Segment>>> {
        self.all.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that have records behind `after`, and the one before, since that may.
    pub(super) fn behind(&self, after: Position) -> Vec<Arc<Segment>> {
        let all = self.read();
        let from = all.partition_point(|segment| segment.base <= after).saturating_sub(1);
        all[from..].to_vec()
    }

    pub(super) fn contains(&self, base: Position) -> bool {
        self.read().iter().any(|segment| segment.base == base)
    }

    pub(super) fn spare(&self) -> u64 {
        self.spare.load(Ordering::Relaxed)
    }

    pub(super) fn set_spare(&self, bytes: u64) {
        self.spare.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn take_spare(&self) -> u64 {
        self.spare.swap(0, Ordering::Relaxed)
    }

    /// Bytes of all, and of what waits to become one.
    pub(in crate::journal::embedded) fn bytes(&self) -> u64 {
        self.read().iter().map(|segment| segment.extent().end).sum::<u64>() + self.spare()
    }

    /// Records of all.
    pub(in crate::journal::embedded) fn records(&self) -> u64 {
        self.records_behind(Position(0))
    }

    /// How many records lie behind `after`: positions may be left out between two segments.
    pub(in crate::journal::embedded) fn records_behind(&self, after: Position) -> u64 {
        let mut records = 0;
        for segment in self.read().iter().rev() {
            let last = segment.extent().last.0;
            records += last.saturating_sub(after.0.max(segment.base.0.saturating_sub(1)));
            if segment.base <= after {
                break;
            }
        }
        records
    }

    /// Bytes that hold what lies behind `after`; of the segment that holds it in part, the same part of its bytes.
    pub(in crate::journal::embedded) fn bytes_behind(&self, after: Position) -> u64 {
        let mut bytes = 0;
        for segment in self.read().iter().rev() {
            let Extent { end, last, .. } = *segment.extent();
            let records = (last.0 + 1).saturating_sub(segment.base.0);
            let behind = last.0.saturating_sub(after.0.max(segment.base.0.saturating_sub(1)));
            if let Some(part) = (u128::from(end) * u128::from(behind)).checked_div(u128::from(records)) {
                bytes += u64::try_from(part).unwrap_or(end);
            }
            if segment.base <= after {
                break;
            }
        }
        bytes
    }

    /// The newest record; none if there are none.
    pub(in crate::journal::embedded) fn newest(&self) -> Option<Position> {
        let all = self.read();
        all.iter().rev().find(|segment| !segment.is_empty()).map(|segment| segment.extent().last)
    }

    /// The position before the oldest record that is kept.
    pub(in crate::journal::embedded) fn before_first(&self) -> Option<Position> {
        self.read().first().map(|segment| Position(segment.base.0.saturating_sub(1)))
    }

    /// Where each begins.
    pub(in crate::journal::embedded) fn bases(&self) -> Vec<Position> {
        self.read().iter().map(|segment| segment.base).collect()
    }

    /// The last record of the oldest segment, unless that is the one that is appended to.
    pub(in crate::journal::embedded) fn oldest_through(&self) -> Option<Position> {
        let all = self.read();
        let [oldest, _, ..] = &all[..] else { return None };
        Some(oldest.extent().last)
    }

    /// When the oldest was made.
    pub(in crate::journal::embedded) fn created(&self) -> Option<i64> {
        self.read().first().map(|segment| segment.created)
    }

    /// When the newest frame was written.
    pub(in crate::journal::embedded) fn time(&self) -> Option<i64> {
        self.read().last().map(|segment| segment.extent().time)
    }

    /// When the one was made that holds what lies behind `after`.
    pub(in crate::journal::embedded) fn created_behind(&self, after: Position) -> Option<i64> {
        self.behind(after).first().map(|segment| segment.created)
    }
}
