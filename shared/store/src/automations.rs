//! Automations, and the uniqueness of their names.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use ozma_domain::automation::Automation;
use ozma_domain::id::{AutomationId, TeamId};
use ozma_domain::trigger::Source;
use serde::{Deserialize, Serialize};

use crate::environments::Saved;
use crate::error::StoreError;
use crate::item::{create, delete, delete_if, replace, to_item, update};
use crate::key::Key;
use crate::table::{Consistency, Order, Range, Store, Written};

/// An automation as read, with the version that a change of it must still find.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedAutomation {
    #[serde(flatten)]
    pub automation: Automation,
    #[serde(default)]
    pub version: u64,
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
        let range = Range {
            partition: Key::AutomationName(team, ""),
            from: None,
            to: None,
            order: Order::Ascending,
            consistency: Consistency::Strong,
            limit: usize::MAX,
        };
        let names: Vec<NameRow> = self.query(range).await?;
        let keys: Vec<Key<'_>> = names.iter().map(|row| Key::Automation(&row.id)).collect();
        let mut all: Vec<SavedAutomation> = self.get_all(&keys, Consistency::Strong).await?;
        all.sort_by(|a, b| a.automation.config.name.cmp(&b.automation.config.name));
        Ok(all)
    }

    pub async fn create_automation(&self, automation: &Automation) -> Result<Saved, StoreError> {
        let Automation { team, id, config, .. } = automation;
        let row = SavedAutomation { automation: automation.clone(), version: 1 };
        let mut writes = vec![
            create(&self.table, to_item(&row, &Key::Automation(id))?),
            create(&self.table, to_item(&NameRow { id: id.clone() }, &Key::AutomationName(team, &config.name))?),
        ];
        if let Some(on) = &config.trigger.on {
            writes.push(self.listener(automation, on)?);
        }
        match self.write("create an automation", writes).await? {
            Written::Now => Ok(Saved::Now),
            Written::Lost => self.verdict_on_name(team, &config.name, id, Saved::Now).await,
        }
    }

    pub async fn update_automation(&self, old: &SavedAutomation, new: &Automation) -> Result<Saved, StoreError> {
        let Automation { team, id, config, .. } = new;
        let key = Key::Automation(id);
        let row = SavedAutomation { automation: new.clone(), version: old.version + 1 };
        let mut writes = vec![update(&self.table, &key, &to_item(old, &key)?, &to_item(&row, &key)?)];
        let old_name = &old.automation.config.name;
        if *old_name != config.name {
            let name = to_item(&NameRow { id: id.clone() }, &Key::AutomationName(team, &config.name))?;
            writes.push(create(&self.table, name));
            writes.push(delete(&self.table, &Key::AutomationName(team, old_name)));
        }
        match (&old.automation.config.trigger.on, &config.trigger.on) {
            (before, now) if before == now => {}
            (_, Some(on)) => writes.push(self.listener(new, on)?),
            (_, None) => writes.push(delete(&self.table, &Key::Listener(team, id))),
        }
        match self.write("update an automation", writes).await? {
            Written::Now => Ok(Saved::Now),
            Written::Lost => self.verdict_on_name(team, &config.name, id, Saved::Lost).await,
        }
    }

    pub async fn delete_automation(&self, old: &SavedAutomation) -> Result<Written, StoreError> {
        let Automation { team, id, config, .. } = &old.automation;
        let version = AttributeValue::N(old.version.to_string());
        let writes = vec![
            delete_if(&self.table, &Key::Automation(id), "version", version),
            delete(&self.table, &Key::AutomationName(team, &config.name)),
            delete(&self.table, &Key::Listener(team, id)),
        ];
        self.write("delete an automation", writes).await
    }

    /// Every automation of the team that listens to something.
    pub async fn listeners(&self, team: &TeamId) -> Result<Vec<Listener>, StoreError> {
        let any = AutomationId::new([0; 16]);
        let range = Range {
            partition: Key::Listener(team, &any),
            from: None,
            to: None,
            order: Order::Ascending,
            consistency: Consistency::Strong,
            limit: usize::MAX,
        };
        self.query(range).await
    }

    /// Those of the automations that there are, in no particular order.
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
