//! Which events a processor is for.

use super::*;
use crate::config::delivery::Filter;
use crate::delivery::{Question, Standing};
use crate::journal::{Entry, LettersPlace};

fn only_wanted() -> Options {
    let filter = Filter::parse(r#"{"subject":["Wanted","Nobody"]}"#).unwrap();
    Options { filter: Some(filter), ..Options::default() }
}

async fn standing(run: &Run, position: u64) -> Standing {
    let cursor = run.journal.cursor("asks", Begin::Oldest).await.unwrap();
    let limits = BatchLimits { events: 1, bytes: usize::MAX };
    let entry: Entry = cursor.read(Position(position - 1), limits).await.unwrap().remove(0);
    let (told, standing) = tokio::sync::oneshot::channel();
    run.settler.explain(Question { entry, told }).await;
    standing.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_the_pattern_does_not_mean_is_unwanted_however_often_it_is_read() {
    let (alive, watch) = watch::channel(false);
    let sim = sim(&["dead", "well"], move |target, _| {
        let answers = target.as_str() == "well" || *watch.borrow();
        (Duration::from_millis(1), if answers { delivered() } else { busy() })
    });
    let run = Run::start(sim, only_wanted()).await;
    let subjects = ["Wanted", "Other", "Nobody", "well", "dead"];
    for _ in 0..20 {
        run.append((0..500).map(|i| (subjects[i % 5].to_owned(), format!("vm-{}", i % 20)))).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    run.until(|log| log.len() == 2_000).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    // The dead one's lane has read none of it yet, or sheds it and reads it again.
    assert!(run.status.target(&Target::new("dead")).has_lane());
    let wanted = standing(&run, 9_996).await;
    assert_eq!((wanted.excluded, wanted.owed.len()), (false, 1), "{wanted:?}");
    for position in [9_997, 9_999, 10_000] {
        let other = standing(&run, position).await;
        assert_eq!((other.routed, other.excluded, other.owed.len()), (true, true, 0), "{position}: {other:?}");
    }
    assert!(!standing(&run, 9_998).await.excluded, "it is the map that has nobody for this one");
    alive.send_replace(true);
    run.until_settled_through(10_000).await;
    for target in ["dead", "well"] {
        let came = run.of(target);
        assert_once_in_order(&came, 2_000);
        assert!(came.iter().all(|(position, _)| position % 5 == 1), "only what is wanted");
    }
    let letters = run.journal.dead_letters().unwrap();
    assert!(letters.read(LettersPlace::default()).await.unwrap().0.is_empty());
}
