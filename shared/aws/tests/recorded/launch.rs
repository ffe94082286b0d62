//! `RunTask`: what follows from each answer, and what is asked.

use ozma_app::ports::{LaunchRequest, Launcher};
use ozma_domain::environment::{Capacity, Network};
use serde_json::{Value, json};

use crate::seam::{
    BASE, CONTROL_URL, Seam, Step, execution, failed, launch, lost, ok, refused, request, started, task,
};

const CAPACITY: &str =
    "Capacity is unavailable at this time. Please try again later or in a different availability zone";
const QUOTA: &str = "You've reached the limit on the number of vCPUs you can run concurrently";
const ALL: &[&str] = &["subnet-a", "subnet-b"];

/// A failure with HTTP 200.
fn failure(reason: &str) -> Step {
    ok("RunTask", json!({ "tasks": [], "failures": [{ "reason": reason }] }))
}

/// Every request of a launch, whole: nothing is asked that is not said here.
#[track_caller]
fn assert_asked(sent: &Value, request: &LaunchRequest, number: usize, provider: &str, subnets: &[&str]) {
    let execution = request.execution.to_string();
    let token = if number == 0 { execution.clone() } else { format!("{execution}.{number}") };
    assert!(token.len() <= 64 && token.bytes().all(|byte| byte.is_ascii_graphic()), "ECS takes no such token: {token}");
    assert!(execution.len() <= 128 && execution.bytes().all(|b| b.is_ascii_alphanumeric() || b"-/_".contains(&b)));
    assert!(sent["overrides"].to_string().len() < 8_192);
    let mut expected = json!({
        "cluster": "ozma",
        "taskDefinition": BASE,
        "count": 1,
        "clientToken": token,
        "startedBy": execution,
        "capacityProviderStrategy": [{ "base": 0, "capacityProvider": provider, "weight": 1 }],
        "networkConfiguration": { "awsvpcConfiguration": {
            "subnets": subnets, "securityGroups": ["sg-1"], "assignPublicIp": "ENABLED",
        } },
        "overrides": {
            "cpu": "4096",
            "memory": "8192",
            "containerOverrides": [{ "name": "agent", "environment": [
                { "name": "OZ_CONTROL_URL", "value": CONTROL_URL },
                { "name": "OZ_EXECUTION_ID", "value": execution },
                { "name": "OZ_CLAIM_TOKEN", "value": "ozc_the-claim-token" },
            ] }],
        },
        "propagateTags": "TASK_DEFINITION",
        "tags": [
            { "key": "ozma:team", "value": "acme" },
            { "key": "ozma:run", "value": request.execution.run.to_string() },
            { "key": "ozma:execution", "value": execution },
        ],
    });
    if request.image.is_some() {
        expected["taskDefinition"] = sent["taskDefinition"].clone();
    }
    if let Some(gib) = request.size.disk_mib.checked_div(1024).filter(|gib| *gib > 20) {
        expected["overrides"]["ephemeralStorage"] = json!({ "sizeInGiB": gib });
    }
    assert_eq!(*sent, expected);
}

/// A wait of so many seconds and up to a quarter more, which differs between runs.
#[track_caller]
fn assert_waits(word: &str, seconds: u64) {
    let waits = word.strip_prefix("wait ").and_then(|seconds| seconds.parse().ok());
    assert!(waits.is_some_and(|waits| (seconds..=seconds + seconds / 4).contains(&waits)), "{word}, not {seconds}");
}

#[tokio::test]
async fn a_launch_says_all_that_a_task_needs() {
    let seam = Seam::new([started(1)]);
    let request = request(1);
    assert_eq!(launch(&seam.launcher(), &request).await.0, "started");
    assert_asked(&seam.sent()[0], &request, 0, "FARGATE", ALL);
}

#[tokio::test]
async fn a_larger_disk_is_asked_for() {
    for (mib, gib) in [(20 * 1024, None), (20 * 1024 + 1, Some(21)), (50 * 1024, Some(50)), (999 * 1024, Some(200))] {
        let seam = Seam::new([started(1)]);
        let mut request = request(1);
        request.size.disk_mib = mib;
        launch(&seam.launcher(), &request).await;
        assert_eq!(seam.sent()[0]["overrides"]["ephemeralStorage"]["sizeInGiB"].as_u64(), gib, "{mib} MiB");
    }
}

#[tokio::test]
async fn without_capacity_each_subnet_is_tried_and_the_wait_grows() {
    for (number, wait) in [(1, 30), (2, 60), (3, 120), (4, 240), (5, 300), (50, 300)] {
        let seam = Seam::new([failure(CAPACITY), failure("RESOURCE:ENI"), failure(CAPACITY)]);
        let request = request(number);
        let (word, reason) = launch(&seam.launcher(), &request).await;
        assert_waits(&word, wait);
        assert!(reason.contains("AWS has no machine free") && reason.contains(CAPACITY), "{reason}");
        let sent = seam.sent();
        for (tried, subnets) in [ALL, &ALL[..1], &ALL[1..]].into_iter().enumerate() {
            assert_asked(&sent[tried], &request, tried, "FARGATE", subnets);
        }
    }
}

#[tokio::test]
async fn the_first_place_with_a_machine_is_taken() {
    let seam = Seam::new([failure(CAPACITY), started(1)]);
    let request = request(1);
    assert_eq!(launch(&seam.launcher(), &request).await.0, "started");
    assert_asked(&seam.sent()[1], &request, 1, "FARGATE", &ALL[..1]);
}

#[tokio::test]
async fn what_spot_has_not_is_taken_on_demand() {
    for said in [CAPACITY, QUOTA] {
        let seam = Seam::new([failure(said), started(1)]);
        let request = LaunchRequest { capacity: Capacity::Spot, ..request(1) };
        assert_eq!(launch(&seam.launcher(), &request).await.0, "started");
        let sent = seam.sent();
        assert_asked(&sent[0], &request, 0, "FARGATE_SPOT", ALL);
        assert_asked(&sent[1], &request, 1, "FARGATE", ALL);
    }
}

#[tokio::test]
async fn a_used_up_quota_names_the_request_and_tries_no_other_place() {
    for step in [failure(QUOTA), refused("RunTask", "ClientException", QUOTA)] {
        let seam = Seam::new([step]);
        let (word, reason) = launch(&seam.launcher(), &request(1)).await;
        assert_waits(&word, 60);
        let named = ["request-service-quota-increase", "L-3032A538", "needs 4 vCPUs", QUOTA];
        assert!(named.iter().all(|part| reason.contains(part)), "{reason}");
        assert_eq!(seam.sent().len(), 1);
    }
}

#[tokio::test]
async fn a_throttle_waits_a_moment_however_it_is_wrapped() {
    let wrapped = "Error retrieving subnet information for [subnet-a]: Rate exceeded (ErrorCode: RequestLimitExceeded)";
    let plain = || refused("RunTask", "ThrottlingException", "Rate exceeded");
    let scripts = [
        // The SDK tries these again.
        vec![plain(), plain(), plain()],
        vec![refused("RunTask", "InvalidParameterException", wrapped)],
        vec![failure("Rate exceeded")],
    ];
    for script in scripts {
        let seam = Seam::new(script);
        let (word, reason) = launch(&seam.launcher(), &request(1)).await;
        assert_waits(&word, 5);
        assert!(reason.contains("Rate exceeded"), "{reason}");
        for sent in seam.sent() {
            assert_asked(&sent, &request(1), 0, "FARGATE", ALL);
        }
    }
}

#[tokio::test]
async fn a_throttle_that_passes_is_not_noticed() {
    let seam = Seam::new([refused("RunTask", "ThrottlingException", "Rate exceeded"), failed("RunTask"), started(1)]);
    assert_eq!(launch(&seam.launcher(), &request(1)).await.0, "started");
    assert_eq!(seam.sent().len(), 3);
}

#[tokio::test]
async fn a_conflict_is_an_earlier_start_whose_task_can_be_stopped() {
    let conflict = json!({ "__type": "ConflictException", "message": "in use", "resourceIds": [task(1)] });
    let seam = Seam::new([("RunTask", Some((400, conflict)))]);
    let launcher = seam.launcher();
    assert_eq!(launch(&launcher, &request(1)).await.0, "started");
    // No list knows it yet.
    seam.then([ok("ListTasks", json!({ "taskArns": [] })), ok("StopTask", json!({}))]);
    launcher.stop(execution(1)).await.unwrap();
    assert_eq!(seam.sent()[2]["task"], task(1));
}

#[tokio::test]
async fn what_will_never_work_is_refused_with_what_to_change() {
    #[track_caller]
    fn check(told: &(String, String), parts: &[&str]) {
        assert_eq!(told.0, "refused", "{}", told.1);
        assert!(parts.iter().all(|part| told.1.contains(part)), "{}", told.1);
    }
    let told = async |step: Step| {
        let seam = Seam::new([step]);
        let told = launch(&seam.launcher(), &request(1)).await;
        assert_eq!(seam.sent().len(), 1, "it is asked once");
        told
    };
    let pass_role = "User is not authorized to perform: iam:PassRole";
    check(&told(refused("RunTask", "AccessDeniedException", pass_role)).await, &[pass_role, "Update the stack"]);
    check(&told(refused("RunTask", "ClusterNotFoundException", "Cluster not found.")).await, &["Update the stack"]);
    let subnet = "The subnet ID 'subnet-a' does not exist";
    check(&told(refused("RunTask", "InvalidParameterException", subnet)).await, &[subnet]);
    check(&told(failure("MISSING")).await, &["MISSING"]);
    let inactive = refused("RunTask", "ClientException", "TaskDefinition is inactive");
    check(&told(inactive).await, &[BASE, "update the stack"]);

    let seam = Seam::new([]);
    check(&launch(&seam.launcher(), &LaunchRequest { network: Network::None, ..request(1) }).await, &["network full"]);
    assert!(seam.sent().is_empty(), "AWS need not be asked");
}

/// What is called when an image's definition is not there.
fn registers() -> [Step; 4] {
    [
        refused("DescribeTaskDefinition", "ClientException", "Unable to describe task definition."),
        ok("DescribeTaskDefinition", json!({ "taskDefinition": { "containerDefinitions": [{ "name": "agent" }] } })),
        ok("RegisterTaskDefinition", json!({})),
        ok("ListTaskDefinitionFamilies", json!({ "families": [] })),
    ]
}

#[tokio::test]
async fn a_missing_definition_is_registered_once_and_the_same_launch_made_again() {
    let missing = || refused("RunTask", "ClientException", "TaskDefinition not found.");
    let request = LaunchRequest { image: Some("acme/web:1".to_owned()), ..request(1) };

    let seam = Seam::new([missing()].into_iter().chain(registers()).chain([started(1)]));
    assert_eq!(launch(&seam.launcher(), &request).await.0, "started");
    let sent = seam.sent();
    assert_asked(&sent[0], &request, 0, "FARGATE", ALL);
    assert_eq!(sent[0], sent[5], "the same token: ECS keeps no answer to what it refused");
    assert_eq!(sent[3]["family"], sent[5]["taskDefinition"]);

    let seam = Seam::new([missing()].into_iter().chain(registers()).chain([missing()]));
    let (word, reason) = launch(&seam.launcher(), &request).await;
    assert!(word == "refused" && reason.contains("is gone"), "{word} {reason}");
    assert_eq!(seam.sent().len(), 6);
}

#[tokio::test]
async fn an_unknown_outcome_is_an_error_and_the_next_call_carries_the_same_token() {
    for unknown in [failed, lost] {
        let seam = Seam::new([unknown("RunTask"), unknown("RunTask"), unknown("RunTask")]);
        let launcher = seam.launcher();
        let request = request(1);
        assert_eq!(launch(&launcher, &request).await.0, "error");
        // Perhaps another process.
        seam.then([started(1)]);
        assert_eq!(launch(&seam.launcher(), &request).await.0, "started");
        let sent = seam.sent();
        assert_eq!(sent.len(), 4);
        for sent in &sent {
            assert_asked(sent, &request, 0, "FARGATE", ALL);
        }
    }
}

#[tokio::test]
async fn the_longest_overrides_are_far_below_what_ecs_takes() {
    let seam = Seam::new([started(1)]);
    let mut request = request(u32::MAX);
    request.image = Some("registry.example/".to_owned() + &"i".repeat(400));
    request.size.disk_mib = 200 * 1024;
    request.claim_token = format!("ozc_{}", "x".repeat(64)).into();
    launch(&seam.launcher(), &request).await;
    assert!(seam.sent()[0]["overrides"].to_string().len() < 1_024);
}
