//! What every implementation of the port `Vault` must do.

use std::sync::Arc;

use ozma_app::ports::{SecretMetadata, Vault};
use ozma_domain::id::SecretName;
use ozma_domain::limits::SECRET_BYTES;
use secrecy::{ExposeSecret, SecretString};

use super::team;

/// Values come out as they went in, to their own team alone.
pub async fn vault_conforms(make: impl AsyncFn() -> Arc<dyn Vault>) {
    values_come_out_as_they_went_in(&*make().await).await;
    a_value_is_replaced_and_deleted(&*make().await).await;
    teams_do_not_share(&*make().await).await;
    too_large_a_value_is_refused(&*make().await).await;
    puts_at_the_same_time_are_all_kept(make().await).await;
}

async fn values_come_out_as_they_went_in(vault: &dyn Vault) {
    let longest = "x".repeat(SECRET_BYTES);
    for value in ["a", "two\nlines\n", "ü 🦀 \u{0}", "{\"json\": \"'$(true)'\"}", &longest] {
        put(vault, "local", "KEY", value).await;
        assert_eq!(get(vault, "local", "KEY").await.as_deref(), Some(value));
    }
}

async fn a_value_is_replaced_and_deleted(vault: &dyn Vault) {
    assert_eq!(get(vault, "local", "KEY").await, None);
    assert!(!delete(vault, "local", "KEY").await, "there was none");
    assert_eq!(find(vault, "KEY").await, None);
    put(vault, "local", "KEY", "first").await;
    let first = only(vault).await;
    assert_eq!(find(vault, "KEY").await, Some(first.clone()));
    put(vault, "local", "KEY", "second").await;
    let second = only(vault).await;
    assert_eq!(get(vault, "local", "KEY").await.as_deref(), Some("second"));
    assert_eq!(second.created_at, first.created_at);
    assert!(second.updated_at >= first.updated_at);
    assert!(delete(vault, "local", "KEY").await, "there was one");
    assert_eq!(get(vault, "local", "KEY").await, None);
    assert_eq!(names(vault, "local").await, [""; 0]);
    assert_eq!(find(vault, "KEY").await, None);
    put(vault, "local", "KEY", "third").await;
    assert_eq!(get(vault, "local", "KEY").await.as_deref(), Some("third"));
}

async fn find(vault: &dyn Vault, name: &str) -> Option<SecretMetadata> {
    vault.find(&team("local"), &name.parse().expect("a name")).await.expect("finds")
}

async fn teams_do_not_share(vault: &dyn Vault) {
    put(vault, "a", "KEY", "of a").await;
    put(vault, "b", "KEY", "of b").await;
    put(vault, "b", "OTHER", "of b").await;
    assert_eq!(get(vault, "a", "KEY").await.as_deref(), Some("of a"));
    assert_eq!(get(vault, "a", "OTHER").await, None);
    assert_eq!(names(vault, "a").await, ["KEY"]);
    assert_eq!(names(vault, "b").await, ["KEY", "OTHER"]);
    assert!(delete(vault, "a", "KEY").await);
    assert_eq!(get(vault, "b", "KEY").await.as_deref(), Some("of b"));
}

async fn too_large_a_value_is_refused(vault: &dyn Vault) {
    put(vault, "local", "KEY", "before").await;
    let large = SecretString::from("x".repeat(SECRET_BYTES + 1));
    assert!(vault.put(&team("local"), &name("KEY"), large).await.is_err());
    assert_eq!(get(vault, "local", "KEY").await.as_deref(), Some("before"));
}

async fn puts_at_the_same_time_are_all_kept(vault: Arc<dyn Vault>) {
    let puts = (0..10).map(|number| {
        let vault = vault.clone();
        tokio::spawn(async move { put(&*vault, "local", &format!("KEY_{number}"), "value").await })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.expect("no panic");
    }
    assert_eq!(names(&*vault, "local").await.len(), 10);
}

fn name(name: &str) -> SecretName {
    name.parse().expect("a name of these tests")
}

async fn put(vault: &dyn Vault, of: &str, secret: &str, value: &str) {
    vault.put(&team(of), &name(secret), SecretString::from(value)).await.expect("puts");
}

async fn get(vault: &dyn Vault, of: &str, secret: &str) -> Option<String> {
    let value = vault.get(&team(of), &name(secret)).await.expect("gets");
    value.map(|value| value.expose_secret().to_owned())
}

async fn delete(vault: &dyn Vault, of: &str, secret: &str) -> bool {
    vault.delete(&team(of), &name(secret)).await.expect("deletes")
}

async fn names(vault: &dyn Vault, of: &str) -> Vec<String> {
    let listed = vault.list(&team(of)).await.expect("lists");
    let mut names: Vec<_> = listed.iter().map(|secret| secret.name.to_string()).collect();
    names.sort_unstable();
    names
}

async fn only(vault: &dyn Vault) -> SecretMetadata {
    let mut listed = vault.list(&team("local")).await.expect("lists");
    assert_eq!(listed.len(), 1);
    listed.remove(0)
}
