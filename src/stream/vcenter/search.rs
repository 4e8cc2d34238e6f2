//! The search for events behind others that the user may not see.
//!
//! vCenter takes a page of events first and hides then, so a collector never gets beyond a page's worth of hidden ones.
//! One that begins nearer to what can be seen does. It cannot be told where that is, only tried.

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

/// Tries to begin earlier than the first one that brought something.
const MOST_HALVES: u32 = 4;

/// What a search found.
pub(super) enum Found {
    /// A collector that begins there brings events, the first of which was created then.
    Events { begin: i64, first: i64 },
    /// None does.
    Nothing,
    /// The stream shall end.
    Stopped,
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
        let span = exists.1.saturating_sub(from);
        if span <= 0 {
            return Ok(Found::Nothing);
        }
        let events = self.hidden(exists).unwrap_or(STEP * i64::from(EVEN)).max(1);
        let (mut low, mut step, mut ahead) = (from, STEP, STEP);
        let mut found = None;
        for tries in 1..=MOST_STEPS {
            let last = ahead >= events || tries == MOST_STEPS;
            let part = i128::from(span) * i128::from(ahead) / i128::from(events);
            let at = if last { exists.1 } else { from.saturating_add(i64::try_from(part).unwrap_or(span)) };
            let at = at.max(low.saturating_add(1));
            match self.try_from(at).await? {
                None => return Ok(Found::Stopped),
                Some(Some(first)) => {
                    found = Some((at, first));
                    break;
                }
                Some(None) => low = at,
            }
            if last {
                break;
            }
            step = if tries >= EVEN { step.saturating_mul(2) } else { step };
            ahead = ahead.saturating_add(step);
        }
        let Some((mut begin, mut first)) = found else { return Ok(Found::Nothing) };
        for _ in 0..MOST_HALVES {
            let middle = low + (begin - low) / 2;
            if middle <= low {
                break;
            }
            match self.try_from(middle).await? {
                None => return Ok(Found::Stopped),
                Some(Some(at)) => (begin, first) = (middle, at),
                Some(None) => low = middle,
            }
        }
        Ok(Found::Events { begin, first })
    }

    /// When the first event was created that a collector brings which begins there. No more than that if the stream
    /// shall end.
    async fn try_from(&mut self, begin: i64) -> Result<Option<Option<i64>>, Trouble> {
        let session = self.session;
        let types = self.types;
        let look = async {
            let collector = session.create_collector(begin, types).await?;
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
        let Some(read) = finish_soon(&stop, look).await else { return Ok(None) };
        let body = match read {
            Ok(body) => body,
            // What is too large is there.
            Err(error) if error.too_large() => return Ok(Some(Some(begin))),
            Err(error) => return Err(error.into()),
        };
        let mut first: Option<i64> = None;
        let mut page = self.pages.read(&body, |(_, created)| {
            first = Some(first.map_or(created, |first| first.min(created)));
            false
        });
        let any = damage(&mut page, &body)?.is_some() || page.count > 0;
        debug!(begin = format_time(begin), any, "is there anything in sight");
        Ok(Some(any.then_some(first.unwrap_or(begin))))
    }
}
