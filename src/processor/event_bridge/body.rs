//! What a request carries: its events, written straight into its body.
//!
//! AWS's library makes all the rest of a request, and signs it. It would write the body, too, from strings made for it
//! and character by character, which is a quarter of what it costs to put an event. So it is given none, and the body is
//! put in before it signs. Both write the same, byte for byte: a test compares them.
//!
//! It is put in by an interceptor of the client's ([`PutIn`]) and reaches it as a value of the task that calls: an
//! interceptor for each call would have to carry the machinery for all that calls may have of their own.

use aws_sdk_eventbridge::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_eventbridge::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_eventbridge::error::BoxError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;

use super::entry::{detail_type, happened, resource, text, trace};
use crate::event::{Event, write_json_string};

/// What an entry has beside its event, about.
const AROUND: usize = 400;

/// The body of a request, in place of what AWS's library writes.
pub(super) struct Body(Bytes);

tokio::task_local! {
    static BODY: Bytes;
}

impl Body {
    /// With an entry for each event, as EventBridge takes it.
    pub(super) fn new(events: &[&Event], bus: &str) -> Self {
        // A quarter more for what is escaped, and room for what the last may need while it is written.
        let bytes: usize = events.iter().map(|event| event.json().len() * 5 / 4 + AROUND).sum();
        let last = events.last().map_or(0, |event| event.json().len());
        let mut body = Vec::with_capacity(bytes + last);
        for (at, event) in events.iter().enumerate() {
            body.extend_from_slice(if at == 0 { b"{\"Entries\":[" } else { b"," });
            write(&mut body, event, bus);
        }
        body.extend_from_slice(b"]}");
        Self(body.into())
    }

    /// Makes a call with this body, by a client that has [`PutIn`].
    pub(super) async fn within<T>(self, call: impl Future<Output = T>) -> T {
        BODY.scope(self.0, call).await
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn write(body: &mut Vec<u8>, event: &Event, bus: &str) {
    let mut before: &[u8] = b"{";
    let mut name = |body: &mut Vec<u8>, name: &[u8]| {
        body.extend_from_slice(std::mem::replace(&mut before, b","));
        body.extend_from_slice(name);
    };
    let happened = happened(event);
    if let Some(micros) = happened {
        name(body, b"\"Time\":");
        write_seconds(body, micros);
    }
    name(body, b"\"Source\":");
    write_json_string(body, &event.source());
    if let Some(resource) = resource(event) {
        name(body, b"\"Resources\":[");
        write_json_string(body, resource);
        body.push(b']');
    }
    name(body, b"\"DetailType\":");
    write_json_string(body, detail_type(event));
    name(body, b"\"Detail\":");
    write_json_string(body, &text(&event.json()));
    name(body, b"\"EventBusName\":");
    write_json_string(body, bus);
    name(body, b"\"TraceHeader\":\"Root=1-");
    let (seconds, id) = trace(event.id(), happened);
    write_hex(body, &seconds);
    body.push(b'-');
    write_hex(body, &id);
    body.extend_from_slice(b"\"}");
}

fn write_hex(body: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    body.extend(bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]));
}

/// Microseconds as seconds, without zeros at the end.
fn write_seconds(body: &mut Vec<u8>, micros: i64) {
    if micros < 0 {
        body.push(b'-');
    }
    let micros = micros.unsigned_abs();
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let mut digits = itoa::Buffer::new();
    body.extend_from_slice(digits.format(seconds).as_bytes());
    if fraction > 0 {
        body.push(b'.');
        // Seven digits, of which the first is there so that the others are.
        let fraction = digits.format(1_000_000 + fraction).trim_end_matches('0');
        body.extend_from_slice(&fraction.as_bytes()[1..]);
    }
}

/// Puts the body in, where a call has one. Without one, nothing is put.
#[derive(Debug)]
pub(super) struct PutIn;

impl Intercept for PutIn {
    fn name(&self) -> &'static str {
        "PutIn"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        match BODY.try_with(Bytes::clone) {
            Ok(body) => {
                request.headers_mut().insert(CONTENT_LENGTH.as_str(), body.len().to_string());
                *request.body_mut() = SdkBody::from(body);
                Ok(())
            }
            // AWS would refuse it as if the events were at fault.
            Err(_) if request.headers().get("x-amz-target") == Some("AWSEvents.PutEvents") => {
                Err("PutEvents was called without a body".into())
            }
            Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use aws_sdk_eventbridge::config::{BehaviorVersion, Credentials, Region};
    use aws_sdk_eventbridge::operation::put_events::builders::PutEventsFluentBuilder;
    use aws_sdk_eventbridge::primitives::DateTime;
    use aws_sdk_eventbridge::types::PutEventsRequestEntry;
    use aws_smithy_runtime_api::client::http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    };
    use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use proptest::prelude::*;

    use super::*;
    use crate::event::{Attributes, PageBuilder};

    /// Keeps what it is to send, and sends nothing.
    #[derive(Clone, Debug, Default)]
    struct Keeper(std::sync::Arc<Mutex<Vec<HttpRequest>>>);

    impl HttpClient for Keeper {
        fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
            SharedHttpConnector::new(self.clone())
        }
    }

    impl HttpConnector for Keeper {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(request);
            HttpConnectorFuture::ready(Err(ConnectorError::io("it is kept".into())))
        }
    }

    /// What a call would send; none if it comes to nothing before.
    fn sent(
        put_in: bool,
        call: impl FnOnce(PutEventsFluentBuilder) -> PutEventsFluentBuilder,
        body: Option<Body>,
    ) -> Option<HttpRequest> {
        let keeper = Keeper::default();
        let mut config = aws_sdk_eventbridge::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("AKIDEXAMPLE", "secret", None, None, "test"))
            .retry_config(aws_sdk_eventbridge::config::retry::RetryConfig::disabled())
            .http_client(keeper.clone());
        if put_in {
            config = config.interceptor(PutIn);
        }
        let call = call(aws_sdk_eventbridge::Client::from_conf(config.build()).put_events());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            match body {
                Some(body) => body.within(call.send()).await.unwrap_err(),
                None => call.send().await.unwrap_err(),
            }
        });
        keeper.0.lock().unwrap().pop()
    }

    /// Its body, and its headers but for what depends on the time.
    fn shown(request: &HttpRequest) -> (String, String) {
        let body = String::from_utf8(request.body().bytes().unwrap().to_vec()).unwrap();
        let mut headers: Vec<_> = request
            .headers()
            .iter()
            .filter(|(name, _)| !["x-amz-date", "authorization", "amz-sdk-invocation-id"].contains(name))
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        headers.sort();
        (body, headers.join("\n"))
    }

    fn trace_header(event: &Event) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (seconds, id) = trace(event.id(), happened(event));
        format!("Root=1-{}-{}", hex(&seconds), hex(&id))
    }

    /// An entry as AWS's library takes it.
    fn entry(event: &Event, bus: &str) -> PutEventsRequestEntry {
        let time = happened(event).map(|micros| {
            DateTime::from_secs_and_nanos(micros.div_euclid(1_000_000), (micros.rem_euclid(1_000_000) * 1000) as u32)
        });
        PutEventsRequestEntry::builder()
            .set_time(time)
            .source(event.source())
            .detail_type(detail_type(event))
            .detail(text(&event.json()))
            .set_resources(resource(event).map(|resource| vec![resource.to_owned()]))
            .event_bus_name(bus)
            .trace_header(trace_header(event))
            .build()
    }

    fn events(all: &[(String, String, String, Option<i64>, String)]) -> Vec<Event> {
        let mut page = PageBuilder::new("vc".into(), "https://10.0.0.1:443/\"sdk\"", &[]);
        for (id, subject, entity, created, name) in all {
            let attributes = Attributes {
                id,
                kind: "com.vmware.event.router/event",
                subject,
                entity,
                created: *created,
                ..Attributes::default()
            };
            let data = serde_json::json!({ "Vm": { "Name": name } }).to_string();
            page.push(&attributes, data.as_bytes());
        }
        page.finish()
    }

    fn assert_the_same(events: &[Event], bus: &str) {
        let events: Vec<_> = events.iter().collect();
        let entries: Vec<_> = events.iter().map(|event| entry(event, bus)).collect();
        let theirs = shown(&sent(false, |call| call.set_entries(Some(entries)), None).unwrap());
        let ours = shown(&sent(true, |call| call, Some(Body::new(&events, bus))).unwrap());
        assert_eq!(ours, theirs);
        assert!(theirs.1.contains(&format!("content-length: {}", theirs.0.len())), "{}", theirs.1);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

        #[test]
        fn a_request_is_what_the_library_of_aws_would_send(
            all in prop::collection::vec(
                (".{0,40}", ".{0,20}", "(VirtualMachine:)?.{0,8}", prop::option::of(-2_000_000_i64..2_000_000), "(.|[\0-\u{1f}\"\\\\é€𝄞]){0,80}"),
                1..4,
            ),
            bus in ".{0,20}",
        ) {
            assert_the_same(&events(&all), &bus);
        }
    }

    #[test]
    fn without_a_body_nothing_is_put() {
        assert!(sent(true, |call| call, None).is_none());
        assert!(sent(false, |call| call, None).is_some());
    }

    #[test]
    fn times_are_written_as_the_library_of_aws_does() {
        let times = [0, 1, 10, 999_999, 1_000_000, 1_500_000, -1, -500_000, -1_500_000, -1_000_000];
        let times = times.into_iter().chain([1_581_456_503_905_253, 1_581_456_503_900_000, 1_581_456_503_000_001]);
        let one = |micros| ("id".to_owned(), String::new(), String::new(), Some(micros), String::new());
        assert_the_same(&events(&times.map(one).collect::<Vec<_>>()), "default");
    }
}
