//! Secrets in Secrets Manager, as `<prefix>/<team>/<name>`; those that an environment refers to are read where they are,
//! and roles are assumed for it. Values are read at a claim alone.

use async_trait::async_trait;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use aws_sdk_secretsmanager::primitives::DateTime;
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType};
use jiff::Timestamp;
use ozma_app::ports::{PortError, SecretMetadata, Vault};
use ozma_domain::aws::{RoleArn, SecretReference};
use ozma_domain::id::{SecretName, TeamId};
use ozma_domain::limits::SECRET_BYTES;
use ozma_domain::protocol::AwsCredentials;
use secrecy::{ExposeSecret, SecretString};

pub struct AwsVault {
    pub secrets: aws_sdk_secretsmanager::Client,
    pub parameters: aws_sdk_ssm::Client,
    pub roles: aws_sdk_sts::Client,
    /// What the names of this installation's secrets begin with.
    pub prefix: String,
}

/// A role assumed by a role lasts an hour at most (STS, "role chaining"); its holder asks again.
const SESSION_SECONDS: i32 = 3_600;

impl AwsVault {
    fn id(&self, team: &TeamId, name: &SecretName) -> String {
        format!("{}/{team}/{name}", self.prefix)
    }

    async fn read(&self, id: &str, none: fn(Option<&str>) -> bool) -> Result<Option<SecretString>, PortError> {
        match self.secrets.get_secret_value().secret_id(id).send().await {
            Ok(answer) => Ok(answer.secret_string.map(SecretString::from)),
            Err(err) if none(err.code()) => Ok(None),
            Err(err) => Err(PortError::because("could not read a secret", err)),
        }
    }
}

#[async_trait]
impl Vault for AwsVault {
    async fn put(&self, team: &TeamId, name: &SecretName, value: SecretString) -> Result<(), PortError> {
        if value.expose_secret().len() > SECRET_BYTES {
            return Err(PortError::new(format!("the secret {name} is larger than {SECRET_BYTES} bytes")));
        }
        let id = self.id(team, name);
        let put = || self.secrets.put_secret_value().secret_id(&id).secret_string(value.expose_secret()).send();
        let not_replaced = |err| PortError::because("could not replace a secret", err);
        match put().await {
            Ok(_) => return Ok(()),
            Err(err) if err.code() == Some("ResourceNotFoundException") => {}
            // Deleted with a time for recovery, as a teardown of the installation does: its name is taken until then.
            Err(err) if err.code() == Some("InvalidRequestException") => {
                let restore = self.secrets.restore_secret().secret_id(&id).send().await;
                restore.map_err(|err| PortError::because("could not restore a secret that is being deleted", err))?;
                return put().await.map(drop).map_err(not_replaced);
            }
            Err(err) => return Err(not_replaced(err)),
        }
        let create = self.secrets.create_secret().name(&id).secret_string(value.expose_secret());
        match create.send().await {
            Ok(_) => Ok(()),
            // Somebody else created it between the two calls.
            Err(err) if err.code() == Some("ResourceExistsException") => put().await.map(drop).map_err(not_replaced),
            Err(err) => Err(PortError::because("could not create a secret", err)),
        }
    }

    async fn delete(&self, team: &TeamId, name: &SecretName) -> Result<bool, PortError> {
        let id = self.id(team, name);
        // Deleting does not say whether there was one.
        if self.find(team, name).await?.is_none() {
            return Ok(false);
        }
        // Kept for recovery, its name could not be used again for a week.
        let delete = self.secrets.delete_secret().secret_id(&id).force_delete_without_recovery(true);
        match delete.send().await {
            Ok(_) => Ok(true),
            Err(err) if is_absent(err.code()) => Ok(false),
            Err(err) => Err(PortError::because("could not delete a secret", err)),
        }
    }

    async fn list(&self, team: &TeamId) -> Result<Vec<SecretMetadata>, PortError> {
        let prefix = format!("{}/{team}/", self.prefix);
        let filter = Filter::builder().key(FilterNameStringType::Name).values(&prefix).build();
        let mut pages = self.secrets.list_secrets().filters(filter).max_results(100).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|err| PortError::because("could not list secrets", err))?;
            for secret in page.secret_list() {
                let name = secret.name().and_then(|name| name.strip_prefix(&prefix)).and_then(|name| name.parse().ok());
                let Some(name) = name.filter(|_| secret.deleted_date().is_none()) else { continue };
                let created_at = timestamp(secret.created_date());
                let updated_at = secret.last_changed_date().map_or(created_at, |at| timestamp(Some(at)));
                found.push(SecretMetadata { name, created_at, updated_at });
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// `ListSecrets` may be five minutes behind; this is not.
    async fn find(&self, team: &TeamId, name: &SecretName) -> Result<Option<SecretMetadata>, PortError> {
        match self.secrets.describe_secret().secret_id(self.id(team, name)).send().await {
            Ok(found) if found.deleted_date().is_some() => Ok(None),
            Ok(found) => {
                let created_at = timestamp(found.created_date());
                let updated_at = found.last_changed_date().map_or(created_at, |at| timestamp(Some(at)));
                Ok(Some(SecretMetadata { name: name.clone(), created_at, updated_at }))
            }
            Err(err) if is_absent(err.code()) => Ok(None),
            Err(err) => Err(PortError::because("could not look for a secret", err)),
        }
    }

    async fn get(&self, team: &TeamId, name: &SecretName) -> Result<Option<SecretString>, PortError> {
        self.read(&self.id(team, name), is_absent).await
    }

    async fn get_reference(&self, reference: &SecretReference) -> Result<Option<SecretString>, PortError> {
        match reference {
            SecretReference::Secret(arn) => self.read(arn, is_out_of_reach).await,
            SecretReference::Parameter(arn) => {
                match self.parameters.get_parameter().name(arn).with_decryption(true).send().await {
                    Ok(answer) => Ok(answer.parameter.and_then(|found| found.value).map(SecretString::from)),
                    Err(err) if is_out_of_reach(err.code()) => Ok(None),
                    Err(err) => Err(PortError::because("could not read a parameter", err)),
                }
            }
        }
    }

    async fn assume(&self, role: &RoleArn, session: &str) -> Result<Option<AwsCredentials>, PortError> {
        let assume = self.roles.assume_role().role_arn(role.as_str()).role_session_name(session);
        match assume.duration_seconds(SESSION_SECONDS).send().await {
            Ok(answer) => Ok(answer.credentials.map(|given| AwsCredentials {
                expiration: timestamp(Some(given.expiration())),
                access_key_id: given.access_key_id,
                secret_access_key: given.secret_access_key,
                token: given.session_token,
            })),
            Err(err) if is_out_of_reach(err.code()) => Ok(None),
            Err(err) => Err(PortError::because("could not assume a role", err)),
        }
    }
}

/// Not there, or on its way out.
fn is_absent(code: Option<&str>) -> bool {
    const CODES: [&str; 4] =
        ["ResourceNotFoundException", "InvalidRequestException", "ParameterNotFound", "ParameterVersionNotFound"];
    code.is_some_and(|code| CODES.contains(&code))
}

/// The same, or not for us to read: to an environment that refers to it, that is one.
fn is_out_of_reach(code: Option<&str>) -> bool {
    is_absent(code) || matches!(code, Some("AccessDeniedException" | "AccessDenied"))
}

fn timestamp(at: Option<&DateTime>) -> Timestamp {
    at.and_then(|at| at.to_millis().ok()).and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default()
}
