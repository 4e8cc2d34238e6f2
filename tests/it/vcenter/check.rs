//! `check`: what it finds, and each failure with a message of its own that says what to do.

use std::time::{SystemTime, UNIX_EPOCH};

use url::Url;
use vmware_event_router::config::Secret;
use vmware_event_router::http::{Thumbprint, TlsOptions};
use vmware_event_router::report::{Report, Verdict};
use vmware_event_router::stream::EventStream as _;
use vmware_event_router::stream::vcenter::{Config, VCenter};

use crate::support::fault_soap::{FaultSoap, Reply};
use crate::support::stream::{config, timing, within};
use crate::support::vcsim::Vcsim;

async fn check(config: Config) -> Report {
    let mut report = Report::default();
    within("check", VCenter::new(Config { timing: timing(), ..config }).check(&mut report)).await;
    report
}

/// The one failure, which must be the last finding.
fn failure(report: &Report) -> &str {
    let failures: Vec<_> = report.findings.iter().filter(|(verdict, _)| *verdict == Verdict::Failure).collect();
    assert_eq!(failures.len(), 1, "{report:#?}");
    assert_eq!(report.findings.last().map(|(verdict, _)| *verdict), Some(Verdict::Failure), "{report:#?}");
    &failures[0].1
}

fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

#[tokio::test]
async fn all_is_well() {
    let vcsim = Vcsim::start(&[]);
    let report = check(config(&vcsim.url)).await;
    assert_eq!(report.verdict(), Verdict::Ok, "{report:#?}");
    let text = format!("{report:?}");
    assert_has(&text, &["TLSv1.3", "VirtualCenter", "build", "instance", "logged in as user", "clock", "can be read"]);
    assert!(!text.contains("p<a>&ss"), "no secret");
}

#[tokio::test]
async fn nobody_listens() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let report = check(config(&Url::parse(&format!("https://127.0.0.1:{port}/sdk")).unwrap())).await;
    assert_has(failure(&report), &["connection refused", "is vCenter running"]);
}

#[tokio::test]
async fn the_name_has_no_address() {
    let report = check(config(&Url::parse("https://vcenter.invalid/sdk").unwrap())).await;
    assert_has(failure(&report), &["vcenter.invalid", "cannot be resolved", "correct the address"]);
}

#[tokio::test]
async fn the_certificate_is_not_trusted_until_it_is_pinned() {
    let vcsim = Vcsim::start(&[]);
    let strict = Config { tls: TlsOptions::default(), ..config(&vcsim.url) };
    let report = check(strict.clone()).await;
    let text = failure(&report);
    assert_has(text, &["TLS failed", "root_cas", "pin it with thumbprint "]);
    let thumbprint = text.rsplit(' ').next().unwrap();
    let thumbprint = Some(Thumbprint::parse(thumbprint).unwrap());
    let pinned = Config { tls: TlsOptions { thumbprint, ..TlsOptions::default() }, ..strict.clone() };
    assert_eq!(check(pinned).await.verdict(), Verdict::Ok);
    let thumbprint = Some(Thumbprint::Sha256([1; 32]));
    let wrong = Config { tls: TlsOptions { thumbprint, ..TlsOptions::default() }, ..strict };
    assert_has(failure(&check(wrong).await), &["not the pinned one"]);
}

#[tokio::test]
async fn the_password_is_wrong() {
    let vcsim = Vcsim::start(&[]);
    let wrong = Config { password: Secret::literal("hunter2"), ..config(&vcsim.url) };
    let report = check(wrong).await;
    assert_has(failure(&report), &["refuses the user name or password", "locked"]);
    assert!(!format!("{report:?}").contains("hunter2"));
}

#[tokio::test]
async fn the_password_cannot_be_read() {
    let vcsim = Vcsim::start(&[]);
    let unset = Config { password: Secret::literal(""), ..config(&vcsim.url) };
    assert_has(failure(&check(unset).await), &["password cannot be read", "is empty"]);
}

#[tokio::test]
async fn it_is_a_host_and_no_vcenter() {
    let vcsim = Vcsim::start(&["-esx"]);
    assert_has(failure(&check(config(&vcsim.url)).await), &["no vCenter Server", "not of a host"]);
}

#[tokio::test]
async fn a_privilege_is_missing() {
    let fake = FaultSoap::start().await;
    fake.state().now = now();
    fake.state().lacking = vec!["System.Read"];
    let report = check(config(&fake.url)).await;
    assert_has(failure(&report), &["lacks System.Read", "role Read-only", "docs/operations.md"]);
    fake.state().lacking.clear();
    fake.script("ReadNextEvents", Reply::Fault("NoPermission"));
    assert_has(failure(&check(config(&fake.url)).await), &["may not read events", "role Read-only"]);
    fake.script("CreateCollectorForEvents", Reply::Fault("InvalidState"));
    assert_has(failure(&check(config(&fake.url)).await), &["no collector to spare", "event.maxCollectors"]);
    assert_eq!(fake.open(), (0, 0, 0), "nothing is left behind");
}

#[tokio::test]
async fn the_clock_is_wrong() {
    let fake = FaultSoap::start().await;
    fake.state().now = now() - 10_000_000;
    let report = check(config(&fake.url)).await;
    let warnings: Vec<_> = report
        .findings
        .iter()
        .filter(|(verdict, text)| *verdict == Verdict::Warning && text.contains("clock"))
        .collect();
    assert_eq!(warnings.len(), 1, "{report:#?}");
    assert_has(&warnings[0].1, &["behind this machine's", "NTP"]);
    fake.state().now = now() + 301_000_000;
    let report = check(config(&fake.url)).await;
    let failures: Vec<_> = report.findings.iter().filter(|(verdict, _)| *verdict == Verdict::Failure).collect();
    assert_eq!(failures.len(), 1, "{report:#?}");
    assert_has(&failures[0].1, &["ahead of this machine's", "NTP"]);
}

#[tokio::test]
async fn vcenter_is_starting() {
    let fake = FaultSoap::start().await;
    let starting = Reply::Raw { status: 503, kind: "text/html", body: b"<html>no healthy upstream".to_vec() };
    fake.script("RetrieveServiceContent", starting);
    assert_has(failure(&check(config(&fake.url)).await), &["503", "wait until it has started"]);
}
