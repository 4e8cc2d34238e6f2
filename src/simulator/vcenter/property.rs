//! Which objects and properties a `PropertyFilterSpec` selects.

use super::objects::Found;
use super::soap::{Fault, Node};
use crate::simulator::value::Object;
use crate::vim25::soap::Ref;

/// Selects from these objects.
pub(super) fn select(spec: &Node, objects: &dyn Fn(&Ref) -> Option<Object>) -> Result<Vec<Found>, Fault> {
    let mut found = Vec::new();
    for set in spec.all("objectSet") {
        let reference = set.child("obj").map(Node::reference).unwrap_or_default();
        let object = objects(&reference).ok_or_else(|| Fault::not_found(&reference))?;
        let mut properties = Vec::new();
        for wanted in spec.all("propSet").filter(|wanted| wanted.text_of("type") == Some(&reference.kind)) {
            if wanted.text_of("all").is_some_and(|all| matches!(all.trim(), "true" | "1")) {
                let all = object.properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
                properties.extend(all);
                continue;
            }
            for path in wanted.all("pathSet") {
                if let Some(value) = object.at(&path.text) {
                    properties.push((path.text.clone(), value.clone()));
                }
            }
        }
        found.push((reference, properties));
    }
    Ok(found)
}
