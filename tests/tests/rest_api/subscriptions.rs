//! Subscriptions over REST: whole or not at all, a secret that is told once, and the log of what was sent.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::api::{Api, time};

const PATH: &str = "/api/v1/subscriptions";

fn config(name: &str) -> Value {
    json!({"name": name, "url": "https://example.com/hooks"})
}

#[tokio::test]
async fn a_subscription_lives_by_id_and_by_name() {
    let api = Api::new("free").await;
    let given = json!({"name": "ci / prod", "url": "https://example.com/hooks", "events": ["run.failed", "run.started"],
        "from_the_future": 1});
    let created = api.check("POST", PATH, given.to_string(), r#"201 {"id":"sub_"#).await.json();
    let id = created["id"].as_str().unwrap();
    assert_eq!(id.len(), 26);
    assert_eq!((&created["url"], &created["paused"]), (&given["url"], &json!(false)));
    assert_eq!(created["events"], json!(["run.started", "run.failed"]));
    assert_eq!(time(&created["created_at"]), api.world.now());
    assert!(created["secret"].as_str().unwrap().starts_with("whsec_"));

    // Told once.
    let mut known = created.clone();
    known.as_object_mut().unwrap().remove("secret");
    for path in [format!("{PATH}/{id}"), format!("{PATH}/ci%20%2F%20prod")] {
        assert_eq!(api.get(&path).await, known);
    }
    assert_eq!(api.get(PATH).await, json!({"subscriptions": [known]}));

    // Sent back as answered, it is the same; what a PUT does not name is gone.
    api.world.clock.forward(SignedDuration::from_secs(1));
    let path = format!("{PATH}/{id}");
    let again = api.check("PUT", &path, known.to_string(), "200 ").await.json();
    assert_eq!((&again["events"], again.get("secret")), (&known["events"], None));
    assert!(time(&again["last_updated"]) > time(&known["last_updated"]));
    let paused = json!({"name": "ci", "url": "https://example.org", "paused": true});
    let paused = api.check("PUT", &path, paused.to_string(), "200 ").await.json();
    assert_eq!((&paused["id"], &paused["events"], &paused["paused"]), (&created["id"], &json!([]), &json!(true)));
    api.check("GET", &format!("{PATH}/ci%20%2F%20prod"), "", "404 ").await;

    api.check("DELETE", &format!("{PATH}/ci"), "", r#"200 {"success":true}"#).await;
    for method in ["GET", "DELETE"] {
        let told = "404 resource_not_found: there is no subscription";
        api.check(method, &format!("{PATH}/ci"), "", &format!("{told} ci")).await;
        api.check(method, &path, "", told).await;
    }
}

#[tokio::test]
async fn a_rotated_secret_is_told_once_and_is_another() {
    let api = Api::new("free").await;
    let created = api.call("POST", PATH, config("ci").to_string()).await.json();
    api.world.clock.forward(SignedDuration::from_secs(1));
    let rotated = api.check("POST", &format!("{PATH}/ci/rotate-secret"), "", "200 ").await.json();
    assert_ne!(rotated["secret"], created["secret"]);
    assert_eq!(time(&rotated["secret_rotated_at"]), api.world.now());
    let known = api.get(&format!("{PATH}/ci")).await;
    assert_eq!((known.get("secret"), &known["secret_rotated_at"]), (None, &rotated["secret_rotated_at"]));
    api.check("POST", &format!("{PATH}/nobody/rotate-secret"), "", "404 resource_not_found: there is no").await;
}

#[tokio::test]
async fn what_a_subscription_cannot_be_is_named() {
    let api = Api::new("free").await;
    api.check("POST", PATH, config("other").to_string(), "201 ").await;
    let check = async |change: Value, expected: &str| {
        let mut body = config("x");
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let expected = format!("400 invalid_request: {expected}");
        api.check("POST", PATH, body.to_string(), &expected).await;
        api.check("PUT", &format!("{PATH}/other"), body.to_string(), &expected).await;
    };
    check(json!({"name": null}), "name: a subscription needs a name").await;
    check(json!({"name": " x"}), "name: at most 100").await;
    check(json!({"name": 1}), "name: invalid type").await;
    check(json!({"url": null}), "url: needed").await;
    check(json!({"url": "example.com"}), "url: not an address such as").await;
    check(json!({"url": "https://u:p@example.com"}), "url: without a user").await;
    check(json!({"url": "http://example.com"}), "url: has to begin with https://").await;
    check(json!({"url": "https://169.254.169.254/"}), "url: 169.254.169.254 is a link-local address").await;
    check(json!({"url": "https://[::ffff:10.0.0.1]/"}), "url: ::ffff:10.0.0.1 is an address of a private").await;
    check(json!({"events": ["run.ended"]}), "events: \"run.ended\" is none of run.queued").await;
    check(json!({"events": ["ping"]}), "events: a ping is asked for").await;
    check(json!({"events": "run.failed"}), "events: invalid type").await;
    check(json!({"paused": "no"}), "paused: invalid type").await;

    // A name may be another's: then only its id says which.
    api.check("POST", PATH, config("other").to_string(), "201 ").await;
    api.check("GET", &format!("{PATH}/other"), "", "409 conflict: more than one subscription is named").await;
    for _ in 2..50 {
        api.check("POST", PATH, config("x").to_string(), "201 ").await;
    }
    api.check("POST", PATH, config("x").to_string(), "400 invalid_request: the team has 50 subscriptions").await;
}

#[tokio::test]
async fn what_was_sent_is_listed_newest_first_and_sent_again() {
    let api = Api::new("free").await;
    api.check("POST", PATH, json!({"name": "ci", "url": "https://127.0.0.1:1/"}).to_string(), "201 ").await;
    let deliveries = format!("{PATH}/ci/deliveries");
    assert_eq!(api.get(&deliveries).await, json!({"deliveries": []}));
    let mut sent = Vec::new();
    for _ in 0..3 {
        api.world.clock.forward(SignedDuration::from_secs(1));
        let ping = api.check("POST", &format!("{PATH}/ci/test"), "", r#"202 {"id":"msg_"#).await.json();
        assert_eq!(
            (&ping["event"], &ping["state"], &ping["attempts"]),
            (&json!("ping"), &json!("pending"), &json!([]))
        );
        sent.insert(0, ping["id"].clone());
    }
    api.world.pump().await;
    let ids = |page: &Value| -> Vec<Value> {
        page["deliveries"].as_array().unwrap().iter().map(|delivery| delivery["id"].clone()).collect()
    };
    let all = api.get(&deliveries).await;
    assert_eq!((ids(&all), all.get("next_before")), (sent.clone(), None));
    let newest = &all["deliveries"][0];
    assert_eq!((&newest["state"], &newest["reason"]), (&json!("dead"), &json!("the last attempt failed")));
    assert_eq!(newest["attempts"][0]["number"], 1);
    assert!(newest["attempts"][0]["error"].as_str().unwrap().starts_with("could not send"), "{newest}");

    let page = api.get(&format!("{deliveries}?limit=2")).await;
    assert_eq!(ids(&page), sent[..2]);
    let next = page["next_before"].as_str().unwrap();
    assert_eq!(ids(&api.get(&format!("{deliveries}?limit=2&before={next}")).await), sent[2..]);
    api.check("GET", &format!("{deliveries}?limit=0"), "", "400 invalid_request: limit: from 1 to 100").await;
    api.check("GET", &format!("{deliveries}?before=x"), "", "400 invalid_request: before: \"x\" is not").await;

    let first = sent[2].as_str().unwrap();
    let again = api.check("POST", &format!("{deliveries}/{first}/replay"), "", "202 ").await.json();
    assert_eq!((&again["id"], &again["state"]), (&sent[2], &json!("pending")));
    api.world.pump().await;
    let all = api.get(&deliveries).await;
    assert_eq!(all["deliveries"][2]["attempts"].as_array().unwrap().len(), 2);
    for unknown in ["x", "msg_0123456789abcdefABCDEF"] {
        let told = format!("404 resource_not_found: there is no delivery {unknown}");
        api.check("POST", &format!("{deliveries}/{unknown}/replay"), "", &told).await;
    }
}

#[tokio::test]
async fn another_teams_subscription_is_not_there() {
    let api = Api::new("free").await;
    let created = api.call("POST", PATH, config("ci").to_string()).await.json();
    let id = created["id"].as_str().unwrap();
    let ping = api.call("POST", &format!("{PATH}/ci/test"), "").await.json();
    let ping = ping["id"].as_str().unwrap();
    let api = api.of_another_team().await;
    assert_eq!(api.get(PATH).await, json!({"subscriptions": []}));
    for name in [id, "ci"] {
        let path = format!("{PATH}/{name}");
        api.check("GET", &path, "", "404 ").await;
        api.check("PUT", &path, config("mine").to_string(), "404 ").await;
        api.check("POST", &format!("{path}/rotate-secret"), "", "404 ").await;
        api.check("POST", &format!("{path}/test"), "", "404 ").await;
        api.check("GET", &format!("{path}/deliveries"), "", "404 ").await;
        api.check("POST", &format!("{path}/deliveries/{ping}/replay"), "", "404 ").await;
        api.check("DELETE", &path, "", "404 ").await;
    }
    // A team of which nothing is known yet may subscribe as well.
    api.check("POST", PATH, config("ci").to_string(), "201 ").await;
}
