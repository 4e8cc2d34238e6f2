//! The reading loop of one collector: pages in, events and checkpoint into the journal, until the collector is of no
//! more use.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::debug;

use super::collector::{News, PAGE, look_back_until};
use super::look::{Look, LookPlan, Step};
use super::page::{Page, PageReader, Undecoded};
use super::place::{Clock, Place};
use super::session::Session;
use super::stall::{Stall, StallWatch};
use super::timing::Timing;
use super::wire::CallError;
use crate::event::Event;
use crate::journal::{Appender, CheckpointDelta, JournalError};
use crate::vim25::PageError;

/// Keys beyond this will soon wrap, which deserves a look.
const KEY_ALARM: i32 = i32::MAX - 10_000_000;

/// Damaged events that are remembered, so that none is passed on again with each new collector.
const MOST_BROKEN: usize = 1024;

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

/// What a stream keeps from collector to collector.
pub(super) struct Care {
    /// Events still to be read one by one, after a page that was not well-formed.
    pub(super) one_by_one: Option<usize>,
    /// Where the next collector begins, if reading stalled there.
    pub(super) skip_to: Option<i64>,
    pub(super) stall: StallWatch,
    broken: std::collections::BTreeSet<String>,
    /// `latestEvent` cannot be had from this server.
    no_latest: bool,
    told_gap: Option<Instant>,
    told_bound: bool,
    told_keys: bool,
}

impl Care {
    pub(super) fn new(timing: &Timing) -> Self {
        Self {
            one_by_one: None,
            skip_to: None,
            stall: StallWatch::new(timing.stall),
            broken: std::collections::BTreeSet::new(),
            no_latest: false,
            told_gap: None,
            told_bound: false,
            told_keys: false,
        }
    }
}

/// A wait for news in flight.
type Wait = Pin<Box<dyn Future<Output = Result<News, CallError>> + Send>>;

fn wait(session: &Arc<Session>, version: String) -> Wait {
    let session = Arc::clone(session);
    Box::pin(async move { session.wait(version).await })
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
    look: Option<Look>,
    plan: LookPlan,
    /// The pause after the next read that brings nothing.
    pause: Duration,
    /// How long the last read took.
    round_trip: Duration,
    /// When it was last asked how much there is to read.
    counted: Option<Instant>,
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
        debug!(stream = %self.out.stream(), begin = super::session::format_time(begin), "a new collector");
        let collector = self.session.create_collector(begin, self.types).await?;
        self.session.create_filter(&collector).await?;
        self.out.status().connected(&self.session.content.about());
        let mut waiting = wait(self.session, String::new());
        let mut ahead: Option<Bytes> = None;
        let stop = self.out.stop().clone();
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
            if let Some(PageError::Fault { fault, message }) = page.error {
                let fault = crate::vim25::soap::Fault { kind: fault, message, privilege: None };
                return Err(CallError::Fault { method: "ReadNextEvents", fault }.into());
            }
            if let Some(PageError::NotSoap(why)) = page.error {
                return Err(CallError::Answer { method: "ReadNextEvents", why }.into());
            }
            let damage = page.error.take().map(|error| error.to_string());
            if let Some(why) = &damage
                && count == 1
            {
                self.pass_on_broken(&body, why, &mut page);
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
                self.tell_behind(&page).await?;
            }
            ahead = self.take_page(page, &collector, damage.is_some() && count > 1).await?;
            if let Some(why) = damage
                && count > 1
            {
                return Ok(self.read_with_care(&why));
            }
            self.look_while_busy().await?;
        }
    }

    /// Appends a page's events, and reads the next page meanwhile, unless it is the `last` of this collector.
    async fn take_page(
        &mut self,
        page: Page,
        collector: &crate::vim25::soap::Ref,
        last: bool,
    ) -> Result<Option<Bytes>, Trouble> {
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
        if events.is_empty() && page.count > 0 {
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

    /// All there is has been read: waits until there may be more. An end if this collector is of no more use.
    async fn idle(&mut self, waiting: &mut Wait) -> Result<Option<End>, Trouble> {
        self.out.status().streaming();
        self.care.one_by_one = None;
        if let Some(end) = self.check_stall().await? {
            return Ok(Some(end));
        }
        let stop = self.out.stop().clone();
        // A server that takes its time to answer is asked less often.
        let again = Instant::now() + self.pause.max(self.round_trip).min(self.timing.poll);
        self.pause = (self.pause * 2).min(self.timing.poll);
        loop {
            if self.look.is_none() && self.plan.due(self.timing.look_back) <= Instant::now() {
                self.begin_look().await?;
            }
            let look = async {
                match &mut self.look {
                    Some(look) => (&mut look.future).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Some(End::Stopped)),
                news = &mut *waiting => {
                    let news = news?;
                    *waiting = wait(self.session, news.version.unwrap_or_else(|| "-".to_owned()));
                    if news.any {
                        if let Some(seen) = news.newest.filter(|seen| self.place.is_new(*seen)) {
                            self.care.stall.exists(seen);
                        }
                        // The change may not be readable yet.
                        self.pause = self.timing.hot;
                        return Ok(None);
                    }
                }
                step = look => self.look_step(step).await?,
                () = tokio::time::sleep_until(again.into()) => return Ok(None),
            }
        }
    }

    /// Whether there are events that reading does not bring.
    async fn check_stall(&mut self) -> Result<Option<End>, Trouble> {
        // With a filter, the newest event of all need not be one of ours.
        if !self.care.no_latest && self.types.is_empty() && self.care.stall.ask() {
            match self.session.latest_event().await {
                Ok(Some(seen)) if self.place.is_new(seen) && seen.1 >= self.place.resume() => {
                    self.care.stall.exists(seen)
                }
                Ok(_) => {}
                Err(error) if error.session_gone() => return Err(error.into()),
                Err(error) => {
                    debug!(stream = %self.out.stream(), %error, "latestEvent cannot be read, stalls are noticed without it");
                    self.care.no_latest = true;
                }
            }
        }
        match self.care.stall.check(|seen| self.place.is_new(seen)) {
            None => Ok(None),
            Some(Stall::Again) => {
                self.out
                    .status()
                    .trouble("vCenter has events that reading does not bring: reading again from the checkpoint");
                Ok(Some(End::Again))
            }
            Some(Stall::Skip((_, created))) => {
                let (from, why) =
                    (self.place.newest(), "vCenter has events that it does not give, not even to a new collector");
                if self.care.told_gap.is_none_or(|told| told.elapsed() > Duration::from_secs(3600)) {
                    self.care.told_gap = Some(Instant::now());
                    let why = format!(
                        "{why}: has this user the role Read-only on the vCenter itself, with propagation to children?"
                    );
                    let gap = self.tell_gap(from, created, &why);
                    let delta = self.place.give_up_before(created);
                    append(self.out, self.place, vec![gap], delta).await?;
                } else {
                    self.out.status().trouble(why);
                }
                self.care.skip_to = Some(created);
                Ok(Some(End::Again))
            }
        }
    }

    /// Looks back while there is history to read, a page of each in turn.
    async fn look_while_busy(&mut self) -> Result<(), Trouble> {
        if self.look.is_none() && self.plan.due(self.timing.look_back_busy) <= Instant::now() {
            self.begin_look().await?;
        }
        if let Some(look) = &mut self.look
            && self.plan.due(self.timing.look_back_busy) <= Instant::now()
        {
            let step = tokio::select! {
                biased;
                () = self.out.stop().cancelled() => return Ok(()),
                step = &mut look.future => step,
            };
            self.look_step(step).await?;
        }
        Ok(())
    }

    async fn begin_look(&mut self) -> Result<(), Trouble> {
        let from = self.plan.start(self.place.horizon());
        let until = look_back_until(self.place.newest(), self.timing.margin);
        if let Some(delta) = self.place.freshen() {
            append(self.out, self.place, Vec::new(), delta).await?;
        }
        if until > from {
            self.look = Some(Look::begin(self.session, self.types, from, until));
        }
        Ok(())
    }

    /// Takes what a step of the look brought. A look that fails is given up; the main collector will tell if the session is gone.
    async fn look_step(&mut self, step: Result<Step, CallError>) -> Result<(), Trouble> {
        let Some(mut look) = self.look.take() else { return Ok(()) };
        let (collector, body, clock) = match step {
            Ok(Step::Over) => return Ok(()),
            Ok(Step::Page { collector, body, clock }) => (collector, body, clock),
            Err(error) if error.session_gone() => return Err(error.into()),
            Err(error) => {
                self.out.status().trouble(&format!("looking back for late events failed: {error}"));
                return Ok(());
            }
        };
        if let Some(server) = clock {
            self.place.clock = Clock::new(server);
        }
        let range = look.from..=look.until;
        let mut page = self.pages.read(&body, |seen| range.contains(&seen.1) && self.place.is_new(seen));
        // Without a key or a time, an event cannot be told from those that were read before.
        page.events.retain(|event| event.key().is_some() && event.created().is_some());
        if let Some(error) = &page.error {
            self.out.status().trouble(&format!("a page of the look back for late events cannot be read: {error}"));
        }
        let go_on = look.next(self.session, collector, page.count, page.newest);
        self.plan.go_on_at(go_on);
        self.look = Some(look);
        let late = page.events.len() as u64;
        if late > 0 {
            let delta = self.place.delta(None);
            let rose = append(self.out, self.place, page.events, delta).await?;
            self.out.status().late(late);
            self.tell(page.undecoded, rose);
        }
        Ok(())
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
    fn pass_on_broken(&mut self, body: &[u8], why: &str, page: &mut Page) {
        let (event, undecoded) = self.pages.broken(body, why);
        page.count = page.count.max(1);
        if self.care.broken.contains(event.id()) {
            return;
        }
        if self.care.broken.len() >= MOST_BROKEN {
            self.care.broken.pop_first();
        }
        self.care.broken.insert(event.id().to_owned());
        self.care.one_by_one = None;
        page.events.push(event);
        page.undecoded.push(undecoded);
    }

    /// Tells of events that are missing. The event that says so is still to be appended.
    fn tell_gap(&mut self, from: i64, to: i64, why: &str) -> Event {
        let event = self.pages.gap(from, to, why);
        let span = format!("{} to {}", super::session::format_time(from), super::session::format_time(to));
        self.out.status().gap(&span, why);
        event
    }

    fn tell(&mut self, undecoded: Vec<Undecoded>, horizon_rose: bool) {
        for Undecoded { id, subject, why } in undecoded {
            self.out.status().undecoded(&id, &subject, &why);
        }
        if horizon_rose && !self.care.told_bound {
            self.care.told_bound = true;
            self.out.status().note(
                "more events than can be remembered came within ten minutes: late events are looked for over a shorter time",
            );
        }
    }

    fn tell_keys(&mut self, key: Option<i32>) {
        if key.is_some_and(|key| key > KEY_ALARM) && !self.care.told_keys {
            self.care.told_keys = true;
            self.out.status().note(
                "vCenter's event keys approach 2147483647, behind which they wrap: reading goes on, with pauses of some seconds around the wrap",
            );
        }
    }

    /// Says how much there is to read.
    async fn tell_behind(&mut self, page: &Page) -> Result<(), Trouble> {
        if self.counted.is_some_and(|counted| counted.elapsed() < self.timing.poll * 5) {
            return Ok(());
        }
        self.counted = Some(Instant::now());
        let mut to_go = None;
        if !self.care.no_latest && self.types.is_empty() {
            match self.session.latest_event().await {
                Ok(latest) => {
                    let ahead = |(key, _): super::session::Seen| key.wrapping_sub(page.last_key?).try_into().ok();
                    to_go = latest.and_then(ahead);
                    self.care.no_latest = latest.is_none();
                }
                Err(error) if error.session_gone() => return Err(error.into()),
                Err(_) => self.care.no_latest = true,
            }
        }
        self.out.status().behind(to_go, self.place.lag());
        Ok(())
    }
}

/// Appends events and the change to the checkpoint that comes with them; the place is as if it had succeeded.
async fn append(
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
