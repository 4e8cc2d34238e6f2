//! Event history collectors as a real vCenter's are: a cursor over the history, and a latest page.

use std::collections::BTreeMap;

use super::filter::Filter;
use super::history::{History, Place, Record};
use super::soap::Fault;

/// Collectors of one session at once.
pub(super) const MOST_COLLECTORS: usize = 32;

/// As many events as a page may have.
pub(super) const MOST_PAGE: usize = 1_000;

/// As many has one that nobody asked for.
const USUAL_PAGE: usize = 10;

/// A filtered view of the history.
pub(super) struct Collector {
    pub(super) filter: Filter,
    /// What is read next.
    cursor: Place,
    /// The key of the event that was passed last. Of what came after the collector was made, it looks for greater ones
    /// only: a key that wrapped, or comes late, is none to it.
    passed: Option<i32>,
    /// How many events there had been when it was made.
    made: u32,
    page: usize,
    /// The latest page by key, from when somebody asks for it.
    latest: Option<BTreeMap<(i32, u32), Record>>,
    /// Counts the changes of the latest page.
    revision: u64,
}

impl Collector {
    /// A collector over all that there is: `made` events came before it. Its cursor is at the oldest event.
    pub(super) fn new(filter: Filter, page: Option<usize>, history: &History, made: u32) -> Self {
        let mut this =
            Self { filter, cursor: 0, passed: None, made, page: page.unwrap_or(USUAL_PAGE), latest: None, revision: 0 };
        this.rewind(history);
        this
    }

    /// Where it reads next.
    pub(super) fn cursor(&self) -> Place {
        self.cursor
    }

    /// Goes to the oldest event.
    pub(super) fn rewind(&mut self, history: &History) {
        self.cursor = self.filter.begin().map_or(history.start(), |begin| history.place_of_time(begin));
        self.passed = None;
    }

    /// Goes to just before the latest page.
    pub(super) fn reset(&mut self, history: &History) {
        self.cursor = self.before_latest(history);
        self.passed = history.before(self.cursor).find(|record| self.filter.matches(record)).map(|record| record.key);
    }

    /// The place of the oldest event of the latest page, by place and not by key.
    fn before_latest(&self, history: &History) -> Place {
        let mut at = history.end();
        let mut left = self.page;
        for record in history.before(at) {
            if left == 0 {
                break;
            }
            at -= 1;
            left -= usize::from(self.filter.matches(record));
        }
        at
    }

    /// Whether it has this event at all.
    fn has(&self, record: &Record) -> bool {
        let found = record.born.wrapping_sub(self.made) > u32::MAX / 2;
        found || self.passed.is_none_or(|passed| record.key > passed)
    }

    /// Reads on towards newer events: at most so many, oldest first.
    ///
    /// The page is cut first, and what the user may not see is taken out of it after: it comes short. Where nothing is
    /// left of it, the cursor stays.
    pub(super) fn read_next(&mut self, history: &History, most: usize, mut each: impl FnMut(&Record)) {
        let (cursor, passed) = (self.cursor.max(history.start()), self.passed);
        self.cursor = cursor;
        let (mut count, mut shown) = (0, 0);
        for record in history.from(cursor) {
            if count == most {
                break;
            }
            self.cursor += 1;
            if !self.has(record) || !self.filter.matches(record) {
                continue;
            }
            self.passed = Some(record.key);
            count += 1;
            if !record.hidden {
                shown += 1;
                each(record);
            }
        }
        if shown == 0 && count > 0 {
            (self.cursor, self.passed) = (cursor, passed);
        }
    }

    /// Reads back towards older events: at most so many, newest first, and none of the latest page.
    pub(super) fn read_previous(&mut self, history: &History, most: usize, mut each: impl FnMut(&Record)) {
        let start = self.cursor.min(self.before_latest(history)).max(history.start());
        let (mut at, mut count) = (start, 0);
        for record in history.before(start) {
            if count == most {
                break;
            }
            at -= 1;
            if self.filter.matches(record) {
                count += 1;
                if !record.hidden {
                    each(record);
                }
            }
        }
        self.cursor = at;
    }

    /// An event was put into the history at this place, before others.
    pub(super) fn inserted(&mut self, place: Place) {
        if place < self.cursor {
            self.cursor += 1;
        }
    }

    /// An event came: it may belong to the latest page.
    pub(super) fn came(&mut self, record: &Record) {
        let Some(latest) = &mut self.latest else { return };
        if !self.filter.matches(record) {
            return;
        }
        latest.insert((record.key, record.born), record.clone());
        let dropped = if latest.len() > self.page { latest.pop_first() } else { None };
        // A key below all others is dropped at once: nothing has changed then.
        if dropped.is_none_or(|(key, _)| key != (record.key, record.born)) {
            self.revision += 1;
        }
    }

    /// Events have vanished from the history.
    pub(super) fn forget(&mut self) {
        if self.latest.take().is_some() {
            self.revision += 1;
        }
    }

    /// Counts the changes of the latest page, as far as somebody has looked at it.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Somebody wants to look at the latest page: from here on it is kept.
    pub(super) fn look(&mut self, history: &History) {
        if self.latest.is_none() {
            let newest = history.before(history.end()).filter(|record| self.filter.matches(record));
            let page = newest.take(self.page).map(|record| ((record.key, record.born), record.clone()));
            self.latest = Some(page.collect());
        }
    }

    /// The latest page, in no order that anybody may rely on.
    pub(super) fn latest(&self) -> impl Iterator<Item = &Record> {
        self.latest.iter().flat_map(BTreeMap::values).rev().filter(|record| !record.hidden)
    }

    /// Sets how many events the latest page has.
    pub(super) fn set_page(&mut self, size: usize) {
        self.page = size;
        self.forget();
    }
}

/// A number of events to read, as the wire has it.
pub(super) fn count(text: &str) -> Result<usize, Fault> {
    let count = text.trim().parse().ok().filter(|count| (1..=MOST_PAGE).contains(count));
    count.ok_or_else(|| Fault::invalid_argument("maxCount"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A history and its collectors, as the vCenter keeps them.
    #[derive(Default)]
    struct Bench {
        history: History,
        born: u32,
    }

    impl Bench {
        fn with(events: i32) -> Self {
            let mut bench = Self::default();
            (1..=events).for_each(|key| bench.push(key, false));
            bench
        }

        fn record(&mut self, key: i32, created: i64, hidden: bool) -> Record {
            self.born += 1;
            Record { key, chain: key, created, born: self.born - 1, hidden, body: Arc::default() }
        }

        fn push(&mut self, key: i32, hidden: bool) {
            let record = self.record(key, i64::from(self.born) * 10, hidden);
            self.history.push(record);
        }

        fn collector(&self) -> Collector {
            Collector::new(Filter::default(), None, &self.history, self.born)
        }

        fn next(&self, collector: &mut Collector, most: usize) -> Vec<i32> {
            let mut keys = Vec::new();
            collector.read_next(&self.history, most, |record| keys.push(record.key));
            keys
        }

        fn previous(&self, collector: &mut Collector, most: usize) -> Vec<i32> {
            let mut keys = Vec::new();
            collector.read_previous(&self.history, most, |record| keys.push(record.key));
            keys
        }
    }

    #[test]
    fn reads_from_the_oldest_on_and_tails() {
        let mut bench = Bench::with(5);
        let mut collector = bench.collector();
        assert_eq!(bench.next(&mut collector, 3), [1, 2, 3]);
        assert_eq!(bench.next(&mut collector, 3), [4, 5]);
        assert!(bench.next(&mut collector, 3).is_empty());
        bench.push(6, false);
        assert_eq!(bench.next(&mut collector, 3), [6]);
        collector.rewind(&bench.history);
        assert_eq!(bench.next(&mut collector, 10), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn reset_goes_before_the_latest_page_and_previous_leaves_it_out() {
        let bench = Bench::with(25);
        let mut collector = bench.collector();
        assert!(bench.previous(&mut collector, 5).is_empty());
        collector.reset(&bench.history);
        assert_eq!(bench.previous(&mut collector, 3), [15, 14, 13]);
        assert_eq!(bench.previous(&mut collector, 100).last(), Some(&1));
        collector.reset(&bench.history);
        assert_eq!(bench.next(&mut collector, 100), (16..=25).collect::<Vec<_>>());
        // At the end, the latest page is still left out.
        assert_eq!(bench.previous(&mut collector, 1), [15]);
    }

    #[test]
    fn a_key_that_wraps_is_invisible_until_there_is_a_new_collector() {
        let mut bench = Bench::default();
        bench.push(i32::MAX - 1, false);
        let mut old = bench.collector();
        bench.push(i32::MAX, false);
        bench.push(i32::MIN, false);
        assert_eq!(bench.next(&mut old, 10), [i32::MAX - 1, i32::MAX]);
        bench.push(i32::MIN + 1, false);
        assert!(bench.next(&mut old, 10).is_empty());
        let mut new = bench.collector();
        assert_eq!(bench.next(&mut new, 10), [i32::MAX - 1, i32::MAX, i32::MIN, i32::MIN + 1]);
        bench.push(i32::MIN + 2, false);
        assert_eq!(bench.next(&mut new, 10), [i32::MIN + 2]);
    }

    #[test]
    fn a_late_event_moves_cursors_and_is_seen_by_new_collectors_only() {
        let mut bench = Bench::with(4);
        let mut old = bench.collector();
        assert_eq!(bench.next(&mut old, 3), [1, 2, 3]);
        // Behind the cursor.
        let late = bench.record(-5, 15, false);
        let place = bench.history.insert(late);
        old.inserted(place);
        assert_eq!(bench.next(&mut old, 1), [4]);
        bench.push(5, false);
        bench.push(6, false);
        // Ahead of the cursor, and with a lower key than what was passed.
        let late = bench.record(-4, 45, false);
        let place = bench.history.insert(late);
        old.inserted(place);
        assert_eq!(bench.next(&mut old, 10), [5, 6]);
        assert_eq!(bench.next(&mut bench.collector(), 10), [1, 2, -5, 3, 4, -4, 5, 6]);
    }

    #[test]
    fn hidden_events_make_pages_short_and_a_page_of_them_stalls() {
        let mut bench = Bench::default();
        for (key, hidden) in [(1, false), (2, true), (3, false), (4, true), (5, true), (6, true), (7, false)] {
            bench.push(key, hidden);
        }
        let mut collector = bench.collector();
        assert_eq!(bench.next(&mut collector, 3), [1, 3]);
        assert!(bench.next(&mut collector, 3).is_empty());
        assert!(bench.next(&mut collector, 3).is_empty());
        // A page that reaches further goes on.
        assert_eq!(bench.next(&mut collector, 4), [7]);
    }

    #[test]
    fn what_is_deleted_is_passed_over() {
        let mut bench = Bench::with(10);
        let mut collector = bench.collector();
        assert_eq!(bench.next(&mut collector, 2), [1, 2]);
        bench.history.keep(3);
        assert_eq!(bench.next(&mut collector, 2), [8, 9]);
        assert_eq!(bench.next(&mut collector, 2), [10]);
    }

    #[test]
    fn the_latest_page_drops_the_smallest_key() {
        let mut bench = Bench::with(12);
        let mut collector = bench.collector();
        collector.set_page(3);
        let keys = |collector: &mut Collector, bench: &Bench| {
            collector.look(&bench.history);
            let mut keys: Vec<_> = collector.latest().map(|record| record.key).collect();
            keys.sort_unstable();
            keys
        };
        assert_eq!(keys(&mut collector, &bench), [10, 11, 12]);
        let before = collector.revision();
        let low = bench.record(-7, 500, false);
        collector.came(&low);
        assert_eq!((keys(&mut collector, &bench), collector.revision()), (vec![10, 11, 12], before));
        let high = bench.record(20, 600, false);
        collector.came(&high);
        assert_eq!((keys(&mut collector, &bench), collector.revision()), (vec![11, 12, 20], before + 1));
    }

    #[test]
    fn counts_out_of_range_are_refused() {
        for good in ["1", " 1000 "] {
            assert!(count(good).is_ok());
        }
        for bad in ["0", "1001", "-1", "", "x"] {
            assert_eq!(count(bad).unwrap_err().fields, "<invalidProperty>maxCount</invalidProperty>");
        }
    }
}
