//! Calls about definitions.

use ozma_api::wire::{ApplyRequest, ApplyResult, DefinitionList};
use ozma_domain::definition::Kind;
use reqwest::Method;

use super::{Call, Client, ClientError, json};

impl Client {
    /// Not repeated: the secrets that it makes are in the first answer alone.
    pub(crate) async fn apply(&self, request: &ApplyRequest) -> Result<ApplyResult, ClientError> {
        let call = self.get_at(&["apply"], &[]);
        self.read(Call { method: Method::POST, body: Some(json(request)), repeatable: false, ..call }).await
    }

    pub(crate) async fn definitions(&self, kind: Option<Kind>) -> Result<DefinitionList, ClientError> {
        let query: Vec<(&str, String)> = kind.map(|kind| ("kind", kind.to_string())).into_iter().collect();
        self.read(self.get_at(&["definitions"], &query)).await
    }
}
