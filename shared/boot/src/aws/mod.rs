//! The cloud's engine wired up. A function asks for the ports that it uses; each reads its own variables, and what is
//! missing stops the function at its start. Clients are made once and share one HTTP client.

mod batch;
mod unwired;
mod variables;

use std::error::Error;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use aws_config::SdkConfig;
use ozma_app::clock::SystemClock;
use ozma_app::ports::{Launcher, PortError, Queue, QueueName, Timer, Vault};
use ozma_app::{App, Settings};
use ozma_aws::bus::EventBridgeBus;
pub use ozma_aws::launcher::stopped::Task;
use ozma_aws::launcher::{EcsLauncher, EcsOptions};
pub use ozma_aws::parking::Parking;
use ozma_aws::queue::SqsQueue;
use ozma_aws::timer::AwsTimer;
use ozma_aws::vault::AwsVault;
use ozma_domain::audit::digest;
use ozma_domain::limits;
use ozma_domain::plan::{Plan, UnknownPlan};
use ozma_domain::receiver::Reach;
use ozma_domain::text::chain;
use ozma_domain::token::ApiKey;
use ozma_store::{Archive, Store, StoreError};
use secrecy::{ExposeSecret, SecretString};

pub use self::batch::{Taker, each_record};
use self::unwired::Unwired;
pub use self::variables::InvalidVariable;
use self::variables::Variables;
use crate::environment::of_process;
use crate::log;
use crate::seed::seed;

/// Agents at work are reported gone by ECS at once, so their leases may be long and cost little.
const HEARTBEAT_SECONDS: i64 = 300;
const LEASE_SECONDS: i64 = 900;

/// ECS's lists lag behind its answers: a launch is not missed earlier.
const RELAUNCH_SECONDS: i64 = 90;

/// Why a function did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Variable(#[from] InvalidVariable),
    #[error("the secret in {variable} could not be read")]
    Secret {
        variable: &'static str,
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    #[error("the first team and its key could not be stored")]
    Store(#[from] StoreError),
}

const ADMIN_KEY: &str = "OZ_ADMIN_KEY_SECRET";

/// A plan, by its name.
struct PlanName(Plan);

impl FromStr for PlanName {
    type Err = UnknownPlan;

    fn from_str(name: &str) -> Result<Self, UnknownPlan> {
        Plan::named(name).map(Self)
    }
}

/// What a function is wired from.
pub struct Aws {
    sdk: SdkConfig,
    variables: Variables<'static>,
}

/// The whole life of a function: logs, clients, and `serve`, which wires it and then runs it. An error of the start is
/// logged with its causes, and ends the process.
pub fn run<F>(serve: impl FnOnce(Aws) -> F) -> ExitCode
where
    F: Future<Output = Result<(), Box<dyn Error + Send + Sync>>>,
{
    let variables = Variables(&of_process);
    let namespace = variables.optional("OZ_METRICS_NAMESPACE").unwrap_or_else(|| "Ozma".to_owned());
    log::init_json(log::Level::Info, namespace);
    // One request at a time: a second thread would be idle.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(async {
            let sdk = aws_config::defaults(aws_config::BehaviorVersion::latest()).load().await;
            serve(Aws { sdk, variables }).await
        }),
        Err(err) => Err(err.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            tracing::error!(error = %chain(err.as_ref()), "the function could not start");
            ExitCode::FAILURE
        }
    }
}

impl Aws {
    /// Table and clock. What a function has beyond, it adds; the rest answers that it is not there.
    pub fn app(&self) -> Result<App, StartError> {
        let table = self.variables.required("OZ_TABLE")?;
        Ok(App {
            store: Store::new(aws_sdk_dynamodb::Client::new(&self.sdk), table),
            archive: Archive::new(self.s3(), "no-archive-is-wired"),
            queue: Arc::new(Unwired),
            timer: Arc::new(Unwired),
            launcher: Arc::new(Unwired),
            bus: Arc::new(Unwired),
            vault: Arc::new(Unwired),
            clock: Arc::new(SystemClock),
            settings: Arc::new(self.settings()?),
            maskers: Default::default(),
        })
    }

    /// Without keys: a function adds those that it holds.
    pub fn settings(&self) -> Result<Settings, StartError> {
        let start_seconds = self.variables.parsed_or("OZ_START_SECONDS", limits::START_SECONDS)?;
        Ok(Settings {
            heartbeat_seconds: HEARTBEAT_SECONDS,
            lease_seconds: LEASE_SECONDS,
            start_seconds,
            // There is no waiting for a launch that is given up before.
            relaunch_seconds: RELAUNCH_SECONDS.min(start_seconds),
            claim_key: SecretString::default(),
            webhook_key: SecretString::default(),
            signing_seed: [0; 32],
            receivers: Reach::Public,
            public_url: match self.variables.optional("OZ_PUBLIC_URL") {
                Some(_) => Some(self.variables.parsed("OZ_PUBLIC_URL")?),
                None => None,
            },
            billed: true,
        })
    }

    pub async fn claim_key(&self) -> Result<SecretString, StartError> {
        self.secret("OZ_CLAIM_KEY_SECRET").await
    }

    pub async fn webhook_key(&self) -> Result<SecretString, StartError> {
        self.secret("OZ_WEBHOOK_KEY_SECRET").await
    }

    /// The seed of the key that signs audit manifests: the digest of a generated text.
    pub async fn signing_seed(&self) -> Result<[u8; 32], StartError> {
        let text = self.secret("OZ_AUDIT_SEED_SECRET").await?;
        Ok(*digest(text.expose_secret().as_bytes()).bytes())
    }

    pub fn archive(&self) -> Result<Archive, StartError> {
        Ok(Archive::new(self.s3(), self.variables.required("OZ_ARCHIVE_BUCKET")?))
    }

    /// For messages that belong into these queues.
    pub fn queue(&self, names: &[QueueName]) -> Result<Arc<dyn Queue>, StartError> {
        Ok(Arc::new(self.sqs(names)?))
    }

    pub fn launcher(&self) -> Result<Arc<dyn Launcher>, StartError> {
        let options = EcsOptions {
            cluster: self.variables.required("OZ_CLUSTER")?,
            task_definition: self.variables.required("OZ_TASK_DEFINITION")?,
            subnets: self.variables.list("OZ_SUBNETS")?,
            security_groups: self.variables.list("OZ_SECURITY_GROUPS")?,
            public_ip: self.variables.parsed_or("OZ_PUBLIC_IP", true)?,
            control_url: self.variables.required("OZ_CONTROL_URL")?,
        };
        Ok(Arc::new(EcsLauncher::new(aws_sdk_ecs::Client::new(&self.sdk), options)))
    }

    /// For messages that belong into that queue.
    pub fn timer(&self, queue: QueueName) -> Result<Arc<dyn Timer>, StartError> {
        let queue_arn = match queue {
            QueueName::Ticks => "OZ_TICKS_QUEUE_ARN",
            QueueName::Ends => "OZ_ENDS_QUEUE_ARN",
            QueueName::Errands => "OZ_ERRANDS_QUEUE_ARN",
        };
        Ok(Arc::new(AwsTimer {
            queue,
            queue_arn: self.variables.required(queue_arn)?,
            sqs: self.sqs(&[queue])?,
            clock: Arc::new(SystemClock),
            scheduler: aws_sdk_scheduler::Client::new(&self.sdk),
            group: self.variables.required("OZ_TIMER_GROUP")?,
            role_arn: self.variables.required("OZ_TIMER_ROLE_ARN")?,
        }))
    }

    pub fn bus(&self) -> Result<Arc<EventBridgeBus>, StartError> {
        let name = self.variables.required("OZ_BUS_NAME")?;
        Ok(Arc::new(EventBridgeBus::new(aws_sdk_eventbridge::Client::new(&self.sdk), name)))
    }

    pub fn vault(&self) -> Result<Arc<dyn Vault>, StartError> {
        Ok(Arc::new(AwsVault {
            secrets: aws_sdk_secretsmanager::Client::new(&self.sdk),
            parameters: aws_sdk_ssm::Client::new(&self.sdk),
            roles: aws_sdk_sts::Client::new(&self.sdk),
            prefix: self.variables.required("OZ_VAULT_PREFIX")?,
        }))
    }

    /// The first team with the plan that the stack was given, and its owner's key. The key's secret begins as whatever the
    /// template put there; it is made here, once, because a template can generate text but no checksum.
    pub async fn seed(&self, app: &App) -> Result<(), StartError> {
        let secrets = aws_sdk_secretsmanager::Client::new(&self.sdk);
        let mut key = self.secret(ADMIN_KEY).await?.expose_secret().parse::<ApiKey>();
        if key.is_err() {
            let new = ApiKey::new(app.clock.random());
            let put = secrets.put_secret_value().secret_id(self.variables.required(ADMIN_KEY)?);
            let put = put.secret_string(new.expose()).send().await;
            put.map_err(|err| StartError::Secret { variable: ADMIN_KEY, cause: err.into() })?;
            // Read again: another sweep may have made one at the same time, and the last one counts.
            key = self.secret(ADMIN_KEY).await?.expose_secret().parse();
        }
        let key = key.map_err(|err| StartError::Secret { variable: ADMIN_KEY, cause: err.into() })?;
        let plan = self.variables.parsed::<PlanName>("OZ_PLAN")?.0;
        let team = self.variables.parsed("OZ_TEAM")?;
        seed(&app.store, &team, Some(plan), &key, &app.settings.signing_seed, app.clock.as_ref()).await?;
        Ok(())
    }

    pub fn parking(&self) -> Result<Parking, StartError> {
        Ok(Parking::new(aws_sdk_sqs::Client::new(&self.sdk), self.variables.required("OZ_PARKING_QUEUE_URL")?))
    }

    /// The function as one that takes from a queue.
    pub fn taker(&self, function: &'static str, queue: QueueName) -> Result<Taker, StartError> {
        Ok(Taker { function, queue, parking: self.parking()? })
    }

    fn sqs(&self, names: &[QueueName]) -> Result<SqsQueue, StartError> {
        let url = |name: &QueueName| match name {
            QueueName::Ticks => "OZ_TICKS_QUEUE_URL",
            QueueName::Ends => "OZ_ENDS_QUEUE_URL",
            QueueName::Errands => "OZ_ERRANDS_QUEUE_URL",
        };
        let urls = names.iter().map(|name| Ok((*name, self.variables.required(url(name))?)));
        let urls: Vec<_> = urls.collect::<Result<_, StartError>>()?;
        Ok(SqsQueue::new(aws_sdk_sqs::Client::new(&self.sdk), urls))
    }

    fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.sdk);
        // Emulators have one address for all buckets.
        let emulated = self.variables.optional("AWS_ENDPOINT_URL").is_some();
        aws_sdk_s3::Client::from_conf(config.force_path_style(emulated).build())
    }

    async fn secret(&self, variable: &'static str) -> Result<SecretString, StartError> {
        let id = self.variables.required(variable)?;
        let read = aws_sdk_secretsmanager::Client::new(&self.sdk).get_secret_value().secret_id(id).send().await;
        let failed = |cause| StartError::Secret { variable, cause };
        let value = read.map_err(|err| failed(err.into()))?.secret_string;
        let value = value.ok_or_else(|| failed(PortError::new("it holds no text").into()))?;
        Ok(value.into())
    }
}
