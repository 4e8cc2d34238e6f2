//! Events that clients ask for.

use super::soap::{Fault, Node, write_reference, write_text};
use crate::simulator::Body;
use crate::vim25::describe::derives;
use crate::vim25::soap::Ref;

/// What a posted event says: everything but its key, its chain, its time and its user, which the vCenter decides.
pub(super) fn event(posted: &Node, user: &str) -> Result<Body, Fault> {
    let class = posted.kind.as_deref().unwrap_or("Event");
    if !derives(class, "Event") {
        return Err(Fault::invalid_argument("eventToPost"));
    }
    let mut rest = posted.clone();
    rest.children.retain(|child| !matches!(&*child.name, "key" | "chainId" | "createdTime" | "userName"));
    let mut xml = String::new();
    write_text(&mut xml, "userName", user);
    let mut about = Vec::new();
    for child in &rest.children {
        collect(child, &mut about);
    }
    rest.write_inside(&mut xml);
    let id = rest.text_of("eventTypeId").map(|id| id.trim().into());
    Ok(Body { class: class.into(), type_id: id, user: user.into(), about, time: None, xml: xml.into() })
}

/// The objects that are named directly in an argument of the event, such as its machine.
fn collect(argument: &Node, about: &mut Vec<Box<str>>) {
    for child in argument.children.iter().chain([argument]).filter(|node| node.of.is_some()) {
        let value = child.text.trim();
        if !value.is_empty() && !about.iter().any(|other| **other == *value) {
            about.push(value.into());
        }
    }
}

/// What a user has logged about an object.
pub(super) fn user_event(entity: &Ref, name: &str, message: &str, user: &str) -> Body {
    let mut xml = String::new();
    write_text(&mut xml, "userName", user);
    write_text(&mut xml, "fullFormattedMessage", &format!("User logged event: {message}"));
    write_text(&mut xml, "message", message);
    xml.push_str("<entity>");
    write_text(&mut xml, "name", name);
    write_reference(&mut xml, "entity", entity);
    xml.push_str("</entity>");
    let about = vec![entity.value.as_str().into()];
    Body { class: "GeneralUserEvent".into(), user: user.into(), about, xml: xml.into(), ..Body::default() }
}
