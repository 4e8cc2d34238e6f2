//! The search for events behind others that the user may not see.
//!
//! vCenter takes a page of events first and hides then, so a collector never gets beyond a page's worth of hidden ones.
//! One that begins nearer to what can be seen does. It cannot be told where that is, only tried: a try is a collector
//! from some moment on, and its first page. One that is blank proves a page of hidden events behind that moment, and
//! says nothing of how long they took.

use tracing::debug;

use super::collector::PAGE;
use super::finish_soon;
use super::session::{Seen, format_time};
use super::tail::{Tail, Trouble, damage};

/// Fewer events than a page lie between two tries, so none of those in sight is passed over, as long as events are
/// spread evenly over the time.
const STEP: i64 = 900;

/// So many tries go step by step; after them steps grow.
const EVEN: u32 = 6;

/// Tries until the newest event's own time has its turn.
const MOST_STEPS: u32 = 11;

/// As near as this, in microseconds, is near enough: no vCenter has a page's worth of events in less.
const NEAR: i64 = 5_000;

/// Tries between two blank ones for each page of hidden events that there may be, and in all.
const CHECKS: i64 = 2;
const MOST_CHECKS: i64 = 16;

/// What a search found.
pub(super) enum Found {
    /// A collector that begins there brings events, the first of which was created then.
    Events { begin: i64, first: i64 },
    /// None does.
    Nothing,
    /// The stream shall end.
    Stopped,
}

/// What a try brought.
enum Tried {
    Visible(Sight),
    Blank,
    Stopped,
}

/// A moment from which on something can be seen.
#[derive(Clone, Copy)]
struct Sight {
    begin: i64,
    /// The event that was created first. It has no key if it could not be read.
    first: (Option<i32>, i64),
}

/// Moments at which a collector brought nothing, in their order. There is always one: where reading stands.
struct Blanks(Vec<i64>);

impl Blanks {
    fn last(&self) -> i64 {
        self.0.last().copied().unwrap_or(i64::MIN)
    }

    fn add(&mut self, moment: i64) {
        let at = self.0.partition_point(|blank| *blank < moment);
        self.0.insert(at, moment);
    }

    /// Forgets those that lie behind the moment.
    fn end_at(&mut self, moment: i64) {
        self.0.retain(|blank| *blank < moment);
    }

    /// The middle of the widest space between two neighbours.
    fn widest(&self) -> Option<i64> {
        let pairs = self.0.windows(2).map(|pair| (pair[1] - pair[0], pair[0]));
        let (width, start) = pairs.max()?;
        (width > NEAR).then_some(start + width / 2)
    }
}

impl Tail<'_> {
    /// About how many events there are behind the last one that was read, up to one that exists; none if keys do not say.
    pub(super) fn hidden(&self, exists: Seen) -> Option<i64> {
        let (last, _) = self.place.last()?;
        let count = i64::from(exists.0.wrapping_sub(last));
        (count > 0).then_some(count)
    }

    /// Looks for the earliest time, behind `from`, at which a collector must begin in order to bring events. One is
    /// known to exist.
    pub(super) async fn find_visible(&mut self, from: i64, exists: Seen) -> Result<Found, Trouble> {
        let mut blanks = Blanks(vec![from]);
        let mut sight = match self.step_on(&mut blanks, exists).await? {
            Tried::Visible(sight) => sight,
            Tried::Blank => return Ok(Found::Nothing),
            Tried::Stopped => return Ok(Found::Stopped),
        };
        // Where there was only one run of hidden events, this is its end. Between two of them, something that can be
        // seen may have been passed over, unless they are too few for two.
        let events = sight.first.0.and_then(|key| self.hidden((key, sight.first.1))).or(self.hidden(exists));
        let pages = events.map_or(MOST_CHECKS, |events| events / PAGE as i64);
        let mut checks = if pages < 2 { 0 } else { (pages * CHECKS).min(MOST_CHECKS) };
        loop {
            let low = blanks.last();
            if sight.begin - low > NEAR {
                match self.try_from(low + (sight.begin - low) / 2).await? {
                    Tried::Visible(nearer) => sight = nearer,
                    Tried::Blank => blanks.add(low + (sight.begin - low) / 2),
                    Tried::Stopped => return Ok(Found::Stopped),
                }
                continue;
            }
            let Some(middle) = blanks.widest().filter(|_| checks > 0) else { break };
            checks -= 1;
            match self.try_from(middle).await? {
                Tried::Visible(earlier) => {
                    sight = earlier;
                    blanks.end_at(middle);
                }
                Tried::Blank => blanks.add(middle),
                Tried::Stopped => return Ok(Found::Stopped),
            }
        }
        Ok(Found::Events { begin: sight.begin, first: sight.first.1 })
    }

    /// Goes on in steps until something can be seen, at the latest where an event is known to exist.
    async fn step_on(&mut self, blanks: &mut Blanks, exists: Seen) -> Result<Tried, Trouble> {
        let from = blanks.last();
        let span = exists.1.saturating_sub(from);
        if span <= 0 {
            return Ok(Tried::Blank);
        }
        let events = self.hidden(exists).unwrap_or(STEP * i64::from(EVEN)).max(1);
        let (mut step, mut ahead) = (STEP, STEP);
        for tries in 1..=MOST_STEPS {
            let last = ahead >= events || tries == MOST_STEPS;
            let part = i128::from(span) * i128::from(ahead) / i128::from(events);
            let at = if last { exists.1 } else { from.saturating_add(i64::try_from(part).unwrap_or(span)) };
            let at = at.max(blanks.last().saturating_add(1));
            match self.try_from(at).await? {
                Tried::Blank => blanks.add(at),
                other => return Ok(other),
            }
            if last {
                break;
            }
            step = if tries >= EVEN { step.saturating_mul(2) } else { step };
            ahead = ahead.saturating_add(step);
        }
        Ok(Tried::Blank)
    }

    /// What a collector brings first that begins there.
    async fn try_from(&mut self, begin: i64) -> Result<Tried, Trouble> {
        let session = self.session;
        let types = self.types;
        let look = async {
            let collector = session.create_collector(begin, None, types).await?;
            let read = session.read_next(&collector, PAGE).await;
            // What is not destroyed now is destroyed with the main collector.
            match session.destroy(&collector).await {
                Err(error) if error.session_gone() => Err(error),
                Err(error) => {
                    debug!(%error, "a collector could not be destroyed");
                    read
                }
                Ok(()) => read,
            }
        };
        let stop = self.out.stop().clone();
        let Some(read) = finish_soon(&stop, look).await else { return Ok(Tried::Stopped) };
        let unreadable = Sight { begin, first: (None, begin) };
        let body = match read {
            Ok(body) => body,
            // What is too large is there.
            Err(error) if error.too_large() => return Ok(Tried::Visible(unreadable)),
            Err(error) => return Err(error.into()),
        };
        let mut first: Option<Seen> = None;
        let mut page = self
            .pages
            .read(&body, |seen| {
                first = first.filter(|first| first.1 <= seen.1).or(Some(seen));
                false
            })
            .await;
        let any = damage(&mut page, &body)?.is_some() || page.count > 0;
        debug!(begin = format_time(begin), any, "is there anything in sight");
        if !any {
            return Ok(Tried::Blank);
        }
        Ok(Tried::Visible(first.map_or(unreadable, |(key, created)| Sight { begin, first: (Some(key), created) })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_space_between_blanks_is_looked_into_first() {
        let mut blanks = Blanks(vec![0]);
        assert_eq!((blanks.last(), blanks.widest()), (0, None));
        blanks.add(100_000);
        blanks.add(20_000);
        assert_eq!((blanks.last(), blanks.widest()), (100_000, Some(60_000)));
        blanks.end_at(60_000);
        assert_eq!((blanks.last(), blanks.widest()), (20_000, Some(10_000)));
        blanks.end_at(10_000);
        blanks.add(NEAR);
        assert_eq!(blanks.widest(), None, "nearer than that there is nothing to be found");
    }
}
