//! The router, killed again and again in the middle of its work: nothing is missing, nothing is in the journal twice, and
//! what comes twice is what was under way.
//!
//! `CRASH_KILLS=N` kills it so often; `CRASH_SEED=N` at the same moments as another run did.

use std::time::Duration;

use serde_json::json;

use crate::support::given;
use crate::support::router::Router;
use crate::support::scene::Scene;

/// Events between two kills, about.
const EVENTS: u64 = 3_000;

/// What a kill may repeat: what was under way, and what was answered a moment ago.
const REPEATS: u64 = 256;

#[tokio::test]
async fn a_router_that_is_killed_again_and_again_loses_nothing() {
    let kills = given("CRASH_KILLS").unwrap_or(10);
    let seed = given("CRASH_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("CRASH_KILLS={kills} CRASH_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let events = kills * EVENTS;
    let mut moments: Vec<_> = (0..kills).map(|_| random.u64(..events)).collect();
    moments.sort_unstable();

    let scene = Scene::new(events, 6_000, seed, json!({})).await;
    for moment in moments {
        let router = Router::start_in(&scene.folder, &scene.config, &[], &[]).await;
        // A kill in the beginning is as good as any.
        let grace = Duration::from_millis(random.u64(..40));
        scene.received(moment).await;
        tokio::time::sleep(grace).await;
        router.kill();
    }
    let verdict = scene.end().await;
    assert!(verdict.again <= kills * REPEATS, "{} came again, after {kills} kills", verdict.again);
}
