//! An event as EventBridge takes it, and as its rules see it then.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ring::digest;

use crate::event::Event;
use crate::pattern::{Part, Patterns};

/// What AWS counts for the time of an entry.
const TIME_BYTES: usize = 14;

/// What kind of event it is. AWS wants that said, so an event without a subject says its type.
pub(super) fn detail_type(event: &Event) -> &str {
    match event.subject() {
        "" => event.kind(),
        subject => subject,
    }
}

/// The entity that it is about, as vCenter's other interfaces name it: `vm-56`.
pub(super) fn resource(event: &Event) -> Option<&str> {
    event.entity().split_once(':').map(|(_, reference)| reference).filter(|reference| !reference.is_empty())
}

/// The bytes of an entry, as AWS counts them.
pub(super) fn weight(event: &Event) -> usize {
    let resource = resource(event).map_or(0, str::len);
    TIME_BYTES + event.source().len() + detail_type(event).len() + event.json().len() + resource
}

/// When it happened, in microseconds since 1970.
pub(super) fn happened(event: &Event) -> Option<i64> {
    event.created().or_else(|| Some(event.time().parse::<Timestamp>().ok()?.as_microsecond()))
}

/// An event's JSON as text. It is UTF-8, which is looked at quickly.
pub(super) fn text(json: &[u8]) -> Cow<'_, str> {
    match simdutf8::basic::from_utf8(json) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(json),
    }
}

/// The same trace however often the event is sent: the seconds of its time, and a digest of its id.
pub(super) fn trace(id: &str, micros: Option<i64>) -> ([u8; 4], [u8; 12]) {
    let seconds = micros.and_then(|micros| u32::try_from(micros.div_euclid(1_000_000)).ok()).unwrap_or_default();
    let digest = digest::digest(&digest::SHA256, id.as_bytes());
    // SHA-256 has 32 bytes.
    let first = digest.as_ref().first_chunk().copied().unwrap_or_default();
    (seconds.to_be_bytes(), first)
}

/// What AWS writes into each event about where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The account that sends, which need not be the bus's; none where nobody can say whose that is.
    pub(super) account: Option<String>,
    pub(super) region: String,
}

/// The event's time as AWS writes it, in whole seconds.
fn whole_seconds(event: &Event) -> Option<Cow<'_, str>> {
    let time = event.time();
    // As vCenter's events have it.
    if time.ends_with('Z') && matches!(time.as_bytes().get(19), Some(b'.')) {
        return Some(Cow::Owned(format!("{}Z", time.get(..19)?)));
    }
    if time.ends_with('Z') && time.len() == 20 {
        return Some(Cow::Borrowed(time));
    }
    let time = Timestamp::from_microsecond(happened(event)?).ok()?;
    Some(Cow::Owned(time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()))
}

/// The event as it will be on the bus, as far as that is known: without a place, account and region are not.
pub(super) fn with_envelope<T>(event: &Event, place: Option<&Place>, see: impl FnOnce(&[(&str, Part<'_>)]) -> T) -> T {
    let (json, source, time) = (event.json(), event.source(), whole_seconds(event));
    let resource = resource(event);
    let resources = [resource.unwrap_or_default()];
    see(&[
        ("version", Part::Text("0")),
        // AWS makes it.
        ("id", Part::Unknown),
        ("detail-type", Part::Text(detail_type(event))),
        ("source", Part::Text(&source)),
        ("account", place.and_then(|place| place.account.as_deref()).map_or(Part::Unknown, Part::Text)),
        ("time", time.as_deref().map_or(Part::Unknown, Part::Text)),
        ("region", place.map_or(Part::Unknown, |place| Part::Text(&place.region))),
        ("resources", Part::Texts(if resource.is_some() { &resources } else { &[] })),
        ("detail", Part::Json(&json)),
    ])
}

/// Whether one of the patterns means the event as it will be on the bus.
pub(super) fn is_meant(event: &Event, place: &Place, patterns: &Patterns) -> bool {
    with_envelope(event, Some(place), |envelope| patterns.any(envelope))
}

/// The same as JSON, with zeros for an id and for an account that is not known.
pub(super) fn envelope(event: &Event, place: &Place) -> String {
    let value = |name: &str, part: &Part<'_>| match part {
        Part::Text(text) => (*text).into(),
        Part::Texts(texts) => (*texts).into(),
        Part::Json(json) => serde_json::from_slice(json).unwrap_or_default(),
        Part::Unknown if name == "id" => "00000000-0000-0000-0000-000000000000".into(),
        Part::Unknown if name == "account" => "000000000000".into(),
        Part::Unknown => serde_json::Value::Null,
    };
    with_envelope(event, Some(place), |parts| {
        let members = parts.iter().map(|(name, part)| ((*name).to_owned(), value(name, part)));
        serde_json::Value::Object(members.collect()).to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::super::body::Body;
    use super::*;
    use crate::event::{Attributes, PageBuilder};
    use crate::pattern::Pattern;

    fn event(attributes: &Attributes<'_>) -> Event {
        let mut page = PageBuilder::new("vc".into(), "https://10.0.0.1:443/sdk", &[]);
        page.push(attributes, br#"{"Key":9902,"Vm":{"Name":"web-1"}}"#);
        page.finish().remove(0)
    }

    fn powered_on() -> Event {
        event(&Attributes {
            id: "08179137-b8e0-4973-b05f-8f212bf5003b",
            kind: "com.vmware.event.router/event",
            subject: "VmPoweredOnEvent",
            time: "2020-02-11T21:28:23.9052539Z",
            entity: "VirtualMachine:vm-56",
            key: Some(9902),
            created: Some(1_581_456_503_905_253),
        })
    }

    /// What puts the event on a bus.
    fn entry(event: &Event, bus: &str) -> serde_json::Value {
        let mut body: serde_json::Value = serde_json::from_slice(Body::new(&[event], bus).bytes()).unwrap();
        body["Entries"][0].take()
    }

    #[test]
    fn an_entry_holds_the_whole_event_and_is_the_same_each_time() {
        let event = powered_on();
        let entry = entry(&event, "vmware");
        assert_eq!(entry["Source"], "https://10.0.0.1:443/sdk");
        assert_eq!(entry["DetailType"], "VmPoweredOnEvent");
        assert_eq!(entry["Detail"].as_str().map(str::as_bytes), Some(&event.json()[..]));
        assert_eq!((&entry["EventBusName"], &entry["Resources"]), (&"vmware".into(), &serde_json::json!(["vm-56"])));
        assert_eq!(entry["Time"].to_string(), "1581456503.905253");
        let trace = entry["TraceHeader"].as_str().unwrap();
        assert!(trace.starts_with("Root=1-5e431c77-") && trace.len() == 40, "{trace}");
        assert_eq!(super::tests::entry(&event, "vmware"), entry);
        let sum = 14 + 24 + 16 + event.json().len() + 5;
        assert_eq!(weight(&event), sum);
    }

    #[test]
    fn what_an_event_lacks_is_left_out_or_made_up_for() {
        let bare = event(&Attributes { id: "x", kind: "some.type", ..Attributes::default() });
        let written = entry(&bare, "default");
        assert_eq!(written["DetailType"], "some.type");
        assert!(written.get("Time").is_none() && written.get("Resources").is_none(), "{written}");
        assert!(written["TraceHeader"].as_str().unwrap().starts_with("Root=1-00000000-"));
        assert_eq!(weight(&bare), 14 + 24 + 9 + bare.json().len());
        let elsewhere = event(&Attributes { id: "x", time: "2020-02-11T22:28:23+01:00", ..Attributes::default() });
        assert_eq!(whole_seconds(&elsewhere).as_deref(), Some("2020-02-11T21:28:23Z"));
        assert_eq!(entry(&elsewhere, "default")["Time"], 1_581_456_503);
    }

    #[test]
    fn rules_see_what_will_be_on_the_bus() {
        let place = Place { account: Some("123".to_owned()), region: "eu-central-1".to_owned() };
        let event = powered_on();
        for (pattern, meant) in [
            (r#"{"detail":{"subject":["VmPoweredOnEvent","VmPoweredOffEvent"]}}"#, true),
            (r#"{"detail":{"subject":["VmPoweredOffEvent"]}}"#, false),
            (r#"{"detail-type":["VmPoweredOnEvent"],"account":["123"],"region":["eu-central-1"]}"#, true),
            (r#"{"account":["124"]}"#, false),
            (r#"{"resources":["vm-56"],"time":["2020-02-11T21:28:23Z"],"version":["0"]}"#, true),
            (
                r#"{"source":[{"prefix":"https://10.0.0.1"}],"detail":{"data":{"Vm":{"Name":[{"prefix":"web-"}]}}}}"#,
                true,
            ),
            (r#"{"detail":{"data":{"Key":[{"numeric":[">",9902]}]}}}"#, false),
        ] {
            let patterns = Patterns::new(vec![Pattern::parse(pattern).unwrap()]);
            assert_eq!(is_meant(&event, &place, &patterns), meant, "{pattern}");
        }
        let unknown = Place { account: None, ..place.clone() };
        let patterns = Patterns::new(vec![Pattern::parse(r#"{"account":["124"]}"#).unwrap()]);
        assert!(is_meant(&event, &unknown, &patterns), "it may be that account");
        let envelope: serde_json::Value = serde_json::from_str(&envelope(&event, &place)).unwrap();
        assert_eq!((&envelope["time"], &envelope["resources"][0]), (&"2020-02-11T21:28:23Z".into(), &"vm-56".into()));
        assert_eq!(envelope["detail"]["subject"], "VmPoweredOnEvent");
    }
}
