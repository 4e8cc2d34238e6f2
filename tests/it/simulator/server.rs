//! The simulated vCenter, as clients that are not ours and the router's own stream see it.

use std::net::SocketAddr;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;
use vmware_event_router::simulator::vcenter::{Options, Rate, Server, Tls};

use crate::support::govc::{govc, govc_json};
use crate::support::soap::SoapClient;
use crate::support::stream::{Running, assert_no_twins, config, keys, timing, within};
use crate::support::vcsim::{PASSWORD, USER};

/// A simulated vCenter that runs.
struct Simulated {
    url: Url,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// On a port that the system chooses, with the user that tests have, and nothing that happens by itself.
fn options() -> Options {
    Options {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        username: USER.to_owned(),
        password: PASSWORD.to_owned(),
        rate: Rate::PerSecond(0.0),
        ..Options::default()
    }
}

impl Simulated {
    async fn start(options: Options) -> Self {
        let server = Server::start(options).await.unwrap();
        let url = Url::parse(&server.url()).unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.run(stop.clone()));
        Self { url, stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        within("the simulator ends", self.task).await.unwrap();
    }
}

async fn run_govc(url: &Url, args: &'static [&'static str]) -> String {
    let url = url.clone();
    tokio::task::spawn_blocking(move || govc(&url, args)).await.unwrap()
}

#[tokio::test]
async fn govc_sees_a_vcenter() {
    let simulated = Simulated::start(Options { past: 50, ..options() }).await;
    let about = govc_json(&simulated.url, &["about", "-json"]).await;
    assert_eq!(about["about"]["apiType"], "VirtualCenter");
    assert_eq!(about["about"]["apiVersion"], "8.0.3.0");
    let listed = run_govc(&simulated.url, &["session.ls"]).await;
    assert!(listed.contains(USER) && listed.contains("127.0.0.1"), "{listed}");
    let events = run_govc(&simulated.url, &["events", "-n", "20"]).await;
    assert!(events.lines().count() >= 10, "{events}");
    simulated.stop().await;
}

#[tokio::test]
async fn govc_ends_the_session_of_another() {
    let simulated = Simulated::start(Options { tls: Tls::Off, ..options() }).await;
    let mut other = SoapClient::login(&simulated.url).await.unwrap();
    let listed = govc_json(&simulated.url, &["session.ls", "-json"]).await;
    let sessions = listed["sessionList"].as_array().unwrap().clone();
    assert_eq!(sessions.len(), 2, "{listed}");
    let of = |session: &serde_json::Value, name: &str| session[name].as_str().unwrap_or_default().to_owned();
    let other_key = sessions.iter().find(|session| !of(session, "userAgent").starts_with("govc")).unwrap();
    let (url, key) = (simulated.url.clone(), of(other_key, "key"));
    tokio::task::spawn_blocking(move || govc(&url, &["session.rm", &key])).await.unwrap();
    let error = other.post("gone").await.unwrap_err();
    assert!(error.contains("NotAuthenticated"), "{error}");
    simulated.stop().await;
}

#[tokio::test]
async fn the_stream_reads_every_event_once_and_in_order() {
    const EVENTS: u64 = 20_000;
    let simulated = Simulated::start(Options { rate: Rate::AsRead, most: Some(EVENTS), ..options() }).await;
    let mut running = Running::start(config(&simulated.url), timing()).await;
    let mut count = 0;
    running
        .read_until(|_| {
            count += 1;
            count >= EVENTS
        })
        .await;
    running.read_until_quiet().await;
    let events = running.stop().await;
    assert_no_twins(&events);
    let keys = keys(&events);
    assert!(keys.windows(2).all(|pair| pair[0] + 1 == pair[1]), "a key is missing, or out of order");
    simulated.stop().await;
}
