//! Whole configurations: what they give, and every kind of problem as users see it.

mod event_bridge;

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::{PROVIDERS, RouterConfig};
use crate::config::delivery::{BeginAt as ProcessorBegin, Ordering};
use crate::config::option::{AddressKind, Kind, OptionSpec, Provider, SectionKind};
use crate::config::schema::schema;
use crate::http::Thumbprint;
use crate::journal;
use crate::processor;
use crate::stream::{self, vcenter::BeginAt};
use crate::vim25::Shape;

const STREAM: &str = r#"{"type": "stream", "provider": "vmware_vcenter", "address": "vc", "auth": {"method": "user_password", "secret": {"username": "u", "password": "hunter2"}}}"#;
const PROCESSOR: &str = r#"{"type": "processor", "provider": "openfaas", "address": "http://gw", "auth": {"method": "basic_auth", "secret": {"username": "u", "password": "hunter2"}}}"#;
const METRICS: &str = r#"{"type": "metrics", "provider": "internal"}"#;

fn providers() -> impl Iterator<Item = &'static Provider> {
    PROVIDERS.into_iter().flatten().copied()
}

/// The first entry is in line 1, from column 2 on.
fn with(entry: &str, others: &[&str]) -> String {
    let others: Vec<_> = std::iter::once(entry).chain(others.iter().copied()).collect();
    format!("[{}]", others.join(",\n"))
}

fn parse(text: &str) -> Result<RouterConfig, String> {
    RouterConfig::parse("c.json", text.as_bytes()).map_err(|problems| problems.to_string())
}

fn stream(text: &str) -> stream::vcenter::Config {
    let config = parse(&with(text, &[PROCESSOR, METRICS])).unwrap();
    let [stream::Config::Vcenter(vcenter)] = config.streams.as_slice() else { panic!() };
    vcenter.clone()
}

fn processor(text: &str) -> processor::openfaas::Config {
    let config = parse(&with(text, &[STREAM, METRICS])).unwrap();
    let [processor::Config::OpenFaas(openfaas)] = config.processors.as_slice() else { panic!() };
    openfaas.clone()
}

/// A stream with these options.
fn stream_options(options: &str) -> String {
    format!("{}, \"options\": {options}}}", &STREAM[..STREAM.len() - 1])
}

fn processor_options(options: &str) -> String {
    format!("{}, \"options\": {options}}}", &PROCESSOR[..PROCESSOR.len() - 1])
}

#[test]
fn the_seed_s_configuration_is_taken_with_its_defaults() {
    let config = parse(include_str!("../../tests/fixtures/config/seed-openfaas.json")).unwrap();
    let [stream::Config::Vcenter(vcenter)] = config.streams.as_slice() else { panic!() };
    assert_eq!(vcenter.source, "https://10.0.0.1:443/sdk");
    assert_eq!(vcenter.address.as_str(), "https://10.0.0.1/sdk");
    assert_eq!(&*vcenter.name, "vmware_vcenter@https://10.0.0.1/sdk");
    assert_eq!(vcenter.username.read().unwrap().expose(), "administrator@vsphere.local");
    assert_eq!(vcenter.password.read().unwrap().expose(), "REPLACE_ME");
    assert!(vcenter.tls.insecure && vcenter.tls.root_cas.is_empty() && vcenter.tls.client.is_none());
    assert_eq!((vcenter.begin, vcenter.event_types.len(), vcenter.shape), (BeginAt::Now, 0, Shape::V6_7));
    let [processor::Config::OpenFaas(openfaas)] = config.processors.as_slice() else { panic!() };
    assert_eq!(&*openfaas.name, "openfaas@http://gateway.openfaas:8080");
    assert_eq!(openfaas.address.as_str(), "http://gateway.openfaas:8080/");
    assert!(!openfaas.asynchronous && !openfaas.tls.insecure && openfaas.namespaces.is_empty());
    assert_eq!((openfaas.timeout, openfaas.callback_timeout), (Duration::from_secs(15), Duration::from_secs(300)));
    assert_eq!((openfaas.topic_annotation.as_str(), openfaas.topic_delimiter.as_str()), ("topic", ","));
    assert_eq!(openfaas.delivery, crate::config::delivery::Options::default());
    assert_eq!(config.metrics.address, "0.0.0.0:8080");
    assert!(config.metrics.auth.is_none());
    assert_eq!(config.journal, journal::config::Config::Unsaid);
}

#[test]
fn the_journal_s_options_are_taken() {
    let journal = |entry: &str| {
        let mut entries: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/fixtures/config/seed-openfaas.json")).unwrap();
        entries.as_array_mut().unwrap().push(serde_json::from_str(entry).unwrap());
        parse(&entries.to_string()).unwrap().journal
    };
    let settings = journal::embedded::Settings {
        max_bytes: 4 << 30,
        max_age: Duration::from_secs(7 * 86_400),
        synced: false,
        segment_bytes: 1 << 20,
    };
    let whole = r#"{"type": "journal", "provider": "embedded", "address": "/j",
        "options": {"max_bytes": "4GiB", "max_age": "7d", "sync": "relaxed", "segment_bytes": "1MiB"}}"#;
    assert_eq!(journal(whole), journal::config::Config::Embedded { folder: Some("/j".into()), settings });
    let settings = journal::embedded::Settings {
        max_bytes: 1 << 30,
        max_age: Duration::from_secs(86_400),
        synced: true,
        segment_bytes: 16 << 20,
    };
    let bare = journal(r#"{"type": "journal", "provider": "embedded"}"#);
    assert_eq!(bare, journal::config::Config::Embedded { folder: None, settings });
    let memory = journal(r#"{"type": "journal", "provider": "memory"}"#);
    assert_eq!(memory, journal::config::Config::Memory { max_bytes: 64 << 20 });
}

#[test]
fn every_option_is_taken() {
    let vcenter = stream(&stream_options(
        r#"{"thumbprint": "3C:5D:0B:F4:5F:5E:90:1B:8C:DF:A9:2B:5C:1F:3C:68:4F:AE:0B:02", "begin": "2026-01-31T08:00:00Z",
           "checkpoint_dir": "/old/checkpoints", "event_types": "A, B", "api_version": "latest"}"#,
    ));
    assert_eq!(vcenter.checkpoint_dir.as_deref(), Some(Path::new("/old/checkpoints")));
    assert!(matches!(vcenter.tls.thumbprint, Some(Thumbprint::Sha1([0x3c, ..]))));
    assert_eq!(vcenter.begin, BeginAt::At(1_769_846_400_000_000));
    assert_eq!((vcenter.event_types, vcenter.shape), (vec!["A".into(), "B".into()], Shape::LATEST));
    assert_eq!(stream(&stream_options(r#"{"begin": "-1h30m"}"#)).begin, BeginAt::Ago(Duration::from_secs(5400)));

    let openfaas = processor(&processor_options(
        r#"{"async": "true", "timeout": "500ms", "concurrency": "16", "max_attempts": "3", "max_age": "1h",
           "ordering": "none", "begin": "2026-01-31T08:00:00Z", "topic_delimiter": " ", "topic_annotation": "t", "namespaces": "a,b",
           "callback_url": "http://r:8080", "callback_timeout": "15m", "insecure": "true"}"#,
    ));
    assert!(openfaas.asynchronous && openfaas.tls.insecure);
    assert_eq!((openfaas.timeout, openfaas.callback_timeout), (Duration::from_millis(500), Duration::from_secs(900)));
    assert_eq!((openfaas.delivery.concurrency, openfaas.delivery.max_attempts), (16, 3));
    assert_eq!((openfaas.delivery.max_age, openfaas.delivery.ordering), (Duration::from_secs(3600), Ordering::None));
    assert_eq!(openfaas.delivery.begin, ProcessorBegin::At(1_769_846_400_000_000));
    let begin = |begin: &str| processor(&processor_options(&format!(r#"{{"begin": "{begin}"}}"#))).delivery.begin;
    assert_eq!((begin("oldest"), begin("end")), (ProcessorBegin::Oldest, ProcessorBegin::End));
    assert_eq!((openfaas.topic_delimiter.as_str(), openfaas.topic_annotation.as_str()), (" ", "t"));
    assert_eq!(openfaas.namespaces, ["a", "b"]);
    assert_eq!(openfaas.callback_url.unwrap().as_str(), "http://r:8080/");
}

#[test]
fn the_metrics_entry_has_two_spellings() {
    for (entry, address, auth) in [
        (r#"{"type": "internal", "provider": "metrics"}"#, "0.0.0.0:8080", false),
        (
            r#"{"type": "metrics", "provider": "internal", "address": ":9090", "auth": {"method": "none"}}"#,
            "0.0.0.0:9090",
            false,
        ),
        (
            r#"{"type": "internal", "provider": "metrics", "address": "[::1]:80", "auth": {"method": "basic_auth", "secret": {"username": "a", "password": "b"}}}"#,
            "[::1]:80",
            true,
        ),
        (
            r#"{"type": "metrics", "provider": "internal", "address": "localhost:0", "auth": {"method": "none", "secret": {"username": "a", "password": "b"}}}"#,
            "localhost:0",
            false,
        ),
    ] {
        let config = parse(&with(entry, &[STREAM, PROCESSOR])).unwrap();
        assert_eq!((config.metrics.address.as_str(), config.metrics.auth.is_some()), (address, auth));
    }
}

#[test]
fn a_vcenter_s_address_is_completed_and_stays_as_written() {
    for (address, source, url) in [
        ("vc", "https://vc/sdk", "https://vc/sdk"),
        ("VC.example.com/", "https://VC.example.com/sdk", "https://vc.example.com/sdk"),
        ("10.0.0.1:443", "https://10.0.0.1:443/sdk", "https://10.0.0.1/sdk"),
        ("https://10.0.0.1:443/sdk", "https://10.0.0.1:443/sdk", "https://10.0.0.1/sdk"),
        ("HTTP://vc:8989", "http://vc:8989/sdk", "http://vc:8989/sdk"),
        ("https://vc/proxy/sdk", "https://vc/proxy/sdk", "https://vc/proxy/sdk"),
        ("[::1]:8989", "https://[::1]:8989/sdk", "https://[::1]:8989/sdk"),
    ] {
        let config = stream(&STREAM.replace("\"vc\"", &format!("\"{address}\"")));
        assert_eq!((config.source.as_str(), config.address.as_str()), (source, url), "{address}");
    }
}

#[test]
fn names_tell_entries_apart() {
    let named = |entry: &str, name: &str| entry.replacen('{', &format!("{{\"name\": \"{name}\", "), 1);
    let config = parse(&with(&named(STREAM, "a"), &[&named(STREAM, "b"), PROCESSOR, METRICS])).unwrap();
    assert_eq!(config.streams.iter().map(|stream| &**stream.name()).collect::<Vec<_>>(), ["a", "b"]);

    let other = STREAM.replace("\"vc\"", "\"https://VC:443/sdk/\"").replace("/sdk/", "/sdk");
    for (first, second, problem) in [
        (
            STREAM.to_owned(),
            other,
            "c.json:2:1: name: \"vmware_vcenter@https://vc/sdk\" is also the entry in line 1; give each a \"name\" of its own",
        ),
        (
            named(STREAM, "a"),
            named(PROCESSOR, "a"),
            "c.json:2:10: name: \"a\" is also the entry in line 1; give each a \"name\" of its own",
        ),
    ] {
        let text = with(&first, &[&second, STREAM, PROCESSOR, METRICS]);
        let problems = parse(&text).unwrap_err();
        assert_eq!(problems.lines().next(), Some(problem), "{problems}");
    }
}

/// What is wrong with an entry, as the first of a file.
#[test]
fn every_kind_of_problem_is_told_with_its_place() {
    let auth = |auth: &str| STREAM.replace(&STREAM[STREAM.find("{\"method").unwrap()..STREAM.len() - 1], auth);
    let cases: &[(String, &str)] = &[
        // The entry.
        ("7".into(), "1:2: entry: is a number, not a map; write { \"type\": ..., \"provider\": ..., ... }"),
        (
            "{}".into(),
            "1:2: type: is missing; write \"stream\", \"processor\", \"metrics\" or \"journal\"\n\
            1:2: provider: is missing; name the provider, such as \"vmware_vcenter\" or \"openfaas\"",
        ),
        (STREAM.replace("\"stream\"", "\"steam\""), "1:11: type: \"steam\" is unknown; did you mean \"stream\"?"),
        (
            STREAM.replace("\"stream\"", "\"x\""),
            "1:11: type: \"x\" is unknown; write \"stream\", \"processor\", \"metrics\" or \"journal\"",
        ),
        (
            STREAM.replace("\"stream\"", "null"),
            "1:11: type: is null, not a string; write \"stream\", \"processor\", \"metrics\" or \"journal\"",
        ),
        (
            STREAM.replace("vmware_vcenter", "vcenter"),
            "1:33: provider: \"vcenter\" is unknown; write one of vmware_vcenter",
        ),
        (
            STREAM.replace("vmware_vcenter", "vmware-vCenter"),
            "1:33: provider: \"vmware-vCenter\" is unknown; did you mean \"vmware_vcenter\"?",
        ),
        (
            PROCESSOR.replace("openfaas", "opnfaas"),
            "1:36: provider: \"opnfaas\" is unknown; did you mean \"openfaas\"?",
        ),
        (
            r#"{"type": "internal", "provider": "x"}"#.into(),
            "1:35: provider: \"x\" is unknown; entries of type \"internal\" have the provider \"metrics\"",
        ),
        (
            r#"{"type": "metrics", "provider": "metrics"}"#.into(),
            "1:34: provider: \"metrics\" is unknown; write one of internal",
        ),
        (
            r#"{"type": "journal", "provider": "disk"}"#.into(),
            "1:34: provider: \"disk\" is unknown; write one of embedded, memory",
        ),
        (STREAM.replacen('{', "{\"name\": \"\", ", 1), "1:11: name: is empty; write a name, or leave it out"),
        (
            STREAM.replacen('{', "{\"name\": \"a\\nb\", ", 1),
            "1:11: name: has more than 100 characters, or line breaks and the like; write a shorter one, on one line",
        ),
        (STREAM.replacen('{', "{\"Address\": \"x\", ", 1), "1:3: Address: is unknown; did you mean \"address\"?"),
        (STREAM.replacen('{', "{\"insecure\": \"true\", ", 1), "1:3: insecure: is unknown; move it into \"options\""),
        (
            STREAM.replacen('{', "{\"colour\": \"x\", ", 1),
            "1:3: colour: is unknown; the fields of an entry are type, provider, name, address, auth, options",
        ),
        (
            STREAM.replacen('{', "{\"type\": \"stream\", ", 1),
            "1:21: type: is given twice, before in line 1; keep one of them",
        ),
        // The address.
        (
            STREAM.replace("\"address\": \"vc\", ", ""),
            "1:2: address: is missing; add it, such as \"https://10.0.0.1:443/sdk\"",
        ),
        (
            STREAM.replace("\"vc\"", "443"),
            "1:62: address: is a number, not a string; write the address as a string, or leave it out",
        ),
        (STREAM.replace("\"vc\"", "\" \""), "1:62: address: is empty; write the address as a string, or leave it out"),
        (
            STREAM.replace("\"vc\"", "\"u:hunter2@vc\""),
            "1:62: address: holds a user or password; move them to auth.secret",
        ),
        (
            STREAM.replace("\"vc\"", "\"u:hun/ter2@vc\""),
            "1:62: address: the value is not a URL (invalid port number); compare with http://host:8080",
        ),
        (
            STREAM.replace("\"vc\"", "\"ftp://vc\""),
            "1:62: address: \"ftp://vc/sdk\" does not begin with http:// or https://; write one of them",
        ),
        (
            PROCESSOR.replace("http://gw", "gw:8080"),
            "1:59: address: \"gw:8080\" does not begin with http:// or https://; write one of them",
        ),
        (
            r#"{"type": "journal", "provider": "memory", "address": "x"}"#.into(),
            "1:55: address: is not used by memory; remove it",
        ),
        // Authentication.
        (
            STREAM.replace("\"auth\"", "\"atuh\""),
            "1:2: auth: is missing; add \"auth\" with the method user_password\n\
            1:68: atuh: is unknown; did you mean \"auth\"?",
        ),
        (auth("\"hunter2\""), "1:76: auth: is a string, not a map; write { \"key\": \"value\", ... }"),
        (auth("{}"), "1:76: auth.method: is missing; add it: user_password"),
        (
            auth("{\"method\": true}"),
            "1:87: auth.method: is a boolean, not a string; write the name of a method in double quotes",
        ),
        (
            auth("{\"method\": \"basic_auth\"}"),
            "1:87: auth.method: \"basic_auth\" is unknown; vmware_vcenter authenticates with user_password",
        ),
        (
            auth("{\"method\": \"user_pasword\"}"),
            "1:87: auth.method: \"user_pasword\" is unknown; did you mean \"user_password\"?",
        ),
        (
            auth("{\"method\": \"user_password\"}"),
            "1:76: auth.secret.username: is missing; user_password needs it\n\
            1:76: auth.secret.password: is missing; user_password needs it",
        ),
        (
            auth("{\"method\": \"user_password\", \"secret\": \"hunter2\"}"),
            "1:114: auth.secret: is a string, not a map; write { \"key\": \"value\", ... }",
        ),
        (
            STREAM.replace("\"username\"", "\"user\""),
            "1:114: auth.secret.username: is missing; user_password needs it\n\
            1:115: auth.secret.user: is unknown; user_password has username, password",
        ),
        (
            STREAM.replace("\"hunter2\"", "123456"),
            "1:144: auth.secret.password: is a number, not a string; write it in double quotes",
        ),
        (
            STREAM.replace("\"hunter2\"", "[\"hunter2\"]"),
            "1:144: auth.secret.password: is a list, not a string; write it in double quotes",
        ),
        (
            STREAM.replace("\"hunter2\"", "\"\""),
            "1:144: auth.secret.password: the secret is empty; put the secret there",
        ),
        (
            STREAM.replace("hunter2", "${env:NO_SUCH_VARIABLE}"),
            "1:144: auth.secret.password: the environment variable NO_SUCH_VARIABLE is not set; put the secret there",
        ),
        (
            STREAM.replace("hunter2", "${file:/no/such/file}"),
            "1:144: auth.secret.password: the file /no/such/file cannot be read (No such file or directory (os error 2)); put the secret there",
        ),
        (
            STREAM.replace("hunter2", "${vault:hunter2}"),
            "1:144: auth.secret.password: is a reference of an unknown kind; write ${env:NAME} or ${file:PATH}; a secret that looks like a reference must come from one of them",
        ),
        (
            STREAM.replace("\"method\"", "\"tokens\": 1, \"method\""),
            "1:77: auth.tokens: is unknown; auth has the fields method and secret",
        ),
        (
            r#"{"type": "journal", "provider": "memory", "auth": {}}"#.into(),
            "1:52: auth: is not used by memory; remove it",
        ),
        (
            r#"{"type": "metrics", "provider": "internal", "auth": {"method": "basic_auth"}}"#.into(),
            "1:54: auth.secret.username: is missing; basic_auth needs it\n\
            1:54: auth.secret.password: is missing; basic_auth needs it",
        ),
        // Where to listen.
        (
            r#"{"type": "metrics", "provider": "internal", "address": "8080"}"#.into(),
            "1:57: address: \"8080\" has no port; write an address and a port, such as \"0.0.0.0:8080\"",
        ),
        (
            r#"{"type": "metrics", "provider": "internal", "address": "a:65536"}"#.into(),
            "1:57: address: \"a:65536\" has no port from 0 to 65535; write an address and a port, such as \"0.0.0.0:8080\"",
        ),
        (
            r#"{"type": "metrics", "provider": "internal", "address": "http://a:80"}"#.into(),
            "1:57: address: \"http://a:80\" is a URL, not an address to listen on; write an address and a port, such as \"0.0.0.0:8080\"",
        ),
        (
            r#"{"type": "metrics", "provider": "internal", "address": "::1:80"}"#.into(),
            "1:57: address: \"::1:80\" is not an address; write an address and a port, such as \"0.0.0.0:8080\"",
        ),
        // Options.
        (stream_options("[]"), "1:168: options: is a list, not a map; write { \"key\": \"value\", ... }"),
        (
            stream_options(r#"{"insecure": true}"#),
            "1:181: options.insecure: is a boolean, but options are strings; write \"true\"",
        ),
        (
            stream_options(r#"{"insecure": "yes"}"#),
            "1:181: options.insecure: \"yes\" is neither true nor false; write \"true\" or \"false\"",
        ),
        (
            stream_options(r#"{"insecure": ""}"#),
            "1:181: options.insecure: is empty; give a value, or leave the option out",
        ),
        (
            stream_options(r#"{"insecure": null}"#),
            "1:181: options.insecure: is null, not a string; write a string such as \"true\", or leave the option out",
        ),
        (stream_options(r#"{"insecrue": "true"}"#), "1:169: options.insecrue: is unknown; did you mean \"insecure\"?"),
        (
            stream_options(r#"{"async": "true"}"#),
            "1:169: options.async: is unknown; the options of vmware_vcenter are insecure, root_cas, client_cert, client_key, thumbprint, begin, checkpoint_dir, event_types, api_version",
        ),
        (
            stream_options(r#"{"begin": "yesterday"}"#),
            "1:178: options.begin: \"yesterday\" is not a time; write \"now\", a duration back such as \"-2h\", or a time such as \"2026-01-31T08:00:00Z\"",
        ),
        (
            stream_options(r#"{"thumbprint": "12:34"}"#),
            "1:183: options.thumbprint: \"12:34\" is no thumbprint; write the certificate's SHA-1 or SHA-256 in hexadecimal, 40 or 64 digits",
        ),
        (
            stream_options(r#"{"event_types": "Vm*"}"#),
            "1:184: options.event_types: \"Vm*\" is no event type; write names such as VmPoweredOnEvent, with commas between them and without wildcards",
        ),
        (
            stream_options(r#"{"event_types": ["A"]}"#),
            "1:184: options.event_types: is a list, not a string; write one string, with commas between the items",
        ),
        (
            stream_options(r#"{"api_version": "6.5"}"#),
            "1:184: options.api_version: \"6.5\" is unknown; write one of 6.7, 7.0, 7.0.1, 7.0.2, 7.0.3, 8.0, 8.0.1, 8.0.2, 8.0.3, 9.0, 9.1, latest",
        ),
        (
            stream_options(r#"{"insecure": "true", "thumbprint": "0000000000000000000000000000000000000000"}"#),
            "1:181: options.insecure: is given together with thumbprint; remove it: the thumbprint alone decides whom to trust",
        ),
        (
            stream_options(r#"{"root_cas": "/no/such/file"}"#),
            "1:181: options.root_cas: /no/such/file cannot be read (No such file or directory (os error 2)); check the path, and who may read it",
        ),
        (
            stream_options(r#"{"client_key": "Cargo.toml"}"#),
            "1:183: options.client_key: Cargo.toml holds no private key; give a PEM file with a private key\n\
            1:183: options.client_key: is given without client_cert; give both or neither",
        ),
        (
            processor_options(r#"{"timeout": "15"}"#),
            "1:181: options.timeout: \"15\" is not a duration; write a whole number and ms, s, m, h or d, such as \"15s\"",
        ),
        (
            processor_options(r#"{"timeout": 15}"#),
            "1:181: options.timeout: is a number, but options are strings; write \"15\"",
        ),
        (processor_options(r#"{"timeout": "0s"}"#), "1:181: options.timeout: \"0s\" is too little; write 1ms to 1d"),
        (
            processor_options(r#"{"concurrency": "many"}"#),
            "1:185: options.concurrency: \"many\" is not a whole number; write one from 1 to 10000",
        ),
        (
            processor_options(r#"{"concurrency": "0"}"#),
            "1:185: options.concurrency: \"0\" is too little; write 1 to 10000",
        ),
        (
            processor_options(r#"{"begin": "now"}"#),
            "1:179: options.begin: \"now\" is not a time; write \"end\", \"oldest\", or a time such as \"2026-01-31T08:00:00Z\"",
        ),
        (
            processor_options(r#"{"ordering": "fifo"}"#),
            "1:182: options.ordering: \"fifo\" is unknown; write one of entity, strict, none",
        ),
        (
            processor_options(r#"{"callback_url": "http://r"}"#),
            "1:186: options.callback_url: needs \"async\": \"true\"; add that, or remove this",
        ),
        (
            processor_options(r#"{"callback_timeout": "5m"}"#),
            "1:190: options.callback_timeout: is given without callback_url; add that, or remove this",
        ),
        (
            processor_options(r#"{"topic_delimiter": ""}"#),
            "1:189: options.topic_delimiter: is empty; give a value, or leave the option out",
        ),
        (
            r#"{"type": "journal", "provider": "memory", "options": {"max_bytes": "64"}}"#.into(),
            "1:69: options.max_bytes: \"64\" is not a size; write a whole number and KiB, MiB or GiB, such as \"64MiB\"",
        ),
        (
            r#"{"type": "journal", "provider": "memory", "options": {"max_bytes": "1KiB"}}"#.into(),
            "1:69: options.max_bytes: \"1KiB\" is too little; write 1MiB to 1TiB",
        ),
        (
            r#"{"type": "metrics", "provider": "internal", "options": {"x": "y"}}"#.into(),
            "1:58: options.x: is unknown; remove it: there are no options here",
        ),
    ];
    let mut wrong = Vec::new();
    for (entry, expected) in cases {
        let kind = |text: &str| entry.contains(&format!("\"type\": \"{text}\""));
        let mut others = Vec::new();
        for (text, other) in [("stream", STREAM), ("processor", PROCESSOR)] {
            if !kind(text) {
                others.push(other);
            }
        }
        if !kind("metrics") && !kind("internal") {
            others.push(METRICS);
        }
        let expected: Vec<_> = expected.lines().map(|line| format!("c.json:{}", line.trim_start())).collect();
        let problems = parse(&with(entry, &others)).err().unwrap_or_default();
        if problems != expected.join("\n") {
            wrong.push(format!("{entry}\n  is:     {problems}\n  wanted: {}", expected.join("\n")));
        }
        assert!(!problems.contains("hunter2"), "{problems}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_missing_as_a_whole_is_told() {
    for (text, problems) in [
        (
            "[]",
            "c.json:1:1: configuration: has no stream entry; add one with \"type\": \"stream\" and \"provider\": \"vmware_vcenter\"\n\
                c.json:1:1: configuration: has no processor entry; add one with \"type\": \"processor\" and \"provider\": \"openfaas\"\n\
                c.json:1:1: configuration: has no metrics entry; add one with \"type\": \"metrics\" and \"provider\": \"internal\"",
        ),
        ("{}", "c.json:1:1: configuration: is a map, not an array of entries; put the entries into [ ]"),
        ("[{},]", "c.json:1:4: configuration: has a comma after the last item; remove the comma"),
    ] {
        assert_eq!(parse(text).unwrap_err(), problems.replace("                ", ""));
    }
    let two = with(METRICS, &[METRICS, STREAM, PROCESSOR]);
    assert_eq!(
        parse(&two).unwrap_err(),
        "c.json:2:1: type: is a second metrics entry, after that in line 1; keep one of them"
    );
    let problems = RouterConfig::load(Path::new("/no/such/file")).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "/no/such/file:1:1: configuration: cannot be read (No such file or directory (os error 2)); \
         check the path given by -config, and who may read it"
    );
}

#[test]
fn all_problems_come_at_once() {
    let text = with(
        &stream_options(r#"{"insecure": true, "begin": "x"}"#),
        &[&PROCESSOR.replace("http://gw", "gw"), r#"{"type": "metrics", "provider": "x"}"#, "7"],
    );
    let places: Vec<_> =
        parse(&text).unwrap_err().lines().map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        places,
        [
            "c.json:1:181 options.insecure",
            "c.json:1:196 options.begin",
            "c.json:2:58 address",
            "c.json:3:33 provider",
            "c.json:4:1 entry"
        ]
    );
}

#[test]
fn certificates_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::generate_simple_self_signed(["router".to_owned()]).unwrap();
    let (cert, private) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    std::fs::write(&cert, key.cert.pem().repeat(2)).unwrap();
    std::fs::write(&private, key.signing_key.serialize_pem()).unwrap();
    let (cert, private) = (cert.display(), private.display());
    let options = format!(r#"{{"root_cas": "{cert}, {cert}", "client_cert": "{cert}", "client_key": "{private}"}}"#);
    let tls = stream(&stream_options(&options)).tls;
    assert_eq!((tls.root_cas.len(), tls.client.unwrap().0.len()), (4, 2));

    let other = rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap();
    std::fs::write(folder.path().join("k.pem"), other.signing_key.serialize_pem()).unwrap();
    let problems = parse(&with(&stream_options(&options), &[PROCESSOR, METRICS])).unwrap_err();
    assert!(problems.ends_with("options.client_key: does not belong to client_cert; give the key of that certificate"));

    std::fs::write(folder.path().join("c.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    let problems = parse(&with(&stream_options(&options), &[PROCESSOR, METRICS])).unwrap_err();
    assert!(problems.contains(&format!("options.root_cas: {cert} holds a damaged certificate; ")), "{problems}");
}

#[test]
fn every_shape_can_be_chosen() {
    let Some(option) = stream::vcenter::PROVIDER.options().find(|option| option.name == "api_version") else {
        panic!()
    };
    let Kind::Choice(choices) = option.kind else { panic!() };
    assert_eq!(choices, Shape::all().map(|shape| shape.to_string()).collect::<Vec<_>>());
    for shape in Shape::all() {
        let entry = stream_options(&format!("{{\"api_version\": \"{shape}\"}}"));
        assert_eq!(stream(&entry).shape, shape);
    }
}

/// Every default is a value that the option takes, and every example another.
#[test]
fn defaults_and_examples_are_taken() {
    for provider in providers() {
        let mut names: Vec<_> = provider.options().map(|option| option.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), provider.options().count(), "{} has an option twice", provider.name);
        for option in provider.options() {
            assert!(option.default != Some(option.example), "the example of {} shows nothing new", option.name);
            for value in option.default.into_iter().chain([option.example]) {
                if matches!(option.kind, Kind::File | Kind::Files) || option.name.starts_with("callback") {
                    continue;
                }
                let options = serde_json::json!({ option.name: value }).to_string();
                let entry = match provider.kind {
                    _ if provider.name == "aws_event_bridge" => event_bridge::with_option(option.name, value),
                    SectionKind::Stream => stream_options(&options),
                    SectionKind::Processor => processor_options(&options),
                    kind => format!(
                        r#"{{"type": "{}", "provider": "{}", "options": {options}}}"#,
                        kind.name(),
                        provider.name
                    ),
                };
                let text = with(&entry, &[STREAM, PROCESSOR, METRICS])
                    .replace("\"vc\"", "\"a\"")
                    .replacen("\"a\"", "\"b\"", 1);
                let text = text.replace("http://gw", "http://a").replacen("http://a", "http://b", 1);
                assert!(parse(&text).is_ok(), "{} = {value}: {:?}", option.name, parse(&text).map(|_| ()));
            }
        }
    }
}

/// Each configuration that we show, with its name.
fn shown() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["examples", "deploy", "tests/fixtures/config"] {
        let Ok(entries) = std::fs::read_dir(root.join(folder)) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.extension().is_some_and(|extension| extension == "json") {
                found.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let page = documentation();
    for (index, block) in page.split("```json\n").skip(1).enumerate() {
        let block = block.split("```").next().unwrap().trim();
        let text = if block.starts_with('[') { block.to_owned() } else { format!("[{block}]") };
        found.push((format!("block {} of docs/configuration.md", index + 1), text));
    }
    found
}

fn documentation() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md")).unwrap()
}

struct Judge {
    schemas: boon::Schemas,
    index: boon::SchemaIndex,
}

impl Judge {
    fn new() -> Self {
        let mut schemas = boon::Schemas::new();
        let mut compiler = boon::Compiler::new();
        compiler.add_resource("configuration.json", schema(providers())).unwrap();
        let index = compiler.compile("configuration.json", &mut schemas).unwrap();
        Self { schemas, index }
    }

    fn takes(&self, text: &str) -> Result<(), String> {
        let value: Value = serde_json::from_str(text).unwrap();
        self.schemas.validate(&value, self.index).map_err(|error| format!("{error:#}"))
    }
}

#[test]
fn what_we_show_is_taken_by_parser_and_schema_alike() {
    let judge = Judge::new();
    let mut count = 0;
    for (name, text) in shown() {
        // Single entries are shown too; the others are added.
        let entries: Vec<Value> = serde_json::from_str(&text).unwrap();
        let has =
            |kind: &[&str]| entries.iter().any(|entry| kind.contains(&entry["type"].as_str().unwrap_or_default()));
        let mut whole = entries.clone();
        for (kinds, entry) in
            [(&["stream"][..], STREAM), (&["processor"], PROCESSOR), (&["metrics", "internal"], METRICS)]
        {
            if !has(kinds) {
                whole.push(serde_json::from_str(entry).unwrap());
            }
        }
        // References lead to where the reader's secrets and certificates are.
        let text = serde_json::to_string_pretty(&whole).unwrap();
        assert_eq!(judge.takes(&text), Ok(()), "{name}");
        if let Err(problems) = parse(&text) {
            let elsewhere = |line: &str| line.contains("cannot be read (No such file") || line.contains("is not set");
            assert!(problems.lines().all(elsewhere), "{name}: {problems}");
        }
        count += 1;
    }
    assert!(count >= 4, "only {count} configurations were found");
}

#[test]
fn parser_and_schema_refuse_the_same() {
    let judge = Judge::new();
    for entry in [
        STREAM.replace("\"address\": \"vc\", ", ""),
        STREAM.replace("\"hunter2\"", "1"),
        STREAM.replace("\"username\"", "\"user\""),
        STREAM.replace("\"user_password\"", "\"basic_auth\""),
        STREAM.replacen('{', "{\"colour\": \"x\", ", 1),
        stream_options(r#"{"insecure": true}"#),
        stream_options(r#"{"insecure": "yes"}"#),
        stream_options(r#"{"begin": "yesterday"}"#),
        stream_options(r#"{"thumbprint": "12:34"}"#),
        stream_options(r#"{"api_version": "6.5"}"#),
        stream_options(r#"{"async": "true"}"#),
    ] {
        let text = with(&entry, &[PROCESSOR, METRICS]);
        assert!(parse(&text).is_err() && judge.takes(&text).is_err(), "{entry}");
    }
    for text in [with(PROCESSOR, &[METRICS]), with(STREAM, &[METRICS]), with(STREAM, &[PROCESSOR]), "{}".to_owned()] {
        assert!(parse(&text).is_err() && judge.takes(&text).is_err(), "{text}");
    }
    for (kind, provider) in [("metrics", "metrics"), ("internal", "internal")] {
        let text = with(&format!(r#"{{"type": "{kind}", "provider": "{provider}"}}"#), &[STREAM, PROCESSOR]);
        assert!(parse(&text).is_err() && judge.takes(&text).is_err(), "{text}");
    }
    assert_eq!(judge.takes(&with(STREAM, &[PROCESSOR, METRICS])), Ok(()));
    let long = "00".repeat(32);
    for value in [long.as_str(), " 3C:5D:0B:F4:5F:5E:90:1B:8C:DF:A9:2B:5C:1F:3C:68:4F:AE:0B:02"] {
        let text = with(&stream_options(&format!(r#"{{"thumbprint": "{value}"}}"#)), &[PROCESSOR, METRICS]);
        assert!(parse(&text).is_ok(), "{value}");
        assert_eq!(judge.takes(&text), Ok(()), "{value}");
    }
}

/// What a kind of value is called in the documentation.
fn kind(option: &OptionSpec) -> String {
    match option.kind {
        Kind::Bool => "`true` or `false`".to_owned(),
        Kind::Duration { .. } => "duration".to_owned(),
        Kind::Size { .. } => "size".to_owned(),
        Kind::Integer { min, max } => format!("number, {min} to {max}"),
        Kind::Text => "text".to_owned(),
        Kind::List => "list".to_owned(),
        Kind::Url => "URL".to_owned(),
        Kind::File => "file".to_owned(),
        Kind::Files => "list of files".to_owned(),
        Kind::Choice(choices) => choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", "),
        Kind::Special { name, .. } => name.to_owned(),
    }
}

/// The rows of a provider's table, as they must stand in the documentation.
fn rows(provider: &Provider) -> Vec<String> {
    let mut rows = Vec::new();
    let mut row = |name: &str, kind: &str, default: &str, doc: &str, example: &str| {
        rows.push(format!("| `{name}` | {kind} | {default} | {doc} | {example} |"));
    };
    let code = |text: &str| format!("`{text}`");
    let address = &provider.address;
    if address.kind != AddressKind::None {
        let kind = match address.kind {
            AddressKind::Url => "URL",
            AddressKind::Bind => "address and port",
            AddressKind::Folder => "folder",
            AddressKind::None => unreachable!(),
        };
        row("address", kind, &address.default.map_or("required".to_owned(), code), address.doc, &code(address.example));
    }
    if !provider.auth.methods.is_empty() {
        let names: Vec<_> = provider.auth.methods.iter().map(|method| code(method.name)).collect();
        let docs: Vec<_> =
            provider.auth.methods.iter().map(|method| format!("{}: {}", code(method.name), method.doc)).collect();
        let default = if provider.auth.required { "required" } else { "" };
        row("auth.method", &names.join(", "), default, &docs.join(" "), &names[names.len() - 1]);
    }
    for secret in provider.secrets() {
        let methods: Vec<_> = provider
            .auth
            .methods
            .iter()
            .filter(|m| m.secrets.iter().any(|s| s.name == secret.name))
            .map(|m| code(m.name))
            .collect();
        let required = format!("required by {}", methods.join(", "));
        let default = if secret.required { required } else { String::new() };
        row(&format!("auth.secret.{}", secret.name), "secret", &default, secret.doc, &code(secret.example));
    }
    for option in provider.options() {
        let default = match (option.required, option.default) {
            (true, _) => "required".to_owned(),
            (false, default) => default.map(code).unwrap_or_default(),
        };
        row(&format!("options.{}", option.name), &kind(option), &default, option.doc, &code(option.example));
    }
    rows
}

/// The documentation's tables say what the code does: every field and option of
/// every provider, and none besides. The right table is printed when one is wrong.
#[test]
fn the_documentation_has_every_option() {
    let page = documentation();
    let mut wanted = Vec::new();
    for provider in providers() {
        let title = format!("## `{}`: `{}`", provider.kind.name(), provider.name);
        let Some((_, section)) = page.split_once(&format!("\n{title}\n")) else { panic!("there is no {title}") };
        let section = section.split("\n## ").next().unwrap();
        let table: Vec<_> = section.lines().filter(|line| line.starts_with("| `")).collect();
        let rows = rows(provider);
        let said = section.contains(provider.doc);
        if !said || table != rows {
            wanted.push(format!(
                "{title}\n\n{}\n\n| Field | Value | Default | Meaning | Example |\n|---|---|---|---|---|\n{}",
                provider.doc,
                rows.join("\n")
            ));
        }
    }
    assert!(wanted.is_empty(), "docs/configuration.md should have:\n\n{}", wanted.join("\n\n"));
    let titles = page.lines().filter(|line| line.starts_with("## `")).count();
    assert_eq!(titles, providers().count(), "a provider is documented that is not there");
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(RouterConfig::parse("f", &bytes).is_err_and(|problems| !problems.is_empty()));
    }

    #[test]
    fn no_value_panics_and_no_secret_is_shown(
        which in 0..4_usize,
        value in prop_oneof![any::<String>(), "[0-9a-zA-Z:/@.\\-\\[\\]{}$]{0,20}"],
        option in proptest::sample::select(providers().flat_map(Provider::options).map(|o| o.name).collect::<Vec<_>>()),
    ) {
        const SECRET: &str = "tr0ub4dor-and-3";
        let value = serde_json::to_string(&value).unwrap();
        let stream = STREAM.replace("hunter2", SECRET);
        let entry = match which {
            0 => stream.replace("\"vc\"", &value),
            1 => stream.replace("\"u\"", &value),
            2 => format!("{}, \"options\": {{\"{option}\": {value}}}}}", &stream[..stream.len() - 1]),
            _ => stream.replace(&format!("\"{SECRET}\""), &format!("{{\"x\": [\"{SECRET}\", {value}]}}")),
        };
        let processor = PROCESSOR.replace("\"username\": \"u\"", &format!("\"username\": [\"{SECRET}\"]"));
        for others in [[PROCESSOR, METRICS], [processor.as_str(), METRICS]] {
            let shown = match RouterConfig::parse("f", with(&entry, &others).as_bytes()) {
                Ok(config) => format!("{config:?}"),
                Err(problems) => format!("{problems} {problems:?}"),
            };
            prop_assert!(!shown.contains(SECRET), "{}", shown);
        }
    }
}
