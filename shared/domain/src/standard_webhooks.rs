//! Signed webhooks, by the Standard Webhooks scheme: an HMAC-SHA256 over id, timestamp and body, under a secret that only
//! sender and receiver have. Verified over the bytes as they came, before anybody looks into them.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::id::{AutomationId, SubscriptionId};
use crate::limits;
use crate::token::hmac;

/// The three headers. A sender that is built with Svix says `svix-` where others say `webhook-`.
pub const ID: &str = "webhook-id";
pub const TIMESTAMP: &str = "webhook-timestamp";
pub const SIGNATURE: &str = "webhook-signature";
const SVIX: [(&str, &str); 3] = [(ID, "svix-id"), (TIMESTAMP, "svix-timestamp"), (SIGNATURE, "svix-signature")];

/// What is under the signature beside the body, and the signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The same for each attempt to deliver the same thing.
    pub id: String,
    /// When this attempt was made, in seconds since 1970.
    pub(crate) timestamp: i64,
    signatures: String,
}

/// `whsec_` and base64 of the key.
#[derive(Clone)]
pub struct SigningSecret {
    spelled: SecretString,
    key: SecretSlice<u8>,
}

/// What is wrong with the headers, whoever sent them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEnvelope {
    #[error("{0}: missing; a webhook here is signed by the Standard Webhooks scheme")]
    Missing(&'static str),
    #[error(
        "{ID}: 1 to {max} visible ASCII characters without a full stop, by which it is told from the timestamp",
        max = limits::DELIVERY_ID_BYTES
    )]
    Id,
    #[error("{TIMESTAMP}: not a number of whole seconds since 1970")]
    Timestamp,
}

/// Why a delivery is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    #[error(
        "{TIMESTAMP}: more than {minutes} minutes from now; check the sender's clock, and sign each attempt anew",
        minutes = limits::WEBHOOK_TOLERANCE_SECONDS / 60
    )]
    Time,
    #[error("{SIGNATURE}: none of them is right")]
    Signature,
}

/// A text that is not a secret. It does not repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it does not have the form whsec_ and base64 of 24 to 64 bytes")]
pub struct InvalidSecret;

impl Envelope {
    /// Reads the headers, one of which is asked for by its lower-case name.
    pub fn read<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Result<Self, InvalidEnvelope> {
        let value = |(name, svix): (&'static str, &str)| {
            header(name).or_else(|| header(svix)).ok_or(InvalidEnvelope::Missing(name))
        };
        let [id, timestamp, signatures] = [value(SVIX[0])?, value(SVIX[1])?, value(SVIX[2])?];
        // With a full stop, the same signed text could be read as another id, time and body.
        let visible = id.bytes().all(|b| b.is_ascii_graphic() && b != b'.');
        if !visible || !(1..=limits::DELIVERY_ID_BYTES).contains(&id.len()) {
            return Err(InvalidEnvelope::Id);
        }
        let timestamp = whole_seconds(timestamp).ok_or(InvalidEnvelope::Timestamp)?;
        Ok(Self { id: id.to_owned(), timestamp, signatures: signatures.to_owned() })
    }

    /// Whether this attempt was made about now. It does not depend on whom it is for.
    pub fn check_time(&self, now: Timestamp) -> Result<(), Unverified> {
        let away = now.as_second().abs_diff(self.timestamp);
        if away > limits::WEBHOOK_TOLERANCE_SECONDS.unsigned_abs() { Err(Unverified::Time) } else { Ok(()) }
    }

    /// Whether one of the signatures is that of one of the secrets. Each is compared in constant time.
    pub fn verify(&self, body: &[u8], secrets: &[SigningSecret], now: Timestamp) -> Result<(), Unverified> {
        self.check_time(now)?;
        let given = self.given();
        let mut verified = subtle::Choice::from(0);
        for secret in secrets {
            let expected = secret.mac(&self.id, self.timestamp, body);
            for signature in &given {
                verified |= signature.as_slice().ct_eq(&expected);
            }
        }
        if verified.into() { Ok(()) } else { Err(Unverified::Signature) }
    }

    /// What is signed before the body.
    pub(crate) fn signed(&self) -> String {
        signed(&self.id, self.timestamp)
    }

    /// The signatures that could be right. Other versions are ones that we do not know, such as v1a.
    pub(crate) fn given(&self) -> Vec<Vec<u8>> {
        let given = self.signatures.split(' ').filter_map(|signature| signature.strip_prefix("v1,"));
        given.take(limits::WEBHOOK_SIGNATURES).filter_map(|text| STANDARD.decode(text).ok()).collect()
    }
}

/// Reads a time in seconds since 1970. What is signed is the text: one text per number.
pub(crate) fn whole_seconds(text: &str) -> Option<i64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| digits)
}

fn signed(id: &str, timestamp: i64) -> String {
    format!("{id}.{timestamp}.")
}

impl SigningSecret {
    const PREFIX: &'static str = "whsec_";

    /// The secret of an automation's webhook, under the control plane's key: it costs no row and no read, and cannot be
    /// lost apart from the key.
    pub fn derived(key: &SecretString, automation: &AutomationId, generation: u32) -> Self {
        Self::of(&hmac(key, format!("ozma webhook v1\n{automation}\n{generation}").as_bytes()))
    }

    /// The secret with which notifications to a subscription are signed, in the same way.
    pub fn of_subscription(key: &SecretString, subscription: &SubscriptionId, generation: u32) -> Self {
        Self::of(&hmac(key, format!("ozma subscription v1\n{subscription}\n{generation}").as_bytes()))
    }

    /// A secret of its own.
    pub fn new(random: [u8; 32]) -> Self {
        Self::of(&random)
    }

    fn of(key: &[u8]) -> Self {
        Self {
            spelled: SecretString::from(format!("{}{}", Self::PREFIX, STANDARD.encode(key))),
            key: SecretSlice::from(key.to_vec()),
        }
    }

    pub fn expose(&self) -> &str {
        self.spelled.expose_secret()
    }

    pub(crate) fn key(&self) -> &[u8] {
        self.key.expose_secret()
    }

    /// What a sender puts into the header of signatures.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        format!("v1,{}", STANDARD.encode(self.mac(id, timestamp, body)))
    }

    fn mac(&self, id: &str, timestamp: i64, body: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key()).expect("HMAC takes keys of any length");
        mac.update(signed(id, timestamp).as_bytes());
        mac.update(body);
        mac.finalize().into_bytes().into()
    }
}

impl FromStr for SigningSecret {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, InvalidSecret> {
        let key = text.strip_prefix(Self::PREFIX).and_then(|text| STANDARD.decode(text).ok()).ok_or(InvalidSecret)?;
        if (24..=64).contains(&key.len()) { Ok(Self::of(&key)) } else { Err(InvalidSecret) }
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(***)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The scheme's published example.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const DELIVERY: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn secret() -> SigningSecret {
        SECRET.parse().unwrap()
    }

    fn read(prefix: &str, id: &str, timestamp: &str, signatures: &str) -> Result<Envelope, InvalidEnvelope> {
        let all = [("id", id), ("timestamp", timestamp), ("signature", signatures)];
        let all = all.map(|(name, value)| (format!("{prefix}-{name}"), value));
        Envelope::read(|name| all.iter().find(|(found, value)| found == name && !value.is_empty()).map(|(_, v)| *v))
    }

    #[track_caller]
    fn check(signatures: &str, seconds_later: i64, expected: Result<(), Unverified>) {
        for prefix in ["webhook", "svix"] {
            let envelope = read(prefix, DELIVERY, &AT.to_string(), signatures).unwrap();
            let now = Timestamp::from_second(AT + seconds_later).unwrap();
            assert_eq!(envelope.verify(BODY, &[secret()], now), expected, "{prefix} {signatures} {seconds_later}");
        }
    }

    #[test]
    fn the_published_example_is_verified() {
        assert_eq!(secret().sign(DELIVERY, AT, BODY), SIGNED);
        check(SIGNED, 0, Ok(()));
        check(&format!("v1a,AAAA v1,AAAA {SIGNED} v2,x"), 0, Ok(()));
        check(&format!("{} {SIGNED}", "v1,AAAA ".repeat(15).trim_end()), 0, Ok(()));
        let no = Err(Unverified::Signature);
        check(&format!("{} {SIGNED}", "v1,AAAA ".repeat(16).trim_end()), 0, no);
        check(SIGNED.trim_start_matches("v1,"), 0, no);
        check(&SIGNED.replace("v1,", "v1a,"), 0, no);
        check("v1,", 0, no);
        check("v1", 0, no);
        check(&SIGNED[..SIGNED.len() - 8], 0, no);
    }

    #[test]
    fn an_attempt_is_believed_for_five_minutes_either_way() {
        check(SIGNED, 300, Ok(()));
        check(SIGNED, 301, Err(Unverified::Time));
        check(SIGNED, -300, Ok(()));
        check(SIGNED, -301, Err(Unverified::Time));
        check("v1,wrong", 301, Err(Unverified::Time));
    }

    #[test]
    fn headers_that_are_missing_or_could_be_read_in_two_ways_are_named() {
        let check = |id: &str, timestamp: &str, signatures: &str, expected: &str| {
            let told = read("webhook", id, timestamp, signatures).map_or_else(|err| err.to_string(), |_| String::new());
            assert!(told.starts_with(expected) && told.is_empty() == expected.is_empty(), "{told}");
        };
        check("a", "0", SIGNED, "");
        check("", "1", SIGNED, "webhook-id: missing");
        check("a", "", SIGNED, "webhook-timestamp: missing");
        check("a", "1", "", "webhook-signature: missing");
        check("a.1", "1", SIGNED, "webhook-id: 1 to 255");
        check("a b", "1", SIGNED, "webhook-id: 1 to 255");
        check(&"a".repeat(256), "1", SIGNED, "webhook-id: 1 to 255");
        for timestamp in ["-1", "+1", "01", "1.5", "1e3", "now", "99999999999999999999", " 1"] {
            check("a", timestamp, SIGNED, "webhook-timestamp: not");
        }
    }

    #[test]
    fn a_secret_has_one_form_and_is_not_printed() {
        assert_eq!(secret().expose(), SECRET);
        for wrong in ["", "whsec_", "whsec_AAAA", &SECRET[6..], "whsec_!!!!", &format!("whsec_{}", "A".repeat(88))] {
            assert!(wrong.parse::<SigningSecret>().is_err(), "{wrong}");
        }
        assert_eq!(format!("{:?}", secret()), "SigningSecret(***)");
    }

    #[test]
    fn each_automation_and_generation_has_a_secret_of_its_own() {
        let (key, other) = (SecretString::from("key"), SecretString::from("other"));
        let (a, b) = (AutomationId::new([1; 16]), AutomationId::new([2; 16]));
        let spelled = |key, id, generation| SigningSecret::derived(key, id, generation).expose().to_owned();
        let first = spelled(&key, &a, 1);
        assert_eq!(first, spelled(&key, &a, 1));
        assert_eq!(first.parse::<SigningSecret>().unwrap().expose(), first);
        for differs in [spelled(&key, &a, 2), spelled(&key, &b, 1), spelled(&other, &a, 1)] {
            assert_ne!(differs, first);
        }
    }

    fn flip(bytes: &mut [u8], bit: usize) {
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_refused(
            id in "[!-~&&[^.]]{1,40}", at in 0..4_000_000_000_i64, body in prop::collection::vec(any::<u8>(), 1..200),
            part in 0..4, bit in 0..10_000_usize,
        ) {
            let signed = secret().sign(&id, at, &body);
            let now = Timestamp::from_second(at).unwrap();
            let envelope = read("webhook", &id, &at.to_string(), &signed).unwrap();
            prop_assert_eq!(envelope.verify(&body, &[secret()], now), Ok(()));

            let (mut envelope, mut body, mut key) = (envelope, body, STANDARD.decode(&SECRET[6..]).unwrap());
            match part {
                0 => flip(&mut body, bit),
                1 => flip(&mut key, bit),
                2 => envelope.timestamp ^= 1 << (bit % 8),
                _ => {
                    let mut mac = STANDARD.decode(&signed[3..]).unwrap();
                    flip(&mut mac, bit);
                    envelope.signatures = format!("v1,{}", STANDARD.encode(mac));
                }
            }
            let now = Timestamp::from_second(envelope.timestamp).unwrap();
            prop_assert_eq!(envelope.verify(&body, &[SigningSecret::of(&key)], now), Err(Unverified::Signature));
        }

        #[test]
        fn what_is_signed_has_one_reading(
            ids in ("[!-~]{1,12}", "[!-~]{1,12}"), times in (0..20_i64, 0..20_i64),
            bodies in ("[0-9.]{0,8}", "[0-9.]{0,8}"),
        ) {
            let is_read = |id: &str| read("webhook", id, "1", SIGNED).is_ok();
            prop_assume!(is_read(&ids.0) && is_read(&ids.1));
            let same = (&ids.0, times.0, &bodies.0) == (&ids.1, times.1, &bodies.1);
            let signed = |id: &str, at, body: &str| secret().sign(id, at, body.as_bytes());
            prop_assert_eq!(signed(&ids.0, times.0, &bodies.0) == signed(&ids.1, times.1, &bodies.1), same);
        }
    }
}
