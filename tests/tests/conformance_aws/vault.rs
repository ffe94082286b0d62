//! Secrets in Secrets Manager, parameters, and roles.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ozma_app::clock::SystemClock;
use ozma_app::ports::{Clock, Vault};
use ozma_aws::vault::AwsVault;
use ozma_domain::aws::RoleArn;
use ozma_domain::id::{SecretName, TeamId};
use ozma_tests::conformance::vault_conforms;
use ozma_tests::emulator::{ACCOUNT, Emulator, REGION};
use secrecy::{ExposeSecret, SecretString};

/// A vault with a prefix of its own.
fn vault(emulator: &Emulator) -> AwsVault {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    AwsVault {
        secrets: aws_sdk_secretsmanager::Client::new(emulator.sdk()),
        parameters: aws_sdk_ssm::Client::new(emulator.sdk()),
        roles: aws_sdk_sts::Client::new(emulator.sdk()),
        prefix: format!("ozma-{}", NEXT.fetch_add(1, Ordering::Relaxed)),
    }
}

fn team(name: &str) -> TeamId {
    name.parse().expect("a team of these tests")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vault_in_secrets_manager() {
    let emulator = Emulator::start().await;
    vault_conforms(async || {
        let vault: Arc<dyn Vault> = Arc::new(vault(&emulator));
        vault
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_more_than_a_page_are_all_listed_and_no_others() {
    let emulator = Emulator::start().await;
    let vault = vault(&emulator);
    let mut expected: Vec<SecretName> =
        (0..230).map(|number| format!("KEY_{number:03}").parse().expect("a name")).collect();
    for name in &expected {
        vault.put(&team("many"), name, "value".into()).await.expect("puts");
    }
    // Names that a filter by prefix, or by part of a name, might take for the team's.
    vault.put(&team("many-more"), &expected[0], "value".into()).await.expect("puts");
    let nested = vault.secrets.create_secret().name(format!("{}/many/KEY/nested", vault.prefix));
    nested.secret_string("somebody else's").send().await.expect("creates");
    let around = vault.secrets.create_secret().name(format!("other/{}/many/KEY", vault.prefix));
    around.secret_string("somebody else's").send().await.expect("creates");

    let listed = vault.list(&team("many")).await.expect("lists");
    assert_eq!(listed.iter().map(|secret| secret.name.clone()).collect::<Vec<_>>(), expected, "in order");
    assert!(vault.delete(&team("many"), &expected[7]).await.expect("deletes"));
    expected.remove(7);
    assert_eq!(vault.list(&team("many")).await.expect("lists").len(), expected.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn references_are_read_where_they_are_and_missing_ones_are_none() {
    let emulator = Emulator::start().await;
    let vault = vault(&emulator);
    let made = vault.secrets.create_secret().name("elsewhere/token").secret_string("of a secret");
    let secret = made.send().await.expect("creates").arn.expect("an ARN");
    let put = vault.parameters.put_parameter().name("/elsewhere/token").value("of a parameter");
    put.r#type(aws_sdk_ssm::types::ParameterType::SecureString).send().await.expect("puts");

    let read = async |arn: &str| {
        let reference = arn.parse().unwrap_or_else(|err| panic!("{arn}: {err}"));
        let value = vault.get_reference(&reference).await.unwrap_or_else(|err| panic!("{arn}: {err:?}"));
        value.map(|value: SecretString| value.expose_secret().to_owned())
    };
    let of = |service: &str, resource: &str| format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}");
    assert_eq!(read(&secret).await.as_deref(), Some("of a secret"));
    assert_eq!(read(&of("ssm", "parameter/elsewhere/token")).await.as_deref(), Some("of a parameter"));
    assert_eq!(read(&of("secretsmanager", "secret:elsewhere/missing-AbCdEf")).await, None);
    assert_eq!(read(&of("ssm", "parameter/elsewhere/missing")).await, None);

    vault.secrets.delete_secret().secret_id(&secret).recovery_window_in_days(7).send().await.expect("deletes");
    assert_eq!(read(&secret).await, None, "what waits for its end is not there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_gives_credentials_that_expire() {
    let emulator = Emulator::start().await;
    let role: RoleArn = format!("arn:aws:iam::{ACCOUNT}:role/deployer").parse().expect("a role");
    let given = vault(&emulator).assume(&role, "a-run").await.expect("assumes").expect("credentials");
    assert!(!given.access_key_id.is_empty() && !given.secret_access_key.is_empty() && !given.token.is_empty());
    let left = given.expiration.duration_since(SystemClock.now());
    assert!(left.as_secs() > 3_000 && left.as_secs() <= 3_600, "an hour, which is the most of a chained role: {left}");
}
