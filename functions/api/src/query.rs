//! Query strings: repeated names, `name[key]` maps, and a clear word on a value that does not fit.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use ozma_app::App;

use crate::error::ApiError;

/// The pairs of a query string, decoded, in order.
pub(crate) struct Pairs(Vec<(String, String)>);

impl FromRequestParts<Arc<App>> for Pairs {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _app: &Arc<App>) -> Result<Self, ApiError> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        pairs.map(|Query(pairs)| Self(pairs)).map_err(|_| ApiError::invalid("query", "not a query string"))
    }
}

impl Pairs {
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
    }

    /// A value that parses, or an error that names it.
    pub(crate) fn parsed<T>(&self, name: &str) -> Result<Option<T>, ApiError>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        self.text(name).map(|text| text.parse().map_err(|err| ApiError::invalid(name, err))).transpose()
    }

    /// Every value of a repeated name.
    pub(crate) fn all<T>(&self, name: &str) -> Result<Vec<T>, ApiError>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let values = self.0.iter().filter(|(found, _)| found == name);
        values.map(|(_, text)| text.parse().map_err(|err| ApiError::invalid(name, err))).collect()
    }

    /// One of a closed list of names, as `serde` spells them.
    pub(crate) fn named<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let value = serde_json::Value::String(text);
        serde_json::from_value(value).map(Some).map_err(|err| ApiError::invalid(name, err))
    }

    /// `name[key]=value` pairs.
    pub(crate) fn map(&self, name: &str) -> BTreeMap<String, String> {
        let key = |found: &str| Some(found.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')?.to_owned());
        self.0.iter().filter_map(|(found, value)| Some((key(found)?, value.clone()))).collect()
    }
}
