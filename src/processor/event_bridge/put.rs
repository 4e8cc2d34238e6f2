//! One attempt: a request with up to ten events, and what AWS says of each.

use aws_sdk_eventbridge::operation::put_events::PutEventsOutput;
use aws_sdk_eventbridge::types::{PutEventsRequestEntry, PutEventsResultEntry};
use futures_util::future::join_all;

use super::EventBridge;
use super::entry::{entry, weight};
use super::failure::{Failure, Kind, failure, kind_of};
use crate::attempt::{Delivery, Outcome, Reason};
use crate::processor::{excerpt, one_line};

/// As many events go in one request.
pub(super) const MOST_ENTRIES: usize = 10;

impl EventBridge {
    /// Makes one attempt with a batch.
    pub(super) async fn put(&self, batch: &[Delivery]) -> Vec<Outcome> {
        let too_large: Vec<_> = batch.iter().map(|delivery| self.too_large(delivery)).collect();
        let fits = batch.iter().zip(&too_large).filter(|(_, too_large)| too_large.is_none());
        let entries: Vec<_> = fits.map(|(delivery, _)| entry(&delivery.event, &self.config.bus.text)).collect();
        let mut answers = self.put_entries(entries).await.into_iter();
        let lost = || failed("the attempt had no outcome".to_owned());
        too_large.into_iter().map(|rejected| rejected.or_else(|| answers.next()).unwrap_or_else(lost)).collect()
    }

    /// Why AWS would never take it, whoever else is in the request.
    fn too_large(&self, delivery: &Delivery) -> Option<Outcome> {
        let (bytes, most) = (weight(&delivery.event), self.config.max_request_bytes);
        (bytes > most).then(|| {
            let text =
                format!("the event has {bytes} bytes as AWS counts, and {most} are allowed (aws_max_request_bytes)");
            Outcome::Rejected { why: Reason { status: None, text } }
        })
    }

    async fn put_entries(&self, entries: Vec<PutEventsRequestEntry>) -> Vec<Outcome> {
        if entries.is_empty() {
            return Vec::new();
        }
        let sent = entries.len();
        match self.call(entries.clone()).await {
            Ok(answer) => outcomes(sent, &answer),
            // One of them spoils it for all: each shows for itself.
            Err(Failure { kind: Kind::Invalid | Kind::TooLarge, .. }) if sent > 1 => {
                let alone = entries.into_iter().map(|entry| async {
                    match self.call(vec![entry]).await {
                        Ok(answer) => outcomes(1, &answer).swap_remove(0),
                        Err(failure) => outcome(failure),
                    }
                });
                join_all(alone).await
            }
            Err(failure) => {
                let same = outcome(failure);
                vec![same; sent]
            }
        }
    }

    /// Sends one request.
    pub(super) async fn call(&self, entries: Vec<PutEventsRequestEntry>) -> Result<PutEventsOutput, Failure> {
        let sdk = self.aws.sdk().await;
        let answer = sdk.events.put_events().set_entries(Some(entries)).send().await;
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) => {
                let failure = failure("PutEvents", &error);
                if failure.kind == Kind::Credentials {
                    self.aws.refused(&sdk).await;
                }
                Err(failure)
            }
        }
    }
}

fn failed(text: String) -> Outcome {
    Outcome::Failed { after: None, why: Reason { status: Some(200), text } }
}

/// What a request that came to nothing means for each event in it.
pub(super) fn outcome(Failure { kind, why, after }: Failure) -> Outcome {
    match kind {
        Kind::Busy | Kind::Credentials | Kind::Missing => Outcome::Busy { after, why },
        Kind::Invalid | Kind::TooLarge => Outcome::Rejected { why },
        Kind::Unknown => Outcome::Failed { after, why },
    }
}

/// What AWS says of each of so many events.
pub(super) fn outcomes(sent: usize, answer: &PutEventsOutput) -> Vec<Outcome> {
    let entries = answer.entries();
    let refused = entries.iter().filter(|entry| !is_accepted(entry)).count();
    // It knows of more that failed than it names: any may be meant.
    let unnamed = usize::try_from(answer.failed_entry_count()).unwrap_or(0) > refused;
    let of_one = |at: usize| match entries.get(at) {
        None => failed(format!("PutEvents answered for {} of {sent} events, and not for this one", entries.len())),
        Some(entry) if is_accepted(entry) && unnamed => {
            failed(format!("PutEvents says that {} events failed, and not which", answer.failed_entry_count()))
        }
        Some(entry) if is_accepted(entry) => Outcome::Delivered { status: Some(200) },
        Some(entry) => refusal(entry),
    };
    (0..sent).map(of_one).collect()
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
        assert_eq!(words(2, 1, vec![accepted("1"), accepted("2")]), ["failed", "failed"], "one failed, and which?");
        let neither = PutEventsResultEntry::builder().build();
        assert_eq!(words(2, 0, vec![neither, accepted("2")]), ["failed", "delivered"]);
        let both = PutEventsResultEntry::builder().event_id("1").error_code("MalformedDetail").build();
        assert_eq!(words(1, 1, vec![both]), ["rejected"]);
    }
}
