//! The SOAP faults that a vCenter answers event readers with.

use std::borrow::Cow;

use crate::simulator::vcenter::soap;
use crate::vim25::soap::escape;

/// Their names.
pub(super) const NAMES: &[&str] = &[
    "NotAuthenticated",
    "ManagedObjectNotFound",
    "InvalidState",
    "InvalidArgument",
    "InvalidLogin",
    "NoPermission",
    "InvalidLocale",
    "RequestCanceled",
    "InvalidCollectorVersion",
    "InvalidProperty",
    "MethodNotFound",
    "NotImplemented",
];

/// The fault of that name as an answer to this method, with the elements that its type has.
pub(super) fn of(kind: &str, method: &str) -> soap::Fault {
    let object = r#"<object type="Folder">group-d1</object><privilegeId>System.View</privilegeId>"#;
    let (message, fields) = match kind {
        "NotAuthenticated" => ("The session is not authenticated.", object.to_owned()),
        "NoPermission" => ("Permission to perform this operation was denied.", object.to_owned()),
        "ManagedObjectNotFound" => (
            "The object 'vim.event.EventHistoryCollector:gone' has already been deleted or has not been completely created",
            r#"<obj type="EventHistoryCollector">gone</obj>"#.to_owned(),
        ),
        "InvalidState" => ("The operation is not allowed in the current state.", String::new()),
        "InvalidArgument" => (
            "A specified parameter was not correct: maxCount",
            "<invalidProperty>maxCount</invalidProperty>".to_owned(),
        ),
        "InvalidLogin" => ("Cannot complete login due to an incorrect user name or password.", String::new()),
        "InvalidLocale" => ("The locale is not valid.", String::new()),
        "RequestCanceled" => ("The request was canceled by a user.", String::new()),
        "InvalidCollectorVersion" => ("The version is not known to the collector.", String::new()),
        "InvalidProperty" => ("The property has no such name.", "<name>latestPage</name>".to_owned()),
        "MethodNotFound" => {
            let mut fields = r#"<receiver type="EventHistoryCollector">gone</receiver><method>"#.to_owned();
            escape(&mut fields, method);
            fields.push_str("</method>");
            ("The method is not known to the server.", fields)
        }
        "NotImplemented" => ("The method is not implemented by the server.", String::new()),
        _ => ("A fault that was asked for.", String::new()),
    };
    soap::Fault { kind: Cow::Owned(kind.to_owned()), message: message.into(), fields }
}
