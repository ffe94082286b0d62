//! Stand-ins for the outside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use ozma_app::ports::{
    Bus, Clock, ContainerStatus, LaunchRequest, Launched, Launcher, PortError, Prepared, QueueMessage, RunEnded,
    SecretMetadata, Timer, Vault,
};
use ozma_domain::aws::RoleArn;
use ozma_domain::id::{ExecutionId, SecretName, TeamId};
use ozma_domain::plan::Size;
use ozma_domain::protocol::AwsCredentials;
use ozma_domain::run::Isolation;
use secrecy::SecretString;

/// Time stands still unless told to move; chance is a counter.
pub struct ClockDouble(Mutex<(Timestamp, u64)>);

impl Default for ClockDouble {
    fn default() -> Self {
        Self(Mutex::new(("2026-11-21T08:00:00Z".parse().expect("a time"), 0)))
    }
}

impl ClockDouble {
    pub fn forward(&self, by: SignedDuration) {
        let mut now = lock(&self.0);
        now.0 += by;
    }

    pub fn time(&self) -> Timestamp {
        lock(&self.0).0
    }
}

impl Clock for ClockDouble {
    fn now(&self) -> Timestamp {
        self.time()
    }

    fn random(&self) -> [u8; 32] {
        let mut state = lock(&self.0);
        state.1 += 1;
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&state.1.to_be_bytes());
        bytes
    }
}

/// Containers that are alive until told otherwise.
#[derive(Default)]
pub struct LauncherDouble {
    alive: Mutex<BTreeSet<ExecutionId>>,
    /// Every launch there was, repeated ones too.
    launches: Mutex<Vec<ExecutionId>>,
    sizes: Mutex<Vec<Size>>,
    stops: Mutex<Vec<ExecutionId>>,
    answers: Mutex<Vec<Result<Launched, PortError>>>,
    prepared: Mutex<Vec<String>>,
    retired: Mutex<Vec<String>>,
    refusal: Mutex<Option<String>>,
}

impl LauncherDouble {
    pub fn alive(&self) -> BTreeSet<ExecutionId> {
        lock(&self.alive).clone()
    }

    pub fn launches(&self) -> Vec<ExecutionId> {
        lock(&self.launches).clone()
    }

    /// Of the machine of each launch.
    pub fn sizes(&self) -> Vec<Size> {
        lock(&self.sizes).clone()
    }

    pub fn stops(&self) -> Vec<ExecutionId> {
        lock(&self.stops).clone()
    }

    /// Images that were made ready.
    pub fn prepared(&self) -> Vec<String> {
        lock(&self.prepared).clone()
    }

    /// Images that nobody needs any more.
    pub fn retired(&self) -> Vec<String> {
        lock(&self.retired).clone()
    }

    /// From now on no image can be made ready.
    pub fn refuse(&self, reason: &str) {
        *lock(&self.refusal) = Some(reason.to_owned());
    }

    /// The container has ended.
    pub fn end(&self, execution: ExecutionId) {
        lock(&self.alive).remove(&execution);
    }

    /// The next launch is answered so, and starts nothing.
    pub fn answer_next(&self, answer: Result<Launched, PortError>) {
        lock(&self.answers).push(answer);
    }
}

#[async_trait]
impl Launcher for LauncherDouble {
    async fn launch(&self, request: &LaunchRequest) -> Result<Launched, PortError> {
        lock(&self.launches).push(request.execution);
        lock(&self.sizes).push(request.size);
        if let Some(answer) = lock(&self.answers).pop() {
            return answer;
        }
        lock(&self.alive).insert(request.execution);
        Ok(Launched::Started { isolation: Isolation::Process })
    }

    async fn stop(&self, execution: ExecutionId) -> Result<(), PortError> {
        lock(&self.stops).push(execution);
        Ok(())
    }

    async fn status(&self, execution: ExecutionId) -> Result<ContainerStatus, PortError> {
        let alive = lock(&self.alive).contains(&execution);
        Ok(if alive { ContainerStatus::Alive } else { ContainerStatus::Gone { end: None } })
    }

    async fn list(&self) -> Result<Vec<ExecutionId>, PortError> {
        Ok(lock(&self.alive).iter().copied().collect())
    }

    async fn prepare(&self, _team: &TeamId, image: &str) -> Result<Prepared, PortError> {
        if let Some(reason) = lock(&self.refusal).clone() {
            return Ok(Prepared::Refused { reason });
        }
        lock(&self.prepared).push(image.to_owned());
        Ok(Prepared::Ready)
    }

    async fn retire(&self, _team: &TeamId, image: &str) -> Result<(), PortError> {
        lock(&self.retired).push(image.to_owned());
        Ok(())
    }
}

#[derive(Default)]
pub struct BusDouble(Mutex<Vec<RunEnded>>);

impl BusDouble {
    pub fn published(&self) -> Vec<RunEnded> {
        lock(&self.0).clone()
    }
}

#[async_trait]
impl Bus for BusDouble {
    async fn publish(&self, event: &RunEnded) -> Result<(), PortError> {
        lock(&self.0).push(event.clone());
        Ok(())
    }
}

#[derive(Default)]
pub struct TimerDouble(Mutex<Vec<(Timestamp, QueueMessage)>>);

impl TimerDouble {
    /// The earliest that is set, which is taken away.
    pub fn next(&self) -> Option<(Timestamp, QueueMessage)> {
        let mut set = lock(&self.0);
        let first = set.iter().enumerate().min_by_key(|(_, (at, _))| *at).map(|(place, _)| place)?;
        Some(set.remove(first))
    }
}

#[async_trait]
impl Timer for TimerDouble {
    async fn send_at(&self, at: Timestamp, message: QueueMessage) -> Result<(), PortError> {
        lock(&self.0).push((at, message));
        Ok(())
    }
}

#[derive(Default)]
pub struct VaultDouble(Mutex<BTreeMap<SecretName, SecretString>>);

#[async_trait]
impl Vault for VaultDouble {
    async fn put(&self, _team: &TeamId, name: &SecretName, value: SecretString) -> Result<(), PortError> {
        lock(&self.0).insert(name.clone(), value);
        Ok(())
    }

    async fn delete(&self, _team: &TeamId, name: &SecretName) -> Result<bool, PortError> {
        Ok(lock(&self.0).remove(name).is_some())
    }

    async fn list(&self, _team: &TeamId) -> Result<Vec<SecretMetadata>, PortError> {
        let at = Timestamp::UNIX_EPOCH;
        let metadata = |name: &SecretName| SecretMetadata { name: name.clone(), created_at: at, updated_at: at };
        Ok(lock(&self.0).keys().map(metadata).collect())
    }

    async fn get(&self, _team: &TeamId, name: &SecretName) -> Result<Option<SecretString>, PortError> {
        Ok(lock(&self.0).get(name).cloned())
    }

    /// Every role called `web` trusts it, and no other. The token tells the session.
    async fn assume(&self, role: &RoleArn, session: &str) -> Result<Option<AwsCredentials>, PortError> {
        let credentials = AwsCredentials {
            access_key_id: "ASIAWEB".to_owned(),
            secret_access_key: "secret".to_owned(),
            token: session.to_owned(),
            expiration: Timestamp::UNIX_EPOCH,
        };
        Ok(role.as_str().ends_with(":role/web").then_some(credentials))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
