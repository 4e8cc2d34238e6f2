//! Two streams, three processors, and one function that refuses whatever it gets, beside one that is down: what the
//! statistics, the metrics, the dead letters and `explain` tell is the same story, and a restart in the middle changes
//! nothing of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;
use vmware_event_router::simulator::vcenter::Options;

use crate::support::gateway::{Answer, Function, Gateway};
use crate::support::router::{Router, ask, metrics, named, processor, stream};
use crate::support::simulator::{Simulated, quiet};

const ON: &str = "VmPoweredOnEvent";
const OFF: &str = "VmPoweredOffEvent";

/// How often what happened: since ever, and since this router began.
#[derive(Clone, Copy, Default)]
struct Count {
    ever: u64,
    now: u64,
}

struct Story {
    folder: Arc<TempDir>,
    config: Vec<Value>,
    gateways: [Gateway; 3],
    on: Count,
    off: Count,
    /// Events of each kind at each stream, since this router began.
    of: BTreeMap<(&'static str, &'static str), u64>,
}

/// A metric's value, where its labels are these and others.
fn metric(page: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let labels: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    let mut lines = page.lines().filter(|line| {
        line.strip_prefix("vmware_event_router_")
            .and_then(|line| line.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with('{') && labels.iter().all(|label| rest.contains(&**label)))
    });
    let line = lines.next().unwrap_or_else(|| panic!("there is no {name} {labels:?}:\n{page}"));
    assert_eq!(lines.next(), None, "{name} {labels:?}");
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

impl Story {
    fn happened(&mut self, stream: &'static str, simulated: &Simulated, kind: &'static str, events: u64) {
        simulated.handle.make(kind, events).unwrap();
        let count = if kind == ON { &mut self.on } else { &mut self.off };
        count.ever += events;
        count.now += events;
        *self.of.entry((stream, kind)).or_default() += events;
    }

    /// The router begins: what is counted in memory begins anew.
    async fn start(&mut self) -> Router {
        (self.on.now, self.off.now) = (0, 0);
        self.of.clear();
        let router = Router::start_in(&self.folder, &self.config, &[], &[]).await;
        router.ready().await;
        router
    }

    /// Waits until everything has become of the events that can.
    async fn settled(&self, router: &Router) {
        let (on, off, letters) = (self.on.now, self.off.now, self.on.ever);
        let is = |page: &Value, field: &str, count: u64| page[field].as_u64().unwrap_or(0) == count;
        router
            .stats_when(|stats| {
                let of = |processor: &str, target: &str| {
                    stats["vmware.event.router.stats"][processor]["targets"][target].clone()
                };
                let journal = &stats["vmware.event.router.journal"];
                let streams = |stream| stats["vmware.event.router.stats"][stream]["state"] == "streaming";
                streams("vc-1")
                    && streams("vc-2")
                    && is(journal, "dead_letters", letters)
                    && journal["pinned_by"] == "p3 for down"
                    && is(&of("p1", "one"), "successes", on + off)
                    && is(&of("p2", "two"), "successes", on)
                    && is(&of("p2", "refuses"), "failures", on)
                    && is(&of("p3", "three"), "successes", off)
                    && of("p3", "down")["answering"] == false
            })
            .await;
    }

    async fn stats_tell_it(&self, when: &str, router: &Router) {
        let stats = router.stats().await;
        let journal = &stats["vmware.event.router.journal"];
        assert_eq!(journal["dead_letters"], self.on.ever, "{when}: {journal}");
        assert_eq!(journal["pinned_by"], "p3 for down", "{when}: {journal}");
        assert!(journal["undelivered"].as_u64() >= Some(self.on.ever), "{when}: {journal}");
        let all = &stats["vmware.event.router.stats"];
        for stream in ["vc-1", "vc-2"] {
            let made: u64 = self.of.iter().filter(|((of, _), _)| *of == stream).map(|(_, events)| events).sum();
            let page = &all[stream];
            assert!(page["events_total"].as_u64() >= Some(made), "{when}: {page}");
            assert_eq!((&page["events_err"], &page["state"]), (&json!(0), &json!("streaming")), "{when}: {page}");
        }
        let invoked = |success: u64, failure: u64| json!({ "SuccessCount": success, "FailureCount": failure });
        for (name, kind, expected) in [
            ("p1", ON, invoked(self.on.now, 0)),
            ("p1", OFF, invoked(self.off.now, 0)),
            ("p2", ON, invoked(self.on.now, self.on.now)),
            ("p3", OFF, invoked(self.off.now, 0)),
        ] {
            if expected != invoked(0, 0) {
                assert_eq!(all[name]["invocations"][kind], expected, "{when}: {name} {:#}", all[name]);
            }
        }
        let down = &all["p3"]["targets"]["down"];
        let state = (&down["successes"], &down["failures"], &down["lane"], &down["answering"]);
        assert_eq!(state, (&json!(0), &json!(0), &json!(true), &json!(false)), "{when}: {down}");
        assert!(down["attempts"].as_u64() >= Some(1), "{when}: {down}");

        let page = router.get("/metrics").await;
        let page = std::str::from_utf8(page.body()).unwrap();
        let of = |name: &str, processor: &str, target: &str| {
            metric(page, name, &[("processor", processor), ("target", target)])
        };
        let (on, off) = (self.on.now as f64, self.off.now as f64);
        assert_eq!(of("target_lane", "p3", "down"), 1.0, "{when}");
        assert_eq!(of("target_circuit_open", "p3", "down"), 1.0, "{when}");
        if self.on.now > 0 {
            assert_eq!(of("target_successes_total", "p1", "one"), on + off, "{when}");
            assert_eq!(of("target_successes_total", "p2", "two"), on, "{when}");
            assert_eq!(of("target_failures_total", "p2", "refuses"), on, "{when}");
            assert_eq!(of("target_circuit_open", "p2", "refuses"), 0.0, "{when}: a refusal is an answer");
        }
    }

    async fn letters_tell_it(&self, when: &str) {
        let refused = self.gateways[1].read(|state| state.events_of("refuses"));
        assert_eq!(refused.len() as u64, self.on.ever, "{when}");
        for of in [&["--processor", "p2"][..], &["--target", "refuses"], &[]] {
            let (well, list) = ask(&self.folder, &self.config, &[&["dead-letters", "list"], of].concat()).await;
            assert_eq!((well, list.lines().count() as u64), (true, self.on.ever), "{when}: {list}");
            for id in &refused {
                let line = list.lines().find(|line| line.contains(&**id)).unwrap_or_else(|| panic!("{id}: {list}"));
                for part in ["p2", "refuses", ON, "not today"] {
                    assert!(line.contains(part), "{when}: {part} is not in {line}");
                }
            }
        }
        for of in [["--processor", "p1"], ["--processor", "p3"], ["--target", "down"]] {
            let (well, list) = ask(&self.folder, &self.config, &[&["dead-letters", "list"], &of[..]].concat()).await;
            assert_eq!((well, &*list), (true, ""), "{when}");
        }
    }

    async fn explain_tells_it(&self, when: &str, runs: bool) {
        let ids = |subject: &str| {
            self.gateways[0].read(|state| {
                let calls = state.calls_of("one").into_iter().filter(|call| call.subject() == subject);
                calls.map(|call| call.event_id()).collect::<Vec<_>>()
            })
        };
        for (subject, ids) in [(ON, ids(ON)), (OFF, ids(OFF))] {
            for id in [ids.first().unwrap(), ids.last().unwrap()] {
                let (well, json) = ask(&self.folder, &self.config, &["explain", id, "--json"]).await;
                assert!(well, "{when}: {json}");
                let told: Value = serde_json::from_str(&json).unwrap();
                let states: BTreeMap<_, _> = told["processors"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .flat_map(|processor| {
                        let targets = processor["targets"].as_array().unwrap().iter();
                        targets.map(|target| {
                            let name = format!("{} {}", processor["name"], target["target"]).replace('"', "");
                            (name, (target["state"].clone(), target["status"].clone()))
                        })
                    })
                    .collect();
                let ended = |state: &str, status: u64| (json!(state), json!(status));
                let mut expected = BTreeMap::from([("p1 one".to_owned(), ended("delivered", 200))]);
                if subject == ON {
                    expected.insert("p2 two".to_owned(), ended("delivered", 200));
                    expected.insert("p2 refuses".to_owned(), ended("dead_letter", 422));
                } else {
                    expected.insert("p3 three".to_owned(), ended("delivered", 200));
                }
                let mut seen = states.clone();
                let owed = seen.remove("p3 down");
                assert_eq!(seen, expected, "{when}: {subject} {told:#}");
                // Who it is still owed to is known where the router runs; else that there is such a one.
                assert_eq!(owed.is_some(), runs && subject == ON, "{when}: {subject} {told:#}");
                assert!(owed.is_none_or(|(state, _)| state == "owed"), "{when}: {subject} {told:#}");
                if !runs && subject == ON {
                    let third = told["processors"].as_array().unwrap().iter().find(|one| one["name"] == "p3");
                    let note = third.unwrap()["note"].as_str().unwrap_or_default();
                    assert!(note.ends_with(" down"), "{when}: {told:#}");
                }
            }
        }
    }

    async fn told(&self, when: &str, router: &Router) {
        self.settled(router).await;
        self.stats_tell_it(when, router).await;
        self.letters_tell_it(when).await;
        self.explain_tells_it(when, true).await;
    }
}

#[tokio::test]
async fn two_streams_and_three_processors_tell_one_story_across_restarts() {
    // Two vCenters, and not one that is at two addresses.
    let first = Simulated::start(quiet()).await;
    let second = Simulated::start(Options { seed: 8, ..quiet() }).await;
    let both = format!("{ON},{OFF}");
    let gateways = [
        Gateway::start([Function::subscribed("one", &both)]).await,
        Gateway::start([
            Function::subscribed("two", ON),
            Function::subscribed("refuses", ON).always(Answer::text(422, "not today")),
        ])
        .await,
        Gateway::start([
            Function::subscribed("three", OFF),
            Function::subscribed("down", ON).always(Answer::status(503)),
        ])
        .await,
    ];
    let mut config = vec![named(stream(&first.url), "vc-1"), named(stream(&second.url), "vc-2"), metrics()];
    for (number, gateway) in gateways.iter().enumerate() {
        config.push(named(processor(gateway, &json!({})), &format!("p{}", number + 1)));
    }
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut story =
        Story { folder, config, gateways, on: Count::default(), off: Count::default(), of: BTreeMap::new() };

    let router = story.start().await;
    story.happened("vc-1", &first, ON, 3);
    story.happened("vc-1", &first, OFF, 2);
    story.happened("vc-2", &second, ON, 2);
    story.happened("vc-2", &second, OFF, 1);
    story.told("before the restart", &router).await;
    let calls = || {
        let count = |gateway: usize, function: &str| story.gateways[gateway].read(|state| state.count(function));
        [count(0, "one"), count(1, "two"), count(1, "refuses"), count(2, "three")]
    };
    let before = calls();
    assert_eq!(before, [8, 5, 5, 3], "each once");
    router.stop().await;
    story.letters_tell_it("while it is away").await;
    story.explain_tells_it("while it is away", false).await;

    let router = story.start().await;
    story.told("after the restart", &router).await;
    story.happened("vc-2", &second, ON, 2);
    story.happened("vc-1", &first, OFF, 1);
    story.told("after more events", &router).await;
    let after = [0, 1].map(|gateway| {
        let function = ["one", "two"][gateway];
        story.gateways[gateway].read(|state| state.count(function))
    });
    assert_eq!(after, [before[0] + 3, before[1] + 2], "nothing came again");
    router.kill();

    // What was under way at a kill may come again; the story stays.
    let router = story.start().await;
    story.letters_tell_it("after a kill").await;
    story.explain_tells_it("after a kill", true).await;
    story.gateways[2].change(|state| state.deploy(Function::subscribed("down", ON)));
    router.stats_when(|stats| stats["vmware.event.router.journal"]["undelivered"] == 0).await;
    let ids = story.gateways[2].read(|state| state.events_of("down"));
    assert_eq!(ids.len() as u64, story.on.ever);
    story.letters_tell_it("when all is well but one").await;
    router.stop().await;
    first.stop().await;
    second.stop().await;
}
