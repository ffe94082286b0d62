//! Ports that a function does not have: it neither holds the client nor has the rights. A call says so.

use async_trait::async_trait;
use jiff::Timestamp;
use ozma_app::ports::{
    Bus, ContainerStatus, LaunchRequest, Launched, Launcher, PortError, Queue, QueueMessage, RunEnded, SecretMetadata,
    Timer, Vault,
};
use ozma_domain::id::{ExecutionId, SecretName, TeamId};
use secrecy::SecretString;

#[derive(Clone, Copy, Debug)]
pub(super) struct Unwired;

fn not_here<T>(port: &str) -> Result<T, PortError> {
    Err(PortError::new(format!("this function has no {port}")))
}

#[async_trait]
impl Queue for Unwired {
    async fn send(&self, _: QueueMessage) -> Result<(), PortError> {
        not_here("queue")
    }
}

#[async_trait]
impl Timer for Unwired {
    async fn send_at(&self, _: Timestamp, _: QueueMessage) -> Result<(), PortError> {
        not_here("timer")
    }
}

#[async_trait]
impl Launcher for Unwired {
    async fn launch(&self, _: &LaunchRequest) -> Result<Launched, PortError> {
        not_here("launcher")
    }

    async fn stop(&self, _: ExecutionId) -> Result<(), PortError> {
        not_here("launcher")
    }

    async fn status(&self, _: ExecutionId) -> Result<ContainerStatus, PortError> {
        not_here("launcher")
    }

    async fn list(&self) -> Result<Vec<ExecutionId>, PortError> {
        not_here("launcher")
    }
}

#[async_trait]
impl Bus for Unwired {
    async fn publish(&self, _: &RunEnded) -> Result<(), PortError> {
        not_here("bus")
    }
}

#[async_trait]
impl Vault for Unwired {
    async fn put(&self, _: &TeamId, _: &SecretName, _: SecretString) -> Result<(), PortError> {
        not_here("vault")
    }

    async fn delete(&self, _: &TeamId, _: &SecretName) -> Result<bool, PortError> {
        not_here("vault")
    }

    async fn list(&self, _: &TeamId) -> Result<Vec<SecretMetadata>, PortError> {
        not_here("vault")
    }

    async fn get(&self, _: &TeamId, _: &SecretName) -> Result<Option<SecretString>, PortError> {
        not_here("vault")
    }
}
