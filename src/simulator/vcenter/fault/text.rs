//! Faults as text: what the command line, a schedule and the control address say.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{Fault, Planned, When, soap_kinds};

/// Every fault: its name, its form with the values that it has if it is not given any, and what happens.
pub const FORMS: &[(&str, &str, &str)] = &[
    ("session-expiry", "session-expiry", "every session ends, with its collectors and filters"),
    (
        "restart",
        "restart=same-keys,2s",
        "vpxd starts anew; with new-keys its database is empty, and keys begin at 1 again",
    ),
    ("restore", "restore=500,2s", "the same, and the newest 500 events are gone; their keys are used again"),
    ("hang", "hang", "the next call is never answered"),
    ("half-open", "half-open", "every open connection falls silent, and stays open"),
    ("truncated", "truncated", "the next page of events breaks off"),
    ("unavailable", "unavailable=3s", "a proxy answers with HTML and 503"),
    ("soap", "soap=NotAuthenticated:ReadNextEvents", "the next call, or the next of that method, gets this SOAP fault"),
    ("hidden", "hidden=1500", "1500 events happen that the user may not see"),
    ("key-wrap", "key-wrap", "keys jump to just before 2147483647, and wrap"),
    ("late", "late=20,30s", "20 events appear whose time is 30 s ago, behind what was read already"),
    ("equal-times", "equal-times=1000", "1000 events happen at one and the same time"),
    ("clock", "clock=+2h", "the clock is set, forwards or (clock=-10m) back"),
    ("unknown-type", "unknown-type=5", "5 events happen of a class that nobody knows"),
    ("undecodable", "undecodable=3", "3 events happen that cannot be decoded"),
    ("slow", "slow=300ms,10s", "for 10 s every answer takes 300 ms longer"),
    ("collectors", "collectors=3s", "for 3 s no collector can be created"),
    ("login", "login=3s", "for 3 s every login is refused"),
    ("expired", "expired=100", "sessions end, and all events but the newest 100 are deleted"),
];

/// Every form of a moment, and what it means.
pub const WHENS: &[(&str, &str)] = &[
    ("@5000", "when 5000 events have happened"),
    ("@every:5000", "after every 5000 events"),
    ("@random:20/100000", "at 20 random moments among 100000 events"),
    ("@10s", "after 10 s"),
    ("@every:30s", "every 30 s"),
];

/// The most events that one fault can make.
const MOST_EVENTS: u64 = 100_000;
/// The most moments that one fault can be planned for.
const MOST_MOMENTS: u64 = 100_000;
/// The longest that one fault can last.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// The furthest that a clock can be set at once: vCenter's times stay within what a calendar holds.
const FURTHEST: Duration = Duration::from_secs(3_660 * 24 * 60 * 60);

/// What is wrong with the text of a fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WordsError(String);

impl From<&str> for WordsError {
    fn from(why: &str) -> Self {
        Self(why.to_owned())
    }
}

fn wrong<T>(why: impl Into<String>) -> Result<T, WordsError> {
    Err(WordsError(why.into()))
}

/// The nearest of these names, if one is near.
fn meant<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> String {
    let nearest = names.map(|name| (strsim::jaro_winkler(text, name), name)).max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((near, name)) if near > 0.75 => format!("; did you mean \"{name}\"?"),
        _ => String::new(),
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*millis).map(Duration::from_millis)
}

/// A duration in the largest unit that it is whole in.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        let whole = UNITS.iter().rev().find(|(_, unit)| millis.is_multiple_of(u128::from(*unit)));
        let (name, unit) = whole.copied().unwrap_or(UNITS[0]);
        write!(f, "{}{name}", millis / u128::from(unit))
    }
}

/// The values behind a fault's name, each taken once.
struct Values<'a> {
    form: &'static str,
    left: std::vec::IntoIter<&'a str>,
}

impl<'a> Values<'a> {
    fn wrong<T>(&self, why: impl fmt::Display) -> Result<T, WordsError> {
        wrong(format!("{why}; it is written like {}", self.form))
    }

    fn next(&mut self) -> Option<&'a str> {
        self.left.next()
    }

    fn span(&mut self, usual: Duration) -> Result<Duration, WordsError> {
        let Some(text) = self.next() else { return Ok(usual) };
        match duration(text) {
            Some(span) if span <= LONGEST => Ok(span),
            Some(_) => self.wrong(format_args!("\"{text}\" is longer than {}", Span(LONGEST))),
            None => self.wrong(format_args!("\"{text}\" is no duration such as 300ms, 10s or 2m")),
        }
    }

    fn count(&mut self, usual: u64) -> Result<u64, WordsError> {
        let Some(text) = self.next() else { return Ok(usual) };
        match text.parse() {
            Ok(count) if count <= MOST_EVENTS => Ok(count),
            Ok(_) => self.wrong(format_args!("{text} events are more than {MOST_EVENTS}")),
            Err(_) => self.wrong(format_args!("\"{text}\" is no number of events")),
        }
    }

    fn end(mut self) -> Result<(), WordsError> {
        match self.next() {
            Some(text) => self.wrong(format_args!("\"{text}\" is too much")),
            None => Ok(()),
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

impl FromStr for Fault {
    type Err = WordsError;

    fn from_str(text: &str) -> Result<Self, WordsError> {
        let (name, values) = match text.split_once('=') {
            Some((name, values)) => (name.trim(), values.split(',').map(str::trim).collect()),
            None => (text.trim(), Vec::new()),
        };
        let Some((_, form, _)) = FORMS.iter().find(|(known, ..)| *known == name) else {
            let names = || FORMS.iter().map(|(name, ..)| *name);
            return wrong(format!("there is no fault \"{name}\"{}; there are {}", meant(name, names()), list(names())));
        };
        let mut values = Values { form, left: values.into_iter() };
        let fault = match name {
            "session-expiry" => Self::SessionExpiry,
            "restart" => {
                let new_keys = match values.next() {
                    None | Some("same-keys") => false,
                    Some("new-keys") => true,
                    Some(other) => {
                        return values.wrong(format_args!("\"{other}\" is neither same-keys nor new-keys"));
                    }
                };
                Self::Restart { new_keys, away: values.span(2 * SECOND)? }
            }
            "restore" => Self::Restore { events: values.count(500)?, away: values.span(2 * SECOND)? },
            "hang" => Self::Hang,
            "half-open" => Self::HalfOpen,
            "truncated" => Self::Truncated,
            "unavailable" => Self::Unavailable(values.span(3 * SECOND)?),
            "soap" => soap(&mut values)?,
            "hidden" => Self::Hidden(values.count(1_500)?),
            "key-wrap" => Self::KeyWrap,
            "late" => Self::Late { events: values.count(20)?, age: values.span(30 * SECOND)? },
            "equal-times" => Self::EqualTimes(values.count(1_000)?),
            "clock" => Self::Clock(clock(&mut values)?),
            "unknown-type" => Self::UnknownType(values.count(5)?),
            "undecodable" => Self::Undecodable(values.count(3)?),
            "slow" => Self::Slow { by: values.span(SECOND * 3 / 10)?, lasts: values.span(10 * SECOND)? },
            "collectors" => Self::TooManyCollectors(values.span(3 * SECOND)?),
            "login" => Self::Login(values.span(3 * SECOND)?),
            _ => Self::Expired { keep: values.count(100)? },
        };
        values.end()?;
        Ok(fault)
    }
}

fn soap(values: &mut Values<'_>) -> Result<Fault, WordsError> {
    let Some(text) = values.next() else { return values.wrong("which SOAP fault?") };
    let (kind, method) = match text.split_once(':') {
        Some((kind, method)) => (kind.trim(), Some(method.trim())),
        None => (text, None),
    };
    if !soap_kinds::NAMES.contains(&kind) {
        let names = || soap_kinds::NAMES.iter().copied();
        return wrong(format!(
            "there is no SOAP fault \"{kind}\"{}; there are {}",
            meant(kind, names()),
            list(names())
        ));
    }
    if method.is_some_and(|method| method.is_empty() || !method.chars().all(|c| c.is_ascii_alphanumeric())) {
        return values.wrong(format_args!("\"{}\" is no method", method.unwrap_or_default()));
    }
    Ok(Fault::Soap { kind: kind.to_owned(), method: method.map(str::to_owned) })
}

fn clock(values: &mut Values<'_>) -> Result<i64, WordsError> {
    let text = values.next().unwrap_or("+2h");
    let (sign, span) = match text.strip_prefix('-') {
        Some(span) => (-1, span),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    match duration(span) {
        Some(span) if span > FURTHEST => values.wrong(format_args!("\"{text}\" is more than {}", Span(FURTHEST))),
        Some(span) if span.subsec_nanos() == 0 => Ok(sign * i64::try_from(span.as_secs()).unwrap_or(i64::MAX)),
        _ => values.wrong(format_args!("\"{text}\" is no whole seconds, minutes or hours such as +2h or -10m")),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Self::SessionExpiry | Self::Hang | Self::HalfOpen | Self::Truncated | Self::KeyWrap => f.write_str(name),
            Self::Restart { new_keys, away } => {
                write!(f, "{name}={},{}", if *new_keys { "new-keys" } else { "same-keys" }, Span(*away))
            }
            Self::Restore { events, away: span } | Self::Late { events, age: span } => {
                write!(f, "{name}={events},{}", Span(*span))
            }
            Self::Unavailable(span) | Self::TooManyCollectors(span) | Self::Login(span) => {
                write!(f, "{name}={}", Span(*span))
            }
            Self::Soap { kind, method: None } => write!(f, "{name}={kind}"),
            Self::Soap { kind, method: Some(method) } => write!(f, "{name}={kind}:{method}"),
            Self::Hidden(events)
            | Self::EqualTimes(events)
            | Self::UnknownType(events)
            | Self::Undecodable(events)
            | Self::Expired { keep: events } => write!(f, "{name}={events}"),
            Self::Clock(seconds) => {
                let span = Span(Duration::from_secs(seconds.unsigned_abs()));
                write!(f, "{name}={}{span}", if *seconds < 0 { '-' } else { '+' })
            }
            Self::Slow { by, lasts } => write!(f, "{name}={},{}", Span(*by), Span(*lasts)),
        }
    }
}

impl Fault {
    /// The name that it goes by, without its values.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::SessionExpiry => "session-expiry",
            Self::Restart { .. } => "restart",
            Self::Restore { .. } => "restore",
            Self::Hang => "hang",
            Self::HalfOpen => "half-open",
            Self::Truncated => "truncated",
            Self::Unavailable(_) => "unavailable",
            Self::Soap { .. } => "soap",
            Self::Hidden(_) => "hidden",
            Self::KeyWrap => "key-wrap",
            Self::Late { .. } => "late",
            Self::EqualTimes(_) => "equal-times",
            Self::Clock(_) => "clock",
            Self::UnknownType(_) => "unknown-type",
            Self::Undecodable(_) => "undecodable",
            Self::Slow { .. } => "slow",
            Self::TooManyCollectors(_) => "collectors",
            Self::Login(_) => "login",
            Self::Expired { .. } => "expired",
        }
    }
}

fn when_wrong<T>(text: &str) -> Result<T, WordsError> {
    wrong(format!("\"@{text}\" is no moment; there are {}", list(WHENS.iter().map(|(form, _)| *form))))
}

impl FromStr for When {
    type Err = WordsError;

    /// What follows `@`.
    fn from_str(text: &str) -> Result<Self, WordsError> {
        let count = |text: &str| text.parse::<u64>().ok().filter(|count| *count > 0);
        let span = |text: &str| duration(text).filter(|span| *span <= LONGEST);
        let when = if let Some(text) = text.strip_prefix("every:") {
            count(text)
                .map(Self::EveryEvents)
                .or_else(|| span(text).filter(|span| *span >= Duration::from_millis(10)).map(Self::Every))
        } else if let Some((times, among)) = text.strip_prefix("random:").and_then(|text| text.split_once('/')) {
            match (count(times), count(among)) {
                (Some(times), Some(among)) if times > among || times > MOST_MOMENTS => {
                    return wrong(format!(
                        "\"@{text}\": {among} events do not have {times} moments, or they are too many"
                    ));
                }
                (Some(times), Some(among)) => Some(Self::Random(times, among)),
                _ => None,
            }
        } else {
            count(text).map(Self::Event).or_else(|| span(text).map(Self::After))
        };
        when.map_or_else(|| when_wrong(text), Ok)
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => Ok(()),
            Self::Event(at) => write!(f, "@{at}"),
            Self::EveryEvents(events) => write!(f, "@every:{events}"),
            Self::Random(times, among) => write!(f, "@random:{times}/{among}"),
            Self::After(span) => write!(f, "@{}", Span(*span)),
            Self::Every(span) => write!(f, "@every:{}", Span(*span)),
        }
    }
}

impl FromStr for Planned {
    type Err = WordsError;

    fn from_str(text: &str) -> Result<Self, WordsError> {
        let (fault, when) = match text.split_once('@') {
            Some((fault, when)) => (fault, when.trim().parse()?),
            None => (text, When::Now),
        };
        Ok(Self { fault: fault.parse()?, when })
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.fault, self.when)
    }
}

impl Planned {
    /// Reads a schedule: a fault on each line; what follows `#` is a comment.
    ///
    /// # Errors
    /// A line is none, with its number.
    pub fn schedule(text: &str) -> Result<Vec<Self>, WordsError> {
        let mut planned = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                planned.push(line.parse().map_err(|error| WordsError(format!("line {}: {error}", at + 1)))?);
            }
        }
        Ok(planned)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span() -> impl Strategy<Value = Duration> {
        (0..=86_400_000_u64).prop_map(Duration::from_millis)
    }

    fn any_fault() -> impl Strategy<Value = Fault> {
        let count = || 0..=MOST_EVENTS;
        prop_oneof![
            Just(Fault::SessionExpiry),
            (any::<bool>(), span()).prop_map(|(new_keys, away)| Fault::Restart { new_keys, away }),
            (count(), span()).prop_map(|(events, away)| Fault::Restore { events, away }),
            Just(Fault::Hang),
            Just(Fault::HalfOpen),
            Just(Fault::Truncated),
            span().prop_map(Fault::Unavailable),
            (prop::sample::select(soap_kinds::NAMES), prop::option::of("[A-Za-z]{1,20}"))
                .prop_map(|(kind, method)| Fault::Soap { kind: kind.to_owned(), method }),
            count().prop_map(Fault::Hidden),
            Just(Fault::KeyWrap),
            (count(), span()).prop_map(|(events, age)| Fault::Late { events, age }),
            count().prop_map(Fault::EqualTimes),
            (-316_000_000..=316_000_000_i64).prop_map(Fault::Clock),
            count().prop_map(Fault::UnknownType),
            count().prop_map(Fault::Undecodable),
            (span(), span()).prop_map(|(by, lasts)| Fault::Slow { by, lasts }),
            span().prop_map(Fault::TooManyCollectors),
            span().prop_map(Fault::Login),
            count().prop_map(|keep| Fault::Expired { keep }),
        ]
    }

    fn any_when() -> impl Strategy<Value = When> {
        prop_oneof![
            Just(When::Now),
            (1..u64::MAX).prop_map(When::Event),
            (1..u64::MAX).prop_map(When::EveryEvents),
            (1..=MOST_MOMENTS, MOST_MOMENTS..u64::MAX).prop_map(|(times, among)| When::Random(times, among)),
            span().prop_map(When::After),
            span().prop_map(|span| When::Every(span.max(Duration::from_millis(10)))),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(fault in any_fault(), when in any_when()) {
            let planned = Planned { fault, when };
            prop_assert_eq!(planned.to_string().parse::<Planned>(), Ok(planned));
        }

        #[test]
        fn whatever_is_said_it_is_a_fault_or_an_error(text in ".{0,40}") {
            drop(text.parse::<Planned>());
        }
    }

    #[test]
    fn every_form_is_read_and_named_as_it_says() {
        for (name, form, _) in FORMS {
            let fault: Fault = form.parse().unwrap();
            assert_eq!((fault.name(), &fault.to_string()), (*name, &(*form).to_owned()));
            // Its values are those that it has without any.
            if *name != "soap" {
                assert_eq!(name.parse(), Ok(fault));
            }
        }
        for (form, _) in WHENS {
            assert_eq!(form.strip_prefix('@').unwrap().parse::<When>().unwrap().to_string(), *form);
        }
    }

    #[test]
    fn values_may_be_left_out_from_the_end() {
        let restart = |new_keys, away| Ok(Fault::Restart { new_keys, away: Duration::from_millis(away) });
        assert_eq!("restart=new-keys".parse(), restart(true, 2_000));
        assert_eq!("restart = new-keys , 50ms".parse(), restart(true, 50));
        assert_eq!("clock=10m".parse(), Ok(Fault::Clock(600)));
        assert_eq!("late=3".parse(), Ok(Fault::Late { events: 3, age: Duration::from_secs(30) }));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, part) in [
            ("restrat", "did you mean \"restart\"?; there are session-expiry, restart,"),
            ("", "there are session-expiry"),
            ("restart=old-keys", "\"old-keys\" is neither same-keys nor new-keys; it is written like restart="),
            ("restart=new-keys,2", "\"2\" is no duration"),
            ("restart=new-keys,2s,3s", "\"3s\" is too much"),
            ("hang=1", "\"1\" is too much"),
            ("slow=25h", "longer than 1d"),
            ("hidden=100001", "more than 100000"),
            ("hidden=-1", "no number of events"),
            ("soap", "which SOAP fault?"),
            ("soap=InvalidStat", "did you mean \"InvalidState\"?"),
            ("soap=InvalidState:", "is no method"),
            ("soap=InvalidState:a b", "is no method"),
            ("clock=300ms", "no whole seconds"),
            ("clock=99999d", "more than 3660d"),
            ("hang@soon", "\"@soon\" is no moment; there are @5000,"),
            ("hang@0", "is no moment"),
            ("hang@every:0s", "is no moment"),
            ("hang@random:5/3", "do not have 5 moments"),
            ("hang@random:5", "is no moment"),
            ("hidden=99999999999999999999999s", "no number"),
            ("slow=99999999999999999d", "no duration"),
        ] {
            let error = text.parse::<Planned>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_schedule_has_lines_and_comments() {
        let planned = Planned::schedule("# none\n\nhang # at once\n restart@10s\n").unwrap();
        assert_eq!(planned.iter().map(ToString::to_string).collect::<Vec<_>>(), ["hang", "restart=same-keys,2s@10s"]);
        let error = Planned::schedule("hang\nhangs\n").unwrap_err().to_string();
        assert!(error.starts_with("line 2: there is no fault \"hangs\"; did you mean \"hang\"?"), "{error}");
    }
}
