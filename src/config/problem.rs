//! What is wrong with a configuration, told so that a person can mend it.

use std::fmt::{self, Write as _};

use super::document::At;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where in the file.
    pub at: At,
    /// The field it is about, such as `options.async`.
    pub key: String,
    /// What is wrong. Never holds a secret.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl Problem {
    /// A problem at a place.
    #[must_use]
    pub fn new(at: At, key: impl Into<String>, complaint: Complaint) -> Self {
        Self { at, key: key.into(), what: complaint.what, hint: complaint.hint }
    }
}

/// What is wrong with a value and what to do, before it is known where the value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// What is wrong. Never holds a secret.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl Complaint {
    /// What is wrong; what to do.
    #[must_use]
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }
}

/// Everything that is wrong with one file, in the file's order. Each is shown
/// as `file:line:column: key: what is wrong; what to do`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    file: String,
    problems: Vec<Problem>,
}

impl Problems {
    /// Of a file, none yet.
    #[must_use]
    pub fn new(file: impl Into<String>) -> Self {
        Self { file: file.into(), problems: Vec::new() }
    }

    /// Adds some.
    pub fn extend(&mut self, problems: impl IntoIterator<Item = Problem>) {
        for problem in problems {
            // Mostly the end: entries are read in the file's order.
            let place = self.problems.partition_point(|other| other.at <= problem.at);
            self.problems.insert(place, problem);
        }
    }

    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        self.extend([problem]);
    }

    /// Whether all is well.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Each, in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }
}

/// No more of a key or value is shown.
const LONGEST: usize = 60;

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { at, key, what, hint }) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let place = format!("{}:{}:{}", self.file, at.line, at.column);
            let key: String = key.chars().take(LONGEST).collect();
            // Keys and paths come from outside, and a problem is one line.
            for part in [&place, ": ", &key, ": ", what, "; ", hint] {
                part.chars().try_for_each(|c| {
                    if c.is_control() { write!(f, "{}", c.escape_debug()) } else { f.write_char(c) }
                })?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A value as problems show it: short, on one line, and without what may be credentials.
#[must_use]
pub fn shown(value: &str) -> String {
    if value.contains('@') {
        return "the value".to_owned();
    }
    let mut text: String = value.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if value.chars().nth(LONGEST).is_some() {
        text.push_str("...");
    }
    format!("\"{text}\"")
}

/// Names one after the other, for hints.
#[must_use]
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// What to do about an unknown word, given the known ones.
#[must_use]
pub fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let word = plain(word);
    let near = known.into_iter().map(|name| (strsim::damerau_levenshtein(&word, &plain(name)), name));
    near.min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 1 + word.len() / 5)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_stand_in_the_file_s_order() {
        let mut problems = Problems::new("c.json");
        problems.push(Problem::new(At { line: 9, column: 2 }, "b", Complaint::new("is wrong", "mend it")));
        problems.push(Problem::new(At { line: 2, column: 7 }, "a", Complaint::new("is wrong", "mend it")));
        assert_eq!(problems.to_string(), "c.json:2:7: a: is wrong; mend it\nc.json:9:2: b: is wrong; mend it");
        assert_eq!(problems.iter().count(), 2);

        let mut problems = Problems::new("a\nb");
        let key = format!("\u{1b}\"{}", "x".repeat(100));
        problems.push(Problem::new(At::START, key, Complaint::new("is \0", "mend\rit")));
        let expected = format!("a\\nb:1:1: \\u{{1b}}\"{}: is \\0; mend\\rit", "x".repeat(58));
        assert_eq!(problems.to_string(), expected, "one problem is one line");
    }

    #[test]
    fn near_words_are_suggested() {
        let known = ["insecure", "root_cas", "max_attempts", "async"];
        assert_eq!(suggestion("Insecure", known), Some("insecure"));
        assert_eq!(suggestion("maxAttempts", known), Some("max_attempts"));
        assert_eq!(suggestion("asnyc", known), Some("async"));
        assert_eq!(suggestion("colour", known), None);
        assert_eq!(suggestion("", known), None);
    }

    #[test]
    fn values_are_shown_short_and_without_credentials() {
        assert_eq!(shown("a\nb"), r#""a\nb""#);
        assert_eq!(shown("https://root:pw@vc"), "the value");
        assert_eq!(shown(&"x".repeat(100)), format!("\"{}...\"", "x".repeat(60)));
    }
}
