//! vCenter's clock is set.

use std::time::Duration;

use vmware_event_router::stream::vcenter::{BeginAt, Config, Timing};

use super::{MINUTE, SECOND, events_and_gaps, has_key, stop, streaming};
use crate::support::fault_soap::{FaultSoap, NOW, Reply, time};
use crate::support::stream::{Running, config, timing};

const HOUR: i64 = 60 * MINUTE;

/// vCenter is not there while `meanwhile` happens.
async fn away(fake: &FaultSoap, running: &Running, meanwhile: impl FnOnce()) {
    fake.state().password = Some("another".to_owned());
    fake.end_sessions();
    let errors = running.status.errors_total();
    running.state("the login is refused", |status| status.errors_total() > errors + 1).await;
    meanwhile();
    fake.state().password = None;
}

/// Everything came, once, and no gap was told.
async fn all_came(fake: &FaultSoap, mut running: Running, last: i32) {
    running.read_until(has_key(last)).await;
    running.read_until_quiet().await;
    let events = running.stop().await;
    let (mut keys, gaps) = events_and_gaps(&events);
    keys.sort_unstable();
    assert_eq!((keys, gaps), ((1..=last).collect(), Vec::new()));
    assert_eq!(fake.open(), (0, 0, 0));
}

#[tokio::test]
async fn a_clock_that_was_set_back_while_nobody_looked_hides_nothing() {
    let fake = FaultSoap::start().await;
    let mut running = streaming(&fake, timing()).await;
    fake.happen(&[(1, NOW + 1), (2, NOW + 2)]);
    running.read_until(has_key(2)).await;
    // Far below all that was read, even below where the stream began.
    away(&fake, &running, || {
        fake.state().now = NOW - 2 * HOUR;
        fake.happen(&[(3, NOW - 2 * HOUR + 1)]);
    })
    .await;
    running.read_until(has_key(3)).await;
    fake.state().now = NOW - 2 * HOUR + SECOND;
    fake.happen(&[(4, NOW - 2 * HOUR + SECOND)]);
    running.read_until(has_key(4)).await;
    fake.end_sessions();
    fake.happen(&[(5, NOW - 2 * HOUR + SECOND + 1)]);
    all_came(&fake, running, 5).await;
}

#[tokio::test]
async fn a_clock_that_is_set_under_a_living_collector_is_noticed_by_what_happens() {
    let fake = FaultSoap::start().await;
    fake.state().tells_latest = true;
    let quick = Timing { stall: Duration::from_millis(50), ..timing() };
    let mut running = streaming(&fake, quick).await;
    fake.happen(&[(1, NOW + 1)]);
    running.read_until(has_key(1)).await;
    fake.state().now = NOW - 2 * HOUR;
    // It begins behind what happens now, and is silent.
    fake.happen(&[(2, NOW - 2 * HOUR)]);
    running.read_until(has_key(2)).await;
    // Away for long: the checkpoint must have followed.
    away(&fake, &running, || {
        fake.happen(&[(3, NOW - 2 * HOUR + MINUTE), (4, NOW - HOUR)]);
        fake.state().now = NOW - HOUR;
    })
    .await;
    all_came(&fake, running, 4).await;
}

#[tokio::test]
async fn a_small_step_back_right_after_the_beginning_hides_nothing() {
    let fake = FaultSoap::start().await;
    fake.state().tells_latest = true;
    let quick = Timing { stall: Duration::from_millis(50), ..timing() };
    // It begins now: before that, no collector looks.
    let running = streaming(&fake, quick).await;
    fake.state().now = NOW - 20 * SECOND;
    fake.happen(&[(1, NOW - 20 * SECOND + 1), (2, NOW - 19 * SECOND)]);
    all_came(&fake, running, 2).await;
}

#[tokio::test]
async fn a_history_that_is_lost_while_the_clock_is_set_back_is_told() {
    let fake = FaultSoap::start().await;
    fake.state().now = NOW + 5 * MINUTE;
    let mut running = streaming(&fake, timing()).await;
    fake.happen(&[(1, NOW + 5 * MINUTE + 1), (2, NOW + 5 * MINUTE + 2)]);
    running.read_until(has_key(2)).await;
    away(&fake, &running, || {
        fake.restore_before(1);
        fake.state().now = NOW + MINUTE;
        fake.happen(&[(1, NOW + MINUTE)]);
    })
    .await;
    running.read_until(has_key(1)).await;
    running.read_until_quiet().await;
    let (keys, gaps) = events_and_gaps(&running.stop().await);
    assert_eq!((keys, gaps.len()), (vec![1, 2, 1], 1), "{gaps:?}");
    let (from, to) = &gaps[0];
    assert!(*from <= time(NOW + MINUTE) && *to >= time(NOW + 5 * MINUTE + 2), "{from} to {to}");
}

#[tokio::test]
async fn what_is_lost_around_a_step_back_lies_in_the_gap_that_is_told() {
    let fake = FaultSoap::start().await;
    fake.state().now = NOW + 30 * SECOND;
    // Nothing is done about the hidden events, so that reading stands behind them.
    let often = Timing { look_back: Duration::from_millis(20), stall: Duration::from_secs(3600), ..timing() };
    let mut running = Running::start(Config { begin: BeginAt::At(NOW), ..config(&fake.url) }, often).await;
    running.streaming().await;
    fake.happen(&[(1, NOW + 20 * SECOND)]);
    running.read_until(has_key(1)).await;
    fake.happen_hidden(&(2..=1100).map(|key| (key, NOW + 21 * SECOND)).collect::<Vec<_>>());
    fake.happen(&[(1101, NOW + 29 * SECOND)]);
    fake.state().now = NOW + 10 * SECOND;
    let asked = fake.calls("CurrentTime");
    running.state("the clock is looked at", |_| fake.calls("CurrentTime") > asked + 2).await;
    // All that was there is gone, and what happens now is dated before the newest of it.
    fake.restore_before(1);
    fake.end_sessions();
    fake.happen(&[(1, NOW + 22 * SECOND)]);
    running.read_until(has_key(1)).await;
    let (keys, gaps) = events_and_gaps(&stop(&fake, running).await);
    assert_eq!((keys, gaps.len()), (vec![1, 1], 1));
    let (from, to) = &gaps[0];
    assert!(*from <= time(NOW + 10 * SECOND) && *to >= time(NOW + 29 * SECOND), "{from} to {to}");
}

#[tokio::test]
async fn what_is_lost_after_a_step_back_that_no_look_showed_lies_in_the_gap_that_is_told() {
    let fake = FaultSoap::start().await;
    fake.state().now = NOW + 31 * SECOND;
    let mut running = Running::start(Config { begin: BeginAt::At(NOW), ..config(&fake.url) }, timing()).await;
    running.streaming().await;
    fake.happen(&[(1, NOW + 1), (2, NOW + 30 * SECOND)]);
    running.read_until(has_key(2)).await;
    // The clock goes back by 20 seconds, and is ahead again when it is looked at.
    fake.happen(&[(3, NOW + 11 * SECOND)]);
    running.read_until(has_key(3)).await;
    away(&fake, &running, || {
        fake.happen(&[(4, NOW + 13 * SECOND), (5, NOW + 40 * SECOND)]);
        fake.state().history.clear();
        fake.state().now = NOW + 5 * MINUTE;
        fake.happen(&[(6, NOW + 41 * SECOND)]);
    })
    .await;
    running.read_until(has_key(6)).await;
    let (keys, gaps) = events_and_gaps(&stop(&fake, running).await);
    assert_eq!((keys, gaps.len()), (vec![1, 2, 3, 6], 1));
    let (from, to) = &gaps[0];
    assert!(*from <= time(NOW + 13 * SECOND) && *to >= time(NOW + 40 * SECOND), "{from} to {to}");
}

#[tokio::test]
async fn a_clock_that_is_ahead_for_a_while_costs_nothing() {
    let fake = FaultSoap::start().await;
    let quick = Timing { look_back: Duration::from_millis(50), ..timing() };
    let mut running = streaming(&fake, quick).await;
    fake.happen(&[(1, NOW + 1)]);
    running.read_until(has_key(1)).await;
    fake.state().now = NOW + 2 * HOUR;
    fake.happen(&[(2, NOW + 2 * HOUR), (3, NOW + 2 * HOUR + SECOND)]);
    running.read_until(has_key(3)).await;
    fake.end_sessions();
    fake.happen(&[(4, NOW + 2 * HOUR + 2 * SECOND)]);
    running.read_until(has_key(4)).await;
    // And back, seen by the look back alone.
    fake.state().now = NOW + SECOND;
    let asked = fake.calls("CurrentTime");
    running.state("the clock is looked at", |_| fake.calls("CurrentTime") > asked + 2).await;
    away(&fake, &running, || {
        fake.happen(&[(5, NOW + 2 * SECOND), (6, NOW + 5 * MINUTE)]);
        fake.state().now = NOW + 30 * MINUTE;
    })
    .await;
    running.read_until(has_key(6)).await;
    fake.happen(&[(7, NOW + 30 * MINUTE)]);
    all_came(&fake, running, 7).await;
}

#[tokio::test]
async fn a_look_at_the_clock_that_fails_costs_nothing() {
    let fake = FaultSoap::start().await;
    let config = Config { begin: BeginAt::Ago(Duration::from_secs(3 * 3600)), ..config(&fake.url) };
    let mut running = Running::start(config, timing()).await;
    running.streaming().await;
    fake.happen(&[(1, NOW + 1)]);
    running.read_until(has_key(1)).await;
    fake.state().now = NOW - 2 * HOUR;
    fake.script("CurrentTime", Reply::Raw { status: 503, kind: "text/html", body: Vec::new() });
    fake.happen(&[(2, NOW - 2 * HOUR), (3, NOW - 2 * HOUR + 1)]);
    running.read_until(has_key(3)).await;
    let (keys, gaps) = events_and_gaps(&stop(&fake, running).await);
    assert_eq!((keys, gaps), (vec![1, 2, 3], Vec::new()));
}
