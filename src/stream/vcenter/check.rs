//! What `check` finds out about a vCenter. Each failure says what to do.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::VCenter;
use super::collector::PAGE;
use super::session::{Session, format_time, greet};
use super::takeover;
use super::timing::micros;
use super::wire::CallError;
use crate::http::{HttpErrorKind, inspect_tls};
use crate::report::Report;
use crate::vim25::soap::{AnswerError, Call, open_answer};

/// Clocks may differ by less than this.
const CLOCK_WARNING: i64 = 5_000_000;
/// Clocks that differ by this much are broken.
const CLOCK_FAILURE: i64 = 300_000_000;

/// What the role Read-only has.
const PRIVILEGES: [&str; 2] = ["System.View", "System.Read"];

pub(super) async fn check(stream: &mut VCenter, report: &mut Report) {
    let address = &stream.config.address;
    if address.scheme() == "https" {
        match inspect_tls(address).await {
            Ok(facts) => report.ok(format!("{} with the certificate {}", facts.version, facts.thumbprint)),
            // The call below says the same in more words.
            Err(error) => tracing::debug!(%error, "TLS cannot be looked at"),
        }
    } else {
        report.warn(format!("{address} is not encrypted: the password travels in the clear; use https"));
    }
    if let Some(folder) = &stream.config.checkpoint_dir {
        let host = takeover::host(&stream.config.source);
        match takeover::read(folder, host) {
            Ok(Some(taken)) => report.ok(format!(
                "without a checkpoint of its own, it goes on behind event {} of {}, as {} says",
                taken.last.0,
                format_time(taken.last.1),
                taken.path.display()
            )),
            Ok(None) => report.warn(format!(
                "{} holds no checkpoint of {host}: without one of its own, the stream begins where begin says",
                folder.display()
            )),
            Err(why) => report.fail(why),
        }
    }
    let greeting = match greet(&stream.wire, stream.wanted_version(), &stream.timing).await {
        Ok(greeting) => greeting,
        Err(error) => return report.fail(explain(stream, &error).await),
    };
    let content = greeting.content.clone();
    report.ok(format!("{}; instance {}", content.about(), content.instance));
    if content.api_type != "VirtualCenter" || content.event_manager.is_none() {
        report.fail(format!("{address} is no vCenter Server: give the address of a vCenter, not of a host"));
        return;
    }
    let secrets = stream.config.username.read().and_then(|user| Ok((user, stream.config.password.read()?)));
    let (username, password) = match secrets {
        Ok(secrets) => secrets,
        Err(error) => return report.fail(format!("the user name or password cannot be read: {error}")),
    };
    let login =
        Session::login(Arc::clone(&stream.wire), greeting, username.expose(), password.expose(), stream.timing).await;
    let session = match login {
        Ok(session) => Arc::new(session),
        Err(error) => return report.fail(explain(stream, &error).await),
    };
    stream.session = Some(Arc::clone(&session));
    report.ok(format!("logged in as {}", username.expose()));
    check_clock(&session, report).await;
    check_privileges(stream, &session, report).await;
}

/// What a failed call means, and what to do.
async fn explain(stream: &VCenter, error: &CallError) -> String {
    let address = &stream.config.address;
    let host = address.host_str().unwrap_or_default();
    match error {
        CallError::Http(http) => match http.kind {
            HttpErrorKind::Dns => format!("{host}: {http}; correct the address, or the name service of this machine"),
            HttpErrorKind::Refused => {
                format!("{address}: {http}; is vCenter running, and is the port right?")
            }
            HttpErrorKind::Unreachable | HttpErrorKind::Timeout => {
                format!("{address}: {http}; is there a firewall in between, or a proxy to be set in HTTPS_PROXY?")
            }
            HttpErrorKind::Tls => {
                let pin = match inspect_tls(address).await {
                    Ok(facts) => format!("pin it with thumbprint {}", facts.thumbprint),
                    Err(_) => "pin it with thumbprint".to_owned(),
                };
                format!("{address}: {http}; if this is your vCenter, name its CA in root_cas, or {pin}")
            }
            HttpErrorKind::Proxy => format!("{address}: {http}; check HTTPS_PROXY and NO_PROXY"),
            _ => format!("{address}: {http}; is this the address of a vCenter?"),
        },
        CallError::Fault { fault, .. } => match fault.kind.as_str() {
            "InvalidLogin" => {
                "vCenter refuses the user name or password: correct them (user@domain, such as router@vsphere.local); \
                 after several tries the account may be locked for a while"
                    .to_owned()
            }
            "NoPermission" => {
                "this user may not log in: give it a role on the vCenter, see docs/operations.md".to_owned()
            }
            _ => format!("{address}: {error}; see vCenter's own log"),
        },
        CallError::Status { .. } => format!("{address}: {error}; wait until it has started, or correct the address"),
        CallError::Answer { .. } => format!("{address}: {error}; is this the address of a vCenter, ending in /sdk?"),
    }
}

async fn check_clock(session: &Session, report: &mut Report) {
    let asked = Instant::now();
    let server = match session.current_time().await {
        Ok(server) => server,
        Err(error) => return report.fail(format!("vCenter does not tell its time: {error}; see vCenter's own log")),
    };
    let trip = asked.elapsed() / 2;
    let own = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(trip);
    let difference = server.saturating_sub(micros(own));
    let seconds = difference.unsigned_abs() as f64 / 1e6;
    let which = if difference > 0 { "ahead of" } else { "behind" };
    let text = format!("vCenter's clock is {seconds:.1} s {which} this machine's");
    match difference.saturating_abs() {
        ..CLOCK_WARNING => report.ok(text),
        CLOCK_WARNING..CLOCK_FAILURE => report.warn(format!("{text}; have both use NTP")),
        _ => report.fail(format!("{text}; set the wrong one right and have both use NTP")),
    }
}

async fn check_privileges(stream: &VCenter, session: &Arc<Session>, report: &mut Report) {
    let missing = match missing_privileges(session).await {
        Ok(missing) => missing,
        Err(error) => {
            // Only a hint: reading, below, is the proof.
            tracing::debug!(%error, "privileges cannot be asked for");
            Vec::new()
        }
    };
    if !missing.is_empty() {
        report.fail(format!(
            "this user lacks {} on the vCenter itself: give it the role Read-only there, with propagation to children; \
             see docs/operations.md",
            missing.join(" and ")
        ));
        return;
    }
    let read = async {
        let now = session.current_time().await?;
        let collector = session.create_collector(now.saturating_sub(60_000_000), None, &stream.types).await?;
        let body = session.read_next(&collector, PAGE).await?;
        open_answer(&body).map(drop).map_err(|error| CallError::of_answer("ReadNextEvents", error))?;
        session.destroy(&collector).await
    };
    match read.await {
        Ok(()) => report.ok("events can be read"),
        Err(error) => match error.fault() {
            Some("NoPermission") => report.fail(format!(
                "this user may not read events ({error}): give it the role Read-only on the vCenter itself, with \
                 propagation to children; see docs/operations.md"
            )),
            Some("InvalidState") => report.fail(format!(
                "vCenter has no collector to spare ({error}): end sessions that leave theirs behind, or raise \
                 event.maxCollectors"
            )),
            Some("InvalidArgument") => {
                report.fail(format!("vCenter does not take the filter ({error}): correct event_types"));
            }
            _ => report.fail(format!("events cannot be read: {error}; see vCenter's own log")),
        },
    }
}

/// Which of the needed privileges the user lacks on the root folder.
async fn missing_privileges(session: &Session) -> Result<Vec<&'static str>, CallError> {
    let Some(manager) = &session.content.authorization_manager else { return Ok(Vec::new()) };
    let mut call = Call::new("HasPrivilegeOnEntities", manager)
        .reference("entity", &session.content.root_folder)
        .text("sessionId", &session.key);
    for privilege in PRIVILEGES {
        call = call.text("privId", privilege);
    }
    let granted = session.ask(call, read_privileges).await?;
    let lacks = |name: &&str| granted.iter().any(|(privilege, granted)| privilege == name && !granted);
    Ok(PRIVILEGES.into_iter().filter(lacks).collect())
}

/// Reads `returnval/privAvailability/{privId, isGranted}`.
fn read_privileges(body: &[u8]) -> Result<Vec<(String, bool)>, AnswerError> {
    let mut reader = open_answer(body)?;
    let mut privileges = Vec::new();
    while reader.child()?.is_some() {
        while let Some(name) = reader.child()? {
            if name != "privAvailability" {
                reader.skip_element()?;
                continue;
            }
            let (mut privilege, mut granted) = (String::new(), true);
            while let Some(name) = reader.child()? {
                match name {
                    "privId" => privilege = reader.text_of_element()?.into_owned(),
                    "isGranted" => granted = matches!(reader.text_of_element()?.trim(), "true" | "1"),
                    _ => reader.skip_element()?,
                }
            }
            privileges.push((privilege, granted));
        }
    }
    Ok(privileges)
}
