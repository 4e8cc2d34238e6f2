//! A configuration file as a tree of values, each with its place in the file.
//! What stands above this module does not know the format that the file was in.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use jsonc_parser::ast;
use jsonc_parser::common::Ranged as _;
use jsonc_parser::errors::ParseErrorKind;
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions, parse_to_ast};

use super::problem::{Complaint, Problem};

/// A configuration larger than this is taken for a mistake.
const LARGEST: u64 = 1024 * 1024;

/// The key of problems with the file as a whole.
pub const WHOLE: &str = "configuration";

/// A place in a file. Both count from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl At {
    /// The file's first character.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// One value and its place.
#[derive(Clone)]
pub struct Node {
    /// Where it begins.
    pub at: At,
    /// What it is.
    pub value: Value,
}

/// What a value may be.
#[derive(Clone)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A number, as written.
    Number(String),
    /// Text.
    Text(String),
    /// Values one after the other.
    List(Vec<Node>),
    /// Values by key.
    Map(Vec<Entry>),
}

/// One key of a map and its value.
#[derive(Clone)]
pub struct Entry {
    /// Where the key begins.
    pub at: At,
    /// The key.
    pub key: String,
    /// The value.
    pub node: Node,
}

impl Value {
    /// What kind of value it is, for people.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

// Values may be secrets, so that no value is ever shown.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}:{}", self.value.kind(), self.at.line, self.at.column)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {:?}", self.key, self.node)
    }
}

fn whole(at: At, what: impl Into<String>, hint: impl Into<String>) -> Problem {
    Problem::new(at, WHOLE, Complaint::new(what, hint))
}

/// The bytes of a configuration file.
///
/// # Errors
///
/// The file cannot be read, or is too large to be a configuration.
pub fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(|error| {
        whole(At::START, format!("cannot be read ({error})"), "check the path given by -config, and who may read it")
    })?;
    if bytes.len() as u64 > LARGEST {
        return Err(whole(At::START, "is larger than 1 MiB", "check that -config names the right file"));
    }
    Ok(bytes)
}

/// The tree of a configuration in JSON, and the keys that occur twice in a map.
///
/// # Errors
///
/// The text is not JSON.
pub fn parse_json(bytes: &[u8]) -> Result<(Node, Vec<Problem>), Problem> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok());
            let valid = valid.unwrap_or_default();
            let valid = valid.strip_prefix('\u{feff}').unwrap_or(valid);
            return Err(whole(Lines::new(valid).at(valid.len()), "is not UTF-8", "save the file as UTF-8"));
        }
    };
    let lines = Lines::new(text);
    if text.trim().is_empty() {
        return Err(whole(At::START, "is empty", "write a stream, a processor and the metrics entry in a JSON array"));
    }
    let collect = CollectOptions { comments: CommentCollectionStrategy::Off, tokens: false };
    let parsed = parse_to_ast(text, &collect, &strict()).map_err(|error| {
        let complaint = syntax(error.kind());
        Problem::new(lines.at(error.range().start), WHOLE, complaint)
    })?;
    // The parser above keeps places but lets some things pass that are no JSON, such as line breaks in strings.
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        let at = lines.of_bytes(error.line(), error.column());
        return Err(whole(
            at,
            "is not valid JSON here",
            "write strings on one line, with control characters and \\ escaped",
        ));
    }
    let mut twice = Vec::new();
    let root =
        parsed.value.map_or(Node { at: At::START, value: Value::Null }, |value| node(&value, &lines, &mut twice));
    Ok((root, twice))
}

fn strict() -> ParseOptions {
    ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

/// Depth is bounded by the parser.
fn node(value: &ast::Value<'_>, lines: &Lines<'_>, twice: &mut Vec<Problem>) -> Node {
    let at = lines.at(value.range().start);
    let value = match value {
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::BooleanLit(literal) => Value::Bool(literal.value),
        ast::Value::NumberLit(literal) => Value::Number(literal.value.to_owned()),
        ast::Value::StringLit(literal) => Value::Text(literal.value.to_string()),
        ast::Value::Array(array) => {
            Value::List(array.elements.iter().map(|element| node(element, lines, twice)).collect())
        }
        ast::Value::Object(object) => {
            let mut entries = Vec::with_capacity(object.properties.len());
            let mut seen = HashMap::new();
            for property in &object.properties {
                let at = lines.at(property.range.start);
                let key = property.name.as_str().to_owned();
                let node = node(&property.value, lines, twice);
                if let Some(line) = seen.insert(key.clone(), at.line) {
                    let what = format!("is given twice, before in line {line}");
                    twice.push(Problem::new(at, key, Complaint::new(what, "keep one of them")));
                } else {
                    entries.push(Entry { at, key, node });
                }
            }
            Value::Map(entries)
        }
    };
    Node { at, value }
}

fn syntax(kind: &ParseErrorKind) -> Complaint {
    use ParseErrorKind as Kind;
    match kind {
        Kind::CommentsNotAllowed | Kind::UnterminatedCommentBlock => {
            Complaint::new("has a comment, which JSON does not know", "remove the comment")
        }
        Kind::TrailingCommasNotAllowed => Complaint::new("has a comma after the last item", "remove the comma"),
        Kind::ExpectedComma => Complaint::new("lacks a comma between two items", "write one here"),
        Kind::ExpectedColonAfterObjectKey | Kind::ExpectedObjectValue => {
            Complaint::new("has a key without a value", "write \"key\": \"value\"")
        }
        Kind::SingleQuotedStringsNotAllowed => Complaint::new("has a string in single quotes", "use double quotes"),
        Kind::ExpectedStringObjectProperty | Kind::UnexpectedWord => {
            Complaint::new("has a word without quotes", "write it in double quotes")
        }
        Kind::String(_) => Complaint::new(
            "has a string that does not end or has a wrong escape",
            "end it with a double quote on the same line, and write a backslash as \\\\",
        ),
        Kind::UnterminatedArray => Complaint::new("has a list that does not end", "close it with ]"),
        Kind::UnterminatedObject => Complaint::new("has a map that does not end", "close it with }"),
        Kind::MultipleRootJsonValues => {
            Complaint::new("goes on after its end", "keep one array, [ ... ], with all entries")
        }
        Kind::NestingDepthExceeded => Complaint::new("is nested too deeply", "remove the needless brackets"),
        _ => Complaint::new("is not valid JSON here", "compare with the examples in docs/configuration.md"),
    }
}

/// Finds the places of byte offsets.
struct Lines<'a> {
    text: &'a str,
    /// Where each line begins.
    starts: Vec<usize>,
    /// The offset asked for last and its place: mostly the next one follows it closely, even in one endless line.
    last: Cell<(usize, At)>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(index, _)| index + 1)).collect();
        Self { text, starts, last: Cell::new((0, At::START)) }
    }

    fn at(&self, offset: usize) -> At {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let (mut from, mut column) = (self.starts.get(line - 1).copied().unwrap_or_default(), 1);
        let (last, place) = self.last.get();
        if place.line == line && last <= offset {
            (from, column) = (last, place.column);
        }
        let at = At { line, column: column + self.text.get(from..offset).unwrap_or_default().chars().count() };
        self.last.set((offset, at));
        at
    }

    /// Of a line and a column in bytes.
    fn of_bytes(&self, line: usize, column: usize) -> At {
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let mut offset = start + column.saturating_sub(1);
        while !self.text.is_char_boundary(offset.min(self.text.len())) {
            offset -= 1;
        }
        self.at(offset.min(self.text.len()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn places_count_characters() {
        let (root, twice) = parse_json("\u{feff}[\n  {\"ü\": true,\r\n \"ü\": 1}]".as_bytes()).unwrap();
        let Value::List(list) = &root.value else { panic!() };
        let Value::Map(entries) = &list[0].value else { panic!() };
        assert_eq!(entries[0].at, At { line: 2, column: 4 });
        assert_eq!(entries[0].node.at, At { line: 2, column: 9 });
        assert_eq!(entries.len(), 1);
        assert_eq!((twice[0].at, twice[0].key.as_str()), (At { line: 3, column: 2 }, "ü"));
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        for (text, line, column, what) in [
            ("", 1, 1, "is empty"),
            (" \n ", 1, 1, "is empty"),
            ("[\n  {},\n]", 2, 5, "has a comma after the last item"),
            ("[1 2]", 1, 3, "lacks a comma between two items"),
            ("[ // no\n]", 1, 3, "has a comment, which JSON does not know"),
            ("[{'a': 1}]", 1, 3, "has a string in single quotes"),
            ("[{a: 1}]", 1, 3, "has a word without quotes"),
            ("[\"ü\nx\"]", 1, 3, "is not valid JSON here"),
            ("[\"x]", 1, 2, "has a string that does not end or has a wrong escape"),
            ("[{\"a\": \"\\q\"}]", 1, 9, "has a string that does not end or has a wrong escape"),
            ("[", 1, 1, "has a list that does not end"),
            ("[{\"a\": 1", 1, 2, "has a map that does not end"),
            ("[] []", 1, 4, "goes on after its end"),
            ("[{\"a\"}]", 1, 6, "has a key without a value"),
        ] {
            let problem = parse_json(text.as_bytes()).unwrap_err();
            let found = (problem.at.line, problem.at.column, problem.what.as_str());
            assert_eq!(found, (line, column, what), "{text:?}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(parse_json(deep.as_bytes()).unwrap_err().what, "is nested too deeply");
        let problem = parse_json(b"[\n\"\xc3\xbc\xff\"]").unwrap_err();
        assert_eq!((problem.at, problem.what.as_str()), (At { line: 2, column: 3 }, "is not UTF-8"));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large");
        std::fs::write(&path, vec![b' '; 1024 * 1024 + 1]).unwrap();
        assert_eq!(read(&path).unwrap_err().what, "is larger than 1 MiB");
        let problem = read(&folder.path().join("none")).unwrap_err();
        assert_eq!(problem.what, "cannot be read (No such file or directory (os error 2))");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(parse_json(&bytes).map_or_else(|problem| problem.at >= At::START, |(root, _)| root.at >= At::START));
        }

        #[test]
        fn no_nearly_json_panics(text in "[\\[\\]{}\",:\\\\a1ü\u{feff}\\- \n\r/'\\.etrufalsn]{0,60}") {
            let ours = parse_json(text.as_bytes()).is_ok();
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            prop_assert_eq!(ours, serde_json::from_str::<serde_json::Value>(text).is_ok());
        }
    }
}
