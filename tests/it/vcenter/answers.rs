//! Calls that get something else than their answer.

use std::time::Duration;

use vmware_event_router::stream::vcenter::Timing;

use super::{MINUTE, events_and_gaps, has_key, stop, streaming};
use crate::support::fault_soap::{FaultSoap, NOW, Reply};
use crate::support::stream::{Running, assert_no_twins, config, keys, member, timing};

/// Every fault that the reference knows.
const FAULTS: [&str; 12] = [
    "NotAuthenticated",
    "ManagedObjectNotFound",
    "InvalidState",
    "InvalidArgument",
    "InvalidLogin",
    "NoPermission",
    "InvalidLocale",
    "RequestCanceled",
    "InvalidCollectorVersion",
    "InvalidProperty",
    "MethodNotFound",
    "NotImplemented",
];

/// Every call that the stream makes before it ends.
const CALLS: [&str; 9] = [
    "RetrieveServiceContent",
    "Login",
    "CurrentTime",
    "QueryOptions",
    "CreateCollectorForEvents",
    "CreateFilter",
    "ReadNextEvents",
    "RetrievePropertiesEx",
    "WaitForUpdatesEx",
];

fn short() -> Timing {
    Timing {
        call: Duration::from_millis(200),
        page: Duration::from_millis(200),
        max_wait: Duration::from_secs(1),
        retry_most: Duration::from_millis(50),
        refused_first: Duration::from_millis(20),
        stall: Duration::from_millis(20),
        look_back: Duration::from_millis(20),
        ..timing()
    }
}

#[tokio::test]
async fn no_fault_of_any_call_loses_or_repeats_anything_and_each_is_told() {
    let fake = FaultSoap::start().await;
    fake.state().tells_latest = true;
    let mut running = streaming(&fake, short()).await;
    let mut key = 0;
    for method in CALLS {
        for kind in FAULTS {
            let before = (running.status.errors_total(), fake.calls(method));
            fake.script(method, Reply::Fault(kind));
            // A new session makes all the calls. A living one is made to look at the newest event.
            if !matches!(method, "WaitForUpdatesEx" | "ReadNextEvents" | "RetrievePropertiesEx") {
                fake.end_sessions();
            }
            if method == "RetrievePropertiesEx" {
                running.state("latestEvent is asked for", |_| fake.calls(method) > before.1 + 1).await;
            }
            key += 2;
            fake.happen(&[(key - 1, NOW + i64::from(key) - 1), (key, NOW + i64::from(key))]);
            running.read_until(has_key(key)).await;
            running.state("the call was made", |_| fake.calls(method) > before.1).await;
            // A wait that is cancelled or forgotten is none of the operator's business, nor is what cannot be told.
            let quiet = (method == "WaitForUpdatesEx" && matches!(kind, "RequestCanceled" | "InvalidCollectorVersion"))
                || method == "QueryOptions";
            if !quiet {
                running.state(&format!("{kind} of {method} is told"), |status| status.errors_total() > before.0).await;
            }
        }
    }
    running.read_until_quiet().await;
    let events = running.stop().await;
    assert_no_twins(&events);
    let (keys, gaps) = events_and_gaps(&events);
    assert_eq!(gaps, Vec::new());
    assert!(keys.into_iter().eq(1..=key));
}

#[tokio::test]
async fn answers_that_break_off_or_fall_silent_lose_nothing() {
    let fake = FaultSoap::start().await;
    fake.state().tells_latest = true;
    let mut running = streaming(&fake, short()).await;
    let mut key = 0;
    for method in CALLS {
        let cut = |mut page: Vec<u8>| {
            page.truncate(page.len() * 2 / 3);
            page
        };
        for reply in [Reply::BreakOff, Reply::FallSilent, Reply::Spoil(cut)] {
            fake.script(method, reply);
            if method != "ReadNextEvents" {
                fake.end_sessions();
            }
            let events: Vec<_> = (key + 1..=key + 20).map(|key| (key, NOW + i64::from(key))).collect();
            key += 20;
            fake.happen(&events);
            running.read_until(has_key(key)).await;
        }
    }
    running.read_until_quiet().await;
    let events = running.stop().await;
    assert_no_twins(&events);
    let (keys, gaps) = events_and_gaps(&events);
    assert_eq!(gaps, Vec::new());
    assert!(keys.into_iter().eq(1..=key));
}

#[tokio::test]
async fn a_collector_that_is_gone_is_made_anew_in_the_same_session() {
    let fake = FaultSoap::start().await;
    let mut running = streaming(&fake, timing()).await;
    for key in 1..=3 {
        fake.lose_collectors();
        fake.happen(&[(key, NOW + i64::from(key))]);
        running.read_until(has_key(key)).await;
    }
    assert_eq!(fake.calls("Login"), 1);
    assert_eq!(keys(&stop(&fake, running).await), [1, 2, 3]);
}

#[tokio::test]
async fn reading_goes_on_where_news_cannot_be_asked_for() {
    let fake = FaultSoap::start().await;
    for _ in 0..1000 {
        fake.script("CreateFilter", Reply::Fault("NotImplemented"));
    }
    let mut running = streaming(&fake, timing()).await;
    for key in 1..=3 {
        fake.happen(&[(key, NOW + i64::from(key))]);
        running.read_until(has_key(key)).await;
    }
    running.state("it is tried again", |_| fake.calls("CreateFilter") > 2).await;
    assert_eq!((fake.calls("Login"), fake.calls("CreateCollectorForEvents")), (1, 1));
    assert!(running.status.errors_total() > 1, "told");
    fake.state().forget_scripts();
    running.state("news are waited for", |_| fake.open().2 == 1).await;
    assert_eq!(keys(&stop(&fake, running).await), [1, 2, 3]);
}

#[tokio::test]
async fn a_session_that_may_not_even_ask_for_the_time_is_given_up() {
    let fake = FaultSoap::start().await;
    let mut running = streaming(&fake, timing()).await;
    for _ in 0..2 {
        fake.script("ReadNextEvents", Reply::Fault("InvalidState"));
    }
    fake.script("CurrentTime", Reply::Fault("ManagedObjectNotFound"));
    running.state("another login", |status| status.reconnects_total() > 0).await;
    fake.happen(&[(1, NOW + 1)]);
    running.read_until(has_key(1)).await;
    assert_eq!((fake.calls("Login"), fake.calls("Logout")), (2, 1));
    running.stop().await;
    assert_eq!(fake.open(), (0, 0, 0));
}

#[tokio::test]
async fn damaged_events_cost_their_neighbours_nothing_and_few_calls() {
    let fake = FaultSoap::start().await;
    let mut running = streaming(&fake, timing()).await;
    let events: Vec<_> = (1..=5000).map(|key| (key, NOW + i64::from(key))).collect();
    let damaged = [1, 2, 700, 1000, 1001, 1500, 2999, 3000, 4321, 5000];
    fake.state().damaged.extend(damaged);
    fake.happen(&events);
    let mut last = |event: &vmware_event_router::event::Event| {
        event.key().is_none() && member(event, "RawXml").as_str().unwrap().contains("<key>5000</key>")
    };
    running.read_until(&mut last).await;
    running.read_until_quiet().await;
    let (collectors, reads) = (fake.calls("CreateCollectorForEvents"), fake.calls("ReadNextEvents"));
    // A session that ends makes nothing come twice, damaged or not.
    fake.end_sessions();
    fake.happen(&[(5001, NOW + 5001)]);
    running.read_until(has_key(5001)).await;
    running.read_until_quiet().await;
    let events = running.stop().await;
    assert_no_twins(&events);
    assert_eq!(events.len(), 5001);
    for (event, key) in events.iter().zip(1..) {
        assert_eq!(event.key(), (!damaged.contains(&key)).then_some(key));
    }
    assert!(collectors <= 11, "{collectors} collectors");
    assert!(reads < 200, "{reads} reads");
}

#[tokio::test]
async fn damage_far_behind_other_damage_brings_nothing_twice() {
    // More than is remembered lies between the two: reading must not begin where it did the first time.
    const MANY: i32 = 150_000;
    let fake = FaultSoap::start().await;
    let mut running = streaming(&fake, timing()).await;
    let events: Vec<_> = (1..=MANY + 100).map(|key| (key, NOW + i64::from(key) * 100)).collect();
    fake.state().now = NOW + i64::from(MANY + 100) * 100;
    fake.state().damaged.extend([10, MANY]);
    fake.happen(&events);
    running.read_until(has_key(MANY + 100)).await;
    let events = running.stop().await;
    assert_no_twins(&events);
    assert_eq!(events.len(), events.last().unwrap().key().unwrap() as usize, "and nothing is missing");
}

#[tokio::test]
async fn late_events_are_looked_for_though_collectors_come_and_go() {
    let fake = FaultSoap::start().await;
    fake.state().now = NOW + 10 * MINUTE;
    let often = Timing { look_back: Duration::from_millis(300), ..timing() };
    let mut running = streaming(&fake, often).await;
    fake.happen(&[(1, NOW + 10 * MINUTE + 1), (2, NOW + 20 * MINUTE)]);
    fake.state().now = NOW + 20 * MINUTE;
    running.read_until(has_key(2)).await;
    // Later than what the overlap reaches.
    fake.happen_late(3, NOW + 15 * MINUTE);
    let mut key = 10;
    while fake.calls("Login") < 10 && !running.events.iter().any(|event| event.key() == Some(3)) {
        fake.end_sessions();
        key += 1;
        fake.happen(&[(key, NOW + 20 * MINUTE + i64::from(key))]);
        running.read_until(has_key(key)).await;
        running.read_until_quiet().await;
    }
    assert!(running.events.iter().any(|event| event.key() == Some(3)), "collectors were new too often to look back");
    let events = running.stop().await;
    assert_no_twins(&events);
}

#[tokio::test]
async fn the_newest_event_is_asked_for_again_after_it_could_not_be_had() {
    let fake = FaultSoap::start().await;
    fake.state().tells_latest = true;
    fake.script("RetrievePropertiesEx", Reply::Fault("InvalidProperty"));
    let quick = Timing { stall: Duration::from_millis(20), ..timing() };
    let mut running = Running::start(config(&fake.url), quick).await;
    running.state("it is asked for", |_| fake.calls("RetrievePropertiesEx") > 0).await;
    // The collector has lost its place: only the newest event shows it.
    fake.happen_late(1, NOW + 1);
    running.read_until(has_key(1)).await;
    assert_eq!(keys(&stop(&fake, running).await), [1]);
}
