//! What a stream keeps from collector to collector, and what it tells.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::collector::PAGE;
use super::look::LookPlan;
use super::page::{Page, Undecoded};
use super::place::Clock;
use super::session::{Seen, format_time};
use super::stall::StallWatch;
use super::tail::{Tail, Trouble};
use super::timing::{Timing, micros};
use super::wire::CallError;
use crate::event::Event;

/// Keys beyond this will soon wrap, which deserves a look.
const KEY_ALARM: i32 = i32::MAX - 10_000_000;

/// The longest time for which `latestEvent` is not asked for after it failed.
const MOST_UNASKED: Duration = Duration::from_secs(300);

/// Damaged events that are remembered, so that none is passed on again with each new collector.
const MOST_NAMELESS: usize = 1024;

/// The places in a collector from which on events are read one by one.
#[derive(Clone, Debug)]
pub(super) struct Careful {
    /// Where the collector begins, so that places count alike.
    pub(super) begin: i64,
    /// How many events come before, and how many are read so.
    pub(super) places: Vec<(usize, usize)>,
}

impl Careful {
    /// How many events to read at once where so many were `passed`.
    pub(super) fn count(&self, passed: usize) -> usize {
        let ahead = self.places.iter().filter(|(before, singles)| before.saturating_add(*singles) > passed);
        let next = ahead.map(|(before, _)| before.saturating_sub(passed)).min();
        next.map_or(PAGE, |next| next.clamp(1, PAGE))
    }
}

/// What a stream keeps from collector to collector.
pub(super) struct Care {
    /// How the next collector is to be read, after a page that could not be.
    pub(super) careful: Option<Careful>,
    /// The next collector begins at the checkpoint because of such a page, far into the one before.
    pub(super) afresh: bool,
    /// vCenter's clock when we last looked at it, and which vCenter's.
    pub(super) clock: Option<(Uuid, Clock)>,
    /// vCenter's clock was set, or events came that are dated as if it had been set back, and reading is not past that:
    /// from the earliest date since to the latest before.
    pub(super) stepped: Option<(i64, i64)>,
    /// By how much reading overlaps what was read, which covers clocks that are set back by less.
    overlap: i64,
    /// When to look back for late events; collectors come and go meanwhile.
    pub(super) plan: LookPlan,
    /// When the clock was last looked at because of an event's time.
    pub(super) asked_clock: Option<Instant>,
    /// When a collector was last given up because keys went back, and whether everything was read since.
    pub(super) went_back: Option<(Instant, bool)>,
    /// Where the next collector begins, if reading stalled there.
    pub(super) skip_to: Option<i64>,
    pub(super) stall: StallWatch,
    /// How often a page that holds one event broke off, in a row.
    pub(super) cuts: u32,
    /// Ids of events whose key or time cannot be read.
    nameless: BTreeSet<String>,
    /// `latestEvent` could not be had: it is not asked for before then, and with each failure for twice as long.
    no_latest: Option<(Instant, Duration)>,
    told_bound: bool,
    told_keys: bool,
    told_deaf: bool,
    told_latest: bool,
}

impl Care {
    pub(super) fn new(timing: &Timing) -> Self {
        Self {
            careful: None,
            afresh: false,
            clock: None,
            stepped: None,
            overlap: micros(timing.overlap),
            plan: LookPlan::new(),
            asked_clock: None,
            went_back: None,
            skip_to: None,
            stall: StallWatch::new(timing.stall),
            cuts: 0,
            nameless: BTreeSet::new(),
            no_latest: None,
            told_bound: false,
            told_keys: false,
            told_deaf: false,
            told_latest: false,
        }
    }

    /// vCenter's clock was looked at, and was this before; reading has come to `newest`, which was read before the look and
    /// so does not show that reading is past what was set.
    pub(super) fn note_step(&mut self, before: Clock, now: Clock, newest: i64) {
        if let Some(step) = before.step_to(now) {
            self.note_dates(step.since, step.until.max(newest));
        } else if before.leapt_to(now) {
            // It may have been set more than once since, back too, of which only the sum shows: what is dated before the
            // newest event may have happened after it.
            self.note_dates(before.server().saturating_sub(self.overlap), now.now().max(newest));
        }
    }

    /// New events came where reading had come to `newest`. Those among them that are dated earlier may show that the clock
    /// was set back, though it may be ahead again when it is looked at.
    pub(super) fn note_early(&mut self, events: &[Event], newest: i64) {
        let earliest = events.iter().filter_map(Event::created).min();
        if let Some(since) = earliest.filter(|created| *created < newest) {
            self.note_dates(since, newest);
        }
    }

    fn note_dates(&mut self, since: i64, until: i64) {
        let (earlier, later) = self.stepped.unwrap_or((since, until));
        self.stepped = Some((since.min(earlier), until.max(later)));
    }

    /// What may be missing where a gap is found and reading has come to `newest`. Around a clock that was set back, what
    /// is missing may be dated later than what comes behind it: until reading is past that.
    pub(super) fn widen(&mut self, gap: Option<(i64, i64)>, newest: i64) -> Option<(i64, i64)> {
        let Some((since, until)) = self.stepped else { return gap };
        if gap.is_some() || newest > until {
            self.stepped = None;
        }
        gap.map(|(from, to)| (from.min(since), to.max(until)))
    }

    /// Whether an event that no key and time identify is one that was not passed on yet.
    pub(super) fn is_first(&self, event: &Event) -> bool {
        !self.nameless.contains(event.id())
    }

    /// These are in the journal: those among them that no key and time identify shall not be passed on again.
    pub(super) fn remember(&mut self, nameless: Vec<String>) {
        for id in nameless {
            if self.nameless.len() >= MOST_NAMELESS {
                self.nameless.pop_first();
            }
            self.nameless.insert(id);
        }
    }

    /// Drops the page's events that no key and time identify and that were passed on before.
    pub(super) fn keep_first(&self, page: &mut Page) {
        let Page { events, undecoded, .. } = page;
        events.retain(|event| {
            let keep = has_name(event) || self.is_first(event);
            if !keep {
                undecoded.retain(|told| told.id != event.id());
            }
            keep
        });
    }
}

/// Whether key and time identify the event.
fn has_name(event: &Event) -> bool {
    event.key().is_some() && event.created().is_some()
}

/// The ids of those that no key and time identify.
pub(super) fn nameless(events: &[Event]) -> Vec<String> {
    events.iter().filter(|event| !has_name(event)).map(|event| event.id().to_owned()).collect()
}

impl Tail<'_> {
    /// Tells of events that are missing. The event that says so is still to be appended.
    pub(super) fn tell_gap(&mut self, from: i64, to: i64, why: &str) -> Event {
        let event = self.pages.gap(from, to, why);
        let span = format!("{} to {}", format_time(from), format_time(to));
        self.out.status().gap(&span, why);
        event
    }

    pub(super) fn tell(&mut self, undecoded: Vec<Undecoded>, horizon_rose: bool) {
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

    /// News cannot be waited for.
    pub(super) fn tell_deaf(&mut self, why: &CallError) {
        let text = format!("vCenter cannot be waited for ({why}): until it can, its history is read every second");
        self.out.status().trouble(&text);
        if !std::mem::replace(&mut self.care.told_deaf, true) {
            self.out.status().note(&text);
        }
    }

    pub(super) fn tell_keys(&mut self, key: Option<i32>) {
        if key.is_some_and(|key| key > KEY_ALARM) && !self.care.told_keys {
            self.care.told_keys = true;
            self.out.status().note(
                "vCenter's event keys approach 2147483647, behind which they wrap: reading goes on, with pauses of some seconds around the wrap",
            );
        }
    }

    /// Says how much there is to read behind the event with this key.
    pub(super) async fn tell_behind(&mut self, key: Option<i32>) -> Result<(), Trouble> {
        if self.counted.is_some_and(|counted| counted.elapsed() < self.timing.poll * 5) {
            return Ok(());
        }
        self.counted = Some(Instant::now());
        // With a filter, the newest event of all need not be one of ours.
        let latest = if self.types.is_empty() { self.latest_event().await? } else { None };
        let to_go = latest.and_then(|(latest, _)| latest.wrapping_sub(key?).try_into().ok());
        self.out.status().behind(to_go, self.place.lag());
        Ok(())
    }

    /// The newest event that vCenter has, as far as it can be asked for.
    pub(super) async fn latest_event(&mut self) -> Result<Option<Seen>, Trouble> {
        if self.care.no_latest.is_some_and(|(until, _)| Instant::now() < until) {
            return Ok(None);
        }
        let latest = tokio::select! {
            biased;
            () = self.out.stop().cancelled() => return Ok(None),
            latest = self.session.latest_event() => latest,
        };
        match latest {
            Ok(latest) => {
                self.care.no_latest = None;
                Ok(latest)
            }
            Err(error) if error.session_gone() => Err(error.into()),
            Err(error) => {
                let pause = self.care.no_latest.map_or(self.timing.stall, |(_, pause)| (pause * 2).min(MOST_UNASKED));
                self.care.no_latest = Some((Instant::now() + pause, pause));
                let text =
                    format!("vCenter does not tell its newest event ({error}): stalls may go unnoticed for a while");
                self.out.status().trouble(&text);
                if !std::mem::replace(&mut self.care.told_latest, true) {
                    self.out.status().note(&text);
                }
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::event::{Attributes, PageBuilder};
    use crate::stream::vcenter::page::PageReader;
    use crate::vim25::Shape;

    #[test]
    fn an_event_without_key_or_time_is_passed_on_until_it_is_in_the_journal() {
        let xml = br#"<E:Envelope xmlns:E="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><E:Body><ReadNextEventsResponse xmlns="urn:vim25"><returnval xsi:type="VmPoweredOnEvent"><key>99999999999</key><createdTime>2026-11-22T10:00:01Z</createdTime></returnval><returnval xsi:type="VmPoweredOnEvent"><key>2</key><chainId>1</chainId><createdTime>2026-11-22T10:00:01Z</createdTime></returnval></ReadNextEventsResponse></E:Body></E:Envelope>"#;
        let mut reader = PageReader::new("vc".into(), "s", Shape::V6_7, Uuid::nil(), "6.7");
        let mut care = Care::new(&Timing::default());
        let mut kept = |care: &Care| {
            let mut page = reader.read_at_once(xml, |_| true);
            care.keep_first(&mut page);
            (page.events.len(), page.undecoded.len(), nameless(&page.events))
        };
        let (events, undecoded, ids) = kept(&care);
        assert_eq!((events, undecoded, ids.len()), (2, 1, 1));
        assert_eq!(kept(&care).2, ids, "the journal may not have taken it");
        care.remember(ids);
        assert_eq!(kept(&care), (1, 0, Vec::new()), "what has a key and a time is told apart by them, elsewhere");
    }

    #[test]
    fn events_that_are_dated_back_widen_what_is_missing_until_reading_is_past_them() {
        let events = |of: &[i64]| {
            let mut page = PageBuilder::new("vc".into(), "s", &[]);
            for created in of {
                page.push(&Attributes { key: Some(1), created: Some(*created), ..Attributes::default() }, b"{}");
            }
            page.finish()
        };
        let mut care = Care::new(&Timing::default());
        care.note_early(&events(&[100, 101]), 100);
        assert_eq!(care.widen(Some((101, 140)), 101), Some((101, 140)));
        care.note_early(&events(&[80, 85]), 101);
        assert_eq!(care.widen(None, 101), None);
        care.note_early(&events(&[87]), 101);
        assert_eq!(care.widen(Some((101, 140)), 101), Some((80, 140)), "it happened from then on");
        assert_eq!(care.widen(Some((101, 140)), 101), Some((101, 140)), "told once");
        care.note_early(&events(&[80, 102]), 101);
        assert_eq!((care.widen(None, 102), care.widen(Some((102, 140)), 102)), (None, Some((102, 140))));
    }

    #[test]
    fn a_clock_that_leapt_widens_what_is_missing_since_it_may_have_been_set_back_too() {
        const SECOND: i64 = 1_000_000;
        let (before, even, leapt) =
            (Clock::new(1000 * SECOND), Clock::new(1000 * SECOND + SECOND / 2), Clock::new(1400 * SECOND));
        let mut care = Care::new(&Timing::default());
        care.note_step(before, even, 990 * SECOND);
        assert_eq!(care.stepped, None);
        let gap = (1380 * SECOND, 1500 * SECOND);
        let wide = Some((940 * SECOND, 1500 * SECOND));
        care.note_step(before, leapt, 990 * SECOND);
        assert_eq!((care.widen(None, 1380 * SECOND), care.widen(Some(gap), 1380 * SECOND)), (None, wide));
        // What was read before the look may be from before the clock was set back.
        care.note_step(before, leapt, 1410 * SECOND);
        assert_eq!((care.widen(None, 1410 * SECOND), care.widen(Some(gap), 1410 * SECOND)), (None, wide));
        care.note_step(before, leapt, 1410 * SECOND);
        assert_eq!(care.widen(None, 1411 * SECOND), None);
        assert_eq!(care.widen(Some(gap), 1411 * SECOND), Some(gap), "reading is past it");
    }
}
