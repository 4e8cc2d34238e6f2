//! Lets events happen, at the rate that was asked for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Rate;
use super::state::{State, VCenter};

/// Between two steps, when there is something to do in each.
const STEP: Duration = Duration::from_millis(4);

/// What is made up for at once after the machine was busy with something else.
const CATCH_UP: Duration = Duration::from_millis(500);

/// How far events may be ahead of the reader that is furthest, when they happen as they are read.
const AHEAD: u64 = 5_000;

/// So many happen at once then: others get the lock in between.
const BATCH: u64 = 500;

/// Lives as long as there is something to live for.
pub(super) async fn live(vcenter: &VCenter) {
    let (mut rate, most, read) =
        vcenter.with(|state| (state.rate.subscribe(), state.options.most.unwrap_or(u64::MAX), Arc::clone(&state.read)));
    loop {
        let at = *rate.borrow_and_update();
        let living = async {
            match at {
                Rate::PerSecond(rate) if rate > 0.0 && rate.is_finite() => steadily(vcenter, rate, most).await,
                Rate::PerSecond(_) => {}
                Rate::AsRead => as_read(vcenter, most, &read).await,
            }
            // Another rate may come.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = living => {}
            changed = rate.changed() => if changed.is_err() { return },
        }
    }
}

async fn as_read(vcenter: &VCenter, most: u64, read: &Notify) {
    loop {
        let (made, left) = vcenter.with(|state| {
            let made = ahead(state, most.saturating_sub(state.lived));
            (made, most.saturating_sub(state.lived))
        });
        if left == 0 {
            return;
        }
        if made == 0 {
            read.notified().await;
        } else {
            tokio::task::yield_now().await;
        }
    }
}

/// Lets go wrong what is planned for some time.
pub(super) async fn upset(vcenter: &VCenter) {
    /// What is planned meanwhile waits no longer than this.
    const LOOK: Duration = Duration::from_millis(50);
    loop {
        let next = vcenter.with(State::upset_by_time);
        tokio::time::sleep(next.map_or(LOOK, |next| next.min(LOOK))).await;
    }
}

/// Some events, unless there are enough ahead of whoever reads. How many.
fn ahead(state: &mut State, left: u64) -> u64 {
    let Some(place) = state.furthest_reader() else { return 0 };
    let unread = state.history.end().saturating_sub(place);
    let count = AHEAD.saturating_sub(unread).min(BATCH).min(left);
    for made in 0..count {
        // What goes wrong between two events may have taken the readers away.
        if state.is_down() {
            return made;
        }
        state.happen(None);
    }
    count
}

/// So many a second, in small steps; their times are spread evenly.
async fn steadily(vcenter: &VCenter, rate: f64, most: u64) {
    let each = Duration::from_secs_f64((1.0 / rate).min(1e9));
    let mut made = vcenter.with(|state| state.lived);
    // Events up to then have happened.
    let mut done = Instant::now();
    while made < most {
        tokio::time::sleep_until(done + each.max(STEP)).await;
        let now = Instant::now();
        done = done.max(now.checked_sub(CATCH_UP.max(each * 2)).unwrap_or(now));
        // No more than a few thousand, since what is made up for is bounded.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let count = (((now - done).as_secs_f64() * rate) as u64).min(most.saturating_sub(made));
        let span = each.as_secs_f64() * 1e6;
        vcenter.with(|state| {
            let clock = state.clock.now();
            // Whoever is away sees nothing happen.
            let count = if state.is_down() { 0 } else { count };
            for event in (0..count).rev() {
                #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
                let before = (event as f64 * span) as i64;
                state.happen(Some(clock.saturating_sub(before)));
            }
        });
        made += count;
        #[allow(clippy::cast_precision_loss)]
        let took = Duration::from_secs_f64(each.as_secs_f64() * count as f64);
        done += took;
    }
}
