//! What goes together in one attempt, and how long that waits to be filled.

use super::*;
use crate::delivery::STUCK;

const LINGER: Duration = Duration::from_millis(50);

/// A bus that takes ten events at a time, each of which takes it a while.
fn bus(limits: BatchLimits, linger: Duration, takes: Duration) -> Arc<Sim> {
    let mut sim = sim(&["bus"], move |_, _| (takes, delivered()));
    let inner = Arc::get_mut(&mut sim).unwrap();
    (inner.limits, inner.linger) = (limits, linger);
    sim
}

const TEN: BatchLimits = BatchLimits { events: 10, bytes: usize::MAX };

fn batches(sim: &Sim) -> Vec<(tokio::time::Instant, Vec<Position>)> {
    sim.batches.lock().unwrap().clone()
}

fn sizes(sim: &Sim) -> Vec<usize> {
    batches(sim).iter().map(|(_, carried)| carried.len()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_batch_carries_one_event_of_an_entity() {
    for linger in [Duration::ZERO, LINGER] {
        let run = Run::start(bus(TEN, linger, Duration::from_millis(1)), Options::default()).await;
        run.append_many(400, 4).await;
        run.until(|log| log.len() == 400).await;
        assert_once_in_order(&run.of("bus"), 400);
        assert_eq!(run.status.target(&Target::new("bus")).counts()[0], 400);
        for (_, carried) in batches(&run.sim) {
            let entities: BTreeSet<_> = carried.iter().map(|position| (position.0 - 1) % 4).collect();
            assert_eq!(entities.len(), carried.len(), "two of one entity: {carried:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_order_one_batch_may_have_several_of_an_entity() {
    let options = Options { ordering: Ordering::None, ..Options::default() };
    let run = Run::start(bus(TEN, LINGER, Duration::from_millis(1)), options).await;
    run.append_many(100, 1).await;
    run.until(|log| log.len() == 100).await;
    assert_eq!(sizes(&run.sim), [10; 10]);
    let strict = Options { ordering: Ordering::Strict, ..Options::default() };
    let run = Run::start(bus(TEN, LINGER, Duration::from_millis(1)), strict).await;
    let began = tokio::time::Instant::now();
    run.append_many(20, 20).await;
    run.until(|log| log.len() == 20).await;
    assert_eq!(sizes(&run.sim), [1; 20]);
    assert!(began.elapsed() < LINGER, "one after the other, and none waits for what cannot come");
}

#[tokio::test(start_paused = true)]
async fn under_load_batches_are_full() {
    let run = Run::start(bus(TEN, LINGER, Duration::from_millis(2)), Options::default()).await;
    // Three events a millisecond, each of another machine.
    for round in 0..300 {
        run.append((0..3).map(|i| ("All".to_owned(), format!("vm-{round}-{i}")))).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    run.until(|log| log.len() == 900).await;
    let full = sizes(&run.sim).iter().filter(|size| **size == 10).count();
    assert!(full >= 80 && sizes(&run.sim).len() <= 100, "{:?}", sizes(&run.sim));
}

#[tokio::test(start_paused = true)]
async fn a_lone_event_goes_at_once_and_the_next_waits_no_longer_than_it_may() {
    let run = Run::start(bus(TEN, LINGER, Duration::from_millis(500)), Options::default()).await;
    let mut came = Vec::new();
    for entity in ["a", "b", "c"] {
        came.push(tokio::time::Instant::now());
        run.append([("All".to_owned(), entity.to_owned())]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    run.until(|log| log.len() == 3).await;
    let batches = batches(&run.sim);
    let waits: Vec<_> =
        batches.iter().map(|(began, carried)| (*began - came[carried[0].0 as usize - 1], carried.len())).collect();
    assert!(waits[0].0 < Duration::from_millis(2) && waits[0].1 == 1, "nothing was under way: {waits:?}");
    assert!(waits[1].0 >= LINGER && waits[1].0 <= LINGER + Duration::from_millis(2) && waits[1].1 == 2, "{waits:?}");
    assert_eq!(waits.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_waits_goes_when_nothing_is_under_way_any_more() {
    let run = Run::start(bus(TEN, Duration::from_secs(10), Duration::from_millis(100)), Options::default()).await;
    let began = tokio::time::Instant::now();
    for entity in ["a", "b"] {
        run.append([("All".to_owned(), entity.to_owned())]).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    run.until(|log| log.len() == 2).await;
    let second = batches(&run.sim)[1].0 - began;
    assert!(second >= Duration::from_millis(100) && second < Duration::from_millis(110), "{second:?}");
}

#[tokio::test(start_paused = true)]
async fn weight_fills_a_batch_too() {
    let one = {
        let mut page = PageBuilder::new("vc".into(), "s", &[]);
        page.push(&Attributes { id: "i", subject: "All", entity: "vm-1", ..Attributes::default() }, b"{}");
        page.finish().remove(0).size()
    };
    let limits = BatchLimits { events: 10, bytes: 3 * one + one / 2 };
    let run = Run::start(bus(limits, LINGER, Duration::from_millis(1)), Options::default()).await;
    let began = tokio::time::Instant::now();
    run.append_many(9, 9).await;
    run.until(|log| log.len() == 9).await;
    assert_eq!(sizes(&run.sim), [3, 3, 3]);
    assert!(began.elapsed() < LINGER, "what is full does not wait");
}

#[tokio::test(start_paused = true)]
async fn only_what_was_refused_is_attempted_again() {
    let mut sim = sim(&["bus"], |_, delivery| {
        let refused = delivery.position.0.is_multiple_of(3) && delivery.attempt == 1;
        (Duration::from_millis(1), if refused { failed() } else { delivered() })
    });
    let inner = Arc::get_mut(&mut sim).unwrap();
    (inner.limits, inner.linger) = (TEN, LINGER);
    let run = Run::start(sim, Options::default()).await;
    run.append_many(30, 30).await;
    run.until_settled_through(30).await;
    assert_once_in_order(&run.of("bus"), 30);
    for ((_, position), attempts) in &*run.sim.attempts.lock().unwrap() {
        assert_eq!(*attempts, if position.0.is_multiple_of(3) { 2 } else { 1 }, "{position}");
    }
}

#[tokio::test(start_paused = true)]
async fn as_far_ahead_is_read_as_batches_are_filled_from() {
    for (events, concurrency, span) in [(1, 1_000, 2_048), (10, 8, 2_048), (10, 30, 2_400), (10, 64, 4_096)] {
        let mut sim = sim(&["bus"], |_, delivery| match delivery.position {
            Position(1) => (Duration::from_secs(3_600), delivered()),
            _ => (Duration::ZERO, delivered()),
        });
        Arc::get_mut(&mut sim).unwrap().limits = BatchLimits { events, ..TEN };
        let run = Run::start(sim, Options { concurrency, ..Options::default() }).await;
        run.append_many(1, 1).await;
        run.append((1..10_000).map(|i| ("All".to_owned(), format!("vm-{i}")))).await;
        let mut log = run.sim.log.subscribe();
        // The first is in a batch with others, which wait with it.
        log.wait_for(|log| log.len() + events >= span).await.unwrap();
        tokio::time::sleep(STUCK / 2).await;
        assert!(run.sim.log.borrow().len() < span, "{events} and {concurrency}");
    }
}
