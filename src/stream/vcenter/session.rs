//! A login to one vCenter: what it is, what time it has, what it tells of itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderValue;
use tracing::debug;
use uuid::Uuid;

use super::place::Clock;
use super::timing::Timing;
use super::version;
use super::wire::{CallError, Wire};
use crate::vim25::soap::{AnswerError, Call, Ref, open_answer, read_reference, read_text, reference};
use crate::vim25::xml::{Reader, XmlError};

/// What a vCenter says of itself before any login.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceContent {
    pub(super) root_folder: Ref,
    pub(super) property_collector: Ref,
    pub(super) session_manager: Ref,
    pub(super) event_manager: Option<Ref>,
    pub(super) authorization_manager: Option<Ref>,
    pub(super) setting: Option<Ref>,
    pub(super) full_name: String,
    pub(super) version: String,
    pub(super) build: String,
    pub(super) api_type: String,
    pub(super) api_version: String,
    pub(super) instance: String,
}

impl ServiceContent {
    /// The instance UUID; of a server that has none, one made of what it is called.
    pub(super) fn instance_uuid(&self) -> Uuid {
        Uuid::parse_str(&self.instance).unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, self.instance.as_bytes()))
    }

    /// For people.
    pub(super) fn about(&self) -> String {
        format!("{} {} build {}, API {}", self.api_type, self.version, self.build, self.api_version)
    }

    fn read(body: &[u8]) -> Result<Self, AnswerError> {
        let mut reader = open_answer(body)?;
        let mut content = Self::default();
        if reader.child()? != Some("returnval") {
            return Err(AnswerError::Missing("returnval"));
        }
        while let Some(name) = reader.child()? {
            match name {
                "rootFolder" => content.root_folder = reference(&mut reader)?,
                "propertyCollector" => content.property_collector = reference(&mut reader)?,
                "sessionManager" => content.session_manager = reference(&mut reader)?,
                "eventManager" => content.event_manager = Some(reference(&mut reader)?),
                "authorizationManager" => content.authorization_manager = Some(reference(&mut reader)?),
                "setting" => content.setting = Some(reference(&mut reader)?),
                "about" => content.read_about(&mut reader)?,
                _ => reader.skip_element()?,
            }
        }
        if content.session_manager.value.is_empty() {
            return Err(AnswerError::Missing("sessionManager"));
        }
        Ok(content)
    }

    fn read_about(&mut self, reader: &mut Reader<'_>) -> Result<(), XmlError> {
        while let Some(name) = reader.child()? {
            let slot = match name {
                "fullName" => &mut self.full_name,
                "version" => &mut self.version,
                "build" => &mut self.build,
                "apiType" => &mut self.api_type,
                "apiVersion" => &mut self.api_version,
                "instanceUuid" => &mut self.instance,
                _ => {
                    reader.skip_element()?;
                    continue;
                }
            };
            *slot = reader.text_of_element()?.trim().to_owned();
        }
        Ok(())
    }
}

/// The newest event that there is evidence of: its key and CreatedTime.
pub(super) type Seen = (i32, i64);

/// The kind of what asks for news.
const FILTER: &str = "PropertyFilter";

/// A login that is in force, as far as we know.
pub(super) struct Session {
    wire: Arc<Wire>,
    action: HeaderValue,
    cookie: Option<HeaderValue>,
    pub(super) timing: Timing,
    pub(super) content: ServiceContent,
    pub(super) event_manager: Ref,
    /// The session's own key.
    pub(super) key: String,
    /// Collectors and filters that are ours and not destroyed yet.
    owned: Mutex<Vec<Ref>>,
    /// A collector was asked for and no answer came: there may be one that we cannot destroy.
    doubtful: AtomicBool,
}

/// What is known of a vCenter without a login.
pub(super) struct Greeting {
    pub(super) content: ServiceContent,
    action: HeaderValue,
}

/// Asks what the server is, and chooses the version to speak with it: `wanted`, or the server's own if that is older.
pub(super) async fn greet(wire: &Wire, wanted: &str, timing: &Timing) -> Result<Greeting, CallError> {
    let offers = match wire.versions(timing.call).await? {
        Some(list) => version::offered(&list).unwrap_or_default(),
        None => Vec::new(),
    };
    let offered = version::choose(wanted, offers.iter().map(String::as_str));
    let this = Ref::new("ServiceInstance", "ServiceInstance");
    let call = Call::new("RetrieveServiceContent", &this);
    let answer = wire.call(&action_of(offered), None, call, timing.call).await?;
    let content =
        ServiceContent::read(&answer.body).map_err(|error| CallError::of_answer("RetrieveServiceContent", error))?;
    // A server whose list cannot be read still says what it is.
    let spoken = if offers.is_empty() { version::choose(wanted, [content.api_version.as_str()]) } else { offered };
    let action = action_of(spoken);
    debug!(version = spoken, about = content.about(), "vCenter answers");
    Ok(Greeting { action, content })
}

fn action_of(version: &str) -> HeaderValue {
    // A version that was compared consists of digits and dots.
    HeaderValue::from_str(&format!("\"urn:vim25/{version}\"")).unwrap_or(HeaderValue::from_static("\"urn:vim25/6.7\""))
}

impl Session {
    /// Logs in. The server must be a vCenter: `greeting.content.event_manager` is there.
    pub(super) async fn login(
        wire: Arc<Wire>,
        greeting: Greeting,
        username: &str,
        password: &str,
        timing: Timing,
    ) -> Result<Self, CallError> {
        let Greeting { content, action } = greeting;
        let call = Call::new("Login", &content.session_manager)
            .text("userName", username)
            .text("password", password)
            .text("locale", "en_US");
        let answer = wire.call(&action, None, call, timing.call).await?;
        let key = read_session_key(&answer.body).map_err(|error| CallError::of_answer("Login", error))?;
        let event_manager = content.event_manager.clone().unwrap_or_else(|| Ref::new("EventManager", "EventManager"));
        let (owned, doubtful) = (Mutex::default(), AtomicBool::new(false));
        Ok(Self { wire, action, cookie: answer.cookie, timing, content, event_manager, key, owned, doubtful })
    }

    /// Calls and gives the answer's body unread.
    pub(super) async fn call(&self, call: Call, timeout: Duration) -> Result<Bytes, CallError> {
        Ok(self.wire.call(&self.action, self.cookie.as_ref(), call, timeout).await?.body)
    }

    /// A short call whose answer `read` understands.
    pub(super) async fn ask<T>(
        &self,
        call: Call,
        read: impl FnOnce(&[u8]) -> Result<T, AnswerError>,
    ) -> Result<T, CallError> {
        let method = call.method();
        let body = self.call(call, self.timing.call).await?;
        read(&body).map_err(|error| CallError::of_answer(method, error))
    }

    /// A short call whose answer says no more than that it worked.
    pub(super) async fn tell(&self, call: Call) -> Result<(), CallError> {
        self.ask(call, |body| open_answer(body).map(drop)).await
    }

    /// vCenter's clock, in microseconds since 1970.
    pub(super) async fn current_time(&self) -> Result<i64, CallError> {
        let call = Call::new("CurrentTime", &Ref::new("ServiceInstance", "ServiceInstance"));
        let text = self.ask(call, read_text).await?;
        parse_time(&text)
            .ok_or_else(|| CallError::Answer { method: "CurrentTime", why: format!("{text:?} is no time") })
    }

    /// The same, to be carried on.
    pub(super) async fn clock(&self) -> Result<Clock, CallError> {
        let asked = Instant::now();
        Ok(Clock::asked(self.current_time().await?, asked))
    }

    /// The newest event that vCenter has, where it says so.
    pub(super) async fn latest_event(&self) -> Result<Option<Seen>, CallError> {
        let call = Call::new("RetrievePropertiesEx", &self.content.property_collector)
            .nested("specSet", |call| {
                call.nested("propSet", |call| call.text("type", "EventManager").text("pathSet", "latestEvent"))
                    .nested("objectSet", |call| call.reference("obj", &self.event_manager).text("skip", "false"))
            })
            .nested("options", |call| call);
        self.ask(call, read_latest_event).await
    }

    /// For how many days vCenter keeps events; none if for ever, or if it does not say.
    pub(super) async fn days_kept(&self) -> Option<i64> {
        let mut days = None;
        for name in ["event.maxAgeEnabled", "event.maxAge"] {
            let call = Call::new("QueryOptions", self.content.setting.as_ref()?).text("name", name);
            // An unprivileged user may be refused; the events themselves then tell how far back they reach.
            let value = self.ask(call, read_option).await.ok()?;
            match value.as_str() {
                "false" | "0" => return None,
                text => days = text.parse().ok(),
            }
        }
        days
    }

    /// Makes an object of ours, to be destroyed.
    pub(super) async fn create(&self, call: Call) -> Result<Ref, CallError> {
        // Also if this is given up half-way.
        let before = self.doubtful.swap(true, Ordering::Relaxed);
        let made = self.ask(call, read_reference).await;
        if let Ok(object) = &made {
            self.own(object);
        }
        if matches!(made, Ok(_) | Err(CallError::Fault { .. })) {
            self.doubtful.store(before, Ordering::Relaxed);
        }
        made
    }

    /// Whether logging out may give back what vCenter has no more of.
    pub(super) fn doubtful(&self) -> bool {
        self.doubtful.load(Ordering::Relaxed)
    }

    /// Remembers an object of ours, to be destroyed.
    fn own(&self, object: &Ref) {
        self.owned().push(object.clone());
    }

    /// Whether vCenter was asked for news of a collector that is ours.
    pub(super) fn has_filter(&self) -> bool {
        self.owned().iter().any(|object| object.kind == FILTER)
    }

    fn disown(&self, object: &Ref) {
        self.owned().retain(|owned| owned != object);
    }

    fn owned(&self) -> MutexGuard<'_, Vec<Ref>> {
        // No code that holds the lock can leave the list half changed.
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Destroys what is ours, newest first. What vCenter refuses to destroy is gone or out of our hands; without an
    /// answer it is kept for the next try.
    pub(super) async fn destroy_owned(&self) -> Result<(), CallError> {
        while let Some(object) = { self.owned().last().cloned() } {
            match self.destroy(&object).await {
                Ok(()) => {}
                Err(error) if error.fault().is_none() || error.session_gone() => return Err(error),
                Err(error) => debug!(%error, object = object.value, "not destroyed"),
            }
            self.disown(&object);
        }
        Ok(())
    }

    /// Destroys a collector or a filter of ours.
    pub(super) async fn destroy(&self, object: &Ref) -> Result<(), CallError> {
        let method = if object.kind == FILTER { "DestroyPropertyFilter" } else { "DestroyCollector" };
        self.tell(Call::new(method, object)).await?;
        self.disown(object);
        Ok(())
    }

    /// Leaves nothing behind: ends the wait, destroys what is ours, logs out.
    pub(super) async fn close(&self) {
        let cancel = Call::new("CancelWaitForUpdates", &self.content.property_collector);
        if let Err(error) = self.tell(cancel).await {
            debug!(%error, "the wait could not be ended");
        }
        if let Err(error) = self.destroy_owned().await {
            debug!(%error, "a collector could not be destroyed");
        }
        if let Err(error) = self.tell(Call::new("Logout", &self.content.session_manager)).await {
            debug!(%error, "could not log out");
        }
    }
}

/// Microseconds since 1970 of an `xsd:dateTime`.
pub(super) fn parse_time(text: &str) -> Option<i64> {
    let time: jiff::Timestamp = text.trim().parse().ok()?;
    Some(time.as_microsecond())
}

/// An `xsd:dateTime` of microseconds since 1970.
pub(super) fn format_time(micros: i64) -> String {
    let micros = micros.clamp(jiff::Timestamp::MIN.as_microsecond(), jiff::Timestamp::MAX.as_microsecond());
    jiff::Timestamp::from_microsecond(micros).map_or_else(|_| String::new(), |time| time.to_string())
}

fn read_session_key(body: &[u8]) -> Result<String, AnswerError> {
    let mut reader = open_answer(body)?;
    if reader.child()? == Some("returnval") {
        while let Some(name) = reader.child()? {
            if name == "key" {
                return Ok(reader.text_of_element()?.into_owned());
            }
            reader.skip_element()?;
        }
    }
    Err(AnswerError::Missing("session key"))
}

fn read_option(body: &[u8]) -> Result<String, AnswerError> {
    let mut reader = open_answer(body)?;
    while reader.child()?.is_some() {
        while let Some(name) = reader.child()? {
            if name == "value" {
                return Ok(reader.text_of_element()?.trim().to_owned());
            }
            reader.skip_element()?;
        }
    }
    Err(AnswerError::Missing("value"))
}

/// Reads `returnval/objects/propSet/val` as an event. A property that is not set is simply missing.
fn read_latest_event(body: &[u8]) -> Result<Option<Seen>, AnswerError> {
    let mut reader = open_answer(body)?;
    while reader.child()?.is_some() {
        while let Some(name) = reader.child()? {
            if name != "objects" {
                reader.skip_element()?;
                continue;
            }
            while let Some(name) = reader.child()? {
                if name != "propSet" {
                    reader.skip_element()?;
                    continue;
                }
                while let Some(name) = reader.child()? {
                    if name == "val" {
                        return Ok(read_seen(&mut reader)?);
                    }
                    reader.skip_element()?;
                }
            }
        }
    }
    Ok(None)
}

/// The key and time of the event whose start tag was read last.
pub(super) fn read_seen(reader: &mut Reader<'_>) -> Result<Option<Seen>, XmlError> {
    let (mut key, mut created) = (None, None);
    while let Some(name) = reader.child()? {
        match name {
            "key" => key = reader.text_of_element()?.trim().parse().ok(),
            "createdTime" => created = parse_time(&reader.text_of_element()?),
            _ => reader.skip_element()?,
        }
    }
    Ok(key.zip(created))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/tests/fixtures/wire/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn what_a_server_says_of_itself_is_read() {
        let content = ServiceContent::read(&wire("wire-01-RetrieveServiceContent-res.xml")).unwrap();
        assert_eq!(content.root_folder, Ref::new("Folder", "group-d1"));
        assert_eq!(content.event_manager, Some(Ref::new("EventManager", "EventManager")));
        assert_eq!(content.setting, Some(Ref::new("OptionManager", "VpxSettings")));
        assert_eq!(content.about(), "VirtualCenter 6.5.0 build 5973321, API 6.5");
        assert_eq!(content.instance_uuid().to_string(), "b19b33b6-9d25-5511-9b53-c54bf7f91ccc");
    }

    #[test]
    fn a_login_gives_a_session() {
        let key = read_session_key(&wire("wire-04-Login-res.xml")).unwrap();
        assert_eq!(key, "9980238c-f5e2-42de-981d-c11f114f1a10");
        assert!(read_session_key(&wire("wire-27-Logout-res.xml")).is_err());
    }

    #[test]
    fn a_property_that_is_not_set_is_missing() {
        let other = wire("wire-08-RetrievePropertiesEx-currentSession-res.xml");
        assert!(matches!(read_latest_event(&other), Ok(None)), "a value that is no event is none");
        let unset =
            br#"<E:Envelope xmlns:E="e"><E:Body><R><returnval><objects><obj type="EventManager">E</obj></objects>
            </returnval></R></E:Body></E:Envelope>"#;
        assert!(matches!(read_latest_event(unset), Ok(None)));
        let set = br#"<E:Envelope xmlns:E="e"><E:Body><R><returnval><objects><obj/><propSet><name>latestEvent</name><val>
            <key>-5</key><createdTime>2026-11-22T10:44:29.5Z</createdTime></val></propSet></objects></returnval></R></E:Body></E:Envelope>"#;
        assert_eq!(read_latest_event(set).unwrap(), Some((-5, parse_time("2026-11-22T10:44:29.5Z").unwrap())));
    }

    #[test]
    fn times_keep_their_microseconds() {
        let micros = parse_time("2026-11-22T10:44:29.842858334Z").unwrap();
        assert_eq!(format_time(micros), "2026-11-22T10:44:29.842858Z");
        assert_eq!(parse_time("2026-11-22T12:44:29.842858+02:00"), Some(micros));
        assert_eq!(parse_time("yesterday"), None);
        assert!(!format_time(i64::MIN).is_empty());
    }
}
