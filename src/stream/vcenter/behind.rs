//! What lies behind events that the user may not see, though it is dated before them, since vCenter's clock was set back:
//! the collector that begins behind them does not bring it.

use super::care::nameless;
use super::collector::PAGE;
use super::finish_soon;
use super::page::Page;
use super::search::Found;
use super::tail::{Tail, Trouble, append, damage};
use crate::event::Event;
use crate::vim25::soap::Ref;

/// Pages that are read of a collector at the most.
const MOST_PAGES: u32 = 500;

/// A collector that is read beside the main one.
struct Side {
    collector: Ref,
    end: Option<i64>,
    /// What came of it that is new, and was not taken yet.
    page: Page,
    pages: u32,
    /// No more comes of it.
    over: bool,
    /// It was read to its end.
    whole: bool,
}

impl Side {
    /// The key of what comes next, as far as one can be read.
    fn key(&self) -> Option<i32> {
        self.page.events.iter().find_map(Event::key)
    }

    /// What comes next and was made before the event with this key, as far as it was read.
    fn before(&mut self, key: Option<i32>) -> Page {
        let after = |event: &Event| event.key().zip(key).is_some_and(|(key, other)| key.wrapping_sub(other) > 0);
        let events = &self.page.events;
        let count = events.iter().position(after).unwrap_or(events.len());
        self.page.take(count)
    }
}

impl Tail<'_> {
    /// Reads what the collector would have brought of what is dated before its place, had it got beyond hidden events.
    /// `found` is where the next one begins: what that brings, and was made before, comes first. The clock may have been
    /// set back more than once, so that it goes to and fro between the two.
    ///
    /// Returns whether all that is dated before was read; none if the stream shall end.
    pub(super) async fn read_behind(&mut self, found: &Found) -> Result<Option<bool>, Trouble> {
        let begin = self.begin();
        let Some(mut behind) = self.side(begin, Some(self.front)).await? else { return Ok(None) };
        let mut ahead: Option<Side> = None;
        loop {
            if self.fill(&mut behind).await?.is_none() {
                return Ok(None);
            }
            if behind.page.events.is_empty() {
                break;
            }
            if let Found::Events { begin, .. } = found
                && ahead.is_none()
            {
                let Some(side) = self.side(*begin, None).await? else { return Ok(None) };
                ahead = Some(side);
            }
            if let Some(ahead) = &mut ahead
                && let Some(key) = behind.key()
            {
                if self.fill(ahead).await?.is_none() {
                    return Ok(None);
                }
                self.take_beside(ahead.before(Some(key))).await?;
                if ahead.page.events.is_empty() && !ahead.over {
                    continue;
                }
            }
            // Where neither has a key, order cannot be told.
            self.take_beside(behind.before(ahead.as_ref().and_then(Side::key))).await?;
        }
        let whole = behind.whole;
        for side in [Some(behind), ahead].into_iter().flatten() {
            let Some(destroyed) = finish_soon(self.out.stop(), self.session.destroy(&side.collector)).await else {
                return Ok(None);
            };
            // What is not destroyed now is destroyed with the main collector.
            if let Err(error) = destroyed
                && error.session_gone()
            {
                return Err(error.into());
            }
        }
        Ok(Some(whole))
    }

    async fn side(&mut self, begin: i64, end: Option<i64>) -> Result<Option<Side>, Trouble> {
        let create = self.session.create_collector(begin, end, self.types);
        let Some(collector) = finish_soon(self.out.stop(), create).await else { return Ok(None) };
        let side = Side { collector: collector?, end, page: Page::default(), pages: 0, over: false, whole: false };
        Ok(Some(side))
    }

    /// Reads on until there is something new in sight, or no more.
    async fn fill(&mut self, side: &mut Side) -> Result<Option<()>, Trouble> {
        while side.page.events.is_empty() && !side.over {
            if side.pages == MOST_PAGES {
                side.over = true;
                break;
            }
            side.pages += 1;
            self.out.pace().await?;
            let read = self.session.read_next(&side.collector, PAGE);
            let Some(read) = finish_soon(self.out.stop(), read).await else { return Ok(None) };
            let body = match read {
                Ok(body) => body,
                Err(error) if error.too_large() => {
                    side.over = true;
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            let (place, end) = (&*self.place, side.end);
            let mut page = self
                .pages
                .read(&body, |seen| end.is_none_or(|end| seen.1 <= end) && !place.forgets(seen.1) && place.is_new(seen))
                .await;
            self.care.keep_first(&mut page);
            let damaged = damage(&mut page, &body)?.is_some();
            side.whole = page.count == 0 && !damaged;
            side.over = side.whole || damaged;
            if !damaged {
                side.page = page;
            }
        }
        Ok(Some(()))
    }

    /// Appends what is new of a page; the place stays where it is.
    async fn take_beside(&mut self, page: Page) -> Result<(), Trouble> {
        if page.events.is_empty() {
            return Ok(());
        }
        let names = nameless(&page.events);
        let delta = self.place.delta(None);
        let rose = append(self.out, self.place, page.events, delta).await?;
        self.care.remember(names);
        self.tell(page.undecoded, rose);
        Ok(())
    }
}
