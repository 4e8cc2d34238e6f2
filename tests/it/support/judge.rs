//! Holds what a receiver was sent against what happened: nothing may be missing but what a gap event names, nothing may
//! come twice, and each entity's events come in the order in which they happened.

#![allow(dead_code, reason = "each of the programs that include this file uses a part of it")]

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};

use serde::Deserialize;
use serde_json::value::RawValue;

/// An event's identity: its key, and its CreatedTime in microseconds since 1970.
pub(crate) type Id = (i32, i64);

/// Mistakes that are kept to be shown; the rest is counted.
const MOST_SHOWN: usize = 20;

/// Late events happen next to others that are not, with no more late ones between.
const NEXT: u64 = 50;

/// The router remembers at least so many events, those that it journaled last. When vCenter's clock is set back below
/// what it remembers, it brings older ones again rather than lose any.
const REMEMBERED: u64 = 65_536;

/// What is true of an event that happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Happened {
    /// Its place in the order of all that ever happened.
    pub(crate) seq: u64,
    pub(crate) key: i32,
    pub(crate) created: i64,
    /// The user may not see it: it need not come, and may not.
    pub(crate) hidden: bool,
    /// It came about late, behind what was read already: its order is nobody's promise.
    pub(crate) late: bool,
}

impl Happened {
    /// Reads a line of the simulator's ledger: number, key, CreatedTime, flags.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (seq, key, created) =
            (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let flags = words.next().unwrap_or_default();
        Some(Self { seq, key, created, hidden: flags.contains('h'), late: flags.contains('l') })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Data<'a> {
    key: Option<i32>,
    created_time: Option<String>,
    #[serde(borrow)]
    vm: Option<&'a RawValue>,
    #[serde(borrow)]
    host: Option<&'a RawValue>,
    #[serde(borrow)]
    compute_resource: Option<&'a RawValue>,
    #[serde(borrow)]
    ds: Option<&'a RawValue>,
    #[serde(borrow)]
    net: Option<&'a RawValue>,
    #[serde(borrow)]
    datacenter: Option<&'a RawValue>,
    raw_xml: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// What came of it all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) happened: u64,
    pub(crate) received: u64,
    /// What is missing and lies in a gap that was told.
    pub(crate) in_gaps: u64,
    pub(crate) gaps: u64,
    /// Events that came with `DecodeError`.
    pub(crate) undecoded: u64,
    pub(crate) owed: u64,
    /// Events that came again when the router could not remember them any more.
    pub(crate) again: u64,
    pub(crate) mistakes: u64,
    pub(crate) shown: Vec<String>,
}

/// The judge of one run.
#[derive(Default)]
pub(crate) struct Judge {
    /// What happened, with whatever is needed until it has come.
    owed: HashMap<Id, Happened>,
    /// What has not come and lies in a gap that was told; and the places of those that are not late.
    excused: HashMap<Id, Happened>,
    lost: BTreeSet<u64>,
    /// What came before it was known to have happened, by entity, in the order in which it came.
    arrivals: HashMap<Box<str>, VecDeque<Id>>,
    /// Where each entity is.
    newest: HashMap<Box<str>, u64>,
    /// Each event's id, and how many had come before it.
    ids: HashMap<Box<str>, u64>,
    gaps: Vec<(i64, i64)>,
    /// What came without a readable time, by key.
    timeless: Vec<i32>,
    happened: u64,
    received: u64,
    undecoded: u64,
    again: u64,
    /// What comes again is no mistake: the router is killed now and then.
    repeats: bool,
    mistakes: u64,
    shown: Vec<String>,
}

fn micros(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(|time| time.as_microsecond())
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let rest = &text[text.find(start)? + start.len()..];
    Some(&rest[..rest.find(end)?])
}

fn in_gap(gaps: &[(i64, i64)], created: i64) -> bool {
    gaps.iter().any(|(from, to)| (*from..=*to).contains(&created))
}

impl Judge {
    /// One that counts what comes twice, and does not mind it.
    pub(crate) fn lenient() -> Self {
        Self { repeats: true, ..Self::default() }
    }

    fn mistake(&mut self, text: String) {
        self.mistakes += 1;
        if self.shown.len() < MOST_SHOWN {
            self.shown.push(text);
        }
    }

    /// An event happened.
    pub(crate) fn happened(&mut self, event: Happened) {
        self.happened += 1;
        let id = (event.key, event.created);
        if self.owed.insert(id, event).is_some() {
            self.mistake(format!("the simulator made two events {id:?}"));
        }
    }

    /// An event came: a CloudEvent in structured JSON.
    pub(crate) fn received(&mut self, json: &[u8]) {
        let read = serde_json::from_slice::<Envelope<'_>>(json);
        let data = read.as_ref().ok().and_then(|event| serde_json::from_str::<Data<'_>>(event.data.get()).ok());
        let (Ok(event), Some(data)) = (read, data) else {
            self.mistake(format!("no event: {}", String::from_utf8_lossy(&json[..json.len().min(300)])));
            return;
        };
        match self.ids.entry(event.id.as_str().into()) {
            Entry::Vacant(new) => drop(new.insert(self.received)),
            Entry::Occupied(before) if self.repeats || self.received - before.get() >= REMEMBERED => {
                self.again += 1;
                return;
            }
            Entry::Occupied(_) => {
                self.mistake(format!("twice: {} key {:?} of {:?}", event.id, data.key, data.created_time));
                return;
            }
        }
        if event.kind.ends_with("/gap") {
            let span = data.from.as_deref().and_then(micros).zip(data.to.as_deref().and_then(micros));
            match span {
                Some(span) => self.gaps.push(span),
                None => self.mistake("a gap without a span".to_owned()),
            }
            return;
        }
        self.received += 1;
        let (mut key, mut created) = (data.key, data.created_time.as_deref().and_then(micros));
        if let Some(raw) = &data.raw_xml {
            self.undecoded += 1;
            key = between(raw, "<key>", "</key>").and_then(|key| key.parse().ok());
            created = between(raw, "<createdTime>", "</createdTime>").and_then(micros);
        }
        let Some(key) = key else {
            self.mistake(format!("an event without a key: {}", event.id));
            return;
        };
        let Some(created) = created else {
            self.timeless.push(key);
            return;
        };
        let entity = [data.vm, data.host, data.compute_resource, data.ds, data.net, data.datacenter];
        let entity = entity.into_iter().flatten().find(|entity| entity.get() != "null");
        // What could not be decoded has no order.
        let entity = entity.filter(|_| data.raw_xml.is_none()).map_or("", |entity| entity.get());
        // The name may change; the reference in it does not.
        let entity = between(entity, "\"Value\":\"", "\"").unwrap_or_default();
        self.arrivals.entry(entity.into()).or_default().push_back((key, created));
    }

    /// Holds what came against what happened, as far as both are known.
    pub(crate) fn compare(&mut self) {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        for (entity, came) in &mut arrivals {
            while let Some(event) = came.front().copied().and_then(|id| self.settle(&id)) {
                came.pop_front();
                if event.hidden {
                    self.mistake(format!("a hidden event came: {event:?}"));
                }
                if event.late || entity.is_empty() {
                    continue;
                }
                let newest = self.newest.entry(entity.clone()).or_default();
                let before = *newest;
                *newest = before.max(event.seq);
                if before > event.seq {
                    self.mistake(format!("out of order for {entity}: {event:?} after number {before}"));
                }
            }
        }
        arrivals.retain(|_, came| !came.is_empty());
        self.arrivals = arrivals;
        for key in std::mem::take(&mut self.timeless) {
            // The newest one with that key: others may have had it and be lost.
            let with_key = self.owed.iter().chain(&self.excused).filter(|((owed, _), _)| *owed == key);
            let id = with_key.max_by_key(|(_, event)| event.seq).map(|(id, _)| *id);
            match id {
                Some(id) => drop(self.settle(&id)),
                None => self.timeless.push(key),
            }
        }
        self.excuse();
    }

    /// How many events came.
    pub(crate) fn received_count(&self) -> u64 {
        self.received
    }

    /// Excuses what lies in a gap that was told.
    ///
    /// A gap names when what is missing happened. A late event that is lost with what happened at the same time is dated
    /// earlier, and nobody who has never seen it can tell when.
    fn excuse(&mut self) {
        let gaps = std::mem::take(&mut self.gaps);
        for event in
            self.owed.extract_if(|_, event| !event.hidden && in_gap(&gaps, event.created)).map(|(_, event)| event)
        {
            if !event.late {
                self.lost.insert(event.seq);
            }
            self.excused.insert((event.key, event.created), event);
        }
        self.gaps = gaps;
        let next_to = |seqs: &BTreeSet<u64>, event: &Happened| {
            let any = |from: u64, to: u64| seqs.range(from..to).next().is_some();
            any(event.seq.saturating_sub(NEXT), event.seq) && any(event.seq, event.seq + NEXT)
        };
        for (id, event) in self.owed.extract_if(|_, event| event.late && next_to(&self.lost, event)) {
            self.excused.insert(id, event);
        }
    }

    /// An event that came is needed no more.
    fn settle(&mut self, id: &Id) -> Option<Happened> {
        let event = self.owed.remove(id).or_else(|| self.excused.remove(id))?;
        self.lost.remove(&event.seq);
        Some(event)
    }

    /// How many visible events have not come and lie in no gap.
    pub(crate) fn owed(&self) -> u64 {
        self.owed.values().filter(|event| !event.hidden).count() as u64
    }

    /// How many events have happened from the first on that has not come and lies in no gap, hidden ones too.
    pub(crate) fn unread(&self) -> u64 {
        let owed = self.owed.values().filter(|event| !event.hidden).map(|event| event.seq);
        owed.min().map_or(0, |first| self.happened.saturating_sub(first))
    }

    /// Whether there are late events that have not come, though others have that happened at the same time. Were they
    /// lost now, nobody could know.
    pub(crate) fn owes_late(&self) -> bool {
        let late = self.owed.values().filter(|event| event.late).map(|event| event.seq);
        let late: BTreeSet<u64> = late.collect();
        let near = |seq: u64| late.range(seq.saturating_sub(NEXT)..seq + NEXT).next().is_some();
        let missing = self.owed.values().filter(|event| !event.late && !event.hidden && near(event.seq)).count();
        !late.is_empty() && missing < late.len()
    }

    /// The verdict so far. Those that are still owed are mistakes if all should be there.
    pub(crate) fn verdict(&mut self, all: bool) -> Verdict {
        self.compare();
        let owed: Vec<_> = self.owed.values().filter(|event| !event.hidden).copied().collect();
        let (mut mistakes, mut shown) = (self.mistakes, self.shown.clone());
        let unknown = self.arrivals.values().flatten().copied().collect::<Vec<_>>();
        if all {
            mistakes += (owed.len() + unknown.len() + self.timeless.len()) as u64;
            let mut missing = owed.clone();
            missing.sort_unstable_by_key(|event| event.seq);
            shown.extend(missing.iter().take(MOST_SHOWN).map(|event| format!("missing: {event:?}")));
            shown.extend(unknown.iter().take(MOST_SHOWN).map(|id| format!("never happened: {id:?}")));
            shown.extend(self.timeless.iter().take(MOST_SHOWN).map(|key| format!("never happened: key {key}")));
        }
        Verdict {
            happened: self.happened,
            received: self.received,
            in_gaps: self.excused.len() as u64,
            gaps: self.gaps.len() as u64,
            undecoded: self.undecoded,
            owed: owed.len() as u64,
            again: self.again,
            mistakes,
            shown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_795_348_800_000_000;

    fn event(key: i32, micros: i64, vm: &str) -> Vec<u8> {
        let time = jiff::Timestamp::from_microsecond(NOON + micros).unwrap();
        format!(
            r#"{{"id":"{key}/{micros}","type":"t/event","data":{{"Key":{key},"CreatedTime":"{time}","Vm":{{"Name":"a","Vm":{{"Type":"VirtualMachine","Value":"{vm}"}}}},"Host":null}}}}"#
        )
        .into_bytes()
    }

    fn judge(of: &[i32]) -> Judge {
        let mut judge = Judge::default();
        for key in of {
            let created = NOON + i64::from(*key);
            judge.happened(Happened { seq: *key as u64, key: *key, created, ..Happened::default() });
        }
        judge
    }

    #[test]
    fn what_came_once_and_in_order_is_well() {
        let mut judge = judge(&[1, 2, 3]);
        for key in [1, 2, 3] {
            judge.received(&event(key, i64::from(key), "vm-1"));
        }
        let verdict = judge.verdict(true);
        assert_eq!((verdict.mistakes, verdict.owed, verdict.received), (0, 0, 3), "{verdict:?}");
    }

    #[test]
    fn what_is_missing_twice_strange_or_out_of_order_is_a_mistake() {
        let missing = |judge: &mut Judge| judge.received(&event(1, 1, "vm-1"));
        let twice =
            |judge: &mut Judge| [1, 2, 2].iter().for_each(|key| judge.received(&event(*key, i64::from(*key), "vm-1")));
        let strange =
            |judge: &mut Judge| [1, 2, 9].iter().for_each(|key| judge.received(&event(*key, i64::from(*key), "vm-1")));
        let disorder =
            |judge: &mut Judge| [2, 1].iter().for_each(|key| judge.received(&event(*key, i64::from(*key), "vm-1")));
        for wrong in [&missing as &dyn Fn(&mut Judge), &twice, &strange, &disorder] {
            let mut judge = judge(&[1, 2]);
            wrong(&mut judge);
            let verdict = judge.verdict(true);
            assert_eq!(verdict.mistakes, 1, "{verdict:?}");
        }
        let mut judge = judge(&[1, 2]);
        [2, 1].iter().for_each(|key| judge.received(&event(*key, i64::from(*key), &format!("vm-{key}"))));
        assert_eq!(judge.verdict(true).mistakes, 0, "other entities have another order");
    }

    #[test]
    fn what_comes_again_after_very_many_others_was_forgotten() {
        for (others, mistakes) in [(REMEMBERED as i32 - 1, 0), (REMEMBERED as i32 - 2, 1)] {
            let mut judge = Judge::default();
            for key in 1..=others + 1 {
                let created = NOON + i64::from(key);
                judge.happened(Happened { seq: key as u64, key, created, ..Happened::default() });
                judge.received(&event(key, i64::from(key), "vm-1"));
            }
            judge.received(&event(1, 1, "vm-1"));
            let verdict = judge.verdict(true);
            assert_eq!((verdict.mistakes, verdict.again), (mistakes, 1 - mistakes), "{verdict:?}");
        }
    }

    #[test]
    fn a_gap_excuses_what_lies_in_it() {
        let mut judge = judge(&[1, 2, 3_000_000]);
        let gap = r#"{"id":"g","type":"t/gap","data":{"From":"2026-11-22T12:00:00Z","To":"2026-11-22T12:00:01Z","Reason":"r"}}"#;
        assert_eq!(micros("2026-11-22T12:00:00Z"), Some(NOON));
        judge.received(gap.as_bytes());
        let verdict = judge.verdict(true);
        assert_eq!((verdict.mistakes, verdict.in_gaps, verdict.gaps), (1, 2, 1), "{verdict:?}");
    }

    #[test]
    fn a_late_event_is_lost_with_what_happened_at_the_same_time() {
        let told = |gap: &str| {
            let mut judge = Judge::default();
            for (seq, created, late) in [(1, 1, false), (2, 2, false), (3, -9_000_000, true), (4, 3, false)] {
                judge.happened(Happened { seq, key: seq as i32, created: NOON + created, late, ..Happened::default() });
            }
            judge.received(&event(1, 1, "vm-1"));
            judge.received(gap.as_bytes());
            judge.verdict(true).mistakes
        };
        let gap = |from: &str, to: &str| {
            format!(
                r#"{{"id":"g","type":"t/gap","data":{{"From":"2026-11-22T12:00:00.{from}Z","To":"2026-11-22T12:00:00.{to}Z","Reason":"r"}}}}"#
            )
        };
        assert_eq!(told(&gap("000002", "000003")), 0);
        assert_eq!(told(&gap("000002", "000002")), 2, "what happened after it is owed, and so is it");
        assert_eq!(told(&gap("000003", "000003")), 2, "and what happened before");
    }

    #[test]
    fn what_cannot_be_decoded_is_known_by_its_xml() {
        let mut judge = judge(&[1, 2]);
        let time = jiff::Timestamp::from_microsecond(NOON + 1).unwrap();
        let whole = format!(
            r#"{{"id":"a","type":"t/event","data":{{"DecodeError":"e","RawXml":"<returnval><key>1</key><createdTime>{time}</createdTime></returnval>"}}}}"#
        );
        let timeless = r#"{"id":"b","type":"t/event","data":{"DecodeError":"e","RawXml":"<returnval><key>2</key><createdTime>noon</createdTime></returnval>"}}"#;
        judge.received(whole.as_bytes());
        judge.received(timeless.as_bytes());
        let verdict = judge.verdict(true);
        assert_eq!((verdict.mistakes, verdict.undecoded, verdict.owed), (0, 2, 0), "{verdict:?}");
    }
}
