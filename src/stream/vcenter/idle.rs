//! What a stream does while there is nothing to read: it waits for news, looks back for late events, and sees to it
//! that reading has not stalled.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use super::collector::{News, look_back_until};
use super::look::{Look, Step};
use super::place::Clock;
use super::session::Session;
use super::stall::Stall;
use super::tail::{End, Tail, Trouble, append};
use super::wire::CallError;

/// A wait for news in flight.
pub(super) struct Waiting {
    future: Pin<Box<dyn Future<Output = Result<News, CallError>> + Send>>,
    /// What we know already.
    version: String,
    /// The pause after the next failure.
    pause: Duration,
}

/// The longest pause between waits that fail.
const MOST_PAUSE: Duration = Duration::from_secs(30);

impl Waiting {
    pub(super) fn new(session: &Arc<Session>) -> Self {
        let pause = session.timing.poll;
        let mut this = Self { future: Box::pin(std::future::pending()), version: String::new(), pause };
        this.go_on(session, None);
        this
    }

    /// Waits for what is newer than `version`, or than what was known before.
    fn go_on(&mut self, session: &Arc<Session>, version: Option<String>) {
        if let Some(version) = version {
            self.version = version;
        }
        let (session, version) = (Arc::clone(session), self.version.clone());
        self.future = Box::pin(async move { session.wait(version).await });
    }

    /// Waits anew, for everything, after a pause.
    fn begin_again(&mut self, session: &Arc<Session>) {
        self.version.clear();
        let (session, pause) = (Arc::clone(session), self.pause);
        self.pause = (self.pause * 2).min(MOST_PAUSE.max(session.timing.poll));
        self.future = Box::pin(async move {
            tokio::time::sleep(pause).await;
            session.wait(String::new()).await
        });
    }
}

impl Tail<'_> {
    /// All there is has been read: waits until there may be more. An end if this collector is of no more use.
    pub(super) async fn idle(&mut self, waiting: &mut Waiting) -> Result<Option<End>, Trouble> {
        self.out.status().streaming();
        self.care.one_by_one = None;
        if let Some(end) = self.check_stall().await? {
            return Ok(Some(end));
        }
        let stop = self.out.stop().clone();
        // A server that takes its time to answer is asked less often.
        let again = Instant::now() + self.pause.max(self.round_trip).min(self.timing.poll);
        self.pause = (self.pause * 3 / 2).min(self.timing.poll);
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
                    waiting.pause = self.timing.poll;
                    waiting.go_on(self.session, news.version);
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
        if self.care.stall.ask()
            && let Some(seen) = self.latest_event().await?
            && self.place.is_new(seen)
            && seen.1 >= self.place.resume()
        {
            self.care.stall.exists(seen);
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

    /// Looks back while there is no end of events to read, without waiting for it.
    pub(super) async fn look_meanwhile(&mut self) -> Result<(), Trouble> {
        if self.look.is_none() && self.plan.due(self.timing.look_back_busy) <= Instant::now() {
            self.begin_look().await?;
        }
        if let Some(look) = &mut self.look
            && let Some(step) = (&mut look.future).now_or_never()
        {
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
}
