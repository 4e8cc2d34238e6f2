//! One attempt at one function, and what its answer means.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::Full;

use super::OpenFaas;
use super::callback::Callback;
use super::lookup::AGENT;
use crate::attempt::{Delivery, Outcome, Reason, Target};
use crate::event::{CLOUDEVENTS_JSON, Event};
use crate::http::Limits;
use crate::processor::excerpt;

const TOPIC: HeaderName = HeaderName::from_static("x-topic");
const CONNECTOR: HeaderName = HeaderName::from_static("x-connector");
const CALL_ID: HeaderName = HeaderName::from_static("x-call-id");
const CALLBACK_URL: HeaderName = HeaderName::from_static("x-callback-url");

/// What the router calls itself, as connectors do.
const OURSELVES: HeaderValue = HeaderValue::from_static("vmware-event-router");

/// How much of an answer is read, so that its connection can be used again. What is shown is less.
const BODY: usize = 64 * 1024;

/// How long an event waits whose function the gateway does not list: what
/// decides is the map, once the function has been absent for long enough.
const NOT_THERE: Duration = Duration::from_secs(5);

/// A function's answer: its own, or the gateway's in its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<'a> {
    pub(super) status: StatusCode,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    /// Whether `/async-function` gave it.
    pub(super) queued: bool,
}

impl Answer<'_> {
    fn reason(&self) -> Reason {
        let status = self.status.as_u16();
        let text = excerpt(self.body);
        let who = if self.queued { "the queue" } else { "the function" };
        let text = if text.is_empty() {
            format!("{who} answered {status}")
        } else {
            format!("{who} answered {status}: {text}")
        };
        Reason { status: Some(status), text }
    }

    /// What the answer means; none for 404, which the function map has to explain.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        let status = self.status.as_u16();
        let after = || retry_after(self.headers, SystemTime::now());
        Some(match status {
            200..=299 => Outcome::Delivered { status: Some(status) },
            404 => return None,
            429 | 502 | 503 | 504 => Outcome::Busy { after: after(), why: self.reason() },
            500 if self.queued => Outcome::Busy { after: after(), why: self.reason() },
            501 => Outcome::Rejected { why: self.reason() },
            408 | 409 | 425 | 500.. => Outcome::Failed { after: after(), why: self.reason() },
            _ => Outcome::Rejected { why: self.reason() },
        })
    }
}

/// The wait that a `Retry-After` asks for, bounded; none if it asks for none.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    crate::http::retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, now)
}

/// A header's value that shares the event's bytes where it can; none for what no header can hold.
fn shared(json: &Bytes, text: &[u8]) -> Option<HeaderValue> {
    if text.is_empty() {
        return None;
    }
    let inside = json.as_ptr_range();
    let of_text = text.as_ptr_range();
    if inside.start <= of_text.start && of_text.end <= inside.end {
        HeaderValue::from_maybe_shared(json.slice_ref(text)).ok()
    } else {
        HeaderValue::from_bytes(text).ok()
    }
}

/// Header maps that are used again: each call takes one and its answer brings one, of more than a kilobyte.
#[derive(Default)]
pub(super) struct Spare(Mutex<Vec<HeaderMap>>);

impl Spare {
    /// As many are kept.
    const MOST: usize = 64;
    /// As much room as a call's headers need. What an answer has made larger is not kept.
    const ROOM: usize = 12;

    fn take(&self) -> HeaderMap {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| HeaderMap::with_capacity(Self::ROOM))
    }

    fn put(&self, mut headers: HeaderMap) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if headers.capacity() == Self::ROOM && spare.len() < Self::MOST {
            headers.clear();
            spare.push(headers);
        }
    }
}

impl OpenFaas {
    /// Makes one attempt with one event.
    pub(super) async fn attempt_one(&self, target: &Target, delivery: &Delivery) -> Outcome {
        let Some(request) = self.request(target, delivery) else {
            let text = format!("no URL can hold the name {:?}", target.as_str());
            return Outcome::Rejected { why: Reason { status: None, text } };
        };
        let limits = Limits { timeout: self.config.timeout, body: BODY };
        let response = match self.client.send_for_status(request, limits).await {
            Ok(response) => response,
            Err(error) => {
                return Outcome::Busy { after: None, why: Reason { status: None, text: error.to_string() } };
            }
        };
        let (head, body) = response.into_parts();
        let answer =
            Answer { status: head.status, headers: &head.headers, body: &body, queued: self.config.asynchronous };
        if answer.status == StatusCode::ACCEPTED && self.calls_back() {
            return Outcome::Accepted { within: self.config.callback_timeout };
        }
        let outcome = self.meaning(target, answer).await;
        self.spare.put(head.headers);
        outcome
    }

    /// What an answer means.
    pub(super) async fn meaning(&self, target: &Target, answer: Answer<'_>) -> Outcome {
        match answer.outcome() {
            Some(outcome) => outcome,
            // Rare, and larger than all the rest of an attempt.
            None => Box::pin(self.not_found(target, answer)).await,
        }
    }

    /// The function's own 404, or the gateway's for one that is not there? The list of functions tells.
    async fn not_found(&self, target: &Target, answer: Answer<'_>) -> Outcome {
        let mut why = answer.reason();
        match self.map.listed_now().await {
            Ok(listing) if listing.contains_key(target.as_str()) => {
                if answer.queued {
                    why.text.push_str(" (the gateway may have no queue: \"async\" needs one)");
                }
                Outcome::Failed { after: retry_after(answer.headers, SystemTime::now()), why }
            }
            Ok(_) => {
                why.text = format!("function {target} is not there");
                Outcome::Busy { after: Some(NOT_THERE), why }
            }
            Err(error) => {
                why.text.push_str(&format!(", and whether it is still there cannot be read: {error}"));
                Outcome::Busy { after: None, why }
            }
        }
    }

    /// Whether functions report by callback.
    fn calls_back(&self) -> bool {
        self.config.asynchronous && self.callbacks.is_some() && self.config.callback_url.is_some()
    }

    fn request(&self, target: &Target, delivery: &Delivery) -> Option<Request<Full<Bytes>>> {
        let known = self.map.current().uri(target).cloned();
        // What an earlier version of the map knew may still be owed something.
        let uri = known.or_else(|| self.map.urls.of(target.as_str()))?;
        let json = delivery.event.json();
        let mut headers = self.spare.take();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(CLOUDEVENTS_JSON));
        headers.insert(CONNECTOR, OURSELVES);
        headers.insert(USER_AGENT, AGENT);
        self.tell(&mut headers, &json, &delivery.event);
        if self.calls_back()
            && let (Some(signer), Some(url)) = (&self.callbacks, &self.config.callback_url)
        {
            let callback = Callback {
                processor: self.config.name.to_string(),
                position: delivery.position,
                target: target.clone(),
                attempt: delivery.attempt,
            };
            headers.insert(CALLBACK_URL, HeaderValue::from_str(&signer.sign(url, &callback)).ok()?);
        }
        let mut request = Request::new(Full::new(json));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Some(request)
    }

    fn tell(&self, headers: &mut HeaderMap, json: &Bytes, event: &Event) {
        if let Some(subject) = shared(json, event.subject_bytes()) {
            headers.insert(TOPIC, subject);
        }
        if let Some(id) = shared(json, event.id_bytes()) {
            headers.insert(CALL_ID, id);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::{Attributes, PageBuilder};

    fn outcome(status: u16, queued: bool) -> Option<&'static str> {
        let headers = HeaderMap::new();
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers: &headers, body: b"", queued }.outcome().map(|outcome| match outcome {
            Outcome::Delivered { .. } => "delivered",
            Outcome::Accepted { .. } => "accepted",
            Outcome::Busy { .. } => "busy",
            Outcome::Failed { .. } => "failed",
            Outcome::Rejected { .. } => "rejected",
        })
    }

    #[test]
    fn every_status_has_its_meaning() {
        for status in 100..=999 {
            let expected = match status {
                200..=299 => "delivered",
                404 => continue,
                429 | 502 | 503 | 504 => "busy",
                408 | 409 | 425 | 500 => "failed",
                501 => "rejected",
                505.. => "failed",
                _ => "rejected",
            };
            assert_eq!(outcome(status, false), Some(expected), "{status}");
            let queued = if status == 500 { "busy" } else { expected };
            assert_eq!(outcome(status, true), Some(queued), "{status} from the queue");
        }
        assert_eq!((outcome(404, false), outcome(404, true)), (None, None));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        for (text, expected) in [
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("0", None),
            ("999999999999999999999999", Some(3600)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(30)),
            ("Sun Nov  6 08:49:37 1994", Some(30)),
            ("Mon, 07 Nov 1994 08:49:37 GMT", Some(3600)),
            ("Sat, 05 Nov 1994 08:49:37 GMT", None),
            ("-5", None),
            ("1.5", None),
            ("", None),
            ("soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs), "{text:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn a_failure_shows_the_beginning_of_its_answer() {
        let headers = HeaderMap::new();
        let answer =
            Answer { status: StatusCode::BAD_REQUEST, headers: &headers, body: b"no\nsuch\x07thing", queued: false };
        let why = Reason { status: Some(400), text: "the function answered 400: no such thing".to_owned() };
        assert_eq!(answer.outcome(), Some(Outcome::Rejected { why }));
    }

    fn event(subject: &str, id: &str) -> Event {
        let mut page = PageBuilder::new("vc".into(), "https://vc/sdk", &[]);
        page.push(&Attributes { id, kind: "k", subject, ..Attributes::default() }, b"{}");
        page.finish().remove(0)
    }

    #[test]
    fn headers_share_the_event_s_bytes() {
        let event = event("VmPoweredOnEvent", "id");
        let json = event.json();
        let value = shared(&json, event.subject_bytes()).unwrap();
        assert_eq!(value, "VmPoweredOnEvent");
        assert!(json.as_ptr_range().contains(&value.as_bytes().as_ptr()));
    }

    proptest! {
        #[test]
        fn a_header_holds_the_text_or_is_left_out(subject in ".*", more in "[\\x00-\\x7f\u{80}-\u{ff}\"\\\\]*") {
            for text in [subject, more] {
                let event = event(&text, &text);
                let legal = !text.is_empty() && text.bytes().all(|b| b == b'\t' || (b >= 0x20 && b != 0x7f));
                let value = shared(&event.json(), event.subject_bytes());
                prop_assert_eq!(value.is_some(), legal);
                if let Some(value) = value {
                    prop_assert_eq!(value.as_bytes(), text.as_bytes());
                }
            }
        }

        #[test]
        fn any_retry_after_is_taken_without_panic(text in "[\\t -~]*") {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(&text).unwrap());
            let wait = retry_after(&headers, SystemTime::now());
            prop_assert!(wait.is_none_or(|wait| !wait.is_zero() && wait <= Duration::from_secs(3600)));
        }
    }
}
