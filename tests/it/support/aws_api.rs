//! How tests talk to what stands in for AWS: small signed requests of their own, so that nothing of the router's is what
//! it is judged by.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Request, StatusCode};
use ring::{digest, hmac};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::aws::{MOTO_ACCOUNT, REGION};
use super::raw;

/// A test that waits this long for something waits in vain.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

/// An access key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Key {
    /// One that nobody knows; where signatures are not checked, it will do.
    pub(crate) fn unknown() -> Self {
        Self { id: "AKIAIOSFODNN7EXAMPLE".to_owned(), secret: "of-nobody".to_owned() }
    }
}

/// What a role gives to whoever takes it on.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) key: Key,
    pub(crate) token: String,
}

/// The text of an element.
fn part(xml: &str, name: &str) -> String {
    let (_, rest) = xml.split_once(&format!("<{name}>")).unwrap();
    rest.split_once('<').unwrap().0.to_owned()
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

/// Signs a POST to `/` by AWS's signature version 4, for the host that it names.
pub(crate) fn sign(request: &mut Request<Bytes>, key: &Key, service: &str) {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let day = &now[..8];
    let host = request.headers()[HOST].to_str().unwrap().to_owned();
    let hash = hex(digest::digest(&digest::SHA256, request.body()));
    let asked = format!("POST\n/\n\nhost:{host}\nx-amz-date:{now}\n\nhost;x-amz-date\n{hash}");
    let scope = format!("{day}/{REGION}/{service}/aws4_request");
    let hash = hex(digest::digest(&digest::SHA256, asked.as_bytes()));
    let mut derived = format!("AWS4{}", key.secret).into_bytes();
    for part in [day, REGION, service, "aws4_request"] {
        derived = mac(&derived, part).as_ref().to_vec();
    }
    let signature = hex(mac(&derived, &format!("AWS4-HMAC-SHA256\n{now}\n{scope}\n{hash}")));
    let text =
        format!("AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=host;x-amz-date, Signature={signature}", key.id);
    let headers = request.headers_mut();
    headers.insert("x-amz-date", now.parse().unwrap());
    headers.insert(AUTHORIZATION, text.parse().unwrap());
}

/// A queue, by its two names.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    url: String,
    arn: String,
}

/// Somebody who may do everything.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    at: SocketAddr,
    key: Key,
}

impl Api {
    /// For a server that trusts everybody, or does so for now.
    pub(crate) fn new(url: &str) -> Self {
        Self { at: url.strip_prefix("http://").unwrap().parse().unwrap(), key: Key::unknown() }
    }

    /// The same, signed by this key.
    pub(crate) fn by(&self, key: Key) -> Self {
        Self { at: self.at, key }
    }

    async fn send(&self, service: &str, kind: &str, target: Option<&str>, body: String) -> (StatusCode, String) {
        let mut request = Request::post("/").header(HOST, self.at.to_string()).header(CONTENT_TYPE, kind);
        if let Some(target) = target {
            request = request.header("x-amz-target", target);
        }
        let mut request = request.body(Bytes::from(body)).unwrap();
        sign(&mut request, &self.key, service);
        let answer = raw::send(self.at, request).await.unwrap();
        (answer.status(), String::from_utf8_lossy(answer.body()).into_owned())
    }

    async fn json(&self, service: &str, target: &str, body: Value) -> Value {
        let (status, text) = self.send(service, "application/x-amz-json-1.1", Some(target), body.to_string()).await;
        assert!(status.is_success(), "{target} {body}: {status} {text}");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
    }

    /// An action of EventBridge's.
    pub(crate) async fn events(&self, action: &str, body: Value) -> Value {
        self.json("events", &format!("AWSEvents.{action}"), body).await
    }

    async fn sqs(&self, action: &str, body: Value) -> Value {
        self.json("sqs", &format!("AmazonSQS.{action}"), body).await
    }

    async fn iam(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        self.form("iam", "2010-05-08", action, parameters).await
    }

    async fn form(&self, service: &str, version: &str, action: &str, parameters: &[(&str, &str)]) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", action).append_pair("Version", version).extend_pairs(parameters);
        // Moto signs what it has read and written again, and Python writes one character otherwise.
        let form = form.finish().replace('*', "%2A");
        let (status, text) = self.send(service, "application/x-www-form-urlencoded", None, form).await;
        assert!(status.is_success(), "{action} {parameters:?}: {status} {text}");
        text
    }

    pub(crate) async fn create_bus(&self, name: &str) {
        self.events("CreateEventBus", json!({ "Name": name })).await;
    }

    /// Makes or changes a rule; gives its ARN.
    pub(crate) async fn put_rule(&self, bus: &str, name: &str, pattern: &Value) -> String {
        let rule = json!({ "Name": name, "EventBusName": bus, "EventPattern": pattern.to_string() });
        self.events("PutRule", rule).await["RuleArn"].as_str().unwrap().to_owned()
    }

    /// A queue behind a rule.
    pub(crate) async fn queue_behind(&self, bus: &str, rule: &str) -> Queue {
        let url = self.sqs("CreateQueue", json!({ "QueueName": format!("{bus}-{rule}") })).await;
        let url = url["QueueUrl"].as_str().unwrap().to_owned();
        let asked = json!({ "QueueUrl": url, "AttributeNames": ["QueueArn"] });
        let arn = self.sqs("GetQueueAttributes", asked).await["Attributes"]["QueueArn"].as_str().unwrap().to_owned();
        let queue = Queue { url, arn };
        self.put_target(bus, rule, &queue).await;
        queue
    }

    pub(crate) async fn put_target(&self, bus: &str, rule: &str, queue: &Queue) {
        let mut target = json!({ "Id": "queue", "Arn": queue.arn });
        if queue.arn.contains(MOTO_ACCOUNT) {
            // Moto is twice as quick so, and says the account.
            target["InputTransformer"] =
                json!({ "InputPathsMap": { "s": "$.source" }, "InputTemplate": "<aws.events.event.json>" });
        }
        let targets = json!({ "Rule": rule, "EventBusName": bus, "Targets": [target] });
        self.events("PutTargets", targets).await;
    }

    /// A user with this policy, and its key.
    pub(crate) async fn create_user(&self, name: &str, policy: &Value) -> Key {
        self.iam("CreateUser", &[("UserName", name)]).await;
        self.put_policy(name, policy).await;
        self.create_key(name).await
    }

    /// Another key of a user's.
    pub(crate) async fn create_key(&self, user: &str) -> Key {
        let made = self.iam("CreateAccessKey", &[("UserName", user)]).await;
        Key { id: part(&made, "AccessKeyId"), secret: part(&made, "SecretAccessKey") }
    }

    pub(crate) async fn delete_key(&self, user: &str, key: &Key) {
        self.iam("DeleteAccessKey", &[("UserName", user), ("AccessKeyId", &key.id)]).await;
    }

    /// Gives a user this policy and no other.
    pub(crate) async fn put_policy(&self, user: &str, policy: &Value) {
        let policy = policy.to_string();
        let parameters = [("UserName", user), ("PolicyName", "policy"), ("PolicyDocument", policy.as_str())];
        self.iam("PutUserPolicy", &parameters).await;
    }

    /// A role that this user's account may take on, with this policy; gives its ARN.
    pub(crate) async fn create_role(&self, name: &str, trust: &Value, policy: &Value) -> String {
        let (trust, policy) = (trust.to_string(), policy.to_string());
        let made = self.iam("CreateRole", &[("RoleName", name), ("AssumeRolePolicyDocument", trust.as_str())]).await;
        let parameters = [("RoleName", name), ("PolicyName", "policy"), ("PolicyDocument", policy.as_str())];
        self.iam("PutRolePolicy", &parameters).await;
        part(&made, "Arn")
    }

    /// Takes on a role.
    pub(crate) async fn assume_role(&self, arn: &str) -> Session {
        let parameters = [("RoleArn", arn), ("RoleSessionName", "test")];
        let given = self.form("sts", "2011-06-15", "AssumeRole", &parameters).await;
        let key = Key { id: part(&given, "AccessKeyId"), secret: part(&given, "SecretAccessKey") };
        Session { key, token: part(&given, "SessionToken") }
    }

    /// Takes up to ten messages out of a queue, waiting a second for the first.
    async fn receive(&self, queue: &Queue) -> Vec<String> {
        let asked = json!({ "QueueUrl": queue.url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1 });
        let received = self.sqs("ReceiveMessage", asked).await;
        let Some(messages) = received["Messages"].as_array().filter(|messages| !messages.is_empty()) else {
            return Vec::new();
        };
        let entry = |(number, message): (usize, &Value)| json!({ "Id": number.to_string(), "ReceiptHandle": message["ReceiptHandle"] });
        let entries: Vec<_> = messages.iter().enumerate().map(entry).collect();
        let deleted = self.sqs("DeleteMessageBatch", json!({ "QueueUrl": queue.url, "Entries": entries })).await;
        assert!(deleted["Failed"].as_array().is_none_or(Vec::is_empty), "{deleted}");
        messages.iter().map(|message| message["Body"].as_str().unwrap().to_owned()).collect()
    }

    /// Reads a queue from now on.
    pub(crate) fn read(&self, queue: &Queue) -> Reader {
        self.read_and_tell(queue, |_| {})
    }

    /// The same, and tells how many events it has read. The longer the queue, the slower moto is over each message: a
    /// reader that falls behind stays there.
    pub(crate) fn read_and_tell(&self, queue: &Queue, tell: impl Fn(usize) + Send + 'static) -> Reader {
        let read = Arc::new(Mutex::new(Vec::new()));
        let (told, changed) = watch::channel(0);
        let (api, queue, kept) = (self.clone(), queue.clone(), Arc::clone(&read));
        let task = tokio::spawn(async move {
            loop {
                let bodies = api.receive(&queue).await;
                let events = bodies.iter().map(|body| serde_json::from_str::<Value>(body).unwrap());
                let count = {
                    let mut kept = kept.lock().unwrap();
                    kept.extend(events);
                    kept.len()
                };
                tell(count);
                told.send_modify(|rounds| *rounds += 1);
            }
        });
        Reader { read, rounds: changed, task }
    }
}

/// Reads a queue until dropped.
pub(crate) struct Reader {
    read: Arc<Mutex<Vec<Value>>>,
    /// How often it asked.
    rounds: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Reader {
    /// The events so far, as the rule handed them on.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.read.lock().unwrap().clone()
    }

    /// The ids of the CloudEvents so far.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.read.lock().unwrap().iter().map(|event| event["detail"]["id"].as_str().unwrap().to_owned()).collect()
    }

    /// The subjects of the CloudEvents so far.
    pub(crate) fn subjects(&self) -> Vec<String> {
        let read = self.read.lock().unwrap();
        read.iter().map(|event| event["detail"]["subject"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until what was read is as wanted.
    pub(crate) async fn wait_for(&mut self, wanted: impl Fn(&[Value]) -> bool) {
        let reached = async {
            loop {
                self.rounds.mark_unchanged();
                if wanted(&self.read.lock().unwrap()) {
                    return;
                }
                self.rounds.changed().await.expect("the queue can be read");
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            panic!("waited in vain: {} events, the last of them {:?}", self.events().len(), self.events().last());
        }
    }

    /// Waits until so many events were read.
    pub(crate) async fn wait_for_count(&mut self, count: usize) {
        self.wait_for(|events| events.len() >= count).await;
    }

    /// Waits until the queue was found to be empty.
    pub(crate) async fn emptied(&mut self) {
        let mut before = usize::MAX;
        // The round under way may have begun before.
        for round in 0.. {
            self.rounds.mark_unchanged();
            let now = self.read.lock().unwrap().len();
            if round > 1 && now == before {
                return;
            }
            before = now;
            self.rounds.changed().await.expect("the queue can be read");
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}
