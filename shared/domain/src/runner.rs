//! Runners: which machine an agent works on. What it works in is its environment.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::checks;
use crate::definition::Need;
use crate::environment::EnvironmentConfig;
use crate::id::{RunnerId, TeamId};
use crate::limits;
use crate::plan::Size;
use crate::template::InvalidField;

/// A runner as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runner {
    pub uid: RunnerId,
    pub team: TeamId,
    pub config: RunnerConfig,
    pub created_at: Timestamp,
    pub last_updated: Timestamp,
}

/// What a user sets. `name` is unique within the team.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunnerConfig {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// In the place of the environment's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker_image: Option<String>,
    /// Before those of the environment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub setup_commands: Vec<String>,
    /// The plan's, if none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
}

/// A machine smaller than the plan's: what is larger is cut to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    pub vcpus: u32,
    pub memory_gib: u32,
}

/// A runner, as a run remembers it: as it was when the run was accepted, its shape aside, which is on the run's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerSnapshot {
    pub uid: RunnerId,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub docker_image: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub setup_commands: Vec<String>,
}

impl RunnerConfig {
    /// What it names of others: nothing.
    pub fn needs(&self) -> Vec<Need<'_>> {
        Vec::new()
    }

    /// Whether an agent could work on this.
    pub fn check(&self) -> Result<(), InvalidField> {
        checks::name("a runner", &self.name)?;
        checks::description(self.description.as_deref())?;
        checks::docker_image(self.docker_image.as_deref())?;
        checks::setup_commands(&self.setup_commands)?;
        if self.setup_commands.iter().map(String::len).sum::<usize>() > limits::RUNNER_BYTES {
            let reason = "hold more than 16 KiB together; make an image that has what they set up";
            return Err(InvalidField::new("setup_commands", reason));
        }
        self.shape.map_or(Ok(()), Shape::check)
    }
}

impl Runner {
    pub fn snapshot(&self) -> RunnerSnapshot {
        RunnerSnapshot {
            uid: self.uid.clone(),
            name: self.config.name.clone(),
            docker_image: self.config.docker_image.clone(),
            setup_commands: self.config.setup_commands.clone(),
        }
    }
}

impl RunnerSnapshot {
    /// The environment as it is on this machine.
    pub fn prepare(&self, environment: &mut EnvironmentConfig) {
        if self.docker_image.is_some() {
            environment.docker_image.clone_from(&self.docker_image);
        }
        environment.setup_commands.splice(..0, self.setup_commands.iter().cloned());
    }
}

impl Shape {
    /// Whether Fargate has such a machine ("Task CPU and memory" of the Amazon ECS Developer Guide): by vCPUs, from how many
    /// GiB to how many, and in which steps.
    fn check(self) -> Result<(), InvalidField> {
        let (least, most, step) = match self.vcpus {
            1 => (2, 8, 1),
            2 => (4, 16, 1),
            4 => (8, 30, 1),
            8 => (16, 60, 4),
            16 => (32, 120, 8),
            _ => return Err(InvalidField::new("vcpus", "1, 2, 4, 8 or 16")),
        };
        let gib = self.memory_gib;
        if (least..=most).contains(&gib) && (gib - least).is_multiple_of(step) {
            return Ok(());
        }
        let steps = if step == 1 { String::new() } else { format!(" in steps of {step}") };
        let reason = format!("from {least} to {most}{steps} with {} vCPUs", self.vcpus);
        Err(InvalidField::new("memory_gb", reason))
    }

    /// The machine that a run gets which may have at most `most`.
    pub fn within(self, most: Size) -> Size {
        let memory_mib = u64::from(self.memory_gib) * 1024;
        Size { vcpus: self.vcpus.min(most.vcpus), memory_mib: memory_mib.min(most.memory_mib), ..most }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    #[track_caller]
    fn check(change: impl FnOnce(&mut RunnerConfig), expected: &str) {
        let mut config = RunnerConfig { name: "large".to_owned(), ..RunnerConfig::default() };
        change(&mut config);
        assert_eq!(config.check().map_or_else(|err| err.field, |()| "ok".to_owned()), expected);
    }

    fn shape(vcpus: u32, memory_gib: u32) -> Shape {
        Shape { vcpus, memory_gib }
    }

    #[test]
    fn what_cannot_be_is_refused_by_field() {
        check(|_| {}, "ok");
        check(|c| c.name = " ".to_owned(), "name");
        check(|c| c.name = "a\nb".to_owned(), "name");
        check(|c| c.description = Some("x".repeat(241)), "description");
        check(|c| c.docker_image = Some("debian 12".to_owned()), "docker_image");
        check(|c| c.setup_commands = vec![" ".to_owned()], "setup_commands");
        check(|c| c.setup_commands = vec!["x".repeat(17_000)], "setup_commands");
        check(|c| c.setup_commands = vec!["x".to_owned(); 101], "setup_commands");
        check(|c| c.shape = Some(shape(3, 8)), "vcpus");
        check(|c| c.shape = Some(shape(0, 0)), "vcpus");
        check(|c| c.shape = Some(shape(2, 3)), "memory_gb");
        check(|c| c.shape = Some(shape(2, 17)), "memory_gb");
        check(|c| c.shape = Some(shape(8, 18)), "memory_gb");
        check(|c| c.shape = Some(shape(8, 20)), "ok");
    }

    #[test]
    fn the_machine_comes_before_what_is_done_on_it() {
        let commands = |commands: &[&str]| commands.iter().map(|&command| command.to_owned()).collect::<Vec<_>>();
        let mut snapshot = RunnerSnapshot {
            uid: RunnerId::new([7; 16]),
            name: "small".to_owned(),
            docker_image: None,
            setup_commands: commands(&["apt-get install -y jq"]),
        };
        let mut environment = EnvironmentConfig {
            docker_image: Some("debian:12".to_owned()),
            setup_commands: commands(&["npm ci"]),
            ..EnvironmentConfig::default()
        };
        snapshot.prepare(&mut environment);
        assert_eq!(environment.docker_image.as_deref(), Some("debian:12"));
        assert_eq!(environment.setup_commands, ["apt-get install -y jq", "npm ci"]);
        snapshot.docker_image = Some("node:22".to_owned());
        snapshot.prepare(&mut environment);
        assert_eq!(environment.docker_image.as_deref(), Some("node:22"));
    }

    #[test]
    fn whatever_is_cut_to_a_plan_is_a_machine_that_there_is() {
        let sizes = (0..=17).flat_map(|vcpus| (0..=121).map(move |gib| shape(vcpus, gib)));
        let valid: Vec<Shape> = sizes.filter(|shape| shape.check().is_ok()).collect();
        assert_eq!(valid.len(), 7 + 13 + 23 + 12 + 12);
        for plan in ["free", "build", "max"].map(|name| Plan::named(name).unwrap()) {
            for shape in &valid {
                let Size { vcpus, memory_mib, disk_mib } = shape.within(plan.size);
                assert!(vcpus <= plan.size.vcpus && memory_mib <= plan.size.memory_mib);
                assert_eq!(disk_mib, plan.size.disk_mib);
                let cut = Shape { vcpus, memory_gib: u32::try_from(memory_mib / 1024).unwrap() };
                assert!(cut.check().is_ok(), "{shape:?} in {}: {cut:?}", plan.name);
            }
        }
    }
}
