//! Masking: declared secret values never leave, whatever chunks they arrive in.

use std::fmt::Write as _;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};

use crate::limits;

/// What stands where a secret stood.
pub const MASK: &str = "***";

/// Finds the values of a run's secrets, as they are, in base64 and as part of an address, and each long line of a secret
/// of many lines.
#[derive(Clone, Debug)]
pub struct Masker {
    values: Option<AhoCorasick>,
    /// For the end of a chunk: a secret may have begun there.
    patterns: Vec<Vec<u8>>,
}

/// Masks a stream whose chunks may cut a secret in two. What could be the beginning of one is held back. The masker comes
/// with each chunk, as there may be more to mask by then.
#[derive(Debug, Default)]
pub struct MaskedStream {
    held: Vec<u8>,
}

impl Masker {
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a SecretString>) -> Self {
        Self { values: None, patterns: Vec::new() }.with(secrets)
    }

    /// Masks these too.
    #[must_use]
    pub fn with<'a>(&self, secrets: impl IntoIterator<Item = &'a SecretString>) -> Self {
        let mut patterns = self.patterns.clone();
        for secret in secrets {
            let value = secret.expose_secret();
            let trimmed = value.trim();
            let mut forms = vec![value.to_owned(), trimmed.to_owned()];
            forms.extend(trimmed.lines().map(str::trim).filter(|line| line.len() >= 8).map(str::to_owned));
            forms.push(STANDARD_NO_PAD.encode(value));
            forms.push(URL_SAFE_NO_PAD.encode(value));
            forms.push(percent_encoded(trimmed));
            // How the value looks inside a JSON string, which is how many tools print it.
            forms
                .push(serde_json::to_string(trimmed).map(|json| json.trim_matches('"').to_owned()).unwrap_or_default());
            patterns.extend(
                forms.into_iter().filter(|form| form.len() >= limits::MASKED_SECRET_BYTES).map(String::into_bytes),
            );
        }
        patterns.sort_unstable();
        patterns.dedup();
        let values = if patterns.is_empty() {
            None
        } else {
            // Fails only past 2^31 patterns' worth of states, which the limits on secrets exclude.
            AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&patterns).ok()
        };
        Self { values, patterns }
    }

    pub fn mask(&self, text: &str) -> String {
        match &self.values {
            Some(values) => values.replace_all(text, &vec![MASK; self.patterns.len()]),
            None => text.to_owned(),
        }
    }

    pub fn mask_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        match &self.values {
            Some(values) => values.replace_all_bytes(bytes, &vec![MASK.as_bytes(); self.patterns.len()]),
            None => bytes.to_vec(),
        }
    }

    /// Whether there is a secret in what cannot be masked without being spoilt.
    pub fn finds(&self, bytes: &[u8]) -> bool {
        self.values.as_ref().is_some_and(|values| values.is_match(bytes))
    }

    /// Masks every string of a JSON value, keys included.
    pub fn mask_json(&self, value: &mut serde_json::Value) {
        use serde_json::Value;
        if self.values.is_none() {
            return;
        }
        match value {
            Value::String(text) => *text = self.mask(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask_json(item)),
            Value::Object(map) => {
                for (key, mut item) in std::mem::take(map) {
                    self.mask_json(&mut item);
                    map.insert(self.mask(&key), item);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

impl MaskedStream {
    /// Takes the next chunk; returns what is safe to let go.
    pub fn push(&mut self, masker: &Masker, chunk: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(chunk);
        let open = self.open_from(masker);
        let rest = self.held.split_off(open);
        let out = masker.mask_bytes(&self.held);
        self.held = rest;
        out
    }

    /// The stream has ended: nothing can complete a secret any more.
    pub fn finish(&mut self, masker: &Masker) -> Vec<u8> {
        let out = masker.mask_bytes(&self.held);
        self.held.clear();
        out
    }

    /// Where the undecided end begins: the earliest place from which all that is left begins some pattern, be it that
    /// the pattern is not complete or that a longer one may follow.
    fn open_from(&self, masker: &Masker) -> usize {
        let longest = masker.patterns.iter().map(Vec::len).max().unwrap_or(0);
        let earliest = self.held.len().saturating_sub(longest);
        let open = (earliest..self.held.len())
            .find(|&at| {
                let tail = &self.held[at..];
                masker.patterns.iter().any(|pattern| pattern.len() > tail.len() && pattern.starts_with(tail))
            })
            .unwrap_or(self.held.len());
        // A match that reaches over the cut must stay whole.
        match &masker.values {
            Some(values) => values
                .find_iter(&self.held)
                .find(|found| found.start() < open && found.end() > open)
                .map_or(open, |found| found.start()),
            None => open,
        }
    }
}

/// As a parameter of an address: all but letters, digits and `-._~` as `%XX`.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masker(secrets: &[&str]) -> Masker {
        let secrets: Vec<SecretString> = secrets.iter().map(|s| SecretString::from(*s)).collect();
        Masker::new(&secrets)
    }

    #[track_caller]
    fn check(secrets: &[&str], text: &str, expected: &str) {
        assert_eq!(masker(secrets).mask(text), expected);
    }

    #[test]
    fn values_are_masked_in_the_forms_they_are_printed() {
        check(&["hunter22"], "pw=hunter22;", "pw=***;");
        check(&["hunter22", "hunter22-long"], "hunter22-long", "***");
        check(&["hunter22\n"], "x hunter22 y", "x *** y");
        check(&["hunter22"], "aHVudGVyMjI=", "***=");
        check(&["-----KEY-----\nabcdefgh12\n-----END-----"], "abcdefgh12", "***");
        check(&["say \"hi\" now"], r#"{"k":"say \"hi\" now"}"#, r#"{"k":"***"}"#);
        check(&["p/w+d=22"], "?token=p%2Fw%2Bd%3D22&x", "?token=***&x");
        check(&["abc"], "abc is too short to hide", "abc is too short to hide");
        check(&[], "nothing", "nothing");
    }

    #[test]
    fn json_is_masked_in_keys_and_values() {
        let mut value = serde_json::json!({"hunter22": ["a hunter22", 1, null]});
        masker(&["hunter22"]).mask_json(&mut value);
        assert_eq!(value, serde_json::json!({"***": ["a ***", 1, null]}));
    }

    #[test]
    fn what_becomes_a_secret_is_masked_from_then_on() {
        let (before, mut stream) = (masker(&["hunter22"]), MaskedStream::default());
        assert_eq!(stream.push(&before, b"a hunt"), b"a ");
        let after = before.with(&[SecretString::from("forest33")]);
        let mut out = stream.push(&after, b"er22 for");
        out.extend(stream.push(&after, b"est33 b"));
        out.extend(stream.finish(&after));
        assert_eq!(out, b"*** *** b");
    }

    proptest! {
        /// However the text is cut, the stream gives what masking the whole would, and never a piece of a secret early.
        #[test]
        fn cuts_do_not_matter(text in "[abx]{0,60}", cuts in prop::collection::vec(0usize..60, 0..12)) {
            let masker = masker(&["abab", "babba", "aabbaabb"]);
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|c| *c <= text.len()).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut stream = MaskedStream::default();
            let mut out = Vec::new();
            for pair in cuts.windows(2) {
                out.extend(stream.push(&masker, &text.as_bytes()[pair[0]..pair[1]]));
            }
            out.extend(stream.finish(&masker));
            prop_assert_eq!(String::from_utf8(out).unwrap(), masker.mask(&text));
        }
    }
}
