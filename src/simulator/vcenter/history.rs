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
    /// The user may not see it.
    pub(super) hidden: bool,
    pub(super) body: Arc<Body>,
}

impl Record {
    /// Writes the event as an element of this name.
    pub(super) fn write(&self, out: &mut String, element: &str) {
        let mut digits = itoa::Buffer::new();
        for part in ["<", element, " xsi:type=\"", &self.body.class, "\"><key>"] {
            out.push_str(part);
        }
        out.push_str(digits.format(self.key));
        out.push_str("</key><chainId>");
        out.push_str(digits.format(self.chain));
        for part in
            ["</chainId><createdTime>", &time(self.created), "</createdTime>", &self.body.xml, "</", element, ">"]
        {
            out.push_str(part);
        }
    }
}

/// An `xsd:dateTime` as real servers write it: UTC, microseconds, without trailing zeros.
pub(super) fn time(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).map(|time| time.to_string()).unwrap_or_default()
}

/// The events, oldest first.
#[derive(Debug, Default)]
pub(super) struct History {
    records: VecDeque<Record>,
    /// The place of the first record.
    base: Place,
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

    pub(super) fn get(&self, place: Place) -> Option<&Record> {
        self.records.get(usize::try_from(place.checked_sub(self.base)?).ok()?)
    }

    pub(super) fn push(&mut self, record: Record) {
        self.records.push_back(record);
    }
}
