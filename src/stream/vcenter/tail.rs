//! The reading loop of one collector: pages in, events and checkpoint into the journal, until the collector is of no
//! more use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::debug;

use super::care::{self, Care, Careful};
use super::collector::PAGE;
use super::finish_soon;
use super::idle::Waiting;
use super::look::Look;
use super::page::{Page, PageReader};
use super::place::{Clock, Place};
use super::session::{Session, format_time};
use super::timing::{Timing, micros};
use super::wire::CallError;
use crate::event::Event;
use crate::journal::{Appender, CheckpointDelta, JournalError};
use crate::vim25::PageError;
use crate::vim25::soap::{Fault, Ref};

/// The call that reads.
const READ: &str = "ReadNextEvents";

/// How often a page that holds one event may break off before that passes for damage.
const MOST_CUTS: u32 = 3;

/// A damaged page is found again by counting, unless more events than this come before it.
const MOST_AGAIN: usize = 20_000;

/// Keys are in order but for so many.
const DISORDER: i64 = 1000;

/// Said when vCenter's clock was set back.
pub(super) const SET_BACK: &str = "vCenter's clock was set back: reading goes on from its present time, and what is read again is skipped if it is remembered";

/// Said when keys are lower than before.
const WENT_BACK: &str =
    "vCenter's event keys went back: looking whether its history is still the one that was read before";

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
    /// The pause after the next read that brings nothing.
    pub(super) pause: Duration,
    /// How long the last read took.
    pub(super) round_trip: Duration,
    /// When it was last asked how much there is to read.
    pub(super) counted: Option<Instant>,
    /// Where the collector begins.
    begin: i64,
    /// The time of what it brought last.
    pub(super) front: i64,
    /// How many events it brought.
    passed: usize,
    careful: Option<Careful>,
    /// It began at the checkpoint because of a page that could not be read.
    afresh: bool,
    /// vCenter's clock was set back to before the collector's beginning: a new one is needed.
    pub(super) outrun: bool,
    /// The largest key of all that it brought.
    pub(super) largest: Option<i32>,
    /// Events that are read, but not appended until it shows whether something is missing before them.
    held: Option<Page>,
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
        Self {
            session,
            types,
            out,
            place,
            pages,
            care,
            timing,
            look: None,
            pause: timing.hot,
            round_trip: Duration::ZERO,
            counted: None,
            begin: 0,
            front: 0,
            passed: 0,
            careful: None,
            afresh: false,
            outrun: false,
            largest: None,
            held: None,
        }
    }

    /// Reads until there is a reason not to. Calls in flight are given up when the stream shall end, but no append.
    pub(super) async fn run(&mut self) -> Result<End, Trouble> {
        self.careful = self.care.careful.take();
        self.afresh = std::mem::take(&mut self.care.afresh) || self.careful.is_some();
        let skip_to = self.care.skip_to.take();
        self.begin = match &self.careful {
            Some(careful) => careful.begin,
            None => skip_to.unwrap_or_else(|| self.place.resume()),
        };
        self.front = self.begin;
        self.place.expect(self.begin);
        debug!(stream = %self.out.stream(), begin = format_time(self.begin), "a new collector");
        let stop = self.out.stop().clone();
        let create = async {
            let collector = self.session.create_collector(self.begin, None, self.types).await?;
            let filter = self.session.create_filter(&collector).await;
            Ok::<_, CallError>((collector, filter))
        };
        let Some(created) = finish_soon(&stop, create).await else { return Ok(End::Stopped) };
        let (collector, filter) = created?;
        let mut waiting = Waiting::new(self.session, &collector, filter.is_ok());
        match filter {
            Err(error) if error.fault().is_none() || error.session_gone() => return Err(error.into()),
            // Reading needs none.
            Err(error) => self.tell_deaf(&error),
            Ok(_) => {}
        }
        let mut ahead: Option<Bytes> = None;
        let mut proven = false;
        loop {
            if stop.is_cancelled() {
                return Ok(End::Stopped);
            }
            if self.outrun {
                return Ok(End::Again);
            }
            let count = self.count();
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
                        Err(error) if error.too_large() && count > 1 => {
                            return Ok(self.read_with_care(&error, 0, PAGE));
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
            };
            if memchr::memmem::find(&body, b"<returnval").is_some() {
                // A page that waits takes less room as it came.
                self.out.pace().await?;
            }
            let mut page = self
                .pages
                .read(&body, |seen| {
                    self.largest = self.largest.max(Some(seen.0));
                    self.place.sees(seen)
                })
                .await;
            self.care.keep_first(&mut page);
            let mut damage = damage(&mut page, &body)?;
            if !std::mem::replace(&mut proven, true) {
                // Not before: a server that takes the collector and then fails would be told of with each try.
                self.out.status().connected(&self.session.content.about());
            }
            if let Some(why) = &damage
                && count == 1
            {
                self.pass_on_broken(&body, why, &mut page)?;
                damage = None;
            }
            drop(body);
            let whole = page.count;
            let gap = self.place.missing(whole == 0 && damage.is_none());
            self.care.note_early(&page.events, self.place.newest());
            let gap = self.care.widen(gap, self.place.newest());
            if self.place.in_doubt() {
                if let Some(why) = damage {
                    self.held.get_or_insert_default();
                    return Ok(self.read_with_care(&why, whole, 1));
                }
                // Whether something is missing before these events, the next ones show.
                self.passed += whole;
                self.held.get_or_insert_default().absorb(page);
                continue;
            }
            if let Some(mut held) = self.held.take() {
                held.absorb(page);
                page = held;
            }
            if page.count == 0 && page.events.is_empty() && damage.is_none() {
                match self.idle(&mut waiting).await? {
                    None => continue,
                    Some(end) => return Ok(end),
                }
            }
            let back = self.keys_went_back(&page);
            if let Some(at) = back {
                self.out.status().note(WENT_BACK);
                page.truncate(at);
            }
            self.pause = self.timing.hot;
            self.tell_keys(page.last_key);
            if page.count >= PAGE {
                self.tell_behind(page.last_key).await?;
            }
            self.heed_clock(&page).await?;
            self.passed += whole;
            self.front = page.newest.unwrap_or(self.front);
            ahead = self.take_page(page, gap, &collector, damage.is_some() || back.is_some()).await?;
            if back.is_some() {
                return Ok(End::Again);
            }
            if let Some(why) = damage {
                return Ok(self.read_with_care(&why, 0, 1));
            }
            self.look_meanwhile().await?;
        }
    }

    /// Where the collector begins.
    pub(super) fn begin(&self) -> i64 {
        self.begin
    }

    /// How many events to read at once.
    fn count(&self) -> usize {
        self.careful.as_ref().map_or(PAGE, |careful| careful.count(self.passed))
    }

    /// There is nothing more to read: what was to be read one by one has come, and where keys went back is passed.
    pub(super) fn all_read(&mut self) {
        self.careful = None;
        if let Some((_, passed)) = &mut self.care.went_back {
            *passed = true;
        }
    }

    /// Appends a page's events, and reads the next page meanwhile, unless it is the `last` of this collector.
    async fn take_page(
        &mut self,
        page: Page,
        gap: Option<(i64, i64)>,
        collector: &Ref,
        last: bool,
    ) -> Result<Option<Bytes>, Trouble> {
        let mut events = page.events;
        if let Some((from, to)) = gap {
            let why = "vCenter no longer has the newest event that was read before: its history was lost or set back";
            events.insert(0, self.tell_gap(from, to, why));
        }
        if events.is_empty() {
            // Nothing new: the checkpoint stays as it is.
            return Ok(None);
        }
        let delta = self.place.delta_of(page.newest, &events);
        let nameless = care::nameless(&events);
        let count = self.count();
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
        let crowded = appended?;
        self.care.remember(nameless);
        self.care.stall.read();
        self.tell(page.undecoded, crowded);
        match next {
            None => Ok(None),
            Some((Ok(body), took)) => {
                self.round_trip = took;
                Ok(Some(body))
            }
            // Its events are lost to this collector; the next one begins at the checkpoint.
            Some((Err(error), _)) => {
                if error.too_large() && count > 1 {
                    self.read_with_care(&error, 0, PAGE);
                }
                Err(error.into())
            }
        }
    }

    /// The next collector is read up to the place, `further` events from here, that could not be read, and from there
    /// on `singles` events one by one.
    fn read_with_care(&mut self, why: &dyn std::fmt::Display, further: usize, singles: usize) -> End {
        let note = format!("a page of events cannot be read ({why}): reading it again, event by event");
        self.out.status().note(&note);
        let before = self.passed.saturating_add(further);
        // So much may have come since that the beginning is forgotten.
        let forgotten = self.place.forgets(self.begin) && self.begin < self.place.resume();
        if !forgotten && (self.afresh || before <= MOST_AGAIN) {
            let known = self.careful.take().map(|careful| careful.places);
            let places = known.into_iter().flatten().chain([(before, singles)]).collect();
            self.care.careful = Some(Careful { begin: self.begin, places });
        } else {
            // The way there is shorter from the checkpoint.
            self.care.afresh = true;
        }
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
        if self.care.is_first(&event) {
            page.events.push(event);
            page.undecoded.push(undecoded);
        }
        Ok(())
    }

    /// The first of a page's events whose key is from before, although it was created after the newest event: vCenter
    /// may have been set back to an older state, behind a collector that lives on. What a new one brings will show.
    fn keys_went_back(&mut self, page: &Page) -> Option<usize> {
        // Keys that wrap or begin again look the same, and go on so behind a new collector. The way there may take it
        // long: only what comes after it has read everything is news.
        if self.care.went_back.is_some_and(|(when, passed)| !passed || when.elapsed() < self.timing.stall) {
            return None;
        }
        let mut last = self.place.last()?;
        let back = page.events.iter().position(|event| {
            let Some(next) = event.key().zip(event.created()) else { return false };
            let back = next.1 > last.1 && i64::from(last.0) - i64::from(next.0) > DISORDER;
            last = if next.1 >= last.1 { next } else { last };
            back
        })?;
        self.care.went_back = Some((Instant::now(), false));
        Some(back)
    }

    /// Looks at vCenter's clock if events are dated as if it had been set.
    async fn heed_clock(&mut self, page: &Page) -> Result<(), Trouble> {
        let Some(last) = page.events.last().and_then(Event::created) else { return Ok(()) };
        let early = last < self.place.newest().saturating_sub(micros(self.timing.overlap) / 2);
        let late = last > self.place.clock().now().saturating_add(micros(self.timing.margin));
        if !(early || late) || self.care.asked_clock.is_some_and(|asked| asked.elapsed() < self.timing.poll * 5) {
            return Ok(());
        }
        self.care.asked_clock = Some(Instant::now());
        self.look_at_clock().await
    }

    /// Looks at vCenter's clock, unless the stream shall end.
    pub(super) async fn look_at_clock(&mut self) -> Result<(), Trouble> {
        let clock = tokio::select! {
            biased;
            () = self.out.stop().cancelled() => return Ok(()),
            clock = self.session.clock() => clock?,
        };
        self.set_clock(clock).await
    }

    /// vCenter's clock shows this.
    pub(super) async fn set_clock(&mut self, clock: Clock) -> Result<(), Trouble> {
        let before = self.place.clock();
        self.care.note_step(before, clock, self.place.newest());
        let delta = self.place.set_clock(clock, Some(before));
        if let Some(delta) = delta {
            self.out.status().note(SET_BACK);
            append(self.out, self.place, Vec::new(), delta).await?;
            // What happens now lies before the collector's beginning.
            self.outrun |= self.begin > self.place.resume();
        }
        // Not before: what the journal did not take must be found out again.
        self.care.clock = self.care.clock.map(|(of, _)| (of, clock));
        Ok(())
    }
}

/// Why the page could not be read to its end, if it is one of events at all.
pub(super) fn damage(page: &mut Page, body: &[u8]) -> Result<Option<String>, CallError> {
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
