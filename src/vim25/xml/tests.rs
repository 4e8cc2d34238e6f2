#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

/// Every token of a page, one line each, up to its end or its error.
fn tokens(page: &[u8]) -> Vec<String> {
    let mut reader = Reader::new(page);
    let mut out = Vec::new();
    loop {
        match reader.next() {
            Ok(Token::Start(name)) => {
                let xsi = reader.xsi_type().map_or(String::new(), |t| format!(" xsi:type={t}"));
                let plain = reader.attribute("type").map_or(String::new(), |t| format!(" type={t}"));
                out.push(format!("<{name}{xsi}{plain}>"));
            }
            Ok(Token::Text(text)) => out.push(format!("{text:?}")),
            Ok(Token::End) => out.push("</>".into()),
            Ok(Token::Eof) => return out,
            Err(error) => {
                out.push(error.to_string());
                return out;
            }
        }
    }
}

fn error(page: &str) -> String {
    tokens(page.as_bytes()).pop().unwrap_or_default()
}

fn text(page: &str) -> String {
    let mut reader = Reader::new(page.as_bytes());
    assert!(matches!(reader.next(), Ok(Token::Start(_))));
    reader.text_of_element().unwrap().into_owned()
}

#[test]
fn elements_text_and_empty_tags() {
    assert_eq!(tokens(b"<a><b>x</b>y<c/></a>"), ["<a>", "<b>", "\"x\"", "</>", "\"y\"", "<c>", "</>", "</>"]);
    assert_eq!(
        tokens(b"\xef\xbb\xbf<?xml version='1.0' encoding='utf-8'?>\r\n<!-- c --><a\n/>\n<?pi x?>"),
        ["<a>", "</>"]
    );
    assert_eq!(tokens(b"<a ></a >"), ["<a>", "</>"]);
}

#[test]
fn names_are_local_and_namespaces_go_by_uri() {
    let page =
        br#"<s:E xmlns:s="urn:s" xmlns:q="http://www.w3.org/2001/XMLSchema-instance"><a q:type="T" type="R"/></s:E>"#;
    assert_eq!(tokens(page), ["<E>", "<a xsi:type=T type=R>", "</>", "</>"]);
    // Another URI under the customary prefix is another thing; no declaration at all means the customary URI.
    assert_eq!(tokens(br#"<a xmlns:xsi="urn:x" xsi:type="T"/>"#), ["<a>", "</>"]);
    assert_eq!(tokens(br#"<a xsi:type="T"/>"#), ["<a xsi:type=T>", "</>"]);
    let mut reader = Reader::new(b"<a xmlns='urn:1'><b xmlns='urn:2'><c/></b><d/></a>");
    let mut seen = Vec::new();
    while let Ok(token) = reader.next() {
        match token {
            Token::Start(name) => seen.push(format!("{name}={}", reader.namespace().unwrap_or("-"))),
            Token::Eof => break,
            _ => {}
        }
    }
    assert_eq!(seen, ["a=urn:1", "b=urn:2", "c=urn:2", "d=urn:1"]);
}

#[test]
fn a_declaration_ends_with_its_element() {
    let page = br#"<r><a xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="T"/><b i:type="T"/></r>"#;
    assert_eq!(tokens(page), ["<r>", "<a xsi:type=T>", "</>", "<b>", "</>", "</>"]);
}

#[test]
fn references_and_line_ends() {
    assert_eq!(text("<a>&lt;&gt;&amp;&quot;&apos;&#65;&#x1F600;</a>"), "<>&\"'A😀");
    assert_eq!(text("<a>1\r\n2\r3\n4&#13;5&#xD;\n</a>"), "1\n2\n3\n4\r5\r\n");
    assert_eq!(text("<a><![CDATA[<&]] >\r\n]]>x<!-- -->y<b>no<c/></b>z</a>"), "<&]] >\nxyz");
    assert_eq!(text("<a>  </a>"), "  ");
    assert_eq!(text("<a>a > b ]] ></a>"), "a > b ]] >");
}

#[test]
fn attributes_are_unescaped() {
    let mut reader = Reader::new(b"<a type='x&amp;\"y' b=\"'&#10;\"/>");
    reader.next().unwrap();
    assert_eq!(reader.attribute("type").as_deref(), Some("x&\"y"));
    assert_eq!(reader.attribute("b").as_deref(), Some("'\n"));
    assert_eq!(reader.attribute("c"), None);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (page, expected) in [
        ("<a><b></a></b>", "at byte 6: </a> where </b> was expected"),
        ("<a>", "at byte 3: the page ends, but <a> is still open"),
        ("", "at byte 0: there is no element"),
        ("<a>x", "at byte 4: the page ends, but <a> is still open"),
        ("<a/>x", "at byte 4: text outside the root element"),
        ("x<a/>", "at byte 0: text outside the root element"),
        ("<a/><b/>", "at byte 4: a second root element"),
        ("</a>", "at byte 0: an end tag, but no element is open"),
        ("<a>&nbsp;</a>", "at byte 3: &nbsp; is no character that XML knows"),
        ("<a>a&b</a>", "at byte 4: a raw &: & must be written &amp;"),
        ("<a>&#0;</a>", "at byte 3: &#0; is no character that XML knows"),
        ("<a>&#xD800;</a>", "at byte 3: &#xD800; is no character that XML knows"),
        ("<a>&#+65;</a>", "at byte 3: &#+65; is no character that XML knows"),
        ("<a>]]></a>", "at byte 3: a raw ]]> in text"),
        ("<a b></a>", "at byte 4: an attribute must have a value"),
        ("<a b=c></a>", "at byte 5: an attribute's value must be quoted"),
        ("<a b='<'/>", "at byte 6: a raw < in an attribute's value"),
        ("<a b='&x;'/>", "at byte 6: &x; is no character that XML knows"),
        ("<a b='1'c='2'/>", "at byte 8: an attribute must be set off by a blank"),
        ("<a b='1' b='2'/>", "at byte 9: the attribute b is there twice"),
        ("<a b='", "at byte 5: an attribute's value is never closed"),
        ("<1/>", "at byte 1: a tag must begin with a name"),
        ("<a:/>", "at byte 3: a name must go on behind its colon"),
        ("<a><!-- -- --></a>", "at byte 8: -- inside a comment"),
        ("<a><!-- ", "at byte 3: a comment is never closed"),
        ("<a><![CDATA[ ", "at byte 3: a CDATA section is never closed"),
        ("<a><![CDA", "at byte 3: a declaration is never closed"),
        ("<a><!ELEMENT x></a>", "at byte 3: a declaration that is neither comment nor CDATA"),
        ("<?pi <a/>", "at byte 0: a processing instruction is never closed"),
        ("<?xml version='1.0' encoding='latin1'?><a/>", "at byte 0: the encoding is latin1, and only UTF-8 is read"),
        ("<a>\u{1}</a>", "at byte 3: the character U+0001 is not allowed in XML"),
        ("<a>\u{fffe}</a>", "at byte 3: the character U+FFFE is not allowed in XML"),
        ("<a>\u{ffff}</a>", "at byte 3: the character U+FFFF is not allowed in XML"),
    ] {
        assert_eq!(error(page), format!("not well-formed XML {expected}"), "{page}");
    }
}

#[test]
fn a_doctype_is_refused_whole() {
    let page = "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>";
    assert!(error(page).starts_with("not well-formed XML at byte 0: a DOCTYPE is refused"), "{}", error(page));
}

#[test]
fn a_page_is_readable_up_to_the_bad_byte() {
    let page = b"<a><b>1</b><b>\xff</b></a>";
    assert_eq!(tokens(page), ["<a>", "<b>", "\"1\"", "</>", "<b>", "not well-formed XML at byte 14: invalid UTF-8"]);
    assert_eq!(
        tokens(b"<a><b at='\x01'/></a>")[1..],
        ["not well-formed XML at byte 10: the character U+0001 is not allowed in XML"]
    );
}

#[test]
fn depth_and_attributes_are_bounded() {
    let deep = "<a>".repeat(MAX_DEPTH + 1);
    assert_eq!(error(&deep), "not well-formed XML at byte 30000: elements are nested more than 10000 deep");
    let fits = format!("{}{}", "<a>".repeat(MAX_DEPTH), "</a>".repeat(MAX_DEPTH));
    assert_eq!(error(&fits), "</>");
    let many: String = (0..=MAX_ATTRIBUTES).map(|i| format!(" a{i}=''")).collect();
    assert!(error(&format!("<a{many}/>")).ends_with("an element with more than 128 attributes"));
}

#[test]
fn helpers_for_small_answers() {
    let page = b"<r> <a type='T'>1<x/>2</a> <b><c>no</c></b>\n<d/></r>";
    let mut reader = Reader::new(page);
    assert_eq!(reader.child().unwrap(), Some("r"));
    assert_eq!(reader.child().unwrap(), Some("a"));
    assert_eq!(reader.attribute("type").as_deref(), Some("T"));
    assert_eq!(reader.text_of_element().unwrap(), "12");
    assert_eq!(reader.child().unwrap(), Some("b"));
    let start = reader.tag_offset();
    reader.skip_element().unwrap();
    assert_eq!(reader.raw(start, reader.offset()), "<b><c>no</c></b>");
    assert_eq!(reader.child().unwrap(), Some("d"));
    assert_eq!(reader.text_of_element().unwrap(), "");
    assert_eq!(reader.child().unwrap(), None);
    assert_eq!(reader.depth(), 0);
    assert_eq!(reader.next().unwrap(), Token::Eof);
    assert!(reader.child().is_err());
}

#[test]
fn an_end_tag_that_is_cut_off_is_no_end() {
    for page in ["<a><b>1</b", "<a><b>1</", "<a><b>1<", "<a><b>1</b ", "<a><b"] {
        assert!(error(page).starts_with("not well-formed XML at byte"), "{page}: {}", error(page));
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(page in proptest::collection::vec(any::<u8>(), 0..200)) {
        tokens(&page);
    }

    #[test]
    fn arbitrary_markup_never_panics(
        pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "<", ">", "/", "a", "b:", "=", "'", "\"", "&", ";", "#x41", "lt", "<a>", "</a>", "<a/>", "<!--", "-->",
                "<![CDATA[", "]]>", "<?", "?>", " ", "\r\n", "\u{ffff}", "é", "xmlns:", "xsi:type", "<!DOCTYPE",
            ]),
            0..40,
        ),
    ) {
        tokens(pieces.concat().as_bytes());
    }

    /// Whatever text goes in escaped comes out as it was.
    #[test]
    fn text_survives(text in "[^\u{0}-\u{8}\u{b}\u{c}\u{e}-\u{1f}\u{fffe}\u{ffff}]{0,60}") {
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\r', "&#13;");
        let page = format!("<a>{escaped}</a>");
        let mut reader = Reader::new(page.as_bytes());
        prop_assert!(reader.next().is_ok());
        prop_assert_eq!(reader.text_of_element().unwrap(), text);
    }
}
