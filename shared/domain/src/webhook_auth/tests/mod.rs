//! What is believed and what is not, over all schemes.

mod laws;

use jiff::SignedDuration;

use super::*;

/// A request with a right signature, and when it came.
#[derive(Clone)]
struct Sent {
    auth: WebhookAuth,
    secret: String,
    headers: Vec<(String, Vec<u8>)>,
    path_token: Option<String>,
    body: Vec<u8>,
    now: Timestamp,
}

impl Sent {
    fn new(auth: &str, secret: &str, headers: &[(&str, &str)], body: &str, now: i64) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        let (secret, body) = (secret.to_owned(), body.as_bytes().to_vec());
        let auth = match auth {
            "token" => WebhookAuth::Token,
            "url_token" => WebhookAuth::UrlToken,
            scheme => WebhookAuth::Signature { scheme: scheme.parse().unwrap() },
        };
        Self { auth, secret, headers, path_token: None, body, now: Timestamp::from_second(now).unwrap() }
    }

    fn attempt<'a>(&'a self) -> Attempt<'a, impl Fn(&str) -> Header<'a>> {
        let header = |name: &str| {
            let values = self.headers.iter().filter(|(found, _)| found == name);
            Header::of(values.map(|(_, value)| value.as_slice()).collect::<Vec<_>>())
        };
        Attempt { header, path_token: self.path_token.as_deref(), body: &self.body }
    }

    fn verify(&self) -> Result<Believed, Unverified> {
        self.verify_with(&[&self.secret])
    }

    fn verify_with(&self, secrets: &[&str]) -> Result<Believed, Unverified> {
        let secrets: Vec<_> = secrets.iter().map(|text| self.auth.parse_secret(text).unwrap()).collect();
        self.auth.verify(&self.attempt(), &secrets, self.now)
    }

    fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.headers.retain(|(found, _)| found != name);
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
    }

    /// Signs the body anew, at the time at which it comes.
    fn signed(mut self, body: &[u8]) -> Self {
        let secret = self.auth.parse_secret(&self.secret).unwrap();
        self.body = body.to_vec();
        for (name, value) in self.auth.headers(&secret, "d-1", self.now, body).unwrap() {
            self.set(name, value);
        }
        self
    }
}

const KEY: &str = "a secret of somebody";

fn github() -> Sent {
    // The example of "Validating webhook deliveries".
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let headers = [("x-hub-signature-256", signature), ("x-github-delivery", "72d3162e"), ("x-github-event", "push")];
    Sent::new("github", "It's a Secret to Everybody", &headers, "Hello, World!", 0)
}

fn slack() -> Sent {
    // The example of "Verifying requests from Slack".
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
        &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
        &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
        &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    let headers = [("x-slack-signature", signature), ("x-slack-request-timestamp", "1531420618")];
    Sent::new("slack", "8f742231b10e8888abcd99yyyzzz85a5", &headers, body, 1_531_420_618)
}

fn standard(prefix: &str) -> Sent {
    // The example of the specification.
    let headers = [
        ("id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("timestamp", "1614265330"),
        ("signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ];
    let headers = headers.map(|(name, value)| (format!("{prefix}-{name}"), value));
    let headers = headers.each_ref().map(|(name, value)| (name.as_str(), *value));
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    Sent::new("standard_webhooks", secret, &headers, r#"{"test": 2432232314}"#, 1_614_265_330)
}

fn stripe() -> Sent {
    // The header as documented, with the `v0` of a test; its signature, and those below, are from Python's hmac.
    let signature = "t=1492774577,v1=f19530ccf43426f9ac9f0c67b58c01db5b0601ddd196761e84ec202547d88209,\
        v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39";
    let headers = [("stripe-signature", signature)];
    Sent::new("stripe", "whsec_a_secret_of_somebody", &headers, r#"{"id": "evt_1"}"#, 1_492_774_577)
}

fn sentry() -> Sent {
    let headers = [
        ("sentry-hook-signature", "ade08f551e84c3ef0f7ff8351269d5c94283f1528fe54c496dbc855eef3bfbf1"),
        ("sentry-hook-resource", "issue"),
        ("sentry-hook-timestamp", "1714478400"),
        ("request-id", "f2b0a1"),
    ];
    Sent::new("sentry", KEY, &headers, r#"{"action":"created"}"#, 0)
}

fn pagerduty() -> Sent {
    let signature = "v1=f03de6f61df6e454f3620c4d6aca17ad072d3f8bbb2760eac3b2ad391b5e8073,\
        v1=37956e7a296190e1ada14c231103d2d6b00fbdc64a4778d531a2bfc000011a6d";
    let headers = [("x-pagerduty-signature", signature), ("x-webhook-id", "4c6b")];
    Sent::new("pagerduty", KEY, &headers, r#"{"event":{"id":"01"}}"#, 0)
}

fn vercel() -> Sent {
    let headers = [("x-vercel-signature", "093d30eea304096e823739b29c26fb20cc7ffc7f")];
    Sent::new("vercel", KEY, &headers, r#"{"id":"uev_1"}"#, 0)
}

fn linear() -> Sent {
    let headers = [
        ("linear-signature", "0b4350f919f924221eef00c5caa79fecbee3754278e1dc048ca4492997750cf8"),
        ("linear-delivery", "234d1a4e"),
        ("linear-event", "Issue"),
    ];
    Sent::new("linear", KEY, &headers, r#"{"webhookTimestamp":1714478400000}"#, 1_714_478_400)
}

fn jira() -> Sent {
    // The example of "Secure admin webhooks".
    let signature = "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9";
    let headers = [("x-hub-signature", signature), ("x-atlassian-webhook-identifier", "jira-7")];
    Sent::new("jira", "It's a Secret to Everybody", &headers, "Hello World!", 0)
}

fn gitlab() -> Sent {
    let headers = [("x-gitlab-token", KEY), ("x-gitlab-event", "Push Hook"), ("idempotency-key", "f5e5f430")];
    Sent::new("gitlab", KEY, &headers, "{}", 0)
}

/// Whether what is sent is the secret itself, so that a changed body is not noticed.
fn is_token(auth: WebhookAuth) -> bool {
    matches!(auth, WebhookAuth::Token | WebhookAuth::UrlToken | WebhookAuth::Signature { scheme: Scheme::Gitlab })
}

fn token(text: &str) -> Sent {
    Sent::new("token", text, &[("authorization", &format!("Bearer {text}"))], "{}", 0)
}

fn url_token(text: &str) -> Sent {
    Sent { path_token: Some(text.to_owned()), ..Sent::new("url_token", text, &[], "{}", 0) }
}

fn a_token(random: u8) -> String {
    WebhookAuth::Token.new_secret([random; 32]).unwrap().expose().to_owned()
}

/// Those that are signed.
fn signed() -> Vec<Sent> {
    let standard = [standard("webhook"), standard("svix")];
    [github(), stripe(), sentry(), pagerduty(), vercel(), linear(), slack(), jira()]
        .into_iter()
        .chain(standard)
        .collect()
}

fn all() -> Vec<Sent> {
    signed().into_iter().chain([token(&a_token(1)), url_token(&a_token(1)), gitlab()]).collect()
}

/// How a request that was changed is answered: by the first words.
#[track_caller]
fn check(sent: &Sent, change: impl FnOnce(&mut Sent), expected: &str) {
    let mut sent = sent.clone();
    change(&mut sent);
    let told = sent.verify().map_or_else(|err| err.to_string(), |_| "ok".to_owned());
    assert!(told.starts_with(expected), "{:?}: {told}", sent.auth);
}

#[test]
fn what_each_service_sends_is_believed() {
    let at = |seconds| Some(Timestamp::from_second(seconds).unwrap());
    let check = |sent: Sent, delivery_id: Option<&str>, sent_at, event: Option<&str>| {
        let (delivery_id, event) = (delivery_id.map(str::to_owned), event.map(str::to_owned));
        assert_eq!(sent.verify(), Ok(Believed { delivery_id, sent_at, event }), "{:?}", sent.auth);
    };
    check(github(), Some("72d3162e"), None, Some("push"));
    check(stripe(), None, at(1_492_774_577), None);
    check(sentry(), Some("f2b0a1"), at(1_714_478_400), Some("issue"));
    check(pagerduty(), Some("4c6b"), None, None);
    check(vercel(), None, None, None);
    check(linear(), Some("234d1a4e"), at(1_714_478_400), Some("Issue"));
    check(slack(), None, at(1_531_420_618), None);
    check(standard("webhook"), Some("msg_p5jXN8AQM9LWM0D4loKWxJek"), at(1_614_265_330), None);
    check(standard("svix"), Some("msg_p5jXN8AQM9LWM0D4loKWxJek"), at(1_614_265_330), None);
    check(jira(), Some("jira-7"), None, None);
    check(gitlab(), Some("f5e5f430"), None, Some("Push Hook"));
    check(token(&a_token(1)), None, None, None);
    check(url_token(&a_token(1)), None, None, None);
}

/// The header of the signature, and the one that is right in it without version or prefix.
fn signature(sent: &Sent) -> (String, String) {
    let (name, value) =
        sent.headers.iter().find(|(name, _)| name.ends_with("signature") || name == "x-hub-signature-256").unwrap();
    let value = std::str::from_utf8(value).unwrap();
    let right = match sent.auth {
        WebhookAuth::Signature { scheme: Scheme::Stripe } => value.split(',').nth(1).unwrap(),
        WebhookAuth::Signature { scheme: Scheme::Pagerduty } => value.split(',').nth(1).unwrap(),
        _ => value,
    };
    let bare = ["sha256=", "v0=", "v1=", "v1,"].iter().find_map(|prefix| right.strip_prefix(prefix)).unwrap_or(right);
    (name.clone(), bare.to_owned())
}

#[test]
fn a_signature_has_one_form() {
    for sent in signed() {
        let (header, right) = signature(&sent);
        let wrong = format!("{}: no signature in it is right", header.replace("svix-", "webhook-"));
        let respelled = |respell: &dyn Fn(&str) -> String| {
            let respell = respell(&right);
            check(
                &sent,
                |sent| {
                    let value = sent.headers.iter().find(|(name, _)| *name == header).unwrap().1.clone();
                    sent.set(&header, String::from_utf8(value).unwrap().replace(&right, &respell));
                },
                &wrong,
            );
        };
        respelled(&|_| String::new());
        respelled(&|text| text[1..].to_owned());
        respelled(&|text| text[..text.len() - 2].to_owned());
        respelled(&|text| text[..text.len() - 1].to_owned());
        respelled(&|text| format!("{text}00"));
        respelled(&|text| format!("{text}="));
        respelled(&|text| format!(" {text}"));
        respelled(&|text| format!("{text}\t"));
        respelled(&|text| format!("{text}\n"));
        respelled(&|text| format!("0x{text}"));
        respelled(&|text| format!("\"{text}\""));
        respelled(&|text| format!("sha256={text}"));
        respelled(&|text| "0".repeat(text.len()));
        respelled(&|text| text.chars().rev().collect());
        respelled(&|text| text.to_uppercase());
        respelled(&|text| hex::encode(text));
        respelled(&|text| format!("\u{ff10}{}", &text[1..]));
    }
}

#[test]
fn a_signature_of_another_version_is_none() {
    let versioned = |sent: Sent, from: &str, to: &str, expected: &str| {
        let (header, _) = signature(&sent);
        let value =
            String::from_utf8(sent.headers.iter().find(|(name, _)| *name == header).unwrap().1.clone()).unwrap();
        check(&sent, |sent| sent.set(&header, value.replace(from, to)), expected);
    };
    let wrong = "x-hub-signature-256: no signature";
    versioned(github(), "sha256=", "sha1=", wrong);
    versioned(github(), "sha256=", "SHA256=", wrong);
    versioned(github(), "sha256=", "", wrong);
    versioned(stripe(), "v1=", "v0=", "stripe-signature: no signature");
    versioned(stripe(), "v1=", "", "stripe-signature: no signature");
    versioned(pagerduty(), "v1=", "v2=", "x-pagerduty-signature: no signature");
    versioned(slack(), "v0=", "v1=", "x-slack-signature: no signature");
    versioned(standard("webhook"), "v1,", "v1a,", "webhook-signature: no signature");
    // The old one of GitHub, right as it is.
    let old = "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59";
    check(&github(), |sent| sent.set("x-hub-signature", old), "ok");
    let only_old = |sent: &mut Sent| sent.headers = vec![("x-hub-signature".to_owned(), old.into())];
    check(&github(), only_old, "x-hub-signature-256: missing; give the webhook");
    check(&github(), |sent| sent.set("x-hub-signature-256", old), wrong);
    // What is right for SHA-1 is for Vercel alone.
    check(&vercel(), |sent| sent.set("x-vercel-signature", "0".repeat(64)), "x-vercel-signature: no signature");
}

#[test]
fn headers_that_are_missing_or_could_be_read_in_two_ways_are_named() {
    for sent in all() {
        for (name, value) in &sent.headers {
            let known = name.replace("svix-", "webhook-");
            let optional = [
                "x-github",
                "request-id",
                "sentry-hook-r",
                "sentry-hook-t",
                "x-webhook-id",
                "linear-d",
                "linear-e",
                "x-atlassian",
                "x-gitlab-e",
                "idempotency",
            ];
            let optional = optional.iter().any(|prefix| name.starts_with(prefix));
            let missing = if optional { "ok".to_owned() } else { format!("{known}: missing; ") };
            check(&sent, |sent| sent.headers.retain(|(found, _)| found != name), &missing);
            let twice = |sent: &mut Sent| sent.headers.push((name.clone(), value.clone()));
            check(&sent, twice, &format!("{name}: comes more than once"));
            check(&sent, |sent| sent.set(name, b"\xff"), &format!("{name}: not of the form text"));
        }
    }
    let id = "not of the form 1 to 255 visible ASCII characters";
    check(&github(), |sent| sent.set("x-github-delivery", ""), &format!("x-github-delivery: {id}"));
    check(&github(), |sent| sent.set("x-github-delivery", "a b"), &format!("x-github-delivery: {id}"));
    check(&github(), |sent| sent.set("x-github-event", "ü"), &format!("x-github-event: {id}"));
    check(&linear(), |sent| sent.set("linear-delivery", "a".repeat(256)), &format!("linear-delivery: {id}"));
    check(&linear(), |sent| sent.set("linear-delivery", "a".repeat(255)), "ok");
    check(&standard("webhook"), |sent| sent.set("webhook-id", "a.b"), &format!("webhook-id: {id} without"));
    for time in ["", "-1", "+1", "01", " 1", "1.5", "1e3", "now", "9999999999999", "99999999999999999999"] {
        check(&sentry(), |sent| sent.set("sentry-hook-timestamp", time), "sentry-hook-timestamp: not");
        check(&slack(), |sent| sent.set("x-slack-request-timestamp", time), "x-slack-request-timestamp: not");
        check(&standard("webhook"), |sent| sent.set("webhook-timestamp", time), "webhook-timestamp: not");
        check(&stripe(), |sent| sent.set("stripe-signature", format!("t={time},v1=0")), "stripe-signature: not");
    }
    let twice = "t=1492774577,t=1492774577,v1=f19530ccf43426f9ac9f0c67b58c01db5b0601ddd196761e84ec202547d88209";
    check(&stripe(), |sent| sent.set("stripe-signature", twice), "stripe-signature: not");
    check(&stripe(), |sent| sent.set("stripe-signature", &twice[26..]), "stripe-signature: not");
}

#[test]
fn of_many_signatures_the_first_sixteen_count() {
    let many = |version: &str, others: usize, right: &str| {
        let others = format!("{version}{},", "0".repeat(64)).repeat(others);
        format!("{others}{}v9=x,{version}{right}", "v9=x,".repeat(20))
    };
    for (sent, before) in [(stripe(), "t=1492774577,"), (pagerduty(), "")] {
        let (header, right) = signature(&sent);
        check(&sent, |sent| sent.set(&header, format!("{before}{}", many("v1=", 15, &right))), "ok");
        check(&sent, |sent| sent.set(&header, format!("{before}{}", many("v1=", 16, &right))), &header);
    }
}

#[test]
fn a_token_is_taken_where_it_belongs_and_as_it_is() {
    let text = a_token(1);
    let wrong = "authorization: its token is not the one";
    let set = |value: String| move |sent: &mut Sent| sent.set("authorization", value);
    check(&token(&text), set(format!("bearer {text}")), "ok");
    for value in ["", "Bearer", "Bearer ", &text, "Bearer ozw_ of nobody", &format!("Bearer {}", a_token(2))] {
        check(&token(&text), set(value.to_owned()), wrong);
    }
    check(&token(&text), set(format!("Bearer  {text}")), wrong);
    check(&token(&text), set(format!("Bearer {text} ")), wrong);
    check(&token(&text), set(format!("Basic {text}")), wrong);
    check(&token(&text), set(format!("Bearer {}", text.to_lowercase())), wrong);
    let wrong = "the address: its token is not the one";
    let path = |token: Option<&str>| {
        let token = token.map(str::to_owned);
        move |sent: &mut Sent| sent.path_token = token
    };
    for given in [None, Some(""), Some(&text[1..]), Some(&text[..54]), Some(&a_token(2)), Some("ozw_ of nobody")] {
        check(&url_token(&text), path(given), wrong);
    }
    let in_header = |sent: &mut Sent| (sent.path_token, sent.headers) = (None, token(&sent.secret).headers);
    check(&url_token(&text), in_header, wrong);
}

#[test]
fn an_attempt_is_believed_for_as_long_as_its_sender_may_make_it() {
    let after = |sent: Sent, seconds: i64, expected: &str| {
        check(&sent, |sent| sent.now += SignedDuration::from_secs(seconds), expected);
    };
    for sent in [stripe(), slack(), standard("webhook")] {
        for within in [-300, 300] {
            after(sent.clone(), within, "ok");
        }
    }
    after(stripe(), 301, "stripe-signature: more than 5 minutes ago, or more than 5 ahead");
    after(slack(), -301, "x-slack-request-timestamp: more than 5 minutes ago");
    after(standard("svix"), 301, "webhook-timestamp: more than 5 minutes ago");
    // What Linear repeats is as it was: after a minute, an hour and six.
    for within in [-300, 61, 60 + 3600, 60 + 7 * 3600, 8 * 3600] {
        after(linear(), within, "ok");
    }
    after(linear(), 8 * 3600 + 1, "webhookTimestamp: more than 480 minutes ago, or more than 5 ahead");
    after(linear(), -301, "webhookTimestamp: more than 480 minutes ago");
    for untimed in [github(), sentry(), pagerduty(), vercel(), token(&a_token(1))] {
        after(untimed, 1_000_000_000, "ok");
    }
    // Whether it is too old is told to anybody; of Linear's, whose time is in the body, to nobody without the secret.
    let spoil = |sent: &mut Sent| {
        sent.now += SignedDuration::from_hours(9);
        sent.body.push(b' ');
    };
    check(&slack(), spoil, "x-slack-request-timestamp: more than");
    check(&linear(), spoil, "linear-signature: no signature");
}

#[test]
fn linears_time_is_in_the_body_once_and_is_a_number() {
    let check = |body: &str, expected: &str| check(&linear().signed(body.as_bytes()), |_| (), expected);
    let no = "webhookTimestamp: not of the form milliseconds";
    check(r#"{"data":{"webhookTimestamp":1},"webhookTimestamp":1714478400000,"x":[{}]}"#, "ok");
    for body in ["", "{}", "null", "[]", "{\"webhookTimestamp\":1714478400000", "\u{feff}{}"] {
        check(body, no);
    }
    for time in ["null", "\"1714478400000\"", "1714478400000.5", "1e999", "9223372036854775807", "99999999999999999999"]
    {
        check(&format!("{{\"webhookTimestamp\":{time}}}"), no);
    }
    check(r#"{"webhookTimestamp":1714478400000,"webhookTimestamp":1714478400000}"#, no);
    check(r#"{"webhookTimestamp":0}"#, "webhookTimestamp: more than");
    let deep = |n| format!("{{\"webhookTimestamp\":1714478400000,\"x\":{}{}}}", "[".repeat(n), "]".repeat(n));
    check(&deep(100), "ok");
    check(&deep(100_000).replace("]}", "}"), no);
}

#[test]
fn during_a_rotation_both_secrets_work_and_no_third() {
    for sent in all() {
        let other = sent.auth.new_secret([9; 32]);
        let other = other.map_or_else(|| "another secret".to_owned(), |secret| secret.expose().to_owned());
        let right = sent.secret.as_str();
        assert!(sent.verify_with(&[right, &other]).is_ok(), "{:?}", sent.auth);
        assert!(sent.verify_with(&[&other, right]).is_ok(), "{:?}", sent.auth);
        assert!(sent.verify_with(&[&other, &other, right]).is_ok(), "{:?}", sent.auth);
        let wrong = sent.verify_with(&[&other]).unwrap_err();
        assert!(matches!(wrong, Unverified::Signature { .. } | Unverified::Token { .. }), "{wrong}");
        assert_eq!(sent.verify_with(&[]), Err(wrong));
        assert_eq!(sent.verify_with(&[&other, &other]), Err(wrong));
    }
}

#[test]
fn nothing_is_right_under_the_key_that_makes_up_for_a_missing_one() {
    for sent in signed() {
        if sent.auth.parse_secret(KEY).is_ok() {
            let forged = Sent { secret: "of nobody".to_owned(), ..sent.clone() }.signed(&sent.body);
            assert!(forged.verify().is_ok(), "{:?}", sent.auth);
            assert!(forged.verify_with(&[]).is_err() && forged.verify_with(&[KEY]).is_err(), "{:?}", sent.auth);
        }
    }
}

#[test]
fn a_secret_of_another_form_is_none() {
    for sent in signed() {
        for secret in all().into_iter().map(|other| other.auth.parse_secret(&other.secret).unwrap()) {
            if secret.expose() != sent.secret {
                assert!(sent.auth.verify(&sent.attempt(), &[secret], sent.now).is_err(), "{:?}", sent.auth);
            }
        }
    }
    // Stripe's secret looks like one of Standard Webhooks, and is a text.
    let text = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let sent = Sent { secret: text.to_owned(), ..stripe() }.signed(b"{}");
    assert!(sent.verify().is_ok());
    let decoded = WebhookAuth::Signature { scheme: Scheme::StandardWebhooks }.parse_secret(text).unwrap();
    assert!(sent.auth.verify(&sent.attempt(), &[decoded], sent.now).is_err());
}

#[test]
fn a_row_outlasts_what_may_still_come() {
    for auth in WebhookAuth::ALL {
        let horizon = auth.horizon();
        let kept = horizon.kept_seconds();
        assert!(kept > horizon.retried_seconds, "{auth:?}");
        assert!(horizon.accepted_seconds.is_none_or(|accepted| kept > accepted + 300), "{auth:?}");
        assert!(kept <= crate::limits::IDEMPOTENCY_SECONDS, "{auth:?}: as long as any key is kept");
    }
}

#[test]
fn what_a_user_sets_survives_its_text() {
    let spelled = |auth: &WebhookAuth| serde_json::to_string(auth).unwrap();
    for auth in WebhookAuth::ALL {
        assert_eq!(serde_json::from_str::<WebhookAuth>(&spelled(&auth)).unwrap(), auth);
        if let WebhookAuth::Signature { scheme } = auth {
            assert_eq!(spelled(&auth), format!(r#"{{"mode":"signature","scheme":"{scheme}"}}"#));
            assert_eq!(scheme.to_string().parse(), Ok(scheme));
        }
    }
    assert_eq!(spelled(&WebhookAuth::UrlToken), r#"{"mode":"url_token"}"#);
    for wrong in [r#"{"mode":"signature"}"#, r#"{"mode":"signature","scheme":"sha1"}"#, r#"{"mode":"none"}"#, "{}"] {
        assert!(serde_json::from_str::<WebhookAuth>(wrong).is_err(), "{wrong}");
    }
    assert!("GitHub".parse::<Scheme>().unwrap_err().to_string().starts_with("\"GitHub\" is not github, stripe"));
}
