//! The command line as scripts and manifests see it: what is printed where, and the exit codes.

use std::path::Path;
use std::process::{Command, Output};

fn router(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vmware-event-router")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn help_is_printed_and_ends_with_commit_and_version() {
    for flag in ["-h", "-help", "--help"] {
        let output = router(&[flag]);
        assert_eq!(output.status.code(), Some(0), "{flag}");
        let out = text(&output.stdout);
        assert!(out.contains("--config <PATH>") && out.contains("[default: /etc/vmware-event-router/config]"), "{out}");
        let [commit, version] = out.trim_end().lines().rev().take(2).collect::<Vec<_>>()[..] else { panic!("{out}") };
        assert!(commit.starts_with("version: ") && version.starts_with("commit: "), "{out}");
        assert!(output.stderr.is_empty());
    }
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    for args in [&["-confg", "x"][..], &["chek"], &["-log-level", "loud"], &["decode"], &["-config"]] {
        let output = router(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && text(&output.stderr).starts_with("error: "), "{args:?}");
    }
}

#[test]
fn a_wrong_configuration_is_exit_code_78_with_all_problems_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let config = r#"[
  { "type": "stream", "provider": "vmware_vcenter", "address": "https://root:hunter2@vc",
    "auth": { "method": "user_password", "secret": { "username": "root", "password": ["hunter2"] } } },
  { "type": "processor", "provider": "openfaas", "address": "http://gateway:8080",
    "auth": { "method": "basic_auth", "secret": { "username": "admin", "pasword": "hunter2" } },
    "options": { "async": true } }
]
"#;
    std::fs::write(&path, config).unwrap();
    let shown = path.display();
    let expected = format!(
        "{shown}:1:1: configuration: has no metrics entry; add one with \"type\": \"metrics\" and \"provider\": \"internal\"\n\
         {shown}:2:64: address: holds a user or password; move them to auth.secret\n\
         {shown}:3:86: auth.secret.password: is a list, not a string; write it in double quotes\n\
         {shown}:5:49: auth.secret.password: is missing; basic_auth needs it\n\
         {shown}:5:72: auth.secret.pasword: is unknown; did you mean \"password\"?\n\
         {shown}:6:27: options.async: is a boolean, but options are strings; write \"true\"\n"
    );
    let file = path.to_str().unwrap();
    for args in [&["-config", file][..], &["check", "-config", file], &["--config", file, "run", "-verbose"]] {
        let output = router(args);
        assert_eq!(output.status.code(), Some(78), "{args:?}");
        assert_eq!(text(&output.stderr), expected, "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
    let output = router(&["-config", "/no/such/file"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).starts_with("/no/such/file:1:1: configuration: cannot be read"));
}

#[test]
fn the_schema_is_printed_as_json() {
    let output = router(&["schema"]);
    assert_eq!(output.status.code(), Some(0));
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(schema["$defs"]["processor.openfaas"]["properties"]["options"]["properties"]["max_age"].is_object());
}

/// A pipe whose reader is gone, as in `vmware-event-router schema | head -1`.
#[test]
fn nobody_reading_is_no_panic() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    for args in [&["schema"][..], &["-h"], &["-wrong"]] {
        let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmware-event-router"));
        let status = command.args(args).stdout(full()).stderr(full()).status().unwrap();
        assert!(matches!(status.code(), Some(1 | 2)), "{args:?}: {status}");
    }
}
