//! Configuration documents.

use std::fmt;

/// A secret.
#[derive(Clone)]
pub struct Secret(String);

/// A secret that was read.
pub struct SecretValue(String);

/// Why a secret cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SecretError(String);

impl Secret {
    /// A secret as it is.
    #[must_use]
    pub fn literal(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret of this moment.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self) -> Result<SecretValue, SecretError> {
        if self.0.is_empty() {
            return Err(SecretError("the secret is empty".to_owned()));
        }
        Ok(SecretValue(self.0.clone()))
    }
}

impl SecretValue {
    /// The secret itself.
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
