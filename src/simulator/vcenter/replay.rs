//! Captured events that happen again and again, in place of the data centre's own.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::posted;
use super::soap::read_node;
use crate::simulator::Body;
use crate::vim25::describe::derives;
use crate::vim25::xml::{Reader, Token, XmlError};

/// As much of all files together is read.
const MOST_BYTES: u64 = 256 << 20;

/// The events of captured answers, and which is next.
#[derive(Debug)]
pub(super) struct Replay {
    events: Vec<Captured>,
    next: usize,
    /// The ids that the chains have this time.
    chains: Vec<i32>,
}

#[derive(Debug)]
struct Captured {
    body: Arc<Body>,
    chain: usize,
    /// The first of its chain: its key is the id of the chain.
    first: bool,
}

/// One captured event that happens again.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) body: Arc<Body>,
    /// The chain that it belongs to; none for the first event of one.
    pub(super) chain: Option<i32>,
    /// What to tell of its key with `Replay::happened`.
    pub(super) number: usize,
}

/// An event as it stands in a file.
struct Found {
    key: i32,
    chain: i32,
    created: String,
    body: Body,
}

impl Replay {
    /// Reads captured answers, several in a file if they are so; none if there are no files.
    pub(super) fn read(paths: &[PathBuf]) -> io::Result<Option<Self>> {
        let (mut made, mut left) = (Self { events: Vec::new(), next: 0, chains: Vec::new() }, MOST_BYTES);
        let (mut chains, mut known) = (HashMap::new(), HashSet::new());
        for path in paths {
            let wrong = |why: String| io::Error::other(format!("{}: {why}", path.display()));
            let xml = bytes(path, &mut left).map_err(|error| wrong(error.to_string()))?;
            let found = answers(&xml).map_err(wrong)?;
            if found.is_empty() {
                return Err(wrong("there are no events in it".to_owned()));
            }
            for event in found {
                // Captured pages may overlap.
                if known.insert((event.key, event.created.clone())) {
                    made.add(event, &mut chains);
                }
            }
        }
        Ok((!paths.is_empty()).then_some(made))
    }

    fn add(&mut self, event: Found, chains: &mut HashMap<i32, usize>) {
        let known = chains.get(&event.chain).copied().filter(|_| event.chain != event.key);
        let chain = known.unwrap_or(self.chains.len());
        if known.is_none() {
            chains.insert(event.chain, chain);
            self.chains.push(0);
        }
        self.events.push(Captured { body: Arc::new(event.body), chain, first: known.is_none() });
    }

    /// What happens next: behind the last event comes the first.
    pub(super) fn next(&mut self) -> Option<Again> {
        let number = self.next;
        let Captured { body, chain, first } = self.events.get(number)?;
        self.next = (number + 1) % self.events.len();
        let chain = (!first).then(|| self.chains[*chain]);
        Some(Again { body: Arc::clone(body), chain, number })
    }

    /// The event of that number has this key now, and what follows from it has its chain.
    pub(super) fn happened(&mut self, number: usize, key: i32) {
        if let Some(Captured { chain, first: true, .. }) = self.events.get(number) {
            self.chains[*chain] = key;
        }
    }

    /// The subjects of its events.
    pub(super) fn subjects(&self) -> impl Iterator<Item = &str> {
        self.events.iter().map(|event| event.body.type_id.as_deref().unwrap_or(&event.body.class))
    }
}

fn bytes(path: &Path, left: &mut u64) -> io::Result<Vec<u8>> {
    let mut xml = Vec::new();
    File::open(path)?.take(*left + 1).read_to_end(&mut xml)?;
    *left = left
        .checked_sub(xml.len() as u64)
        .ok_or_else(|| io::Error::other(format!("all files together are larger than {MOST_BYTES} bytes")))?;
    Ok(xml)
}

/// The events of all answers that stand one after the other.
fn answers(xml: &[u8]) -> Result<Vec<Found>, String> {
    let (mut found, mut at) = (Vec::new(), 0);
    loop {
        at += xml[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        if at == xml.len() {
            return Ok(found);
        }
        let (events, length) = answer(&xml[at..])
            .map_err(|error| XmlError { offset: at + error.offset, ..error })
            .map_err(|error| error.to_string())?;
        found.extend(events?);
        at += length;
    }
}

/// The events of the answer that stands first, oldest first, and its length; or why one of its events is none.
#[allow(clippy::type_complexity, reason = "both kinds of trouble end it, and only one has a place")]
fn answer(xml: &[u8]) -> Result<(Result<Vec<Found>, String>, usize), XmlError> {
    let mut reader = Reader::new(xml);
    let mut found = Vec::new();
    loop {
        match reader.next()? {
            Token::Start(name @ ("returnval" | "Event" | "val")) => {
                let class = reader.xsi_type();
                let class = class.as_deref().map(|class| class.rsplit(':').next().unwrap_or(class));
                // An item of a list of events needs no type, and other values than events have one.
                if class.is_some_and(|class| derives(class, "Event")) || class.is_none() && name == "Event" {
                    let start = reader.tag_offset();
                    match event(&mut reader, name) {
                        Ok(event) => found.push(event),
                        Err(why) => return Ok((Err(format!("the event at byte {start}: {why}")), 0)),
                    }
                }
            }
            Token::End if reader.depth() == 0 => break,
            Token::Eof => break,
            Token::Start(_) | Token::Text(_) | Token::End => {}
        }
    }
    // The newest comes first where a collector shows its latest page.
    if let [first, .., last] = &found[..]
        && first.key > last.key
    {
        found.reverse();
    }
    Ok((Ok(found), reader.offset()))
}

fn event(reader: &mut Reader<'_>, name: &str) -> Result<Found, String> {
    let node = read_node(reader, name).map_err(|fault| fault.message.into_owned())?;
    let number = |name| {
        let text = node.text_of(name).unwrap_or_default().trim();
        text.parse().map_err(|_| format!("{name} is \"{}\", which is no number", text.escape_debug()))
    };
    let (key, chain) = (number("key")?, number("chainId")?);
    let created = node.text_of("createdTime").unwrap_or_default().to_owned();
    let user = node.text_of("userName").unwrap_or_default();
    let body = posted::captured(&node, user).map_err(|fault| fault.message.into_owned())?;
    Ok(Found { key, chain, created, body })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::simulator::vcenter::state::State;
    use crate::simulator::vcenter::{Options, history::Record};

    fn event(key: i32, chain: i32, class: &str) -> String {
        format!(
            "<returnval x:type=\"{class}\"><key>{key}</key><chainId>{chain}</chainId>\
             <createdTime>2020-01-01T00:00:00Z</createdTime><userName>Jäger &amp; Co</userName>\
             <vm><name>a</name><vm type=\"VirtualMachine\" serverGuid=\"g\">vm-{key}</vm></vm></returnval>"
        )
    }

    fn page(events: &[String]) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<Envelope xmlns:x=\"http://www.w3.org/2001/XMLSchema-instance\"><Body>\
             <ReadNextEventsResponse>{}</ReadNextEventsResponse></Body></Envelope>\n",
            events.concat()
        )
    }

    fn read(files: &[&str]) -> Result<Option<Replay>, String> {
        let folder = tempfile::tempdir().unwrap();
        let paths = files.iter().enumerate().map(|(at, text)| {
            let path = folder.path().join(format!("{at}.xml"));
            File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
            path
        });
        Replay::read(&paths.collect::<Vec<_>>()).map_err(|error| error.to_string())
    }

    #[test]
    fn captured_events_happen_again_and_again_in_order() {
        let on = |key, chain| event(key, chain, "VmPoweredOnEvent");
        // Two answers in one file, the second with the newest first and one that was there before.
        let text = page(&[on(5, 5), on(6, 2), on(7, 5)]) + &page(&[event(9, 2, "Event"), on(8, 8), on(7, 5)]);
        let mut state = State::with(Options { past: 11, ..Options::default() }, read(&[&text]).unwrap());
        let told = |state: &State| {
            let of = |record: &Record| (record.key, record.chain, record.body.about[0].to_string());
            state.history.from(0).map(of).collect::<Vec<_>>()
        };
        let expected = [(1, 1, 5), (2, 2, 6), (3, 1, 7), (4, 4, 8), (5, 2, 9), (6, 6, 5), (7, 7, 6), (8, 6, 7)];
        let expected = expected.map(|(key, chain, vm)| (key, chain, format!("vm-{vm}")));
        assert_eq!(told(&state)[..8], expected);
        let records: Vec<_> = state.history.from(0).cloned().collect();
        assert!(Arc::ptr_eq(&records[0].body, &records[5].body) && records[0].created < records[5].created);
        assert_eq!(&*records[0].body.user, "Jäger & Co");
        assert!(records[0].body.xml.starts_with("<userName>Jäger &amp; Co</userName><vm><name>a</name>"));
        assert!(records[0].body.xml.contains("<vm type=\"VirtualMachine\" serverGuid=\"g\">vm-5</vm>"));
        // Faults have no other events to make.
        state.plan("late=1,2m".parse().unwrap()).unwrap();
        assert!(state.history.from(0).any(|record| record.key == 0 && record.body.about == [Box::<str>::from("vm-6")]));
    }

    #[test]
    fn what_cannot_be_replayed_is_told() {
        let good = page(&[event(1, 1, "VmPoweredOnEvent")]);
        assert!(read(&[]).unwrap().is_none());
        assert_eq!(read(&[&good, &good]).unwrap().unwrap().events.len(), 1);
        let cut = &good[..good.len() - 30];
        let no_key = good.replace("<key>1</key>", "<key>one</key>");
        for (files, part) in [
            (vec!["hello"], "0.xml: not well-formed XML at byte 0"),
            (vec![&good, cut], "1.xml: not well-formed XML at byte"),
            (vec!["<a/>"], "0.xml: there are no events in it"),
            (vec![&no_key], "key is \"one\", which is no number"),
        ] {
            let error = read(&files).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        let error = Replay::read(&["/nothing/here.xml".into()]).unwrap_err().to_string();
        assert!(error.starts_with("/nothing/here.xml: "), "{error}");
    }
}
