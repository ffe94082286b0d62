//! The data folder: everything the embedded engine keeps. One process has it at a time.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ozma_app::ports::Clock;
use ozma_domain::audit::manifest;
use ozma_domain::token::ApiKey;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use serde::{Deserialize, Serialize};

use crate::file::{self, Access};

/// What this version writes and reads.
const FORMAT: u32 = 1;

/// A process that was just killed lets go of its lock a moment later.
const LETS_GO: Duration = Duration::from_millis(500);

/// An open data folder. It is locked until this is dropped or the process ends, however it ends.
pub struct DataFolder {
    path: PathBuf,
    admin_key: ApiKey,
    claim_key: SecretString,
    webhook_key: SecretString,
    audit_seed: SecretBox<[u8; 32]>,
    vault_key: SecretBox<[u8; 32]>,
    _lock: File,
}

/// How to reach the process that has the folder, in `server.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    pub url: String,
    pub pid: u32,
    pub started_at: Timestamp,
    /// Of `oz`.
    pub version: String,
}

/// Why a folder is refused. One that is newer, in use or holds other files is left as it was.
#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    #[error(
        "{path} was written by a newer oz (format {format}, this one reads {FORMAT}): update oz or choose another --data-dir",
        path = .path.display()
    )]
    Newer { path: PathBuf, format: u32 },
    #[error("{path} is in use by another oz{server}: stop that one or choose another --data-dir", path = .path.display(), server = at(.server.as_ref()))]
    InUse { path: PathBuf, server: Option<ServerInfo> },
    #[error("{path} is not a folder: choose another --data-dir", path = .path.display())]
    NotAFolder { path: PathBuf },
    #[error("{path} holds other files: choose an empty or a new folder as --data-dir", path = .path.display())]
    Foreign { path: PathBuf },
    #[error("{path} {problem}", path = .path.display())]
    Damaged { path: PathBuf, problem: &'static str },
    #[error("could not {what} {path}: {remedy}", path = .path.display(), remedy = remedy(.source))]
    Io { what: &'static str, path: PathBuf, source: io::Error },
}

impl DataFolder {
    /// Opens the folder for this process alone, or creates it, readable by its owner alone.
    pub fn open(path: &Path, clock: &dyn Clock) -> Result<Self, DataFolderError> {
        create(path)?;
        // Absolute: agents and tasks work in other folders.
        let path = path.canonicalize().map_err(failed("open", path))?;
        check_format(&path)?;
        let lock = lock(&path)?;
        // Again: while we waited for nobody, another may have come and gone.
        let known = check_format(&path)?;

        fs::set_permissions(&path, Permissions::from_mode(0o700)).map_err(failed("protect", &path))?;
        if known.is_none() {
            write(&path, "version", Access::Umask, format!("{FORMAT}\n").as_bytes())?;
        }
        remove_server(&path)?;
        for folder in ["agents", "run"] {
            let folder = path.join(folder);
            file::create_folders(&folder).map_err(failed("create", &folder))?;
        }
        let keys = Keys { folder: &path, clock };
        Ok(Self {
            admin_key: keys.admin()?,
            claim_key: keys.text("claim.key")?,
            webhook_key: keys.text("webhook.key")?,
            audit_seed: keys.audit()?,
            vault_key: keys.vault()?,
            path,
            _lock: lock,
        })
    }

    /// Absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn table(&self) -> PathBuf {
        self.path.join("table.db")
    }

    pub fn archive(&self) -> PathBuf {
        self.path.join("archive")
    }

    /// The launcher's: workspaces and logs.
    pub fn agents(&self) -> PathBuf {
        self.path.join("agents")
    }

    /// Sockets.
    pub fn run(&self) -> PathBuf {
        self.path.join("run")
    }

    pub fn vault(&self) -> PathBuf {
        self.path.join("vault.json")
    }

    /// The key of the installation's owner, in `admin.key` for the CLI.
    pub fn admin_key(&self) -> &ApiKey {
        &self.admin_key
    }

    pub fn claim_key(&self) -> &SecretString {
        &self.claim_key
    }

    /// What the secrets of webhooks are derived from. With another one, every sender's secret is wrong.
    pub fn webhook_key(&self) -> &SecretString {
        &self.webhook_key
    }

    /// The Ed25519 seed that signs manifests. Its public half is in `audit.pub`.
    pub fn audit_seed(&self) -> &[u8; 32] {
        self.audit_seed.expose_secret()
    }

    pub(crate) fn vault_key(&self) -> &[u8; 32] {
        self.vault_key.expose_secret()
    }

    /// Tells other processes how to reach this one, until the folder is closed.
    pub fn announce(&self, server: &ServerInfo) -> Result<(), DataFolderError> {
        let json = serde_json::to_vec_pretty(server).expect("text, a number and a time");
        write(&self.path, "server.json", Access::Owner, &json)
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        // If it stays, the next one to open the folder removes it, and nobody answers at its address.
        let _ = remove_server(&self.path);
    }
}

/// How to reach the process that has the folder, if one does. After a crash it may still say so: ask the address.
pub fn read_server(path: &Path) -> Option<ServerInfo> {
    serde_json::from_slice(&fs::read(path.join("server.json")).ok()?).ok()
}

/// Whether a process has the folder at this moment.
pub fn is_in_use(path: &Path) -> bool {
    let lock = File::open(path.join("lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

/// The admin key of a folder that another process may have, for a CLI that talks to that one.
pub fn read_admin_key(path: &Path) -> Option<ApiKey> {
    fs::read_to_string(path.join("admin.key")).ok()?.trim().parse().ok()
}

fn create(path: &Path) -> Result<(), DataFolderError> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            DataFolderError::NotAFolder { path: path.to_owned() }
        }
        _ => failed("create", path)(source),
    })
}

/// The format, none if the folder is new.
fn check_format(folder: &Path) -> Result<Option<u32>, DataFolderError> {
    let path = folder.join("version");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return check_empty(folder).map(|()| None),
        Err(err) => return Err(failed("read", &path)(err)),
    };
    match text.trim().parse() {
        Ok(format) if format <= FORMAT => Ok(Some(format)),
        Ok(format) => Err(DataFolderError::Newer { path: folder.to_owned(), format }),
        Err(_) => {
            Err(DataFolderError::Damaged { path, problem: "is not a number: restore it or choose another --data-dir" })
        }
    }
}

/// Somebody's home is not to be filled with our files. The lock and a draft are what a crash leaves of a first start.
fn check_empty(folder: &Path) -> Result<(), DataFolderError> {
    for entry in fs::read_dir(folder).map_err(failed("read", folder))? {
        let name = entry.map_err(failed("read", folder))?.file_name();
        if name != "lock" && name != ".version.draft" {
            return Err(DataFolderError::Foreign { path: folder.to_owned() });
        }
    }
    Ok(())
}

fn lock(folder: &Path) -> Result<File, DataFolderError> {
    let path = folder.join("lock");
    let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = open.map_err(failed("open", &path))?;
    let deadline = Instant::now() + LETS_GO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(LETS_GO / 20),
            Err(TryLockError::WouldBlock) => {
                return Err(DataFolderError::InUse { path: folder.to_owned(), server: read_server(folder) });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
        }
    }
}

/// The key files. Each is made on the first start, and no other key may take the place of a lost one unnoticed.
struct Keys<'a> {
    folder: &'a Path,
    clock: &'a dyn Clock,
}

impl Keys<'_> {
    fn admin(&self) -> Result<ApiKey, DataFolderError> {
        if let Some(bytes) = self.read("admin.key")? {
            let text = std::str::from_utf8(&bytes).ok();
            return text.and_then(|text| text.trim().parse().ok()).ok_or_else(|| self.damaged("admin.key"));
        }
        let key = ApiKey::new(self.clock.random());
        self.write("admin.key", Zeroizing::new(format!("{}\n", key.expose())).as_bytes())?;
        Ok(key)
    }

    /// 64 hexadecimal digits.
    fn text(&self, name: &'static str) -> Result<SecretString, DataFolderError> {
        let text = match self.read(name)? {
            Some(bytes) => String::from_utf8(bytes.to_vec()).map_err(|_| self.damaged(name))?,
            None => {
                let text = hex::encode(self.clock.random());
                self.write(name, format!("{text}\n").as_bytes())?;
                text
            }
        };
        match text.trim() {
            key if key.len() >= 64 => Ok(SecretString::from(key)),
            _ => Err(self.damaged(name)),
        }
    }

    fn audit(&self) -> Result<SecretBox<[u8; 32]>, DataFolderError> {
        let seed = self.bytes("audit.key", "audit.pub")?;
        let public = format!("{}\n", manifest::public_key(seed.expose_secret()));
        let path = self.folder.join("audit.pub");
        if fs::read(&path).ok().as_deref() != Some(public.as_bytes()) {
            write(self.folder, "audit.pub", Access::Umask, public.as_bytes())?;
        }
        Ok(seed)
    }

    fn vault(&self) -> Result<SecretBox<[u8; 32]>, DataFolderError> {
        self.bytes("vault.key", "vault.json")
    }

    /// 32 bytes. Without them, what is in `dependent` is worth nothing.
    fn bytes(&self, name: &'static str, dependent: &str) -> Result<SecretBox<[u8; 32]>, DataFolderError> {
        let bytes = match self.read(name)? {
            Some(bytes) => <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| self.damaged(name))?,
            None if self.folder.join(dependent).exists() => {
                let problem =
                    "is lost, and what was made with it is still there: restore it or choose another --data-dir";
                return Err(DataFolderError::Damaged { path: self.folder.join(name), problem });
            }
            None => {
                let bytes = self.clock.random();
                self.write(name, &bytes)?;
                bytes
            }
        };
        Ok(SecretBox::new(Box::new(bytes)))
    }

    fn read(&self, name: &'static str) -> Result<Option<Zeroizing<Vec<u8>>>, DataFolderError> {
        let path = self.folder.join(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(failed("read", &path)(err)),
        };
        let mode = fs::metadata(&path).map_err(failed("read", &path))?.permissions().mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(failed("protect", &path))?;
            tracing::warn!(
                file = name,
                mode = format!("{:o}", mode & 0o777),
                "a key file was open to other users; it is not any more"
            );
        }
        Ok(Some(bytes))
    }

    fn write(&self, name: &'static str, bytes: &[u8]) -> Result<(), DataFolderError> {
        write(self.folder, name, Access::Owner, bytes)
    }

    fn damaged(&self, name: &'static str) -> DataFolderError {
        let problem = "is damaged: restore it, or choose another --data-dir";
        DataFolderError::Damaged { path: self.folder.join(name), problem }
    }
}

fn write(folder: &Path, name: &str, access: Access, bytes: &[u8]) -> Result<(), DataFolderError> {
    let path = folder.join(name);
    file::replace(&path, &folder.join(format!(".{name}.draft")), access, bytes).map_err(failed("write", &path))
}

fn remove_server(folder: &Path) -> Result<(), DataFolderError> {
    let path = folder.join("server.json");
    match fs::remove_file(&path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path)(err)),
        _ => Ok(()),
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataFolderError {
    let path = path.to_owned();
    move |source| DataFolderError::Io { what, path, source }
}

fn remedy(err: &io::Error) -> &'static str {
    match err.kind() {
        io::ErrorKind::PermissionDenied => "it belongs to another user; make it yours or choose another --data-dir",
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only; choose another --data-dir",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full; free some space or choose another --data-dir"
        }
        _ => "choose another --data-dir",
    }
}

fn at(server: Option<&ServerInfo>) -> String {
    server.map(|server| format!(" (process {}, {})", server.pid, server.url)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use ozma_app::clock::SystemClock;

    fn open(path: &Path) -> Result<DataFolder, DataFolderError> {
        DataFolder::open(path, &SystemClock)
    }

    /// Every file with its rights and content.
    fn snapshot(folder: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries
            .map(|path| {
                (path.clone(), fs::metadata(&path).unwrap().permissions().mode(), fs::read(&path).unwrap_or_default())
            })
            .collect();
        files.sort();
        files
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_folder_is_the_owners_alone_and_keeps_its_keys() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("some/where");
        let first = open(&path).unwrap();
        let keys = |folder: &DataFolder| {
            (
                folder.admin_key().expose().to_owned(),
                folder.claim_key().expose_secret().to_owned(),
                folder.webhook_key().expose_secret().to_owned(),
                *folder.audit_seed(),
                *folder.vault_key(),
            )
        };
        let before = keys(&first);
        assert_eq!(read_admin_key(&path).unwrap().expose(), before.0);
        assert_eq!(fs::read_to_string(path.join("audit.pub")).unwrap().trim(), manifest::public_key(&before.3));
        assert_eq!(mode(&path), 0o700);
        for name in ["admin.key", "claim.key", "webhook.key", "audit.key", "vault.key", "lock"] {
            assert_eq!(mode(&path.join(name)), 0o600, "{name}");
        }
        drop(first);
        fs::set_permissions(path.join("admin.key"), Permissions::from_mode(0o644)).unwrap();
        assert_eq!(keys(&open(&path).unwrap()), before);
        assert_eq!(mode(&path.join("admin.key")), 0o600);
    }

    #[test]
    fn one_process_at_a_time_and_others_learn_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path()).unwrap();
        let refused = || open(folder.path()).map(|_| ()).unwrap_err().to_string();
        let name = first.path().display().to_string();
        assert_eq!(refused(), format!("{name} is in use by another oz: stop that one or choose another --data-dir"));
        assert_eq!(read_server(folder.path()), None);
        let server = ServerInfo {
            url: "http://127.0.0.1:8484".to_owned(),
            pid: 7,
            started_at: SystemClock.now(),
            version: "0.1.0".to_owned(),
        };
        first.announce(&server).unwrap();
        assert_eq!(read_server(folder.path()), Some(server));
        let at = "process 7, http://127.0.0.1:8484";
        assert_eq!(
            refused(),
            format!("{name} is in use by another oz ({at}): stop that one or choose another --data-dir")
        );
        drop(first);
        assert_eq!(read_server(folder.path()), None);
        open(folder.path()).unwrap();
    }

    /// A data folder that was used, after `change`.
    fn used(change: impl FnOnce(&Path)) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path()).unwrap());
        change(folder.path());
        folder
    }

    #[track_caller]
    fn check(folder: &TempDir, expected: &str) {
        let before = snapshot(folder.path());
        let path = folder.path().canonicalize().unwrap().display().to_string();
        let said = open(folder.path()).map(|_| ()).unwrap_err().to_string().replace(&path, "DIR");
        assert_eq!(said, expected);
        assert_eq!(snapshot(folder.path()), before, "a folder that is refused is left as it was");
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_a_remedy() {
        check(
            &used(|folder| fs::write(folder.join("version"), "2\n").unwrap()),
            "DIR was written by a newer oz (format 2, this one reads 1): update oz or choose another --data-dir",
        );
        check(
            &used(|folder| fs::write(folder.join("version"), "one").unwrap()),
            "DIR/version is not a number: restore it or choose another --data-dir",
        );
        check(
            &used(|folder| fs::remove_file(folder.join("version")).unwrap()),
            "DIR holds other files: choose an empty or a new folder as --data-dir",
        );
        check(
            &used(|folder| fs::write(folder.join("admin.key"), "ozk_typo").unwrap()),
            "DIR/admin.key is damaged: restore it, or choose another --data-dir",
        );
        check(
            &used(|folder| fs::write(folder.join("webhook.key"), "short\n").unwrap()),
            "DIR/webhook.key is damaged: restore it, or choose another --data-dir",
        );
        check(
            &used(|folder| fs::remove_file(folder.join("audit.key")).unwrap()),
            "DIR/audit.key is lost, and what was made with it is still there: restore it or choose another --data-dir",
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        for path in [file.path().to_owned(), file.path().join("below")] {
            let said = open(&path).map(|_| ()).unwrap_err().to_string();
            assert_eq!(said, format!("{} is not a folder: choose another --data-dir", path.display()));
        }
    }

    #[test]
    fn a_start_that_was_cut_short_is_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["lock", ".version.draft"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        drop(open(folder.path()).unwrap());
        fs::remove_file(folder.path().join("vault.key")).unwrap();
        fs::write(folder.path().join(".vault.key.draft"), "half").unwrap();
        open(folder.path()).unwrap();
    }

    #[test]
    fn the_cause_tells_the_remedy() {
        for (kind, expected) in [
            (
                io::ErrorKind::PermissionDenied,
                "could not write D: it belongs to another user; make it yours or choose another --data-dir",
            ),
            (
                io::ErrorKind::ReadOnlyFilesystem,
                "could not write D: the file system is read-only; choose another --data-dir",
            ),
            (
                io::ErrorKind::StorageFull,
                "could not write D: the disk is full; free some space or choose another --data-dir",
            ),
            (io::ErrorKind::NotFound, "could not write D: choose another --data-dir"),
        ] {
            assert_eq!(failed("write", Path::new("D"))(kind.into()).to_string(), expected);
        }
    }
}
