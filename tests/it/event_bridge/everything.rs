//! Ten thousand events, of which a rule means some: all of those arrive in the queue behind it, and no others, whatever
//! goes wrong on the way.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Aws, BUS, journaled, letters};
use crate::support::aws::REGION;
use crate::support::aws_front::{Call, Entry, Fault, Told};
use crate::support::given;
use crate::support::judge::Judge;
use crate::support::router::{Router, metrics, stream};
use crate::support::simulator::Simulator;

/// So many happen.
const EVENTS: u64 = 10_000;

/// A test that waits this long for something waits in vain.
const PATIENCE: Duration = Duration::from_secs(300);

/// Among the first keys nothing is meant.
const FIRST_KEY: i64 = 500;

const SUBJECTS: [&str; 4] = ["VmPoweredOnEvent", "VmPoweredOffEvent", "VmMigratedEvent", "UserLoginSessionEvent"];

/// About a fifth of what happens.
fn pattern() -> Value {
    let mut subjects: Vec<_> = SUBJECTS.iter().map(|subject| json!(subject)).collect();
    subjects.push(json!({ "prefix": "DrsVm" }));
    json!({
        "source": [{ "prefix": "http://127.0.0.1:" }],
        "detail": { "subject": subjects, "data": { "Key": [{ "numeric": [">", FIRST_KEY] }] } },
    })
}

/// The same, in other words.
fn is_meant(event: &Value) -> bool {
    let subject = event["subject"].as_str().unwrap();
    let source = event["source"].as_str().unwrap();
    (SUBJECTS.contains(&subject) || subject.starts_with("DrsVm"))
        && source.starts_with("http://127.0.0.1:")
        && event["data"]["Key"].as_i64().unwrap() > FIRST_KEY
}

/// What AWS will never take, however often it is sent.
fn is_doomed(id: &str) -> bool {
    u32::from_str_radix(&id[..8], 16).unwrap().is_multiple_of(50)
}

/// Everything that can go wrong goes wrong now and then.
fn faults(seed: u64) -> impl Fn(&Call) -> Fault + Send + Sync {
    let state = Mutex::new((fastrand::Rng::with_seed(seed), 0));
    move |call| {
        let (rng, silences) = &mut *state.lock().unwrap();
        let dice = rng.u8(..100);
        if call.action != "PutEvents" {
            return match dice {
                0..8 => Fault::Error(400, "ThrottlingException"),
                8..14 => Fault::Error(500, "InternalException"),
                14..18 => Fault::Reset { taken: false },
                18..22 => Fault::Reset { taken: true },
                22..25 => Fault::Error(400, "ExpiredTokenException"),
                _ => Fault::None,
            };
        }
        let code = |entry: &Entry| match rng.u8(..100) {
            _ if is_doomed(&entry.id) => Some("MalformedDetail"),
            0..2 => Some("ThrottlingException"),
            2..4 => Some("InternalFailure"),
            _ => None,
        };
        let codes: Vec<_> = call.entries.iter().map(code).collect();
        let taken = !call.entries.iter().any(|entry| is_doomed(&entry.id));
        match dice {
            0..2 => Fault::Error(400, "ThrottlingException"),
            2..4 => Fault::Error(500, "InternalFailure"),
            4..6 => Fault::Error(503, "ServiceUnavailable"),
            6 => Fault::Error(400, "ExpiredTokenException"),
            7..9 => Fault::Reset { taken: false },
            9..13 if taken => Fault::Reset { taken },
            13..15 if taken && *silences < 4 => {
                *silences += 1;
                Fault::Silence { taken: *silences % 2 == 1 }
            }
            _ if codes.iter().any(Option::is_some) => Fault::Entries(codes),
            _ => Fault::None,
        }
    }
}

/// The first entity that the event names, as vCenter refers to it.
fn entity(event: &Value) -> &str {
    let entities = ["Vm", "Host", "ComputeResource", "Ds", "Net", "Datacenter"].map(|name| &event["data"][name]);
    let entity = entities.into_iter().find_map(Value::as_object);
    let mut parts = entity.into_iter().flat_map(|entity| entity.values());
    parts.find_map(|part| part["Value"].as_str()).unwrap_or_default()
}

/// Each entity's events must have been taken in the order in which they are in the journal.
fn in_order(taken: &[String], places: &HashMap<&str, (usize, &Value)>) {
    let mut newest: HashMap<&str, usize> = HashMap::new();
    for id in taken {
        let (place, event) = places[id.as_str()];
        let entity = entity(event);
        if !entity.is_empty() {
            let newest = newest.entry(entity).or_default();
            assert!(*newest <= place, "{id} of {entity} was taken late");
            *newest = place;
        }
    }
}

/// The event as it came through the rule, held against what the journal has.
fn arrived_whole(came: &Value, event: &Value, account: &str) {
    assert_eq!(came["detail"], *event);
    assert_eq!((&came["detail-type"], &came["source"]), (&event["subject"], &event["source"]));
    assert_eq!((&came["region"], &came["account"]), (&json!(REGION), &json!(account)));
    let [came_at, at] = [came, event].map(|of| of["time"].as_str().unwrap().get(..19).unwrap());
    assert_eq!(came_at, at);
    let resources: Vec<_> = came["resources"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let named = entity(event);
    assert_eq!(resources, if named.is_empty() { Vec::new() } else { vec![named] });
}

async fn all_that_is_meant_arrives(aws: Aws) {
    let seed = given("EVENT_BRIDGE_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("EVENT_BRIDGE_SEED={seed}");
    let rule = aws.api.put_rule(BUS, "meant", &pattern()).await;
    assert_eq!(rule, aws.rule_arn("meant"));
    let queue = aws.api.queue_behind(BUS, "meant").await;
    let mut reader = aws.api.read_and_tell(&queue, aws.front.pace());
    aws.front.change(|state| state.script(faults(seed)));

    let [most, shown] = [EVENTS, seed].map(|number| number.to_string());
    let simulator = Simulator::start(&["--tls=false", "--rate", "5000", "--most", &most, "--seed", &shown]);
    let mut stream = stream(&simulator.url);
    stream["options"]["begin"] = "-24h".into();
    let options = json!({
        "aws_eventbridge_rule_arn": rule,
        "aws_rule_sync_interval": "1s",
        // A busy machine is none of the faults here: few calls at once, and time for each.
        "concurrency": "8",
        "timeout": "10s",
    });
    let journal = json!({ "type": "journal", "provider": "embedded", "options": { "max_bytes": "16GiB" } });
    let config = [stream, aws.processor(options), metrics(), journal];
    let folder = Arc::new(tempfile::tempdir().unwrap());
    std::fs::create_dir(folder.path().join("state")).unwrap();
    let router = Router::start_in(&folder, &config, &[], &[]).await;

    let mut judge = Judge::default();
    let all = async {
        let mut told = 0;
        loop {
            let happened = simulator.ledger(told).await;
            told += happened.len() as u64;
            happened.into_iter().for_each(|event| judge.happened(event));
            let stats = router.stats().await;
            let journal = &stats["vmware.event.router.journal"];
            let settled = journal["events"].as_u64() >= Some(told) && journal["undelivered"] == 0;
            if settled && simulator.all_happened(EVENTS, told).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let came = tokio::time::timeout(PATIENCE, all).await;
    assert!(came.is_ok(), "EVENT_BRIDGE_SEED={seed}: waited in vain: {:?}", aws.front.read(|s| format!("{s:?}")));
    router.stop().await;
    let taken = aws.front.read(|state| state.taken.clone());
    reader.wait_for_count(taken.len()).await;
    reader.emptied().await;

    let events = journaled(&folder, &config).await;
    events.iter().for_each(|event| judge.received(event.to_string().as_bytes()));
    let verdict = judge.verdict(true);
    assert!(verdict.mistakes == 0 && verdict.gaps == 0, "{:#?}", verdict.shown);
    let places: HashMap<_, _> =
        events.iter().enumerate().map(|(place, event)| (event["id"].as_str().unwrap(), (place, event))).collect();
    let meant: BTreeSet<_> = events.iter().filter(|event| is_meant(event)).map(|e| e["id"].as_str().unwrap()).collect();
    let (doomed, wanted): (BTreeSet<_>, BTreeSet<_>) = meant.iter().partition(|id| is_doomed(id));

    let mut often: HashMap<String, u64> = HashMap::new();
    for came in reader.events() {
        let id = came["detail"]["id"].as_str().unwrap();
        arrived_whole(&came, places[id].1, aws.account);
        *often.entry(id.to_owned()).or_default() += 1;
    }
    assert_eq!(often.keys().map(String::as_str).collect::<BTreeSet<_>>(), wanted);
    let letters = letters(&folder, &config).await;
    assert_eq!(letters.iter().map(|letter| letter["event_id"].as_str().unwrap()).collect::<BTreeSet<_>>(), doomed);
    assert!(letters.iter().all(|letter| letter["reason"].as_str().unwrap().contains("MalformedDetail")), "{letters:?}");

    in_order(&taken, &places);
    aws.front.read(|state| {
        let sent: HashSet<_> = state.puts.iter().flat_map(|put| &put.entries).map(|entry| entry.id.as_str()).collect();
        assert_eq!(sent, meant.iter().copied().collect(), "what no rule means is not sent");
        for (id, times) in &often {
            let lost = state.lost.get(id).copied().unwrap_or(0);
            assert_eq!(*times, lost + u64::from(state.accepted.contains(id)), "only what the router cannot know is sent again");
        }
        let together = state.puts.iter().map(|put| put.together).max();
        assert!(together <= Some(8));
        let repeated = often.values().filter(|times| **times > 1).count();
        let many = state.puts.iter().filter(|put| put.entries.len() > 1).count();
        let refused = state.puts.iter().flat_map(|put| &put.told).filter(|told| matches!(told, Told::Refused(_))).count();
        println!(
            "{} meant, {} calls, {many} of more than one, {repeated} events more than once, {refused} refusals, {together:?} at once",
            meant.len(),
            state.puts.len()
        );
        assert!(meant.len() as u64 > EVENTS / 8 && many > 20 && repeated > 0 && refused > doomed.len());
        for fault in
            ["ThrottlingException", "InternalFailure", "ServiceUnavailable", "ExpiredTokenException", "Entries", "Reset", "Silence"]
        {
            assert!(state.faults.keys().any(|name| name.starts_with(fault)), "{fault} did not happen");
        }
    });
    assert_eq!(aws.actions(), ["ListRules", "PutEvents"]);
}

#[tokio::test]
async fn all_that_is_meant_arrives_where_every_signature_is_checked() {
    all_that_is_meant_arrives(Aws::moto().await).await;
}

#[tokio::test]
async fn all_that_is_meant_arrives_where_another_chooses_as_well() {
    all_that_is_meant_arrives(Aws::localstack().await).await;
}
