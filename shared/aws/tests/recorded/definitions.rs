//! Task definitions of images: made once, from the base, and cleared away.

use ozma_app::ports::{Launcher, Prepared};
use serde_json::{Value, json};

use crate::seam::{BASE, Seam, Step, failed, ok, refused, team};

const IMAGE: &str = "acme/web:1";

fn base() -> Step {
    let definition = json!({
        "taskDefinitionArn": BASE,
        "family": "ozma-agent",
        "revision": 7,
        "status": "ACTIVE",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "2048",
        "memory": "4096",
        "executionRoleArn": "arn:aws:iam::123456789012:role/execution",
        "taskRoleArn": "arn:aws:iam::123456789012:role/task",
        "runtimePlatform": { "cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX" },
        "volumes": [{ "name": "ozma" }],
        "containerDefinitions": [
            { "name": "install", "image": "ozma/agent:1", "essential": false },
            { "name": "agent", "image": "debian:12", "essential": true,
              "dependsOn": [{ "containerName": "install", "condition": "SUCCESS" }] },
        ],
    });
    ok("DescribeTaskDefinition", json!({ "taskDefinition": definition }))
}

fn absent() -> Step {
    refused("DescribeTaskDefinition", "ClientException", "Unable to describe task definition.")
}

fn with_status(status: &str) -> Step {
    ok("DescribeTaskDefinition", json!({ "taskDefinition": { "status": status } }))
}

fn families(families: &[&str]) -> Step {
    ok("ListTaskDefinitionFamilies", json!({ "families": families }))
}

async fn prepare(seam: &Seam) -> Result<Prepared, String> {
    seam.launcher().prepare(&team(), IMAGE).await.map_err(|err| err.what)
}

#[tokio::test]
async fn what_is_there_is_not_registered_again() {
    let seam = Seam::new([with_status("ACTIVE")]);
    assert_eq!(prepare(&seam).await, Ok(Prepared::Ready));
    let sent = seam.sent();
    let family = sent[0]["taskDefinition"].as_str().unwrap();
    assert!(family.starts_with("ozma-agent-acme-") && family.len() <= 255, "{family}");
}

#[tokio::test]
async fn a_copy_of_the_base_is_registered_with_the_image_where_the_agent_works() {
    for before in [absent(), with_status("INACTIVE")] {
        let seam = Seam::new([before, base(), ok("RegisterTaskDefinition", json!({})), families(&[])]);
        assert_eq!(prepare(&seam).await, Ok(Prepared::Ready));
        let sent = seam.sent();
        assert_eq!(sent[1]["taskDefinition"], BASE);
        let expected = json!({
            "family": sent[0]["taskDefinition"],
            "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "cpu": "2048",
            "memory": "4096",
            "executionRoleArn": "arn:aws:iam::123456789012:role/execution",
            "taskRoleArn": "arn:aws:iam::123456789012:role/task",
            "runtimePlatform": { "cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX" },
            "volumes": [{ "name": "ozma" }],
            "containerDefinitions": [
                { "name": "install", "image": "ozma/agent:1", "essential": false },
                { "name": "agent", "image": IMAGE, "essential": true,
                  "dependsOn": [{ "containerName": "install", "condition": "SUCCESS" }] },
            ],
            "tags": [{ "key": "ozma:team", "value": "acme" }],
        });
        assert_eq!(without_defaults(&sent[2]), expected);
    }
}

/// What the SDK adds by itself: numbers that are zero.
fn without_defaults(sent: &Value) -> Value {
    let mut sent = sent.clone();
    for container in sent["containerDefinitions"].as_array_mut().unwrap() {
        container.as_object_mut().unwrap().retain(|_, value| *value != json!(0));
    }
    sent
}

#[tokio::test]
async fn copies_of_earlier_bases_are_retired_and_the_new_one_stays() {
    let seam = Seam::new([with_status("ACTIVE")]);
    prepare(&seam).await.unwrap();
    let new = seam.sent()[0]["taskDefinition"].as_str().unwrap().to_owned();

    let old = format!("{}{}", &new[..new.len() - 8], "00000000");
    let arns = [1, 2].map(|revision| format!("arn:aws:ecs:eu-west-1:123456789012:task-definition/{old}:{revision}"));
    let seam = Seam::new([
        absent(),
        base(),
        ok("RegisterTaskDefinition", json!({})),
        families(&[&old, &new]),
        ok("ListTaskDefinitions", json!({ "taskDefinitionArns": arns })),
        ok("DeregisterTaskDefinition", json!({})),
        ok("DeregisterTaskDefinition", json!({})),
    ]);
    assert_eq!(prepare(&seam).await, Ok(Prepared::Ready));
    let sent = seam.sent();
    assert_eq!(sent[3], json!({ "familyPrefix": &new[..new.len() - 8], "status": "ACTIVE" }));
    assert_eq!(sent[4], json!({ "familyPrefix": old }));
    assert_eq!(sent[5..], arns.map(|arn| json!({ "taskDefinition": arn })));
}

#[tokio::test]
async fn retiring_an_image_retires_all_of_its_families() {
    let arn = "arn:aws:ecs:eu-west-1:123456789012:task-definition/one:1";
    let one = || ok("ListTaskDefinitions", json!({ "taskDefinitionArns": [arn] }));
    let gone = || ok("DeregisterTaskDefinition", json!({}));
    let seam = Seam::new([families(&["one", "other"]), one(), gone(), one(), gone()]);
    seam.launcher().retire(&team(), IMAGE).await.unwrap();
    assert_eq!(seam.sent().len(), 5);

    let seam = Seam::new([families(&[])]);
    seam.launcher().retire(&team(), IMAGE).await.expect("nothing to retire is fine");
    assert_eq!(seam.sent().len(), 1);
}

#[tokio::test]
async fn an_image_that_ecs_refuses_is_refused_with_its_words() {
    let seam =
        Seam::new([absent(), base(), refused("RegisterTaskDefinition", "ClientException", "Container.image is bad")]);
    let reason = "ECS refuses the image: Container.image is bad".to_owned();
    assert_eq!(prepare(&seam).await, Ok(Prepared::Refused { reason }));
    seam.sent();
}

#[tokio::test]
async fn what_may_be_otherwise_later_is_an_error() {
    let denied = |operation| refused(operation, "AccessDeniedException", "not authorized");
    let scripts = [
        vec![denied("DescribeTaskDefinition")],
        vec![absent(), refused("DescribeTaskDefinition", "ClientException", "Unable to describe task definition.")],
        vec![absent(), base(), denied("RegisterTaskDefinition")],
        vec![failed("DescribeTaskDefinition"), failed("DescribeTaskDefinition"), failed("DescribeTaskDefinition")],
    ];
    for script in scripts {
        let seam = Seam::new(script);
        prepare(&seam).await.expect_err("it is nobody's refusal of the image");
        seam.sent();
    }
}
