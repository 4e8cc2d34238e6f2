//! Strings as patterns compare them: as a whole, in part, whatever their case, or with wildcards.
//!
//! AWS's engine compares strings with their quotation marks, so `prefix` and `suffix` may ask for one of them, too.

use memchr::memmem;

/// What a string is to begin with, be or end with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Where {
    Begins,
    Is,
    Ends,
}

/// Whether the string, with its quotation mark behind it, begins with `prefix`.
pub(super) fn begins(text: &[u8], prefix: &[u8]) -> bool {
    text.starts_with(prefix) || prefix.strip_suffix(b"\"") == Some(text)
}

/// Whether the string, with its quotation mark in front of it, ends with `suffix`.
pub(super) fn ends(text: &[u8], suffix: &[u8]) -> bool {
    text.ends_with(suffix) || suffix.strip_prefix(b"\"") == Some(text)
}

/// A string whose case does not matter.
///
/// Each character stands for its lower-case and its upper-case form, and for nothing else: `ß` is found in `ß` and `SS`.
/// A character outside of Unicode's first plane stands for two question marks, since AWS's engine takes its halves apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Folded {
    /// Nothing but ASCII.
    Plain(Box<[u8]>),
    /// For each character its two forms.
    Forms(Box<[(Box<str>, Box<str>)]>),
}

impl Folded {
    pub(super) fn new(text: &str) -> Self {
        if text.is_ascii() {
            return Self::Plain(text.as_bytes().into());
        }
        let forms = |c: char| -> (Box<str>, Box<str>) {
            if c > '\u{ffff}' {
                return ("??".into(), "??".into());
            }
            (c.to_lowercase().collect::<String>().into(), c.to_uppercase().collect::<String>().into())
        };
        Self::Forms(text.chars().map(forms).collect())
    }

    /// Whether the text has it there.
    pub(super) fn holds(&self, text: &[u8], place: Where) -> bool {
        match (self, place) {
            (Self::Plain(plain), Where::Is) => text.eq_ignore_ascii_case(plain),
            (Self::Plain(plain), Where::Begins) => {
                text.get(..plain.len()).is_some_and(|start| start.eq_ignore_ascii_case(plain))
                    || plain.strip_suffix(b"\"").is_some_and(|all| text.eq_ignore_ascii_case(all))
            }
            (Self::Plain(plain), Where::Ends) => {
                let end = text.len().checked_sub(plain.len());
                end.is_some_and(|at| text[at..].eq_ignore_ascii_case(plain))
                    || plain.strip_prefix(b"\"").is_some_and(|all| text.eq_ignore_ascii_case(all))
            }
            (Self::Forms(forms), Where::Is) => from_left(forms, text) == Some(text.len()),
            (Self::Forms(forms), Where::Begins) => {
                let quoted = [text, b"\""].concat();
                from_left(forms, &quoted).is_some()
            }
            (Self::Forms(forms), Where::Ends) => {
                let quoted = [b"\"", text].concat();
                from_right(forms, &quoted)
            }
        }
    }
}

/// How much of the text the forms take, if they all are there. No character's one form begins with its other.
fn from_left(forms: &[(Box<str>, Box<str>)], text: &[u8]) -> Option<usize> {
    let mut at = 0;
    for (lower, upper) in forms {
        let rest = &text[at..];
        let form = [lower, upper].into_iter().find(|form| rest.starts_with(form.as_bytes()))?;
        at += form.len();
    }
    Some(at)
}

fn from_right(forms: &[(Box<str>, Box<str>)], text: &[u8]) -> bool {
    let mut rest = text;
    for (lower, upper) in forms.iter().rev() {
        let Some(form) = [lower, upper].into_iter().find(|form| rest.ends_with(form.as_bytes())) else { return false };
        rest = &rest[..rest.len() - form.len()];
    }
    true
}

/// A string in which `*` stands for any bytes, or none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wildcard {
    /// What stands between the stars: one piece more than there are stars.
    pieces: Box<[Box<[u8]>]>,
}

impl Wildcard {
    /// Reads one. `\*` is a star and `\\` a backslash.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = vec![Vec::new()];
        let mut bytes = text.bytes().peekable();
        while let Some(byte) = bytes.next() {
            let byte = match byte {
                b'*' if bytes.peek() == Some(&b'*') => return Err("it has two stars in a row".to_owned()),
                b'*' => {
                    pieces.push(Vec::new());
                    continue;
                }
                b'\\' => bytes
                    .next_if(|next| matches!(next, b'*' | b'\\'))
                    .ok_or(r"only a star or a backslash may follow a backslash")?,
                byte => byte,
            };
            if let Some(piece) = pieces.last_mut() {
                piece.push(byte);
            }
        }
        Ok(Self { pieces: pieces.into_iter().map(Vec::into_boxed_slice).collect() })
    }

    pub(super) fn holds(&self, text: &[u8]) -> bool {
        let Some((first, others)) = self.pieces.split_first() else { return text.is_empty() };
        let Some((last, between)) = others.split_last() else { return text == &**first };
        let Some(mut rest) = text.strip_prefix(&**first).and_then(|rest| rest.strip_suffix(&**last)) else {
            return false;
        };
        for piece in between {
            let Some(at) = memmem::find(rest, piece) else { return false };
            rest = &rest[at + piece.len()..];
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quotation_marks_belong_to_the_string() {
        assert!(begins(b"abc", b"ab") && begins(b"abc", b"") && begins(b"abc", b"abc\"") && !begins(b"abc", b"ab\""));
        assert!(ends(b"abc", b"bc") && ends(b"abc", b"") && ends(b"abc", b"\"abc") && !ends(b"abc", b"\"bc"));
        for (pattern, text, place, holds) in [
            ("aB", "Abc", Where::Begins, true),
            ("abc\"", "ABC", Where::Begins, true),
            ("ab\"", "ABC", Where::Begins, false),
            ("bC", "aBc", Where::Ends, true),
            ("\"abc", "ABC", Where::Ends, true),
            ("ü\"", "Ü", Where::Begins, true),
            ("\"ü", "Ü", Where::Ends, true),
            ("xabc", "abc", Where::Ends, false),
        ] {
            assert_eq!(Folded::new(pattern).holds(text.as_bytes(), place), holds, "{pattern} {text}");
        }
    }

    #[test]
    fn each_character_of_a_pattern_stands_for_its_two_forms() {
        for (pattern, text, holds) in [
            ("straße", "STRASSE", true),
            ("straße", "Straße", true),
            ("straße", "strasse", false),
            ("STRASSE", "straße", false),
            ("K", "\u{212a}", false),
            ("\u{212a}", "k", true),
            ("İ", "i\u{307}", true),
            ("ΑΣ", "ας", false),
            ("ΑΣ", "ασ", true),
            ("😀", "😀", false),
            ("😀", "??", true),
            ("ü", "ux", false),
        ] {
            assert_eq!(Folded::new(pattern).holds(text.as_bytes(), Where::Is), holds, "{pattern} {text}");
        }
    }

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, holds) in [
            ("*", "", true),
            ("*", "abc", true),
            ("a*", "a", true),
            ("a*c", "abc", true),
            ("a*a", "a", false),
            ("*b*", "abc", true),
            ("a*b*c", "aXbbYc", true),
            ("a*bc*c", "abc", false),
            (r"a\**", "a*b", true),
            (r"a\**", "ab", false),
            (r"a\\*", r"a\b", true),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("", "", true),
        ] {
            assert_eq!(Wildcard::parse(pattern).unwrap().holds(text.as_bytes()), holds, "{pattern} {text}");
        }
        for wrong in ["**", "a**b", r"\a", "\\"] {
            assert!(Wildcard::parse(wrong).is_err(), "{wrong}");
        }
    }
}
