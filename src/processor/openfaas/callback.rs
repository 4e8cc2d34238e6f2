//! Callbacks: the URL that the gateway's queue worker calls with a function's
//! own answer. It says which attempt it is about, and is signed, so that it
//! needs no other authentication and outlives a restart.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use url::Url;
use url::form_urlencoded;

use crate::attempt::{Position, Target};

/// Where callbacks arrive, unless `callback_url` names a path of its own.
pub const CALLBACK_PATH: &str = "/callback";

const PROCESSOR: &str = "processor";
const POSITION: &str = "position";
const TARGET: &str = "target";
const ATTEMPT: &str = "attempt";
const SIGNATURE: &str = "signature";

/// Which attempt a callback is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// The processor's name.
    pub processor: String,
    /// The event's place in the journal.
    pub position: Position,
    /// The function that was called.
    pub target: Target,
    /// The attempt that called it.
    pub attempt: u32,
}

/// Signs callbacks, and knows its own signature.
#[derive(Clone)]
pub struct CallbackSigner {
    key: hmac::Key,
}

impl CallbackSigner {
    /// With the journal's signing key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    /// `url` with a query that names the attempt and is signed.
    #[must_use]
    pub fn sign(&self, url: &Url, callback: &Callback) -> String {
        let mut url = url.clone();
        if url.path() == "/" {
            url.set_path(CALLBACK_PATH);
        }
        url.set_fragment(None);
        let signature = hmac::sign(&self.key, &message(callback));
        url.query_pairs_mut()
            .append_pair(PROCESSOR, &callback.processor)
            .append_pair(POSITION, &callback.position.to_string())
            .append_pair(TARGET, callback.target.as_str())
            .append_pair(ATTEMPT, &callback.attempt.to_string())
            .append_pair(SIGNATURE, &URL_SAFE_NO_PAD.encode(signature));
        url.into()
    }

    /// Which attempt a callback's query names; none if the signature is not ours.
    #[must_use]
    pub fn verify(&self, query: &str) -> Option<Callback> {
        let mut values: [Option<Cow<'_, str>>; 5] = Default::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let names = [PROCESSOR, POSITION, TARGET, ATTEMPT, SIGNATURE];
            if let Some(slot) = names.iter().position(|known| *known == name)
                && values[slot].replace(value).is_some()
            {
                return None;
            }
        }
        let [Some(processor), Some(position), Some(target), Some(attempt), Some(signature)] = values else {
            return None;
        };
        let callback = Callback {
            processor: processor.into_owned(),
            position: Position(position.parse().ok()?),
            target: Target::new(&target),
            attempt: attempt.parse().ok()?,
        };
        let signature = URL_SAFE_NO_PAD.decode(&*signature).ok()?;
        // Compares in constant time.
        hmac::verify(&self.key, &message(&callback), &signature).ok()?;
        Some(callback)
    }
}

/// What is signed. Lengths stand before what varies in length, so that no two callbacks have the same message.
fn message(callback: &Callback) -> Vec<u8> {
    let mut message = b"openfaas callback 1".to_vec();
    for text in [callback.processor.as_str(), callback.target.as_str()] {
        message.extend_from_slice(&(text.len() as u64).to_be_bytes());
        message.extend_from_slice(text.as_bytes());
    }
    message.extend_from_slice(&callback.position.0.to_be_bytes());
    message.extend_from_slice(&callback.attempt.to_be_bytes());
    message
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn query(signed: &str) -> String {
        url(signed).query().unwrap().to_owned()
    }

    fn callback() -> Callback {
        Callback { processor: "faas".to_owned(), position: Position(4711), target: Target::new("echo.ops"), attempt: 3 }
    }

    #[test]
    fn the_url_keeps_its_path_and_query() {
        let signer = CallbackSigner::new(&[7; 32]);
        for (given, begins) in [
            ("http://router:8080", "http://router:8080/callback?processor=faas&position=4711&target=echo.ops"),
            ("http://router:8080/", "http://router:8080/callback?processor=faas&"),
            ("https://edge/vmware/cb?a=b#c", "https://edge/vmware/cb?a=b&processor=faas&"),
        ] {
            let signed = signer.sign(&url(given), &callback());
            assert!(signed.starts_with(begins), "{signed}");
            assert_eq!(signer.verify(&query(&signed)), Some(callback()));
        }
    }

    #[test]
    fn what_was_tampered_with_is_refused() {
        let signer = CallbackSigner::new(&[7; 32]);
        let good = query(&signer.sign(&url("http://router:8080"), &callback()));
        for (from, to) in [
            ("processor=faas", "processor=fans"),
            ("position=4711", "position=4712"),
            ("target=echo.ops", "target=echo"),
            ("attempt=3", "attempt=4"),
            ("attempt=3", "attempt=-3"),
            ("attempt=3", ""),
            ("signature=", "signature=A"),
            ("signature=", "other="),
            ("position=4711", "position=4711&position=4711"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert_eq!(signer.verify(&bad), None, "{bad}");
        }
        assert_eq!(signer.verify(""), None);
        assert_eq!(CallbackSigner::new(&[8; 32]).verify(&good), None, "another router's key");
    }

    proptest! {
        #[test]
        fn any_callback_survives_its_url(
            processor in ".*", position: u64, target in ".*", attempt: u32, key: [u8; 32],
        ) {
            let signer = CallbackSigner::new(&key);
            let callback = Callback { processor, position: Position(position), target: Target::new(&target), attempt };
            let signed = signer.sign(&url("http://router:8080/x"), &callback);
            prop_assert_eq!(signer.verify(&query(&signed)), Some(callback));
        }

        #[test]
        fn any_other_byte_is_refused(at in 0_usize..200, byte in 0x20_u8..0x7f) {
            let signer = CallbackSigner::new(&[7; 32]);
            let good = query(&signer.sign(&url("http://router:8080/x"), &callback()));
            let mut bad = good.clone().into_bytes();
            let at = at % bad.len();
            bad[at] = byte;
            let bad = String::from_utf8(bad).unwrap();
            // The last character of a signature holds four bits that mean nothing, which the decoder insists be zero.
            prop_assert_eq!(signer.verify(&bad).is_some(), bad == good, "{}", bad);
        }

        #[test]
        fn any_query_is_taken_without_panic(query in ".*") {
            prop_assert_eq!(CallbackSigner::new(&[7; 32]).verify(&query), None);
        }
    }
}
