//! What holds for every request.

use proptest::prelude::*;

use super::*;

fn flip(bytes: &mut [u8], bit: usize) {
    let bit = bit % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
}

/// Headers beside the body that are not signed.
const UNSIGNED: [&str; 7] = [
    "x-github-delivery",
    "request-id",
    "sentry-hook-timestamp",
    "x-webhook-id",
    "linear-delivery",
    "x-atlassian-webhook-identifier",
    "idempotency-key",
];

fn an_auth() -> impl Strategy<Value = WebhookAuth> {
    prop::sample::select(WebhookAuth::ALL.to_vec())
}

/// What a header may have: anything, and what is nearly right.
fn a_value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        "\\PC{0,40}".prop_map(String::into_bytes),
        "(sha256=|sha1=|v0=|v1=|v1,|)[0-9a-f]{0,2}([0-9a-f]{38}|[0-9a-f]{62})".prop_map(String::into_bytes),
        "(v1,[A-Za-z0-9+/]{43}= ?){0,20}".prop_map(String::into_bytes),
        "t=[0-9]{0,20}(,v[01]=([0-9a-f]{64}|[0-9a-f]{0,4})){0,20}(,t=1)?".prop_map(String::into_bytes),
        "-?[0-9]{0,20}".prop_map(String::into_bytes),
        "(Bearer|bearer|Basic) ?(ozw_)?[A-Za-z0-9_-]{0,60}".prop_map(String::into_bytes),
        Just(b"1714478400".to_vec()),
    ]
}

fn a_header() -> impl Strategy<Value = (String, Vec<u8>)> {
    let mut names: Vec<String> = all().into_iter().flat_map(|sent| sent.headers).map(|(name, _)| name).collect();
    names.push(DELIVERY.to_owned());
    (prop::sample::select(names), a_value())
}

proptest! {
    #[test]
    fn any_flipped_bit_is_refused(
        auth in an_auth(), random in any::<[u8; 32]>(), at in 1_000_000_000..2_000_000_000_i64,
        extra in "[ -~&&[^\"\\\\]]{0,60}", part in 0..4, bit in 0..100_000_usize,
    ) {
        let secret = auth.new_secret(random).map_or_else(|| hex::encode(random), |secret| secret.expose().to_owned());
        let sent = Sent { auth, now: Timestamp::from_second(at).unwrap(), secret, ..url_token(&a_token(1)) };
        let body = format!("{{\"webhookTimestamp\":{},\"x\":\"{extra}\"}}", at * 1000);
        let mut sent = Sent { path_token: Some(sent.secret.clone()), ..sent }.signed(body.as_bytes());
        prop_assert!(sent.verify().is_ok());

        let tokens = is_token(auth);
        match part {
            // One of another secret.
            0 => {
                let mut other = random;
                flip(&mut other, bit);
                let other = auth.new_secret(other).map_or_else(|| hex::encode(other), |s| s.expose().to_owned());
                prop_assert!(sent.verify_with(&[&other]).is_err());
                return Ok(());
            }
            1 if !tokens => flip(&mut sent.body, bit),
            _ if auth == WebhookAuth::UrlToken => {
                let mut token = sent.path_token.take().unwrap().into_bytes();
                flip(&mut token, bit);
                let Ok(token) = String::from_utf8(token) else { return Ok(()) };
                sent.path_token = Some(token);
            }
            // In what is written in the headers: the signature, a time that is signed, an id that is.
            _ => {
                sent.headers.retain(|(name, _)| !UNSIGNED.contains(&name.as_str()));
                let count = sent.headers.len();
                let (_, value) = &mut sent.headers[bit % count];
                let from = if auth == WebhookAuth::Token { "Bearer ".len() } else { 0 };
                flip(&mut value[from..], bit / count);
            }
        }
        prop_assert!(sent.verify().is_err(), "{:?}", sent.headers);
    }

    #[test]
    fn no_request_panics_and_none_is_believed_by_chance(
        auth in an_auth(), headers in prop::collection::vec(a_header(), 0..8), body in prop::collection::vec(any::<u8>(), 0..60),
        path in prop::option::of("\\PC{0,60}"), now in -4_000_000_000..4_000_000_000_i64,
    ) {
        let now = Timestamp::from_second(now).unwrap();
        let secret = all().into_iter().find(|sent| sent.auth == auth).unwrap().secret;
        let sent = Sent { auth, secret, headers, path_token: path, body, now };
        let err = sent.verify().unwrap_err();
        prop_assert!(!err.to_string().contains(&sent.secret));
        // Who has no secret, and an address that nobody has, are told the same.
        prop_assert_eq!(sent.verify_with(&[]), Err(err));
        let _ = sent.attempt().dedupe_id(Some(&"linear-event".parse().unwrap()), &Believed::default());
    }

    #[test]
    fn what_is_signed_is_believed_whatever_it_is(auth in an_auth(), body in prop::collection::vec(any::<u8>(), 0..200)) {
        let sent = all().into_iter().find(|sent| sent.auth == auth).unwrap();
        let sent = sent.signed(&body);
        // Of Linear's, a body without its time is signed and refused all the same.
        let expected = if auth == (WebhookAuth::Signature { scheme: Scheme::Linear }) { "webhookTimestamp: not" } else { "ok" };
        check(&sent, |_| (), expected);
    }
}
