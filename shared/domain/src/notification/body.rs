//! What a notification says. It points to a run and tells what became of it, with the run's last word, which is masked; the
//! prompt, the rest of what agents printed and secrets stay where they are.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::error_code::ErrorCode;
use crate::id::{AutomationId, EnvironmentId, RunId, ScheduleId, SubscriptionId};
use crate::lane::Lane;
use crate::limits;
use crate::run::{Run, RunRequest, RunSource};
use crate::state::RunState;
use crate::subscription::Topic;
use crate::text;

/// What compute costs here, in millionths of a dollar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    pub compute_micro_usd: u64,
}

/// The specification's form.
#[derive(Serialize)]
struct Body<Data> {
    r#type: Topic,
    timestamp: Timestamp,
    data: Data,
}

/// Absent members are omitted.
#[derive(Serialize)]
struct Data<'a> {
    run_id: RunId,
    state: RunState,
    title: &'a str,
    /// The last word on the run: of an end its outcome, of a run in the queue why it is there again.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<ErrorCode>,
    source: RunSource,
    creator: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    automation_id: Option<&'a AutomationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<Schedule<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment_id: Option<&'a EnvironmentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_run_id: Option<RunId>,
    /// Executions so far.
    execution: u32,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a BTreeMap<String, String>>,
    links: Links,
}

#[derive(Serialize)]
struct Schedule<'a> {
    id: &'a ScheduleId,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    planned_at: Option<Timestamp>,
}

/// Of all executions. The names are those of the API's `request_usage`.
#[derive(Serialize)]
struct Usage {
    compute_seconds: u64,
    compute_cost_usd: f64,
    inference_cost_usd: f64,
    tokens: u64,
}

/// Below the control plane's address, which a notification does not know.
#[derive(Serialize)]
struct Links {
    run: String,
    events: String,
    /// What the run left in its workspace, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    artifacts: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit: Option<String>,
}

#[derive(Serialize)]
struct Ping<'a> {
    subscription_id: &'a SubscriptionId,
    name: &'a str,
}

/// Of a run's event at `at`, of which `execution` is the current one. `run` may have gone on since then: what it says beyond
/// the event is told of an end alone, after which nothing changes.
pub fn body(topic: Topic, at: Timestamp, execution: u32, run: &Run, request: &RunRequest, cost: Cost) -> String {
    let ends = topic.is_end();
    let (state, message) = match topic {
        Topic::Queued => (RunState::Queued, None),
        Topic::Started => (RunState::InProgress, None),
        _ => (run.state, run.status.as_ref()),
    };
    let schedule = request.schedule.as_ref();
    let path = format!("/api/v1/agent/runs/{}", run.run_id);
    let mut data = Data {
        run_id: run.run_id,
        state,
        title: &request.title,
        message: message.map(|status| status.message.as_str()),
        error_code: message.and_then(|status| status.error_code),
        source: request.source,
        creator: text::shorten(&request.creator, limits::TITLE_CHARS),
        automation_id: match &run.share.lane {
            Lane::Automation(id) => Some(id),
            Lane::Schedule(_) | Lane::User(_) => None,
        },
        schedule: schedule.map(|found| Schedule { id: &found.id, name: &found.name, planned_at: found.planned_at }),
        environment_id: request.environment.as_ref(),
        parent_run_id: request.parent_run_id,
        execution,
        created_at: request.created_at,
        started_at: if topic == Topic::Started {
            Some(run.started_at.unwrap_or(at).min(at))
        } else {
            run.started_at.filter(|_| ends)
        },
        ended_at: run.ended_at.filter(|_| ends),
        usage: ends.then(|| Usage {
            compute_seconds: run.compute_seconds,
            compute_cost_usd: usd(cost.compute_micro_usd),
            inference_cost_usd: usd(run.usage.micro_usd),
            tokens: run.usage.tokens,
        }),
        metadata: Some(&request.metadata).filter(|metadata| !metadata.is_empty()),
        links: Links {
            events: format!("{path}/events"),
            artifacts: ends.then(|| format!("{path}/handoff/attachments")),
            audit: ends.then(|| format!("{path}/audit")),
            run: path,
        },
    };
    let spelled = spelled(topic, at, &data);
    if spelled.len() < limits::NOTIFICATION_BYTES {
        return spelled;
    }
    // Of all of it, only this can be large.
    data.metadata = None;
    self::spelled(topic, at, &data)
}

/// Of no run.
pub fn ping(subscription: &SubscriptionId, name: &str, at: Timestamp) -> String {
    spelled(Topic::Ping, at, &Ping { subscription_id: subscription, name })
}

fn spelled(topic: Topic, timestamp: Timestamp, data: &impl Serialize) -> String {
    serde_json::to_string(&Body { r#type: topic, timestamp, data }).expect("text, numbers and maps of them")
}

fn usd(micro_usd: u64) -> f64 {
    micro_usd as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::outcome::Outcome;

    const RUN: &str = "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10";

    fn request(change: &Value) -> RunRequest {
        let mut request = json!({
            "run_id": RUN, "team": "local", "created_at": "2026-11-21T08:00:00Z", "title": "Deploy",
            "prompt": {"inline": "the secret plan"}, "harness": "shell", "agent_config": {"name": "deploy"},
            "source": "API", "creator": "deploy",
        });
        request.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        serde_json::from_value(request).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn ended() -> Run {
        let queued = Run::accepted(RUN.parse().unwrap(), "local".parse().unwrap(), at("2026-11-21T08:00:00Z"));
        let pending = queued.dispatched(0, at("2026-11-21T08:00:01Z"), 60, 60).unwrap();
        let pending = Run { state: RunState::InProgress, ..pending };
        let outcome = Outcome::Succeeded { summary: "deployed".to_owned() };
        let crate::lifecycle::Ending::Ended(ended) = pending.ended(1, &outcome, at("2026-11-21T08:00:31Z"), None)
        else {
            panic!("it ends")
        };
        Run { started_at: Some(at("2026-11-21T08:00:05Z")), ..ended }
    }

    fn of(topic: Topic, when: &str, run: &Run, request: &RunRequest) -> String {
        body(topic, at(when), 1, run, request, Cost { compute_micro_usd: 1_645 })
    }

    #[test]
    fn an_end_tells_what_became_of_the_run() {
        let mut run = ended();
        run.share.lane = Lane::Automation("0123456789abcdefABCDEF".parse().unwrap());
        let schedule = json!({"id": "0123456789abcdefABCDEF", "name": "nightly", "expression": "0 3 * * *",
            "planned_at": "2026-11-21T08:00:00Z"});
        let request = request(&json!({"schedule": schedule, "metadata": {"pr": "7"}}));
        insta::assert_snapshot!(of(Topic::Succeeded, "2026-11-21T08:00:31Z", &run, &request), @r#"{"type":"run.succeeded","timestamp":"2026-11-21T08:00:31Z","data":{"run_id":"019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10","state":"SUCCEEDED","title":"Deploy","message":"deployed","source":"API","creator":"deploy","automation_id":"0123456789abcdefABCDEF","schedule":{"id":"0123456789abcdefABCDEF","name":"nightly","planned_at":"2026-11-21T08:00:00Z"},"execution":1,"created_at":"2026-11-21T08:00:00Z","started_at":"2026-11-21T08:00:05Z","ended_at":"2026-11-21T08:00:31Z","usage":{"compute_seconds":30,"compute_cost_usd":0.001645,"inference_cost_usd":0.0,"tokens":0},"metadata":{"pr":"7"},"links":{"run":"/api/v1/agent/runs/019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10","events":"/api/v1/agent/runs/019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10/events","artifacts":"/api/v1/agent/runs/019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10/handoff/attachments","audit":"/api/v1/agent/runs/019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10/audit"}}}"#);
    }

    #[test]
    fn a_start_is_told_as_it_was_though_the_run_has_gone_on() {
        let request = request(&json!({}));
        insta::assert_snapshot!(of(Topic::Started, "2026-11-21T08:00:05Z", &ended(), &request), @r#"{"type":"run.started","timestamp":"2026-11-21T08:00:05Z","data":{"run_id":"019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10","state":"INPROGRESS","title":"Deploy","source":"API","creator":"deploy","execution":1,"created_at":"2026-11-21T08:00:00Z","started_at":"2026-11-21T08:00:05Z","links":{"run":"/api/v1/agent/runs/019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10","events":"/api/v1/agent/runs/019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10/events"}}}"#);
        let queued = of(Topic::Queued, "2026-11-21T08:00:00Z", &ended(), &request);
        assert!(queued.contains(r#""state":"QUEUED""#) && !queued.contains("started_at") && !queued.contains("usage"));
    }

    #[test]
    fn no_word_of_the_prompt_but_the_title() {
        assert!(!of(Topic::Succeeded, "2026-11-21T08:00:31Z", &ended(), &request(&json!({}))).contains("secret plan"));
    }

    #[test]
    fn the_largest_run_fits_what_the_specification_advises() {
        // Each of these takes six bytes.
        let worst = |chars: usize| "\u{1}".repeat(chars);
        let metadata: BTreeMap<String, String> =
            (0..20).map(|n| (format!("{n:064}"), worst(limits::METADATA_VALUE_BYTES))).collect();
        let schedule = json!({"id": "0123456789abcdefABCDEF", "name": worst(100), "expression": "x"});
        let largest = json!({"title": worst(limits::TITLE_CHARS), "creator": worst(1_000), "schedule": schedule,
            "environment": "0123456789abcdefABCDEF", "parent_run_id": RUN, "metadata": metadata});
        let mut run = ended();
        run.share.lane = Lane::Automation("0123456789abcdefABCDEF".parse().unwrap());
        run.status.as_mut().unwrap().message = worst(limits::STATUS_CHARS);
        let spelled = of(Topic::Succeeded, "2026-11-21T08:00:31.123456789Z", &run, &request(&largest));
        assert!(spelled.len() < limits::NOTIFICATION_BYTES && !spelled.contains("metadata"), "{}", spelled.len());
        let usual: BTreeMap<String, String> = (0..20).map(|n| (format!("{n:064}"), "x".repeat(256))).collect();
        let usual = of(Topic::Succeeded, "2026-11-21T08:00:31Z", &run, &request(&json!({"metadata": usual})));
        assert!(usual.len() < limits::NOTIFICATION_BYTES && usual.contains("metadata"), "{}", usual.len());
    }

    #[test]
    fn a_ping_says_whom_it_is_for() {
        let id = "sub_0123456789abcdefABCDEF".parse().unwrap();
        insta::assert_snapshot!(ping(&id, "deploys", at("2026-11-21T08:00:00Z")), @r#"{"type":"ping","timestamp":"2026-11-21T08:00:00Z","data":{"subscription_id":"sub_0123456789abcdefABCDEF","name":"deploys"}}"#);
    }
}
