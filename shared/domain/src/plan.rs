//! Plans: how many agents a team may run at once, how large, how long.

use serde::{Deserialize, Serialize};

/// What a plan allows. An operator may define others than the three that come with Ozma.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub name: String,
    /// Agents alive at once; the rest waits in the queue.
    pub concurrent_agents: u16,
    pub size: Size,
    /// The longest run, and the deadline of a run that sets none, in seconds.
    pub longest_run_seconds: u64,
}

/// The machine an agent gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    pub vcpus: u32,
    pub memory_mib: u64,
    pub disk_mib: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no plan \"{0}\"; choose free, build or max")]
pub struct UnknownPlan(pub String);

impl Plan {
    /// The plans that come with Ozma. The pairs of vCPU and memory are valid Fargate sizes; its free storage is 20 GiB.
    pub fn named(name: &str) -> Result<Self, UnknownPlan> {
        let (concurrent_agents, vcpus, hours) = match name {
            "free" => (4, 2, 1),
            "build" => (20, 4, 4),
            "max" => (40, 8, 12),
            _ => return Err(UnknownPlan(name.to_owned())),
        };
        Ok(Self {
            name: name.to_owned(),
            concurrent_agents,
            size: Size { vcpus, memory_mib: u64::from(vcpus) * 2 * 1024, disk_mib: 20 * 1024 },
            longest_run_seconds: hours * 3600,
        })
    }

    /// The seconds a run may take: its own limit, never more than the plan's.
    pub fn deadline_seconds(&self, asked: Option<u64>) -> u64 {
        asked.unwrap_or(self.longest_run_seconds).min(self.longest_run_seconds)
    }
}

impl Size {
    /// What this size costs on Fargate (x86-64, on demand, us-east-1), in millionths of a dollar. Billed per second, a
    /// minute at least. Prices: $0.04048 per vCPU hour, $0.004445 per GB hour (AWS Price List, 2025-07).
    pub fn fargate_micro_usd(&self, seconds: u64) -> u64 {
        let per_hour = u64::from(self.vcpus) * 40_480 + self.memory_mib * 4_445 / 1024;
        per_hour * seconds.max(60) / 3600
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: (u16, u32, u64)) {
        let plan = Plan::named(name).unwrap();
        assert_eq!((plan.concurrent_agents, plan.size.vcpus, plan.size.memory_mib), expected);
    }

    #[test]
    fn plans_are_as_sold() {
        check("free", (4, 2, 4 * 1024));
        check("build", (20, 4, 8 * 1024));
        check("max", (40, 8, 16 * 1024));
        assert!(Plan::named("gold").is_err());
    }

    #[test]
    fn a_run_never_outlasts_its_plan() {
        let plan = Plan::named("free").unwrap();
        assert_eq!(plan.deadline_seconds(None), 3600);
        assert_eq!(plan.deadline_seconds(Some(30)), 30);
        assert_eq!(plan.deadline_seconds(Some(90_000)), 3600);
    }

    #[test]
    fn ten_minutes_cost_what_the_price_list_says() {
        let micro_usd = |name| Plan::named(name).unwrap().size.fargate_micro_usd(600);
        assert_eq!([micro_usd("free"), micro_usd("build"), micro_usd("max")], [16_456, 32_913, 65_826]);
        assert_eq!(Plan::named("free").unwrap().size.fargate_micro_usd(1), 1_645);
    }
}
