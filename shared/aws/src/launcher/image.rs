//! Task definitions of environments' images: copies of the base definition with another image. One is registered when an
//! environment is saved, never per run: ECS takes one registration a second.
//!
//! Its family is named by its content, `<base>-<team>-<image>-<base revision>`, so that whoever launches knows the name
//! without asking, and an update of the base makes another one.

use aws_sdk_ecs::error::ProvideErrorMetadata;
use aws_sdk_ecs::types::{TaskDefinition, TaskDefinitionFamilyStatus, TaskDefinitionStatus};
use ozma_app::ports::{PortError, Prepared};
use ozma_domain::audit::digest;
use ozma_domain::id::TeamId;

use super::{EcsLauncher, stopped, tag};

impl EcsLauncher {
    /// The family of the definition that `image` needs now.
    pub(super) fn family(&self, team: &TeamId, image: &str) -> String {
        format!("{}{}", self.families_of(team, image), &hex(&self.options.task_definition)[..8])
    }

    /// What all families of `image` begin with, whatever the base was.
    fn families_of(&self, team: &TeamId, image: &str) -> String {
        format!("{}-{team}-{}-", base_family(&self.options.task_definition), &hex(image)[..12])
    }

    /// Registers the definition if there is none, and clears away those of earlier bases.
    pub(super) async fn register(&self, team: &TeamId, image: &str) -> Result<Prepared, PortError> {
        let family = self.family(team, image);
        if self.is_registered(&family).await? {
            return Ok(Prepared::Ready);
        }
        let describe = self.client.describe_task_definition().task_definition(&self.options.task_definition).send();
        let base = describe.await.map_err(|err| PortError::because("could not read the base task definition", err))?;
        let base = base.task_definition.ok_or_else(|| PortError::new("there is no base task definition"))?;
        match self.register_copy(&base, &family, team, image).await {
            Ok(()) => {}
            Err(Refusal::Image(reason)) => return Ok(Prepared::Refused { reason }),
            Err(Refusal::Port(err)) => return Err(err),
        }
        self.deregister(team, image, Some(&family)).await?;
        Ok(Prepared::Ready)
    }

    async fn is_registered(&self, family: &str) -> Result<bool, PortError> {
        match self.client.describe_task_definition().task_definition(family).send().await {
            Ok(found) => Ok(found.task_definition().and_then(|d| d.status()) == Some(&TaskDefinitionStatus::Active)),
            // "Unable to describe task definition" is a client's error.
            Err(err) if err.code() == Some("ClientException") => Ok(false),
            Err(err) => Err(PortError::because("could not look for a task definition", err)),
        }
    }

    async fn register_copy(
        &self,
        base: &TaskDefinition,
        family: &str,
        team: &TeamId,
        image: &str,
    ) -> Result<(), Refusal> {
        let mut containers = base.container_definitions().to_vec();
        for container in containers.iter_mut().filter(|container| container.name() == Some(stopped::AGENT)) {
            container.image = Some(image.to_owned());
        }
        let register = self
            .client
            .register_task_definition()
            .family(family)
            .set_container_definitions(Some(containers))
            .set_volumes(base.volumes.clone())
            .set_execution_role_arn(base.execution_role_arn.clone())
            .set_task_role_arn(base.task_role_arn.clone())
            .set_network_mode(base.network_mode.clone())
            .set_requires_compatibilities(base.requires_compatibilities.clone())
            .set_runtime_platform(base.runtime_platform.clone())
            .set_cpu(base.cpu.clone())
            .set_memory(base.memory.clone())
            .tags(tag("ozma:team", team.as_str()));
        match register.send().await {
            Ok(_) => Ok(()),
            Err(err) if matches!(err.code(), Some("ClientException" | "InvalidParameterException")) => {
                Err(Refusal::Image(format!("ECS refuses the image: {}", err.message().unwrap_or("no reason given"))))
            }
            Err(err) => Err(Refusal::Port(PortError::because("could not register a task definition", err))),
        }
    }

    /// Retires every definition of `image` but those of the family `keep`. Tasks at work go on.
    pub(super) async fn deregister(&self, team: &TeamId, image: &str, keep: Option<&str>) -> Result<(), PortError> {
        let families = self
            .client
            .list_task_definition_families()
            .family_prefix(self.families_of(team, image))
            .status(TaskDefinitionFamilyStatus::Active)
            .send()
            .await
            .map_err(|err| PortError::because("could not list task definitions", err))?;
        for family in families.families().iter().filter(|family| Some(family.as_str()) != keep) {
            let definitions = self.client.list_task_definitions().family_prefix(family).send();
            let definitions =
                definitions.await.map_err(|err| PortError::because("could not list task definitions", err))?;
            for arn in definitions.task_definition_arns() {
                let deregister = self.client.deregister_task_definition().task_definition(arn).send();
                deregister.await.map_err(|err| PortError::because("could not retire a task definition", err))?;
            }
        }
        Ok(())
    }
}

enum Refusal {
    Image(String),
    Port(PortError),
}

/// `…:task-definition/NAME:REVISION`, or a name alone.
fn base_family(task_definition: &str) -> &str {
    let name = task_definition.rsplit('/').next().unwrap_or(task_definition);
    name.split(':').next().unwrap_or(name)
}

fn hex(text: &str) -> String {
    digest(text.as_bytes()).to_string().rsplit(':').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_named_after_the_base() {
        assert_eq!(base_family("arn:aws:ecs:eu-west-1:123456789012:task-definition/ozma-agent:7"), "ozma-agent");
        assert_eq!(base_family("ozma-agent"), "ozma-agent");
        assert!(hex("debian:12").len() >= 32 && hex("debian:12").chars().all(|c| c.is_ascii_hexdigit()));
    }
}
