//! Histories that are not what they were, or that cannot be read at a stretch.

use std::sync::Arc;
use std::time::Duration;

use vmware_event_router::stream::vcenter::{BeginAt, Config, Timing};

use super::{MINUTE, SECOND, events_and_gaps, has_key, journal_with, stop, streaming};
use crate::support::fault_soap::{FaultSoap, NOW, time};
use crate::support::stream::{Running, assert_no_twins, config, timing};

/// Stalls are noticed soon.
fn quick() -> Timing {
    Timing { stall: Duration::from_millis(50), ..timing() }
}

fn span(from: i64, to: i64) -> Vec<(String, String)> {
    vec![(time(from), time(to))]
}

#[tokio::test]
async fn a_restore_to_an_older_state_is_a_gap_even_where_the_overlap_is_still_there() {
    let fake = FaultSoap::start().await;
    fake.state().now = NOW + 5 * MINUTE;
    let before: Vec<_> = (1..=9).map(|key| (key, NOW + 5 * MINUTE + i64::from(key))).collect();
    let journal = journal_with(&fake, &before).await;
    // Of what was read, 1 to 5 are still there; what may have been created behind 9 is gone, and nobody knows.
    fake.restore_before(6);
    let mut running = Running::start_on(Arc::clone(&journal), config(&fake.url), timing()).await;
    running.read_until_quiet().await;
    assert!(running.events.is_empty(), "nothing newer is there, so nothing is missing yet: {:?}", running.events);
    fake.happen(&[(6, NOW + 6 * MINUTE), (7, NOW + 6 * MINUTE + 1)]);
    running.read_until(has_key(7)).await;
    fake.happen(&[(8, NOW + 6 * MINUTE + 2)]);
    running.read_until(has_key(8)).await;
    let events = running.stop().await;
    assert_eq!(events[0].subject(), "EventGap", "before what comes behind it");
    assert_eq!(events_and_gaps(&events), (vec![6, 7, 8], span(NOW + 5 * MINUTE + 9, NOW + 6 * MINUTE)));
    // Told once.
    let mut running = Running::start_on(journal, config(&fake.url), timing()).await;
    fake.happen(&[(9, NOW + 6 * MINUTE + 3)]);
    running.read_until(has_key(9)).await;
    assert_eq!(events_and_gaps(&running.stop().await), (vec![9], Vec::new()));
}

#[tokio::test]
async fn a_restore_behind_a_clock_that_was_set_back_a_little_is_a_gap() {
    let fake = FaultSoap::start().await;
    let at = NOW + MINUTE;
    {
        let mut state = fake.state();
        state.tells_latest = true;
        state.now = at + SECOND;
    }
    let config = Config { begin: BeginAt::At(NOW), ..config(&fake.url) };
    let mut running = Running::start(config, timing()).await;
    running.streaming().await;
    fake.happen(&[(1, at), (2, at + SECOND)]);
    running.read_until(has_key(2)).await;
    // Set back by less than anybody looks at.
    fake.happen(&[(3, at - 20 * SECOND), (4, at - 19 * SECOND)]);
    running.read_until(has_key(4)).await;
    // Something was made behind it that nobody has read, and all of it is gone: from 4 on it is made anew.
    fake.end_sessions();
    fake.restore_before(4);
    fake.happen(&[(4, at - 10 * SECOND), (5, at - 9 * SECOND)]);
    running.read_until(has_key(5)).await;
    let (keys, gaps) = events_and_gaps(&running.stop().await);
    assert_eq!(keys, [1, 2, 3, 4, 4, 5]);
    assert_eq!(gaps, span(at - 20 * SECOND, at + SECOND), "it may be dated as before or after the setting");
}

#[tokio::test]
async fn a_restore_while_the_router_runs_is_a_gap_whether_sessions_live_on_or_not() {
    for (lives, only_larger) in [(false, false), (true, false), (true, true)] {
        let fake = FaultSoap::start().await;
        fake.state().tells_latest = true;
        let mut running = streaming(&fake, quick()).await;
        let before: Vec<_> = (1..=3000).map(|key| (key, NOW + i64::from(key))).collect();
        fake.happen(&before);
        running.read_until(has_key(3000)).await;
        fake.restore_before(1000);
        fake.state().only_larger = only_larger;
        if !lives {
            fake.end_sessions();
        }
        let after: Vec<_> = (1000..1100).map(|key| (key, NOW + SECOND + i64::from(key))).collect();
        fake.happen(&after);
        running.read_until(|event| event.key() == Some(1099) && event.created() == Some(NOW + SECOND + 1099)).await;
        let events = running.stop().await;
        assert_no_twins(&events);
        let (keys, gaps) = events_and_gaps(&events);
        assert!(keys.into_iter().eq((1..=3000).chain(1000..1100)), "{lives} {only_larger}");
        assert_eq!(gaps, span(NOW + 3000, NOW + SECOND + 1000), "{lives} {only_larger}");
    }
}

#[tokio::test]
async fn an_intact_history_has_no_gap_however_often_it_is_read_again() {
    let fake = FaultSoap::start().await;
    fake.state().now = NOW + MINUTE;
    let mut running = streaming(&fake, timing()).await;
    let at = NOW + MINUTE;
    // More than a page of one and the same time, keys out of order, and an event that a host's clock dated wrongly.
    let same: Vec<_> = (1..=3000).map(|key| (key, at)).collect();
    fake.happen(&same[..1500]);
    running.read_until(has_key(1500)).await;
    fake.end_sessions();
    fake.happen(&same[1500..]);
    running.read_until(has_key(3000)).await;
    fake.happen(&[(3003, at + 3), (3001, at + 1), (3004, at + 200 * MINUTE), (3002, at + 2)]);
    running.read_until(has_key(3002)).await;
    for key in 4000..4005 {
        fake.end_sessions();
        fake.happen(&[(key + 100, at + i64::from(key)), (key, at + i64::from(key) - 500)]);
        running.read_until(has_key(key)).await;
    }
    running.read_until_quiet().await;
    let events = running.stop().await;
    assert_no_twins(&events);
    let (keys, gaps) = events_and_gaps(&events);
    assert_eq!((keys.len(), gaps), (3014, Vec::new()));
    assert!(keys[..3000].iter().copied().eq(1..=3000));
}

#[tokio::test]
async fn another_filter_that_hides_the_newest_event_makes_no_gap() {
    let fake = FaultSoap::start().await;
    let journal = journal_with(&fake, &[(1, NOW + 1), (2, NOW + 2)]).await;
    let other = Config { event_types: vec!["VmPoweredOffEvent".to_owned()], ..config(&fake.url) };
    // The fake does not filter: what the other filter hides is taken away.
    fake.state().history.clear();
    for key in 3..5 {
        let mut running = Running::start_on(Arc::clone(&journal), other.clone(), timing()).await;
        running.streaming().await;
        fake.end_sessions();
        running.state("another login", |status| status.reconnects_total() > 0).await;
        if key == 4 {
            fake.happen(&[(key, NOW + SECOND)]);
            running.read_until(has_key(key)).await;
        }
        let (_, gaps) = events_and_gaps(&running.stop().await);
        assert!(gaps.is_empty(), "{gaps:?}");
    }
}

#[tokio::test]
async fn only_what_is_really_hidden_is_passed_over() {
    let fake = FaultSoap::start().await;
    fake.state().tells_latest = true;
    fake.state().now = NOW + 10 * MINUTE;
    let config = Config { begin: BeginAt::At(NOW), ..config(&fake.url) };
    let mut running = Running::start(config, quick()).await;
    running.streaming().await;
    let event = |key: i32| (key, NOW + i64::from(key) * 10_000);
    let run = |keys: std::ops::RangeInclusive<i32>| keys.map(event).collect::<Vec<_>>();
    // Runs of events that the user may not see, each longer than a page, and some in sight between and behind.
    fake.happen(&run(1..=50));
    fake.happen_hidden(&run(51..=2600));
    fake.happen(&run(2601..=2620));
    fake.happen_hidden(&run(2621..=7000));
    fake.happen(&run(7001..=7003));
    fake.happen_hidden(&run(7004..=9500));
    fake.happen(&run(9501..=10_000));
    let calls = |fake: &FaultSoap| fake.calls("CreateCollectorForEvents") + fake.calls("DestroyCollector");
    running.read_until(has_key(50)).await;
    let before = calls(&fake);
    running.read_until(has_key(10_000)).await;
    let after = calls(&fake) - before;
    running.read_until_quiet().await;
    let events = stop(&fake, running).await;
    let (keys, gaps) = events_and_gaps(&events);
    assert!(keys.into_iter().eq((1..=50).chain(2601..=2620).chain(7001..=7003).chain(9501..=10_000)));
    let told = |from, to| (time(event(from).1), time(event(to).1));
    assert_eq!(gaps, [told(50, 2601), told(2620, 7001), told(7003, 9501)]);
    assert!(after < 140, "{after} calls for three runs");
}

/// What comes of it, and which gaps are told, when these happen behind more hidden events than a page holds, which are
/// dated 30 s after the beginning. The last of them is the one that comes last.
async fn behind_hidden_events(visible: &[(i32, i64)]) -> (Vec<i32>, Vec<(String, String)>) {
    let fake = FaultSoap::start().await;
    fake.state().tells_latest = true;
    fake.state().now = NOW + MINUTE;
    let config = Config { begin: BeginAt::At(NOW), ..config(&fake.url) };
    let mut running = Running::start(config, quick()).await;
    running.streaming().await;
    let at = |(key, second): (i32, i64)| (key, NOW + second * SECOND);
    fake.happen(&[at((1, 28))]);
    fake.happen_hidden(&(2..=2600).map(|key| at((key, 30))).collect::<Vec<_>>());
    fake.happen(&visible.iter().copied().map(at).collect::<Vec<_>>());
    running.read_until(has_key(visible.last().unwrap().0)).await;
    running.read_until_quiet().await;
    events_and_gaps(&stop(&fake, running).await)
}

#[tokio::test]
async fn what_lies_behind_hidden_events_though_it_is_dated_before_them_is_read() {
    // The clock goes back by 20 s, and no look at it shows that.
    let (keys, gaps) = behind_hidden_events(&[(2601, 40), (2602, 20), (2603, 25), (2604, 45)]).await;
    assert_eq!(keys, [1, 2601, 2602, 2603, 2604], "all that can be seen, in the order in which it happened");
    assert_eq!(gaps, span(NOW + 28 * SECOND, NOW + 40 * SECOND));
}

#[tokio::test]
async fn what_lies_behind_hidden_events_comes_in_order_however_often_the_clock_goes_back_meanwhile() {
    // It goes back twice, and comes past the hidden ones between and behind.
    let visible = [(2601, 40), (2602, 20), (2603, 27), (2604, 41), (2605, 21), (2606, 27), (2607, 45)];
    let (keys, gaps) = behind_hidden_events(&visible).await;
    assert_eq!(keys, [1, 2601, 2602, 2603, 2604, 2605, 2606, 2607]);
    assert_eq!(gaps, span(NOW + 28 * SECOND, NOW + 40 * SECOND));
}

#[tokio::test]
async fn damaged_events_before_keys_that_went_back_come_once() {
    let fake = FaultSoap::start().await;
    let mut running = streaming(&fake, quick()).await;
    fake.state().damaged.extend([2, 4000]);
    fake.happen(&[(1, NOW + 1), (2, NOW + 2), (3999, NOW + 3), (4000, NOW + 4), (4001, NOW + 5)]);
    running.read_until(has_key(4001)).await;
    // A new collector brings all of them again, and shows that nothing is missing.
    fake.happen(&[(5, NOW + 6), (6, NOW + 7)]);
    running.read_until(has_key(6)).await;
    running.read_until_quiet().await;
    let events = stop(&fake, running).await;
    assert_eq!(events.len(), 7, "{events:?}");
}

#[tokio::test]
async fn an_old_history_with_hidden_events_in_it_is_read_to_its_end() {
    let fake = FaultSoap::start().await;
    fake.state().tells_latest = true;
    fake.state().now = NOW + 180 * MINUTE;
    let at = |minute: i64, keys: std::ops::RangeInclusive<i32>| {
        keys.map(|key| (key, NOW + minute * MINUTE + i64::from(key) * 10_000)).collect::<Vec<_>>()
    };
    fake.happen(&at(1, 1..=50));
    fake.happen_hidden(&at(2, 51..=2600));
    fake.happen(&at(60, 2601..=2700));
    fake.happen(&at(175, 2701..=2710));
    // Behind the hidden ones nothing seems to be left, and all that is done then is done soon.
    let timing = Timing { look_back: Duration::from_millis(1), ..quick() };
    let config = Config { begin: BeginAt::At(NOW), ..config(&fake.url) };
    let mut running = Running::start(config, timing).await;
    running.read_until(has_key(2710)).await;
    let (keys, gaps) = events_and_gaps(&stop(&fake, running).await);
    assert!(keys.iter().copied().eq((1..=50).chain(2601..=2710)), "{keys:?}");
    assert_eq!(gaps.len(), 1, "{gaps:?}");
}

#[tokio::test]
async fn hidden_events_without_end_are_a_gap_for_each_page_of_them() {
    let fake = FaultSoap::start().await;
    fake.state().tells_latest = true;
    fake.state().now = NOW + MINUTE;
    let mut running = streaming(&fake, quick()).await;
    let at = |key: i32| (key, NOW + MINUTE + i64::from(key) * 100);
    fake.happen(&[at(1)]);
    running.read_until(has_key(1)).await;
    // Fewer than a page: what comes behind them is read.
    fake.happen_hidden(&(2..=500).map(at).collect::<Vec<_>>());
    let asked = fake.calls("RetrievePropertiesEx");
    running.state("the stall is looked into", |_| fake.calls("RetrievePropertiesEx") > asked + 5).await;
    assert!(running.status.errors_total() > 0, "told");
    fake.happen_hidden(&(501..=2000).map(at).collect::<Vec<_>>());
    running.read_until(|event| event.subject() == "EventGap").await;
    fake.happen(&[at(2001)]);
    running.read_until(has_key(2001)).await;
    let events = stop(&fake, running).await;
    assert_eq!(events_and_gaps(&events), (vec![1, 2001], span(at(1).1, at(2000).1)));
}

#[tokio::test]
async fn keys_that_wrap_behind_collectors_that_take_them_for_old_lose_nothing() {
    for filtered in [false, true] {
        let fake = FaultSoap::start().await;
        {
            let mut state = fake.state();
            state.only_larger = true;
            state.tells_latest = true;
            state.now = NOW + MINUTE;
        }
        let types = if filtered { vec!["VmEvent".to_owned()] } else { Vec::new() };
        let mut running = Running::start(Config { event_types: types, ..config(&fake.url) }, quick()).await;
        running.streaming().await;
        let mut key = i32::MAX - 5;
        for n in 0..40 {
            fake.happen(&[(key, NOW + MINUTE + n * 1000)]);
            if key < 0 {
                // One by one behind the wrap: the collector that is there has passed the largest key of all.
                running.read_until(has_key(key)).await;
            }
            key = key.wrapping_add(1);
        }
        let events = stop(&fake, running).await;
        let (keys, gaps) = events_and_gaps(&events);
        assert_eq!((keys.len(), gaps), (40, Vec::new()), "filtered: {filtered}");
        assert!(events.windows(2).all(|pair| pair[0].created() < pair[1].created()));
    }
}
