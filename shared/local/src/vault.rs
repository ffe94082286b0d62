//! Secrets in a file, encrypted under the key of the data folder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use jiff::Timestamp;
use ozma_app::ports::{Clock, PortError, SecretMetadata, Vault};
use ozma_domain::id::{SecretName, TeamId};
use ozma_domain::limits::SECRET_BYTES;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::data_folder::DataFolder;
use crate::file::{self, Access, blocking};

/// `vault.json`: names and times in the clear, values under XChaCha20-Poly1305. A value is bound to its team and name, so
/// that somebody who may write the file cannot put one in the place of another.
pub struct FileVault {
    path: PathBuf,
    cipher: XChaCha20Poly1305,
    clock: Arc<dyn Clock>,
    contents: Mutex<Contents>,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("could not read {path}", path = .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} is damaged: restore it, or move it away and create the secrets again", path = .path.display())]
    Damaged { path: PathBuf, source: serde_json::Error },
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Contents {
    teams: BTreeMap<TeamId, BTreeMap<SecretName, Entry>>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Entry {
    /// Base64, as is the ciphertext.
    nonce: String,
    ciphertext: String,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl FileVault {
    pub fn open(folder: &DataFolder, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let path = folder.vault();
        let contents = match fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|source| OpenError::Damaged { path: path.clone(), source })?
            }
            Err(err) if err.kind() == io::ErrorKind::NotFound => Contents::default(),
            Err(source) => return Err(OpenError::Unreadable { path, source }),
        };
        let cipher = XChaCha20Poly1305::new(folder.vault_key().into());
        Ok(Self { path, cipher, clock, contents: Mutex::new(contents) })
    }

    fn seal(&self, team: &TeamId, name: &SecretName, value: &SecretString) -> Result<(String, String), PortError> {
        let random = self.clock.random();
        let nonce = XNonce::from_slice(&random[..24]);
        let payload = Payload { msg: value.expose_secret().as_bytes(), aad: &binding(team, name) };
        let ciphertext = self
            .cipher
            .encrypt(nonce, payload)
            .map_err(|_| PortError::new(format!("could not encrypt the secret {name}")))?;
        Ok((STANDARD.encode(nonce), STANDARD.encode(ciphertext)))
    }

    fn unseal(&self, team: &TeamId, name: &SecretName, entry: &Entry) -> Option<SecretString> {
        let nonce = STANDARD.decode(&entry.nonce).ok().filter(|nonce| nonce.len() == 24)?;
        let ciphertext = STANDARD.decode(&entry.ciphertext).ok()?;
        let payload = Payload { msg: &ciphertext, aad: &binding(team, name) };
        let value = Zeroizing::new(self.cipher.decrypt(XNonce::from_slice(&nonce), payload).ok()?);
        std::str::from_utf8(&value).ok().map(SecretString::from)
    }

    /// On the disk first, then in memory.
    async fn save(&self, contents: &mut Contents, next: Contents) -> Result<(), PortError> {
        let failed = |err: io::Error| PortError::because(format!("could not write {}", self.path.display()), err);
        let json = serde_json::to_vec_pretty(&next).map_err(|err| failed(err.into()))?;
        let (path, draft) = (self.path.clone(), self.path.with_extension("json.draft"));
        blocking(move || file::replace(&path, &draft, Access::Owner, &json)).await.map_err(failed)?;
        *contents = next;
        Ok(())
    }
}

/// What a value is bound to. Neither part can hold the separator.
fn binding(team: &TeamId, name: &SecretName) -> Vec<u8> {
    format!("ozma vault v1\n{team}/{name}").into_bytes()
}

#[async_trait]
impl Vault for FileVault {
    async fn put(&self, team: &TeamId, name: &SecretName, value: SecretString) -> Result<(), PortError> {
        if value.expose_secret().len() > SECRET_BYTES {
            return Err(PortError::new(format!("the secret {name} is larger than {SECRET_BYTES} bytes")));
        }
        let (nonce, ciphertext) = self.seal(team, name, &value)?;
        let mut contents = self.contents.lock().await;
        let now = self.clock.now();
        let mut next = contents.clone();
        let secrets = next.teams.entry(team.clone()).or_default();
        let created_at = secrets.get(name).map_or(now, |before| before.created_at);
        secrets.insert(name.clone(), Entry { nonce, ciphertext, created_at, updated_at: now });
        self.save(&mut contents, next).await
    }

    async fn delete(&self, team: &TeamId, name: &SecretName) -> Result<bool, PortError> {
        let mut contents = self.contents.lock().await;
        let mut next = contents.clone();
        let existed = next.teams.get_mut(team).is_some_and(|secrets| secrets.remove(name).is_some());
        if existed {
            next.teams.retain(|_, secrets| !secrets.is_empty());
            self.save(&mut contents, next).await?;
        }
        Ok(existed)
    }

    async fn list(&self, team: &TeamId) -> Result<Vec<SecretMetadata>, PortError> {
        let contents = self.contents.lock().await;
        let secrets = contents.teams.get(team).into_iter().flatten();
        Ok(secrets
            .map(|(name, entry)| SecretMetadata {
                name: name.clone(),
                created_at: entry.created_at,
                updated_at: entry.updated_at,
            })
            .collect())
    }

    async fn get(&self, team: &TeamId, name: &SecretName) -> Result<Option<SecretString>, PortError> {
        let entry = self.contents.lock().await.teams.get(team).and_then(|secrets| secrets.get(name)).cloned();
        let Some(entry) = entry else { return Ok(None) };
        let value = self.unseal(team, name, &entry).ok_or_else(|| {
            PortError::new(format!(
                "the secret {name} cannot be decrypted: create it again (vault.json or vault.key was changed)"
            ))
        })?;
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ozma_app::clock::SystemClock;

    struct World {
        files: tempfile::TempDir,
    }

    impl World {
        /// The vault as a process that starts now sees it.
        fn vault(&self) -> Result<FileVault, OpenError> {
            let folder = DataFolder::open(self.files.path(), &SystemClock).unwrap();
            FileVault::open(&folder, Arc::new(SystemClock))
        }

        fn json(&self) -> String {
            fs::read_to_string(self.files.path().join("vault.json")).unwrap()
        }
    }

    fn team() -> TeamId {
        "local".parse().unwrap()
    }

    fn name(name: &str) -> SecretName {
        name.parse().unwrap()
    }

    async fn world() -> World {
        let world = World { files: tempfile::tempdir().unwrap() };
        let vault = world.vault().unwrap();
        vault.put(&team(), &name("A"), SecretString::from("first value")).await.unwrap();
        vault.put(&team(), &name("B"), SecretString::from("second value")).await.unwrap();
        world
    }

    async fn get(world: &World, secret: &str) -> Result<Option<String>, String> {
        let value = world.vault().unwrap().get(&team(), &name(secret)).await;
        value.map(|value| value.map(|value| value.expose_secret().to_owned())).map_err(|err| err.to_string())
    }

    #[tokio::test]
    async fn secrets_outlive_the_process_and_are_not_in_the_file() {
        let world = world().await;
        assert_eq!(get(&world, "A").await.unwrap().as_deref(), Some("first value"));
        assert!(!world.json().contains("first value") && !world.json().contains(&STANDARD.encode("first value")));
    }

    #[tokio::test]
    async fn a_changed_file_gives_no_other_value() {
        let world = world().await;
        let mut json: serde_json::Value = serde_json::from_str(&world.json()).unwrap();
        let secrets = json["teams"]["local"].as_object_mut().unwrap();
        let (a, b) = (secrets["A"].clone(), secrets["B"].clone());
        (secrets["A"], secrets["B"]) = (b, a);
        fs::write(world.files.path().join("vault.json"), json.to_string()).unwrap();
        let expected = "the secret A cannot be decrypted: create it again (vault.json or vault.key was changed)";
        assert_eq!(get(&world, "A").await, Err(expected.to_owned()));

        fs::write(world.files.path().join("vault.json"), "{").unwrap();
        let said = world.vault().map(|_| ()).unwrap_err().to_string();
        assert!(
            said.ends_with("vault.json is damaged: restore it, or move it away and create the secrets again"),
            "{said}"
        );
    }
}
