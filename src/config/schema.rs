//! The JSON Schema of the configuration, from the same tables that parse it.

use serde_json::{Map, Value, json};

use super::option::{AddressKind, Kind, Method, OptionSpec, Provider, SectionKind};

const SECRET: &str = "The value itself, or ${env:NAME} or ${file:PATH}.";

/// The schema of a configuration with these providers, in draft 2020-12.
#[must_use]
pub fn schema<'a>(providers: impl IntoIterator<Item = &'a Provider>) -> Value {
    let providers: Vec<_> = providers.into_iter().collect();
    let definitions: Map<_, _> = providers.iter().map(|provider| (key(provider), entry(provider))).collect();
    let choices: Vec<_> =
        providers.iter().map(|provider| json!({ "$ref": format!("#/$defs/{}", key(provider)) })).collect();
    let at_least =
        |kind: SectionKind| json!({ "contains": { "properties": { "type": types(kind) }, "required": ["type"] } });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "VMware Event Router configuration",
        "description": "At least one stream, one processor and the metrics entry.",
        "type": "array",
        "items": { "oneOf": choices },
        "allOf": [at_least(SectionKind::Stream), at_least(SectionKind::Processor), at_least(SectionKind::Metrics)],
        "$defs": definitions,
    })
}

fn key(provider: &Provider) -> String {
    format!("{}.{}", provider.kind.name(), provider.name)
}

fn types(kind: SectionKind) -> Value {
    match kind {
        SectionKind::Metrics => json!({ "enum": ["metrics", "internal"] }),
        _ => json!({ "const": kind.name() }),
    }
}

fn entry(provider: &Provider) -> Value {
    let mut fields = Map::new();
    let mut required = vec!["type", "provider"];
    fields.insert("type".into(), types(provider.kind));
    let name = match provider.kind {
        SectionKind::Metrics => json!({ "enum": ["internal", "metrics"] }),
        _ => json!({ "const": provider.name }),
    };
    fields.insert("provider".into(), name);
    fields.insert(
        "name".into(),
        json!({ "type": "string", "pattern": "\\S", "maxLength": 100, "description": "Tells entries apart." }),
    );
    if provider.address.kind != AddressKind::None {
        let mut address = json!({ "type": "string", "pattern": "\\S", "description": provider.address.doc });
        match provider.address.default {
            Some(default) => address["default"] = default.into(),
            None => required.push("address"),
        }
        fields.insert("address".into(), address);
    }
    if !provider.auth.methods.is_empty() {
        let methods: Vec<_> = provider.auth.methods.iter().map(|method| auth(provider, method)).collect();
        fields.insert("auth".into(), json!({ "oneOf": methods }));
        if provider.auth.required {
            required.push("auth");
        }
    }
    let options: Map<_, _> = provider.options().map(|option| (option.name.to_owned(), self::option(option))).collect();
    let needed: Vec<_> = provider.options().filter(|option| option.required).map(|option| option.name).collect();
    if !needed.is_empty() {
        required.push("options");
    }
    let options = object(options, &needed);
    fields.insert("options".into(), options);
    let mut entry = object(fields, &required);
    entry["description"] = provider.doc.into();
    if provider.kind == SectionKind::Metrics {
        // Two spellings, not four.
        entry["oneOf"] = json!([
            { "properties": { "type": { "const": "metrics" }, "provider": { "const": "internal" } } },
            { "properties": { "type": { "const": "internal" }, "provider": { "const": "metrics" } } },
        ]);
    }
    entry
}

fn object(properties: Map<String, Value>, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn auth(provider: &Provider, method: &Method) -> Value {
    // A method without secrets lets those of another method stay.
    let of: Vec<_> =
        if method.secrets.is_empty() { provider.secrets().collect() } else { method.secrets.iter().collect() };
    let secret = |spec: &OptionSpec| json!({ "type": "string", "minLength": 1, "description": format!("{} {SECRET}", spec.doc), "examples": [spec.example] });
    let secrets: Map<_, _> = of.iter().map(|spec| (spec.name.to_owned(), secret(spec))).collect();
    let needed: Vec<_> = method.secrets.iter().filter(|spec| spec.required).map(|spec| spec.name).collect();
    let mut fields = Map::new();
    fields.insert("method".into(), json!({ "const": method.name }));
    fields.insert("secret".into(), object(secrets, &needed));
    let required: &[_] = if needed.is_empty() { &["method"] } else { &["method", "secret"] };
    let mut auth = object(fields, required);
    auth["description"] = method.doc.into();
    auth
}

fn option(option: &OptionSpec) -> Value {
    let mut schema = json!({ "type": "string", "description": option.doc, "examples": [option.example] });
    if let Some(default) = option.default {
        schema["default"] = default.into();
    }
    match option.kind {
        Kind::Choice(choices) => schema["enum"] = choices.into(),
        Kind::Bool => schema["enum"] = json!(["true", "false"]),
        Kind::Duration { .. } => schema["pattern"] = r"^\s*([0-9]+(ms|s|m|h|d))+\s*$".into(),
        Kind::Size { .. } => schema["pattern"] = r"^\s*[0-9]+([KMGT]i?)?B\s*$".into(),
        Kind::Integer { .. } => schema["pattern"] = r"^\s*[0-9]+\s*$".into(),
        Kind::Text => schema["minLength"] = 1.into(),
        Kind::Url => schema["pattern"] = r"^\s*[Hh][Tt][Tt][Pp][Ss]?://\S+\s*$".into(),
        Kind::File | Kind::Files => schema["pattern"] = r"\S".into(),
        Kind::Special { pattern, .. } => schema["pattern"] = pattern.into(),
        Kind::List => {}
    }
    schema
}
