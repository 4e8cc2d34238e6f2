//! The reading loop of one collector: pages in, events and checkpoint into the journal, until the collector is of no
//! more use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::debug;

use super::care::Care;
use super::collector::PAGE;
use super::finish_soon;
use super::idle::Waiting;
use super::look::{Look, LookPlan};
use super::page::{Page, PageReader};
use super::place::Place;
use super::session::{Session, format_time};
use super::timing::Timing;
use super::wire::CallError;
use crate::event::Event;
use crate::journal::{Appender, CheckpointDelta, JournalError};
use crate::vim25::PageError;
use crate::vim25::soap::{Fault, Ref};

/// The call that reads.
const READ: &str = "ReadNextEvents";

/// How often a page that holds one event may break off before that passes for damage.
const MOST_CUTS: u32 = 3;

/// Why reading came to an end.
pub(super) enum End {
    /// The stream shall end.
    Stopped,
    /// A new collector is needed.
    Again,
}

/// What keeps a stream from reading on.
pub(super) enum Trouble {
    Call(CallError),
    Journal(JournalError),
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<JournalError> for Trouble {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

/// The loop and all that it works with.
pub(super) struct Tail<'a> {
    pub(super) session: &'a Arc<Session>,
    pub(super) types: &'a Arc<[String]>,
    pub(super) out: &'a Appender,
    pub(super) place: &'a mut Place,
    pub(super) pages: &'a mut PageReader,
    pub(super) care: &'a mut Care,
    pub(super) timing: Timing,
    pub(super) look: Option<Look>,
    pub(super) plan: LookPlan,
    /// The pause after the next read that brings nothing.
    pub(super) pause: Duration,
    /// How long the last read took.
    pub(super) round_trip: Duration,
    /// When it was last asked how much there is to read.
    pub(super) counted: Option<Instant>,
}

impl<'a> Tail<'a> {
    pub(super) fn new(
        session: &'a Arc<Session>,
        types: &'a Arc<[String]>,
        out: &'a Appender,
        place: &'a mut Place,
        pages: &'a mut PageReader,
        care: &'a mut Care,
    ) -> Self {
        let timing = session.timing;
        let (plan, pause) = (LookPlan::new(), timing.hot);
        Self {
            session,
            types,
            out,
            place,
            pages,
            care,
            timing,
            look: None,
            plan,
            pause,
            round_trip: Duration::ZERO,
            counted: None,
        }
    }

    /// Reads until there is a reason not to. Calls in flight are given up when the stream shall end, but no append.
    pub(super) async fn run(&mut self) -> Result<End, Trouble> {
        let begin = self.care.skip_to.take().unwrap_or_else(|| self.place.resume());
        debug!(stream = %self.out.stream(), begin = format_time(begin), "a new collector");
        let stop = self.out.stop().clone();
        let create = async {
            let collector = self.session.create_collector(begin, self.types).await?;
            self.session.create_filter(&collector).await?;
            Ok::<_, CallError>(collector)
        };
        let Some(collector) = finish_soon(&stop, create).await else { return Ok(End::Stopped) };
        let collector = collector?;
        let mut waiting = Waiting::new(self.session);
        let mut ahead: Option<Bytes> = None;
        let mut proven = false;
        loop {
            if stop.is_cancelled() {
                return Ok(End::Stopped);
            }
            let count = if self.care.one_by_one.is_some() { 1 } else { PAGE };
            let body = match ahead.take() {
                Some(body) => body,
                None => {
                    let started = Instant::now();
                    let read = tokio::select! {
                        biased;
                        () = stop.cancelled() => return Ok(End::Stopped),
                        read = self.session.read_next(&collector, count) => read,
                    };
                    self.round_trip = started.elapsed();
                    match read {
                        Ok(body) => body,
                        Err(error) if error.too_large() && count > 1 => return Ok(self.read_with_care(&error)),
                        Err(error) => return Err(error.into()),
                    }
                }
            };
            let mut page = self.pages.read(&body, |seen| self.place.is_new(seen));
            self.care.keep_first(&mut page);
            let damage = damage(&mut page, &body)?;
            if !std::mem::replace(&mut proven, true) {
                // Not before: a server that takes the collector and then fails would be told of with each try.
                self.out.status().connected(&self.session.content.about());
            }
            if let Some(why) = &damage
                && count == 1
            {
                self.pass_on_broken(&body, why, &mut page)?;
            }
            drop(body);
            if page.count == 0 && page.events.is_empty() && damage.is_none() {
                match self.idle(&mut waiting).await? {
                    None => continue,
                    Some(end) => return Ok(end),
                }
            }
            self.pause = self.timing.hot;
            self.tell_keys(page.last_key);
            if page.count >= PAGE {
                self.tell_behind(page.last_key).await?;
            }
            ahead = self.take_page(page, &collector, damage.is_some() && count > 1).await?;
            if let Some(why) = damage
                && count > 1
            {
                return Ok(self.read_with_care(&why));
            }
            self.look_meanwhile().await?;
        }
    }

    /// Appends a page's events, and reads the next page meanwhile, unless it is the `last` of this collector.
    async fn take_page(&mut self, page: Page, collector: &Ref, last: bool) -> Result<Option<Bytes>, Trouble> {
        let mut events = page.events;
        if let Some(left) = &mut self.care.one_by_one {
            // What was read before does not bring us past the damage.
            *left = left.saturating_sub(events.len());
            if *left == 0 {
                self.care.one_by_one = None;
            }
        }
        if let Some((from, to)) = page.oldest.and_then(|oldest| self.place.missing(oldest)) {
            let why = "vCenter no longer has the events that were read before: its history was lost, or has expired";
            events.insert(0, self.tell_gap(from, to, why));
        }
        if events.is_empty() {
            // Nothing new: the checkpoint stays as it is.
            return Ok(None);
        }
        let delta = self.place.delta(page.newest);
        let count = if self.care.one_by_one.is_some() { 1 } else { PAGE };
        let stop = self.out.stop();
        let session = self.session;
        let started = Instant::now();
        let next = async {
            if last {
                return None;
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => None,
                read = session.read_next(collector, count) => Some((read, started.elapsed())),
            }
        };
        let (appended, next) = tokio::join!(append(self.out, self.place, events, delta), next);
        let rose = appended?;
        self.care.stall.read();
        self.tell(page.undecoded, rose);
        match next {
            None => Ok(None),
            Some((Ok(body), took)) => {
                self.round_trip = took;
                Ok(Some(body))
            }
            // Its events are lost to this collector; the next one begins at the checkpoint.
            Some((Err(error), _)) if error.too_large() && count > 1 => {
                self.care.one_by_one = Some(PAGE);
                Err(error.into())
            }
            Some((Err(error), _)) => Err(error.into()),
        }
    }

    /// From here on events are read one by one, from the checkpoint.
    fn read_with_care(&mut self, why: &dyn std::fmt::Display) -> End {
        let note =
            format!("a page of events cannot be read ({why}): reading again from the checkpoint, event by event");
        self.out.status().note(&note);
        self.care.one_by_one = Some(PAGE);
        End::Again
    }

    /// Passes on an event that was read alone and is damaged; it is the reason why events were read one by one.
    fn pass_on_broken(&mut self, body: &[u8], why: &str, page: &mut Page) -> Result<(), CallError> {
        // Something on the way may cut answers off: that is no damage to the event.
        if !body.trim_ascii_end().ends_with(b"Envelope>") && self.care.cuts < MOST_CUTS {
            self.care.cuts += 1;
            return Err(CallError::Answer { method: READ, why: format!("it breaks off ({why})") });
        }
        self.care.cuts = 0;
        let (event, undecoded) = self.pages.broken(body, why);
        page.count = page.count.max(1);
        if self.care.is_first(event.id()) {
            self.care.one_by_one = None;
            page.events.push(event);
            page.undecoded.push(undecoded);
        }
        Ok(())
    }
}

/// Why the page could not be read to its end, if it is one of events at all.
fn damage(page: &mut Page, body: &[u8]) -> Result<Option<String>, CallError> {
    match page.error.take() {
        None => Ok(None),
        Some(PageError::Fault { fault, message }) => {
            let fault = Fault { kind: fault, message, privilege: None };
            Err(CallError::Fault { method: READ, fault })
        }
        Some(PageError::NotWellFormed(why)) if memchr::memmem::find(body, b"<returnval").is_some() => {
            Ok(Some(why.to_string()))
        }
        Some(other) => Err(CallError::Answer { method: READ, why: other.to_string() }),
    }
}

/// Appends events and the change to the checkpoint that comes with them; the place is as if it had succeeded.
pub(super) async fn append(
    out: &Appender,
    place: &mut Place,
    events: Vec<Event>,
    delta: CheckpointDelta,
) -> Result<bool, JournalError> {
    let rose = place.took(&delta, &events);
    let count = events.len() as u64;
    if tracing::enabled!(tracing::Level::DEBUG) {
        for event in &events {
            debug!(stream = %out.stream(), id = event.id(), subject = event.subject(), key = event.key(), "read");
        }
    }
    out.append(events, Some(delta)).await?;
    out.status().events(count);
    Ok(rose)
}
