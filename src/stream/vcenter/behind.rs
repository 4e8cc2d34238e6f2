//! What lies behind events that the user may not see, though it is dated before them, since vCenter's clock was set back:
//! the collector that begins behind them does not bring it.

use super::care::nameless;
use super::collector::PAGE;
use super::finish_soon;
use super::page::Page;
use super::search::Found;
use super::tail::{Tail, Trouble, append, damage};
use crate::event::Event;

/// Pages that are read at the most.
const MOST_PAGES: u32 = 500;

/// What is wanted of a collector that is read beside the main one.
#[derive(Clone, Copy)]
enum Want {
    /// To know whether it has new events, and the key of the first.
    Key,
    /// Its new events, up to the first that was made after the one with this key.
    MadeBefore(i32),
    /// All its new events.
    All,
}

/// What it brought.
pub(super) struct Beside {
    any: bool,
    /// None if it cannot be read.
    key: Option<i32>,
    /// It was read to its end.
    pub(super) whole: bool,
    /// The stream shall end.
    pub(super) stopped: bool,
}

impl Tail<'_> {
    /// Reads what the collector would have brought of what is dated before its place, had it got beyond hidden events.
    /// `found` is where the next one begins: what that brings, and was made before, comes first.
    pub(super) async fn read_behind(&mut self, found: &Found) -> Result<Beside, Trouble> {
        let (begin, end) = (self.begin(), Some(self.front));
        let first = self.read_beside(begin, end, Want::Key).await?;
        if first.stopped || !first.any {
            return Ok(first);
        }
        if let Found::Events { begin, .. } = found
            && let Some(key) = first.key
        {
            let before = self.read_beside(*begin, None, Want::MadeBefore(key)).await?;
            if before.stopped {
                return Ok(before);
            }
        }
        self.read_beside(begin, end, Want::All).await
    }

    async fn read_beside(&mut self, begin: i64, end: Option<i64>, want: Want) -> Result<Beside, Trouble> {
        let stop = self.out.stop().clone();
        let mut beside = Beside { any: false, key: None, whole: false, stopped: true };
        let Some(collector) = finish_soon(&stop, self.session.create_collector(begin, end, self.types)).await else {
            return Ok(beside);
        };
        let collector = collector?;
        for _ in 0..MOST_PAGES {
            self.out.pace().await?;
            let Some(read) = finish_soon(&stop, self.session.read_next(&collector, PAGE)).await else {
                return Ok(beside);
            };
            let body = match read {
                Ok(body) => body,
                Err(error) if error.too_large() => break,
                Err(error) => return Err(error.into()),
            };
            let place = &*self.place;
            let mut page = self.pages.read(&body, |seen| {
                end.is_none_or(|end| seen.1 <= end) && !place.forgets(seen.1) && place.is_new(seen)
            });
            self.care.keep_first(&mut page);
            if damage(&mut page, &body)?.is_some() {
                break;
            }
            drop(body);
            if page.count == 0 {
                beside.whole = true;
                break;
            }
            let over = match want {
                Want::Key => {
                    beside.any = !page.events.is_empty();
                    beside.key = page.events.iter().find_map(Event::key);
                    beside.any
                }
                Want::MadeBefore(key) => {
                    let after = |event: &Event| event.key().is_some_and(|other| other.wrapping_sub(key) > 0);
                    let at = page.events.iter().position(after);
                    if let Some(at) = at {
                        page.truncate(at);
                    }
                    self.take_beside(page).await?;
                    at.is_some()
                }
                Want::All => {
                    self.take_beside(page).await?;
                    false
                }
            };
            if over {
                break;
            }
        }
        beside.stopped = false;
        match finish_soon(&stop, self.session.destroy(&collector)).await {
            None => beside.stopped = true,
            Some(Err(error)) if error.session_gone() => return Err(error.into()),
            // What is not destroyed now is destroyed with the main collector.
            Some(_) => {}
        }
        Ok(beside)
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
