//! Environments, and the uniqueness of their names.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use ozma_domain::definition::SetName;
use ozma_domain::environment::Environment;
use ozma_domain::id::{EnvironmentId, TeamId};
use serde::{Deserialize, Serialize};

use crate::change::Alter;
use crate::error::StoreError;
use crate::item::{create, delete, delete_if, to_item, update};
use crate::key::Key;
use crate::table::{Consistency, Range, Store, Written};

/// An environment as read, with the version that a change of it must still find.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedEnvironment {
    #[serde(flatten)]
    pub environment: Environment,
    #[serde(default)]
    pub version: u64,
    /// The set whose apply made it. None: somebody made it by hand.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub set: Option<SetName>,
}

impl SavedEnvironment {
    /// A new one.
    pub fn new(environment: Environment) -> Self {
        Self { environment, version: 1, set: None }
    }

    /// The same row with what it is to hold next.
    pub fn with(&self, environment: Environment) -> Self {
        Self { environment, version: self.version + 1, set: self.set.clone() }
    }
}

/// What became of a save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    Now,
    /// Another environment of the team has that name.
    NameTaken,
    /// Changed or deleted meanwhile.
    Lost,
}

#[derive(Serialize, Deserialize)]
struct NameRow {
    uid: EnvironmentId,
}

impl Store {
    pub async fn environment(
        &self,
        team: &TeamId,
        uid: &EnvironmentId,
    ) -> Result<Option<SavedEnvironment>, StoreError> {
        self.get(&Key::Environment(team, uid), Consistency::Strong).await
    }

    pub async fn environment_named(&self, team: &TeamId, name: &str) -> Result<Option<EnvironmentId>, StoreError> {
        let row: Option<NameRow> = self.get(&Key::EnvironmentName(team, name), Consistency::Strong).await?;
        Ok(row.map(|row| row.uid))
    }

    pub async fn environments(&self, team: &TeamId) -> Result<Vec<SavedEnvironment>, StoreError> {
        let nobody = EnvironmentId::new([0; 16]);
        self.query(Range::all(Key::Environment(team, &nobody))).await
    }

    pub async fn create_environment(&self, environment: &Environment) -> Result<Saved, StoreError> {
        let Environment { team, uid, config, .. } = environment;
        let writes = self.environment_writes(&Alter::Create(&SavedEnvironment::new(environment.clone())))?;
        match self.write("create an environment", writes).await? {
            Written::Now => Ok(Saved::Now),
            Written::Lost => self.name_verdict(team, &config.name, uid, Saved::Now).await,
        }
    }

    pub async fn update_environment(&self, old: &SavedEnvironment, new: &Environment) -> Result<Saved, StoreError> {
        let Environment { team, uid, config, .. } = new;
        let writes = self.environment_writes(&Alter::Update { old, new: &old.with(new.clone()) })?;
        match self.write("update an environment", writes).await? {
            Written::Now => Ok(Saved::Now),
            Written::Lost => self.name_verdict(team, &config.name, uid, Saved::Lost).await,
        }
    }

    /// Whether there was one.
    pub async fn delete_environment(&self, old: &SavedEnvironment) -> Result<Written, StoreError> {
        self.write("delete an environment", self.environment_writes(&Alter::Delete(old))?).await
    }

    pub(crate) fn environment_writes(
        &self,
        alter: &Alter<&SavedEnvironment>,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let name = |Environment { uid, team, config, .. }: &Environment| {
            to_item(&NameRow { uid: uid.clone() }, &Key::EnvironmentName(team, &config.name))
        };
        Ok(match *alter {
            Alter::Create(row) => {
                let Environment { team, uid, .. } = &row.environment;
                vec![
                    create(&self.table, to_item(row, &Key::Environment(team, uid))?),
                    create(&self.table, name(&row.environment)?),
                ]
            }
            Alter::Update { old, new } => {
                let Environment { team, uid, config, .. } = &old.environment;
                let key = Key::Environment(team, uid);
                let mut writes = vec![update(&self.table, &key, &to_item(old, &key)?, &to_item(new, &key)?)];
                if config.name != new.environment.config.name {
                    writes.push(create(&self.table, name(&new.environment)?));
                    writes.push(delete(&self.table, &Key::EnvironmentName(team, &config.name)));
                }
                writes
            }
            Alter::Delete(old) => {
                let Environment { team, uid, config, .. } = &old.environment;
                let version = AttributeValue::N(old.version.to_string());
                vec![
                    delete_if(&self.table, &Key::Environment(team, uid), "version", version),
                    delete(&self.table, &Key::EnvironmentName(team, &config.name)),
                ]
            }
            Alter::Keep(_) => Vec::new(),
        })
    }

    /// Why a save was refused: the name is another's, or `otherwise`.
    async fn name_verdict(
        &self,
        team: &TeamId,
        name: &str,
        uid: &EnvironmentId,
        otherwise: Saved,
    ) -> Result<Saved, StoreError> {
        let owner = self.environment_named(team, name).await?;
        Ok(if owner.is_some_and(|owner| owner != *uid) { Saved::NameTaken } else { otherwise })
    }
}
