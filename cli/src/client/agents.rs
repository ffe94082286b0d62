//! Named agents and runners.

use ozma_api::wire::{Deleted, Identity, IdentityList, IdentityRequest, Runner, RunnerConfig, RunnerList};
use ozma_domain::id::{AgentId, RunnerId};
use reqwest::Method;

use super::{Call, Client, ClientError, json};

impl Client {
    pub(crate) async fn runners(&self) -> Result<RunnerList, ClientError> {
        self.read(self.get(&["runners"], &[])).await
    }

    /// By id or by name.
    pub(crate) async fn runner(&self, id_or_name: &str) -> Result<Runner, ClientError> {
        self.read(self.get(&["runners", id_or_name], &[])).await
    }

    /// Not repeated, like an environment's.
    pub(crate) async fn create_runner(&self, config: &RunnerConfig) -> Result<Runner, ClientError> {
        let call = self.get(&["runners"], &[]);
        self.read(Call { method: Method::POST, body: Some(json(config)), repeatable: false, ..call }).await
    }

    pub(crate) async fn update_runner(&self, id: &RunnerId, config: &RunnerConfig) -> Result<Runner, ClientError> {
        let call = self.get(&["runners", id.as_str()], &[]);
        self.read(Call { method: Method::PUT, body: Some(json(config)), ..call }).await
    }

    pub(crate) async fn delete_runner(&self, id: &RunnerId) -> Result<Deleted, ClientError> {
        self.read(Call { method: Method::DELETE, ..self.get(&["runners", id.as_str()], &[]) }).await
    }

    pub(crate) async fn agents(&self) -> Result<IdentityList, ClientError> {
        self.read(self.get(&["identities"], &[])).await
    }

    /// By id or by name.
    pub(crate) async fn agent(&self, id_or_name: &str) -> Result<Identity, ClientError> {
        self.read(self.get(&["identities", id_or_name], &[])).await
    }

    /// Not repeated, like an environment's.
    pub(crate) async fn create_agent(&self, request: &IdentityRequest) -> Result<Identity, ClientError> {
        let call = self.get(&["identities"], &[]);
        self.read(Call { method: Method::POST, body: Some(json(request)), repeatable: false, ..call }).await
    }

    pub(crate) async fn update_agent(&self, id: &AgentId, request: &IdentityRequest) -> Result<Identity, ClientError> {
        let call = self.get(&["identities", id.as_str()], &[]);
        self.read(Call { method: Method::PUT, body: Some(json(request)), ..call }).await
    }

    pub(crate) async fn delete_agent(&self, id: &AgentId) -> Result<(), ClientError> {
        let call = Call { method: Method::DELETE, ..self.get(&["identities", id.as_str()], &[]) };
        self.send(call).await.map(drop)
    }
}
