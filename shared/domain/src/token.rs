//! Tokens: API keys, execution tokens, claim tokens and those of webhooks. Compared in constant time, never printed, and kept
//! hashed where nobody has to see them again.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::id::ExecutionId;

/// An API key: `ozk_`, 43 base64url digits of 256 random bits, 8 hex digits of a CRC-32 over them. The prefix and the
/// checksum let scanners find a leaked key without asking anyone.
#[derive(Clone)]
pub struct ApiKey(SecretString);

/// An execution token: `oze_`, made by the agent itself, so that a claim whose answer was lost can be repeated with the
/// same token and cannot be repeated with another.
#[derive(Clone)]
pub struct ExecutionToken(SecretString);

/// The token of a webhook that is not signed: `ozw_`. Its owner gives it to a sender, and has to see it again for that.
#[derive(Clone)]
pub struct WebhookToken(SecretString);

/// What is stored of a token.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    #[error("it does not have the form {0}…")]
    Form(&'static str),
    #[error("its checksum is wrong: part of it is missing or mistyped")]
    Checksum,
}

impl ApiKey {
    const PREFIX: &'static str = "ozk_";

    pub fn new(random: [u8; 32]) -> Self {
        Self(spell(Self::PREFIX, random))
    }

    /// What identifies the key without revealing it.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(self.0.expose_secret())
    }

    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl ExecutionToken {
    const PREFIX: &'static str = "oze_";

    pub fn new(random: [u8; 32]) -> Self {
        Self(spell(Self::PREFIX, random))
    }

    pub fn hash(&self) -> TokenHash {
        TokenHash::of(self.0.expose_secret())
    }

    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl WebhookToken {
    const PREFIX: &'static str = "ozw_";

    pub fn new(random: [u8; 32]) -> Self {
        Self(spell(Self::PREFIX, random))
    }

    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// The claim token of an execution: an HMAC of its id under the control plane's key. It is not stored anywhere, and an
/// ambiguous launch can be repeated with the very same one.
pub fn claim_token(key: &SecretString, execution: ExecutionId) -> SecretString {
    let mac = hmac(key, format!("ozma claim v1\n{execution}").as_bytes());
    SecretString::from(format!("ozc_{}", URL_SAFE_NO_PAD.encode(mac)))
}

/// HMAC-SHA-256 of `said` under one of the control plane's keys.
pub(crate) fn hmac(key: &SecretString, said: &[u8]) -> [u8; 32] {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()).expect("HMAC takes keys of any length");
    mac.update(said);
    mac.finalize().into_bytes().into()
}

/// Compares in a time that does not depend on where the texts differ.
pub fn same(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}

impl TokenHash {
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Whether this is the hash that was stored.
    pub fn is(&self, stored_hex: &str) -> bool {
        same(&self.to_hex(), stored_hex)
    }
}

fn spell(prefix: &str, random: [u8; 32]) -> SecretString {
    let body = URL_SAFE_NO_PAD.encode(random);
    SecretString::from(format!("{prefix}{body}{:08x}", crc32fast::hash(body.as_bytes())))
}

fn check(prefix: &'static str, text: &str) -> Result<SecretString, InvalidToken> {
    let body = text.strip_prefix(prefix).filter(|body| body.len() == 43 + 8).ok_or(InvalidToken::Form(prefix))?;
    let (body, checksum) = body.split_at_checked(43).ok_or(InvalidToken::Form(prefix))?;
    if format!("{:08x}", crc32fast::hash(body.as_bytes())) != checksum {
        return Err(InvalidToken::Checksum);
    }
    Ok(SecretString::from(text))
}

impl FromStr for ApiKey {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        check(Self::PREFIX, text).map(Self)
    }
}

impl FromStr for ExecutionToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        check(Self::PREFIX, text).map(Self)
    }
}

impl FromStr for WebhookToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        check(Self::PREFIX, text).map(Self)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(***)")
    }
}

impl fmt::Debug for ExecutionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExecutionToken(***)")
    }
}

impl fmt::Debug for WebhookToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookToken(***)")
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({}…)", hex::encode(&self.0[..4]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RunId;

    #[test]
    fn a_key_survives_its_text_and_a_slip_does_not() {
        let key = ApiKey::new([7; 32]);
        let parsed: ApiKey = key.expose().parse().unwrap();
        assert_eq!(parsed.hash(), key.hash());
        assert!(key.hash().is(&parsed.hash().to_hex()));
        let slip = key.expose().replacen("BwcH", "BwcI", 1);
        assert_eq!(slip.parse::<ApiKey>().unwrap_err(), InvalidToken::Checksum);
        assert!(matches!("wk-123".parse::<ApiKey>(), Err(InvalidToken::Form(_))));
        assert!(matches!(ExecutionToken::new([7; 32]).expose().parse::<ApiKey>(), Err(InvalidToken::Form(_))));
        assert!(matches!(format!("ozk_{}", "ä".repeat(26)).parse::<ApiKey>(), Err(InvalidToken::Form(_))));
    }

    #[test]
    fn nothing_prints_a_token() {
        assert_eq!(format!("{:?}", ApiKey::new([7; 32])), "ApiKey(***)");
        assert_eq!(format!("{:?}", ExecutionToken::new([7; 32])), "ExecutionToken(***)");
        assert_eq!(format!("{:?}", WebhookToken::new([7; 32])), "WebhookToken(***)");
    }

    #[test]
    fn claim_tokens_are_the_same_again_for_one_execution_alone() {
        let key = SecretString::from("key");
        let run = RunId::new(1, [1; 10]);
        let token = |number| claim_token(&key, ExecutionId::new(run, number)).expose_secret().to_owned();
        assert!(same(&token(1), &token(1)));
        assert!(!same(&token(1), &token(2)));
    }
}
