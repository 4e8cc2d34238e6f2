//! Secrets: given as they are, or as a reference to an environment variable or
//! a file, which is read again each time since secrets rotate.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use super::problem::Complaint;

/// A secret file larger than this is taken for a mistake.
const LARGEST: u64 = 64 * 1024;

/// A secret, or where to find it. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Place);

#[derive(Clone, PartialEq, Eq)]
enum Place {
    Literal(String),
    Env(String),
    File(PathBuf),
}

/// A secret that was read. Never shown; [`SecretValue::expose`] is the only way to it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(String);

/// Why a secret cannot be read. Names where it should be, never the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SecretError(String);

impl Secret {
    /// A secret as it is.
    #[must_use]
    pub fn literal(text: impl Into<String>) -> Self {
        Self(Place::Literal(text.into()))
    }

    /// What the configuration says: `${env:NAME}`, `${file:PATH}`, or the secret itself.
    ///
    /// # Errors
    ///
    /// A reference of another kind, since a misspelt one must not pass for a password.
    pub fn parse(text: &str) -> Result<Self, Complaint> {
        let reference = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        let Some((kind, name)) = reference.and_then(|reference| reference.split_once(':')) else {
            return Ok(Self::literal(text));
        };
        match kind {
            _ if name.is_empty() => {
                Err(Complaint::new("is a reference to nothing", "write ${env:NAME} or ${file:PATH}"))
            }
            "env" if name.contains(['=', '\0']) => {
                Err(Complaint::new("is a reference to a name that no variable can have", "write ${env:NAME}"))
            }
            "env" => Ok(Self(Place::Env(name.to_owned()))),
            "file" => Ok(Self(Place::File(PathBuf::from(name)))),
            _ if kind.bytes().all(|b| b.is_ascii_alphabetic()) => Err(Complaint::new(
                "is a reference of an unknown kind",
                "write ${env:NAME} or ${file:PATH}; a secret that looks like a reference must come from one of them",
            )),
            _ => Ok(Self::literal(text)),
        }
    }

    /// The secret of this moment.
    ///
    /// # Errors
    ///
    /// The variable or file is not there, is empty, or is not UTF-8.
    pub fn read(&self) -> Result<SecretValue, SecretError> {
        let (text, place) = match &self.0 {
            Place::Literal(text) => (text.clone(), "the secret".to_owned()),
            Place::Env(name) => match std::env::var(name) {
                Ok(text) => (text, format!("the environment variable {name}")),
                Err(std::env::VarError::NotPresent) => {
                    return Err(SecretError(format!("the environment variable {name} is not set")));
                }
                Err(std::env::VarError::NotUnicode(_)) => {
                    return Err(SecretError(format!("the environment variable {name} is not UTF-8")));
                }
            },
            Place::File(path) => {
                let shown = path.display();
                let mut bytes = Vec::new();
                let mut read = || File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes);
                read().map_err(|error| SecretError(format!("the file {shown} cannot be read ({error})")))?;
                if bytes.len() as u64 > LARGEST {
                    return Err(SecretError(format!("the file {shown} is larger than 64 KiB")));
                }
                // The error would hold the bytes.
                let Ok(mut text) = String::from_utf8(bytes) else {
                    return Err(SecretError(format!("the file {shown} is not UTF-8")));
                };
                if text.ends_with('\n') {
                    text.pop();
                    if text.ends_with('\r') {
                        text.pop();
                    }
                }
                (text, format!("the file {shown}"))
            }
        };
        if text.is_empty() {
            return Err(SecretError(format!("{place} is empty")));
        }
        Ok(SecretValue(text))
    }
}

impl SecretValue {
    /// The secret itself, for the one place that sends or compares it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(text: &str) -> Result<String, String> {
        let secret = Secret::parse(text).map_err(|complaint| complaint.what)?;
        secret.read().map(|value| value.expose().to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_literal_is_itself() {
        for text in ["hunter2", "${", "${}", "$${env:HOME}", "${env:HOME}x", "${env}", "p@ss${x:y", "${a b:c}", " x "] {
            assert_eq!(reading(text).as_deref(), Ok(text));
        }
        assert_eq!(reading(""), Err("the secret is empty".to_owned()));
    }

    #[test]
    fn references_are_read_again_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let shown = path.display();
        let secret = Secret::parse(&format!("${{file:{shown}}}")).unwrap();
        assert!(secret.read().unwrap_err().to_string().starts_with(&format!("the file {shown} cannot be read (")));
        for (bytes, value) in
            [(&b"one\n"[..], "one"), (b"two\r\n", "two"), (b"three", "three"), (b" four \n\n", " four \n")]
        {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(secret.read().unwrap().expose(), value);
        }
        for (bytes, error) in
            [(vec![b'\n'], "is empty"), (vec![0xff], "is not UTF-8"), (vec![b'x'; 65 * 1024], "is larger than 64 KiB")]
        {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(secret.read().unwrap_err().to_string(), format!("the file {shown} {error}"));
        }
        assert_eq!(reading("${env:CARGO_PKG_NAME}").as_deref(), Ok("vmware-event-router"));
        assert_eq!(
            reading("${env:NO_SUCH_VARIABLE}"),
            Err("the environment variable NO_SUCH_VARIABLE is not set".to_owned())
        );
    }

    #[test]
    fn a_misspelt_reference_is_no_password() {
        assert_eq!(reading("${ENV:X}"), Err("is a reference of an unknown kind".to_owned()));
        assert_eq!(reading("${vault:hunter2}"), Err("is a reference of an unknown kind".to_owned()));
        assert_eq!(reading("${env:}"), Err("is a reference to nothing".to_owned()));
        assert!(reading("${env:A=B}").is_err());
        assert!(reading("${file:\0}").is_err());
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::literal("hunter2");
        assert_eq!(format!("{secret:?} {:?}", secret.read().unwrap()), "[secret] [secret]");
    }
}
