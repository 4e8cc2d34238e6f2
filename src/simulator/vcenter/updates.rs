//! Property filters, and who waits for what changes.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;

use super::objects::{Found, select};
use super::session::Caller;
use super::soap::{Answer, Fault, Node, write_reference, write_text};
use super::state::{State, VCenter};
use crate::simulator::value::Value;
use crate::vim25::soap::Ref;

/// Filters of one property collector.
const MOST_FILTERS: usize = 200;

/// Objects that have left a filter, and may still have to be told.
const MOST_GONE: usize = 1_000;

/// Objects of one update, if the client sets no limit.
const MOST_OBJECTS: usize = 2_000;

/// How often who waits without end looks whether the session is still there.
const CHECK: Duration = Duration::from_secs(60);

/// What one property collector watches.
#[derive(Debug, Default)]
pub(super) struct Updates {
    filters: BTreeMap<String, PropertyFilter>,
    /// Every change has the version that it came with.
    version: u64,
    /// Older versions cannot be told from.
    oldest: u64,
    /// Counts the calls that end waits.
    cancelled: u64,
}

/// One `PropertyFilter`.
#[derive(Debug)]
struct PropertyFilter {
    spec: Node,
    known: BTreeMap<(String, String), Known>,
    /// Objects that are no longer in it, and the version in which they left.
    gone: Vec<(Ref, u64)>,
    /// What the state was when it looked.
    looked: Option<u64>,
}

/// An object in a filter.
#[derive(Debug)]
struct Known {
    entered: u64,
    /// By path: a hash of the value, and the version in which it became so.
    properties: BTreeMap<String, (u64, u64)>,
}

impl Updates {
    /// Keeps a filter of this name.
    fn add(&mut self, name: &str, spec: &Node) -> Result<(), Fault> {
        if self.filters.len() >= MOST_FILTERS {
            return Err(Fault::invalid_state());
        }
        let filter = PropertyFilter { spec: spec.clone(), known: BTreeMap::new(), gone: Vec::new(), looked: None };
        self.filters.insert(name.to_owned(), filter);
        Ok(())
    }

    /// How many filters there are.
    pub(super) fn len(&self) -> usize {
        self.filters.len()
    }

    /// Destroys a filter, if it is one of these.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        self.filters.remove(name).is_some()
    }

    /// Ends the waits of this property collector.
    pub(super) fn cancel(&mut self) {
        self.cancelled += 1;
    }
}

impl PropertyFilter {
    /// Notes what has changed since it looked last, as of this version. Whether anything has.
    fn look(&mut self, found: &[Found], version: u64) -> bool {
        let mut changed = false;
        let mut left = std::mem::take(&mut self.known);
        for (object, properties) in found {
            let at = (object.kind.clone(), object.value.clone());
            let mut known = left.remove(&at).unwrap_or_else(|| {
                changed = true;
                Known { entered: version, properties: BTreeMap::new() }
            });
            known.properties.retain(|path, _| properties.iter().any(|(other, _)| other == path));
            for (path, value) in properties {
                let hash = hash(value);
                if known.properties.get(path).is_none_or(|(before, _)| *before != hash) {
                    known.properties.insert(path.clone(), (hash, version));
                    changed = true;
                }
            }
            self.known.insert(at, known);
        }
        for (kind, value) in left.into_keys() {
            changed = true;
            self.gone.push((Ref { kind, value }, version));
        }
        changed
    }

    /// Whether there is anything that came after this version.
    fn has_after(&self, version: u64) -> bool {
        self.known.values().any(|known| known.after(version)) || self.gone.iter().any(|(_, left)| *left > version)
    }
}

impl Known {
    fn after(&self, version: u64) -> bool {
        self.entered > version || self.properties.values().any(|(_, changed)| *changed > version)
    }
}

fn hash(value: &Value) -> u64 {
    let mut xml = String::new();
    value.write_val(&mut xml, "v");
    let mut hasher = DefaultHasher::new();
    xml.hash(&mut hasher);
    hasher.finish()
}

/// What the client may have said of a wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    /// None waits for ever.
    pub(super) most: Option<Duration>,
    pub(super) objects: usize,
}

impl Wait {
    /// Reads the options of `WaitForUpdatesEx`.
    pub(super) fn read(call: &Node) -> Self {
        let options = call.child("options");
        let number = |name| options.and_then(|options| options.text_of(name)?.trim().parse::<u32>().ok());
        let objects = number("maxObjectUpdates").and_then(|most| usize::try_from(most).ok());
        Self {
            most: number("maxWaitSeconds").map(|seconds| Duration::from_secs(seconds.into())),
            objects: objects.filter(|most| *most > 0).map_or(MOST_OBJECTS, |most| most.min(MOST_OBJECTS)),
        }
    }
}

/// Waits until there is something newer than the version that the client knows; `None` when it has waited long enough.
pub(super) async fn wait(
    vcenter: &VCenter,
    caller: &Caller,
    this: &Ref,
    version: &str,
    wait: Wait,
    method: &str,
) -> Result<Option<Answer>, Fault> {
    let deadline = wait.most.map(|most| Instant::now() + most);
    let mut cancelled = None;
    loop {
        let mut changed = pin!(vcenter.changed());
        // From here on no change is missed.
        changed.as_mut().enable();
        let news = vcenter.with(|state| {
            let session = state.sessions.of(caller).ok_or_else(|| Fault::not_authenticated(this))?;
            let key = session.key.clone();
            let now = session.updates.get(&this.value).ok_or_else(|| Fault::not_found(this))?.cancelled;
            if *cancelled.get_or_insert(now) != now {
                let message = "The request was canceled by a user.";
                return Err(Fault::new("RequestCanceled", message));
            }
            let news = state.news(&key, this, version, wait.objects, method)?;
            if news.is_some() {
                // A wait that returns is a sign of life.
                state.session(caller, this)?;
            }
            Ok(news)
        })?;
        let now = Instant::now();
        if news.is_some() || deadline.is_some_and(|deadline| now >= deadline) {
            return Ok(news);
        }
        let until = deadline.map_or(now + CHECK, |deadline| deadline.min(now + CHECK));
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }
}

/// A version that a client knows, as a number.
fn known_version(updates: &Updates, text: &str) -> Result<u64, Fault> {
    if text.is_empty() {
        return Ok(0);
    }
    let known = text.parse().ok().filter(|version| (updates.oldest..=updates.version).contains(version));
    known.ok_or_else(|| Fault::new("InvalidCollectorVersion", "The specified version is not known."))
}

impl State {
    /// Makes a filter of a property collector.
    pub(super) fn create_filter(&mut self, session: &str, this: &Ref, spec: &Node) -> Result<Ref, Fault> {
        // What cannot be selected is refused at once.
        select(self, session, spec)?;
        let session = self.sessions.get_mut(session).ok_or_else(|| Fault::not_authenticated(this))?;
        let reference = session.made("PropertyFilter");
        session.updates.get_mut(&this.value).ok_or_else(|| Fault::not_found(this))?.add(&reference.value, spec)?;
        self.touch();
        Ok(reference)
    }

    /// What is newer than the version that the client knows, as an answer to this method.
    fn news(
        &mut self,
        session: &str,
        this: &Ref,
        version: &str,
        most: usize,
        method: &str,
    ) -> Result<Option<Answer>, Fault> {
        let gone = || Fault::not_found(this);
        let watcher = self.sessions.get_mut(session).ok_or_else(gone)?;
        let mut updates = std::mem::take(watcher.updates.get_mut(&this.value).ok_or_else(gone)?);
        let news = self.news_of(&mut updates, session, version, most, method);
        if let Some(watcher) = self.sessions.get_mut(session) {
            watcher.updates.insert(this.value.clone(), updates);
        }
        news
    }

    fn news_of(
        &mut self,
        updates: &mut Updates,
        session: &str,
        version: &str,
        most: usize,
        method: &str,
    ) -> Result<Option<Answer>, Fault> {
        let known = known_version(updates, version)?;
        let next = updates.version + 1;
        let mut changed = false;
        let mut values: BTreeMap<String, Vec<Found>> = BTreeMap::new();
        for (name, filter) in &mut updates.filters {
            let stamp = self.stamp(session, filter.known.keys().map(|(kind, value)| (&**kind, &**value)));
            let stale = filter.looked.is_none_or(|looked| looked != stamp);
            if !stale && !filter.has_after(known) {
                continue;
            }
            // An object that is no more is not there; its filter stays.
            let found = select(self, session, &filter.spec).unwrap_or_default();
            changed |= filter.look(&found, next);
            let objects = found.iter().map(|(object, _)| (&*object.kind, &*object.value));
            filter.looked = Some(self.stamp(session, objects));
            values.insert(name.clone(), found);
        }
        if changed {
            updates.version = next;
        }
        let mut writer = Writer { sets: String::new(), left: most, known, version: updates.version, truncated: false };
        for (name, filter) in &mut updates.filters {
            if let Some(found) = values.get(name) {
                writer.filter(name, filter, found);
            }
        }
        let Writer { sets, truncated, version, .. } = writer;
        if truncated {
            updates.version = version + 1;
        }
        updates.forget_gone();
        if sets.is_empty() {
            return Ok(None);
        }
        let mut answer = Answer::new(method, sets.len() + 128);
        answer.xml.push_str("<returnval>");
        write_text(&mut answer.xml, "version", itoa::Buffer::new().format(version));
        answer.xml.push_str(&sets);
        if truncated {
            write_text(&mut answer.xml, "truncated", "true");
        }
        answer.xml.push_str("</returnval>");
        Ok(Some(answer))
    }

    /// Changes with whatever may change these objects.
    fn stamp<'a>(&self, session: &str, objects: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
        let Some(session) = self.sessions.get(session) else { return 0 };
        let (mut stamp, mut others) = (0, true);
        for (kind, value) in objects {
            if kind == "EventHistoryCollector" {
                others = false;
                stamp += session.collectors.get(value).map_or(0, |collector| 1 + collector.revision());
            } else {
                return self.revision();
            }
        }
        if others { self.revision() } else { stamp }
    }
}

impl Updates {
    /// Bounds what is remembered of objects that left.
    fn forget_gone(&mut self) {
        for filter in self.filters.values_mut() {
            let over = filter.gone.len().saturating_sub(MOST_GONE);
            if let Some((_, version)) = over.checked_sub(1).and_then(|last| filter.gone.get(last)) {
                self.oldest = self.oldest.max(*version);
            }
            filter.gone.drain(..over);
        }
    }
}

/// Writes the filter sets of one update.
struct Writer {
    sets: String,
    /// So many objects may still be told.
    left: usize,
    /// What the client knows.
    known: u64,
    /// What it knows after this.
    version: u64,
    truncated: bool,
}

impl Writer {
    fn filter(&mut self, name: &str, filter: &mut PropertyFilter, found: &[Found]) {
        if !filter.has_after(self.known) {
            return;
        }
        let start = self.sets.len();
        self.sets.push_str("<filterSet>");
        write_reference(&mut self.sets, "filter", &Ref::new("PropertyFilter", name));
        let before = self.sets.len();
        for (object, properties) in found {
            let at = (object.kind.clone(), object.value.clone());
            let Some(known) = filter.known.get_mut(&at).filter(|known| known.after(self.known)) else { continue };
            if self.full() {
                // It comes with the next version.
                known.put_off(self.known, self.version + 1);
                continue;
            }
            let enters = known.entered > self.known;
            self.object(if enters { "enter" } else { "modify" }, object);
            for (path, value) in properties {
                if enters || known.properties.get(path).is_some_and(|(_, changed)| *changed > self.known) {
                    self.sets.push_str("<changeSet>");
                    write_text(&mut self.sets, "name", path);
                    self.sets.push_str("<op>assign</op>");
                    value.write_val(&mut self.sets, "val");
                    self.sets.push_str("</changeSet>");
                }
            }
            self.sets.push_str("</objectSet>");
        }
        for (object, left) in &mut filter.gone {
            if *left <= self.known {
                continue;
            }
            if self.full() {
                *left = self.version + 1;
                continue;
            }
            self.object("leave", object);
            self.sets.push_str("</objectSet>");
        }
        if self.sets.len() == before {
            self.sets.truncate(start);
        } else {
            self.sets.push_str("</filterSet>");
        }
    }

    /// Whether no more objects may be told; one less may be after this.
    fn full(&mut self) -> bool {
        self.truncated |= self.left == 0;
        self.left = self.left.saturating_sub(1);
        self.truncated
    }

    fn object(&mut self, kind: &str, object: &Ref) {
        self.sets.push_str("<objectSet>");
        write_text(&mut self.sets, "kind", kind);
        write_reference(&mut self.sets, "obj", object);
    }
}

impl Known {
    /// What the client does not know comes in another version.
    fn put_off(&mut self, known: u64, version: u64) {
        if self.entered > known {
            self.entered = version;
        }
        for (_, changed) in self.properties.values_mut() {
            if *changed > known {
                *changed = version;
            }
        }
    }
}
