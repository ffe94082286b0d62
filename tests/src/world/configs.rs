//! What users set, with nothing in it but what has to be.

use ozma_domain::harness::HarnessKind;
use ozma_domain::template::RunTemplate;
use ozma_domain::webhook::WebhookConfig;
use ozma_domain::webhook_auth::WebhookAuth;

/// A run with that prompt.
pub fn template(prompt: &str, harness: HarnessKind) -> RunTemplate {
    RunTemplate {
        prompt: prompt.to_owned(),
        title: None,
        harness,
        agent_config: Default::default(),
        environment: None,
        agent: None,
        runner: None,
        repositories: Vec::new(),
        deadline_seconds: None,
        metadata: Default::default(),
        scheduling: Default::default(),
        limits: Default::default(),
    }
}

/// The webhook `acme`.
pub fn webhook(auth: WebhookAuth) -> WebhookConfig {
    WebhookConfig {
        name: "acme".to_owned(),
        auth,
        provider: None,
        paused: false,
        delivery_header: None,
        deliveries_per_minute: None,
        own: Default::default(),
        connection: None,
    }
}
