//! The vCenter stream: every event of one vCenter Server, in order, from where the journal's checkpoint says.
//!
//! It never ends on its own: whatever vCenter or the network does, it waits, logs in again if it must, and goes on
//! from the checkpoint. `docs/operations.md` says what it needs there.

mod behind;
mod care;
mod check;
mod collector;
pub mod config;
mod idle;
mod look;
mod page;
mod place;
mod search;
mod session;
mod stall;
mod tail;
mod takeover;
mod timing;
mod version;
mod wire;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use config::{BeginAt, Config, PROVIDER};
pub(crate) use page::PageReader;
pub use timing::Timing;

use self::care::Care;
use self::place::{Clock, Place, Wanted};
use self::session::{Seen, Session, greet};
use self::tail::{End, SET_BACK, Tail, Trouble, append};
use self::takeover::Taken;
use self::wire::{CallError, Wire};
use super::{EventStream, StreamError};
use crate::backoff::Backoff;
use crate::event::Event;
use crate::http::Client;
use crate::journal::{Appender, JournalError};
use crate::report::Report;
use crate::vim25::Shape;

/// A call under way may take this much longer when the stream shall end: what it makes must be destroyed.
const LAST_CALL: Duration = Duration::from_secs(1);

/// A stream of one vCenter's events.
pub struct VCenter {
    config: Config,
    timing: Timing,
    wire: Arc<Wire>,
    types: Arc<[String]>,
    session: Option<Arc<Session>>,
    care: Care,
    logins: u64,
    /// The event that the router before this one delivered last.
    delivered: Option<Seen>,
}

/// Why an attempt ended.
enum Stop {
    /// The stream shall end.
    Ended,
    /// Something that waiting may mend.
    Trouble(Failure),
    /// Another router writes this journal now.
    Fenced(JournalError),
}

/// What went wrong.
struct Failure {
    kind: String,
    why: String,
    whose: Whose,
}

/// Whose it is, which says how long to wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// vCenter's, or the network's.
    VCenter,
    /// The login was refused: trying again too often locks the account.
    Login,
    /// The journal's.
    Journal,
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self { kind: error.kind(), why: error.to_string(), whose: Whose::VCenter }
    }
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        Self::Trouble(error.into())
    }
}

impl From<JournalError> for Stop {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Fenced => Self::Fenced(error),
            other => {
                Self::Trouble(Failure { kind: "journal".to_owned(), why: other.to_string(), whose: Whose::Journal })
            }
        }
    }
}

impl VCenter {
    /// A stream as configured. Does nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let timing = config.timing;
        let mut address = config.address.clone();
        // Credentials in the address would go nowhere else than into logs. Only addresses without a host refuse, and
        // have none.
        address.set_username("").ok();
        address.set_password(None).ok();
        // Every URL with a host is a URI.
        let uri = address.as_str().parse().unwrap_or_default();
        let wire = Wire::new(Client::new(config.tls.clone()), uri);
        let mut types = config.event_types.clone();
        types.sort_unstable();
        types.dedup();
        Self {
            timing,
            wire,
            types: types.into(),
            session: None,
            care: Care::new(&timing),
            logins: 0,
            delivered: None,
            config,
        }
    }

    /// The version of the API to ask for.
    fn wanted_version(&self) -> &'static str {
        // Servers know 6.7 by this name, and 6.7.3 only since then.
        if self.config.shape == Shape::V6_7 { "6.7" } else { self.config.shape.api_version() }
    }

    /// A hash of the filter: another filter sees other events.
    fn filter(&self) -> u64 {
        if self.types.is_empty() {
            return 0;
        }
        Uuid::new_v5(&Uuid::NAMESPACE_OID, self.types.join("\n").as_bytes()).as_u64_pair().0
    }

    /// The session that is there, if it still is; else a new one. And vCenter's time.
    async fn session(&mut self, out: &Appender) -> Result<(Arc<Session>, Clock), Stop> {
        if let Some(session) = &self.session {
            match session.clock().await {
                Ok(clock) => return Ok((Arc::clone(session), clock)),
                Err(error) if error.session_gone() => self.session = None,
                Err(error) => {
                    // Every session may ask for the time: one that may not is of no use.
                    if error.fault().is_some() {
                        self.close().await;
                    }
                    return Err(error.into());
                }
            }
        }
        let greeting = greet(&self.wire, self.wanted_version(), &self.timing).await?;
        let content = &greeting.content;
        if content.api_type != "VirtualCenter" || content.event_manager.is_none() {
            let why = format!(
                "{} is no vCenter Server ({}): a host alone keeps no readable history",
                self.config.address,
                content.about()
            );
            return Err(Stop::Trouble(Failure { kind: "no vCenter".to_owned(), why, whose: Whose::Login }));
        }
        let secrets = self.config.username.read().and_then(|username| Ok((username, self.config.password.read()?)));
        let (username, password) = secrets.map_err(|error| {
            let why = format!("the user name or password cannot be read: {error}");
            Stop::Trouble(Failure { kind: "secret".to_owned(), why, whose: Whose::VCenter })
        })?;
        let login =
            Session::login(Arc::clone(&self.wire), greeting, username.expose(), password.expose(), self.timing).await;
        let session = login.map_err(|error| {
            let refused = matches!(error.fault(), Some("InvalidLogin" | "NoPermission" | "InvalidLocale"));
            let mut failure = Failure::from(error);
            if refused {
                failure.whose = Whose::Login;
                failure.why = format!("{}: check user name and password", failure.why);
            }
            Stop::Trouble(failure)
        })?;
        self.logins += 1;
        if self.logins > 1 {
            out.status().reconnected();
        }
        let session = Arc::new(session);
        self.session = Some(Arc::clone(&session));
        let clock = session.clock().await?;
        Ok((session, clock))
    }

    /// Reads until something is in the way.
    async fn attempt(&mut self, out: &Appender) -> Result<(), Stop> {
        out.status().connecting();
        let stop = out.stop().clone();
        let Some(session) = finish_soon(&stop, self.session(out)).await else { return Err(Stop::Ended) };
        let (session, clock) = session?;
        let now = clock.server();
        // What an earlier attempt left behind counts against the number of collectors that vCenter allows.
        if let Err(error) = finish_soon(&stop, session.destroy_owned()).await.ok_or(Stop::Ended)? {
            return Err(self.lost(error));
        }
        let instance = session.content.instance_uuid();
        let begin = match self.config.begin {
            BeginAt::Now => now,
            BeginAt::Ago(ago) => now.saturating_sub(timing::micros(ago)),
            BeginAt::At(at) => at,
        };
        let mut checkpoint = out.checkpoint().await?;
        if checkpoint.is_none()
            && let Some(other) = out.adopt(instance).await?
        {
            tracing::info!(
                stream = &**out.stream(),
                from = &*other,
                "goes on where a stream of the same vCenter was that is not configured any more"
            );
            checkpoint = out.checkpoint().await?;
        }
        let taken = if checkpoint.is_none() { self.take_over(out).await? } else { None };
        let wanted = Wanted {
            instance,
            filter: self.filter(),
            begin,
            overlap: timing::micros(self.timing.overlap),
            taken,
            delivered: self.delivered,
        };
        let (mut place, delta) = Place::open(checkpoint, &wanted, clock);
        let mut pages = PageReader::new(
            Arc::clone(out.stream()),
            &self.config.source,
            self.config.shape,
            instance,
            &session.content.api_version,
        );
        let opened = delta.is_some();
        if let Some(delta) = delta {
            out.append(Vec::new(), Some(delta)).await?;
        }
        if !opened {
            let before = self.care.clock.filter(|(of, _)| *of == instance).map(|(_, clock)| clock);
            if let Some(before) = before {
                self.care.note_step(before, clock, place.newest());
            }
            if let Some(delta) = place.set_clock(clock, before) {
                out.status().note(SET_BACK);
                append(out, &mut place, Vec::new(), delta).await?;
            }
        }
        self.care.clock = Some((instance, clock));
        if (!opened || taken.is_some())
            && let Some(days) = finish_soon(&stop, session.days_kept()).await.ok_or(Stop::Ended)?
            && let Some((from, to)) = place.expired(days)
        {
            let why = format!("the router was away for longer than the {days} days for which vCenter keeps events");
            let event = pages.gap(from, to, &why);
            let delta = place.give_up_before(to);
            append(out, &mut place, vec![event], delta).await?;
            out.status().gap(&format!("{} to {}", session::format_time(from), session::format_time(to)), &why);
        }
        loop {
            let mut tail = Tail::new(&session, &self.types, out, &mut place, &mut pages, &mut self.care);
            // An append is never given up: `run` itself heeds the end between them.
            let end = tail.run().await;
            drop(tail);
            match end {
                Ok(End::Stopped) => return Err(Stop::Ended),
                Ok(End::Again) => {
                    if let Err(error) = finish_soon(&stop, session.destroy_owned()).await.ok_or(Stop::Ended)? {
                        return Err(self.lost(error));
                    }
                }
                Err(Trouble::Call(error)) => {
                    // Collectors that we do not know of die with their session.
                    if error.fault() == Some("InvalidState") && session.doubtful() {
                        self.close().await;
                    }
                    return Err(self.lost(error));
                }
                Err(Trouble::Journal(JournalError::Closed)) if stop.is_cancelled() => return Err(Stop::Ended),
                Err(Trouble::Journal(error)) => {
                    self.care.skip_to = None;
                    return Err(error.into());
                }
            }
        }
    }

    /// Where the router before this one was. What it delivered last, and whether vCenter must bring that again.
    async fn take_over(&mut self, out: &Appender) -> Result<Option<(Seen, bool)>, Stop> {
        let Some(folder) = self.config.checkpoint_dir.clone() else { return Ok(None) };
        let host = takeover::host(&self.config.source).to_owned();
        let read = tokio::task::spawn_blocking(move || takeover::read(&folder, &host)).await;
        let failed = |why| Stop::Trouble(Failure { kind: "checkpoint file".to_owned(), why, whose: Whose::VCenter });
        let Some(Taken { last, kind, path }) = read.unwrap_or_else(|error| Err(error.to_string())).map_err(failed)?
        else {
            out.status().note("the Go router left no checkpoint of this vCenter: reading begins where begin says");
            return Ok(None);
        };
        tracing::info!(
            stream = &**out.stream(),
            key = last.0,
            created = session::format_time(last.1),
            file = %path.display(),
            "goes on behind the event that the Go router delivered last"
        );
        self.delivered = Some(last);
        // With a filter, vCenter brings what passes it alone.
        let comes = self.types.is_empty() || self.types.contains(&kind);
        Ok(Some((last, comes)))
    }

    /// A call failed. If the session is gone, so are its collectors.
    fn lost(&mut self, error: CallError) -> Stop {
        if error.session_gone() {
            self.session = None;
        }
        error.into()
    }

    /// Leaves nothing behind at vCenter, in the time that there is.
    async fn close(&mut self) {
        if let Some(session) = self.session.take()
            && tokio::time::timeout(self.timing.stop, session.close()).await.is_err()
        {
            tracing::debug!(stream = %self.config.name, "vCenter does not answer: the session is left to its timeout");
        }
    }
}

/// The event that tells of events of a vCenter that are missing, from and to microseconds since 1970 by its clock.
#[must_use]
pub fn gap(config: &Config, instance: Uuid, from: i64, to: i64, reason: &str) -> Event {
    // No vCenter is asked for its version now.
    PageReader::new(Arc::clone(&config.name), &config.source, Shape::V6_7, instance, "").gap(from, to, reason)
}

#[async_trait]
impl EventStream for VCenter {
    async fn run(&mut self, out: &Appender) -> Result<(), StreamError> {
        let mut backoff = Backoff::new(self.timing.retry_first, self.timing.retry_most);
        let mut refusals = 0_u32;
        let stop = out.stop().clone();
        let end = loop {
            let started = Instant::now();
            let failure = match self.attempt(out).await {
                Ok(()) | Err(Stop::Ended) => break Ok(()),
                Err(Stop::Fenced(error)) => break Err(StreamError(error.to_string())),
                Err(Stop::Trouble(failure)) => failure,
            };
            if started.elapsed() >= self.timing.stable {
                backoff.reset();
            }
            out.status().waiting(&failure.kind, &failure.why);
            refusals = if failure.whose == Whose::Login { refusals + 1 } else { 0 };
            let wait = match failure.whose {
                Whose::Login => refused_wait(&self.timing, refusals),
                Whose::VCenter => backoff.wait(),
                Whose::Journal => backoff.wait().min(self.timing.journal_most),
            };
            tokio::select! {
                () = stop.cancelled() => break Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
        };
        self.close().await;
        if end.is_ok() {
            out.status().stopped();
        }
        end
    }

    async fn check(&mut self, report: &mut Report) {
        check::check(self, report).await;
        self.close().await;
    }
}

/// How long to wait after that many refused logins in a row: a little less than the bound, since many routers may wait.
fn refused_wait(timing: &Timing, refusals: u32) -> Duration {
    let most = if refusals <= 1 { timing.refused_first } else { timing.retry_most.max(timing.refused_first) };
    most.mul_f64(0.8 + 0.2 * fastrand::f64())
}

/// What comes of a call, unless the stream shall end and the call takes much longer.
async fn finish_soon<T>(stop: &CancellationToken, call: impl Future<Output = T>) -> Option<T> {
    let enough = async {
        stop.cancelled().await;
        tokio::time::sleep(LAST_CALL).await;
    };
    tokio::select! {
        done = call => Some(done),
        () = enough => None,
    }
}
