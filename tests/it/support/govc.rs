//! govmomi's command line client.

use std::process::Command;

use serde_json::Value;
use url::Url;

use super::vcsim::{PASSWORD, USER, peer};

/// govc with these arguments, and nothing of whoever runs the tests.
pub(crate) fn command(url: &Url, args: &[&str]) -> Command {
    let mut command = Command::new(peer("govc"));
    command
        .args(args)
        .env_clear()
        // It keeps sessions in its home, unless told not to.
        .env("HOME", "/nonexistent")
        .env("GOVC_URL", url.as_str())
        .env("GOVC_USERNAME", USER)
        .env("GOVC_PASSWORD", PASSWORD)
        .env("GOVC_INSECURE", "true")
        .env("GOVC_PERSIST_SESSION", "false");
    command
}

/// Runs govc and gives its standard output.
pub(crate) fn govc(url: &Url, args: &[&str]) -> String {
    let output = command(url, args).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "govc {args:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// The same, beside everything else, with JSON read; several values in a row become an array.
pub(crate) async fn govc_json(url: &Url, args: &[&str]) -> Value {
    let (url, args) = (url.clone(), args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>());
    let text = tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        govc(&url, &args)
    });
    let text = text.await.unwrap();
    let mut values: Vec<Value> =
        serde_json::Deserializer::from_str(&text).into_iter().collect::<Result<_, _>>().unwrap();
    if values.len() == 1 { values.remove(0) } else { Value::Array(values) }
}
