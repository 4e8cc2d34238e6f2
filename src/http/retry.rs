//! What a server says of when to come again.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;

/// The longest wait that anybody may ask for.
const MOST_ASKED: Duration = Duration::from_secs(60 * 60);

/// The wait that the value of a `Retry-After` asks for, bounded; none if it asks for none.
#[must_use]
pub fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let wait = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // What does not fit is long enough.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        SystemTime::from(http_date(text)?).duration_since(now).ok()?
    };
    (!wait.is_zero()).then(|| wait.min(MOST_ASKED))
}

/// An HTTP-date in any of its three forms.
fn http_date(text: &str) -> Option<Timestamp> {
    if let Ok(date) = rfc2822::DateTimeParser::new().parse_timestamp(text) {
        return Some(date);
    }
    ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"].iter().find_map(|format| {
        let date = DateTime::strptime(format, text).ok()?;
        Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })
}
