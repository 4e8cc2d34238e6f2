//! The rules that say which events are wanted, read from AWS again and again.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_sdk_eventbridge::types::{Rule, RuleState};
use tokio::sync::{Mutex, watch};

use super::arn::RuleArn;
use super::client::Sdk;
use super::config::Config;
use super::entry::{Place, is_meant};
use super::failure::{Failure, Kind, failure};
use crate::attempt::{Reason, Target};
use crate::event::Event;
use crate::pattern::{Pattern, Patterns};
use crate::processor::{Routes, Targets, excerpt};
use crate::telemetry::ProcessorStatus;

/// As many rules come in a page.
const PAGE: i32 = 100;

/// No more pages are read. A bus has 300 rules unless AWS was asked for more.
const MOST_PAGES: usize = 100;

/// One version of the rules.
pub(super) struct Chosen {
    patterns: Patterns,
    /// Every event is wanted.
    all: bool,
    place: Place,
    bus: Target,
    to: Targets,
    nobody: Targets,
}

impl Chosen {
    fn new(config: &Config, patterns: Vec<Pattern>, all: bool) -> Self {
        let bus = Target::new(&config.bus.name);
        let place = place(config);
        let to = Targets::from([bus.clone()]);
        Self { patterns: Patterns::new(patterns), all, place, bus, to, nobody: Targets::from([]) }
    }
}

/// What AWS will write into the events.
pub(super) fn place(config: &Config) -> Place {
    let account = config.rules.first().map(|rule| rule.account.clone()).unwrap_or_default();
    Place { account, region: config.region.clone() }
}

impl Routes for Chosen {
    fn route(&self, event: &Event) -> Targets {
        let wanted = self.all || is_meant(event, &self.place, &self.patterns);
        Arc::clone(if wanted { &self.to } else { &self.nobody })
    }

    /// The bus stays, whatever becomes of its rules: what was decided is delivered.
    fn has(&self, target: &Target) -> bool {
        *target == self.bus
    }
}

/// A rule as AWS has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) enabled: bool,
    pub(super) pattern: Option<String>,
}

/// What AWS has on the bus: the configured rules that are there, and those of the same name that are others.
#[derive(Clone, Debug, Default)]
pub(super) struct Listing {
    pub(super) rules: BTreeMap<RuleArn, Found>,
    pub(super) namesakes: BTreeMap<String, String>,
}

/// Reads the configured rules, page after page.
pub(super) async fn list(sdk: &Sdk, config: &Config) -> Result<Listing, Failure> {
    let mut listing = Listing::default();
    let mut token = None;
    for _ in 0..MOST_PAGES {
        let page = sdk
            .events
            .list_rules()
            .event_bus_name(&config.bus.text)
            .set_name_prefix(common_prefix(&config.rules))
            .limit(PAGE)
            .set_next_token(token)
            .send()
            .await
            .map_err(|error| failure("ListRules", &error))?;
        for rule in page.rules() {
            note(&mut listing, config, rule);
        }
        token = page.next_token.filter(|token| !token.is_empty());
        if token.is_none() || (listing.rules.len() == config.rules.len() && !config.rules.is_empty()) {
            return Ok(listing);
        }
    }
    let text = format!("ListRules has more than {MOST_PAGES} pages: give the rules names that begin alike");
    Err(Failure { kind: Kind::Unknown, why: Reason { status: None, text }, after: None })
}

fn note(listing: &mut Listing, config: &Config, rule: &Rule) {
    let arn = rule.arn().unwrap_or_default();
    if let Some(known) = config.rules.iter().find(|known| known.as_str() == arn) {
        let enabled =
            matches!(rule.state(), Some(RuleState::Enabled | RuleState::EnabledWithAllCloudtrailManagementEvents));
        let pattern = rule.event_pattern().map(str::to_owned);
        listing.rules.insert(known.clone(), Found { enabled, pattern });
    } else if let Some(name) = rule.name()
        && config.rules.iter().any(|known| known.name == name)
    {
        listing.namesakes.insert(name.to_owned(), arn.to_owned());
    }
}

/// What all names begin with, so that a bus with many rules need not be read whole.
fn common_prefix(rules: &[RuleArn]) -> Option<String> {
    let mut rules = rules.iter().map(|rule| rule.name.as_str());
    let mut prefix = rules.next()?;
    for name in rules {
        let same = prefix.bytes().zip(name.bytes()).take_while(|(one, other)| one == other).count();
        prefix = prefix.get(..same)?;
    }
    (!prefix.is_empty()).then(|| prefix.to_owned())
}

/// What was last known of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Use {
    /// It chooses by this pattern.
    By(String),
    /// It chooses nothing.
    Nothing,
    /// Nobody can say what it chooses.
    Unclear,
}

/// What is known of the rules.
#[derive(Debug, Default)]
struct Book(BTreeMap<RuleArn, Use>);

/// What a reading of the rules came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Taken {
    changed: bool,
    /// What changed, for people.
    told: Vec<String>,
    /// What is configured and of no use.
    lacks: Vec<String>,
    /// The rules of which nobody can say what they choose.
    unclear: Vec<String>,
}

impl Book {
    fn take(&mut self, rules: &[RuleArn], listing: &Listing) -> Taken {
        let mut taken = Taken::default();
        for arn in rules {
            let name = &arn.name;
            let before = self.0.get(arn);
            let now = match listing.rules.get(arn) {
                None => {
                    let other = listing.namesakes.get(name);
                    let hint = match other {
                        Some(other) => format!("there is {other}: correct the ARN, or use that account's credentials"),
                        None => "create it, or correct the ARN".to_owned(),
                    };
                    taken.lacks.push(format!("rule {name} is not on bus {}, and chooses no event: {hint}", arn.bus));
                    Use::Nothing
                }
                Some(Found { enabled: false, .. }) => {
                    taken.lacks.push(format!("rule {name} is disabled, and chooses no event"));
                    Use::Nothing
                }
                Some(Found { pattern: None, .. }) => {
                    taken.lacks.push(format!("rule {name} has a schedule and no event pattern: it chooses no event"));
                    Use::Nothing
                }
                Some(Found { pattern: Some(pattern), .. }) => match (Pattern::parse(pattern), before) {
                    (Ok(_), _) => Use::By(pattern.clone()),
                    (Err(error), Some(Use::By(known))) => {
                        let what =
                            format!("the new pattern of rule {name} cannot be used, the one before holds: {error}");
                        taken.lacks.push(what);
                        Use::By(known.clone())
                    }
                    (Err(error), _) => {
                        taken.unclear.push(format!("the pattern of rule {name} cannot be used: {error}"));
                        Use::Unclear
                    }
                },
            };
            if before == Some(&now) {
                continue;
            }
            taken.changed = true;
            match &now {
                Use::By(pattern) => {
                    taken.told.push(format!("rule {name} chooses events by {}", excerpt(pattern.as_bytes())));
                }
                Use::Nothing if matches!(before, Some(Use::By(_) | Use::Unclear)) => {
                    taken.told.push(format!("rule {name} chooses no event any more"));
                }
                Use::Nothing | Use::Unclear => {}
            }
            self.0.insert(arn.clone(), now);
        }
        taken
    }

    fn patterns(&self) -> Vec<Pattern> {
        let used = self.0.values().filter_map(|of| match of {
            Use::By(pattern) => Pattern::parse(pattern).ok(),
            Use::Nothing | Use::Unclear => None,
        });
        used.collect()
    }
}

/// The rules of one bus, and their readings.
pub(super) struct Rules {
    status: Arc<ProcessorStatus>,
    current: ArcSwap<Chosen>,
    ready: watch::Sender<bool>,
    book: Mutex<Book>,
}

impl Rules {
    pub(super) fn new(config: &Config, status: Arc<ProcessorStatus>) -> Self {
        // Where there are no rules, nothing needs to be read.
        let all = config.rules.is_empty();
        Self {
            status,
            current: ArcSwap::from_pointee(Chosen::new(config, Vec::new(), all)),
            ready: watch::Sender::new(false),
            book: Mutex::default(),
        }
    }

    /// The present version.
    pub(super) fn current(&self) -> Arc<Chosen> {
        self.current.load_full()
    }

    /// Waits for the first version.
    pub(super) async fn ready(&self) {
        // Cannot fail: the sender lives as long as this.
        let mut ready = self.ready.subscribe();
        drop(ready.wait_for(|ready| *ready).await);
    }

    /// There is nothing to wait for.
    pub(super) fn settled(&self) {
        self.status.ready();
        self.ready.send_replace(true);
    }

    /// Takes what AWS says now. Whether that can be used.
    pub(super) async fn take(&self, config: &Config, listed: Result<Listing, Failure>) -> bool {
        let mut book = self.book.lock().await;
        let listing = match listed {
            Ok(listing) => listing,
            Err(failure) => {
                self.status.refresh_failed(&failure.why.text);
                return false;
            }
        };
        let mut taken = book.take(&config.rules, &listing);
        let ready = *self.ready.borrow();
        if !ready && !taken.unclear.is_empty() {
            // Nothing is passed over because of a rule that we do not understand.
            self.status.refresh_failed(&taken.unclear.join("; "));
            book.0.clear();
            return false;
        }
        // What has been going on does not stop; AWS chooses for itself anyway.
        let all = !taken.unclear.is_empty();
        let unclear = taken.unclear.drain(..).map(|what| format!("{what}; every event is sent until it can"));
        taken.lacks.extend(unclear);
        if taken.changed {
            self.current.store(Arc::new(Chosen::new(config, book.patterns(), all)));
        }
        for what in taken.told {
            self.status.routes_changed(&what);
        }
        self.status.lacks(taken.lacks);
        self.settled();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Attributes, PageBuilder};
    use crate::processor::event_bridge::tests::{RULE, config};
    use crate::telemetry::{ProcessorState, Telemetry};

    const ON: &str = r#"{"detail":{"subject":["VmPoweredOnEvent"]}}"#;
    const OFF: &str = r#"{"detail":{"subject":["VmPoweredOffEvent"]}}"#;
    const NONSENSE: &str = r#"{"detail":{"subject":[{"begins":"x"}]}}"#;

    fn listing(enabled: bool, pattern: Option<&str>) -> Listing {
        let found = Found { enabled, pattern: pattern.map(str::to_owned) };
        Listing { rules: [(RuleArn::parse(RULE).unwrap(), found)].into(), ..Listing::default() }
    }

    fn event(subject: &str) -> Event {
        let mut page = PageBuilder::new("vc".into(), "s", &[]);
        page.push(&Attributes { id: "i", kind: "k", subject, ..Attributes::default() }, b"{}");
        page.finish().remove(0)
    }

    fn chosen(rules: &Rules) -> [bool; 2] {
        let current = rules.current();
        ["VmPoweredOnEvent", "VmPoweredOffEvent"].map(|subject| !current.route(&event(subject)).is_empty())
    }

    fn rules(config: &Config) -> Rules {
        Rules::new(config, Telemetry::new().processor("p", "aws_event_bridge", "a"))
    }

    #[tokio::test]
    async fn a_rule_that_changes_changes_what_is_wanted_at_once() {
        let config = config("http://127.0.0.1:1");
        let rules = rules(&config);
        for (enabled, pattern, expected, lacking) in [
            (true, Some(ON), [true, false], None),
            (true, Some(ON), [true, false], None),
            (true, Some(OFF), [false, true], None),
            (false, Some(OFF), [false, false], Some("is disabled")),
            (true, Some(ON), [true, false], None),
            (true, None, [false, false], Some("no event pattern")),
            (true, Some(OFF), [false, true], None),
            (true, Some(NONSENSE), [false, true], Some("the one before holds")),
            (true, Some(ON), [true, false], None),
        ] {
            let before = rules.current();
            let was = chosen(&rules);
            assert!(rules.take(&config, Ok(listing(enabled, pattern))).await);
            assert_eq!(chosen(&rules), expected, "{pattern:?}");
            if was == expected && rules.status.lacking().is_none() {
                assert!(Arc::ptr_eq(&before, &rules.current()), "no version without a change");
            }
            match lacking {
                Some(what) => assert!(rules.status.lacking().unwrap().contains(what)),
                None => assert_eq!(rules.status.lacking(), None),
            }
            assert!(rules.current().has(&Target::new("vmware")), "the bus stays");
            assert_eq!(rules.status.state(), ProcessorState::Ready);
        }
    }

    #[tokio::test]
    async fn a_rule_that_is_not_there_chooses_nothing_and_is_told() {
        let config = config("http://127.0.0.1:1");
        let rules = rules(&config);
        let mut elsewhere = Listing::default();
        elsewhere.namesakes.insert("vmware-event-router".to_owned(), "arn:of:another".to_owned());
        assert!(rules.take(&config, Ok(elsewhere)).await);
        assert_eq!(chosen(&rules), [false, false]);
        assert!(rules.status.lacking().unwrap().contains("there is arn:of:another"));
        assert!(rules.take(&config, Ok(listing(true, Some(ON)))).await);
        assert!(rules.take(&config, Ok(Listing::default())).await);
        assert_eq!(chosen(&rules), [false, false]);
        assert!(rules.status.lacking().unwrap().contains("create it"));
    }

    #[tokio::test]
    async fn nothing_is_passed_over_because_of_a_pattern_that_is_not_understood() {
        let config = config("http://127.0.0.1:1");
        let rules = rules(&config);
        assert!(!rules.take(&config, Ok(listing(true, Some(NONSENSE)))).await);
        let ProcessorState::NotReady { why: Some(why) } = rules.status.state() else { panic!("it waits") };
        assert!(why.contains("the pattern of rule vmware-event-router cannot be used"), "{why}");
        assert!(!*rules.ready.borrow());
        assert!(rules.take(&config, Ok(listing(false, None))).await);
        assert!(*rules.ready.borrow());
        // Now there is no way back to waiting, and nothing that was known before.
        assert!(rules.take(&config, Ok(listing(true, Some(NONSENSE)))).await);
        assert_eq!(chosen(&rules), [true, true]);
        assert!(rules.status.lacking().unwrap().contains("every event is sent"));
        assert!(rules.take(&config, Ok(listing(true, Some(OFF)))).await);
        assert_eq!(chosen(&rules), [false, true]);
    }

    #[tokio::test]
    async fn a_reading_that_fails_keeps_what_is_known() {
        let config = config("http://127.0.0.1:1");
        let rules = rules(&config);
        let failed = || Failure {
            kind: Kind::Busy,
            why: Reason { status: None, text: "connection refused".to_owned() },
            after: None,
        };
        assert!(!rules.take(&config, Err(failed())).await);
        assert!(matches!(rules.status.state(), ProcessorState::NotReady { why: Some(_) }));
        assert!(rules.take(&config, Ok(listing(true, Some(ON)))).await);
        assert!(!rules.take(&config, Err(failed())).await);
        assert_eq!(chosen(&rules), [true, false]);
        assert!(matches!(rules.status.state(), ProcessorState::Stale { .. }));
    }

    #[test]
    fn names_that_begin_alike_narrow_the_list() {
        let rules = |names: &[&str]| -> Vec<RuleArn> {
            let arn = |name: &&str| RuleArn::parse(&format!("arn:aws:events:eu-central-1:1:rule/{name}")).unwrap();
            names.iter().map(arn).collect()
        };
        assert_eq!(common_prefix(&rules(&["vm-on"])), Some("vm-on".to_owned()));
        assert_eq!(common_prefix(&rules(&["vm-on", "vm-off"])), Some("vm-o".to_owned()));
        assert_eq!(common_prefix(&rules(&["a", "b"])), None);
        assert_eq!(common_prefix(&[]), None);
    }
}
