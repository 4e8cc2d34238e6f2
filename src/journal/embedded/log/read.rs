//! Reading a log.

use std::io;
use std::sync::Arc;

use super::{GAP, LogError, Segments, failed};
use crate::attempt::Position;
use crate::journal::embedded::disk::Disk;
use crate::journal::embedded::frame::Head;
use crate::journal::embedded::scan::{Next, Scan};

/// Reads a log, from wherever it is asked; quickest from where it stopped.
pub(in crate::journal::embedded) struct Reader {
    disk: Arc<dyn Disk>,
    segments: Segments,
    /// The segment that was read last, by its base. It is not kept open: a file that is let go would keep its space.
    last: Position,
    /// What is damaged is passed over, to the end of its segment.
    lenient: bool,
    /// How far: behind this record of that segment, the next frame begins there.
    place: (Position, u64),
    /// The last record before which something was found to be missing.
    missing: Position,
}

impl Reader {
    pub(in crate::journal::embedded) fn new(disk: Arc<dyn Disk>, segments: Segments) -> Self {
        Self { disk, segments, last: Position(0), lenient: false, place: (Position(0), 0), missing: Position(0) }
    }

    /// For a log that was not synced, of which nobody minds when a part is gone.
    pub(in crate::journal::embedded) fn lenient(disk: Arc<dyn Disk>, segments: Segments) -> Self {
        Self { lenient: true, ..Self::new(disk, segments) }
    }

    /// Behind which record it stopped.
    pub(in crate::journal::embedded) fn place(&self) -> Position {
        self.place.0
    }

    /// Behind which record nothing was missing, of what was read.
    pub(in crate::journal::embedded) fn whole_behind(&self) -> Position {
        self.missing
    }

    /// Gives the frames that have records behind `after`, oldest first, until `take` says that it is enough.
    ///
    /// # Errors
    /// A segment cannot be read, or is damaged.
    pub(in crate::journal::embedded) fn read(
        &mut self,
        after: Position,
        take: &mut dyn FnMut(&Head, &[u8]) -> bool,
    ) -> Result<(), LogError> {
        for segment in self.segments.behind(after) {
            let (end, last, at) = {
                let extent = segment.extent();
                if extent.last <= after || segment.base > extent.last {
                    continue;
                }
                (extent.end, extent.last, extent.near(after))
            };
            let (passed, place) = self.place;
            let at = if self.last == segment.base && passed <= after { at.max(place) } else { at };
            let file = match self.disk.open(&segment.name) {
                Ok(file) => file,
                // It was let go a moment ago: what is asked for is not wanted any more.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !self.segments.contains(segment.base) => {
                    continue;
                }
                Err(error) => return Err(failed("open", &segment.name)(error)),
            };
            self.last = segment.base;
            let mut scan = Scan::new(&*file, segment.salt, at, end);
            let enough = loop {
                match scan.next().map_err(failed("read", &segment.name))? {
                    Next::Frame(at, head) if head.count == 0 || head.last() <= after => {
                        if head.count > 0 {
                            // So that whoever comes next need not begin at the front.
                            segment.extent().mark(head.first, at);
                        } else if head.kind == GAP && !scan.payload().is_empty() {
                            // Something was cut out there.
                            self.missing = self.missing.max(head.last());
                        }
                        self.place = (head.last(), scan.at());
                    }
                    Next::Frame(at, head) => {
                        segment.extent().mark(head.first, at);
                        // It may be asked for again, in part.
                        self.place = (Position(head.first.0.saturating_sub(1)), at);
                        if !take(&head, scan.payload()) {
                            break true;
                        }
                    }
                    Next::Bad(_) if self.lenient => {
                        self.missing = self.missing.max(last);
                        break false;
                    }
                    // It was let go a moment ago, and is being written over.
                    Next::Bad(_) if !self.segments.contains(segment.base) => break false,
                    Next::Bad(at) => {
                        let why = "what was acknowledged is no frame any more".to_owned();
                        return Err(LogError::Damaged { name: segment.name.clone(), at, why });
                    }
                    Next::End => break false,
                }
            };
            if enough {
                break;
            }
        }
        Ok(())
    }

    /// The position before the first record that was appended at `time` or later, in microseconds since 1970; that of
    /// the newest record, if all are older.
    ///
    /// # Errors
    /// A segment cannot be read, or is damaged.
    pub(in crate::journal::embedded) fn before(&mut self, time: i64) -> Result<Position, LogError> {
        let mut before = Position(0);
        for segment in self.segments.behind(before) {
            let (from, last, newest) = {
                let extent = segment.extent();
                (Position(segment.base.0.saturating_sub(1)), extent.last, extent.time)
            };
            if last <= from {
                continue;
            }
            if newest < time {
                before = last;
                continue;
            }
            before = from;
            let mut found = false;
            self.read(from, &mut |head, _| {
                found = head.time >= time;
                if !found {
                    before = head.last();
                }
                !found
            })?;
            break;
        }
        Ok(before)
    }
}
