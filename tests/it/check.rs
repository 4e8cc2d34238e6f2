//! `check` as its users run it: what it prints, and its exit code. Each failure has a message of its own.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use url::Url;

use crate::support::fault_soap::FaultSoap;
use crate::support::gateway::{self, Function, Gateway};
use crate::support::router::{command, metrics, processor, run_with, stream};
use crate::support::vcsim::{PASSWORD, Vcsim};

async fn gateway() -> Gateway {
    Gateway::start([Function::subscribed("echo", "VmPoweredOnEvent")]).await
}

/// Runs it, and gives its one failure and all that it printed.
async fn failure(config: &[Value]) -> (String, String) {
    let (code, text) = run_with(&["check"], config, &[]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.ends_with("\nit does not work\n"), "{text}");
    assert!(!text.contains(PASSWORD), "{text}");
    let failures: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("  FAILURE  ")).collect();
    assert_eq!(failures.len(), 1, "{text}");
    (failures[0].to_owned(), text.clone())
}

/// A failure of the stream alone, with all of these in its message.
async fn stream_fails(entry: Value, parts: &[&str]) -> String {
    let gateway = gateway().await;
    let (failure, text) = failure(&[entry, processor(&gateway, &json!({})), metrics()]).await;
    for part in parts {
        assert!(failure.contains(part), "{part:?} in {failure}");
    }
    assert!(text.contains("echo <- VmPoweredOnEvent"), "the gateway was looked at all the same: {text}");
    failure
}

fn closed_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

async fn fake_vcenter() -> FaultSoap {
    let fake = FaultSoap::start().await;
    fake.state().now = now();
    fake
}

#[tokio::test]
async fn all_is_well() {
    let (vcsim, gateway) = (Vcsim::start(&[]), gateway().await);
    let config = [stream(&vcsim.url), processor(&gateway, &json!({})), metrics()];
    let (code, text) = run_with(&["check"], &config, &[]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.ends_with("\nall is well\n"), "{text}");
    for part in [
        "1 stream, 1 processor",
        &format!(", {}\n", vcsim.url),
        "TLSv1.3",
        "logged in as user",
        "vCenter's clock is ",
        "events can be read",
        &format!(", {}\n", Url::parse(&gateway.url()).unwrap()),
        "accepts the password",
        "1 function, 1 of them subscribed",
        "echo <- VmPoweredOnEvent",
        "\njournal\n",
        "events wait in ",
        "it may grow to 1024 MiB, and its disk has ",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert!(!text.contains(PASSWORD) && !text.contains(gateway::PASSWORD), "{text}");
    assert!(!text.contains("WARNING") && !text.contains("FAILURE"), "{text}");
}

#[tokio::test]
async fn a_name_without_an_address() {
    let url = Url::parse("https://vcenter.invalid/sdk").unwrap();
    stream_fails(stream(&url), &["vcenter.invalid: the name cannot be resolved", "correct the address"]).await;
}

#[tokio::test]
async fn nobody_listens() {
    let url = format!("https://127.0.0.1:{}/sdk", closed_port());
    let entry = stream(&Url::parse(&url).unwrap());
    stream_fails(entry, &[&format!("{url}: connection refused"), "is vCenter running"]).await;
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_until_it_is_pinned() {
    let vcsim = Vcsim::start(&[]);
    let mut entry = stream(&vcsim.url);
    entry["options"] = json!({});
    let parts = ["TLS failed", "an authority's own", "root_cas", "pin it with thumbprint "];
    let told = stream_fails(entry.clone(), &parts).await;
    let thumbprint = told.rsplit(' ').next().unwrap();
    entry["options"] = json!({ "thumbprint": thumbprint });
    let gateway = gateway().await;
    let (code, text) = run_with(&["check"], &[entry.clone(), processor(&gateway, &json!({})), metrics()], &[]).await;
    assert_eq!(code, Some(0), "{text}");
    entry["options"] = json!({ "thumbprint": "00:".repeat(31) + "00" });
    stream_fails(entry, &["TLS failed", "not the pinned one", thumbprint]).await;
}

#[tokio::test]
async fn a_wrong_password() {
    let vcsim = Vcsim::start(&[]);
    let mut entry = stream(&vcsim.url);
    entry["auth"]["secret"]["password"] = json!("hunter2");
    let told = stream_fails(entry, &["vCenter refuses the user name or password", "locked"]).await;
    assert!(!told.contains("hunter2"));
}

#[tokio::test]
async fn a_missing_privilege() {
    let fake = fake_vcenter().await;
    fake.state().lacking = vec!["System.View"];
    stream_fails(stream(&fake.url), &["lacks System.View", "role Read-only", "docs/operations.md"]).await;
}

#[tokio::test]
async fn a_clock_that_is_wrong() {
    let fake = fake_vcenter().await;
    fake.state().now = now() + 3_600_000_000;
    stream_fails(stream(&fake.url), &["ahead of this machine's", "NTP"]).await;
    fake.state().now = now() - 20_000_000;
    let gateway = gateway().await;
    let config = [stream(&fake.url), processor(&gateway, &json!({})), metrics()];
    let (code, text) = run_with(&["check"], &config, &[]).await;
    assert_eq!(code, Some(0), "twenty seconds are a warning: {text}");
    let told = text.lines().any(|line| line.starts_with("  WARNING  ") && line.contains("behind this machine's"));
    assert!(told && text.ends_with("\nit works, with warnings\n"), "{text}");
}

#[tokio::test]
async fn a_gateway_that_does_not_take_the_password() {
    let (vcsim, gateway) = (Vcsim::start(&[]), gateway().await);
    gateway.change(|state| state.password = "another".to_owned());
    let (told, text) = failure(&[stream(&vcsim.url), processor(&gateway, &json!({})), metrics()]).await;
    assert!(told.contains("401") && told.contains("user name and password under \"auth\""), "{told}");
    assert!(text.contains("events can be read"), "{text}");
}

#[tokio::test]
async fn no_function_subscribes() {
    let vcsim = Vcsim::start(&[]);
    let gateway = Gateway::start([Function::new("deaf")]).await;
    let (told, _) = failure(&[stream(&vcsim.url), processor(&gateway, &json!({})), metrics()]).await;
    assert!(told.contains("no function subscribes") && told.contains("faas-cli deploy"), "{told}");
}

#[tokio::test]
async fn each_failure_is_told_when_there_are_several() {
    let gateway = gateway().await;
    let other = json!({
        "type": "processor", "provider": "openfaas", "name": "gone", "address": format!("http://127.0.0.1:{}", closed_port()),
        "auth": { "method": "basic_auth", "secret": { "username": "a", "password": "b" } },
    });
    let url = Url::parse(&format!("https://127.0.0.1:{}/sdk", closed_port())).unwrap();
    let config = [stream(&url), other, processor(&gateway, &json!({})), metrics()];
    let (code, text) = run_with(&["check"], &config, &[]).await;
    assert_eq!(code, Some(1), "{text}");
    assert_eq!(text.matches("  FAILURE  ").count(), 2, "{text}");
    assert!(text.contains("is the gateway running") && text.contains("echo <- VmPoweredOnEvent"), "{text}");
}

/// As in `vmware-event-router check | head -1`.
#[tokio::test]
async fn a_reader_that_goes_away_is_no_panic() {
    let fake = fake_vcenter().await;
    let gateway = gateway().await;
    let folder = tempfile::tempdir().unwrap();
    let config = [stream(&fake.url), processor(&gateway, &json!({})), metrics()];
    let mut command = command(&folder, &config, &[]);
    let (reader, writer) = std::io::pipe().unwrap();
    // Before anything is written: later would be a race.
    drop(reader);
    command.arg("check").stdout(writer);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!error.contains("panicked"), "{error}");
    assert_eq!(output.status.code(), Some(1), "what nobody could read has not been said: {error}");
}
