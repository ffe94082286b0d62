//! Any bytes, as a request with a webhook's scheme: nothing panics, and nothing is believed that was not signed.
//!
//! `cargo +nightly fuzz run signature` in `shared/domain`.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use ozma_domain::webhook_auth::{Attempt, Believed, DELIVERY, Header, WebhookAuth, WebhookSecret};

/// The headers that a request of any scheme has. One of these and any other are told apart by a byte.
const NAMES: [&str; 21] = [
    "authorization",
    "x-hub-signature-256",
    "x-github-delivery",
    "x-github-event",
    "stripe-signature",
    "sentry-hook-signature",
    "sentry-hook-resource",
    "sentry-hook-timestamp",
    "request-id",
    "x-pagerduty-signature",
    "x-webhook-id",
    "x-vercel-signature",
    "linear-signature",
    "linear-delivery",
    "x-slack-signature",
    "x-slack-request-timestamp",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "svix-signature",
    DELIVERY,
];

fn secret(auth: WebhookAuth) -> WebhookSecret {
    auth.new_secret([7; 32]).unwrap_or_else(|| auth.parse_secret("a secret of somebody").expect("a secret"))
}

/// `at` as a time, and `bytes` as headers and a body: a header is a byte for its name, one for how long it is, and its value.
fn is_believed(auth: WebhookAuth, at: Timestamp, bytes: &[u8]) -> bool {
    let (mut rest, mut headers) = (bytes, Vec::new());
    while let [name, length, tail @ ..] = rest
        && let Some(name) = NAMES.get(usize::from(*name))
    {
        let (value, tail) = tail.split_at(tail.len().min(usize::from(*length)));
        headers.push((*name, value));
        rest = tail;
    }
    let header = |name: &str| {
        let values = headers.iter().filter(|(found, _)| *found == name);
        Header::of(values.map(|(_, value)| *value).collect::<Vec<_>>())
    };
    let attempt = Attempt { header, path_token: std::str::from_utf8(rest).ok(), body: rest };
    let _ = attempt.dedupe_id("x-github-event".parse().ok().as_ref(), &Believed::default());
    let told = auth.verify(&attempt, &[secret(auth)], at);
    let to_nobody = auth.verify(&attempt, &[], at);
    assert!(to_nobody.is_err());
    assert!(told.is_ok() || told == to_nobody, "{told:?} {to_nobody:?}");
    told.is_ok()
}

/// The same with the headers of a sender, of which one bit at `place` is another.
fn is_believed_with_a_flipped_bit(auth: WebhookAuth, at: Timestamp, place: usize, body: &[u8]) -> bool {
    let Some(mut headers) = auth.headers(&secret(auth), "d-1", at, body) else { return false };
    headers.retain(|(name, _)| name.ends_with("signature") || name.ends_with("signature-256"));
    let Some((name, value)) = headers.first() else { return false };
    let mut value = value.clone().into_bytes();
    let bits = value.len() * 8;
    value[place % bits / 8] ^= 1 << (place % 8);
    let all = auth.headers(&secret(auth), "d-1", at, body).unwrap_or_default();
    let header = |asked: &str| {
        if asked == *name {
            return Header::of([value.as_slice()]);
        }
        Header::of(all.iter().filter(|(found, _)| *found == asked).map(|(_, v)| v.as_bytes()).collect::<Vec<_>>())
    };
    auth.verify(&Attempt { header, path_token: None, body }, &[secret(auth)], at).is_ok()
}

fuzz_target!(|bytes: &[u8]| {
    let [auth, a, b, c, d, place, rest @ ..] = bytes else { return };
    let auth = WebhookAuth::ALL[usize::from(*auth) % WebhookAuth::ALL.len()];
    let at = Timestamp::from_second(i64::from(u32::from_be_bytes([*a, *b, *c, *d]))).expect("a time");
    // Who has not the key cannot sign, a fuzzer neither: the tokens alone could be found, and they have 256 bits.
    assert!(!is_believed(auth, at, rest), "{auth:?}");
    assert!(!is_believed_with_a_flipped_bit(auth, at, usize::from(*place), rest), "{auth:?}");
});
