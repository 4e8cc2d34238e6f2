//! From a pattern's text to what it asks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::PatternError;
use super::address::Network;
use super::condition::{Condition, Conditions, left_out};
use super::json::{DEEPEST, Kind, NotJson, Reader};
use super::number::{self, Numeric};
use super::text::{Folded, Where, Wildcard};

/// What `$or` makes of one pattern, at most: each way in which it can match is tried by itself.
const MOST_WAYS: usize = 4096;

/// Fields that are noted, at most, while the ways are made: each `$or` copies what has been asked for so far.
const MOST_COPIED: usize = 256 * 1024;

/// Fields that one way asks for, at most; so it is with AWS.
const MOST_FIELDS: usize = 256;

/// One way in which a pattern can match: for each field, by its path, the conditions of which one has to hold.
pub(super) type Way = BTreeMap<Arc<str>, Arc<Conditions>>;

/// Names that AWS keeps for itself within `$or`.
const RESERVED: &[&str] = &[
    "exactly",
    "equals-ignore-case",
    "prefix",
    "suffix",
    "anything-but",
    "exists",
    "wildcard",
    "numeric",
    "cidr",
    "=",
    "<",
    "<=",
    ">",
    ">=",
    "regex",
    "not-wildcard",
    "not-equals-ignore-case",
    "date-after",
    "date-on-or-after",
    "date-before",
    "date-on-or-before",
    "in-date-range",
    "ip-address-in-range",
    "ip-address-not-in-range",
];

/// Why a text is no pattern.
enum Wrong {
    /// It is not written as it has to be.
    Form(String),
    /// It is written well, and asks for something that cannot be asked.
    Sense(String),
}

impl From<NotJson> for Wrong {
    fn from(_: NotJson) -> Self {
        Self::Form(format!("it is no JSON that is at most {DEEPEST} levels deep"))
    }
}

fn form<T>(message: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong::Form(message.into()))
}

fn sense<T>(message: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong::Sense(message.into()))
}

/// The ways in which a pattern can match.
///
/// # Errors
/// What is wrong with it, and where.
pub(super) fn ways(text: &str) -> Result<Vec<Way>, PatternError> {
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map_err(|error| PatternError(format!("it is no JSON: {error}")))?;
    let parse = |or| {
        let mut ways = Vec::new();
        let mut parser = Parser { text, reader: Reader::new(text.as_bytes()), or, depth: 0, copied: 0 };
        if parser.reader.kind()? != Kind::Object {
            return form("it must be an object, such as {\"subject\": [\"VmPoweredOnEvent\"]}");
        }
        parser.object(&mut ways, &mut Path::default(), false)?;
        match ways.iter().find(|way| way.len() > MOST_FIELDS) {
            Some(_) => sense(format!("it asks for more than {MOST_FIELDS} fields")),
            None => Ok(ways),
        }
    };
    match parse(true) {
        Ok(ways) => Ok(ways),
        Err(Wrong::Sense(wrong)) => Err(PatternError(wrong)),
        // As AWS does: where it does not work as the operator, `$or` is a field's name like any other.
        Err(Wrong::Form(wrong)) => parse(false).map_err(|_| PatternError(wrong)),
    }
}

/// Where in the pattern: the names of the objects around.
#[derive(Default)]
struct Path {
    steps: Vec<String>,
}

impl Path {
    /// The path of a field there. A first step without a name leaves no trace, as with AWS.
    fn field(&self, name: &str) -> String {
        let base = self.steps.join(".");
        if base.is_empty() { name.to_owned() } else { format!("{base}.{name}") }
    }
}

struct Parser<'a> {
    text: &'a str,
    reader: Reader<'a>,
    /// Whether `$or` is an operator, along with the newer forms of `anything-but`.
    or: bool,
    depth: usize,
    copied: usize,
}

impl Parser<'_> {
    /// Takes one object's fields into all ways.
    fn object(&mut self, ways: &mut Vec<Way>, path: &mut Path, within_or: bool) -> Result<(), Wrong> {
        if self.depth >= DEEPEST {
            return Err(NotJson.into());
        }
        self.depth += 1;
        self.reader.enter();
        let mut first = true;
        while self.reader.more(b'}', first)? {
            first = false;
            let name = lossy(&self.reader.key()?);
            if self.or && name == "$or" && !left_out("$or") {
                self.or(ways, path)?;
                continue;
            }
            if within_or && RESERVED.contains(&name.as_str()) {
                return form(format!("{name:?} cannot be a field's name within \"$or\""));
            }
            match self.reader.kind()? {
                Kind::Object => {
                    path.steps.push(name);
                    self.object(ways, path, within_or)?;
                    path.steps.pop();
                }
                Kind::List => {
                    let field = path.field(&name);
                    let conditions = self.list().map_err(|wrong| at(&field, wrong))?;
                    let (field, conditions): (Arc<str>, _) = (field.into(), Arc::new(conditions));
                    if ways.is_empty() {
                        ways.push(Way::new());
                    }
                    for way in &mut *ways {
                        way.insert(Arc::clone(&field), Arc::clone(&conditions));
                    }
                }
                _ => {
                    let field = path.field(&name);
                    return form(format!("{field:?} must have a list, such as [\"a\", \"b\"], or an object"));
                }
            }
        }
        if first {
            let place = path.steps.join(".");
            return form(if place.is_empty() {
                "it asks for nothing".into()
            } else {
                format!("{place:?} asks for nothing")
            });
        }
        self.depth -= 1;
        Ok(())
    }

    /// Each object of the list goes on from what has been asked for so far.
    fn or(&mut self, ways: &mut Vec<Way>, path: &mut Path) -> Result<(), Wrong> {
        if self.reader.kind()? != Kind::List {
            return form("\"$or\" must have a list of objects");
        }
        self.reader.enter();
        let before = std::mem::take(ways);
        let mut branches = 0;
        while self.reader.more(b']', branches == 0)? {
            branches += 1;
            if self.reader.kind()? != Kind::Object {
                return form("\"$or\" must have a list of objects only");
            }
            self.copied += before.iter().map(|way| way.len() + 1).sum::<usize>();
            if self.copied > MOST_COPIED {
                return sense("its \"$or\" make too many combinations");
            }
            let mut branch = before.clone();
            self.object(&mut branch, path, true)?;
            ways.append(&mut branch);
            if ways.len() > MOST_WAYS {
                return sense(format!("its \"$or\" make more than {MOST_WAYS} combinations"));
            }
        }
        if branches < 2 {
            return form("\"$or\" must have at least two objects");
        }
        Ok(())
    }

    /// The conditions of one list.
    fn list(&mut self) -> Result<Conditions, Wrong> {
        let start = self.reader.at();
        self.reader.enter();
        let mut all = Vec::new();
        let mut count = 0;
        while self.reader.more(b']', count == 0)? {
            count += 1;
            match self.reader.kind()? {
                Kind::Object => {
                    let condition = self.operator()?;
                    if matches!(&condition, Condition::AnythingBut(values) if values.is_empty()) {
                        if count == 1 {
                            return sense("\"anything-but\" has an empty list");
                        }
                        // AWS takes it there, as something that never holds.
                        continue;
                    }
                    all.push(condition);
                }
                Kind::Text => {
                    let text = self.text()?;
                    // An address is found however it is written.
                    let network = Network::single(text.as_bytes());
                    all.push(network.map_or_else(|| Condition::Text(boxed(text)), Condition::Network));
                }
                Kind::Number => {
                    let written = self.reader.word();
                    all.push(Condition::Number { written: written.into(), value: number::comparable(written) });
                }
                word @ (Kind::True | Kind::False | Kind::Null) => {
                    self.reader.word();
                    all.push(Condition::Word(match word {
                        Kind::True => "true",
                        Kind::False => "false",
                        _ => "null",
                    }));
                }
                Kind::List => return form("a list within a list is not possible"),
            }
        }
        if count == 0 {
            return form("the list is empty");
        }
        Ok(Conditions::new(all, &self.text[start..self.reader.at()]))
    }

    /// An object with one member: what `of` makes of its name and value.
    fn single<T>(&mut self, what: &str, of: impl FnOnce(&mut Self, &str) -> Result<T, Wrong>) -> Result<T, Wrong> {
        self.reader.enter();
        if !self.reader.more(b'}', true)? {
            return form(format!("{what} is missing in an empty object"));
        }
        let name = lossy(&self.reader.key()?);
        let found = of(self, &name)?;
        if self.reader.more(b'}', false)? { form(format!("{what} must stand alone in its object")) } else { Ok(found) }
    }

    fn operator(&mut self) -> Result<Condition, Wrong> {
        self.single("the operator", |this, name| match name {
            "exactly" => Ok(Condition::Text(boxed(this.text_of(name)?))),
            "prefix" | "suffix" if this.reader.kind()? == Kind::Object => {
                this.single("\"equals-ignore-case\"", |this, inner| {
                    if inner != "equals-ignore-case" {
                        return form(format!("{inner:?} is not possible within {name:?}"));
                    }
                    let place = if name == "prefix" { Where::Begins } else { Where::Ends };
                    Ok(Condition::Folded(Folded::new(&this.text_of(inner)?), place))
                })
            }
            "prefix" => Ok(Condition::Prefix(boxed(this.text_of(name)?))),
            "suffix" => Ok(Condition::Suffix(boxed(this.text_of(name)?))),
            "equals-ignore-case" => Ok(Condition::Folded(Folded::new(&this.text_of(name)?), Where::Is)),
            "wildcard" => Ok(Condition::Wildcard(wildcard(&this.text_of(name)?)?)),
            "exists" => match this.reader.kind()? {
                kind @ (Kind::True | Kind::False) => {
                    this.reader.word();
                    Ok(if kind == Kind::True { Condition::Exists } else { Condition::Absent })
                }
                _ => form("\"exists\" must be true or false"),
            },
            "cidr" => {
                let text = this.text_of(name)?;
                Network::parse(&text).map(Condition::Network).or_else(|wrong| sense(format!("\"cidr\": {wrong}")))
            }
            "numeric" => this.numeric(),
            "anything-but" => this.anything_but(),
            _ => form(format!("there is no operator {name:?}")),
        })
    }

    fn numeric(&mut self) -> Result<Condition, Wrong> {
        const SHAPE: &str = "\"numeric\" must have a list such as [\">\", 1] or [\">=\", 1, \"<\", 2]";
        if self.reader.kind()? != Kind::List {
            return form(SHAPE);
        }
        self.reader.enter();
        let (mut parts, mut first) = (Vec::new(), true);
        while self.reader.more(b']', first)? {
            first = false;
            if parts.len() == 2 || self.reader.kind()? != Kind::Text {
                return form(SHAPE);
            }
            let sign = self.text()?;
            if !self.reader.more(b']', false)? || self.reader.kind()? != Kind::Number {
                return form(SHAPE);
            }
            parts.push((sign, self.number()?));
        }
        let parts: Vec<_> = parts.iter().map(|(sign, value)| (sign.as_str(), *value)).collect();
        let numeric = match *parts {
            [("=", value)] => Numeric::Equal(value),
            [("<" | "<=", f64::MIN)] | [(">" | ">=", f64::MAX)] => {
                return sense("no number can be further out than that");
            }
            [(sign @ ("<" | "<="), value)] => Numeric::Between { bottom: (f64::MIN, false), top: (value, sign == "<") },
            [(sign @ (">" | ">="), value)] => Numeric::Between { bottom: (value, sign == ">"), top: (f64::MAX, false) },
            [(low @ (">" | ">="), bottom), (high @ ("<" | "<="), top)] => {
                if bottom >= top {
                    return form("the lower bound of a \"numeric\" range must be below the upper one");
                }
                Numeric::Between { bottom: (bottom, low == ">"), top: (top, high == "<") }
            }
            _ => return form(SHAPE),
        };
        Ok(Condition::Numeric(numeric))
    }

    fn anything_but(&mut self) -> Result<Condition, Wrong> {
        if self.reader.kind()? != Kind::Object {
            return self.values(None);
        }
        self.single("what \"anything-but\" excludes", |this, name| match name {
            "prefix" | "suffix" if this.or || this.reader.kind()? == Kind::Text => this.values(Some(name)),
            "equals-ignore-case" => this.values(Some(name)),
            "wildcard" if this.or => this.values(Some(name)),
            _ => form(format!("{name:?} is not possible within \"anything-but\"")),
        })
    }

    /// One value, or several: strings for an operator, else strings or numbers.
    fn values(&mut self, operator: Option<&str>) -> Result<Condition, Wrong> {
        if self.reader.kind()? != Kind::List {
            return Ok(Condition::AnythingBut(vec![self.value(operator, false)?]));
        }
        self.reader.enter();
        let mut values = Vec::new();
        while self.reader.more(b']', values.is_empty())? {
            values.push(self.value(operator, true)?);
        }
        let numbers = values.iter().filter(|value| matches!(value, Condition::Number { .. })).count();
        if operator.is_none() && (values.is_empty() || (numbers > 0 && numbers < values.len())) {
            return form("\"anything-but\" must have strings alone or numbers alone");
        }
        Ok(Condition::AnythingBut(values))
    }

    fn value(&mut self, operator: Option<&str>, listed: bool) -> Result<Condition, Wrong> {
        match (self.reader.kind()?, operator) {
            (Kind::Number, None) => {
                let written = self.reader.word();
                match number::comparable(written) {
                    None if listed => form(beyond(written)),
                    None => sense(beyond(written)),
                    value => Ok(Condition::Number { written: written.into(), value }),
                }
            }
            (Kind::Text, None) => Ok(Condition::Text(boxed(self.text()?))),
            (Kind::Text, Some(operator)) => {
                let text = self.text()?;
                Ok(match operator {
                    "prefix" | "suffix" if text.is_empty() => {
                        return form(format!("an empty {operator} within \"anything-but\" excludes everything"));
                    }
                    "prefix" => Condition::Prefix(boxed(text)),
                    "suffix" => Condition::Suffix(boxed(text)),
                    "wildcard" => Condition::Wildcard(wildcard(&text)?),
                    _ => Condition::Folded(Folded::new(&text), Where::Is),
                })
            }
            (_, None) => form("\"anything-but\" must have a string, a number, or a list of either"),
            (_, Some(operator)) => form(format!("{operator:?} must have a string, or a list of strings")),
        }
    }

    fn number(&mut self) -> Result<f64, Wrong> {
        let written = self.reader.word();
        number::comparable(written).ok_or_else(|| Wrong::Form(beyond(written)))
    }

    fn text(&mut self) -> Result<String, Wrong> {
        Ok(lossy(&self.reader.text()?))
    }

    fn text_of(&mut self, operator: &str) -> Result<String, Wrong> {
        if self.reader.kind()? != Kind::Text {
            return form(format!("{operator:?} must have a string"));
        }
        self.text()
    }
}

fn wildcard(text: &str) -> Result<Wildcard, Wrong> {
    Wildcard::parse(text).or_else(|wrong| form(format!("the wildcard {text:?}: {wrong}")))
}

fn beyond(written: &[u8]) -> String {
    format!("{} cannot be compared: it has more digits than a double, or is out of its range", lossy(written))
}

fn boxed(text: String) -> Box<[u8]> {
    text.into_bytes().into()
}

/// Text that has been read as UTF-8 before.
fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

fn at(field: &str, wrong: Wrong) -> Wrong {
    match wrong {
        Wrong::Form(wrong) => Wrong::Form(format!("{field:?}: {wrong}")),
        Wrong::Sense(wrong) => Wrong::Sense(format!("{field:?}: {wrong}")),
    }
}
