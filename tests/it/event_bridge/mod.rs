//! AWS EventBridge, as the router uses it: against moto, which checks every signature and permission, and LocalStack,
//! through a front that keeps what was asked and lets things go wrong.

mod credentials;
mod everything;
mod rules;
mod sends;
mod tells;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::aws::{LOCALSTACK_ACCOUNT, LocalStack, MOTO_ACCOUNT, Moto, REGION};
use crate::support::aws_api::{Api, Key};
use crate::support::aws_front::Front;
use crate::support::router::{Router, ask, metrics, stream};
use crate::support::simulator::Simulated;

/// A test that waits this long for something waits in vain.
const PATIENCE: Duration = Duration::from_secs(60);

/// The bus of all these tests.
const BUS: &str = "vmware";

/// AWS as a test finds it: a bus, a user who may do what the documentation says, and a front.
struct Aws {
    /// What stands in for AWS; it ends when dropped.
    server: Box<dyn Any>,
    account: &'static str,
    /// Whoever sets things up.
    api: Api,
    front: Front,
    /// The user's.
    key: Key,
}

/// A policy that allows these actions.
fn allows(actions: &[&str]) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Action": actions, "Resource": "*" }],
    })
}

/// The policy that the documentation tells its readers to write.
fn documented() -> Value {
    let text = include_str!("../../../docs/eventbridge.md");
    let mut blocks = text.split("```json").skip(1).map(|rest| rest.split("```").next().unwrap());
    let policy = blocks.find(|block| block.contains("\"Statement\"")).unwrap();
    let policy: Value = serde_json::from_str(policy).unwrap();
    assert_eq!(policy, allows(&["events:PutEvents", "events:ListRules", "events:TestEventPattern"]));
    policy
}

impl Aws {
    /// Nobody may do anything there without a signature and a permission.
    async fn moto() -> Self {
        let moto = Moto::start();
        let api = Api::new(&moto.url());
        let admin = api.create_user("admin", &allows(&["*"])).await;
        let key = api.create_user("router", &documented()).await;
        let api = api.by(admin);
        moto.check_signatures();
        api.create_bus(BUS).await;
        let front = Front::start(&moto.url(), &key).await;
        Self { server: Box::new(moto), account: MOTO_ACCOUNT, api, front, key }
    }

    async fn localstack() -> Self {
        let localstack = LocalStack::start();
        let (api, key) = (Api::new(&localstack.url()), Key::unknown());
        api.create_bus(BUS).await;
        let front = Front::start(&localstack.url(), &key).await;
        Self { server: Box::new(localstack), account: LOCALSTACK_ACCOUNT, api, front, key }
    }

    /// Lets the next request pass without a signature.
    fn let_one_unsigned(&self) {
        self.server.downcast_ref::<Moto>().expect("only moto checks them").let_unsigned(1);
    }

    /// The ARN of a rule, whether it is there or not.
    fn rule_arn(&self, name: &str) -> String {
        format!("arn:aws:events:{REGION}:{}:rule/{BUS}/{name}", self.account)
    }

    /// The entry of the bus, with the user's key and these options besides.
    fn processor(&self, options: Value) -> Value {
        processor(&self.front, &self.key, options)
    }

    /// What was ever asked for, but for setting up.
    fn actions(&self) -> Vec<String> {
        let mut actions: Vec<_> = self.front.read(|state| state.asked.keys().cloned().collect());
        actions.sort();
        actions
    }
}

fn processor(front: &Front, key: &Key, mut options: Value) -> Value {
    options["aws_region"] = REGION.into();
    options["aws_eventbridge_event_bus"] = BUS.into();
    options["aws_endpoint_url"] = front.url().into();
    let secret = json!({ "aws_access_key_id": key.id, "aws_secret_access_key": key.secret });
    json!({
        "type": "processor",
        "provider": "aws_event_bridge",
        "auth": { "method": "access_key", "secret": secret },
        "options": options,
    })
}

/// One that looks for credentials itself.
fn by_default_chain(mut processor: Value) -> Value {
    processor["auth"] = json!({ "method": "default_chain" });
    processor
}

/// What has these subjects.
fn of_subjects(subjects: &[&str]) -> Value {
    json!({ "detail": { "subject": subjects } })
}

/// A router between a quiet vCenter and this bus.
fn between(simulated: &Simulated, processor: Value) -> Vec<Value> {
    vec![stream(&simulated.url), processor, metrics()]
}

/// Waits until everything that was journaled is settled, so many events at least.
async fn settled(router: &Router, events: u64) -> Value {
    router
        .stats_when(|stats| {
            let journal = &stats["vmware.event.router.journal"];
            journal["events"].as_u64() >= Some(events) && journal["undelivered"] == 0
        })
        .await
}

/// What the journal of this folder has, in order.
async fn journaled(folder: &Arc<TempDir>, config: &[Value]) -> Vec<Value> {
    let (well, all) = ask(folder, config, &["tail", "-from", "1", "-no-follow"]).await;
    assert!(well, "{all}");
    all.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Its dead letters.
async fn letters(folder: &Arc<TempDir>, config: &[Value]) -> Vec<Value> {
    let (well, all) = ask(folder, config, &["dead-letters", "list", "-json"]).await;
    assert!(well, "{all}");
    all.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// `/readyz`: whether it is ready, and the text.
async fn readyz(router: &Router) -> (bool, String) {
    let answer = router.get("/readyz").await;
    (answer.status() == http::StatusCode::OK, String::from_utf8(answer.body().to_vec()).unwrap())
}

/// Waits until it says why it is not ready, not for ever.
async fn not_ready(router: &Router, why: &str) {
    let says = async {
        while !readyz(router).await.1.contains(why) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, says).await.is_ok(), "{}", readyz(router).await.1);
}

/// Waits until it is ready, not for ever.
async fn ready(router: &Router) {
    assert!(tokio::time::timeout(PATIENCE, router.ready()).await.is_ok(), "{}", readyz(router).await.1);
}

/// Waits for a line of the log, not for ever.
async fn told(router: &mut Router, wanted: &str) {
    let told = tokio::time::timeout(PATIENCE, router.logged(wanted)).await;
    assert!(told.is_ok(), "waited in vain for {wanted:?}");
}
