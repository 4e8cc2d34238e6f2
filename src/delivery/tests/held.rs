//! What an event that waits holds up: those of its entity, and others only once there is a span of these.

use super::*;
use crate::delivery::track::MOST_HOLES;

const HOUR: Duration = Duration::from_secs(3_600);

/// One in a hundred fails for as long as it is tried, and the first of them says to come back in an hour.
fn one_in_a_hundred_fails() -> Arc<Sim> {
    sim(&["f"], |_, delivery| {
        let outcome = match delivery.position.0 {
            5 => Outcome::Failed { after: Some(HOUR), why: reason("in an hour") },
            position if position % 100 == 5 => failed(),
            _ => delivered(),
        };
        (Duration::from_millis(1), outcome)
    })
}

#[tokio::test(start_paused = true)]
async fn events_that_fail_hold_up_nothing_but_their_entity() {
    let run = Run::start(one_in_a_hundred_fails(), Options::default()).await;
    let began = tokio::time::Instant::now();
    run.append((0..20_000).map(|i| ("All".to_owned(), format!("vm-{i}")))).await;
    run.until(|log| log.len() == 19_800).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(run.status.target(&Target::new("f")).counts()[1], 19_800, "each once");
}

#[tokio::test(start_paused = true)]
async fn streams_read_on_past_an_event_that_waits() {
    let run = Run::start(one_in_a_hundred_fails(), Options::default()).await;
    let began = tokio::time::Instant::now();
    let data = format!("\"{}\"", "x".repeat(4_000));
    for page in 0..40 {
        run.journal.pace().await;
        let mut events = PageBuilder::new("vc".into(), "s", &[]);
        for event in 0..100 {
            let entity = format!("vm-{page}-{event}");
            events.push(&Attributes { id: "i", entity: &entity, ..Attributes::default() }, data.as_bytes());
        }
        let mut batch = Batch { stream: "vc".into(), events: events.finish(), checkpoint: None };
        run.journal.append(&mut batch).await.unwrap();
    }
    run.until(|log| log.len() == 3_960).await;
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_was_delivered_past_an_event_that_waits_is_not_sent_again_when_its_target_is_away_for_a_while() {
    let (away, watch) = watch::channel(false);
    let sim = sim(&["f"], move |_, delivery| {
        let outcome = match delivery.position.0 {
            _ if *watch.borrow() => busy(),
            1 => Outcome::Failed { after: Some(Duration::from_secs(10)), why: reason("in a while") },
            _ => delivered(),
        };
        (Duration::from_millis(1), outcome)
    });
    let run = Run::start(sim, Options::default()).await;
    // Those of its entity wait behind it; the others go, as many as that the places of all of them are let go with the last.
    let others = 1_500 + MOST_HOLES + 1;
    run.append((0..1_500).map(|_| ("All".to_owned(), "vm-slow".to_owned()))).await;
    run.append((0..others).map(|i| ("All".to_owned(), format!("vm-{i}")))).await;
    run.until(|log| log.len() == others).await;
    away.send_replace(true);
    // It is found away by the event that waits. All that is newer has been delivered.
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(run.status.target(&Target::new("f")).has_lane());
    away.send_replace(false);
    // The first is given up in the end.
    let all = 1_500 + others;
    run.until(|log| log.len() >= all - 1).await;
    run.until_settled_through(all as u64).await;
    assert_once_in_order(&run.of("f"), all - 1);
}
