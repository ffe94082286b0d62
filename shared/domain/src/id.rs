//! Typed ids. One kind of id never parses as another, and the text form is the one users see everywhere.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use uuid::{Builder, Uuid};

/// A run's id: a UUIDv7, so that ids sort by the time the run was accepted. The API's `task_id` is the same value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(Uuid);

/// One execution of a run, `<run id>-<number>`: every write of an agent is fenced by it. Numbers count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutionId {
    pub run: RunId,
    pub number: u32,
}

/// A team: lower-case letters, digits and dashes, 1 to 32 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TeamId(String);

/// An environment's id: exactly 22 alphanumerics, as the API contract says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvironmentId(String);

/// An automation's id: in the form of an environment's. Part of its webhook's address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AutomationId(String);

/// A runner's id: in the form of an environment's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunnerId(String);

/// A named agent's id: in the form of an environment's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId(String);

/// A schedule's id: in the form of an environment's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScheduleId(String);

/// A webhook's id: `wh_` and 22 alphanumerics, so that its address is told from an automation's own. Whoever has it may try
/// to deliver something, hence the 128 random bits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WebhookId(String);

/// One event that came in, however often: a UUIDv7, so that ids sort by the time of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(Uuid);

/// A subscription's id: `sub_` and 22 alphanumerics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(String);

/// A notification's id: `msg_` and 22 alphanumerics, which sort by the time of the event. Receivers know it as `webhook-id`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NotificationId(String);

/// A secret's name, which is also the variable it arrives in: `[A-Za-z_][A-Za-z0-9_]*`, at most 128 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(String);

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not {expected}")]
pub struct InvalidId {
    pub text: String,
    pub expected: &'static str,
}

impl RunId {
    /// The id of a run accepted at `unix_ms`, made unique by 80 random bits.
    pub fn new(unix_ms: u64, random: [u8; 10]) -> Self {
        Self(Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid())
    }

    /// When the run was accepted, in milliseconds since 1970.
    pub fn unix_ms(self) -> u64 {
        unix_ms(self.0)
    }

    /// When the run was accepted.
    pub fn accepted_at(self) -> Timestamp {
        let ms = i64::try_from(self.unix_ms()).ok();
        ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default()
    }

    /// The id that joins everything done for this run in logs and traces: W3C's 32 hex digits.
    pub fn trace_id(self) -> String {
        self.0.simple().to_string()
    }

    /// The smallest id of that millisecond: a bound for range queries.
    pub fn first_at(unix_ms: u64) -> Self {
        Self::new(unix_ms, [0; 10])
    }
}

impl DeliveryId {
    /// The id of what came at `unix_ms`, made unique by 80 random bits.
    pub fn new(unix_ms: u64, random: [u8; 10]) -> Self {
        Self(Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid())
    }

    /// When it came first, in milliseconds since 1970.
    pub fn unix_ms(self) -> u64 {
        unix_ms(self.0)
    }

    /// The smallest id of that millisecond: a bound for range queries.
    pub fn first_at(unix_ms: u64) -> Self {
        Self::new(unix_ms, [0; 10])
    }
}

/// The first 48 bits of a UUIDv7.
fn unix_ms(id: Uuid) -> u64 {
    let [a, b, c, d, e, f, ..] = *id.as_bytes();
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

impl ExecutionId {
    pub fn new(run: RunId, number: u32) -> Self {
        Self { run, number }
    }
}

/// Ids of 22 letters and digits.
macro_rules! alphanumeric_ids {
    ($($id:ident, $expected:literal;)+) => {$(
        impl $id {
            pub fn new(random: [u8; 16]) -> Self {
                Self(alphanumeric(random))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $id {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $id {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                check(text, is_alphanumeric(text), $expected).map(Self)
            }
        }
    )+};
}

alphanumeric_ids! {
    RunnerId, "a runner id (22 letters and digits)";
    EnvironmentId, "an environment id (22 letters and digits)";
    AgentId, "an agent id (22 letters and digits)";
    AutomationId, "an automation id (22 letters and digits)";
    ScheduleId, "a schedule id (22 letters and digits)";
}

impl WebhookId {
    const PREFIX: &str = "wh_";

    pub fn new(random: [u8; 16]) -> Self {
        Self(format!("{}{}", Self::PREFIX, alphanumeric(random)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SubscriptionId {
    const PREFIX: &'static str = "sub_";

    pub fn new(random: [u8; 16]) -> Self {
        Self(format!("{}{}", Self::PREFIX, alphanumeric(random)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl NotificationId {
    const PREFIX: &'static str = "msg_";

    /// Of an event at `at`, told from others of that millisecond by `bits`.
    pub fn new(at: Timestamp, bits: [u8; 10]) -> Self {
        let mut value = [0; 16];
        // Times before 1970 are nobody's; 48 bits last for 8,900 years.
        value[..6].copy_from_slice(&at.as_millisecond().max(0).to_be_bytes()[2..]);
        value[6..].copy_from_slice(&bits);
        Self(format!("{}{}", Self::PREFIX, alphanumeric(value)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TeamId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SecretName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// 22 base-62 digits hold 131 bits: enough for any 128.
fn alphanumeric(random: [u8; 16]) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut value = u128::from_be_bytes(random);
    let mut text = [b'0'; 22];
    for digit in text.iter_mut().rev() {
        *digit = DIGITS[(value % 62) as usize];
        value /= 62;
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn is_alphanumeric(text: &str) -> bool {
    text.len() == 22 && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn check(text: &str, valid: bool, expected: &'static str) -> Result<String, InvalidId> {
    if valid { Ok(text.to_owned()) } else { Err(InvalidId { text: text.chars().take(80).collect(), expected }) }
}

impl FromStr for RunId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        const EXPECTED: &str = "a run id (a UUID such as 019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10)";
        uuid(text, EXPECTED).map(Self)
    }
}

/// One text per id: with dashes and nothing around it.
fn uuid(text: &str, expected: &'static str) -> Result<Uuid, InvalidId> {
    check(text, text.len() == 36, expected)?;
    Uuid::try_parse(text).map_err(|_| InvalidId { text: text.to_owned(), expected })
}

impl FromStr for ExecutionId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid =
            || InvalidId { text: text.chars().take(80).collect(), expected: "an execution id (<run id>-<n>)" };
        let (run, number) = text.rsplit_once('-').ok_or_else(invalid)?;
        // One text per id: no sign, no leading zero.
        let canonical = number.starts_with(|c: char| ('1'..='9').contains(&c));
        let number = number.parse().ok().filter(|_| canonical).ok_or_else(invalid)?;
        Ok(Self { run: run.parse().map_err(|_| invalid())?, number })
    }
}

impl FromStr for TeamId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let valid = (1..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        check(text, valid, "a team id (1 to 32 of a-z, 0-9 and -)").map(Self)
    }
}

impl FromStr for WebhookId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let valid = text.strip_prefix(Self::PREFIX).is_some_and(is_alphanumeric);
        check(text, valid, "a webhook id (wh_ and 22 letters and digits)").map(Self)
    }
}

impl FromStr for SubscriptionId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let valid = text.strip_prefix(Self::PREFIX).is_some_and(is_alphanumeric);
        check(text, valid, "a subscription id (sub_ and 22 letters and digits)").map(Self)
    }
}

impl FromStr for NotificationId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let valid = text.strip_prefix(Self::PREFIX).is_some_and(is_alphanumeric);
        check(text, valid, "a notification id (msg_ and 22 letters and digits)").map(Self)
    }
}

impl FromStr for DeliveryId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        const EXPECTED: &str = "a delivery id (a UUID such as 019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10)";
        uuid(text, EXPECTED).map(Self)
    }
}

impl FromStr for SecretName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let valid = (1..=128).contains(&text.len())
            && !text.starts_with(|c: char| c.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        check(text, valid, "a secret name (letters, digits and _, not starting with a digit, at most 128)").map(Self)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.run, self.number)
    }
}

/// Text on the wire and in rows: `Display` out, `FromStr` in.
macro_rules! as_text {
    ($($id:ident),+) => {$(
        impl serde::Serialize for $id {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $id {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}
pub(crate) use as_text;

macro_rules! display_inner {
    ($($id:ident),+) => {$(
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

as_text!(SubscriptionId, NotificationId, RunnerId, AgentId);
as_text!(RunId, ExecutionId, DeliveryId, TeamId, EnvironmentId, AutomationId, ScheduleId, WebhookId, SecretName);
display_inner!(TeamId, EnvironmentId, AutomationId, ScheduleId, WebhookId, SecretName);
display_inner!(SubscriptionId, NotificationId, RunnerId, AgentId);

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10";

    fn check<T: FromStr + fmt::Display>(text: &str, valid: bool) {
        match text.parse::<T>() {
            Ok(id) => assert_eq!((id.to_string().as_str(), valid), (text, true)),
            Err(_) => assert!(!valid, "{text} should parse"),
        }
    }

    #[test]
    fn ids_parse_as_their_own_kind_alone() {
        check::<RunId>(RUN, true);
        check::<RunId>("run-1", false);
        check::<RunId>(&RUN.replace('-', ""), false);
        check::<ExecutionId>(&format!("{RUN}-1"), true);
        check::<ExecutionId>(&format!("{RUN}-12"), true);
        check::<ExecutionId>(&format!("{RUN}-0"), false);
        check::<ExecutionId>(&format!("{RUN}-01"), false);
        check::<ExecutionId>(&format!("{RUN}-+1"), false);
        check::<ExecutionId>(RUN, false);
        check::<TeamId>("local", true);
        check::<TeamId>("a#b", false);
        check::<TeamId>("", false);
        check::<EnvironmentId>("0123456789abcdefABCDEF", true);
        check::<EnvironmentId>("empty-environment", false);
        check::<AutomationId>("0123456789abcdefABCDEF", true);
        check::<AutomationId>("0123456789abcdefABCDE-", false);
        check::<ScheduleId>("0123456789abcdefABCDEF", true);
        check::<ScheduleId>("nightly", false);
        check::<WebhookId>("wh_0123456789abcdefABCDEF", true);
        check::<WebhookId>("0123456789abcdefABCDEF", false);
        check::<WebhookId>("wh_0123456789abcdefABCDE", false);
        check::<DeliveryId>(RUN, true);
        check::<DeliveryId>(&RUN.replace('-', ""), false);
        check::<SubscriptionId>("sub_0123456789abcdefABCDEF", true);
        check::<SubscriptionId>("0123456789abcdefABCDEF", false);
        check::<SubscriptionId>("msg_0123456789abcdefABCDEF", false);
        check::<NotificationId>("msg_0123456789abcdefABCDEF", true);
        check::<NotificationId>("msg_0123456789abcdefABCDE", false);
        check::<SecretName>("NPM_TOKEN", true);
        check::<SecretName>("1PASSWORD", false);
        check::<SecretName>("A=B", false);
    }

    #[test]
    fn run_ids_sort_by_time_and_tell_it() {
        let (early, late) = (RunId::new(1_000, [255; 10]), RunId::new(1_001, [0; 10]));
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(late.unix_ms(), 1_001);
        assert!(RunId::first_at(1_001) <= late);
    }

    #[test]
    fn notification_ids_sort_by_time() {
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        let (early, late) = (
            NotificationId::new(at(1_763_700_000_000), [255; 10]),
            NotificationId::new(at(1_763_700_000_001), [0; 10]),
        );
        assert!(early < late && early.as_str() < late.as_str());
        for id in
            [early, late, NotificationId::new(Timestamp::MIN, [0; 10]), NotificationId::new(Timestamp::MAX, [255; 10])]
        {
            assert_eq!(id.as_str().parse::<NotificationId>().as_ref(), Ok(&id));
        }
    }

    #[test]
    fn environment_ids_have_22_characters_whatever_the_bits() {
        for random in [[0; 16], [255; 16], [7; 16]] {
            let id = EnvironmentId::new(random);
            assert_eq!(id.as_str().parse::<EnvironmentId>().as_ref(), Ok(&id));
        }
    }
}
