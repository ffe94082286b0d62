//! The archive: the real client over objects in memory, with the door in between. Knows what the store asks: to put an
//! object that is not there, to read one, to look at its metadata.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use ozma_local::s3;

use super::core::Core;
use super::door::{Passing, Service};
use super::mutants::Mutant;

#[derive(Clone)]
pub(super) struct Objects {
    pub(super) core: Arc<Core>,
    pub(super) stored: Arc<Mutex<BTreeMap<String, Object>>>,
    pub(super) mutant: Option<Mutant>,
}

#[derive(Clone)]
pub(super) struct Object {
    pub(super) bytes: Vec<u8>,
    headers: Vec<(String, String)>,
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Objects")
    }
}

impl Objects {
    /// The SDK's own tries are off, so that each fault shows.
    pub(super) fn client(self) -> Client {
        Client::from_conf(s3::config().retry_config(RetryConfig::disabled()).http_client(self).build())
    }

    /// Every object there is, by its key.
    pub(super) fn all(&self) -> BTreeMap<String, Object> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn answer(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let path = request.uri().split_once("//").map_or("", |(_, rest)| rest);
        let path = path.split('?').next().unwrap_or_default();
        // The host, the bucket, the key.
        let key = path.splitn(3, '/').nth(2).unwrap_or_default().replace("%3D", "=");
        let call = || format!("{} {key}", request.method());
        let passing = self.core.pass(Service::Archive, call).await;
        match passing {
            Passing::RequestLost => return Err(ConnectorError::io("request lost".into())),
            Passing::Throttled => return Ok(respond(503, "<Error><Code>SlowDown</Code></Error>".into())),
            Passing::Through | Passing::ReplyLost => {}
        }
        let answer = self.apply(&request, &key);
        self.core.back(call).await;
        if passing == Passing::ReplyLost { Err(ConnectorError::io("reply lost".into())) } else { Ok(answer) }
    }

    fn apply(&self, request: &HttpRequest, key: &str) -> HttpResponse {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        match (request.method(), stored.get(key)) {
            ("PUT", Some(_)) if request.headers().get("if-none-match") == Some("*") => {
                respond(412, "<Error><Code>PreconditionFailed</Code></Error>".into())
            }
            ("PUT", _) => {
                let mine = |name: &str| name.starts_with("x-amz-meta-");
                let headers = request.headers().iter().filter(|(name, _)| mine(name));
                let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                let bytes = request.body().bytes().unwrap_or_default().to_vec();
                if !self.mutant.is_some_and(|mutant| mutant.swallows(key)) {
                    stored.insert(key.to_owned(), Object { bytes, headers });
                }
                respond(200, SdkBody::empty())
            }
            ("GET", None) => respond(404, "<Error><Code>NoSuchKey</Code></Error>".into()),
            (_, None) => respond(404, SdkBody::empty()),
            (method, Some(object)) => {
                let body = if method == "HEAD" { SdkBody::empty() } else { object.bytes.clone().into() };
                let mut answer = respond(200, body);
                for (name, value) in &object.headers {
                    answer.headers_mut().insert(name.clone(), value.clone());
                }
                answer
            }
        }
    }
}

fn respond(status: u16, body: SdkBody) -> HttpResponse {
    HttpResponse::new(StatusCode::try_from(status).expect("a status"), body)
}

impl HttpClient for Objects {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Objects {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().answer(request))
    }
}
