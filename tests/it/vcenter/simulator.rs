//! Against vcsim: everything arrives once and in order, whatever happens to the simulator.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::support::govc::govc_json;
use crate::support::soap::SoapClient;
use crate::support::stream::{Running, assert_no_twins, config, keys, member, timing, within};
use crate::support::vcsim::Vcsim;

const POSTERS: usize = 4;
const EACH: usize = 2_500;

/// vcsim forgets what is more than 1,000 events old, so that a test must not be that far ahead.
const AHEAD: usize = 800;

#[tokio::test]
async fn ten_thousand_events_over_four_connections_arrive_once_and_in_order() {
    let vcsim = Vcsim::start(&[]);
    let mut running = Running::start(config(&vcsim.url), timing()).await;
    running.streaming().await;
    let ahead = Arc::new(Semaphore::new(AHEAD));
    for poster in 0..POSTERS {
        let (url, ahead) = (vcsim.url.clone(), Arc::clone(&ahead));
        tokio::spawn(async move {
            let mut client = SoapClient::login(&url).await.unwrap();
            for i in 0..EACH {
                ahead.acquire().await.unwrap().forget();
                client.post(&format!("{poster}/{i}")).await.unwrap();
            }
        });
    }
    let mut left = POSTERS * EACH;
    running
        .read_until(|event| {
            if event.subject() == "GeneralUserEvent" {
                left -= 1;
                ahead.add_permits(1);
            }
            left == 0
        })
        .await;
    let events = running.stop().await;
    assert_no_twins(&events);
    let keys = keys(&events);
    assert!(keys.windows(2).all(|pair| pair[1] == pair[0] + 1), "vCenter's order, and none is missing");
    let mut next = [0; POSTERS];
    for event in events.iter().filter(|event| event.subject() == "GeneralUserEvent") {
        let message = member(event, "Message");
        let (poster, i) = message.as_str().unwrap().split_once('/').unwrap();
        let next = &mut next[poster.parse::<usize>().unwrap()];
        assert_eq!(i.parse(), Ok(*next), "each poster's order");
        *next += 1;
    }
    assert_eq!(next, [EACH; POSTERS]);
}

#[tokio::test]
async fn what_happens_to_virtual_machines_arrives_as_govc_shows_it() {
    let vcsim = Vcsim::start(&[]);
    let mut running = Running::start(config(&vcsim.url), timing()).await;
    running.streaming().await;
    for command in [
        &["vm.power", "-off", "DC0_H0_VM0"][..],
        &[
            "vm.clone",
            "-vm",
            "DC0_H0_VM0",
            "-on=false",
            "-pool",
            "/DC0/host/DC0_H0/Resources",
            "-ds",
            "LocalDS_0",
            "twin",
        ],
        &["vm.power", "-on", "twin"],
        &["vm.power", "-suspend", "twin"],
        &["vm.destroy", "twin"],
    ] {
        let (url, command) = (vcsim.url.clone(), command.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>());
        let done = tokio::task::spawn_blocking(move || {
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            crate::support::govc::govc(&url, &command);
        });
        done.await.unwrap();
    }
    let shown = govc_json(&vcsim.url, &["events", "-json", "-l", "-n", "1000"]).await;
    let newest = shown.as_array().unwrap().iter().map(|event| event["key"].as_i64().unwrap()).max().unwrap();
    running.read_until(|event| event.key().is_some_and(|key| i64::from(key) >= newest)).await;
    let events = running.stop().await;
    let first = i64::from(events[0].key().unwrap());
    let shown: Vec<_> = shown
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["key"].as_i64().unwrap() >= first)
        .map(|event| (event["key"].as_i64().unwrap(), event["type"].as_str().unwrap(), event["createdTime"].clone()))
        .collect();
    let read: Vec<_> = events
        .iter()
        .filter(|event| i64::from(event.key().unwrap()) <= newest)
        .map(|event| (i64::from(event.key().unwrap()), event.subject(), member(event, "CreatedTime")))
        .collect();
    assert_eq!(read, shown);
    for subject in ["VmPoweredOffEvent", "VmClonedEvent", "VmPoweredOnEvent", "VmSuspendedEvent", "VmRemovedEvent"] {
        assert!(read.iter().any(|(_, found, _)| *found == subject), "{subject}");
    }
    let cloned = events.iter().find(|event| event.subject() == "VmClonedEvent").unwrap();
    assert!(cloned.entity().starts_with("VirtualMachine:vm-"), "{}", cloned.entity());
}

#[tokio::test]
async fn killed_simulators_and_ended_sessions_lose_nothing_that_the_simulator_still_has() {
    let mut vcsim = Vcsim::start(&[]);
    let mut running = Running::start(config(&vcsim.url), timing()).await;
    running.streaming().await;
    let mut posted = 0;
    for round in 0..6 {
        // Both at random moments: somewhere among events that are posted meanwhile.
        let mut client = within("vcsim answers", async {
            loop {
                if let Ok(client) = SoapClient::login(&vcsim.url).await {
                    return client;
                }
            }
        })
        .await;
        let before = fastrand::usize(1..200);
        let after = fastrand::usize(1..200);
        for _ in 0..before {
            client.post(&format!("m{posted}")).await.unwrap();
            posted += 1;
        }
        if round % 2 == 0 {
            let sessions = govc_json(&vcsim.url, &["session.ls", "-json"]).await;
            let sessions = sessions["sessionList"].as_array().unwrap();
            let ours: Vec<_> = sessions
                .iter()
                .filter(|session| session["userAgent"].as_str().unwrap_or_default().starts_with("vmware-event-router/"))
                .collect();
            let all = !ours.is_empty();
            for session in ours {
                let key = session["key"].as_str().unwrap().to_owned();
                let url = vcsim.url.clone();
                let done = tokio::task::spawn_blocking(move || crate::support::govc::govc(&url, &["session.rm", &key]));
                done.await.unwrap();
            }
            assert!(all || round > 0, "the router's session is known by its user agent");
            for _ in 0..after {
                client.post(&format!("m{posted}")).await.unwrap();
                posted += 1;
            }
            let last = format!("m{}", posted - 1);
            running.read_until(|event| member(event, "Message") == last.as_str()).await;
        } else {
            let restarted = tokio::task::spawn_blocking(move || {
                vcsim.restart();
                vcsim
            });
            vcsim = restarted.await.unwrap();
        }
    }
    let mut client = SoapClient::login(&vcsim.url).await.unwrap();
    client.post("the last").await.unwrap();
    running.read_until(|event| member(event, "Message") == "the last").await;
    let has = client.all_events().await.unwrap();
    // A simulator that is killed before the stream has come back to the one before costs no login of its own.
    assert!(running.status.reconnects_total() >= 4, "{}", running.status.reconnects_total());
    let events = running.stop().await;
    assert_no_twins(&events);
    let read: HashSet<(i32, String)> =
        events.iter().filter_map(|event| Some((event.key()?, event.time().to_owned()))).collect();
    let missing: Vec<_> = has.iter().filter(|event| !read.contains(*event)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
