//! Collectors: vCenter's views of its history, and the wait for their news.

use std::time::Duration;

use bytes::Bytes;

use super::session::{Seen, Session, format_time, read_seen};
use super::timing::micros;
use super::version;
use super::wire::CallError;
use crate::vim25::soap::{AnswerError, Call, Ref, open_answer};

/// Events of one full page.
pub(super) const PAGE: usize = 1000;

/// The news of a wait for updates.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// What to give with the next wait.
    pub(super) version: Option<String>,
    /// Whether anything changed.
    pub(super) any: bool,
    /// The newest event that the collector's latest page shows.
    pub(super) newest: Option<Seen>,
}

impl Session {
    /// A collector of every event that is dated `begin` or later, but not later than `end`, and of the given types if any
    /// are given. It dies with the session.
    pub(super) async fn create_collector(
        &self,
        begin: i64,
        end: Option<i64>,
        types: &[String],
    ) -> Result<Ref, CallError> {
        // No entity: a root folder would leave out events on the folders themselves.
        let call = Call::new("CreateCollectorForEvents", &self.event_manager).nested("filter", |mut call| {
            call = call.nested("time", |call| {
                let call = call.text("beginTime", &format_time(begin));
                if let Some(end) = end { call.text("endTime", &format_time(end)) } else { call }
            });
            // Unset, it means no message by the letter of the documentation.
            call = call.text("disableFullMessage", "false");
            for name in types {
                call = call.text("eventTypeId", name);
            }
            // The latest page is only the bell: reading goes through the history. Older servers do not know this
            // element, and have ten events on that page.
            if version::at_least(&self.content.api_version, "6.5") { call.text("maxCount", "1") } else { call }
        });
        self.create(call).await
    }

    /// The collector's next events, at most `count`; an unread page. None are there at its present end.
    pub(super) async fn read_next(&self, collector: &Ref, count: usize) -> Result<Bytes, CallError> {
        let call = Call::new("ReadNextEvents", collector).text("maxCount", itoa::Buffer::new().format(count));
        self.call(call, self.timing.page).await
    }

    /// Asks for news of the collector's latest page.
    pub(super) async fn create_filter(&self, collector: &Ref) -> Result<Ref, CallError> {
        let call = Call::new("CreateFilter", &self.content.property_collector)
            .nested("spec", |call| {
                call.nested("propSet", |call| call.text("type", "EventHistoryCollector").text("pathSet", "latestPage"))
                    .nested("objectSet", |call| call.reference("obj", collector).text("skip", "false"))
            })
            .text("partialUpdates", "false");
        self.create(call).await
    }

    /// Waits until there is news; no news after a while.
    pub(super) async fn wait(&self, known: String) -> Result<News, CallError> {
        let seconds = self.timing.max_wait.as_secs().max(1);
        let call = Call::new("WaitForUpdatesEx", &self.content.property_collector)
            .text("version", &known)
            .nested("options", |call| call.text("maxWaitSeconds", itoa::Buffer::new().format(seconds)));
        // The answer may come that late, and then some.
        let timeout = self.timing.max_wait.max(Duration::from_secs(1)) + self.timing.call;
        match self.call(call, timeout).await {
            Ok(body) => read_news(&body).map_err(|error| CallError::of_answer("WaitForUpdatesEx", error)),
            // Somebody cancelled it: asked again, it waits again.
            Err(error) if error.fault() == Some("RequestCanceled") => Ok(News::default()),
            // The server has forgotten what we know: it tells everything anew.
            Err(error) if error.fault() == Some("InvalidCollectorVersion") && !known.is_empty() => {
                Ok(News { version: Some(String::new()), any: true, newest: None })
            }
            Err(error) => Err(error),
        }
    }
}

/// Reads an UpdateSet. Every event in it counts as evidence that it exists, however the property was sent.
fn read_news(body: &[u8]) -> Result<News, AnswerError> {
    let mut reader = open_answer(body)?;
    let mut news = News::default();
    if reader.child()? != Some("returnval") {
        return Ok(news);
    }
    while let Some(name) = reader.child()? {
        match name {
            "version" => news.version = Some(reader.text_of_element()?.into_owned()),
            "filterSet" => {
                while let Some(name) = reader.child()? {
                    if name != "objectSet" {
                        reader.skip_element()?;
                        continue;
                    }
                    news.any = true;
                    while let Some(name) = reader.child()? {
                        if name != "changeSet" {
                            reader.skip_element()?;
                            continue;
                        }
                        while let Some(name) = reader.child()? {
                            if name != "val" {
                                reader.skip_element()?;
                                continue;
                            }
                            let array = reader.xsi_type().is_none_or(|kind| kind.ends_with("ArrayOfEvent"));
                            let mut see = |seen: Option<Seen>| {
                                news.newest = news.newest.max_by_time(seen);
                            };
                            if array {
                                while reader.child()?.is_some() {
                                    see(read_seen(&mut reader)?);
                                }
                            } else {
                                see(read_seen(&mut reader)?);
                            }
                        }
                    }
                }
            }
            _ => reader.skip_element()?,
        }
    }
    Ok(news)
}

/// The later of two events.
pub(super) trait MaxByTime {
    /// The one that was created later; a known one before an unknown one.
    fn max_by_time(self, other: Self) -> Self;
}

impl MaxByTime for Option<Seen> {
    fn max_by_time(self, other: Self) -> Self {
        match (self, other) {
            (Some(a), Some(b)) => Some(if b.1 > a.1 { b } else { a }),
            (a, b) => a.or(b),
        }
    }
}

/// How far a look back may go: to a while before the newest event.
pub(super) fn look_back_until(newest: i64, margin: Duration) -> i64 {
    newest.saturating_sub(micros(margin))
}

#[cfg(test)]
mod tests {
    use super::super::session::parse_time;
    use super::*;

    fn wire(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/tests/fixtures/wire/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn news_tell_the_newest_event() {
        let first = read_news(&wire("wire-19-WaitForUpdatesEx-initial-res.xml")).unwrap();
        let newest = Some((37, parse_time("2026-11-22T10:44:29.842235046Z").unwrap()));
        assert_eq!(first, News { version: Some("-".to_owned()), any: true, newest });
        let later = read_news(&wire("wire-21-WaitForUpdatesEx-modify-res.xml")).unwrap();
        assert_eq!(later.newest.unwrap().0, 39);
        let none = read_news(&wire("wire-20-WaitForUpdatesEx-timeout-empty-res.xml")).unwrap();
        assert_eq!(none, News::default());
    }

    #[test]
    fn a_single_event_as_a_partial_update_counts_too() {
        let body = br#"<E:Envelope xmlns:E="e"><E:Body><R><returnval><version>7</version><filterSet><filter/><objectSet>
            <kind>modify</kind><obj/><changeSet><name>latestPage["9"]</name><op>add</op><val xsi:type="VmPoweredOnEvent">
            <key>9</key><createdTime>2026-11-22T10:44:29Z</createdTime></val></changeSet></objectSet></filterSet>
            </returnval></R></E:Body></E:Envelope>"#;
        assert_eq!(read_news(body).unwrap().newest.unwrap().0, 9);
    }
}
