//! Runners, environments and agents: what a team lists, each under a name that no other of its kind has.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use ozma_domain::definition::{Kind, SetName};
use ozma_domain::environment::Environment;
use ozma_domain::id::{AgentId, EnvironmentId, RunnerId, TeamId};
use ozma_domain::named_agent::NamedAgent;
use ozma_domain::runner::Runner;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::change::Alter;
use crate::error::StoreError;
use crate::item::{create, delete, delete_if, to_item, update};
use crate::key::Key;
use crate::table::{Consistency, Range, Store, Written};

/// What is stored as such a row.
pub trait Resource: Clone + Serialize + DeserializeOwned + Send + Sync {
    const KIND: Kind;
    type Id: AsRef<str> + Send + Sync;

    fn team(&self) -> &TeamId;
    fn uid(&self) -> &Self::Id;
    /// Unique among those of its kind in its team.
    fn name(&self) -> &str;
}

macro_rules! resources {
    ($($Resource:ident, $Id:ident, $Kind:ident;)+) => {$(
        impl Resource for $Resource {
            const KIND: Kind = Kind::$Kind;
            type Id = $Id;

            fn team(&self) -> &TeamId {
                &self.team
            }

            fn uid(&self) -> &$Id {
                &self.uid
            }

            fn name(&self) -> &str {
                &self.config.name
            }
        }
    )+};
}

resources! {
    Runner, RunnerId, Runner;
    Environment, EnvironmentId, Environment;
    NamedAgent, AgentId, Agent;
}

/// A resource as read, with the version that a change of it must still find.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stored<R> {
    #[serde(flatten)]
    pub value: R,
    #[serde(default)]
    pub version: u64,
    /// The set whose apply made it. None: somebody made it by hand.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub set: Option<SetName>,
}

impl<R> Stored<R> {
    /// A new one.
    pub fn new(value: R) -> Self {
        Self { value, version: 1, set: None }
    }

    /// The same row with what it is to hold next.
    pub fn with(&self, value: R) -> Self {
        Self { value, version: self.version + 1, set: self.set.clone() }
    }
}

/// What became of a save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    Now,
    /// Another of that kind in the team has that name.
    NameTaken,
    /// Changed or deleted meanwhile.
    Lost,
}

#[derive(Serialize, Deserialize)]
struct NameRow {
    uid: String,
}

impl Store {
    pub async fn resource<R: Resource>(&self, team: &TeamId, uid: &R::Id) -> Result<Option<Stored<R>>, StoreError> {
        self.get(&Key::Resource(team, R::KIND, uid.as_ref()), Consistency::Strong).await
    }

    pub async fn resource_named<R: Resource>(
        &self,
        team: &TeamId,
        name: &str,
    ) -> Result<Option<Stored<R>>, StoreError> {
        let Some(uid) = self.uid_of(team, R::KIND, name).await? else { return Ok(None) };
        self.get(&Key::Resource(team, R::KIND, &uid), Consistency::Strong).await
    }

    /// Every one of that kind that the team has.
    pub async fn resources<R: Resource>(&self, team: &TeamId) -> Result<Vec<Stored<R>>, StoreError> {
        self.query(Range::all(Key::Resource(team, R::KIND, ""))).await
    }

    pub async fn environment(
        &self,
        team: &TeamId,
        uid: &EnvironmentId,
    ) -> Result<Option<Stored<Environment>>, StoreError> {
        self.resource(team, uid).await
    }

    pub async fn create_resource<R: Resource>(&self, new: &R) -> Result<Saved, StoreError> {
        let writes = self.resource_writes(&Alter::Create(&Stored::new(new.clone())))?;
        match self.write("create a resource", writes).await? {
            Written::Now => Ok(Saved::Now),
            Written::Lost => self.verdict_on_resource(new, Saved::Now).await,
        }
    }

    pub async fn update_resource<R: Resource>(&self, old: &Stored<R>, new: &R) -> Result<Saved, StoreError> {
        let writes = self.resource_writes(&Alter::Update { old, new: &old.with(new.clone()) })?;
        match self.write("update a resource", writes).await? {
            Written::Now => Ok(Saved::Now),
            Written::Lost => self.verdict_on_resource(new, Saved::Lost).await,
        }
    }

    pub async fn delete_resource<R: Resource>(&self, old: &Stored<R>) -> Result<Written, StoreError> {
        self.write("delete a resource", self.resource_writes(&Alter::Delete(old))?).await
    }

    pub(crate) fn resource_writes<R: Resource>(
        &self,
        alter: &Alter<&Stored<R>>,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        fn key<R: Resource>(value: &R) -> Key<'_> {
            Key::Resource(value.team(), R::KIND, value.uid().as_ref())
        }
        fn name_key<R: Resource>(value: &R) -> Key<'_> {
            Key::ResourceName(value.team(), R::KIND, value.name())
        }
        let name = |value: &R| {
            let uid = value.uid().as_ref().to_owned();
            to_item(&NameRow { uid }, &name_key(value))
        };
        Ok(match *alter {
            Alter::Create(row) => {
                vec![create(&self.table, to_item(row, &key(&row.value))?), create(&self.table, name(&row.value)?)]
            }
            Alter::Update { old, new } => {
                let key = key(&old.value);
                let mut writes = vec![update(&self.table, &key, &to_item(old, &key)?, &to_item(new, &key)?)];
                if old.value.name() != new.value.name() {
                    writes.push(create(&self.table, name(&new.value)?));
                    writes.push(delete(&self.table, &name_key(&old.value)));
                }
                writes
            }
            Alter::Delete(old) => {
                let version = AttributeValue::N(old.version.to_string());
                vec![
                    delete_if(&self.table, &key(&old.value), "version", version),
                    delete(&self.table, &name_key(&old.value)),
                ]
            }
            Alter::Keep(_) => Vec::new(),
        })
    }

    async fn uid_of(&self, team: &TeamId, kind: Kind, name: &str) -> Result<Option<String>, StoreError> {
        let row: Option<NameRow> = self.get(&Key::ResourceName(team, kind, name), Consistency::Strong).await?;
        Ok(row.map(|row| row.uid))
    }

    /// Why a save was refused: the name is another's, or `otherwise`.
    async fn verdict_on_resource<R: Resource>(&self, new: &R, otherwise: Saved) -> Result<Saved, StoreError> {
        let owner = self.uid_of(new.team(), R::KIND, new.name()).await?;
        Ok(if owner.is_some_and(|owner| owner != new.uid().as_ref()) { Saved::NameTaken } else { otherwise })
    }
}
