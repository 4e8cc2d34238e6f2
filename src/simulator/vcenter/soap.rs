//! Requests read, answers and faults written, as a real vCenter does.

use std::borrow::Cow;

use crate::vim25::soap::{Ref, escape};
use crate::vim25::xml::{Reader, Token, XSI, XmlError};

/// Elements of a request that are open at once.
const MOST_DEPTH: usize = 64;

/// Elements of a request.
const MOST_ELEMENTS: usize = 100_000;

const HEAD: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8"?>"#,
    "\n<soapenv:Envelope xmlns:soapenc=\"http://schemas.xmlsoap.org/soap/encoding/\"",
    "\n xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"",
    "\n xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\"",
    "\n xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">",
    "\n<soapenv:Body>\n",
);
const TAIL: &str = "\n</soapenv:Body>\n</soapenv:Envelope>";

/// An element of a request. Prefixes are gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) name: String,
    /// `xsi:type`; of a type of XML Schema's with the prefix `xsd`, of others without theirs.
    pub(super) kind: Option<String>,
    /// The attribute `type` of a reference.
    pub(super) of: Option<String>,
    /// The attribute `serverGuid` of a reference.
    pub(super) guid: Option<String>,
    /// The text of an element without children.
    pub(super) text: String,
    pub(super) children: Vec<Node>,
}

impl Node {
    /// The first child of that name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// Every child of that name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// As a reference to a managed object.
    pub(super) fn reference(&self) -> Ref {
        Ref::new(self.of.as_deref().unwrap_or_default(), self.text.trim())
    }
}

/// A fault that a call is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Its type, such as `NotAuthenticated`.
    pub(super) kind: Cow<'static, str>,
    pub(super) message: Cow<'static, str>,
    /// The fault's own elements.
    pub(super) fields: String,
}

impl Fault {
    pub(super) fn new(kind: &'static str, message: &'static str) -> Self {
        Self { kind: kind.into(), message: message.into(), fields: String::new() }
    }

    /// The session is gone, or there was none.
    pub(super) fn not_authenticated(object: &Ref) -> Self {
        let mut fields = String::new();
        write_reference(&mut fields, "object", object);
        fields.push_str("<privilegeId>System.View</privilegeId>");
        Self { fields, ..Self::new("NotAuthenticated", "The session is not authenticated.") }
    }

    /// There is no such object, or there is none any more.
    pub(super) fn not_found(object: &Ref) -> Self {
        let mut fields = String::new();
        write_reference(&mut fields, "obj", object);
        let message = format!(
            "The object 'vim.{}:{}' has already been deleted or has not been completely created",
            object.kind, object.value
        );
        Self { kind: "ManagedObjectNotFound".into(), message: message.into(), fields }
    }

    /// An argument, or a property of one, is out of range.
    pub(super) fn invalid_argument(property: &str) -> Self {
        let mut fields = String::from("<invalidProperty>");
        escape(&mut fields, property);
        fields.push_str("</invalidProperty>");
        let message = "A specified parameter was not correct: ".to_owned() + property;
        Self { kind: "InvalidArgument".into(), message: message.into(), fields }
    }

    /// Not now, or not so many.
    pub(super) fn invalid_state() -> Self {
        Self::new("InvalidState", "The operation is not allowed in the current state.")
    }

    /// The request is not one that can be read.
    pub(super) fn invalid_request(why: impl Into<Cow<'static, str>>) -> Self {
        Self { message: why.into(), ..Self::new("InvalidRequest", "") }
    }
}

/// The request's one call: its method is the node's name.
pub(super) fn read_call(body: &[u8]) -> Result<Node, Fault> {
    let refused = |why: &'static str| Err(Fault::invalid_request(why));
    let bad = |error: XmlError| Fault::invalid_request(error.to_string());
    let mut reader = Reader::new(body);
    if !matches!(reader.next().map_err(bad)?, Token::Start("Envelope")) {
        return refused("there is no SOAP envelope");
    }
    while let Some(name) = reader.child().map_err(bad)? {
        if name != "Body" {
            reader.skip_element().map_err(bad)?;
            continue;
        }
        let Some(name) = reader.child().map_err(bad)? else { return refused("the SOAP body is empty") };
        return read_node(&mut reader, name);
    }
    refused("there is no SOAP body")
}

/// Reads the element whose start tag was read last, without recursion.
pub(super) fn read_node(reader: &mut Reader<'_>, name: &str) -> Result<Node, Fault> {
    let bad = |error: XmlError| Fault::invalid_request(error.to_string());
    let start = |reader: &Reader<'_>, name: &str| Node {
        name: name.to_owned(),
        kind: reader.attribute_ns(XSI, "type").map(|kind| match kind.split_once(':') {
            Some(("xsd" | "xs", name)) => format!("xsd:{name}"),
            Some((_, name)) => name.to_owned(),
            None => kind.into_owned(),
        }),
        of: reader.attribute("type").map(Cow::into_owned),
        guid: reader.attribute("serverGuid").map(Cow::into_owned),
        ..Node::default()
    };
    let mut open = vec![start(reader, name)];
    let mut elements = 0;
    loop {
        match reader.next().map_err(bad)? {
            Token::Start(name) => {
                elements += 1;
                if open.len() >= MOST_DEPTH || elements >= MOST_ELEMENTS {
                    return Err(Fault::invalid_request("there are too many elements"));
                }
                let node = start(reader, name);
                open.push(node);
            }
            Token::Text(text) => {
                if let Some(node) = open.last_mut() {
                    node.text.push_str(&text);
                }
            }
            Token::End => {
                let Some(mut node) = open.pop() else { break };
                if !node.children.is_empty() {
                    // What stands between elements is layout.
                    node.text.clear();
                }
                match open.last_mut() {
                    Some(parent) => parent.children.push(node),
                    None => return Ok(node),
                }
            }
            Token::Eof => break,
        }
    }
    Err(Fault::invalid_request("it breaks off"))
}

impl Node {
    /// The text of the first child of that name.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }

    /// Writes what is in it.
    pub(super) fn write_inside(&self, out: &mut String) {
        escape(out, &self.text);
        for child in &self.children {
            for part in ["<", &child.name] {
                out.push_str(part);
            }
            let guid = (" serverGuid=\"", &child.guid);
            for (attribute, value) in [(" xsi:type=\"", &child.kind), (" type=\"", &child.of), guid] {
                if let Some(value) = value {
                    out.push_str(attribute);
                    escape(out, value);
                    out.push('"');
                }
            }
            out.push('>');
            child.write_inside(out);
            for part in ["</", &child.name, ">"] {
                out.push_str(part);
            }
        }
    }
}

/// An answer that is being written.
pub(super) struct Answer {
    pub(super) xml: String,
    method: String,
}

impl Answer {
    /// To a call of this method, with room for so many bytes besides the envelope.
    pub(super) fn new(method: &str, room: usize) -> Self {
        let mut xml = String::with_capacity(HEAD.len() + TAIL.len() + 2 * method.len() + 64 + room);
        for part in [HEAD, "<", method, "Response xmlns=\"urn:vim25\">"] {
            xml.push_str(part);
        }
        Self { xml, method: method.to_owned() }
    }

    /// The whole message.
    pub(super) fn finish(mut self) -> String {
        for part in ["</", &self.method, "Response>", TAIL] {
            self.xml.push_str(part);
        }
        self.xml
    }
}

/// A fault as a whole message.
pub(super) fn write_fault(fault: &Fault) -> String {
    let mut xml = String::from(HEAD);
    // What is wrong with a request itself is the caller's, everything else the server's.
    let code = if fault.kind == "InvalidRequest" { "soapenv:Client" } else { "ServerFaultCode" };
    for part in ["<soapenv:Fault><faultcode>", code, "</faultcode><faultstring>"] {
        xml.push_str(part);
    }
    escape(&mut xml, &fault.message);
    let kind = &fault.kind;
    for part in ["</faultstring><detail><", kind, "Fault xmlns=\"urn:vim25\" xsi:type=\"", kind, "\">"] {
        xml.push_str(part);
    }
    for part in [&*fault.fields, "</", kind, "Fault></detail></soapenv:Fault>", TAIL] {
        xml.push_str(part);
    }
    xml
}

/// Writes an element that holds text.
pub(super) fn write_text(out: &mut String, name: &str, text: &str) {
    for part in ["<", name, ">"] {
        out.push_str(part);
    }
    escape(out, text);
    for part in ["</", name, ">"] {
        out.push_str(part);
    }
}

/// Writes an element that refers to an object.
pub(super) fn write_reference(out: &mut String, name: &str, object: &Ref) {
    for part in ["<", name, " type=\""] {
        out.push_str(part);
    }
    escape(out, &object.kind);
    out.push_str("\">");
    escape(out, &object.value);
    for part in ["</", name, ">"] {
        out.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vim25::soap::{AnswerError, open_answer, read_text};

    fn wire(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/tests/fixtures/wire/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn calls_are_read() {
        let call = read_call(&wire("wire-10-CreateCollectorForEvents-time-type-req.xml")).unwrap();
        assert_eq!(call.name, "CreateCollectorForEvents");
        assert_eq!(call.child("_this").unwrap().reference(), Ref::new("EventManager", "EventManager"));
        let filter = call.child("filter").unwrap();
        assert!(filter.child("time").unwrap().text_of("beginTime").unwrap().starts_with("2026-"));
        assert!(filter.all("eventTypeId").count() > 0);
        let posted = br#"<s:Envelope xmlns:s="s" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><s:Body>
            <a:P xmlns:a="urn:vim25"><a:e i:type="a:EventEx"><m>x &lt; y</m> <k i:type="xsd:int">1</k></a:e></a:P>
            </s:Body></s:Envelope>"#;
        let call = read_call(posted).unwrap();
        let event = call.child("e").unwrap();
        assert_eq!((event.kind.as_deref(), &*event.text), (Some("EventEx"), ""));
        let mut out = String::new();
        event.write_inside(&mut out);
        assert_eq!(out, "<m>x &lt; y</m><k xsi:type=\"xsd:int\">1</k>");
    }

    #[test]
    fn requests_that_are_none_are_refused() {
        let deep = format!("<Envelope><Body>{}", "<a>".repeat(200));
        let wide = format!("<Envelope><Body><a>{}</a></Body></Envelope>", "<b/>".repeat(MOST_ELEMENTS + 1));
        for bad in [
            "",
            "x",
            "<a/>",
            "<Envelope/>",
            "<Envelope><Body/></Envelope>",
            "<Envelope><Body><a>",
            "<!DOCTYPE a><Envelope/>",
            &deep,
            &wide,
        ] {
            assert_eq!(read_call(bad.as_bytes()).unwrap_err().kind, "InvalidRequest");
        }
    }

    #[test]
    fn answers_and_faults_are_read_by_a_client() {
        let mut answer = Answer::new("CurrentTime", 0);
        write_text(&mut answer.xml, "returnval", "<now>");
        let answer = answer.finish();
        assert!(answer.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<soapenv:Envelope xmlns:soapenc="));
        assert_eq!(read_text(answer.as_bytes()).unwrap(), "<now>");
        let object = Ref::new("EventHistoryCollector", "session[1]2");
        for (fault, kind) in [
            (Fault::not_authenticated(&object), "NotAuthenticated"),
            (Fault::not_found(&object), "ManagedObjectNotFound"),
            (Fault::invalid_argument("maxCount"), "InvalidArgument"),
            (Fault::invalid_state(), "InvalidState"),
        ] {
            let xml = write_fault(&fault);
            let Err(AnswerError::Fault(read)) = open_answer(xml.as_bytes()) else { panic!("{xml}") };
            assert_eq!((&*read.kind, &*read.message), (kind, &*fault.message));
        }
    }
}
