//! SOAP as vSphere speaks it: requests out, faults and small answers in.
//!
//! Pages of events are not read here: they go to the transcoder as they came.

use std::borrow::Cow;

use bytes::Bytes;

use super::xml::{Reader, Token, XmlError};

const HEAD: &str = concat!(
    r#"<?xml version="1.0" encoding="UTF-8"?>"#,
    "\n",
    r#"<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" "#,
    r#"xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">"#,
    "<soapenv:Body>",
);
const TAIL: &str = "</soapenv:Body></soapenv:Envelope>";

/// A reference to a managed object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ref {
    /// Its type, such as `EventHistoryCollector`.
    pub kind: String,
    /// Its value, unique for its type.
    pub value: String,
}

impl Ref {
    /// The object of that type and value.
    #[must_use]
    pub fn new(kind: &str, value: &str) -> Self {
        Self { kind: kind.to_owned(), value: value.to_owned() }
    }
}

/// A call of one method, written element by element: vSphere wants its parameters in their declared order.
#[derive(Debug)]
pub struct Call {
    method: &'static str,
    xml: String,
}

impl Call {
    /// Of `method` of the object `this`.
    #[must_use]
    pub fn new(method: &'static str, this: &Ref) -> Self {
        let mut call = Self { method, xml: String::with_capacity(768) };
        call.xml.push_str(HEAD);
        for part in ["<", method, r#" xmlns="urn:vim25">"#] {
            call.xml.push_str(part);
        }
        call.reference("_this", this)
    }

    /// The method's name.
    #[must_use]
    pub fn method(&self) -> &'static str {
        self.method
    }

    /// Adds an element that holds text.
    #[must_use]
    pub fn text(mut self, name: &str, value: &str) -> Self {
        self.open(name);
        escape(&mut self.xml, value);
        self.close(name);
        self
    }

    /// Adds an element that refers to an object.
    #[must_use]
    pub fn reference(mut self, name: &str, object: &Ref) -> Self {
        for part in ["<", name, " type=\""] {
            self.xml.push_str(part);
        }
        escape(&mut self.xml, &object.kind);
        self.xml.push_str("\">");
        escape(&mut self.xml, &object.value);
        self.close(name);
        self
    }

    /// Adds an element that holds what `inside` adds.
    #[must_use]
    pub fn nested(mut self, name: &str, inside: impl FnOnce(Self) -> Self) -> Self {
        self.open(name);
        self = inside(self);
        self.close(name);
        self
    }

    /// The whole message.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        self.close(self.method);
        self.xml.push_str(TAIL);
        Bytes::from(self.xml)
    }

    fn open(&mut self, name: &str) {
        for part in ["<", name, ">"] {
            self.xml.push_str(part);
        }
    }

    fn close(&mut self, name: &str) {
        for part in ["</", name, ">"] {
            self.xml.push_str(part);
        }
    }
}

/// Writes text as the content of an element or attribute.
pub fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // Would otherwise arrive as a line feed.
            '\r' => out.push_str("&#13;"),
            c => out.push(c),
        }
    }
}

/// A fault that vSphere answered with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}{}{message}", if .message.is_empty() { "" } else { ": " })]
pub struct Fault {
    /// Its type, such as `NotAuthenticated`; a fault of SOAP itself has the code, such as `soapenv:Client`.
    pub kind: String,
    /// What it says; in the server's language.
    pub message: String,
    /// The privilege that is missing, for `NoPermission` and `NotAuthenticated`.
    pub privilege: Option<String>,
}

/// Why an answer could not be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AnswerError {
    /// It is a fault.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// It is not XML.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// It lacks something that every answer of this kind has.
    #[error("the answer has no {0}")]
    Missing(&'static str),
}

/// Goes to the content of `...Response`: the next child is the answer's first element.
///
/// # Errors
/// A fault, or not SOAP.
pub fn open_answer(body: &[u8]) -> Result<Reader<'_>, AnswerError> {
    let mut reader = Reader::new(body);
    if !matches!(reader.next()?, Token::Start("Envelope")) {
        return Err(AnswerError::Missing("SOAP envelope"));
    }
    while let Some(name) = reader.child()? {
        if name != "Body" {
            reader.skip_element()?;
            continue;
        }
        return match reader.child()? {
            None => Err(AnswerError::Missing("SOAP body")),
            Some("Fault") => Err(read_fault(&mut reader)?.into()),
            Some(_) => Ok(reader),
        };
    }
    Err(AnswerError::Missing("SOAP body"))
}

/// Reads a fault whose start tag was read last.
fn read_fault(reader: &mut Reader<'_>) -> Result<Fault, XmlError> {
    let mut fault = Fault { kind: String::new(), message: String::new(), privilege: None };
    let mut code = String::new();
    while let Some(name) = reader.child()? {
        match name {
            "faultcode" => code = reader.text_of_element()?.into_owned(),
            "faultstring" => fault.message = reader.text_of_element()?.trim().to_owned(),
            "detail" => {
                while let Some(name) = reader.child()? {
                    let kind = reader.xsi_type().unwrap_or(Cow::Borrowed(name));
                    // Extensions write a prefix.
                    let kind = kind.rsplit(':').next().unwrap_or_default();
                    fault.kind = kind.strip_suffix("Fault").filter(|kind| !kind.is_empty()).unwrap_or(kind).to_owned();
                    while let Some(name) = reader.child()? {
                        if name == "privilegeId" {
                            fault.privilege = Some(reader.text_of_element()?.into_owned());
                        } else {
                            reader.skip_element()?;
                        }
                    }
                }
            }
            _ => reader.skip_element()?,
        }
    }
    if fault.kind.is_empty() {
        fault.kind = code;
    }
    Ok(fault)
}

/// The reference that is the answer's `returnval`.
///
/// # Errors
/// A fault, not SOAP, or no reference.
pub fn read_reference(body: &[u8]) -> Result<Ref, AnswerError> {
    let mut reader = open_answer(body)?;
    while let Some(name) = reader.child()? {
        if name == "returnval" {
            return Ok(reference(&mut reader)?);
        }
        reader.skip_element()?;
    }
    Err(AnswerError::Missing("returnval"))
}

/// The text that is the answer's `returnval`.
///
/// # Errors
/// A fault, not SOAP, or no `returnval`.
pub fn read_text(body: &[u8]) -> Result<String, AnswerError> {
    let mut reader = open_answer(body)?;
    while let Some(name) = reader.child()? {
        if name == "returnval" {
            return Ok(reader.text_of_element()?.into_owned());
        }
        reader.skip_element()?;
    }
    Err(AnswerError::Missing("returnval"))
}

/// The reference in the element whose start tag was read last.
///
/// # Errors
/// When the page is not well-formed here.
pub fn reference(reader: &mut Reader<'_>) -> Result<Ref, XmlError> {
    let kind = reader.attribute("type").unwrap_or_default().into_owned();
    Ok(Ref { kind, value: reader.text_of_element()?.into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(name: &str) -> Vec<u8> {
        let path = format!("{}/tests/fixtures/wire/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    #[test]
    fn calls_are_written_as_vsphere_reads_them() {
        let call = Call::new("Login", &Ref::new("SessionManager", "SessionManager"))
            .text("userName", "user")
            .text("password", "pass")
            .text("locale", "en_US");
        assert_eq!(call.method(), "Login");
        let sample = wire("wire-04-Login-req.xml");
        assert_eq!(call.finish(), sample.trim_ascii_end());
    }

    #[test]
    fn what_a_user_types_cannot_break_out() {
        let call = Call::new("Login", &Ref::new("a\"b", "<&>")).text("password", "p<&>\"'ß\r").finish();
        let text = std::str::from_utf8(&call).unwrap();
        assert!(text.contains(r#"<_this type="a&quot;b">&lt;&amp;&gt;</_this>"#), "{text}");
        assert!(text.contains("<password>p&lt;&amp;&gt;&quot;'ß&#13;</password>"), "{text}");
    }

    #[test]
    fn faults_are_known_by_their_type() {
        for (name, kind, privilege) in [
            ("wire-02-NotAuthenticated-fault-res.xml", "NotAuthenticated", Some("System.View")),
            ("wire-03-Login-InvalidLogin-fault-res.xml", "InvalidLogin", None),
            ("wire-13-SetCollectorPageSize-InvalidArgument-fault-res.xml", "InvalidArgument", None),
            ("wire-26-ManagedObjectNotFound-fault-res.xml", "ManagedObjectNotFound", None),
        ] {
            match open_answer(&wire(name)) {
                Err(AnswerError::Fault(fault)) => {
                    assert_eq!((&*fault.kind, fault.privilege.as_deref()), (kind, privilege), "{name}");
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        let no_type = br#"<e:Envelope xmlns:e="x"><e:Body><e:Fault><faultcode>c</faultcode><faultstring> Bad
            </faultstring><detail><RequestCanceledFault/></detail></e:Fault></e:Body></e:Envelope>"#;
        let Err(AnswerError::Fault(fault)) = open_answer(no_type) else { panic!("a fault") };
        assert_eq!(fault.to_string(), "RequestCanceled: Bad");
        let no_detail = br#"<e:Envelope xmlns:e="x"><e:Body><e:Fault><faultcode>e:Client</faultcode></e:Fault></e:Body></e:Envelope>"#;
        let Err(AnswerError::Fault(fault)) = open_answer(no_detail) else { panic!("a fault") };
        assert_eq!(fault.to_string(), "e:Client");
    }

    #[test]
    fn small_answers_are_read() {
        let collector = read_reference(&wire("wire-09-CreateCollectorForEvents-root-all-res.xml")).unwrap();
        assert_eq!(collector.kind, "EventHistoryCollector");
        assert!(collector.value.starts_with("session[9980238c"));
        assert_eq!(read_text(&wire("wire-05-CurrentTime-res.xml")).unwrap(), "2026-11-22T10:44:29.842858334Z");
        assert!(matches!(read_text(&wire("wire-27-Logout-res.xml")), Err(AnswerError::Missing("returnval"))));
        for bad in [&b""[..], b"<html/>", b"<Envelope/>", b"<Envelope><Body/></Envelope>", b"<Envelope><Body><a"] {
            assert!(read_text(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
