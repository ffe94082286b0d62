//! Calls about webhooks and what came in at them.

use ozma_api::wire::{
    Deleted, Delivery, DeliveryList, RotateSecretRequest, TestRequest, TestResult, Webhook, WebhookConfig, WebhookList,
};
use ozma_domain::id::{AutomationId, DeliveryId, WebhookId};
use reqwest::Method;

use super::{Call, Client, ClientError, json};

impl Client {
    pub(crate) async fn webhooks(&self) -> Result<WebhookList, ClientError> {
        self.read(self.get_at(&["webhooks"], &[])).await
    }

    /// By id or by name.
    pub(crate) async fn webhook(&self, id_or_name: &str) -> Result<Webhook, ClientError> {
        self.read(self.get_at(&["webhooks", id_or_name], &[])).await
    }

    /// Not repeated, like an environment's.
    pub(crate) async fn create_webhook(&self, config: &WebhookConfig) -> Result<Webhook, ClientError> {
        let call = self.get_at(&["webhooks"], &[]);
        self.read(Call { method: Method::POST, body: Some(json(config)), repeatable: false, ..call }).await
    }

    pub(crate) async fn update_webhook(&self, id: &WebhookId, config: &WebhookConfig) -> Result<Webhook, ClientError> {
        let call = self.get_at(&["webhooks", id.as_str()], &[]);
        self.read(Call { method: Method::PUT, body: Some(json(config)), ..call }).await
    }

    /// Not repeated: a second rotation would end the secret that is in use.
    pub(crate) async fn rotate_webhook_secret(
        &self,
        id: &WebhookId,
        request: &RotateSecretRequest,
    ) -> Result<Webhook, ClientError> {
        let call = self.get_at(&["webhooks", id.as_str(), "rotate-secret"], &[]);
        self.read(Call { method: Method::POST, body: Some(json(request)), repeatable: false, ..call }).await
    }

    pub(crate) async fn delete_webhook(&self, id: &WebhookId) -> Result<Deleted, ClientError> {
        self.read(Call { method: Method::DELETE, ..self.get_at(&["webhooks", id.as_str()], &[]) }).await
    }

    pub(crate) async fn deliveries(&self, query: &[(&str, String)]) -> Result<DeliveryList, ClientError> {
        self.read(self.get_at(&["deliveries"], query)).await
    }

    pub(crate) async fn delivery(&self, id: DeliveryId) -> Result<Delivery, ClientError> {
        self.read(self.get_at(&["deliveries", &id.to_string()], &[])).await
    }

    /// Not repeated: each is a delivery of its own.
    pub(crate) async fn replay_delivery(&self, id: DeliveryId) -> Result<Delivery, ClientError> {
        let call = self.get_at(&["deliveries", &id.to_string(), "replay"], &[]);
        self.read(Call { method: Method::POST, repeatable: false, ..call }).await
    }

    pub(crate) async fn test_automation(
        &self,
        id: &AutomationId,
        request: &TestRequest,
    ) -> Result<TestResult, ClientError> {
        let call = self.get_at(&["automations", id.as_str(), "test"], &[]);
        self.read(Call { method: Method::POST, body: Some(json(request)), ..call }).await
    }
}
