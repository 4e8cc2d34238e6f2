//! What may be configured, as tables: the single source for parsing, for the
//! JSON Schema, and for the test that holds the documentation.

use std::time::Duration;

use url::Url;

use super::problem::{Complaint, listed, shown};

/// What kind of value an option holds. In the file every value is a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// Such as `500ms`, `15s`, `24h`.
    Duration {
        /// The least.
        min: Duration,
        /// The most.
        max: Duration,
    },
    /// Such as `64MiB`, in bytes.
    Size {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A whole number.
    Integer {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// Any text but none.
    Text,
    /// Texts separated by commas. An empty list is as good as none.
    List,
    /// A URL with `http` or `https`.
    Url,
    /// The path of a file.
    File,
    /// Paths of files, separated by commas.
    Files,
    /// One of these.
    Choice(&'static [&'static str]),
    /// What the provider itself understands.
    Special {
        /// What it is, for people.
        name: &'static str,
        /// The regular expression of what it looks like.
        pattern: &'static str,
    },
}

/// One option, or one field of `auth.secret`.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// Its key.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// What holds if it is not given.
    pub default: Option<&'static str>,
    /// Whether it must be given.
    pub required: bool,
    /// What it means.
    pub doc: &'static str,
    /// A value that it may have.
    pub example: &'static str,
}

/// Where the address of a provider leads, and whether it must be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// There is none.
    None,
    /// A URL of another server.
    Url,
    /// Where to listen.
    Bind,
    /// A folder of this machine.
    Folder,
}

/// The address of a provider.
#[derive(Clone, Copy, Debug)]
pub struct AddressSpec {
    /// Where it leads.
    pub kind: AddressKind,
    /// What holds if it is not given. Without a default it must be given.
    pub default: Option<&'static str>,
    /// What it means.
    pub doc: &'static str,
    /// An address that it may have.
    pub example: &'static str,
}

/// One way to authenticate.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// The value of `auth.method`.
    pub name: &'static str,
    /// The fields of `auth.secret`; those that are required must be given.
    pub secrets: &'static [OptionSpec],
    /// What it means.
    pub doc: &'static str,
}

/// How a provider authenticates.
#[derive(Clone, Copy, Debug)]
pub struct AuthSpec {
    /// Whether `auth` must be given.
    pub required: bool,
    /// The ways that there are.
    pub methods: &'static [Method],
}

/// What an entry of the configuration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SectionKind {
    /// Where events come from.
    Stream,
    /// Where they go.
    Processor,
    /// The metrics server.
    Metrics,
    /// Where events wait.
    Journal,
}

impl SectionKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Stream, Self::Processor, Self::Metrics, Self::Journal];

    /// The value of `type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Processor => "processor",
            Self::Metrics => "metrics",
            Self::Journal => "journal",
        }
    }
}

/// One provider: all that an entry that names it may hold.
#[derive(Clone, Copy, Debug)]
pub struct Provider {
    /// The kind of entry.
    pub kind: SectionKind,
    /// The value of `provider`.
    pub name: &'static str,
    /// Its address.
    pub address: AddressSpec,
    /// Its authentication.
    pub auth: AuthSpec,
    /// Its options, in tables that providers share and its own.
    pub options: &'static [&'static [OptionSpec]],
    /// What it is.
    pub doc: &'static str,
}

impl Provider {
    /// Each option.
    pub fn options(&self) -> impl Iterator<Item = &'static OptionSpec> + use<> {
        self.options.iter().flat_map(|table| table.iter())
    }

    /// The fields of `auth.secret` of any method.
    pub fn secrets(&self) -> impl Iterator<Item = &'static OptionSpec> + use<> {
        self.auth.methods.iter().flat_map(|method| method.secrets.iter())
    }
}

/// No address.
pub const NO_ADDRESS: AddressSpec = AddressSpec { kind: AddressKind::None, default: None, doc: "", example: "" };

/// No authentication.
pub const NO_AUTH: AuthSpec = AuthSpec { required: false, methods: &[] };

/// `username` of user and password.
pub const USERNAME: OptionSpec = OptionSpec {
    name: "username",
    kind: Kind::Text,
    default: None,
    required: true,
    doc: "The user.",
    example: "admin",
};

/// `password` of user and password.
pub const PASSWORD: OptionSpec = OptionSpec {
    name: "password",
    kind: Kind::Text,
    default: None,
    required: true,
    doc: "The user's password.",
    example: "${file:/run/secrets/password}",
};

/// User and password for HTTP's basic authentication.
pub const BASIC_AUTH: Method =
    Method { name: "basic_auth", secrets: &[USERNAME, PASSWORD], doc: "User and password, with each request." };

/// True or false.
///
/// # Errors
///
/// It is neither.
pub fn parse_bool(text: &str) -> Result<bool, Complaint> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Complaint::new(format!("{} is neither true nor false", shown(text)), "write \"true\" or \"false\"")),
    }
}

/// Digits, then a unit.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    Some((digits.parse().ok()?, unit))
}

/// A duration of one part or more, such as `1h30m`.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60 * 1000,
            "h" => 60 * 60 * 1000,
            "d" => 24 * 60 * 60 * 1000,
            _ => return None,
        };
        sum = sum.checked_add(Duration::from_millis(number.checked_mul(millis)?))?;
        rest = after;
    }
    (!text.is_empty()).then_some(sum)
}

/// A duration within bounds.
///
/// # Errors
///
/// It is none, or out of bounds.
pub fn parse_duration(text: &str, min: Duration, max: Duration) -> Result<Duration, Complaint> {
    let Some(value) = duration(text) else {
        let what = format!("{} is not a duration", shown(text));
        return Err(Complaint::new(what, "write a whole number and ms, s, m, h or d, such as \"15s\""));
    };
    within(text, value, min, max, show_duration)
}

/// A duration as it may be configured.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let whole = units.into_iter().find(|(unit, _)| millis > 0 && millis.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{millis}ms"), |(unit, name)| format!("{}{name}", millis / unit))
}

const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1000),
    ("B", 1),
];

/// A size within bounds, in bytes.
///
/// # Errors
///
/// It is none, or out of bounds.
pub fn parse_size(text: &str, min: u64, max: u64) -> Result<u64, Complaint> {
    let number = |(number, unit): (u64, &str)| {
        let (_, bytes) = SIZES.iter().find(|(name, _)| *name == unit)?;
        number.checked_mul(*bytes)
    };
    let Some(value) = split_number(text).and_then(number) else {
        let what = format!("{} is not a size", shown(text));
        return Err(Complaint::new(what, "write a whole number and KiB, MiB or GiB, such as \"64MiB\""));
    };
    within(text, value, min, max, show_size)
}

/// A size as it may be configured.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    let whole =
        SIZES.iter().filter(|(name, _)| name.contains('i')).find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

/// A whole number within bounds.
///
/// # Errors
///
/// It is none, or out of bounds.
pub fn parse_integer(text: &str, min: u64, max: u64) -> Result<u64, Complaint> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // More digits than fit are more than any bound.
    let value = if digits { Some(text.parse().unwrap_or(u64::MAX)) } else { None };
    let Some(value) = value else {
        let what = format!("{} is not a whole number", shown(text));
        return Err(Complaint::new(what, format!("write one from {min} to {max}")));
    };
    within(text, value, min, max, |value| value.to_string())
}

fn within<T: PartialOrd + Copy>(
    text: &str,
    value: T,
    min: T,
    max: T,
    show: impl Fn(T) -> String,
) -> Result<T, Complaint> {
    let hint = || format!("write {} to {}", show(min), show(max));
    if value < min {
        return Err(Complaint::new(format!("{} is too little", shown(text)), hint()));
    }
    if value > max {
        return Err(Complaint::new(format!("{} is too much", shown(text)), hint()));
    }
    Ok(value)
}

/// Texts separated by commas, trimmed; those that are empty are left out.
#[must_use]
pub fn parse_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// One of several words.
///
/// # Errors
///
/// It is none of them.
pub fn parse_choice(text: &str, choices: &[&'static str]) -> Result<&'static str, Complaint> {
    choices.iter().find(|choice| **choice == text).copied().ok_or_else(|| {
        Complaint::new(
            format!("{} is unknown", shown(text)),
            format!("write one of {}", listed(choices.iter().copied())),
        )
    })
}

/// A URL with `http` or `https`, a host, and neither credentials nor query nor fragment.
///
/// # Errors
///
/// It is not such a URL. The complaint shows no part of it that may be a secret.
pub fn parse_url(text: &str) -> Result<Url, Complaint> {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    if !matches!(scheme.as_deref(), Some("http" | "https")) {
        return Err(Complaint::new(
            format!("{} does not begin with http:// or https://", shown(text)),
            "write one of them",
        ));
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        let what = format!("{} has spaces or backslashes", shown(text));
        return Err(Complaint::new(what, "remove them, or write them as %20 and %5C"));
    }
    let url = Url::parse(text).map_err(|error| {
        Complaint::new(format!("{} is not a URL ({error})", shown(text)), "compare with http://host:8080")
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Complaint::new("holds a user or password", "move them to auth.secret"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Complaint::new(
            format!("{} has a query or fragment", shown(text)),
            "remove what begins with ? or #",
        ));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [
            ("500ms", 500),
            ("15s", 15_000),
            ("2m", 120_000),
            ("24h", 86_400_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "15", "s", "1.5s", "-1s", "15 s", "1w", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(duration(text), None, "{text}");
        }
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(3600));
        assert_eq!(parse_duration("1ms", min, max).unwrap_err().hint, "write 100ms to 1h");
        assert_eq!(parse_duration("2h", min, max).unwrap_err().what, "\"2h\" is too much");
        assert_eq!(show_duration(Duration::from_secs(90)), "90s");
        assert_eq!(show_duration(Duration::ZERO), "0ms");
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("64MiB", 64 << 20), ("1KiB", 1024), ("2GiB", 2 << 30), ("10MB", 10_000_000), ("512B", 512)]
        {
            assert_eq!(parse_size(text, 0, u64::MAX), Ok(bytes), "{text}");
        }
        for text in ["", "64", "64 MiB", "64mib", "1.5GiB", "MiB", "99999999999TiB"] {
            assert_eq!(parse_size(text, 0, u64::MAX).unwrap_err().what, format!("\"{text}\" is not a size"));
        }
        assert_eq!(parse_size("1KiB", 1 << 20, 1 << 30).unwrap_err().hint, "write 1MiB to 1GiB");
    }

    #[test]
    fn whole_numbers() {
        assert_eq!(parse_integer("64", 1, 100), Ok(64));
        for text in ["", "x", "-1", "+1", "1.0", "0x1"] {
            assert!(parse_integer(text, 1, 100).unwrap_err().what.ends_with("is not a whole number"), "{text}");
        }
        assert_eq!(parse_integer("0", 1, 100).unwrap_err().what, "\"0\" is too little");
        assert_eq!(
            parse_integer("99999999999999999999999", 1, 100).unwrap_err().what,
            "\"99999999999999999999999\" is too much"
        );
    }

    #[test]
    fn lists() {
        assert_eq!(parse_list(" a , b,,c"), ["a", "b", "c"]);
        assert!(parse_list(" ,").is_empty());
    }

    #[test]
    fn urls() {
        assert_eq!(parse_url("http://gateway.openfaas:8080").unwrap().as_str(), "http://gateway.openfaas:8080/");
        for (text, what) in [
            ("gateway:8080", "\"gateway:8080\" does not begin with http:// or https://"),
            ("ftp://x", "\"ftp://x\" does not begin with http:// or https://"),
            ("http://", "\"http://\" is not a URL (empty host)"),
            ("http://a b", "\"http://a b\" has spaces or backslashes"),
            ("http://a:99999", "\"http://a:99999\" is not a URL (invalid port number)"),
            ("http://u:hunter2@x", "holds a user or password"),
            ("http://u:hunter2@x:y", "the value is not a URL (invalid port number)"),
            ("http://x?y", "\"http://x?y\" has a query or fragment"),
        ] {
            assert_eq!(parse_url(text).unwrap_err().what, what);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            prop_assert!(duration(&text).is_none_or(|value| value <= Duration::MAX));
            prop_assert!(parse_size(&text, 0, 9).map_or(true, |value| value <= 9));
            prop_assert!(parse_integer(&text, 0, 9).map_or(true, |value| value <= 9));
            prop_assert!(parse_url(&text).map_or(true, |url| url.password().is_none()));
            let url = format!("http://{text}");
            prop_assert!(parse_url(&url).map_or(true, |url| url.has_host()));
        }

        #[test]
        fn what_is_shown_can_be_configured(millis in 0..u64::from(u32::MAX)) {
            let value = Duration::from_millis(millis);
            prop_assert_eq!(duration(&show_duration(value)), Some(value));
            prop_assert_eq!(parse_size(&show_size(millis), 0, u64::MAX), Ok(millis));
        }
    }
}
