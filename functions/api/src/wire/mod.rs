//! What goes over the wire: the bodies of the public REST API, as the server writes and clients read them.
//!
//! The contract is the public Oz API's; what this API adds to it says so. Absent members are omitted, never `null`, and
//! unknown ones are ignored. A file is a noun.

pub mod agent_config;
pub mod artifact;
pub mod audit;
pub mod automation;
pub mod create_run;
pub mod definition;
pub mod environment;
pub mod health;
pub mod identity;
pub mod problem;
pub mod profile;
pub mod repository;
pub mod run;
pub mod runner;
pub mod schedule;
pub mod scheduling;
mod schemas;
pub mod secret;
pub mod subscription;
pub mod team;
pub mod timeline;
pub mod transcript;
pub mod trigger;
pub mod webhook;
pub mod whoami;

pub use agent_config::{AgentConfig, Harness, McpServer};
pub use artifact::{ArtifactItem, HandoffAttachment, HandoffAttachments, LeftOutFile};
pub use audit::{AuditIndex, AuditSegment};
pub use automation::{Automation, AutomationConfig, AutomationList};
pub use create_run::{Attachment, CreateRunRequest, FollowupRequest, Image, RunCreated};
pub use definition::{ApplyRequest, ApplyResult, DefinitionAction, DefinitionChange, DefinitionList, FieldChange};
pub use environment::{
    AwsProvider, Deleted, Environment, EnvironmentConfig, EnvironmentList, GithubRepo, LastTask, Providers,
};
pub use health::Health;
pub use identity::{AutoMemory, Identity, IdentityList, IdentityRequest, Memory, SecretRef};
pub use problem::Problem;
pub use profile::{Scope, UserProfile};
pub use repository::Repository;
pub use run::{
    AgentSkill, Artifact, ExecutionLocation, PageInfo, QueuePlace, RequestUsage, RunAnswer, RunItem, RunList,
    ScheduleSnapshot, StatusMessage,
};
pub use runner::{Runner, RunnerConfig, RunnerList};
pub use schedule::{Missed, ScheduleHistory, ScheduleItem, ScheduleList, ScheduleOccurrence, ScheduleRequest};
pub use scheduling::{Budget, Concurrency, Limits, Scheduling};
pub use secret::{PutSecretRequest, SecretItem, SecretList};
pub use subscription::{Attempt, Notification, NotificationList, Subscription, SubscriptionConfig, SubscriptionList};
pub use team::{StopRequest, StopResult, Team, TeamSettings, Used, Weights};
pub use timeline::{Timeline, TimelineEvent, TimelineEventType};
pub use transcript::Transcript;
pub use trigger::{Allow, TestRequest, TestResult, Trigger};
pub use webhook::{
    Delivery, DeliveryLeft, DeliveryList, DeliveryReply, DeliveryRun, DeliveryWord, RotateSecretRequest, Webhook,
    WebhookConfig, WebhookList,
};
pub use whoami::{PlanItem, Whoami};

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use utoipa::PartialSchema;

    use super::*;

    fn required<T: PartialSchema>() -> String {
        let schema = serde_json::to_value(T::schema()).unwrap();
        let names = schema["required"].as_array().cloned().unwrap_or_default();
        names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_always_there_is_what_the_contract_requires() {
        assert_eq!(required::<RunItem>(), "run_id task_id title state prompt created_at updated_at");
        assert_eq!(required::<RunCreated>(), "run_id task_id state");
        assert_eq!(required::<StatusMessage>(), "message");
        assert_eq!(required::<CreateRunRequest>(), "");
        assert_eq!(required::<AgentConfig>(), "");
        let always = "uid name available created_at updated_at default_runner_uid memory secrets skills";
        assert_eq!(required::<Identity>(), always);
        assert_eq!(required::<IdentityRequest>(), "");
        assert_eq!(required::<Environment>(), "uid config last_updated setup_failed");
        assert_eq!(required::<PageInfo>(), "has_next_page");
    }

    #[test]
    fn closed_lists_are_spelled_out() {
        let schema = serde_json::to_value(RunItem::schema()).unwrap();
        assert_eq!(schema["properties"]["state"]["enum"][3], "INPROGRESS");
        assert_eq!(schema["properties"]["source"]["enum"][4], "SCHEDULED_AGENT");
        assert_eq!(schema["properties"]["created_at"], json!({"type": "string", "format": "date-time"}));
    }

    #[test]
    fn unknown_members_and_nulls_are_taken_as_absent() {
        let request: CreateRunRequest = serde_json::from_value(json!({
            "prompt": "true",
            "from_the_future": [1],
            "metadata": null,
            "config": {"credential_strategy": null, "harness": {"type": "shell", "x": 1}, "repositories": [{"url": "acme/web"}]},
        }))
        .unwrap();
        insta::assert_snapshot!(
            serde_json::to_string(&request).unwrap(),
            @r#"{"prompt":"true","config":{"harness":{"type":"shell"},"repositories":[{"url":"https://github.com/acme/web"}]}}"#
        );
    }

    #[test]
    fn an_absent_member_is_omitted() {
        let run: RunItem = serde_json::from_value(json!({
            "run_id": "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10",
            "task_id": "019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10",
            "title": "t", "state": "QUEUED", "prompt": "true",
            "created_at": "2026-11-21T00:00:00Z", "updated_at": "2026-11-21T00:00:00Z",
        }))
        .unwrap();
        insta::assert_snapshot!(
            serde_json::to_string(&run).unwrap(),
            @r#"{"run_id":"019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10","task_id":"019aa5e2-7c1f-7d3e-9a51-0c6f2f9b8f10","title":"t","state":"QUEUED","prompt":"true","created_at":"2026-11-21T00:00:00Z","updated_at":"2026-11-21T00:00:00Z"}"#
        );
    }

    #[test]
    fn a_problem_tells_its_code() {
        let mut problem =
            Problem::new(ozma_domain::error_code::ErrorCode::ResourceNotFound, Some("no run x".to_owned()));
        problem.extensions.insert("provider".to_owned(), json!("github"));
        insta::assert_snapshot!(
            serde_json::to_string(&problem).unwrap(),
            @r#"{"type":"https://ozma.dev/errors/resource_not_found","title":"Resource not found","status":404,"error":"Resource not found (no run x)","detail":"no run x","retryable":false,"provider":"github"}"#
        );
        let read: Problem = serde_json::from_value(serde_json::to_value(&problem).unwrap()).unwrap();
        assert_eq!(read, problem);
        assert_eq!(read.code(), Some(ozma_domain::error_code::ErrorCode::ResourceNotFound));
    }
}
