//! Credentials that AWS refuses, that change while the router runs, and that come from elsewhere. Nothing is lost by it.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Aws, BUS, allows, between, by_default_chain, documented, letters, of_subjects, ready, readyz, told};
use crate::support::aws_api::{Key, Session};
use crate::support::aws_credentials::{Container, Machine};
use crate::support::aws_front::{Fault, Front};
use crate::support::router::Router;
use crate::support::simulator::{Simulated, quiet};

const ON: &str = "VmPoweredOnEvent";

fn write_profile(path: &Path, key: &Key) {
    let profile = format!("[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n", key.id, key.secret);
    // At once: the router may be reading it.
    let new = path.with_extension("new");
    std::fs::write(&new, profile).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// A rule for what is powered on, and the options that name it.
async fn rule(aws: &Aws) -> Value {
    aws.api.put_rule(BUS, "on", &of_subjects(&[ON])).await;
    json!({ "aws_eventbridge_rule_arn": aws.rule_arn("on"), "aws_rule_sync_interval": "1s" })
}

#[tokio::test]
async fn a_key_that_is_refused_loses_nothing_and_is_read_again() {
    let aws = Aws::moto().await;
    let options = rule(&aws).await;
    let mut reader = aws.api.read(&aws.api.queue_behind(BUS, "on").await);
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let profile = folder.path().join("credentials");
    let wrong = Key { secret: "not-the-secret".to_owned(), ..aws.key.clone() };
    write_profile(&profile, &wrong);
    let none = folder.path().join("none");
    let env = [
        ("AWS_SHARED_CREDENTIALS_FILE", profile.to_str().unwrap()),
        ("AWS_CONFIG_FILE", none.to_str().unwrap()),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let simulated = Simulated::start(quiet()).await;
    let config = between(&simulated, by_default_chain(aws.processor(options)));
    let mut router = Router::start_in(&folder, &config, &["-log-level", "debug"], &env).await;

    // At the start: a wrong secret, a key of nobody's, one that may do nothing.
    told(&mut router, "InvalidSignatureException; correct aws_secret_access_key, or this machine's clock").await;
    told(&mut router, "connected").await;
    simulated.handle.make(ON, 3).unwrap();
    router.stats_when(|stats| stats["vmware.event.router.journal"]["undelivered"].as_u64() >= Some(3)).await;
    let (is_ready, why) = readyz(&router).await;
    assert!(!is_ready && why.contains("InvalidSignatureException") && !why.contains(&wrong.secret), "{why}");
    write_profile(&profile, &Key::unknown());
    told(&mut router, "UnrecognizedClientException; correct the access key").await;
    let idle = aws.api.create_user("idle", &allows(&["sqs:ListQueues"])).await;
    write_profile(&profile, &idle);
    told(&mut router, "AccessDeniedException").await;
    told(&mut router, "; allow it in the policy of this user or role").await;

    // A permission comes, the other is missing still: events wait for it.
    aws.api.put_policy("idle", &allows(&["events:ListRules"])).await;
    told(&mut router, "not answering: its events wait").await;
    aws.front.wait_for_more("PutEvents", 2).await;
    assert_eq!((reader.ids().len(), letters(&folder, &config).await.len()), (0, 0));
    aws.api.put_policy("idle", &documented()).await;
    reader.wait_for_count(3).await;
    told(&mut router, "answering again").await;
    ready(&router).await;

    // Later the key goes, and another comes.
    let next = aws.api.create_key("idle").await;
    aws.api.delete_key("idle", &idle).await;
    simulated.handle.make(ON, 2).unwrap();
    aws.front.wait_for_more("PutEvents", 2).await;
    write_profile(&profile, &next);
    reader.wait_for_count(5).await;
    router.stats_when(|stats| stats["vmware.event.router.journal"]["undelivered"] == 0).await;
    let log = router.stop().await;
    reader.emptied().await;
    assert_eq!(reader.ids().len(), 5);
    for secret in [&wrong.secret, &idle.secret, &next.secret] {
        assert!(!log.iter().any(|line| line.contains(secret.as_str())), "a secret is in the log");
    }
    assert_eq!(letters(&folder, &config).await, [] as [Value; 0]);
    simulated.stop().await;
}

/// Lets somebody take on a role.
fn trusts(whom: &Value, action: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Principal": whom, "Action": action }],
    })
}

/// This action was last asked for with these parameters, among others.
fn assert_asked(front: &Front, action: &str, parameters: &[(&str, &str)]) {
    let form: Vec<_> = front.read(|state| {
        let (_, body) = state.asked_with.iter().rev().find(|(asked, _)| asked == action).unwrap();
        url::form_urlencoded::parse(body).into_owned().collect()
    });
    for (name, value) in parameters {
        assert!(form.iter().any(|(asked, with)| asked == name && with == value), "{name} in {form:?}");
    }
}

#[tokio::test]
async fn a_role_is_taken_on_with_a_key_of_the_environment_and_renewed() {
    let aws = Aws::moto().await;
    let nobody = json!({ "AWS": format!("arn:aws:iam::{}:user/nobody", aws.account) });
    let mut trust = trusts(&nobody, "sts:AssumeRole");
    trust["Statement"][0]["Condition"] = json!({ "StringEquals": { "sts:ExternalId": "vcenter-west" } });
    let key = aws.api.create_user("nobody", &allows(&["sts:AssumeRole"])).await;
    let role = aws.api.create_role("bus-writer", &trust, &documented()).await;
    let mut options = rule(&aws).await;
    let mut reader = aws.api.read(&aws.api.queue_behind(BUS, "on").await);
    options["aws_role_arn"] = role.as_str().into();
    options["aws_external_id"] = "vcenter-west".into();
    let env = [("AWS_ACCESS_KEY_ID", key.id.as_str()), ("AWS_SECRET_ACCESS_KEY", key.secret.as_str())];
    // The first time it is refused.
    aws.front.change(|state| {
        state.script(|call| match call.action.as_str() {
            "AssumeRole" if call.number == 1 => Fault::Error(403, "AccessDenied"),
            _ => Fault::None,
        });
    });
    let simulated = Simulated::start(quiet()).await;
    let config = between(&simulated, by_default_chain(aws.processor(options)));
    let mut router = Router::start_with(&config, &["-log-level", "debug"], &env).await;
    told(&mut router, "AWS gives no credentials: AccessDenied").await;
    ready(&router).await;
    let wanted =
        [("RoleArn", role.as_str()), ("ExternalId", "vcenter-west"), ("RoleSessionName", "vmware-event-router")];
    assert_asked(&aws.front, "AssumeRole", &wanted);
    simulated.handle.make(ON, 2).unwrap();
    reader.wait_for_count(2).await;

    // What the role gave expires before its time: the role is taken on again.
    let before = aws.front.read(|state| state.count("AssumeRole"));
    aws.front.change(|state| {
        let expired = std::sync::atomic::AtomicBool::new(true);
        state.script(move |call| match call.action.as_str() {
            "AssumeRole" => {
                expired.store(false, std::sync::atomic::Ordering::Relaxed);
                Fault::None
            }
            _ if expired.load(std::sync::atomic::Ordering::Relaxed) => Fault::Error(400, "ExpiredTokenException"),
            _ => Fault::None,
        });
    });
    simulated.handle.make(ON, 2).unwrap();
    reader.wait_for_count(4).await;
    told(&mut router, "ExpiredTokenException; renew the session token").await;
    assert!(aws.front.read(|state| state.count("AssumeRole")) > before);
    router.stop().await;
    reader.emptied().await;
    assert_eq!(reader.ids().len(), 4);
    assert_eq!(aws.actions(), ["AssumeRole", "ListRules", "PutEvents"]);
    simulated.stop().await;
}

/// No profile; what a test adds to this is all there is.
const NO_PROFILE: [(&str, &str); 2] =
    [("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials"), ("AWS_CONFIG_FILE", "/nonexistent/config")];

/// What a role gives that may do what is documented.
async fn lent(aws: &Aws) -> Session {
    let admin = json!({ "AWS": format!("arn:aws:iam::{}:user/admin", aws.account) });
    let trust = trusts(&admin, "sts:AssumeRole");
    let role = aws.api.create_role("here", &trust, &documented()).await;
    aws.api.assume_role(&role).await
}

#[tokio::test]
async fn a_machine_has_its_credentials_from_its_metadata() {
    let aws = Aws::moto().await;
    let options = rule(&aws).await;
    let mut reader = aws.api.read(&aws.api.queue_behind(BUS, "on").await);
    let machine = Machine::start(&lent(&aws).await);
    let url = machine.url();
    let env = [NO_PROFILE.as_slice(), &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str())]].concat();
    let simulated = Simulated::start(quiet()).await;
    let config = between(&simulated, by_default_chain(aws.processor(options)));
    let router = Router::start_with(&config, &[], &env).await;
    ready(&router).await;
    simulated.handle.make(ON, 2).unwrap();
    reader.wait_for_count(2).await;
    router.stop().await;
    // The name of the role, and what it has: once for both clients.
    assert_eq!(machine.answered(), 2);
    assert_eq!(aws.actions(), ["ListRules", "PutEvents"]);
    simulated.stop().await;
}

#[tokio::test]
async fn a_container_has_its_credentials_from_its_endpoint_and_anew_when_they_are_refused() {
    let aws = Aws::moto().await;
    let options = rule(&aws).await;
    let mut reader = aws.api.read(&aws.api.queue_behind(BUS, "on").await);
    let session = lent(&aws).await;
    let wrong = Session { token: "of-nobody".to_owned(), ..session.clone() };
    let container = Container::start(&wrong).await;
    assert_eq!(container.asked_by_botocore().await, session.key.id);
    let url = container.url();
    let asks = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str())];
    let shows = [("AWS_CONTAINER_AUTHORIZATION_TOKEN", Container::TOKEN)];
    let env = [NO_PROFILE.as_slice(), &asks, &shows].concat();
    let simulated = Simulated::start(quiet()).await;
    let config = between(&simulated, by_default_chain(aws.processor(options)));
    let mut router = Router::start_with(&config, &[], &env).await;
    told(&mut router, "ListRules answered 400: UnrecognizedClientException").await;
    told(&mut router, "connected").await;
    simulated.handle.make(ON, 2).unwrap();
    container.give(&session);
    ready(&router).await;
    reader.wait_for_count(2).await;
    router.stop().await;
    let (given, refused) = container.answered();
    assert!(given >= 3 && refused == 0, "given {given} times, refused {refused} times");
    assert_eq!(reader.ids().len(), 2);
    simulated.stop().await;
}

#[tokio::test]
async fn a_web_identity_takes_on_its_role() {
    let aws = Aws::moto().await;
    let cluster = json!({ "Federated": format!("arn:aws:iam::{}:oidc-provider/eks", aws.account) });
    let trust = trusts(&cluster, "sts:AssumeRoleWithWebIdentity");
    let role = aws.api.create_role("pod", &trust, &documented()).await;
    let options = rule(&aws).await;
    let queue = aws.api.queue_behind(BUS, "on").await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let token = folder.path().join("token");
    std::fs::write(&token, "a.web.identity").unwrap();
    let sts = aws.front.url();
    let pod = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", role.as_str()),
        ("AWS_ROLE_SESSION_NAME", "vcenter-west"),
        ("AWS_ENDPOINT_URL_STS", sts.as_str()),
    ];
    let env = [NO_PROFILE.as_slice(), &pod].concat();
    let simulated = Simulated::start(quiet()).await;
    let config = between(&simulated, by_default_chain(aws.processor(options)));
    // AWS lets that request pass without a signature, for it has none; moto only while it looks at no signature.
    aws.let_one_unsigned();
    let router = Router::start_in(&folder, &config, &[], &env).await;
    ready(&router).await;
    let wanted =
        [("RoleArn", role.as_str()), ("WebIdentityToken", "a.web.identity"), ("RoleSessionName", "vcenter-west")];
    assert_asked(&aws.front, "AssumeRoleWithWebIdentity", &wanted);
    simulated.handle.make(ON, 2).unwrap();
    let mut reader = aws.api.read(&queue);
    reader.wait_for_count(2).await;
    router.stop().await;
    assert_eq!(aws.actions(), ["AssumeRoleWithWebIdentity", "ListRules", "PutEvents"]);
    simulated.stop().await;
}
