//! What an answer to `RunTask` means. A capacity failure arrives with HTTP 200 in `failures[]`, a throttle may be wrapped
//! in an `InvalidParameterException`, and a conflict says that the task was started by an earlier call.

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The task exists, by this call or by an earlier one with the same token.
    Started,
    /// No machine is free there now: another subnet or capacity provider may have one, or a later moment.
    NoCapacity(String),
    /// The account may not run that many vCPUs at once. No other subnet helps.
    OverQuota(String),
    /// Too many calls. The next moment will do.
    Throttled(String),
    /// The task definition is not there, or not any more: register it, and call again.
    NoTaskDefinition,
    /// Will not work however often it is tried.
    Refused(String),
    /// May or may not have started. The same call with the same token tells.
    Ambiguous(String),
}

/// AWS says so in service events; the words are matched loosely, as they have changed before.
fn is_quota(text: &str) -> bool {
    text.contains("limit on the number of vcpus") || text.contains("vcpu limit") || text.contains("vcpu quota")
}

fn is_throttle(text: &str) -> bool {
    text.contains("rate exceeded") || text.contains("throttl") || text.contains("too many requests")
}

/// An entry of `failures[]`: `reason` and `detail` as given.
pub fn of_failure(reason: &str, detail: &str) -> Answer {
    let verbatim = if detail.is_empty() { reason.to_owned() } else { format!("{reason} ({detail})") };
    let text = verbatim.to_lowercase();
    if is_quota(&text) {
        Answer::OverQuota(verbatim)
    } else if is_throttle(&text) {
        Answer::Throttled(verbatim)
    } else if reason == "MISSING" || reason == "ATTRIBUTE" {
        Answer::Refused(format!("ECS does not know what it was asked to use: {verbatim}"))
    } else {
        // "Capacity is unavailable at this time", RESOURCE:…, AGENT, and whatever comes next: waiting loses nothing.
        Answer::NoCapacity(verbatim)
    }
}

/// An error of the call: its code and message. No code: the answer never came, or was not ECS's.
pub fn of_error(code: Option<&str>, message: &str) -> Answer {
    let text = message.to_lowercase();
    let verbatim = || message.to_owned();
    match code {
        Some("ConflictException") => Answer::Started,
        _ if is_quota(&text) => Answer::OverQuota(verbatim()),
        Some("ThrottlingException" | "Throttling" | "TooManyRequestsException" | "LimitExceededException") => {
            Answer::Throttled(verbatim())
        }
        // "Error retrieving subnet information …: Rate exceeded" comes as an invalid parameter.
        Some(_) if is_throttle(&text) => Answer::Throttled(verbatim()),
        // Some zones have no Fargate; others of the list do.
        Some(_)
            if text.contains("capacity is unavailable")
                || text.contains("no capacity")
                || (text.contains("not supported") && text.contains("availability zone")) =>
        {
            Answer::NoCapacity(verbatim())
        }
        Some("ClientException" | "InvalidParameterException")
            if (text.contains("taskdefinition") || text.contains("task definition"))
                && ["not found", "inactive", "unable to find", "does not exist"]
                    .iter()
                    .any(|word| text.contains(word)) =>
        {
            Answer::NoTaskDefinition
        }
        Some("AccessDeniedException" | "AccessDenied") => {
            Answer::Refused(format!("Ozma may not start tasks: {message}. Update the stack, which grants it"))
        }
        Some("ClusterNotFoundException") => {
            Answer::Refused("the cluster is gone. Update the stack, which makes it".to_owned())
        }
        Some("BlockedException") => Answer::Refused(format!("AWS has blocked this account: {message}")),
        Some(
            code @ ("ClientException"
            | "InvalidParameterException"
            | "PlatformUnknownException"
            | "PlatformTaskDefinitionIncompatibilityException"
            | "UnsupportedFeatureException"
            | "ValidationException"
            | "SerializationException"),
        ) => Answer::Refused(format!("ECS refused the task ({code}): {message}")),
        Some(code) => Answer::Ambiguous(format!("{code}: {message}")),
        None => Answer::Ambiguous(verbatim()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(answer: &Answer) -> &'static str {
        match answer {
            Answer::Started => "started",
            Answer::NoCapacity(_) => "no capacity",
            Answer::OverQuota(_) => "over quota",
            Answer::Throttled(_) => "throttled",
            Answer::NoTaskDefinition => "no task definition",
            Answer::Refused(_) => "refused",
            Answer::Ambiguous(_) => "ambiguous",
        }
    }

    #[test]
    fn each_failure_has_its_meaning() {
        #[track_caller]
        fn check(reason: &str, detail: &str, expected: &str) {
            assert_eq!(word(&of_failure(reason, detail)), expected, "{reason} {detail}");
        }
        let capacity =
            "Capacity is unavailable at this time. Please try again later or in a different availability zone";
        check(capacity, "", "no capacity");
        check("RESOURCE:CPU", "", "no capacity");
        check("RESOURCE:ENI", "", "no capacity");
        check("AGENT", "", "no capacity");
        check("You've reached the limit on the number of vCPUs you can run concurrently", "", "over quota");
        check("MISSING", "", "refused");
        check("ATTRIBUTE", "", "refused");
        check("Rate exceeded", "", "throttled");
        check("SOMETHING NEW", "of which nobody has heard", "no capacity");
    }

    #[test]
    fn each_error_has_its_meaning() {
        #[track_caller]
        fn check(code: &str, message: &str, expected: &str) {
            assert_eq!(
                word(&of_error(Some(code).filter(|code| !code.is_empty()), message)),
                expected,
                "{code} {message}"
            );
        }
        check("ConflictException", "a task with that client token exists", "started");
        check("ThrottlingException", "Rate exceeded", "throttled");
        let wrapped =
            "Error retrieving subnet information for [subnet-1]: Rate exceeded (ErrorCode: RequestLimitExceeded)";
        check("InvalidParameterException", wrapped, "throttled");
        check("LimitExceededException", "too many", "throttled");
        check(
            "ClientException",
            "You've reached the limit on the number of vCPUs you can run concurrently",
            "over quota",
        );
        check("ClientException", "TaskDefinition not found.", "no task definition");
        check("ClientException", "TaskDefinition is inactive", "no task definition");
        check("ClientException", "Unable to find task definition ozma:3", "no task definition");
        check("InvalidParameterException", "TaskDefinition not found.", "no task definition");
        check("ClientException", "Capacity is unavailable at this time", "no capacity");
        check("InvalidParameterException", "Fargate is not supported in availability zone x1d", "no capacity");
        check("InvalidParameterException", "The subnet ID 'subnet-1' does not exist", "refused");
        check("ClientException", "Container.image should not be null", "refused");
        check("AccessDeniedException", "not authorized to perform iam:PassRole", "refused");
        check("ClusterNotFoundException", "", "refused");
        check("BlockedException", "", "refused");
        check("UnsupportedFeatureException", "", "refused");
        check("PlatformUnknownException", "", "refused");
        check("ServerException", "Service Unavailable. Please try again later.", "ambiguous");
        check("InternalFailure", "", "ambiguous");
        check("", "dispatch failure: timeout", "ambiguous");
    }
}
