//! Which version of the API to speak: `SOAPAction` chooses it, and with it what events look like.

use crate::vim25::xml::{Reader, XmlError};

/// A version's numbers; none for what is not made of numbers, such as `2.5u2`.
fn numbers(version: &str) -> Option<Vec<u32>> {
    let mut numbers = version.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u32>>>()?;
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    Some(numbers)
}

/// Whether `version` is at least `least`. What is not made of numbers is not.
pub(super) fn at_least(version: &str, least: &str) -> bool {
    matches!((numbers(version), numbers(least)), (Some(version), Some(least)) if version >= least)
}

/// The newest version that both sides know: of those that the server `offers`, the newest that is not newer than
/// `wanted`. A server that offers none of them is asked for `wanted`, and may refuse.
pub(super) fn choose<'a>(wanted: &'a str, offers: impl IntoIterator<Item = &'a str>) -> &'a str {
    let most = numbers(wanted).unwrap_or_default();
    let known = offers.into_iter().filter_map(|offer| Some((numbers(offer)?, offer)));
    known.filter(|(offer, _)| *offer <= most).max_by(|a, b| a.0.cmp(&b.0)).map_or(wanted, |(_, offer)| offer)
}

/// The versions of `urn:vim25` that `vimServiceVersions.xml` lists.
pub(super) fn offered(xml: &[u8]) -> Result<Vec<String>, XmlError> {
    let mut reader = Reader::new(xml);
    let mut versions = Vec::new();
    // <namespaces><namespace><name/><version/><priorVersions><version/>...
    if reader.child()?.is_none() {
        return Ok(versions);
    }
    while reader.child()?.is_some() {
        let mut name = String::new();
        let mut found = Vec::new();
        while let Some(element) = reader.child()? {
            match element {
                "name" => name = reader.text_of_element()?.trim().to_owned(),
                "version" => found.push(reader.text_of_element()?.trim().to_owned()),
                "priorVersions" => {
                    while reader.child()?.is_some() {
                        found.push(reader.text_of_element()?.trim().to_owned());
                    }
                }
                _ => reader.skip_element()?,
            }
        }
        if name == "urn:vim25" {
            versions.append(&mut found);
        }
    }
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_that_both_know_is_spoken() {
        let eight = ["8.0.3.0", "8.0.2.0", "7.0.3.0", "7.0.0.0", "6.7.3", "6.7.1", "6.7", "6.5", "2.5u2"];
        assert_eq!(choose("6.7", eight), "6.7");
        assert_eq!(choose("7.0.0.0", eight), "7.0.0.0");
        assert_eq!(choose("9.1.0.0", eight), "8.0.3.0");
        assert_eq!(choose("6.7", ["6.5", "6.0"]), "6.5");
        assert_eq!(choose("6.7", ["9.9.0.0"]), "6.7");
        assert_eq!(choose("6.7", []), "6.7");
    }

    #[test]
    fn versions_compare_by_their_numbers() {
        assert!(at_least("6.5", "6.5") && at_least("10.0", "6.5") && at_least("8.0.3.0", "8.0.3"));
        assert!(!at_least("6.0", "6.5") && !at_least("", "6.5") && !at_least("dev", "6.5"));
    }

    #[test]
    fn the_server_s_list_is_read() {
        let xml = br#"<?xml version="1.0" encoding="UTF-8"?><namespaces version="1.0">
            <namespace><name>urn:vim25</name><version>8.0.3.0</version>
              <priorVersions><version>8.0.2.0</version><version> 6.7 </version></priorVersions></namespace>
            <namespace><name>urn:other</name><version>99</version></namespace></namespaces>"#;
        assert_eq!(offered(xml).unwrap(), ["8.0.3.0", "8.0.2.0", "6.7"]);
        assert!(offered(b"<html>").is_err());
        assert!(offered(b"<html/>").unwrap().is_empty());
    }
}
