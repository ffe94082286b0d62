//! Everything a use case needs, as one value built at boot.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use ozma_domain::answer::PublicUrl;
use ozma_domain::id::{DeliveryId, RunId, TeamId};
use ozma_domain::plan::Plan;
use ozma_domain::receiver::Reach;
use ozma_store::{Archive, Store, StoreError, TeamRow};
use secrecy::SecretString;

use crate::maskers::Maskers;
use crate::ports::{Bus, Clock, Launcher, Queue, Timer, Vault};

#[derive(Clone)]
pub struct App {
    pub store: Store,
    pub archive: Archive,
    pub queue: Arc<dyn Queue>,
    pub timer: Arc<dyn Timer>,
    pub launcher: Arc<dyn Launcher>,
    pub bus: Arc<dyn Bus>,
    pub vault: Arc<dyn Vault>,
    pub clock: Arc<dyn Clock>,
    pub settings: Arc<Settings>,
    pub maskers: Maskers,
}

#[derive(Clone)]
pub struct Settings {
    /// How often an agent shows a sign of life, and how often at most its lease is written.
    pub heartbeat_seconds: i64,
    /// Silent for this long, an agent counts as lost.
    pub lease_seconds: i64,
    /// From taking a slot to the agent's claim; see [`ozma_domain::limits::START_SECONDS`].
    pub start_seconds: i64,
    /// A launch that left no container behind is repeated after this long.
    pub relaunch_seconds: i64,
    /// What claim tokens are derived from.
    pub claim_key: SecretString,
    /// What the secrets of webhooks and subscriptions are derived from.
    pub webhook_key: SecretString,
    /// The Ed25519 seed that signs audit manifests.
    pub signing_seed: [u8; 32],
    /// Where notifications may go.
    pub receivers: Reach,
    /// Where people find the dashboard: answers link to the pages of runs there.
    pub public_url: Option<PublicUrl>,
    /// Whether compute costs money here. On a laptop it does not; the run then tells what it would cost on Fargate.
    pub billed: bool,
}

impl App {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// For a new id.
    pub(crate) fn random_bits(&self) -> [u8; 16] {
        let mut bits = [0; 16];
        bits.copy_from_slice(&self.clock.random()[..16]);
        bits
    }

    pub(crate) fn new_run_id(&self, now: Timestamp) -> RunId {
        RunId::new(u64::try_from(now.as_millisecond()).unwrap_or(0), self.id_bits())
    }

    pub(crate) fn new_delivery_id(&self, now: Timestamp) -> DeliveryId {
        DeliveryId::new(u64::try_from(now.as_millisecond()).unwrap_or(0), self.id_bits())
    }

    /// What tells an id from others of its millisecond.
    pub(crate) fn id_bits(&self) -> [u8; 10] {
        let mut bits = [0; 10];
        bits.copy_from_slice(&self.clock.random()[..10]);
        bits
    }

    /// The plan of a team.
    pub async fn plan(&self, team: &TeamId) -> Result<Plan, StoreError> {
        Ok(self.team(team).await?.plan)
    }

    /// A team; one without a row has the smallest plan.
    pub(crate) async fn team(&self, team: &TeamId) -> Result<TeamRow, StoreError> {
        let smallest = || Plan::named("free").expect("a plan that comes with Ozma");
        Ok(self.store.team(team).await?.unwrap_or_else(|| TeamRow::new(team.clone(), smallest())))
    }
}

pub(crate) fn after(at: Timestamp, seconds: i64) -> Timestamp {
    at.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}
