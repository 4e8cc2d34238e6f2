//! The list of API versions that the vCenter speaks.

use super::objects::API_VERSION;

/// What is older than the version that it is.
const PRIOR: &[&str] = &[
    "8.0.2.0", "8.0.1.0", "8.0.0.1", "8.0.0.0", "7.0.3.2", "7.0.3.1", "7.0.3.0", "7.0.2.1", "7.0.2.0", "7.0.1.1",
    "7.0.1.0", "7.0.0.2", "7.0.0.0", "6.9.1", "6.8.7", "6.7.3", "6.7.2", "6.7.1", "6.7", "6.5", "6.0", "5.5", "5.1",
    "5.0", "4.1", "4.0", "2.5u2", "2.5",
];

/// The list, as `/sdk/vimServiceVersions.xml` has it.
pub(super) fn list() -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<namespaces version=\"1.0\">\n");
    xml.push_str(" <namespace>\n  <name>urn:vim25</name>\n");
    xml.push_str(&format!("  <version>{API_VERSION}</version>\n  <priorVersions>\n"));
    for version in PRIOR {
        xml.push_str(&format!("   <version>{version}</version>\n"));
    }
    xml.push_str("  </priorVersions>\n </namespace>\n</namespaces>\n");
    xml
}
