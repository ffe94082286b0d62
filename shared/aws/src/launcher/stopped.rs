//! What the end of a task means. ECS tells with a stop code, a sentence, and each container's exit code and reason; the
//! same words come in a task-state event and from `DescribeTasks`. What is not known is kept verbatim.

use ozma_app::ports::ContainerEnd;
use ozma_domain::failure::FailureClass;
use ozma_domain::id::ExecutionId;
use serde::Deserialize;

/// A task as ECS describes it: the `detail` of an "ECS Task State Change".
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Task {
    pub task_arn: String,
    pub last_status: String,
    /// The execution's id, if the task is one of ours.
    pub started_by: String,
    /// Grows with each change of the task: events come late, doubled and out of order.
    pub version: i64,
    pub stop_code: String,
    pub stopped_reason: String,
    pub containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    pub name: String,
    pub exit_code: Option<i32>,
    pub reason: String,
}

/// The container that the agent is in; the other one brings it.
pub(crate) const AGENT: &str = "agent";

impl Task {
    /// None: somebody else's task.
    pub fn execution(&self) -> Option<ExecutionId> {
        self.started_by.parse().ok()
    }

    pub fn is_stopped(&self) -> bool {
        self.last_status == "STOPPED"
    }

    /// How the task ended.
    pub fn end(&self) -> ContainerEnd {
        use FailureClass as C;
        let agent = self.containers.iter().find(|container| container.name == AGENT);
        let of_agent = agent.map(|agent| agent.reason.as_str()).unwrap_or_default();
        let words = format!("{} {of_agent}", self.stopped_reason).to_lowercase();
        let has = |any: &[&str]| any.iter().any(|word| words.contains(word));
        let end = |class, reason: String| ContainerEnd { reason, class: Some(class) };
        let said = self.said(of_agent);

        if words.contains("outofmemory") {
            return end(C::OutOfMemory, format!("the task used more memory than its plan gives: {said}"));
        }
        match self.stop_code.as_str() {
            "SpotInterruption" => {
                return end(C::Interrupted, format!("the Spot machine was taken back before the end: {said}"));
            }
            "TerminationNotice" => {
                return end(C::Interrupted, format!("AWS retired the machine that the task ran on: {said}"));
            }
            "InfrastructureHealth" => {
                return end(C::Interrupted, format!("the machine that the task ran on failed: {said}"));
            }
            "UserInitiated" => return end(C::Interrupted, format!("the task was stopped: {said}")),
            _ => {}
        }
        if has(&["exec format error", "does not contain descriptor matching platform", "platform mismatch"]) {
            let message = format!("the image is for another architecture than this installation's tasks: {said}");
            return end(C::ImageUnusable, message);
        }
        if has(&["cannotpullcontainer", "cannotpullimage", "cannotpullecrcontainer", "imagepull"]) {
            // Busy registries and networks mend themselves; a wrong name does not.
            if has(&["toomanyrequests", "429", "i/o timeout", "timeout exceeded", "connection reset", "503"]) {
                return end(C::NeverClaimed, format!("the image could not be pulled just now: {said}"));
            }
            let remedy = if has(&["denied", "forbidden", "unauthorized", "no basic auth", "401", "403"]) {
                "it may not be read: give the tasks' execution role access to its registry"
            } else {
                "check the environment's docker_image"
            };
            return end(C::ImageUnusable, format!("the image cannot be pulled; {remedy}: {said}"));
        }
        if has(&["cannotstartcontainer", "cannotcreatecontainer"])
            || has(&["executable file not found", "no such file or directory", "permission denied"])
        {
            return end(C::ImageUnusable, format!("the image cannot be started: {said}"));
        }
        if has(&["resourceinitializationerror"]) {
            let remedy = if has(&["accessdenied", "not authorized"]) {
                "the tasks' execution role may not do what they need"
            } else {
                "a task needs a way to its registry and to CloudWatch Logs: public subnets with a public address, or a \
                 NAT gateway or endpoints"
            };
            return end(C::NeverClaimed, format!("the task could not be set up; {remedy}: {said}"));
        }
        match agent.and_then(|agent| agent.exit_code) {
            // Killed, and not for memory: its own end is told by how far it had come.
            Some(code) => ContainerEnd { reason: format!("exit code {code}: {said}"), class: None },
            None if self.stop_code == "TaskFailedToStart" => {
                end(C::NeverClaimed, format!("the task did not start: {said}"))
            }
            None => ContainerEnd { reason: said, class: None },
        }
    }

    /// ECS's own words.
    fn said(&self, of_agent: &str) -> String {
        let parts = [self.stop_code.as_str(), self.stopped_reason.as_str(), of_agent];
        let mut parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.dedup();
        if parts.is_empty() { "ECS gave no reason".to_owned() } else { parts.join("; ") }
    }
}

impl From<&aws_sdk_ecs::types::Task> for Task {
    fn from(task: &aws_sdk_ecs::types::Task) -> Self {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Self {
            task_arn: text(task.task_arn()),
            last_status: text(task.last_status()),
            started_by: text(task.started_by()),
            version: task.version(),
            stop_code: text(task.stop_code().map(|code| code.as_str())),
            stopped_reason: text(task.stopped_reason()),
            containers: task
                .containers()
                .iter()
                .map(|container| Container {
                    name: text(container.name()),
                    exit_code: container.exit_code(),
                    reason: text(container.reason()),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stop_code: &str, stopped_reason: &str, agent: (Option<i32>, &str), expected: &str) {
        let (exit_code, reason) = (agent.0, agent.1.to_owned());
        let task = Task {
            stop_code: stop_code.to_owned(),
            stopped_reason: stopped_reason.to_owned(),
            containers: vec![
                Container { name: "install".to_owned(), exit_code: Some(0), reason: String::new() },
                Container { name: AGENT.to_owned(), exit_code, reason },
            ],
            ..Task::default()
        };
        let end = task.end();
        let class = end.class.map_or("-".to_owned(), |class| format!("{class:?}"));
        assert_eq!(class, expected, "{}", end.reason);
        assert!(end.reason.contains(stopped_reason) && end.reason.contains(agent.1), "verbatim: {}", end.reason);
    }

    #[test]
    fn each_end_has_its_meaning() {
        const EXITED: &str = "EssentialContainerExited";
        const FAILED: &str = "TaskFailedToStart";
        check(EXITED, "Essential container in task exited", (Some(0), ""), "-");
        check(EXITED, "Essential container in task exited", (Some(2), ""), "-");
        check(EXITED, "Essential container in task exited", (Some(139), ""), "-");
        let oom = "OutOfMemoryError: Container killed due to memory usage";
        check(EXITED, "Essential container in task exited", (Some(137), oom), "OutOfMemory");
        check("SpotInterruption", "Your Spot Task was interrupted.", (Some(143), ""), "Interrupted");
        check(
            "TerminationNotice",
            "ECS is performing maintenance on the underlying infrastructure",
            (None, ""),
            "Interrupted",
        );
        check("InfrastructureHealth", "the host is impaired", (None, ""), "Interrupted");
        check("UserInitiated", "stopped by Ozma", (Some(0), ""), "Interrupted");
        let pull =
            |why: &str| format!("CannotPullContainerError: pull image manifest has been retried 1 time(s): {why}");
        check(FAILED, &pull("failed to resolve ref acme/web:1: not found"), (None, ""), "ImageUnusable");
        check(FAILED, &pull("pull access denied, repository does not exist"), (None, ""), "ImageUnusable");
        check(FAILED, &pull("unexpected status: 403 Forbidden"), (None, ""), "ImageUnusable");
        check(FAILED, &pull("429 Too Many Requests: toomanyrequests"), (None, ""), "NeverClaimed");
        check(FAILED, &pull("dial tcp: i/o timeout"), (None, ""), "NeverClaimed");
        let platform = "image Manifest does not contain descriptor matching platform 'linux/amd64'";
        check(FAILED, &pull(platform), (None, ""), "ImageUnusable");
        check(
            EXITED,
            "Essential container in task exited",
            (Some(255), "exec /ozma/oz-agent: exec format error"),
            "ImageUnusable",
        );
        let entry = "CannotStartContainerError: failed to create shim task: exec: \"/ozma/oz-agent\": no such file or directory";
        check(FAILED, entry, (None, ""), "ImageUnusable");
        let auth = "ResourceInitializationError: unable to pull secrets or registry auth: AccessDeniedException: not authorized";
        check(FAILED, auth, (None, ""), "NeverClaimed");
        let route = "ResourceInitializationError: unable to pull registry auth: connection issue: i/o timeout";
        check(FAILED, route, (None, ""), "NeverClaimed");
        check(FAILED, "Unexpected EC2 error while attempting to Create Network Interface", (None, ""), "NeverClaimed");
        check("SomethingNew", "of which nobody has heard", (None, ""), "-");
        check("", "", (None, ""), "-");
    }
}
