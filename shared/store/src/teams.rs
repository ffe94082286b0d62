//! Teams and their plans.

use jiff::Timestamp;
use ozma_domain::id::{DeliveryId, SubscriptionId, TeamId};
use ozma_domain::plan::Plan;
use ozma_domain::team_settings::TeamSettings;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::item::{replace, set_if_there, to_item};
use crate::key::Key;
use crate::table::{Consistency, Range, Store, Written};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamRow {
    pub team: TeamId,
    pub plan: Plan,
    /// Nothing is owed of runs that ended before this: where the sweep starts to look.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub swept_until: Option<Timestamp>,
    /// No delivery before this one owes a run: where the sweep starts to look.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deliveries_swept: Option<DeliveryId>,
    /// When services were last asked what they could not deliver. None: no webhook has had one to ask.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sought_at: Option<Timestamp>,
    /// There was no room for an agent of this team, or nothing left for one: until then nobody asks again, and then one first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hold: Option<Hold>,
    /// Nobody is started until somebody resumes the team.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub paused: Option<Pause>,
    #[serde(default)]
    pub settings: TeamSettings,
    /// The subscription that was made last. None: there are none, which whoever ends a run learns here, for one read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subscribed: Option<SubscriptionId>,
}

/// Who paused, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub by: String,
    pub at: Timestamp,
}

/// Why a team's runs wait although slots are free, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub until: Timestamp,
    pub reason: String,
    #[serde(default)]
    pub want: Want,
}

/// What a team has not got enough of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    /// Machines.
    #[default]
    Room,
    /// What its agents at work have reserved of its budget.
    Budget,
}

impl TeamRow {
    pub fn new(team: TeamId, plan: Plan) -> Self {
        Self {
            team,
            plan,
            swept_until: None,
            deliveries_swept: None,
            sought_at: None,
            hold: None,
            paused: None,
            settings: TeamSettings::default(),
            subscribed: None,
        }
    }

    pub fn is_held(&self, now: Timestamp) -> bool {
        self.held(now).is_some()
    }

    pub fn held(&self, now: Timestamp) -> Option<&Hold> {
        self.hold.as_ref().filter(|hold| hold.until > now)
    }
}

impl Store {
    pub async fn team(&self, team: &TeamId) -> Result<Option<TeamRow>, StoreError> {
        self.get(&Key::Team(team), Consistency::Strong).await
    }

    pub async fn teams(&self) -> Result<Vec<TeamRow>, StoreError> {
        let nobody: TeamId = "nobody".parse().expect("a valid team id");
        self.query(Range::all(Key::Team(&nobody))).await
    }

    /// Notes up to when nothing is owed, beside whatever else is being written to the team.
    pub async fn mark_swept(&self, team: &TeamId, until: Timestamp) -> Result<(), StoreError> {
        let _ = self.set(team, "swept_until", Some(&until)).await?;
        Ok(())
    }

    /// Notes before which delivery no run is owed.
    pub async fn mark_deliveries_swept(&self, team: &TeamId, before: DeliveryId) -> Result<(), StoreError> {
        let _ = self.set(team, "deliveries_swept", Some(&before)).await?;
        Ok(())
    }

    /// Notes when services were last asked what they could not deliver; at first, that there is one to ask.
    pub async fn mark_sought(&self, team: &TeamId, at: Timestamp) -> Result<(), StoreError> {
        let _ = self.set(team, "sought_at", Some(&at)).await?;
        Ok(())
    }

    /// Nobody of the team is started until then. A team without a row is not held.
    pub async fn hold(&self, team: &TeamId, hold: &Hold) -> Result<(), StoreError> {
        let _ = self.set(team, "hold", Some(hold)).await?;
        Ok(())
    }

    /// There is room again.
    pub async fn release(&self, team: &TeamId) -> Result<(), StoreError> {
        let _ = self.set(team, "hold", None::<&Hold>).await?;
        Ok(())
    }

    /// Pauses a team, or with none resumes it. Lost: there is no such row.
    pub async fn pause(&self, team: &TeamId, pause: Option<&Pause>) -> Result<Written, StoreError> {
        self.set(team, "paused", pause).await
    }

    /// Replaces what the team set for itself.
    pub async fn put_settings(&self, team: &TeamId, settings: &TeamSettings) -> Result<Written, StoreError> {
        self.set(team, "settings", Some(settings)).await
    }

    async fn set(&self, team: &TeamId, name: &str, value: Option<&impl Serialize>) -> Result<Written, StoreError> {
        let value = value.map(serde_dynamo::to_attribute_value).transpose();
        let value = value.map_err(|err| StoreError::unreadable(format!("{name} of a team"), err))?;
        self.write("change a team", vec![set_if_there(&self.table, &Key::Team(team), name, value)]).await
    }

    /// Creates or replaces.
    pub async fn put_team(&self, row: &TeamRow) -> Result<(), StoreError> {
        let _ = self.write("save a team", vec![replace(&self.table, to_item(row, &Key::Team(&row.team))?)]).await?;
        Ok(())
    }
}
