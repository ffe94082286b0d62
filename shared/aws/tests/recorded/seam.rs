//! The SDK's HTTP seam, with a script: which operation is to be called next, and what it is answered.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use ozma_app::ports::{LaunchRequest, Launched, Launcher};
use ozma_aws::launcher::{EcsLauncher, EcsOptions};
use ozma_domain::environment::{Capacity, Network};
use ozma_domain::id::{ExecutionId, RunId, TeamId};
use ozma_domain::plan::Plan;
use serde_json::{Value, json};

/// One step of a script: an operation, and its answer. None: the answer is lost.
pub(crate) type Step = (&'static str, Option<(u16, Value)>);

pub(crate) fn ok(operation: &'static str, body: Value) -> Step {
    (operation, Some((200, body)))
}

/// An error of the client's making.
pub(crate) fn refused(operation: &'static str, code: &str, message: &str) -> Step {
    (operation, Some((400, json!({ "__type": code, "message": message }))))
}

/// An error of the server's making: the SDK tries such a call three times.
pub(crate) fn failed(operation: &'static str) -> Step {
    (operation, Some((500, json!({ "__type": "ServerException", "message": "Service Unavailable" }))))
}

pub(crate) fn lost(operation: &'static str) -> Step {
    (operation, None)
}

/// Plays a script, and keeps what was sent.
#[derive(Clone)]
pub(crate) struct Seam(Arc<Mutex<(VecDeque<Step>, Vec<Value>)>>);

impl Seam {
    pub(crate) fn new(script: impl IntoIterator<Item = Step>) -> Self {
        Self(Arc::new(Mutex::new((script.into_iter().collect(), Vec::new()))))
    }

    pub(crate) fn then(&self, script: impl IntoIterator<Item = Step>) {
        self.0.lock().unwrap().0.extend(script);
    }

    /// The bodies of the requests since the last look. The script is played to its end.
    #[track_caller]
    pub(crate) fn sent(&self) -> Vec<Value> {
        let mut state = self.0.lock().unwrap();
        let left: Vec<_> = state.0.iter().map(|(operation, _)| operation).collect();
        assert!(left.is_empty(), "these were not called: {left:?}");
        std::mem::take(&mut state.1)
    }

    pub(crate) fn sdk(&self) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::from_keys("test", "test", None)))
            .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)))
            .http_client(self.clone())
            .build()
    }

    pub(crate) fn launcher(&self) -> EcsLauncher {
        let options = EcsOptions {
            cluster: "ozma".to_owned(),
            task_definition: BASE.to_owned(),
            subnets: vec!["subnet-a".to_owned(), "subnet-b".to_owned()],
            security_groups: vec!["sg-1".to_owned()],
            public_ip: true,
            control_url: CONTROL_URL.to_owned(),
        };
        EcsLauncher::new(aws_sdk_ecs::Client::new(&self.sdk()), options)
    }
}

impl fmt::Debug for Seam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seam")
    }
}

impl HttpClient for Seam {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Seam {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").expect("a protocol of JSON");
        let operation = target.rsplit('.').next().unwrap_or_default();
        let body = serde_json::from_slice(request.body().bytes().expect("a body in memory")).expect("JSON");
        let mut state = self.0.lock().unwrap();
        let (expected, answer) = state.0.pop_front().unwrap_or_else(|| panic!("{operation} was not expected: {body}"));
        assert_eq!(operation, expected, "{body}");
        state.1.push(body);
        HttpConnectorFuture::ready(match answer {
            None => Err(ConnectorError::io("connection reset".into())),
            Some((status, body)) => {
                Ok(HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body.to_string())))
            }
        })
    }
}

pub(crate) const BASE: &str = "arn:aws:ecs:eu-west-1:123456789012:task-definition/ozma-agent:7";
pub(crate) const CONTROL_URL: &str = "https://control.example/base";

pub(crate) fn team() -> TeamId {
    "acme".parse().unwrap()
}

pub(crate) fn execution(number: u32) -> ExecutionId {
    ExecutionId::new(RunId::new(1_800_000_000_000, [7; 10]), number)
}

pub(crate) fn request(number: u32) -> LaunchRequest {
    LaunchRequest {
        execution: execution(number),
        team: team(),
        slot: 3,
        size: Plan::named("build").unwrap().size,
        image: None,
        repositories: Vec::new(),
        network: Network::Full,
        capacity: Capacity::OnDemand,
        claim_token: "ozc_the-claim-token".into(),
    }
}

pub(crate) fn task(number: u32) -> String {
    format!("arn:aws:ecs:eu-west-1:123456789012:task/ozma/{number:032x}")
}

pub(crate) fn started(number: u32) -> Step {
    ok("RunTask", json!({ "tasks": [{ "taskArn": task(number) }], "failures": [] }))
}

/// What the launch is, in a word, and what it tells the user.
pub(crate) async fn launch(launcher: &EcsLauncher, request: &LaunchRequest) -> (String, String) {
    match launcher.launch(request).await {
        Ok(Launched::Started { .. }) => ("started".to_owned(), String::new()),
        Ok(Launched::NotYet { reason, .. }) => ("not yet".to_owned(), reason),
        Ok(Launched::NoCapacity { reason, wait }) => (format!("wait {}", wait.as_secs()), reason),
        Ok(Launched::Refused { reason }) => ("refused".to_owned(), reason),
        Err(err) => ("error".to_owned(), err.what),
    }
}
