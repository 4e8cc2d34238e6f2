//! One entry of the configuration. Its getters follow the tables of
//! [`super::option`]; each notes what is wrong and gives the default instead,
//! so that all problems come at once.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::document::{At, Entry, Node, Value};
use super::option::{
    AddressKind, Kind, Method, OptionSpec, Provider, SectionKind, parse_bool, parse_choice, parse_duration,
    parse_integer, parse_list, parse_size, parse_url,
};
use super::problem::{Complaint, Problem, listed, shown, suggestion};
use super::secret::Secret;

/// The fields of an entry.
pub const FIELDS: [&str; 6] = ["type", "provider", "name", "address", "auth", "options"];

/// The most characters of a name.
const LONGEST_NAME: usize = 100;

/// A text and its place.
#[derive(Clone)]
struct Spot {
    at: At,
    text: String,
}

/// One entry of the configuration.
pub struct Section {
    at: At,
    kind: SectionKind,
    provider: String,
    provider_at: At,
    name: Option<Spot>,
    address: Option<Spot>,
    auth: Option<Auth>,
    options: Vec<Entry>,
    /// Keys of the entry itself that are none of its fields.
    unknown: Vec<Entry>,
    problems: Vec<Problem>,
}

struct Auth {
    at: At,
    method: Option<Spot>,
    secrets: Option<(At, Vec<Entry>)>,
}

// Holds secrets.
impl std::fmt::Debug for Section {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Section")
            .field("at", &self.at)
            .field("kind", &self.kind)
            .field("provider", &self.provider)
            .finish_non_exhaustive()
    }
}

/// Whether an entry's `type` could be read, even where the entry as a whole could not.
pub(super) enum Read {
    Section(Box<Section>),
    Unusable { kind: Option<SectionKind>, problems: Vec<Problem> },
}

impl Section {
    pub(super) fn read(node: &Node) -> Read {
        let Value::Map(entries) = &node.value else {
            let what = format!("is {}, not a map", node.value.kind());
            let complaint = Complaint::new(what, "write { \"type\": ..., \"provider\": ..., ... }");
            return Read::Unusable { kind: None, problems: vec![Problem::new(node.at, "entry", complaint)] };
        };
        let mut problems = Vec::new();
        let field = |name: &str| entries.iter().find(|entry| entry.key == name).map(|entry| &entry.node);
        let text = |name: &str, hint: &str, required: bool, problems: &mut Vec<Problem>| match field(name) {
            Some(Node { at, value: Value::Text(text) }) if !text.trim().is_empty() => {
                Some(Spot { at: *at, text: text.trim().to_owned() })
            }
            Some(Node { at, value: Value::Text(_) }) => {
                problems.push(Problem::new(*at, name, Complaint::new("is empty", hint)));
                None
            }
            Some(Node { at, value }) => {
                let what = format!("is {}, not a string", value.kind());
                problems.push(Problem::new(*at, name, Complaint::new(what, hint)));
                None
            }
            None => {
                if required {
                    problems.push(Problem::new(node.at, name, Complaint::new("is missing", hint)));
                }
                None
            }
        };
        let kind_hint = "write \"stream\", \"processor\", \"metrics\" or \"journal\"";
        let kind = text("type", kind_hint, true, &mut problems);
        let provider_hint = "name the provider, such as \"vmware_vcenter\" or \"openfaas\"";
        let mut provider = text("provider", provider_hint, true, &mut problems);
        let name = text("name", "write a name, or leave it out", false, &mut problems);
        // It labels metrics and log lines.
        let name = name.filter(|Spot { at, text }| {
            let fits = text.chars().count() <= LONGEST_NAME && !text.contains(char::is_control);
            if !fits {
                let what = format!("has more than {LONGEST_NAME} characters, or line breaks and the like");
                problems.push(Problem::new(*at, "name", Complaint::new(what, "write a shorter one, on one line")));
            }
            fits
        });
        let address = text("address", "write the address as a string, or leave it out", false, &mut problems);

        let kind = kind.and_then(|Spot { at, text }| {
            // The metrics entry has two spellings, and `provider` says `metrics` in one of them only.
            if text == "internal" {
                return match &mut provider {
                    Some(provider) if provider.text == "metrics" => {
                        "internal".clone_into(&mut provider.text);
                        Some(SectionKind::Metrics)
                    }
                    Some(provider) => {
                        let what = format!("{} is unknown", shown(&provider.text));
                        let complaint =
                            Complaint::new(what, "entries of type \"internal\" have the provider \"metrics\"");
                        problems.push(Problem::new(provider.at, "provider", complaint));
                        None
                    }
                    None => None,
                };
            }
            let found = SectionKind::ALL.into_iter().find(|kind| kind.name() == text);
            if found.is_none() {
                let near = suggestion(&text, SectionKind::ALL.map(SectionKind::name));
                let hint = near.map_or_else(|| kind_hint.to_owned(), |near| format!("did you mean \"{near}\"?"));
                let complaint = Complaint::new(format!("{} is unknown", shown(&text)), hint);
                problems.push(Problem::new(at, "type", complaint));
            }
            found
        });

        let map = |key: &str, node: &Node, problems: &mut Vec<Problem>| match &node.value {
            Value::Map(entries) => Some(entries.clone()),
            other => {
                let what = format!("is {}, not a map", other.kind());
                problems.push(Problem::new(node.at, key, Complaint::new(what, "write { \"key\": \"value\", ... }")));
                None
            }
        };
        let options = field("options").and_then(|node| map("options", node, &mut problems)).unwrap_or_default();
        let auth = field("auth").map(|node| {
            let mut auth = Auth { at: node.at, method: None, secrets: None };
            for entry in map("auth", node, &mut problems).unwrap_or_default() {
                match (entry.key.as_str(), &entry.node.value) {
                    ("method", Value::Text(text)) => {
                        auth.method = Some(Spot { at: entry.node.at, text: text.trim().to_owned() });
                    }
                    ("method", other) => {
                        // An unreadable method is not a missing one.
                        auth.method = Some(Spot { at: entry.node.at, text: String::new() });
                        let what = format!("is {}, not a string", other.kind());
                        let complaint = Complaint::new(what, "write the name of a method in double quotes");
                        problems.push(Problem::new(entry.node.at, "auth.method", complaint));
                    }
                    ("secret", _) => {
                        let entries = map("auth.secret", &entry.node, &mut problems).unwrap_or_default();
                        auth.secrets = Some((entry.node.at, entries));
                    }
                    (key, _) => {
                        let hint = suggestion(key, ["method", "secret"]);
                        let hint = hint.map_or_else(
                            || "auth has the fields method and secret".to_owned(),
                            |near| format!("did you mean \"{near}\"?"),
                        );
                        problems.push(Problem::new(
                            entry.at,
                            format!("auth.{key}"),
                            Complaint::new("is unknown", hint),
                        ));
                    }
                }
            }
            auth
        });
        let unknown: Vec<_> = entries.iter().filter(|entry| !FIELDS.contains(&entry.key.as_str())).cloned().collect();
        match (kind, provider) {
            (Some(kind), Some(provider)) => Read::Section(Box::new(Self {
                at: node.at,
                kind,
                provider: provider.text,
                provider_at: provider.at,
                name,
                address,
                auth,
                options,
                unknown,
                problems,
            })),
            _ => {
                problems.extend(unknown.iter().map(|entry| unknown_field(entry, &[])));
                Read::Unusable { kind, problems }
            }
        }
    }

    /// What the entry is for.
    #[must_use]
    pub fn kind(&self) -> SectionKind {
        self.kind
    }

    /// The value of `provider`.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// Where the entry begins, or its name if it has one.
    #[must_use]
    pub fn at(&self) -> At {
        self.name.as_ref().map_or(self.at, |name| name.at)
    }

    /// All that is wrong.
    #[must_use]
    pub fn into_problems(mut self) -> Vec<Problem> {
        self.problems.extend(self.unknown.iter().map(|entry| unknown_field(entry, &[])));
        self.problems
    }

    /// Notes that the provider is none of these.
    pub fn unknown_provider(&mut self, known: &[&str]) {
        let near = suggestion(&self.provider, known.iter().copied());
        let known = known.iter().copied();
        let hint =
            near.map_or_else(|| format!("write one of {}", listed(known)), |near| format!("did you mean \"{near}\"?"));
        self.note(self.provider_at, "provider", Complaint::new(format!("{} is unknown", shown(&self.provider)), hint));
    }

    fn note(&mut self, at: At, key: impl Into<String>, complaint: Complaint) {
        self.problems.push(Problem::new(at, key, complaint));
    }

    /// Holds the entry against what its provider knows: unknown options and
    /// fields, a missing address, authentication. Every provider's `parse` begins with it.
    pub fn expect(&mut self, provider: &Provider) {
        for entry in std::mem::take(&mut self.unknown) {
            let options: Vec<_> = provider.options().map(|option| option.name).collect();
            self.problems.push(unknown_field(&entry, &options));
        }
        for index in 0..self.options.len() {
            let Some(Entry { at, key, .. }) = self.options.get(index) else { continue };
            if !provider.options().any(|option| option.name == key) {
                let hint = match suggestion(key, provider.options().map(|option| option.name)) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None if provider.options().next().is_none() => "remove it: there are no options here".to_owned(),
                    None => {
                        format!("the options of {} are {}", provider.name, listed(provider.options().map(|o| o.name)))
                    }
                };
                let (at, key) = (*at, format!("options.{key}"));
                self.note(at, key, Complaint::new("is unknown", hint));
            }
        }
        for option in provider.options().filter(|option| option.required) {
            if !self.options.iter().any(|entry| entry.key == option.name) {
                let complaint = Complaint::new("is missing", format!("add it, such as \"{}\"", option.example));
                self.note(self.at, format!("options.{}", option.name), complaint);
            }
        }
        match (&self.address, provider.address.kind) {
            (Some(address), AddressKind::None) => {
                let complaint = Complaint::new(format!("is not used by {}", provider.name), "remove it");
                self.note(address.at, "address", complaint);
            }
            (None, AddressKind::Url | AddressKind::Bind)
                if provider.address.default.is_none()
                    && !self.problems.iter().any(|problem| problem.key == "address") =>
            {
                let hint = format!("add it, such as \"{}\"", provider.address.example);
                self.note(self.at, "address", Complaint::new("is missing", hint));
            }
            _ => {}
        }
        self.expect_auth(provider);
    }

    fn expect_auth(&mut self, provider: &Provider) {
        let methods = || listed(provider.auth.methods.iter().map(|method| method.name));
        let Some(auth) = &self.auth else {
            if provider.auth.required {
                let complaint = Complaint::new("is missing", format!("add \"auth\" with the method {}", methods()));
                self.note(self.at, "auth", complaint);
            }
            return;
        };
        let at = auth.at;
        if provider.auth.methods.is_empty() {
            self.note(at, "auth", Complaint::new(format!("is not used by {}", provider.name), "remove it"));
            return;
        }
        let Some(spot) = auth.method.clone() else {
            if !self.problems.iter().any(|problem| problem.key == "auth") {
                self.note(at, "auth.method", Complaint::new("is missing", format!("add it: {}", methods())));
            }
            return;
        };
        let Some(method) = provider.auth.methods.iter().find(|method| method.name == spot.text) else {
            if !self.problems.iter().any(|problem| problem.key == "auth.method") {
                let near = suggestion(&spot.text, provider.auth.methods.iter().map(|method| method.name));
                let hint = match near {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("{} authenticates with {}", provider.name, methods()),
                };
                self.note(spot.at, "auth.method", Complaint::new(format!("{} is unknown", shown(&spot.text)), hint));
            }
            return;
        };
        // What another method of this provider needs may stay when a file is switched to `none` for a while.
        let known: Vec<_> =
            if method.secrets.is_empty() { provider.secrets().collect() } else { method.secrets.iter().collect() };
        let given = auth.secrets.as_ref().map(|(_, entries)| entries.as_slice()).unwrap_or_default();
        let mut problems = Vec::new();
        for entry in given {
            if !known.iter().any(|secret| secret.name == entry.key) {
                let hint = match suggestion(&entry.key, known.iter().map(|secret| secret.name)) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None if known.is_empty() => format!("remove it: {} has no secrets", method.name),
                    None => format!("{} has {}", method.name, listed(known.iter().map(|secret| secret.name))),
                };
                let key = format!("auth.secret.{}", entry.key);
                problems.push(Problem::new(entry.at, key, Complaint::new("is unknown", hint)));
            }
        }
        let at = auth.secrets.as_ref().map_or(auth.at, |(at, _)| *at);
        let mistyped = self.problems.iter().any(|problem| problem.key == "auth.secret");
        for secret in method.secrets.iter().filter(|secret| secret.required && !mistyped) {
            if !given.iter().any(|entry| entry.key == secret.name) {
                let complaint = Complaint::new("is missing", format!("{} needs it", method.name));
                problems.push(Problem::new(at, format!("auth.secret.{}", secret.name), complaint));
            }
        }
        self.problems.extend(problems);
    }

    /// What the entry is known by: its `name`, or else its provider and the given address.
    #[must_use]
    pub fn identity(&self, address: &str) -> Arc<str> {
        match &self.name {
            Some(name) => name.text.as_str().into(),
            None => format!("{}@{}", self.provider, address.trim_end_matches('/')).into(),
        }
    }

    /// The address, or the provider's default, through `parse`. Nothing if it is wrong or missing.
    pub fn address<T>(&mut self, provider: &Provider, parse: impl FnOnce(&str) -> Result<T, Complaint>) -> Option<T> {
        let at = self.address.as_ref().map_or(self.at, |address| address.at);
        let text = self.address.as_ref().map(|address| address.text.as_str()).or(provider.address.default)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(complaint) => {
                self.note(at, "address", complaint);
                None
            }
        }
    }

    /// Whether an address is given.
    #[must_use]
    pub fn has_address(&self) -> bool {
        self.address.is_some()
    }

    /// The address as a URL.
    pub fn url_address(&mut self, provider: &Provider) -> Option<Url> {
        self.address(provider, parse_url)
    }

    /// The method of authentication, if there is one and it is known.
    #[must_use]
    pub fn method(&self, provider: &Provider) -> Option<&'static Method> {
        let method = self.auth.as_ref()?.method.as_ref()?;
        provider.auth.methods.iter().find(|known| known.name == method.text)
    }

    /// A field of `auth.secret`. If it is wrong or missing, an empty secret.
    pub fn secret(&mut self, spec: &OptionSpec) -> Secret {
        self.given_secret(spec).unwrap_or_else(|| Secret::literal(""))
    }

    /// A field of `auth.secret` that may be left out. If it is wrong, an empty secret.
    pub fn given_secret(&mut self, spec: &OptionSpec) -> Option<Secret> {
        let secrets = self.auth.as_ref().and_then(|auth| auth.secrets.as_ref());
        let found = secrets.and_then(|(_, entries)| entries.iter().find(|entry| entry.key == spec.name));
        let Entry { node, .. } = found?;
        let at = node.at;
        let result = match &node.value {
            Value::Text(text) => Secret::parse(text).and_then(|secret| match secret.read() {
                Ok(_) => Ok(secret),
                Err(error) => Err(Complaint::new(error.to_string(), "put the secret there")),
            }),
            // The value itself is not shown, not even as a hint how to quote it.
            other => Err(Complaint::new(format!("is {}, not a string", other.kind()), "write it in double quotes")),
        };
        Some(result.unwrap_or_else(|complaint| {
            self.note(at, format!("auth.secret.{}", spec.name), complaint);
            Secret::literal("")
        }))
    }

    /// Whether the option is given.
    #[must_use]
    pub fn has(&self, spec: &OptionSpec) -> bool {
        self.options.iter().any(|entry| entry.key == spec.name)
    }

    /// Notes what is wrong with an option.
    pub fn complain(&mut self, spec: &OptionSpec, complaint: Complaint) {
        let found = self.options.iter().find(|entry| entry.key == spec.name);
        let at = found.map_or(self.at, |entry| entry.node.at);
        self.note(at, format!("options.{}", spec.name), complaint);
    }

    /// The option as it stands in the file.
    fn given(&mut self, spec: &OptionSpec) -> Option<String> {
        let found = self.options.iter().find(|entry| entry.key == spec.name)?;
        let complaint = match &found.node.value {
            Value::Text(text) => {
                let text = if spec.kind == Kind::Text { text.as_str() } else { text.trim() };
                if !text.is_empty() || spec.kind == Kind::List {
                    return Some(text.to_owned());
                }
                Complaint::new("is empty", "give a value, or leave the option out")
            }
            Value::Bool(value) => quote("a boolean", &value.to_string()),
            Value::Number(value) => quote("a number", value),
            Value::List(_) => {
                Complaint::new("is a list, not a string", "write one string, with commas between the items")
            }
            other => {
                let hint = format!("write a string such as \"{}\", or leave the option out", spec.example);
                Complaint::new(format!("is {}, not a string", other.kind()), hint)
            }
        };
        self.complain(spec, complaint);
        None
    }

    /// The option, or its default, through `parse`. Nothing if it has neither;
    /// the default if it is wrong.
    pub fn parsed<T>(&mut self, spec: &OptionSpec, parse: impl Fn(&str) -> Result<T, Complaint>) -> Option<T> {
        if let Some(text) = self.given(spec) {
            match parse(&text) {
                Ok(value) => return Some(value),
                Err(complaint) => self.complain(spec, complaint),
            }
        }
        parse(spec.default?).ok()
    }

    /// An option of [`Kind::Bool`].
    pub fn bool(&mut self, spec: &OptionSpec) -> bool {
        self.parsed(spec, parse_bool).unwrap_or_default()
    }

    /// An option of [`Kind::Duration`].
    pub fn duration(&mut self, spec: &OptionSpec) -> Duration {
        let (min, max) = match spec.kind {
            Kind::Duration { min, max } => (min, max),
            _ => (Duration::ZERO, Duration::MAX),
        };
        self.parsed(spec, |text| parse_duration(text, min, max)).unwrap_or_default()
    }

    /// An option of [`Kind::Size`], in bytes.
    pub fn size(&mut self, spec: &OptionSpec) -> u64 {
        let (min, max) = match spec.kind {
            Kind::Size { min, max } => (min, max),
            _ => (0, u64::MAX),
        };
        self.parsed(spec, |text| parse_size(text, min, max)).unwrap_or_default()
    }

    /// An option of [`Kind::Integer`].
    pub fn integer(&mut self, spec: &OptionSpec) -> u64 {
        let (min, max) = match spec.kind {
            Kind::Integer { min, max } => (min, max),
            _ => (0, u64::MAX),
        };
        self.parsed(spec, |text| parse_integer(text, min, max)).unwrap_or_default()
    }

    /// An option of [`Kind::Text`] or [`Kind::File`]; empty without a value and default.
    pub fn text(&mut self, spec: &OptionSpec) -> String {
        self.parsed(spec, |text| Ok(text.to_owned())).unwrap_or_default()
    }

    /// An option of [`Kind::List`] or [`Kind::Files`].
    pub fn list(&mut self, spec: &OptionSpec) -> Vec<String> {
        self.parsed(spec, |text| Ok(parse_list(text))).unwrap_or_default()
    }

    /// An option of [`Kind::Url`].
    pub fn url(&mut self, spec: &OptionSpec) -> Option<Url> {
        self.parsed(spec, parse_url)
    }

    /// An option of [`Kind::Choice`].
    pub fn choice(&mut self, spec: &OptionSpec) -> &'static str {
        let choices = match spec.kind {
            Kind::Choice(choices) => choices,
            _ => &[],
        };
        self.parsed(spec, |text| parse_choice(text, choices)).unwrap_or_default()
    }
}

fn quote(kind: &str, value: &str) -> Complaint {
    Complaint::new(format!("is {kind}, but options are strings"), format!("write \"{value}\""))
}

fn unknown_field(entry: &Entry, options: &[&str]) -> Problem {
    let hint = if options.contains(&entry.key.as_str()) {
        "move it into \"options\"".to_owned()
    } else if let Some(near) = suggestion(&entry.key, FIELDS) {
        format!("did you mean \"{near}\"?")
    } else {
        format!("the fields of an entry are {}", listed(FIELDS))
    };
    Problem::new(entry.at, entry.key.clone(), Complaint::new("is unknown", hint))
}
