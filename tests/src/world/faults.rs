//! Faults at the client: a request that is lost, or a reply. The SDKs' own retries are off, so that each one shows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// Counts the requests of both clients, and spoils one of them.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    requests: Arc<AtomicU64>,
    planned: Arc<Mutex<Option<(u64, Fault)>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The service never hears of it.
    RequestLost,
    /// The service does it; the caller does not hear of that.
    ReplyLost,
}

impl Fault {
    pub const ALL: [Self; 2] = [Self::RequestLost, Self::ReplyLost];

    /// Each fault at each of so many requests, counted from 1.
    pub fn each(requests: u64) -> impl Iterator<Item = (u64, Self)> {
        Self::ALL.into_iter().flat_map(move |fault| (1..=requests).map(move |nth| (nth, fault)))
    }
}

impl Faults {
    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Spoils the `nth` request from now, counted from 1.
    pub fn plan(&self, nth: u64, fault: Fault) {
        *self.planned.lock().unwrap_or_else(PoisonError::into_inner) = Some((self.requests() + nth, fault));
    }

    /// Whether the planned fault has not happened.
    pub fn is_pending(&self) -> bool {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(super) fn on_dynamodb(&self, client: &aws_sdk_dynamodb::Client) -> aws_sdk_dynamodb::Client {
        // One that has its own way out goes it: nothing fails on demand there.
        let Some(inner) = client.config().http_client() else { return client.clone() };
        let config = client.config().to_builder().retry_config(RetryConfig::disabled());
        aws_sdk_dynamodb::Client::from_conf(config.http_client(self.around(inner)).build())
    }

    pub(super) fn on_s3(&self, client: &aws_sdk_s3::Client) -> aws_sdk_s3::Client {
        let Some(inner) = client.config().http_client() else { return client.clone() };
        let config = client.config().to_builder().retry_config(RetryConfig::disabled());
        aws_sdk_s3::Client::from_conf(config.http_client(self.around(inner)).build())
    }

    fn around(&self, inner: SharedHttpClient) -> Faulty<SharedHttpClient> {
        Faulty { inner, faults: self.clone() }
    }

    /// Counts a request; tells what is to happen to it.
    fn next(&self) -> Option<Fault> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        planned.take_if(|(at, _)| *at == number).map(|(_, fault)| fault)
    }
}

#[derive(Debug)]
struct Faulty<Inner> {
    inner: Inner,
    faults: Faults,
}

impl HttpClient for Faulty<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Faulty { inner, faults: self.faults.clone() })
    }
}

impl HttpConnector for Faulty<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let lost = |what: &str| Err(ConnectorError::io(format!("{what} lost").into()));
        match self.faults.next() {
            None => self.inner.call(request),
            Some(Fault::RequestLost) => HttpConnectorFuture::ready(lost("request")),
            Some(Fault::ReplyLost) => {
                let done = self.inner.call(request);
                HttpConnectorFuture::new(async move {
                    let _ = done.await;
                    lost("reply")
                })
            }
        }
    }
}
