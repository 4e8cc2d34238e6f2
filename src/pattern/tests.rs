use std::cell::Cell;
use std::collections::BTreeMap;

use super::*;
use crate::event::{Attributes, PageBuilder};

#[test]
fn a_pattern_is_about_the_whole_event() {
    let mut page = PageBuilder::new("vc".into(), "https://vc/sdk", &[]);
    let attributes = Attributes { subject: "VmPoweredOnEvent", ..Attributes::default() };
    page.push(&attributes, br#"{"Vm":{"Name":"web-1"},"Key":7}"#);
    let event = page.finish().remove(0);
    for (pattern, meant) in [
        (r#"{"subject":["VmPoweredOnEvent","VmPoweredOffEvent"]}"#, true),
        (r#"{"subject":["VmPoweredOffEvent"]}"#, false),
        (r#"{"data":{"Vm":{"Name":[{"prefix":"web-"}]}}}"#, true),
        (r#"{"data":{"Vm":{"Name":[{"prefix":"db-"}]}}}"#, false),
        (r#"{"data":{"Key":[{"numeric":[">",6]}],"Host":[{"exists":false}]}}"#, true),
        (r#"{"data":{"Key":[{"numeric":[">",7]}]}}"#, false),
        (r#"{"source":["https://vc/sdk"],"subject":[{"anything-but":["VmPoweredOnEvent"]}]}"#, false),
    ] {
        assert_eq!(Pattern::parse(pattern).unwrap().matches(&event), meant, "{pattern}");
    }
    for wrong in ["", "[]", "{", r#"{"subject":"VmPoweredOnEvent"}"#, r#"{"subject":[{"begins":"x"}]}"#] {
        let error = Pattern::parse(wrong).unwrap_err();
        assert!(error.to_string().starts_with("the pattern is not understood: "), "{error}");
    }
    assert!(Pattern::parse(&format!("{:40000}", r#"{"a":[1]}"#)).is_ok(), "blanks do not count");
    assert!(Pattern::parse(&format!(r#"{{"a":["{}"]}}"#, "x".repeat(40_000))).is_err());
}

thread_local! {
    /// The part of the language that is left out.
    pub(super) static LEFT_OUT: Cell<&'static str> = const { Cell::new("") };
}

/// What event-ruler says of one pattern and one event.
#[derive(serde::Deserialize)]
struct Verdict {
    operator: String,
    pattern: String,
    event: String,
    valid: bool,
    matches: bool,
}

impl Verdict {
    fn corpus() -> Vec<Self> {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/patterns/corpus.jsonl");
        let text = std::fs::read_to_string(file).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What we say, if that is something else.
    fn difference(&self) -> Option<String> {
        let ours = Pattern::parse(&self.pattern).map(|pattern| pattern.matches_json(self.event.as_bytes()));
        let same = ours.as_ref().map_or(!self.valid, |ours| self.valid && *ours == self.matches);
        let Self { operator, pattern, event, valid, matches } = self;
        let theirs = if *valid { format!("{matches}") } else { "no pattern".to_owned() };
        (!same).then(|| format!("{operator}: {pattern} on {event}: event-ruler says {theirs}, we say {ours:?}"))
    }
}

#[test]
fn event_ruler_and_we_are_of_one_mind() {
    let corpus = Verdict::corpus();
    let differences: Vec<_> = corpus.iter().filter_map(Verdict::difference).collect();
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences[..differences.len().min(20)].join("\n")
    );

    let mut groups = BTreeMap::<_, (usize, usize)>::new();
    for verdict in corpus.iter().filter(|verdict| verdict.valid) {
        let (all, negative) = groups.entry(verdict.operator.as_str()).or_default();
        *all += 1;
        *negative += usize::from(!verdict.matches);
    }
    let groups: Vec<_> = groups.into_iter().collect();
    assert!(groups.len() >= 22, "{groups:?}");
    for (operator, (all, negative)) in groups {
        assert!(all >= 200, "{operator}: {all}");
        assert!((40..=60).contains(&(100 * negative / all)), "{operator}: {negative} of {all}");
    }
    let mut invalid: Vec<_> = corpus.iter().filter(|verdict| !verdict.valid).map(|verdict| &verdict.pattern).collect();
    invalid.sort_unstable();
    invalid.dedup();
    assert!(invalid.len() >= 500 && corpus.len() >= 5000, "{} of {}", invalid.len(), corpus.len());
}

#[test]
fn no_part_of_the_language_could_be_missing_unnoticed() {
    let corpus = Verdict::corpus();
    for part in [
        "string",
        "number",
        "word",
        "prefix",
        "suffix",
        "equals-ignore-case",
        "prefix: equals-ignore-case",
        "suffix: equals-ignore-case",
        "wildcard",
        "numeric",
        "cidr",
        "exists: true",
        "exists: false",
        "anything-but",
        "anything-but: numbers",
        "anything-but: prefix",
        "anything-but: suffix",
        "anything-but: equals-ignore-case",
        "anything-but: wildcard",
        "$or",
        "lists of objects",
    ] {
        LEFT_OUT.set(part);
        let noticed = corpus.iter().filter(|verdict| verdict.difference().is_some()).count();
        assert!(noticed >= 20, "{part}: {noticed}");
    }
    LEFT_OUT.set("");
}

#[test]
fn many_patterns_at_once_say_what_each_says_alone() {
    let corpus = Verdict::corpus();
    // A name without letters is read if any of the patterns has one, as with event-ruler.
    let named = corpus.iter().filter(|verdict| verdict.valid && verdict.operator != "keys");
    for some in named.collect::<Vec<_>>().chunks(150) {
        let patterns: Vec<_> = some.iter().map(|verdict| Pattern::parse(&verdict.pattern).unwrap()).collect();
        let together = Patterns::new(patterns);
        for verdict in some {
            let event = verdict.event.as_bytes();
            let each: Vec<_> = (0..some.len()).filter(|at| together.all()[*at].matches_json(event)).collect();
            assert_eq!(together.which(event), each, "{}", verdict.event);
        }
    }
}

#[test]
fn a_pattern_cannot_take_much_memory() {
    let either = |at: usize| format!(r#""$or":[{{"a{at}":[1]}},{{"b{at}":[1]}}]"#);
    let pairs = |count: usize| (0..count).map(either).collect::<Vec<_>>().join(",");
    assert!(Pattern::parse(&format!("{{{}}}", pairs(12))).is_ok(), "4,096 combinations");
    let nested = format!("{{{},{}{}", pairs(12), r#""$or":[{"#.repeat(1000), "}]".repeat(1000) + "}");
    for wrong in [format!("{{{}}}", pairs(13)), nested, format!("{}[1]{}", r#"{"a":"#.repeat(600), "}".repeat(600))] {
        let error = Pattern::parse(&wrong).unwrap_err().to_string();
        assert!(error.contains("combinations") || error.contains("levels deep"), "{error}");
    }
}

#[test]
fn long_lists_of_objects_are_matched_exactly_and_soon() {
    let list =
        |objects: &mut dyn Iterator<Item = String>| format!("{{\"x\":[{}]}}", objects.collect::<Vec<_>>().join(","));
    let pattern = Pattern::parse(r#"{"x":{"a":[1],"b":[1]}}"#).unwrap();
    let never = list(&mut (0..20_000).map(|at| format!(r#"{{"a":{},"b":{}}}"#, at % 2, (at + 1) % 2)));
    assert!(!pattern.matches_json(never.as_bytes()));
    let last = list(&mut (0..20_000).map(|at| format!(r#"{{"a":1,"b":{}}}"#, at / 19_999)));
    assert!(pattern.matches_json(last.as_bytes()));
    let absent = Pattern::parse(r#"{"x":{"a":[1],"b":[{"exists":false}]}}"#).unwrap();
    assert!(!absent.matches_json(last.as_bytes()));
    let without = list(
        &mut (0..20_000).map(|at| if at == 9_999 { r#"{"a":1}"#.to_owned() } else { r#"{"a":1,"b":1}"#.to_owned() }),
    );
    assert!(absent.matches_json(without.as_bytes()));
    // What would take for ever is taken as matching.
    let lists: Vec<_> = (0..6).map(|at| format!("\"l{at}\":[{}]", vec![r#"{"k":1}"#; 100].join(","))).collect();
    let event = format!("{{{},\"z\":[{{\"k\":2}},{{\"j\":1}}]}}", lists.join(","));
    let asked: Vec<_> = (0..6).map(|at| format!(r#""l{at}":{{"k":[1]}}"#)).collect();
    let pattern = Pattern::parse(&format!(r#"{{{},"z":{{"j":[1],"k":[2]}}}}"#, asked.join(","))).unwrap();
    assert!(pattern.matches_json(event.as_bytes()));
}
