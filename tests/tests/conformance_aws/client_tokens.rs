//! What ECS does with the client token of `RunTask`, and no emulator: the same token with the same parameters gets the
//! first answer again, failures included, and with other parameters a conflict. It stands in front of the emulator.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use serde_json::{Value, json};

/// The first call with a token: its parameters, and its answer, which is awaited by those that come meanwhile.
type First = Arc<tokio::sync::Mutex<Option<(Value, Vec<u8>)>>>;

/// The client of ECS whose `RunTask` may be repeated.
pub(crate) fn idempotent(client: &aws_sdk_ecs::Client) -> aws_sdk_ecs::Client {
    let inner = aws_smithy_http_client::Builder::new().build_http();
    let config = client.config().to_builder().http_client(Tokens { inner, known: Arc::default() });
    aws_sdk_ecs::Client::from_conf(config.build())
}

#[derive(Clone, Debug)]
struct Tokens<Inner> {
    inner: Inner,
    /// By cluster and token: that is a token's scope.
    known: Arc<Mutex<HashMap<(String, String), First>>>,
}

impl HttpClient for Tokens<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Tokens { inner, known: self.known.clone() })
    }
}

impl HttpConnector for Tokens<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if !request.headers().get("x-amz-target").is_some_and(|target| target.ends_with(".RunTask")) {
            return self.inner.call(request);
        }
        let mut parameters: Value =
            serde_json::from_slice(request.body().bytes().expect("a body in memory")).expect("JSON");
        let token = parameters["clientToken"].take().as_str().expect("every launch has a client token").to_owned();
        let cluster = parameters["cluster"].as_str().unwrap_or("default").to_owned();
        let first = self.known.lock().expect("no panic").entry((cluster, token)).or_default().clone();
        let inner = self.inner.clone();
        HttpConnectorFuture::new(async move {
            let mut first = first.lock().await;
            match &*first {
                None => {
                    let mut response = inner.call(request).await?;
                    let body = ByteStream::new(response.take_body()).collect().await;
                    let body = body.map_err(|err| ConnectorError::io(err.into()))?.to_vec();
                    // Only what was taken up counts: a call that ECS refused may be repeated with other parameters.
                    if response.status().is_success() {
                        *first = Some((parameters, body.clone()));
                    }
                    *response.body_mut() = SdkBody::from(body);
                    Ok(response)
                }
                Some((known, body)) if *known == parameters => Ok(answer(200, body.clone())),
                Some((_, body)) => {
                    let started: Value = serde_json::from_slice(body).expect("JSON");
                    let tasks = started["tasks"].as_array().into_iter().flatten();
                    let conflict = json!({
                        "__type": "ConflictException",
                        "message": "the client token was used with other parameters",
                        "resourceIds": tasks.map(|task| task["taskArn"].clone()).collect::<Vec<_>>(),
                    });
                    Ok(answer(400, conflict.to_string().into_bytes()))
                }
            }
        })
    }
}

fn answer(status: u16, body: Vec<u8>) -> HttpResponse {
    let mut response = HttpResponse::new(StatusCode::try_from(status).expect("a status"), SdkBody::from(body));
    response.headers_mut().insert("content-type", "application/x-amz-json-1.1");
    response
}
