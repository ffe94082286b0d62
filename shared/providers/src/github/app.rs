//! A GitHub App, speaking for itself: with a JWT of ten minutes that its private key signs.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{Created, Installation, Repository, versioned};
use crate::error::Error;
use crate::http::{Answer, BaseUrl, Call, Credentials, Http};

/// An App and its key. `api` is `https://api.github.com`, or `https://<host>/api/v3` of a GitHub Enterprise Server.
#[derive(Clone)]
pub struct App {
    http: Http,
    api: BaseUrl,
    app_id: u64,
    key: EncodingKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not the private key of a GitHub App: store the whole PEM file that GitHub gave, with its first and last line"
)]
pub struct InvalidKey;

/// What a token may do. Never nothing: GitHub reads that as everything that the App may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Permissions {
    metadata: Access,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<Access>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contents: Option<Access>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issues: Option<Access>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_requests: Option<Access>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    Read,
    Write,
}

/// What speaks for an installation, for an hour.
#[derive(Clone, Debug)]
pub struct Token {
    pub token: SecretString,
    pub expires_at: Timestamp,
}

impl Permissions {
    /// To know that a repository is there, and who may what in it.
    pub const LOOK: Self =
        Self { metadata: Access::Read, checks: None, contents: None, issues: None, pull_requests: None };
    /// To know whose code a pull request is.
    pub const JUDGE: Self = Self { pull_requests: Some(Access::Read), ..Self::LOOK };
    /// To comment on issues and pull requests, and to react to comments.
    pub const COMMENT: Self = Self { issues: Some(Access::Write), pull_requests: Some(Access::Write), ..Self::LOOK };
    /// To fetch and push, and to open pull requests and take part in them.
    pub const WORK: Self = Self { contents: Some(Access::Write), pull_requests: Some(Access::Write), ..Self::LOOK };
    /// To keep check runs.
    pub const CHECK: Self = Self { checks: Some(Access::Write), ..Self::LOOK };
}

#[derive(Serialize)]
struct Claims {
    iat: i64,
    exp: i64,
    iss: String,
}

impl App {
    /// `private_key` is the PEM file that GitHub made, as PKCS #1 or rewritten as PKCS #8.
    pub fn new(http: Http, api: BaseUrl, app_id: u64, private_key: &SecretString) -> Result<Self, InvalidKey> {
        let key = EncodingKey::from_rsa_pem(private_key.expose_secret().trim().as_bytes()).map_err(|_| InvalidKey)?;
        let app = Self { http, api, app_id, key };
        // A PEM file may hold anything; what signs is a key.
        app.jwt(Timestamp::UNIX_EPOCH).map_err(|_| InvalidKey)?;
        Ok(app)
    }

    pub fn app_id(&self) -> u64 {
        self.app_id
    }

    /// The id of the installation that a repository is in. [`Error::NotFound`] where the App is not installed.
    pub async fn installation_of(&self, repository: &Repository, now: Timestamp) -> Result<u64, Error> {
        let answer = self.send(Method::GET, &repository.path(&["installation"]), now, |call| call).await?;
        Ok(answer.json::<Created>()?.id)
    }

    /// A token for one repository or several of an installation, and for no more than `permissions`. They are of one owner,
    /// whose installation it is, and there is no token for all of them.
    pub async fn installation_token(
        &self,
        installation: u64,
        repository: &Repository,
        others: &[Repository],
        permissions: Permissions,
        now: Timestamp,
    ) -> Result<Token, Error> {
        #[derive(Serialize)]
        struct Scope<'a> {
            repositories: Vec<&'a str>,
            permissions: Permissions,
        }
        #[derive(Deserialize)]
        struct Made {
            token: String,
            expires_at: Timestamp,
        }
        let repositories = [repository].into_iter().chain(others).map(Repository::name).collect();
        let scope = Scope { repositories, permissions };
        let installation = installation.to_string();
        let path = ["app", "installations", &installation, "access_tokens"];
        let Made { token, expires_at } = self.send(Method::POST, &path, now, |call| call.json(&scope)).await?.json()?;
        Ok(Token { token: token.into(), expires_at })
    }

    /// Whoever speaks with that token.
    pub fn installation(&self, token: SecretString) -> Installation {
        Installation::new(self.http.clone(), self.api.clone(), token)
    }

    pub(super) async fn send(
        &self,
        method: Method,
        path: &[&str],
        now: Timestamp,
        with: impl FnOnce(Call<'_>) -> Call<'_>,
    ) -> Result<Answer, Error> {
        let jwt = self.jwt(now)?;
        let call = Call::new(method, self.api.at(path), Credentials::Bearer(&jwt));
        self.http.send(with(versioned(call))).await
    }

    /// GitHub takes none that ends more than ten minutes from now or begins later than now, by its own clock: so it begins
    /// a minute early and ends a minute before it has to.
    fn jwt(&self, now: Timestamp) -> Result<SecretString, Error> {
        let claims = Claims {
            iat: (now - SignedDuration::from_mins(1)).as_second(),
            exp: (now + SignedDuration::from_mins(9)).as_second(),
            iss: self.app_id.to_string(),
        };
        let jwt = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.key);
        jwt.map(SecretString::from).map_err(|_| Error::Unauthorized)
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("api", &self.api).field("app_id", &self.app_id).finish_non_exhaustive()
    }
}
