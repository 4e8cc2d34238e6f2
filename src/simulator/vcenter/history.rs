//! Every event that the vCenter has, in the order in which its database gives them.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::simulator::Body;

/// A place in the history, counted from the first event that there ever was. It never goes back.
pub(super) type Place = u64;

/// One event.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) key: i32,
    pub(super) chain: i32,
    /// Microseconds since 1970, by the vCenter's clock.
    pub(super) created: i64,
    /// How many events there had been when it came: tells what a collector found from what came to it. It wraps.
    pub(super) born: u32,
    /// The user may not see it.
    pub(super) hidden: bool,
    pub(super) body: Arc<Body>,
}

impl Record {
    /// Writes the event as an element of this name.
    pub(super) fn write(&self, out: &mut String, element: &str) {
        for part in ["<", element, " xsi:type=\"", &self.body.class, "\">"] {
            out.push_str(part);
        }
        self.write_inside(out);
        for part in ["</", element, ">"] {
            out.push_str(part);
        }
    }

    /// Writes what is in that element.
    pub(super) fn write_inside(&self, out: &mut String) {
        let mut digits = itoa::Buffer::new();
        out.push_str("<key>");
        out.push_str(digits.format(self.key));
        out.push_str("</key><chainId>");
        out.push_str(digits.format(self.chain));
        out.push_str("</chainId><createdTime>");
        match &self.body.time {
            Some(text) => out.push_str(text),
            None => write_time(out, self.created),
        }
        out.push_str("</createdTime>");
        out.push_str(&self.body.xml);
    }
}

/// Writes an `xsd:dateTime` as real servers do: UTC, microseconds, without trailing zeros.
///
/// Every event of a page has one, so the digits are written straight away.
pub(super) fn write_time(out: &mut String, micros: i64) {
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // The civil calendar in cycles of 400 years that begin on a first of March.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let month_of_year = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month_of_year <= 2);
    let mut part = |value: i64, digits: u32, before: &str| {
        out.push_str(before);
        for place in (0..digits).rev() {
            // One digit is below ten.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            out.push((b'0' + (value / 10_i64.pow(place) % 10) as u8) as char);
        }
    };
    part(year.clamp(0, 9_999), 4, "");
    part(month_of_year, 2, "-");
    part(day_of_month, 2, "-");
    part(second / 3_600, 2, "T");
    part(second / 60 % 60, 2, ":");
    part(second % 60, 2, ":");
    if fraction != 0 {
        let (mut fraction, mut digits) = (fraction, 6);
        while fraction % 10 == 0 {
            (fraction, digits) = (fraction / 10, digits - 1);
        }
        part(fraction, digits, ".");
    }
    out.push('Z');
}

/// The same by itself.
pub(super) fn time(micros: i64) -> String {
    let mut text = String::with_capacity(27);
    write_time(&mut text, micros);
    text
}

/// Microseconds since 1970 of an `xsd:dateTime`.
pub(super) fn parse_time(text: &str) -> Option<i64> {
    let time: jiff::Timestamp = text.trim().parse().ok()?;
    Some(time.as_microsecond())
}

/// The events, oldest first.
#[derive(Debug, Default)]
pub(super) struct History {
    records: VecDeque<Record>,
    /// The place of the first record.
    base: Place,
    /// The clock went back at some time: times do not rise from place to place.
    disordered: bool,
}

impl History {
    /// The place behind the newest event.
    pub(super) fn end(&self) -> Place {
        self.base + self.records.len() as u64
    }

    /// The place of the oldest event that is still there.
    pub(super) fn start(&self) -> Place {
        self.base
    }

    /// How many events there are.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// The newest event.
    pub(super) fn newest(&self) -> Option<&Record> {
        self.records.back()
    }

    /// The events from a place on, oldest first.
    pub(super) fn from(&self, place: Place) -> impl DoubleEndedIterator<Item = &Record> {
        self.records.range(self.index(place)..)
    }

    /// The events before a place, newest first.
    pub(super) fn before(&self, place: Place) -> impl Iterator<Item = &Record> {
        self.records.range(..self.index(place)).rev()
    }

    fn index(&self, place: Place) -> usize {
        let index = usize::try_from(place.saturating_sub(self.base)).unwrap_or(usize::MAX);
        index.min(self.records.len())
    }

    /// The place from which on there may be events of this time or later.
    pub(super) fn place_of_time(&self, micros: i64) -> Place {
        if self.disordered {
            return self.base;
        }
        self.base + self.records.partition_point(|record| record.created < micros) as u64
    }

    /// Adds an event behind all others.
    pub(super) fn push(&mut self, record: Record) {
        self.disordered |= self.records.back().is_some_and(|last| last.created > record.created);
        self.records.push_back(record);
    }

    /// Puts an event where its time belongs, behind those of the same time, and tells where that is.
    pub(super) fn insert(&mut self, record: Record) -> Place {
        let later = self.records.iter().rev().take_while(|other| other.created > record.created).count();
        let index = self.records.len() - later;
        self.records.insert(index, record);
        self.base + index as u64
    }

    /// Deletes the oldest events, down to so many.
    pub(super) fn keep(&mut self, most: usize) {
        let gone = self.records.len().saturating_sub(most);
        self.records.drain(..gone);
        self.base += gone as u64;
    }

    /// Deletes so many of the newest events, as restoring an older backup does.
    pub(super) fn forget_newest(&mut self, events: u64) {
        let left = self.records.len().saturating_sub(usize::try_from(events).unwrap_or(usize::MAX));
        self.records.truncate(left);
    }

    /// Deletes everything.
    pub(super) fn clear(&mut self) {
        self.base = self.end();
        self.records.clear();
        self.disordered = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: i32, created: i64) -> Record {
        Record { key, chain: key, created, born: 0, hidden: false, body: Arc::default() }
    }

    #[test]
    fn times_are_written_as_real_servers_write_them() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2026-11-22T10:44:29.84Z",
            "2024-02-29T23:59:59.000001Z",
            "1999-12-31T01:02:03.123456Z",
            "2000-03-01T00:00:00.1Z",
        ] {
            assert_eq!(time(parse_time(text).unwrap()), text);
        }
        // As another library has it, over a span of days that begin and end in every way.
        for day in (-40_000..40_000_i64).step_by(13) {
            let micros = day * 86_400_000_000 + 45_296_789_012;
            assert_eq!(time(micros), jiff::Timestamp::from_microsecond(micros).unwrap().to_string());
        }
    }

    #[test]
    fn an_event_is_small() {
        assert!(size_of::<Record>() <= 32, "{}", size_of::<Record>());
    }

    #[test]
    fn what_comes_late_goes_where_its_time_belongs() {
        let mut history = History::default();
        for (key, created) in [(1, 10), (2, 20), (3, 20), (4, 30)] {
            history.push(record(key, created));
        }
        assert_eq!(history.insert(record(9, 20)), 3);
        assert_eq!(history.from(0).map(|record| record.key).collect::<Vec<_>>(), [1, 2, 3, 9, 4]);
        assert_eq!(history.place_of_time(20), 1);
        assert_eq!(history.place_of_time(21), 4);
        history.keep(2);
        assert_eq!((history.start(), history.end()), (3, 5));
        assert_eq!(history.from(0).map(|record| record.key).collect::<Vec<_>>(), [9, 4]);
        assert_eq!(history.before(5).map(|record| record.key).collect::<Vec<_>>(), [4, 9]);
        history.forget_newest(1);
        assert_eq!(history.end(), 4);
    }

    #[test]
    fn a_clock_that_went_back_hides_nothing_from_a_search_by_time() {
        let mut history = History::default();
        for (key, created) in [(1, 10), (2, 50), (3, 20)] {
            history.push(record(key, created));
        }
        assert_eq!(history.place_of_time(20), 0);
        history.clear();
        assert_eq!((history.start(), history.end()), (3, 3));
    }
}
