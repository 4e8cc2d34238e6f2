//! From a page of XML to events of the router.

use std::sync::Arc;

use memchr::memmem;
use uuid::Uuid;

use super::session::{Seen, format_time};
use crate::event::{Attributes, Event, PageBuilder, TYPE_PREFIX, event_id, raw_event_id, write_json_string};
use crate::vim25::{Decoder, EventKind, PageError, Shape, Unread};

/// An event that was passed on with what could be read of it.
#[derive(Debug)]
pub(crate) struct Undecoded {
    pub(crate) id: String,
    pub(crate) subject: String,
    pub(crate) why: String,
}

/// What a page held.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// How many events it had, wanted or not.
    pub(crate) count: usize,
    /// Those that are wanted, oldest first.
    pub(crate) events: Vec<Event>,
    /// The CreatedTime of its newest event, wanted or not.
    pub(crate) newest: Option<i64>,
    /// The key that came last.
    pub(crate) last_key: Option<i32>,
    /// Events among them that are not whole.
    pub(crate) undecoded: Vec<Undecoded>,
    /// Why the page could not be read to its end.
    pub(crate) error: Option<PageError>,
}

/// Events that are read before others have their turn: a few tenths of a millisecond.
const TURN: usize = 100;

/// A page that is being read.
struct Reading<'a> {
    /// The rest of it, unless it is nothing of the kind.
    unread: Option<Unread<'a>>,
    page: Page,
    /// When the event before was created.
    before: Option<i64>,
    /// How many times, and keys, went up and down from one event to the next.
    times: (usize, usize),
    keys: (usize, usize),
}

/// Makes events of one vCenter's pages.
pub(crate) struct PageReader {
    decoder: Decoder,
    builder: PageBuilder,
    instance: Uuid,
}

impl Page {
    /// Leaves only the first `count` events.
    pub(crate) fn truncate(&mut self, count: usize) {
        let Self { events, undecoded, .. } = self;
        events.truncate(count);
        undecoded.retain(|told| events.iter().any(|event| event.id() == told.id));
        self.newest = events.iter().filter_map(Event::created).max();
    }

    /// Takes out the first `count` events.
    pub(crate) fn take(&mut self, count: usize) -> Self {
        let events: Vec<Event> = self.events.drain(..count).collect();
        let (undecoded, rest) =
            self.undecoded.drain(..).partition(|told| events.iter().any(|event| event.id() == told.id));
        self.undecoded = rest;
        Self { events, undecoded, ..Self::default() }
    }

    /// Takes in the page that follows.
    pub(crate) fn absorb(&mut self, mut next: Self) {
        self.count += next.count;
        self.events.append(&mut next.events);
        self.newest = self.newest.max(next.newest);
        self.last_key = next.last_key.or(self.last_key);
        self.undecoded.append(&mut next.undecoded);
    }
}

impl PageReader {
    /// `api_version` is the server's, and becomes an extension attribute of newer shapes.
    pub(crate) fn new(stream: Arc<str>, source: &str, shape: Shape, instance: Uuid, api_version: &str) -> Self {
        let extension = [("vsphereapiversion", api_version)];
        // Today's event stays today's event.
        let extensions = if shape == Shape::V6_7 { &[][..] } else { &extension[..] };
        Self { decoder: Decoder::new(shape), builder: PageBuilder::new(stream, source, extensions), instance }
    }

    /// Reads a page and keeps the events that `keep` wants; those without a readable key or time are always wanted. Whoever
    /// has something to do meanwhile has a turn now and then.
    pub(crate) async fn read(&mut self, xml: &[u8], mut keep: impl FnMut(Seen) -> bool) -> Page {
        let mut reading = self.begin(xml);
        while self.go_on(&mut reading, TURN, &mut keep) {
            tokio::task::yield_now().await;
        }
        self.end(reading)
    }

    /// The same in one go.
    pub(crate) fn read_at_once(&mut self, xml: &[u8], mut keep: impl FnMut(Seen) -> bool) -> Page {
        let mut reading = self.begin(xml);
        while self.go_on(&mut reading, usize::MAX, &mut keep) {}
        self.end(reading)
    }

    fn begin<'a>(&mut self, xml: &'a [u8]) -> Reading<'a> {
        // There may be some of a page that was given up.
        self.builder.finish();
        let mut page = Page::default();
        let unread = Unread::open(xml).map_err(|error| page.error = Some(error)).ok();
        Reading { unread, page, before: None, times: (0, 0), keys: (0, 0) }
    }

    /// Reads the next events, `most` at most. Whether there are more.
    fn go_on(&mut self, reading: &mut Reading<'_>, most: usize, mut keep: impl FnMut(Seen) -> bool) -> bool {
        let Self { decoder, builder, instance } = self;
        let Reading { unread, page, before, times, keys } = reading;
        let Some(rest) = unread else { return false };
        let mut buffer = Uuid::encode_buffer();
        let read = decoder.read(rest, most, |event| {
            page.count += 1;
            if let Some((before, key)) = page.last_key.zip(event.key) {
                // Keys wrap; the shorter way round is the way that was gone.
                match key.wrapping_sub(before) {
                    1.. => keys.0 += 1,
                    ..0 => keys.1 += 1,
                    0 => {}
                }
            }
            page.last_key = event.key.or(page.last_key);
            let created = event.created.map(|created| created.micros);
            if let Some(created) = created {
                page.newest = Some(page.newest.map_or(created, |newest| newest.max(created)));
                match before.replace(created) {
                    Some(before) if before < created => times.0 += 1,
                    Some(before) if before > created => times.1 += 1,
                    _ => {}
                }
            }
            let id = match event.key.zip(created) {
                Some(seen) if !keep(seen) => return,
                Some((key, created)) => event_id(*instance, key, created),
                None => raw_event_id(*instance, event.raw),
            };
            let id: &str = id.as_hyphenated().encode_lower(&mut buffer);
            if let Some(why) = event.error {
                let (id, subject, why) = (id.to_owned(), event.subject.to_owned(), why.to_owned());
                page.undecoded.push(Undecoded { id, subject, why });
            }
            let attributes = Attributes {
                id,
                kind: kind(event.kind),
                subject: event.subject,
                time: event.created.map_or("", |created| created.text),
                entity: event.entity.unwrap_or_default(),
                key: event.key,
                created,
            };
            builder.push(&attributes, event.data);
        });
        read.unwrap_or_else(|error| {
            page.error = Some(error);
            false
        })
    }

    fn end(&mut self, Reading { mut page, times, keys, .. }: Reading<'_>) -> Page {
        page.events = self.builder.finish();
        // A page that comes newest first; neither one late event in a page makes it so, nor a clock that was set back.
        if times.1 > times.0 && keys.1 > keys.0 {
            page.events.reverse();
        }
        page
    }

    /// The event that is all that a page which is not well-formed holds.
    pub(crate) fn broken(&mut self, xml: &[u8], why: &str) -> (Event, Undecoded) {
        let raw = element(xml);
        let id = raw_event_id(self.instance, raw).to_string();
        let text = String::from_utf8_lossy(raw);
        let subject = class(&text).unwrap_or_default().to_owned();
        let mut data = b"{\"DecodeError\":".to_vec();
        write_json_string(&mut data, why);
        data.extend_from_slice(b",\"RawXml\":");
        write_json_string(&mut data, &text);
        data.push(b'}');
        let attributes =
            Attributes { id: &id, kind: kind(EventKind::Event), subject: &subject, ..Attributes::default() };
        let event = self.alone(&attributes, &data);
        (event, Undecoded { id, subject, why: why.to_owned() })
    }

    /// The event that tells of events that are missing.
    pub(crate) fn gap(&mut self, from: i64, to: i64, reason: &str) -> Event {
        let (from, to) = (format_time(from), format_time(to));
        let id = raw_event_id(self.instance, format!("gap/{from}/{to}").as_bytes()).to_string();
        let mut data = b"{\"From\":".to_vec();
        write_json_string(&mut data, &from);
        data.extend_from_slice(b",\"To\":");
        write_json_string(&mut data, &to);
        data.extend_from_slice(b",\"Reason\":");
        write_json_string(&mut data, reason);
        data.push(b'}');
        let kind = format!("{TYPE_PREFIX}gap");
        let attributes = Attributes { id: &id, kind: &kind, subject: "EventGap", time: &to, ..Attributes::default() };
        self.alone(&attributes, &data)
    }

    /// An event that is on no page.
    fn alone(&mut self, attributes: &Attributes<'_>, data: &[u8]) -> Event {
        // There may be some of a page that was given up.
        self.builder.finish();
        self.builder.push(attributes, data);
        // One was pushed.
        self.builder.finish().remove(0)
    }
}

/// The CloudEvents type: [`TYPE_PREFIX`] and the kind.
fn kind(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Event => "com.vmware.event.router/event",
        EventKind::EventEx => "com.vmware.event.router/eventex",
        EventKind::ExtendedEvent => "com.vmware.event.router/extendedevent",
    }
}

/// The `returnval` of a page that holds one, without reading it as XML.
fn element(xml: &[u8]) -> &[u8] {
    let start = memmem::find(xml, b"<returnval").unwrap_or(0);
    let end = memmem::rfind(xml, b"</returnval>").map_or(xml.len(), |at| at + b"</returnval>".len());
    xml.get(start..end).unwrap_or(xml)
}

/// The class that the start tag names, as far as that can be told.
fn class(raw: &str) -> Option<&str> {
    let tag = raw.get(..raw.find('>')?)?;
    let value = &tag[tag.find(":type=\"")? + ":type=\"".len()..];
    let class = value.split('"').next()?;
    class.bytes().all(|b| b.is_ascii_alphanumeric()).then_some(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(shape: Shape) -> PageReader {
        PageReader::new("vc".into(), "https://vc/sdk", shape, Uuid::from_u128(7), "8.0.3.0")
    }

    fn page(events: &[(i32, &str)]) -> Vec<u8> {
        let mut xml = r#"<E:Envelope xmlns:E="http://schemas.xmlsoap.org/soap/envelope/"><E:Body><ReadNextEventsResponse xmlns="urn:vim25">"#.to_owned();
        for (key, time) in events {
            xml.push_str(&format!(
                r#"<returnval xsi:type="VmPoweredOnEvent"><key>{key}</key><chainId>1</chainId><createdTime>{time}</createdTime><userName>u</userName></returnval>"#
            ));
        }
        xml.push_str("</ReadNextEventsResponse></E:Body></E:Envelope>");
        xml.into_bytes()
    }

    fn keys(page: &Page) -> Vec<i32> {
        page.events.iter().map(|event| event.key().unwrap()).collect()
    }

    #[test]
    fn events_get_ids_that_never_change() {
        let xml = page(&[(-3, "2026-11-22T10:44:29.842858334Z")]);
        let read = reader(Shape::V6_7).read_at_once(&xml, |_| true);
        let event = &read.events[0];
        assert_eq!(event.id(), event_id(Uuid::from_u128(7), -3, 1_795_344_269_842_858).to_string());
        assert_eq!((event.kind(), event.subject()), ("com.vmware.event.router/event", "VmPoweredOnEvent"));
        assert_eq!(event.time(), "2026-11-22T10:44:29.842858334Z");
        assert!(!String::from_utf8_lossy(&event.json()).contains("vsphereapiversion"));
        let newer = reader(Shape::LATEST).read_at_once(&xml, |_| true);
        assert!(String::from_utf8_lossy(&newer.events[0].json()).ends_with(r#","vsphereapiversion":"8.0.3.0"}"#));
    }

    #[test]
    fn a_page_that_comes_newest_first_is_turned_round() {
        let times = ["2026-11-22T10:00:03Z", "2026-11-22T10:00:02Z", "2026-11-22T10:00:02Z", "2026-11-22T10:00:01Z"];
        let newest_first: Vec<_> = times.iter().zip([4, 3, 2, 1]).map(|(time, key)| (key, *time)).collect();
        let read = reader(Shape::V6_7).read_at_once(&page(&newest_first), |_| true);
        assert_eq!(keys(&read), [1, 2, 3, 4]);
        let late = [(1, times[2]), (2, times[1]), (3, times[0]), (4, times[3])];
        let read = reader(Shape::V6_7).read_at_once(&page(&late), |_| true);
        assert_eq!(keys(&read), [1, 2, 3, 4], "one late event does not turn a page round");
        assert_eq!(read.newest, super::super::session::parse_time(times[0]));
    }

    #[tokio::test]
    async fn others_have_their_turn_while_a_page_is_read_and_it_is_the_same_page() {
        let events: Vec<_> =
            (0..i32::try_from(TURN).unwrap() * 2 + 1).map(|key| (key, "2026-11-22T10:00:01Z")).collect();
        let xml = page(&events);
        let mut reader = reader(Shape::V6_7);
        let wanted = |(key, _)| key % 3 > 0;
        {
            let mut given_up = std::pin::pin!(reader.read(&xml, wanted));
            for _ in 0..2 {
                assert!(futures_util::poll!(&mut given_up).is_pending());
            }
        }
        let gap = reader.gap(0, 1, "gone");
        assert_eq!(gap.subject(), "EventGap", "what was read of the page given up is not in its place");
        let read = reader.read(&xml, wanted).await;
        let at_once = reader.read_at_once(&xml, wanted);
        assert_eq!((read.count, keys(&read)), (events.len(), keys(&at_once)));
        assert_eq!((read.last_key, read.newest), (at_once.last_key, at_once.newest));
        assert_eq!(read.events.len(), events.len() - events.len().div_ceil(3));
        let broken = &xml[..xml.len() - 10];
        let read = reader.read(broken, wanted).await;
        assert_eq!((read.count, read.error), (events.len(), reader.read_at_once(broken, wanted).error));
        assert_eq!(reader.read(b"<html>", wanted).await.error, reader.read_at_once(b"<html>", wanted).error);
    }

    #[test]
    fn unwanted_events_count_but_are_not_kept() {
        let xml = page(&[(1, "2026-11-22T10:00:01Z"), (2, "2026-11-22T10:00:02Z")]);
        let read = reader(Shape::V6_7).read_at_once(&xml, |(key, _)| key == 2);
        assert_eq!((read.count, keys(&read), read.last_key), (2, vec![2], Some(2)));
    }

    #[test]
    fn what_comes_before_the_damage_is_kept_and_the_damaged_event_is_passed_on() {
        let mut xml = page(&[(1, "2026-11-22T10:00:01Z"), (2, "2026-11-22T10:00:02Z")]);
        let at = memmem::rfind(&xml, b"<chainId>").unwrap();
        xml[at + 9] = 0x01;
        let read = reader(Shape::V6_7).read_at_once(&xml, |_| true);
        assert_eq!(keys(&read), [1]);
        let why = read.error.unwrap().to_string();
        let mut alone = page(&[(2, "2026-11-22T10:00:02Z")]);
        let at = memmem::rfind(&alone, b"<chainId>").unwrap();
        alone[at + 9] = 0x01;
        let (event, undecoded) = reader(Shape::V6_7).broken(&alone, &why);
        assert_eq!((event.subject(), undecoded.subject.as_str()), ("VmPoweredOnEvent", "VmPoweredOnEvent"));
        let data: serde_json::Value = serde_json::from_slice(&event.data()).unwrap();
        assert_eq!(data["DecodeError"], why);
        assert!(data["RawXml"].as_str().unwrap().starts_with("<returnval"));
        for bad in [&b""[..], b"<", b"<returnval", b"\xff\xfe<returnval a:type=\"", b"</returnval><returnval"] {
            reader(Shape::V6_7).broken(bad, "why");
        }
    }

    #[test]
    fn a_gap_is_an_event() {
        let event = reader(Shape::V6_7).gap(0, 1_000_000, "gone");
        assert_eq!((event.kind(), event.subject()), ("com.vmware.event.router/gap", "EventGap"));
        assert_eq!(event.data(), r#"{"From":"1970-01-01T00:00:00Z","To":"1970-01-01T00:00:01Z","Reason":"gone"}"#);
    }
}
