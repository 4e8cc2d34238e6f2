//! What `check` finds at a gateway.

use std::collections::BTreeSet;

use http::StatusCode;

use super::lookup::{Gateway, LookupError, Problem};
use super::{Config, one_line};
use crate::http::{HttpErrorKind, inspect_tls};
use crate::report::Report;

/// How many subscriptions are shown one by one.
const MOST_SHOWN: usize = 200;

/// Looks, and reports.
pub(super) async fn check(gateway: &Gateway, config: &Config, report: &mut Report) {
    let base = gateway.base();
    if config.tls.insecure && config.address.scheme() == "https" {
        report.warn(format!("{base}: any certificate is trusted, since \"insecure\" is set"));
    }
    let listing = match gateway.list().await {
        Ok(listing) => listing,
        Err(error) => {
            report.fail(advice(base, &error));
            return;
        }
    };
    let versions = gateway.versions().await.map(|versions| format!(" ({versions})")).unwrap_or_default();
    // A gateway behind a proxy cannot be looked at directly; its lookups have just shown that TLS works.
    let tls = match config.address.scheme() {
        "https" => inspect_tls(&config.address).await.ok().map(|facts| format!(", {}", facts.version)),
        _ => None,
    };
    report.ok(format!("{base} answers and accepts the password{versions}{}", tls.unwrap_or_default()));
    missing_namespaces(gateway, report).await;

    let subscribed = listing.iter().filter(|(_, topics)| !topics.is_empty()).count();
    let functions = if listing.len() == 1 { "function" } else { "functions" };
    report.ok(format!("{} {functions}, {subscribed} of them subscribed", listing.len()));
    for (name, topics) in listing.iter().filter(|(_, topics)| !topics.is_empty()).take(MOST_SHOWN) {
        let topics: Vec<_> = topics.iter().map(|topic| one_line(topic)).collect();
        report.ok(format!("{} <- {}", one_line(name), topics.join(", ")));
    }
    if subscribed > MOST_SHOWN {
        report.ok(format!("and {} more", subscribed - MOST_SHOWN));
    }
    if subscribed == 0 {
        let annotation = gateway.annotation();
        report.fail(format!(
            "no function subscribes to any event: deploy one with the annotation \
             \"{annotation}: VmPoweredOnEvent\" (faas-cli deploy --annotation {annotation}=VmPoweredOnEvent)"
        ));
    }
}

/// A namespace that is configured and not there looks like one without functions.
async fn missing_namespaces(gateway: &Gateway, report: &mut Report) {
    let configured = gateway.configured_namespaces();
    if configured.is_empty() {
        return;
    }
    let known: BTreeSet<_> = gateway.namespaces().await.unwrap_or_default().into_iter().collect();
    for namespace in configured.iter().filter(|namespace| !known.is_empty() && !known.contains(*namespace)) {
        report.warn(format!("the gateway has no namespace {namespace}, which \"namespaces\" names"));
    }
}

/// What happened, and what to do.
fn advice(base: &str, error: &LookupError) -> String {
    let hint = match &error.problem {
        Problem::Secret(_) => "set the user name and password under \"auth\"",
        Problem::Status(StatusCode::UNAUTHORIZED, _) => {
            "set the gateway's user name and password under \"auth\" (secret basic-auth in namespace openfaas)"
        }
        Problem::Status(StatusCode::FORBIDDEN, _) => {
            "this user may not list functions: use the gateway's administrator"
        }
        Problem::Status(StatusCode::NOT_FOUND, _) => "this is no OpenFaaS gateway: set its URL as \"address\"",
        Problem::Status(StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT, _) => {
            "the gateway's provider does not answer: look at its log"
        }
        Problem::Status(..) => "look at the gateway's log",
        Problem::Nonsense(_) => "is \"address\" the URL of an OpenFaaS gateway?",
        Problem::Http(http) => match http.kind {
            HttpErrorKind::Dns => "correct the host name in \"address\", or the name server",
            HttpErrorKind::Refused => "is the gateway running, and is the port in \"address\" right?",
            HttpErrorKind::Unreachable => "is there a route, or does a firewall refuse?",
            HttpErrorKind::Reset => "look at the gateway's log: it does this while its Prometheus cannot be reached",
            HttpErrorKind::Tls => "give the gateway's CA as \"root_cas\", or use http:// if it speaks no TLS",
            HttpErrorKind::Timeout => "is the host up, or does a firewall drop what is sent to it?",
            HttpErrorKind::TooLarge => "there are more functions than one list may hold: set \"namespaces\"",
            HttpErrorKind::Proxy => "look at HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
            HttpErrorKind::Protocol => "is \"address\" the URL of an OpenFaaS gateway, http or https as it should be?",
        },
    };
    format!("{base}: {error}; {hint}")
}
