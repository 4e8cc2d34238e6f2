//! A vCenter that misbehaves on purpose: what vcsim cannot be made to do.
//!
//! It keeps a history, collectors with a place in it, sessions and filters, as the documentation of the vSphere API says,
//! and does what a test scripts instead.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use url::Url;

use super::vcsim::{PASSWORD, USER};

/// What a call gets instead of its answer.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A SOAP fault of this type.
    Fault(&'static str),
    /// This, as it is.
    Raw { status: u16, kind: &'static str, body: Vec<u8> },
    /// Never anything.
    Hang,
    /// The true answer, through this function.
    Spoil(fn(Vec<u8>) -> Vec<u8>),
    /// Half of the true answer, then the end of the connection.
    BreakOff,
    /// Half of the true answer, then nothing any more.
    FallSilent,
}

/// An answer's body, which may come to a bad end.
pub(crate) struct Body {
    data: Bytes,
    sent: bool,
    after: Option<Reply>,
}

impl From<Bytes> for Body {
    fn from(data: Bytes) -> Self {
        Self { data, sent: false, after: None }
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, std::io::Error>>> {
        let half = if self.after.is_some() { self.data.len() / 2 } else { self.data.len() };
        if !std::mem::replace(&mut self.sent, true) {
            return Poll::Ready(Some(Ok(hyper::body::Frame::data(self.data.slice(..half)))));
        }
        match self.after {
            None => Poll::Ready(None),
            Some(Reply::BreakOff) => Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into()))),
            Some(_) => Poll::Pending,
        }
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(if self.sent { 0 } else { self.data.len() as u64 })
    }
}

/// An event of the history.
#[derive(Clone, Debug)]
pub(crate) struct FakeEvent {
    pub(crate) key: i32,
    /// Microseconds since 1970.
    pub(crate) created: i64,
    /// Collectors that are there already do not get it.
    pub(crate) late: bool,
    /// The user may not see it.
    pub(crate) hidden: bool,
}

#[derive(Default)]
struct Collector {
    session: String,
    /// Indices into the history, still to be read.
    queue: VecDeque<usize>,
    begin: i64,
    end: i64,
    /// The largest key of all that it has had.
    largest: Option<i32>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) history: Vec<FakeEvent>,
    collectors: BTreeMap<String, Collector>,
    filters: BTreeMap<String, String>,
    sessions: Vec<String>,
    scripts: HashMap<String, VecDeque<Reply>>,
    /// How often each method was called.
    pub(crate) calls: HashMap<String, usize>,
    /// The SOAPAction of the last call.
    pub(crate) action: String,
    /// The filters that collectors were created with.
    pub(crate) wanted: Vec<String>,
    pub(crate) most_collectors: usize,
    /// Pages come newest first.
    pub(crate) newest_first: bool,
    /// Collectors take an event with a lower key than one before for an old one.
    pub(crate) only_larger: bool,
    /// Events with these keys are not well-formed.
    pub(crate) damaged: BTreeSet<i32>,
    /// `latestEvent` is the newest event of the history.
    pub(crate) tells_latest: bool,
    /// What `latestEvent` says.
    pub(crate) latest: Option<(i32, i64)>,
    /// vCenter's clock.
    pub(crate) now: i64,
    pub(crate) max_age: Option<i64>,
    pub(crate) versions: &'static str,
    pub(crate) password: Option<String>,
    /// How often a client waited with a version that it was never given.
    pub(crate) strange_waits: usize,
    /// Privileges that the user lacks.
    pub(crate) lacking: Vec<&'static str>,
    next: usize,
}

/// The server.
#[derive(Clone)]
pub(crate) struct FaultSoap {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    pub(crate) url: Url,
    _serving: Arc<JoinSet<()>>,
}

pub(crate) const INSTANCE: &str = "0d8b4b5a-4b0c-4a56-9d8f-5b7e2f3a1c90";

/// A moment long past, where the fake's clock stands.
pub(crate) const NOW: i64 = 1_700_000_000_000_000;

pub(crate) fn time(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).unwrap().to_string()
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let rest = &text[text.find(start)? + start.len()..];
    Some(&rest[..rest.find(end)?])
}

fn event_xml(element: &str, event: (i32, i64)) -> String {
    format!(
        r#"<{element} xsi:type="VmPoweredOnEvent"><key>{0}</key><chainId>{0}</chainId><createdTime>{1}</createdTime><userName>u</userName><vm><name>a</name><vm type="VirtualMachine">vm-{0}</vm></vm><fullFormattedMessage>m</fullFormattedMessage><template>false</template></{element}>"#,
        event.0,
        time(event.1)
    )
}

fn soap(status: u16, inside: &str) -> Response<Body> {
    let body = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<soapenv:Body>
{inside}
</soapenv:Body>
</soapenv:Envelope>"#
    );
    Response::builder().status(status).header("content-type", "text/xml; charset=utf-8").body(body.into()).unwrap()
}

fn fault(kind: &str) -> Response<Body> {
    soap(
        500,
        &format!(
            r#"<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>says so</faultstring><detail><{kind}Fault xmlns="urn:vim25" xsi:type="{kind}"></{kind}Fault></detail></soapenv:Fault>"#
        ),
    )
}

impl FaultSoap {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/sdk", listener.local_addr().unwrap())).unwrap();
        let state = State {
            now: NOW,
            most_collectors: 32,
            versions: "<version>8.0.3.0</version><priorVersions><version>7.0.3.0</version><version>6.7</version></priorVersions>",
            ..State::default()
        };
        let state = Arc::new(Mutex::new(state));
        let changed = Arc::new(Notify::new());
        let mut serving = JoinSet::new();
        let (state_, changed_) = (Arc::clone(&state), Arc::clone(&changed));
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (state, changed) = (Arc::clone(&state_), Arc::clone(&changed_));
                connections.spawn(async move {
                    let service = hyper::service::service_fn(move |request| {
                        answer(Arc::clone(&state), Arc::clone(&changed), request)
                    });
                    // The client may go away at any time.
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                        .ok();
                });
            }
        });
        Self { state, changed, url, _serving: Arc::new(serving) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The next call of `method` gets this; several wait in a row.
    pub(crate) fn script(&self, method: &str, reply: Reply) {
        self.state().scripts.entry(method.to_owned()).or_default().push_back(reply);
    }

    /// Events happen.
    pub(crate) fn happen(&self, events: &[(i32, i64)]) {
        let mut state = self.state();
        for (key, created) in events {
            state.push(FakeEvent { key: *key, created: *created, late: false, hidden: false });
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// An event comes late: collectors that are there already have passed its place.
    pub(crate) fn happen_late(&self, key: i32, created: i64) {
        self.state().push(FakeEvent { key, created, late: true, hidden: false });
    }

    /// Events happen that the user may not see.
    pub(crate) fn happen_hidden(&self, events: &[(i32, i64)]) {
        let mut state = self.state();
        for (key, created) in events {
            state.push(FakeEvent { key: *key, created: *created, late: false, hidden: true });
        }
    }

    /// vCenter is set back to the state that it had before the event with this key; sessions and their collectors live on.
    pub(crate) fn restore_before(&self, key: i32) {
        let mut state = self.state();
        let keep = state.history.iter().position(|event| event.key == key).unwrap();
        state.history.truncate(keep);
        for collector in state.collectors.values_mut() {
            collector.queue.retain(|index| *index < keep);
        }
    }

    /// Ends all sessions, as a restart of vpxd would.
    pub(crate) fn end_sessions(&self) {
        let mut state = self.state();
        state.sessions.clear();
        state.collectors.clear();
        state.filters.clear();
    }

    /// Collectors vanish, sessions live on.
    pub(crate) fn lose_collectors(&self) {
        self.state().collectors.clear();
    }

    pub(crate) fn calls(&self, method: &str) -> usize {
        self.state().calls.get(method).copied().unwrap_or_default()
    }

    /// Sessions, collectors and filters that are there.
    pub(crate) fn open(&self) -> (usize, usize, usize) {
        let state = self.state();
        (state.sessions.len(), state.collectors.len(), state.filters.len())
    }
}

impl State {
    pub(crate) fn forget_scripts(&mut self) {
        self.scripts.clear();
    }

    fn push(&mut self, event: FakeEvent) {
        let index = self.history.len();
        for collector in self.collectors.values_mut() {
            let old = self.only_larger && collector.largest.is_some_and(|largest| event.key < largest);
            if !event.late && !old && (collector.begin..=collector.end).contains(&event.created) {
                collector.queue.push_back(index);
                collector.largest = collector.largest.max(Some(event.key));
            }
        }
        self.history.push(event);
    }

    fn handle(&mut self, method: &str, cookie: &str, body: &str) -> Result<Response<Body>, &'static str> {
        let this =
            between(body, "<_this type=\"", "</_this>").and_then(|this| this.split_once("\">")).unwrap_or_default().1;
        let respond =
            |inside: &str| soap(200, &format!("<{method}Response xmlns=\"urn:vim25\">{inside}</{method}Response>"));
        if !matches!(method, "RetrieveServiceContent" | "Login")
            && !self.sessions.iter().any(|session| session == cookie)
        {
            return Err("NotAuthenticated");
        }
        self.next += 1;
        let number = self.next;
        Ok(match method {
            "RetrieveServiceContent" => respond(&format!(
                r#"<returnval><rootFolder type="Folder">group-d1</rootFolder><propertyCollector type="PropertyCollector">pc</propertyCollector><about><name>n</name><fullName>f</fullName><version>8.0.3</version><build>1</build><apiType>VirtualCenter</apiType><apiVersion>8.0.3.0</apiVersion><instanceUuid>{INSTANCE}</instanceUuid></about><setting type="OptionManager">VpxSettings</setting><sessionManager type="SessionManager">sm</sessionManager><authorizationManager type="AuthorizationManager">am</authorizationManager><eventManager type="EventManager">em</eventManager></returnval>"#
            )),
            "Login" => {
                let password = self.password.clone().unwrap_or_else(|| PASSWORD.to_owned());
                let escaped = |text: &str| {
                    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
                };
                let right = between(body, "<userName>", "</userName>") == Some(&*escaped(USER))
                    && between(body, "<password>", "</password>") == Some(&*escaped(&password));
                if !right {
                    return Err("InvalidLogin");
                }
                let session = format!("vmware_soap_session=\"{number:040x}\"");
                let mut response =
                    respond(&format!("<returnval><key>key-{number}</key><userName>u</userName></returnval>"));
                response
                    .headers_mut()
                    .insert("set-cookie", format!("{session}; Path=/; HttpOnly; Secure;").parse().unwrap());
                self.sessions.push(session);
                response
            }
            "Logout" => {
                self.sessions.retain(|session| session != cookie);
                self.collectors.retain(|_, collector| collector.session != cookie);
                let collectors = &self.collectors;
                self.filters.retain(|_, collector| collectors.contains_key(collector));
                respond("")
            }
            "CurrentTime" => respond(&format!("<returnval>{}</returnval>", time(self.now))),
            "QueryOptions" => {
                let Some(days) = self.max_age else { return Err("NoPermission") };
                let value = if body.contains("event.maxAgeEnabled") { "true".to_owned() } else { days.to_string() };
                respond(&format!(
                    r#"<returnval xsi:type="OptionValue"><key>k</key><value xsi:type="xsd:string">{value}</value></returnval>"#
                ))
            }
            "RetrievePropertiesEx" => {
                let newest = self.history.last().filter(|_| self.tells_latest).map(|event| (event.key, event.created));
                let set = self
                    .latest
                    .or(newest)
                    .map(|latest| format!("<propSet><name>latestEvent</name>{}</propSet>", event_xml("val", latest)));
                respond(&format!(
                    r#"<returnval><objects><obj type="EventManager">em</obj>{}</objects></returnval>"#,
                    set.unwrap_or_default()
                ))
            }
            "HasPrivilegeOnEntities" => {
                let privileges = body.split("<privId>").skip(1).filter_map(|part| part.split('<').next());
                let granted = privileges.map(|id| {
                    let granted = !self.lacking.contains(&id);
                    format!(
                        "<privAvailability><privId>{id}</privId><isGranted>{granted}</isGranted></privAvailability>"
                    )
                });
                respond(&format!(
                    r#"<returnval><entity type="Folder">group-d1</entity>{}</returnval>"#,
                    granted.collect::<String>()
                ))
            }
            "CreateCollectorForEvents" => {
                if self.collectors.len() >= self.most_collectors {
                    return Err("InvalidState");
                }
                let time = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_microsecond();
                let begin = time(between(body, "<beginTime>", "</beginTime>").unwrap());
                let end = between(body, "<endTime>", "</endTime>").map_or(i64::MAX, time);
                self.wanted.push(between(body, "<filter>", "</filter>").unwrap().to_owned());
                let queue: VecDeque<_> =
                    (0..self.history.len()).filter(|i| (begin..=end).contains(&self.history[*i].created)).collect();
                let largest = queue.iter().map(|i| self.history[*i].key).max();
                let name = format!("collector-{number}");
                self.collectors
                    .insert(name.clone(), Collector { session: cookie.to_owned(), queue, begin, end, largest });
                respond(&format!(r#"<returnval type="EventHistoryCollector">{name}</returnval>"#))
            }
            "ReadNextEvents" => {
                let count: usize = between(body, "<maxCount>", "</maxCount>").unwrap().parse().unwrap();
                let Some(collector) = self.collectors.get_mut(this) else { return Err("ManagedObjectNotFound") };
                let count = count.min(collector.queue.len());
                // A page is taken first, and what the user may not see is hidden then. So a page of such events is
                // never passed.
                let window = collector.queue.iter().take(count).map(|i| &self.history[*i]);
                let seen = window.filter(|event| !event.hidden);
                let mut page: Vec<_> = seen
                    .map(|event| {
                        let xml = event_xml("returnval", (event.key, event.created));
                        if self.damaged.contains(&event.key) {
                            xml.replace("<userName>u", "<userName>\u{1}")
                        } else {
                            xml
                        }
                    })
                    .collect();
                if !page.is_empty() {
                    collector.queue.drain(..count);
                }
                if self.newest_first {
                    page.reverse();
                }
                respond(&page.concat())
            }
            "DestroyCollector" => {
                self.collectors.remove(this).ok_or("ManagedObjectNotFound")?;
                respond("")
            }
            "CreateFilter" => {
                let collector = between(body, "<obj type=\"EventHistoryCollector\">", "</obj>").unwrap();
                let name = format!("filter-{number}");
                self.filters.insert(name.clone(), collector.to_owned());
                respond(&format!(r#"<returnval type="PropertyFilter">{name}</returnval>"#))
            }
            "DestroyPropertyFilter" => {
                self.filters.remove(this).ok_or("ManagedObjectNotFound")?;
                respond("")
            }
            "CancelWaitForUpdates" => respond(""),
            _ => return Err("MethodNotFound"),
        })
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let lock = || state.lock().unwrap();
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    if head.uri.path().ends_with("vimServiceVersions.xml") {
        let versions = lock().versions;
        let text =
            format!("<namespaces version=\"1.0\"><namespace><name>urn:vim25</name>{versions}</namespace></namespaces>");
        return Ok(Response::builder().header("content-type", "text/xml").body(text.into()).unwrap());
    }
    let method = between(&body, "<soapenv:Body><", " ").unwrap().to_owned();
    let cookie = head.headers.get("cookie").map(|cookie| cookie.to_str().unwrap().to_owned()).unwrap_or_default();
    let script = {
        let mut state = lock();
        *state.calls.entry(method.clone()).or_default() += 1;
        state.action = head.headers["SOAPAction"].to_str().unwrap().to_owned();
        state.scripts.get_mut(&method).and_then(VecDeque::pop_front)
    };
    let (mut spoil, mut after) = (None, None);
    match script {
        None => {}
        Some(Reply::Fault(kind)) => return Ok(fault(kind)),
        Some(Reply::Raw { status, kind, body }) => {
            return Ok(Response::builder()
                .status(status)
                .header("content-type", kind)
                .body(Bytes::from(body).into())
                .unwrap());
        }
        Some(Reply::Hang) => std::future::pending().await,
        Some(Reply::Spoil(with)) => spoil = Some(with),
        Some(bad_end) => after = Some(bad_end),
    }
    if method == "WaitForUpdatesEx" {
        return Ok(wait(&state, &changed, &cookie, &body).await);
    }
    let answer = lock().handle(&method, &cookie, &body);
    let mut answer = answer.unwrap_or_else(fault);
    answer.body_mut().after = after;
    Ok(match spoil {
        None => answer,
        Some(spoil) => {
            let (head, body) = answer.into_parts();
            let body = body.collect().await.unwrap().to_bytes().to_vec();
            Response::from_parts(head, Bytes::from(spoil(body)).into())
        }
    })
}

/// The version is the length of the history that the client knows.
async fn wait(state: &Mutex<State>, changed: &Notify, cookie: &str, body: &str) -> Response<Body> {
    let known = between(body, "<version>", "</version>").unwrap();
    let Ok(known) = (if known.is_empty() { Ok(None) } else { known.parse::<usize>().map(Some) }) else {
        state.lock().unwrap().strange_waits += 1;
        return fault("InvalidCollectorVersion");
    };
    let seconds: u64 = between(body, "<maxWaitSeconds>", "</maxWaitSeconds>").unwrap().parse().unwrap();
    let news = async {
        loop {
            let notified = changed.notified();
            {
                let state = state.lock().unwrap();
                if !state.sessions.iter().any(|session| session == cookie) {
                    return fault("NotAuthenticated");
                }
                // Late events do not show on the latest page.
                let shown = if state.only_larger {
                    (0..state.history.len()).max_by_key(|at| state.history[*at].key)
                } else {
                    state.history.iter().rposition(|event| !event.late && !event.hidden)
                };
                let version = shown.map_or(0, |at| at + 1);
                if known != Some(version) {
                    let newest = shown.map(|at| event_xml("Event", (state.history[at].key, state.history[at].created)));
                    return soap(
                        200,
                        &format!(
                            r#"<WaitForUpdatesExResponse xmlns="urn:vim25"><returnval><version>{version}</version><filterSet><filter type="PropertyFilter">f</filter><objectSet><kind>modify</kind><obj type="EventHistoryCollector">c</obj><changeSet><name>latestPage</name><op>assign</op><val xsi:type="ArrayOfEvent">{}</val></changeSet></objectSet></filterSet></returnval></WaitForUpdatesExResponse>"#,
                            newest.unwrap_or_default()
                        ),
                    );
                }
            }
            notified.await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(seconds), news).await {
        Ok(answer) => answer,
        Err(_) => soap(200, r#"<WaitForUpdatesExResponse xmlns="urn:vim25"></WaitForUpdatesExResponse>"#),
    }
}
