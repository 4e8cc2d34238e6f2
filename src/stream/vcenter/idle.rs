//! What a stream does while there is nothing to read: it waits for news, looks back for late events, and sees to it
//! that reading has not stalled.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use super::collector::{News, PAGE, look_back_until};
use super::look::{Look, Step};
use super::search::Found;
use super::session::{Seen, Session};
use super::stall::Stall;
use super::tail::{End, Tail, Trouble, append};
use super::wire::CallError;
use crate::vim25::soap::Ref;

/// A wait for news in flight.
pub(super) struct Waiting {
    future: Pin<Box<dyn Future<Output = Result<News, CallError>> + Send>>,
    collector: Ref,
    /// What we know already.
    version: String,
    /// The pause after the next failure.
    pause: Duration,
    since: Instant,
}

/// The longest pause between waits that fail.
const MOST_PAUSE: Duration = Duration::from_secs(30);

impl Waiting {
    /// For news of that collector. `filtered` says whether vCenter was asked for them.
    pub(super) fn new(session: &Arc<Session>, collector: &Ref, filtered: bool) -> Self {
        let future = Box::pin(std::future::pending());
        let pause = session.timing.poll;
        let collector = collector.clone();
        let mut waiting = Self { future, collector, version: String::new(), pause, since: Instant::now() };
        waiting.wait(session, if filtered { Duration::ZERO } else { pause }, filtered);
        waiting
    }

    fn wait(&mut self, session: &Arc<Session>, pause: Duration, filtered: bool) {
        let (session, known) = (Arc::clone(session), self.version.clone());
        let unfiltered = (!filtered).then(|| self.collector.clone());
        self.since = Instant::now();
        self.future = Box::pin(async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            if let Some(collector) = unfiltered {
                session.create_filter(&collector).await?;
            }
            session.wait(known).await
        });
    }

    /// Waits for what is newer than `version`, or than what was known before.
    fn go_on(&mut self, session: &Arc<Session>, news: News) {
        self.pause = session.timing.poll;
        // Who answers at once that there is nothing new is not to be asked again at once.
        let least = session.timing.poll.min(session.timing.max_wait / 2);
        let pause = if !news.any && self.since.elapsed() < least { least } else { Duration::ZERO };
        self.version = news.version.unwrap_or(std::mem::take(&mut self.version));
        self.wait(session, pause, true);
    }

    /// Waits anew, for everything, after a pause.
    fn begin_again(&mut self, session: &Arc<Session>) {
        self.version.clear();
        self.wait(session, self.pause, session.has_filter());
        self.pause = (self.pause * 2).min(MOST_PAUSE.max(session.timing.poll));
    }
}

impl Tail<'_> {
    /// All there is has been read: waits until there may be more. An end if this collector is of no more use.
    pub(super) async fn idle(&mut self, waiting: &mut Waiting) -> Result<Option<End>, Trouble> {
        self.out.status().streaming();
        self.all_read();
        if let Some(end) = self.check_stall().await? {
            return Ok(Some(end));
        }
        let stop = self.out.stop().clone();
        // A server that takes its time to answer is asked less often.
        let again = Instant::now() + self.pause.max(self.round_trip).min(self.timing.poll);
        self.pause = (self.pause * 3 / 2).min(self.timing.poll);
        loop {
            if self.look.is_none() && self.care.plan.due(self.timing.look_back) <= Instant::now() {
                self.freshen().await?;
                self.begin_look().await?;
                if self.outrun {
                    return Ok(Some(End::Again));
                }
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
                news = &mut waiting.future => {
                    let news = match news {
                        Ok(news) => news,
                        Err(error) if error.session_gone() => return Err(error.into()),
                        Err(error) => {
                            // Something on the way may not like to wait. Whether vCenter is there, reading tells.
                            self.tell_deaf(&error);
                            waiting.begin_again(self.session);
                            continue;
                        }
                    };
                    let (any, newest) = (news.any, news.newest);
                    waiting.go_on(self.session, news);
                    if any {
                        if let Some(seen) = newest.filter(|seen| self.place.is_new(*seen)) {
                            self.care.stall.exists(seen, true);
                        }
                        // The change may not be readable yet.
                        self.pause = self.timing.hot;
                        return Ok(None);
                    }
                }
                step = look => {
                    self.look_step(step).await?;
                    if self.outrun {
                        return Ok(Some(End::Again));
                    }
                }
                () = tokio::time::sleep_until(again.into()) => return Ok(None),
            }
        }
    }

    /// Whether there are events that reading does not bring.
    async fn check_stall(&mut self) -> Result<Option<End>, Trouble> {
        if self.care.stall.ask()
            && let Some(seen) = self.latest_event().await?
            && self.place.is_new(seen)
        {
            let ours = self.types.is_empty();
            if seen.1 < self.begin() {
                // An old one, or the clock was set back.
                self.look_at_clock().await?;
            } else if ours || self.largest.is_some_and(|largest| seen.0 < largest) {
                // With a filter, the newest event of all need not be one of ours. But where keys went back, a collector
                // may take ours for old ones, and a new one is worth a try.
                self.care.stall.exists(seen, ours);
            }
            if self.outrun {
                return Ok(Some(End::Again));
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
            Some(Stall::Skip(seen)) => self.skip_hidden(seen).await,
        }
    }

    /// Not even a new collector brings what exists: goes on behind what the user may not see.
    async fn skip_hidden(&mut self, exists: Seen) -> Result<Option<End>, Trouble> {
        let why = "vCenter has events that it does not give, not even to a new collector";
        self.out.status().trouble(why);
        let found = self.find_visible(self.front, exists).await?;
        let whole = match found {
            Found::Stopped => None,
            _ => self.read_behind(&found).await?,
        };
        let Some(whole) = whole else { return Ok(Some(End::Stopped)) };
        let (begin, first) = match found {
            Found::Stopped => return Ok(Some(End::Stopped)),
            Found::Events { begin, first } => (begin, first),
            Found::Nothing => {
                self.care.stall.give_up_on(exists);
                if self.hidden(exists).is_some_and(|count| count < PAGE as i64) {
                    // Less than a page of hidden events stops no collector: what comes behind them will be read.
                    return Ok(None);
                }
                (exists.1, exists.1)
            }
        };
        let mut from = self.place.newest().max(self.front);
        let mut first = first;
        if !whole {
            (from, first) = (from.min(self.begin()), first.max(from));
        }
        if first > from {
            let why =
                format!("{why}: has this user the role Read-only on the vCenter itself, with propagation to children?");
            let gap = self.tell_gap(from, first, &why);
            let delta = self.place.give_up_before(begin);
            append(self.out, self.place, vec![gap], delta).await?;
        } else if begin <= self.front {
            return Ok(None);
        }
        self.care.skip_to = Some(begin);
        self.care.stall.skipped();
        Ok(Some(End::Again))
    }

    /// Looks back while there is no end of events to read, without waiting for it.
    pub(super) async fn look_meanwhile(&mut self) -> Result<(), Trouble> {
        if self.look.is_none() && self.care.plan.due(self.timing.look_back_busy) <= Instant::now() {
            self.begin_look().await?;
        }
        if let Some(look) = &mut self.look
            && let Some(step) = (&mut look.future).now_or_never()
        {
            self.look_step(step).await?;
        }
        Ok(())
    }

    /// Keeps the checkpoint from growing old, if it is sure that all there is was read: a page may be empty because what
    /// is on it is hidden.
    async fn freshen(&mut self) -> Result<(), Trouble> {
        let Some(delta) = self.place.freshen() else { return Ok(()) };
        // With a filter, the newest event of all need not be one of ours.
        let latest = if self.types.is_empty() { self.latest_event().await? } else { None };
        let all_read = match latest {
            Some(seen) => seen.1 <= self.place.newest() || !self.place.is_new(seen),
            None => self.care.stall.has_rested(),
        };
        if all_read && self.care.stall.is_quiet() {
            append(self.out, self.place, Vec::new(), delta).await?;
        }
        Ok(())
    }

    async fn begin_look(&mut self) -> Result<(), Trouble> {
        let from = self.care.plan.start(self.place.look_from());
        let until = look_back_until(self.place.newest(), self.timing.margin);
        if until > from {
            self.look = Some(Look::begin(self.session, self.types, from, until));
        } else {
            self.look_at_clock().await?;
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
        if let Some(clock) = clock {
            self.set_clock(clock).await?;
        }
        let range = look.from..=look.until;
        // What was remembered when the look began may be forgotten meanwhile.
        let late = |seen: Seen| range.contains(&seen.1) && !self.place.forgets(seen.1) && self.place.is_new(seen);
        let mut page = self.pages.read(&body, late).await;
        // Without a key or a time, an event cannot be told from those that were read before.
        page.events.retain(|event| event.key().is_some() && event.created().is_some());
        if let Some(error) = &page.error {
            self.out.status().trouble(&format!("a page of the look back for late events cannot be read: {error}"));
        }
        let go_on = look.next(self.session, collector, page.count, page.newest);
        self.care.plan.go_on_at(go_on);
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
}
