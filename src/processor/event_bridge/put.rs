//! One attempt: a request with up to ten events, and what AWS says of each.

use std::sync::Arc;

use aws_sdk_eventbridge::operation::put_events::PutEventsOutput;
use aws_sdk_eventbridge::types::PutEventsResultEntry;
use tracing::warn;

use super::body::Body;
use super::client::Aws;
use super::entry::weight;
use super::failure::{Failure, Kind, failure, kind_of};
use super::worker::Worker;
use crate::attempt::{Delivery, Outcome, Reason};
use crate::event::Event;
use crate::processor::{excerpt, one_line};

/// As many events go in one request.
pub(super) const MOST_ENTRIES: usize = 10;

/// Puts events on the bus.
pub(super) struct Put {
    pub(super) aws: Arc<Aws>,
    pub(super) processor: Arc<str>,
    /// The bus as the configuration names it.
    pub(super) bus: String,
    /// How large the events of one request may be together.
    pub(super) most_bytes: usize,
    pub(super) worker: Worker,
}

impl Put {
    /// Makes one attempt with a batch.
    pub(super) async fn put(&self, batch: &[Delivery]) -> Vec<Outcome> {
        let too_large: Vec<_> = batch.iter().map(|delivery| self.too_large(delivery)).collect();
        let fits = batch.iter().zip(&too_large).filter(|(_, too_large)| too_large.is_none());
        let events: Vec<_> = fits.map(|(delivery, _)| &delivery.event).collect();
        let mut answers = self.put_events(&events).await.into_iter();
        too_large
            .into_iter()
            .map(|rejected| rejected.or_else(|| answers.next()).unwrap_or_else(|| outcome(lost())))
            .collect()
    }

    /// Why AWS would never take it, whoever else is in the request.
    fn too_large(&self, delivery: &Delivery) -> Option<Outcome> {
        let (bytes, most) = (weight(&delivery.event), self.most_bytes);
        (bytes > most).then(|| {
            let text =
                format!("the event has {bytes} bytes as AWS counts, and {most} are allowed (aws_max_request_bytes)");
            Outcome::Rejected { why: Reason { status: None, text } }
        })
    }

    async fn put_events(&self, events: &[&Event]) -> Vec<Outcome> {
        if events.is_empty() {
            return Vec::new();
        }
        match self.call(events).await {
            Ok(answer) => outcomes(events.len(), &answer),
            // One of them spoils it for all: each shows for itself.
            Err(Failure { kind: Kind::Invalid | Kind::TooLarge, .. }) if events.len() > 1 => {
                self.put_alone(events).await
            }
            Err(failure) => {
                let same = outcome(failure);
                vec![same; events.len()]
            }
        }
    }

    /// Sends each in a request of its own, one after the other: the attempt counts once in `concurrency`.
    async fn put_alone(&self, events: &[&Event]) -> Vec<Outcome> {
        let mut ends = Vec::with_capacity(events.len());
        for event in events {
            let end = match self.call(&[event]).await {
                Ok(answer) => outcomes(1, &answer).swap_remove(0),
                Err(failure) => {
                    let end = outcome(failure);
                    if matches!(end, Outcome::Busy { .. }) {
                        // Not the event's fault: the next would only wait for the same.
                        ends.resize(events.len(), end);
                        return ends;
                    }
                    end
                }
            };
            ends.push(end);
        }
        ends
    }

    /// Sends one request.
    pub(super) async fn call(&self, events: &[&Event]) -> Result<PutEventsOutput, Failure> {
        // Written here, where the events are: they are not at hand for the other thread, nor need they be.
        let (aws, body) = (Arc::clone(&self.aws), Body::new(events, &self.bus));
        let send = async move {
            let sdk = aws.sdk().await;
            let error = match body.within(sdk.events.put_events().send()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => failure("PutEvents", &error),
            };
            if error.kind == Kind::Credentials {
                aws.refused(&sdk).await;
            }
            Err(error)
        };
        let Some(answer) = self.worker.run(send).await else {
            return Err(lost());
        };
        let answer = answer?;
        if let Some(what) = miscounted(&answer) {
            warn!(processor = &*self.processor, bus = self.bus, "{what}");
        }
        Ok(answer)
    }
}

/// What is said where nothing is known.
fn lost() -> Failure {
    let why = Reason { status: None, text: "the attempt had no outcome".to_owned() };
    Failure { kind: Kind::Unknown, why, after: None }
}

fn failed(text: String) -> Outcome {
    Outcome::Failed { after: None, why: Reason { status: Some(200), text } }
}

/// What a request that came to nothing means for each event in it.
pub(super) fn outcome(Failure { kind, why, after }: Failure) -> Outcome {
    match kind {
        Kind::Busy | Kind::Credentials | Kind::Denied | Kind::Missing => Outcome::Busy { after, why },
        Kind::Invalid | Kind::TooLarge => Outcome::Rejected { why },
        Kind::Unknown => Outcome::Failed { after, why },
    }
}

/// What AWS says of each of so many events.
pub(super) fn outcomes(sent: usize, answer: &PutEventsOutput) -> Vec<Outcome> {
    let entries = answer.entries();
    let of_one = |at: usize| match entries.get(at) {
        None => failed(format!("PutEvents answered for {} of {sent} events, and not for this one", entries.len())),
        Some(entry) if is_accepted(entry) => Outcome::Delivered { status: Some(200) },
        Some(entry) => refusal(entry),
    };
    (0..sent).map(of_one).collect()
}

/// What to say where the answer counts more failures than it names. Each event's own answer holds nevertheless: what has
/// an id is on the bus, and would be there twice if it were sent again.
fn miscounted(answer: &PutEventsOutput) -> Option<String> {
    let named = answer.entries().iter().filter(|entry| !is_accepted(entry)).count();
    let counted = usize::try_from(answer.failed_entry_count()).unwrap_or(0);
    (counted > named).then(|| {
        format!(
            "PutEvents says that {counted} events failed and names {named}: those that have an id count as delivered; if \
             they are missing, ask whoever runs what answers there"
        )
    })
}

fn is_accepted(entry: &PutEventsResultEntry) -> bool {
    entry.error_code().unwrap_or_default().is_empty() && entry.event_id().is_some_and(|id| !id.is_empty())
}

/// What it means that AWS did not take one event.
fn refusal(entry: &PutEventsResultEntry) -> Outcome {
    let code = entry.error_code().unwrap_or_default();
    if code.is_empty() {
        return failed("PutEvents answered with neither an id nor an error for this event".to_owned());
    }
    let message = excerpt(entry.error_message().unwrap_or_default().as_bytes());
    let text = format!("PutEvents took the request and not this event: {}: {message}", one_line(code));
    let why = Reason { status: Some(200), text };
    match (code, kind_of(code)) {
        ("MalformedDetail" | "InvalidArgument" | "InvalidAccountIdException", _)
        | ("NotAuthorizedForSourceException" | "NotAuthorizedForDetailTypeException", _) => Outcome::Rejected { why },
        (_, Some(kind)) => outcome(Failure { kind, why, after: None }),
        (_, None) => Outcome::Failed { after: None, why },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(id: &str) -> PutEventsResultEntry {
        PutEventsResultEntry::builder().event_id(id).build()
    }

    fn refused(code: &str) -> PutEventsResultEntry {
        PutEventsResultEntry::builder().error_code(code).error_message("m").build()
    }

    fn words(sent: usize, failed: i32, entries: Vec<PutEventsResultEntry>) -> Vec<&'static str> {
        let answer = PutEventsOutput::builder().failed_entry_count(failed).set_entries(Some(entries)).build();
        let word = |outcome: &Outcome| match outcome {
            Outcome::Delivered { .. } => "delivered",
            Outcome::Accepted { .. } => "accepted",
            Outcome::Busy { .. } => "busy",
            Outcome::Failed { .. } => "failed",
            Outcome::Rejected { .. } => "rejected",
        };
        outcomes(sent, &answer).iter().map(word).collect()
    }

    #[test]
    fn each_entry_has_its_own_outcome() {
        for (code, expected) in [
            ("ThrottlingException", "busy"),
            ("InternalFailure", "busy"),
            ("InternalException", "busy"),
            ("ServiceUnavailable", "busy"),
            ("AccessDeniedException", "busy"),
            ("MalformedDetail", "rejected"),
            ("InvalidArgument", "rejected"),
            ("NotAuthorizedForSourceException", "rejected"),
            ("RedactionFailure", "failed"),
            ("SomethingNew", "failed"),
        ] {
            let said = words(3, 1, vec![accepted("1"), refused(code), accepted("3")]);
            assert_eq!(said, ["delivered", expected, "delivered"], "{code}");
        }
    }

    #[test]
    fn what_is_not_said_to_be_taken_does_not_count_as_taken() {
        assert_eq!(words(2, 0, vec![accepted("1")]), ["delivered", "failed"], "too few answers");
        assert_eq!(words(1, 0, vec![accepted("1"), accepted("2")]), ["delivered"], "too many");
        assert_eq!(words(2, 0, Vec::new()), ["failed", "failed"], "none");
        let neither = PutEventsResultEntry::builder().build();
        assert_eq!(words(2, 0, vec![neither, accepted("2")]), ["failed", "delivered"]);
        let both = PutEventsResultEntry::builder().event_id("1").error_code("MalformedDetail").build();
        assert_eq!(words(1, 1, vec![both]), ["rejected"]);
    }

    #[test]
    fn what_has_an_id_is_not_sent_again_whatever_the_count_says() {
        assert_eq!(words(2, 1, vec![accepted("1"), accepted("2")]), ["delivered", "delivered"]);
        assert_eq!(words(2, 2, vec![accepted("1"), refused("InternalFailure")]), ["delivered", "busy"]);
        for (counted, entries, told) in [
            (1, vec![accepted("1"), accepted("2")], true),
            (2, vec![accepted("1"), refused("InternalFailure")], true),
            (1, vec![accepted("1"), refused("InternalFailure")], false),
            (0, vec![accepted("1")], false),
            (-1, vec![accepted("1")], false),
        ] {
            let answer = PutEventsOutput::builder().failed_entry_count(counted).set_entries(Some(entries)).build();
            assert_eq!(miscounted(&answer).is_some(), told, "{counted}");
        }
    }
}
