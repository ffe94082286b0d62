//! Automations, and the uniqueness of their names.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use ozma_domain::automation::Automation;
use ozma_domain::definition::SetName;
use ozma_domain::id::{AutomationId, TeamId};
use ozma_domain::trigger::Source;
use serde::{Deserialize, Serialize};

use crate::change::Alter;
use crate::error::StoreError;
use crate::item::{create, delete, delete_if, replace, to_item, update};
use crate::key::Key;
use crate::resources::Saved;
use crate::table::{Consistency, Range, Store, Written};

/// An automation as read, with the version that a change of it must still find.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedAutomation {
    #[serde(flatten)]
    pub automation: Automation,
    #[serde(default)]
    pub version: u64,
    /// The set whose apply made it. None: somebody made it by hand.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub set: Option<SetName>,
}

impl SavedAutomation {
    /// A new one.
    pub fn new(automation: Automation) -> Self {
        Self { automation, version: 1, set: None }
    }

    /// The same row with what it is to hold next.
    pub fn with(&self, automation: Automation) -> Self {
        Self { automation, version: self.version + 1, set: self.set.clone() }
    }
}

/// An automation that listens, and to what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    pub id: AutomationId,
    pub on: Source,
}

#[derive(Serialize, Deserialize)]
struct NameRow {
    id: AutomationId,
}

impl Store {
    pub async fn automation(&self, id: &AutomationId) -> Result<Option<SavedAutomation>, StoreError> {
        self.get(&Key::Automation(id), Consistency::Strong).await
    }

    pub async fn automation_named(&self, team: &TeamId, name: &str) -> Result<Option<AutomationId>, StoreError> {
        let row: Option<NameRow> = self.get(&Key::AutomationName(team, name), Consistency::Strong).await?;
        Ok(row.map(|row| row.id))
    }

    /// Every automation of the team, by name.
    pub async fn automations(&self, team: &TeamId) -> Result<Vec<SavedAutomation>, StoreError> {
        let names = self.automation_names(team, usize::MAX).await?;
        let keys: Vec<Key<'_>> = names.iter().map(|row| Key::Automation(&row.id)).collect();
        let mut all: Vec<SavedAutomation> = self.get_all(&keys, Consistency::Strong).await?;
        all.sort_by(|a, b| a.automation.config.name.cmp(&b.automation.config.name));
        Ok(all)
    }

    pub async fn create_automation(&self, automation: &Automation) -> Result<Saved, StoreError> {
        let Automation { team, id, config, .. } = automation;
        let writes = self.automation_writes(&Alter::Create(&SavedAutomation::new(automation.clone())))?;
        match self.write("create an automation", writes).await? {
            Written::Now => Ok(Saved::Now),
            Written::Lost => self.verdict_on_name(team, &config.name, id, Saved::Now).await,
        }
    }

    pub async fn update_automation(&self, old: &SavedAutomation, new: &Automation) -> Result<Saved, StoreError> {
        let Automation { team, id, config, .. } = new;
        let writes = self.automation_writes(&Alter::Update { old, new: &old.with(new.clone()) })?;
        match self.write("update an automation", writes).await? {
            Written::Now => Ok(Saved::Now),
            Written::Lost => self.verdict_on_name(team, &config.name, id, Saved::Lost).await,
        }
    }

    pub async fn delete_automation(&self, old: &SavedAutomation) -> Result<Written, StoreError> {
        self.write("delete an automation", self.automation_writes(&Alter::Delete(old))?).await
    }

    pub(crate) fn automation_writes(
        &self,
        alter: &Alter<&SavedAutomation>,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let name = |Automation { id, team, config, .. }: &Automation| {
            to_item(&NameRow { id: id.clone() }, &Key::AutomationName(team, &config.name))
        };
        let mut writes = Vec::new();
        match *alter {
            Alter::Create(row) => {
                let Automation { id, config, .. } = &row.automation;
                writes.push(create(&self.table, to_item(row, &Key::Automation(id))?));
                writes.push(create(&self.table, name(&row.automation)?));
                if let Some(on) = &config.trigger.on {
                    writes.push(self.listener(&row.automation, on)?);
                }
            }
            Alter::Update { old, new } => {
                let Automation { team, id, config: before, .. } = &old.automation;
                let now = &new.automation.config;
                let key = Key::Automation(id);
                writes.push(update(&self.table, &key, &to_item(old, &key)?, &to_item(new, &key)?));
                if before.name != now.name {
                    writes.push(create(&self.table, name(&new.automation)?));
                    writes.push(delete(&self.table, &Key::AutomationName(team, &before.name)));
                }
                match (&before.trigger.on, &now.trigger.on) {
                    (before, now) if before == now => {}
                    (_, Some(on)) => writes.push(self.listener(&new.automation, on)?),
                    (_, None) => writes.push(delete(&self.table, &Key::Listener(team, id))),
                }
            }
            Alter::Delete(old) => {
                let Automation { team, id, config, .. } = &old.automation;
                let version = AttributeValue::N(old.version.to_string());
                writes.push(delete_if(&self.table, &Key::Automation(id), "version", version));
                writes.push(delete(&self.table, &Key::AutomationName(team, &config.name)));
                writes.push(delete(&self.table, &Key::Listener(team, id)));
            }
            Alter::Keep(_) => {}
        }
        Ok(writes)
    }

    /// Every automation of the team that listens to something.
    pub async fn listeners(&self, team: &TeamId) -> Result<Vec<Listener>, StoreError> {
        let any = AutomationId::new([0; 16]);
        self.query(Range::all(Key::Listener(team, &any))).await
    }

    /// Those of the automations that there are, in no particular order.
    /// How many automations the team has, counted up to `most`.
    pub async fn automation_count(&self, team: &TeamId, most: usize) -> Result<usize, StoreError> {
        Ok(self.automation_names(team, most).await?.len())
    }

    async fn automation_names(&self, team: &TeamId, limit: usize) -> Result<Vec<NameRow>, StoreError> {
        let range = Range { limit, ..Range::all(Key::AutomationName(team, "")) };
        self.query(range).await
    }

    pub async fn automations_of(&self, ids: &[AutomationId]) -> Result<Vec<SavedAutomation>, StoreError> {
        self.get_all(&ids.iter().map(Key::Automation).collect::<Vec<_>>(), Consistency::Strong).await
    }

    fn listener(&self, automation: &Automation, on: &Source) -> Result<TransactWriteItem, StoreError> {
        let row = Listener { id: automation.id.clone(), on: on.clone() };
        Ok(replace(&self.table, to_item(&row, &Key::Listener(&automation.team, &automation.id))?))
    }

    /// Why a save was refused: the name is another's, or `otherwise`.
    async fn verdict_on_name(
        &self,
        team: &TeamId,
        name: &str,
        id: &AutomationId,
        otherwise: Saved,
    ) -> Result<Saved, StoreError> {
        let owner = self.automation_named(team, name).await?;
        Ok(if owner.is_some_and(|owner| owner != *id) { Saved::NameTaken } else { otherwise })
    }
}
