//! Events that clients ask for.

use super::soap::{Fault, Node, write_reference, write_text};
use crate::simulator::Body;
use crate::simulator::world::message;
use crate::vim25::Shape;
use crate::vim25::describe::{derives, members};
use crate::vim25::soap::Ref;

/// What a posted event says: everything but its key, its chain, its time and its user, which the vCenter decides. The
/// vCenter also writes the message, if there is none.
pub(super) fn event(posted: &Node, user: &str) -> Result<Body, Fault> {
    read(posted, user, true)
}

/// What a captured event says: all of it, and no more.
pub(super) fn captured(event: &Node, user: &str) -> Result<Body, Fault> {
    read(event, user, false)
}

fn read(posted: &Node, user: &str, told: bool) -> Result<Body, Fault> {
    let class = posted.kind.as_deref().unwrap_or("Event");
    if !derives(class, "Event") {
        return Err(Fault::invalid_argument("eventToPost"));
    }
    let mut event = posted.clone();
    event.children.retain(|child| !matches!(&*child.name, "key" | "chainId" | "createdTime" | "userName"));
    let mut about = Vec::new();
    for child in &event.children {
        collect(child, &mut about);
    }
    let leaf = |name: &str, text: &str| Node { name: name.to_owned(), text: text.to_owned(), ..Node::default() };
    event.children.push(leaf("userName", user));
    let id: Option<Box<str>> = event.text_of("eventTypeId").map(|id| id.trim().into());
    if told
        && event.text_of("fullFormattedMessage").is_none_or(str::is_empty)
        && let Some(text) = message(class, id.as_deref(), &|path| at(&event, path))
    {
        event.children.retain(|child| child.name != "fullFormattedMessage");
        event.children.push(leaf("fullFormattedMessage", &text));
    }
    let declared = members(class, Shape::LATEST);
    let place = |child: &Node| declared.iter().position(|member| member.name == child.name);
    event.children.sort_by_key(|child| place(child).unwrap_or(usize::MAX));
    let mut xml = String::new();
    event.write_inside(&mut xml);
    Ok(Body { class: class.into(), type_id: id, user: user.into(), about, time: None, xml: xml.into() })
}

/// The text at a path of an event, as the formats of messages ask for it.
fn at(event: &Node, path: &str) -> Option<String> {
    let mut found = event;
    for name in path.split('.') {
        // The message of a fault is one of its elements, under another name.
        found = found.child(if name == "msg" { "localizedMessage" } else { name })?;
    }
    Some(found.text.clone())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(name: &str, text: &str) -> Node {
        Node { name: name.to_owned(), text: text.to_owned(), ..Node::default() }
    }

    #[test]
    fn a_posted_event_is_told_as_any_other() {
        let vm = Node { of: Some("VirtualMachine".to_owned()), ..leaf("vm", "vm-7") };
        let vm = Node { children: vec![leaf("name", "a<b"), vm], ..leaf("vm", "") };
        let message = leaf("fullFormattedMessage", "");
        let children =
            vec![message, leaf("newName", "c"), leaf("key", "9"), vm, leaf("oldName", "a"), leaf("userName", "x")];
        let posted = Node { kind: Some("VmRenamedEvent".to_owned()), children, ..leaf("eventToPost", "") };
        let body = event(&posted, "me").unwrap();
        assert_eq!(
            &*body.xml,
            "<userName>me</userName><vm><name>a&lt;b</name><vm type=\"VirtualMachine\">vm-7</vm></vm>\
             <fullFormattedMessage>Renamed a&lt;b from a to c in </fullFormattedMessage><oldName>a</oldName><newName>c</newName>"
        );
        assert_eq!((&*body.user, &*body.about), ("me", &["vm-7".into()][..]));
        let nothing = Node { kind: Some("TaskInfo".to_owned()), ..posted };
        assert_eq!(event(&nothing, "me").unwrap_err().kind, "InvalidArgument");
    }
}
