//! The names of rules, buses and roles.

use std::fmt;

use crate::config::Complaint;
use crate::config::problem::shown;

/// An ARN in its parts.
struct Parts<'a> {
    partition: &'a str,
    region: &'a str,
    account: &'a str,
    resource: &'a str,
}

fn parts<'a>(text: &'a str, service: &str) -> Option<Parts<'a>> {
    let mut parts = text.splitn(6, ':');
    let mut next = || parts.next();
    let (arn, partition, of, region, account, resource) = (next()?, next()?, next()?, next()?, next()?, next()?);
    let named = partition == "aws" || partition.strip_prefix("aws-").is_some_and(is_word);
    let numbered = !account.is_empty() && account.bytes().all(|b| b.is_ascii_digit());
    (arn == "arn" && named && of == service && numbered).then_some(Parts { partition, region, account, resource })
}

/// Lower-case letters, digits and hyphens.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// A name as AWS allows it: of a rule, or with slashes of a bus.
fn is_name(text: &str, longest: usize, slashes: bool) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b) || (slashes && b == b'/');
    (1..=longest).contains(&text.len()) && text.bytes().all(fits)
}

/// A region, such as `eu-central-1`. It becomes part of a host's name.
pub(super) fn parse_region(text: &str) -> Result<String, Complaint> {
    if is_word(text) && text.len() <= 63 && text.contains('-') && !text.starts_with('-') && !text.ends_with('-') {
        return Ok(text.to_owned());
    }
    Err(Complaint::new(format!("{} is not a region", shown(text)), "write one such as \"eu-central-1\""))
}

/// The ARN of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleArn {
    text: String,
    /// `aws`, or `aws-cn` and the like.
    pub partition: String,
    /// Where the rule is.
    pub region: String,
    /// Whose it is.
    pub account: String,
    /// The bus that it is on.
    pub bus: String,
    /// Its name on that bus.
    pub name: String,
}

impl RuleArn {
    /// Reads an ARN.
    ///
    /// # Errors
    /// It is none of a rule.
    pub fn parse(text: &str) -> Result<Self, Complaint> {
        let parsed = parts(text, "events").and_then(|parts| {
            let of_bus = parts.resource.strip_prefix("rule/")?;
            // A rule on the default bus has no bus in its name; that of another bus may hold slashes.
            let (bus, name) = of_bus.rsplit_once('/').unwrap_or(("default", of_bus));
            let right = is_word(parts.region) && is_name(name, 64, false) && is_name(bus, 256, true);
            right.then(|| Self {
                text: text.to_owned(),
                partition: parts.partition.to_owned(),
                region: parts.region.to_owned(),
                account: parts.account.to_owned(),
                bus: bus.to_owned(),
                name: name.to_owned(),
            })
        });
        parsed.ok_or_else(|| {
            let hint = "write arn:aws:events:REGION:ACCOUNT:rule/NAME, or rule/BUS/NAME on a bus other than default";
            Complaint::new(format!("{} is not the ARN of a rule", shown(text)), hint)
        })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for RuleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A bus, by its name alone or by its ARN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bus {
    /// As AWS is told: what was configured.
    pub text: String,
    /// Its name.
    pub name: String,
    /// Its partition, region and account, where it was given by its ARN.
    pub place: Option<[String; 3]>,
}

impl Bus {
    /// Reads a name or an ARN.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(text: &str) -> Result<Self, Complaint> {
        let (name, place) = if text.starts_with("arn:") {
            let parts = parts(text, "events").filter(|parts| is_word(parts.region));
            let found = parts.and_then(|parts| {
                let name = parts.resource.strip_prefix("event-bus/")?;
                Some((name, [parts.partition, parts.region, parts.account].map(str::to_owned)))
            });
            found.map_or(("", None), |(name, place)| (name, Some(place)))
        } else {
            (text, None)
        };
        if is_name(name, 256, true) {
            return Ok(Self { text: text.to_owned(), name: name.to_owned(), place });
        }
        let hint = "write its name, or arn:aws:events:REGION:ACCOUNT:event-bus/NAME";
        Err(Complaint::new(format!("{} is not the name or ARN of a bus", shown(text)), hint))
    }
}

/// The ARN of a role.
pub(super) fn parse_role(text: &str) -> Result<String, Complaint> {
    let role = parts(text, "iam").filter(|parts| parts.region.is_empty());
    let role = role.and_then(|parts| parts.resource.strip_prefix("role/"));
    if role.is_some_and(|role| !role.is_empty() && role.bytes().all(|b| b.is_ascii_graphic())) {
        return Ok(text.to_owned());
    }
    let hint = "write one such as arn:aws:iam::123456789012:role/event-router";
    Err(Complaint::new(format!("{} is not the ARN of a role", shown(text)), hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arn_of_a_rule_names_its_bus() {
        for (text, bus, name) in [
            ("arn:aws:events:eu-central-1:1234567890:rule/vmware-event-router", "default", "vmware-event-router"),
            ("arn:aws:events:eu-central-1:123456789012:rule/vmware/power.on_1", "vmware", "power.on_1"),
            ("arn:aws-us-gov:events:us-gov-west-1:1:rule/aws.partner/x.com/y/z", "aws.partner/x.com/y", "z"),
        ] {
            let arn = RuleArn::parse(text).unwrap();
            assert_eq!((arn.bus.as_str(), arn.name.as_str(), arn.as_str()), (bus, name, text));
        }
        for text in [
            "",
            "vmware",
            "arn:aws:events:eu-central-1:123:rule/",
            "arn:aws:events:eu-central-1:123:rule//x",
            "arn:aws:events:eu-central-1:123:event-bus/x",
            "arn:aws:events:eu-central-1::rule/x",
            "arn:aws:events:EU:123:rule/x",
            "arn:aws:sqs:eu-central-1:123:rule/x",
            "arn:gcp:events:eu-central-1:123:rule/x",
            "arn:aws:events:eu-central-1:123:rule/x y",
            "arn:aws:events:eu-central-1:123",
        ] {
            assert!(RuleArn::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bus_is_a_name_or_an_arn() {
        assert_eq!(Bus::parse("default").unwrap().name, "default");
        let arn = Bus::parse("arn:aws:events:eu-west-1:123:event-bus/vmware").unwrap();
        assert_eq!((arn.name.as_str(), arn.place.unwrap()), ("vmware", ["aws", "eu-west-1", "123"].map(str::to_owned)));
        for text in
            ["", "a b", "arn:aws:events:eu-west-1:123:rule/x", "arn:aws:events:eu-west-1:123:event-bus/", "arn:x"]
        {
            assert!(Bus::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn regions_and_roles() {
        assert!(parse_region("eu-central-1").is_ok() && parse_region("us-gov-west-1").is_ok());
        for text in ["", "eu", "EU-central-1", "eu-central-1.evil.com", "-eu-1", "eu central"] {
            assert!(parse_region(text).is_err(), "{text}");
        }
        assert!(parse_role("arn:aws:iam::123456789012:role/path/router").is_ok());
        for text in ["", "router", "arn:aws:iam::123456789012:user/x", "arn:aws:iam::123456789012:role/"] {
            assert!(parse_role(text).is_err(), "{text}");
        }
    }
}
