//! Secrets in rows: encrypted under a key of the control plane, so that whoever reads the table reads no secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};

use crate::token::hmac;

/// A secret under XChaCha20-Poly1305: base64 of the nonce and what it was made to. It is bound to where it belongs, so that
/// somebody who may write rows cannot put one in the place of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed(String);

const NONCE: usize = 24;

impl Sealed {
    /// `random` must be new each time.
    pub fn new(key: &SecretString, place: &str, random: [u8; 32], secret: &str) -> Self {
        let nonce = &random[..NONCE];
        let payload = Payload { msg: secret.as_bytes(), aad: place.as_bytes() };
        let hidden = cipher(key).encrypt(XNonce::from_slice(nonce), payload);
        // It fails for messages of 256 GB alone.
        Self(STANDARD.encode([nonce, &hidden.unwrap_or_default()].concat()))
    }

    /// None where it was sealed under another key, for another place, or was changed.
    pub fn open(&self, key: &SecretString, place: &str) -> Option<SecretString> {
        let bytes = STANDARD.decode(&self.0).ok()?;
        let (nonce, msg) = bytes.split_at_checked(NONCE)?;
        let payload = Payload { msg, aad: place.as_bytes() };
        let secret = Zeroizing::new(cipher(key).decrypt(XNonce::from_slice(nonce), payload).ok()?);
        std::str::from_utf8(&secret).ok().map(SecretString::from)
    }
}

/// Under a key of its own: the one it is derived from signs as well.
fn cipher(key: &SecretString) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&hmac(key, b"ozma sealed v1").into())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_secret_opens_where_it_belongs_and_nowhere_else() {
        let (key, other) = (SecretString::from("key"), SecretString::from("other"));
        let sealed = Sealed::new(&key, "wh_1", [7; 32], "hush");
        let opened = |sealed: &Sealed, key, place| sealed.open(key, place).map(|s| s.expose_secret().to_owned());
        assert_eq!(opened(&sealed, &key, "wh_1").as_deref(), Some("hush"));
        assert_eq!(opened(&sealed, &key, "wh_2"), None);
        assert_eq!(opened(&sealed, &other, "wh_1"), None);
        assert!(!format!("{sealed:?}").contains("hush"));
        let mut bytes = STANDARD.decode(&sealed.0).unwrap();
        for at in [0, NONCE, bytes.len() - 1] {
            bytes[at] ^= 1;
            assert_eq!(opened(&Sealed(STANDARD.encode(&bytes)), &key, "wh_1"), None);
            bytes[at] ^= 1;
        }
        for broken in ["", "!", "AAAA"] {
            assert_eq!(opened(&Sealed(broken.to_owned()), &key, "wh_1"), None);
        }
        assert_ne!(Sealed::new(&key, "wh_1", [8; 32], "hush"), sealed);
    }
}
