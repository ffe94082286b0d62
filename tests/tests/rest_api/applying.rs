//! Definitions whose apply is cut short, or meets another: all of it or nothing, and never twice.

use ozma_tests::world::Fault;
use serde_json::{Value, json};

use crate::api::Api;
use crate::definitions::whole;

const APPLY: &str = "/api/v1/apply";

/// Another state: one of each kind changed, deleted or new.
fn other() -> Vec<Value> {
    let [mut automation, mut environment, webhook, _, mut subscription, mut agent, mut runner] =
        whole().try_into().unwrap();
    automation["on"] = json!({"provider": "github"});
    automation["paused"] = true.into();
    environment["docker_image"] = "debian:13".into();
    subscription["name"] = "releases".into();
    let schedule = json!({"kind": "schedule", "name": "hourly", "cron_schedule": "@hourly", "prompt": "true",
        "agent_config": {"harness": {"type": "shell"}}});
    agent["name"] = "fixer".into();
    automation["run"]["agent_identity_uid"] = "fixer".into();
    runner["memory_gb"] = 4.into();
    vec![automation, environment, webhook, schedule, subscription, agent, runner]
}

fn order(definitions: &[Value]) -> String {
    json!({"definitions": definitions, "prune": true}).to_string()
}

/// What there is, by kind and name, and how often; and what the rows beside say of it.
async fn state(api: &Api) -> (Vec<Value>, usize, bool) {
    let all = api.get("/api/v1/definitions").await["definitions"].as_array().unwrap().clone();
    let listeners = api.world.app.store.listeners(&api.world.team).await.unwrap();
    let team = api.world.app.store.team(&api.world.team).await.unwrap().unwrap();
    (all, listeners.len(), team.subscribed.is_some())
}

async fn of(definitions: &[&[Value]]) -> (Vec<Value>, usize, bool) {
    let api = Api::new("free").await;
    for definitions in definitions {
        api.check("POST", APPLY, order(definitions), "200 ").await;
    }
    state(&api).await
}

#[tokio::test]
async fn whatever_is_lost_everything_is_applied_or_nothing_and_the_next_apply_does_the_rest() {
    let (first, second) = (whole(), other());
    let wanted = of(&[&first, &second]).await;
    for (before, after) in [(&[][..], &first[..]), (&first, &second), (&first, &[])] {
        let old = of(&[before]).await;
        let new = of(&[before, after]).await;
        let calm = Api::new("free").await;
        calm.check("POST", APPLY, order(before), "200 ").await;
        let requests = calm.world.faults.requests();
        calm.check("POST", APPLY, order(after), "200 ").await;
        let requests = calm.world.faults.requests() - requests;
        assert!(requests > 7, "the story is told: {requests} requests");
        let (mut refused, mut unheard) = (0, 0);
        for (nth, fault) in Fault::each(requests) {
            let api = Api::new("free").await;
            api.check("POST", APPLY, order(before), "200 ").await;
            api.world.faults.plan(nth, fault);
            let answer = api.call("POST", APPLY, order(after)).await;
            assert!(!api.world.faults.is_pending() && matches!(answer.status, 200 | 500), "{}", answer.told());
            let found = state(&api).await;
            // The word that there are subscriptions may be left over, which costs a read.
            let (found, old, new) = ((&found.0, found.1), (&old.0, old.1), (&new.0, new.1));
            assert!(found == old || found == new, "{fault:?} at request {nth}: {found:?}");
            assert!(answer.status == 500 || found == new, "{fault:?} at request {nth}");
            refused += usize::from(found == old && old != new);
            unheard += usize::from(answer.status == 500 && found == new);
            // And whoever applies it again has it.
            let again = api.check("POST", APPLY, order(after), "200 ").await.json();
            assert_eq!(again["applied"], json!(found == old && old != new), "{fault:?} at request {nth}");
            assert_eq!((&state(&api).await.0, state(&api).await.1), new, "{fault:?} at request {nth}");
        }
        assert!(refused > 5 && unheard > 0, "{refused} refused, {unheard} unheard");
    }
    assert_eq!((wanted.0.len(), wanted.1, wanted.2), (7, 1, true));
}

#[tokio::test]
async fn two_who_apply_the_same_at_once_make_it_once() {
    for _ in 0..5 {
        let api = Api::new("free").await;
        let whole = whole();
        let apply = || api.call("POST", APPLY, order(&whole));
        let (a, b, c) = tokio::join!(apply(), apply(), apply());
        let answers = [a, b, c].map(|answer| (answer.status, answer.json()["applied"].as_bool()));
        assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
        assert_eq!(answers.iter().filter(|(_, applied)| *applied == Some(true)).count(), 1, "{answers:?}");
        assert_eq!(state(&api).await, of(&[&whole]).await);
        for (path, list) in [("/agent/schedules", "schedules"), ("/api/v1/subscriptions", "subscriptions")] {
            assert_eq!(api.get(path).await[list].as_array().unwrap().len(), 1);
        }
    }
}

#[tokio::test]
async fn what_somebody_changes_meanwhile_is_planned_anew() {
    for _ in 0..5 {
        let api = Api::new("free").await;
        api.check("POST", APPLY, order(&whole()), "200 ").await;
        let mut by_hand = api.get("/api/v1/subscriptions/deploys").await;
        by_hand["events"] = json!(["run.started"]);
        let path = "/api/v1/subscriptions/deploys";
        let mut wanted = whole();
        wanted[4]["url"] = json!("https://example.org/");
        let (applied, changed) =
            tokio::join!(api.call("POST", APPLY, order(&wanted)), api.call("PUT", path, by_hand.to_string()));
        assert_eq!(applied.status, 200, "{}", applied.told());
        assert!(matches!(changed.status, 200 | 409), "{}", changed.told());
        let found = api.get(path).await;
        let (url, events) = (found["url"].as_str().unwrap(), &found["events"]);
        // One after the other, whoever was first: never half of each.
        let last = match *events == json!(["run.started"]) {
            true => "https://example.com/hooks",
            false => "https://example.org/",
        };
        assert_eq!(url, last, "{found}");
    }
}
