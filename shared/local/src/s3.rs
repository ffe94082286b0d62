//! S3 in process: an ordinary SDK client over a folder. Reads are those of `s3s-fs`. Writes, deletes and lists are ours:
//! `s3s-fs` looks whether an object exists and then writes it, puts the metadata after the object, never waits for the
//! disk, and walks the whole bucket for each page of a list.
//!
//! On the disk, an object is the file `<folder>/<bucket>/<key>`, and its metadata are in a hidden file next to the
//! buckets, in the format of `s3s-fs`.

use std::collections::HashMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Region, RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::TryStreamExt;
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, GetObjectInput,
    GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListObjectsV2Input,
    ListObjectsV2Output, Object, PutObjectInput, PutObjectOutput, Timestamp,
};
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use s3s_fs::FileSystem;
use serde::Serialize;
use tokio::sync::Mutex;

use crate::file::{self, Access};

/// The one bucket, which always exists.
pub const BUCKET: &str = "ozma";

#[derive(Debug, thiserror::Error)]
#[error("could not open the archive {path}", path = .path.display())]
pub struct OpenError {
    pub path: PathBuf,
    pub source: io::Error,
}

/// Opens the folder, or creates it, and removes what a crash left half written. One process at a time: the data folder's
/// lock sees to that.
pub fn client(folder: &Path) -> Result<aws_sdk_s3::Client, OpenError> {
    let archive = Archive::open(folder).map_err(|source| OpenError { path: folder.to_owned(), source })?;
    let service = S3ServiceBuilder::new(archive).build();
    let config = config().http_client(s3s_aws::Client::from(service)).build();
    Ok(aws_sdk_s3::Client::from_conf(config))
}

/// Of a client that is in one process with its objects; it needs an HTTP client that knows them.
pub fn config() -> aws_sdk_s3::config::Builder {
    aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("local"))
        .endpoint_url("http://s3.local")
        .force_path_style(true)
        .allow_no_auth()
        .retry_config(RetryConfig::standard())
        // There is no wire that could change bytes or stall.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
}

struct Archive {
    reads: FileSystem,
    root: PathBuf,
    writes: Arc<Writes>,
}

/// One writer at a time for each key, by its hash.
struct Writes {
    shards: [Mutex<()>; 64],
    hasher: RandomState,
    drafts: AtomicU64,
}

/// What `s3s-fs` reads back next to an object.
#[derive(Serialize)]
struct Attributes {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_metadata: Option<HashMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<String>,
}

impl Attributes {
    fn any(&self) -> bool {
        self.user_metadata.is_some() || self.content_type.is_some() || self.content_encoding.is_some()
    }
}

impl Archive {
    fn open(folder: &Path) -> io::Result<Self> {
        file::create_folders(&folder.join(BUCKET))?;
        let root = folder.canonicalize()?;
        // Removes the drafts, `.tmp.*.internal.part`.
        let reads = FileSystem::new(&root).map_err(|err| io::Error::other(format!("{err:?}")))?;
        let shards = std::array::from_fn(|_| Mutex::new(()));
        let writes = Arc::new(Writes { shards, hasher: RandomState::new(), drafts: AtomicU64::new(0) });
        Ok(Self { reads, root, writes })
    }

    /// A key that is a path of plain names stays inside its bucket.
    fn object(&self, bucket: &str, key: &str) -> S3Result<PathBuf> {
        if !key.split('/').all(|name| !matches!(name, "" | "." | "..")) {
            return Err(refusal(S3ErrorCode::InvalidArgument, "a key is made of names separated by single slashes"));
        }
        Ok(self.bucket(bucket)?.join(key))
    }

    fn bucket(&self, bucket: &str) -> S3Result<PathBuf> {
        let folder = self.root.join(bucket);
        if folder.is_dir() { Ok(folder) } else { Err(S3ErrorCode::NoSuchBucket.into()) }
    }

    /// To `s3s-fs` a folder is an object too.
    fn has(&self, bucket: &str, key: &str) -> S3Result<bool> {
        Ok(self.object(bucket, key)?.is_file())
    }

    fn attributes(&self, bucket: &str, key: &str) -> PathBuf {
        let (bucket, key) = (URL_SAFE_NO_PAD.encode(bucket), URL_SAFE_NO_PAD.encode(key));
        self.root.join(format!(".bucket-{bucket}.object-{key}.metadata.json"))
    }

    fn draft(&self) -> PathBuf {
        let number = self.writes.drafts.fetch_add(1, Ordering::Relaxed);
        self.root.join(format!(".tmp.put-{number}.internal.part"))
    }

    async fn delete(&self, bucket: &str, key: &str) -> S3Result<()> {
        let object = self.object(bucket, key)?;
        let attributes = self.attributes(bucket, key);
        let _turn = self.writes.turn(&object).await;
        blocking(move || {
            for path in [object, attributes] {
                remove(&path).map_err(|err| failure("delete", &path, &err))?;
            }
            Ok(())
        })
        .await
    }
}

impl Writes {
    async fn turn(&self, object: &Path) -> tokio::sync::MutexGuard<'_, ()> {
        let shard = self.hasher.hash_one(object) % self.shards.len() as u64;
        self.shards[usize::try_from(shard).unwrap_or_default()].lock().await
    }
}

#[async_trait::async_trait]
impl S3 for Archive {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        if input.if_match.is_some() || input.if_none_match.as_ref().is_some_and(|condition| !condition.is_any()) {
            return Err(refusal(S3ErrorCode::NotImplemented, "the one condition on a put is If-None-Match: *"));
        }
        let create_only = input.if_none_match.is_some();
        let object = self.object(&input.bucket, &input.key)?;
        let attributes_path = self.attributes(&input.bucket, &input.key);
        let attributes = Attributes {
            user_metadata: input.metadata.filter(|metadata| !metadata.is_empty()),
            content_type: input.content_type.filter(|value| value != "application/octet-stream"),
            content_encoding: input.content_encoding,
        };
        let attributes = attributes.any().then(|| serde_json::to_vec(&attributes)).transpose();
        let attributes = attributes.map_err(S3Error::internal_error)?;
        let mut bytes = Vec::new();
        if let Some(mut body) = input.body {
            while let Some(chunk) =
                body.try_next().await.map_err(|err| S3Error::with_source(S3ErrorCode::IncompleteBody, err))?
            {
                bytes.extend_from_slice(&chunk);
            }
        }
        let (object_draft, attributes_draft) = (self.draft(), self.draft());

        let writes = self.writes.clone();
        let turn = tokio::spawn(async move {
            // In a task of its own: a caller who stops waiting must not give up the turn while the disk still writes.
            let _turn = writes.turn(&object).await;
            blocking(move || {
                if create_only && object.exists() {
                    return Err(S3ErrorCode::PreconditionFailed.into());
                }
                if let Some(folder) = object.parent() {
                    file::create_folders(folder).map_err(|err| failure("create", folder, &err))?;
                }
                // First, so that no object is ever seen without its metadata.
                match attributes {
                    Some(bytes) => file::replace(&attributes_path, &attributes_draft, Access::Umask, &bytes),
                    None => remove(&attributes_path),
                }
                .map_err(|err| failure("write", &attributes_path, &err))?;
                file::replace(&object, &object_draft, Access::Umask, &bytes)
                    .map_err(|err| failure("write", &object, &err))
            })
            .await
        });
        turn.await.map_err(S3Error::internal_error)??;
        Ok(S3Response::new(PutObjectOutput::default()))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.delete(&request.input.bucket, &request.input.key).await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let mut deleted = Vec::new();
        for object in request.input.delete.objects {
            self.delete(&request.input.bucket, &object.key).await?;
            deleted.push(DeletedObject { key: Some(object.key), ..Default::default() });
        }
        Ok(S3Response::new(DeleteObjectsOutput { deleted: Some(deleted), ..Default::default() }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        if request.input.delimiter.is_some() {
            return self.reads.list_objects_v2(request).await;
        }
        let input = request.input;
        let bucket = self.bucket(&input.bucket)?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = input.continuation_token.clone().max(input.start_after.clone());
        let limit = usize::try_from(input.max_keys.unwrap_or(1000)).unwrap_or_default().min(1000);

        let mut objects = blocking(move || {
            let mut list = List { prefix, after, limit: limit + 1, objects: Vec::new() };
            // The deepest folder that holds all keys with the prefix.
            let folder = list.prefix.rsplit_once('/').map(|(folder, _)| format!("{folder}/")).unwrap_or_default();
            let names = folder.split_terminator('/');
            if names.clone().all(|name| !matches!(name, "" | "." | "..")) {
                list.walk(&bucket.join(&folder), &folder).map_err(|err| failure("list", &bucket, &err))?;
            }
            Ok(list.objects)
        })
        .await?;
        let truncated = objects.len() > limit;
        objects.truncate(limit);
        Ok(S3Response::new(ListObjectsV2Output {
            next_continuation_token: objects.last().filter(|_| truncated).and_then(|last| last.key.clone()),
            is_truncated: Some(truncated),
            key_count: i32::try_from(objects.len()).ok(),
            contents: Some(objects),
            max_keys: input.max_keys,
            continuation_token: input.continuation_token,
            start_after: input.start_after,
            prefix: input.prefix,
            name: Some(input.bucket),
            ..Default::default()
        }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        if !self.has(&request.input.bucket, &request.input.key)? {
            return Err(S3ErrorCode::NoSuchKey.into());
        }
        self.reads.get_object(request).await
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        if !self.has(&request.input.bucket, &request.input.key)? {
            // An answer to HEAD has no body on the wire, and the SDK makes this code of the bare 404.
            let mut absent = S3Error::new(S3ErrorCode::Custom("NotFound".into()));
            if let Some(status) = S3ErrorCode::NoSuchKey.status_code() {
                absent.set_status_code(status);
            }
            return Err(absent);
        }
        self.reads.head_object(request).await
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.reads.head_bucket(request).await
    }
}

struct List {
    prefix: String,
    after: Option<String>,
    limit: usize,
    objects: Vec<Object>,
}

impl List {
    /// Adds what is under `folder`, whose keys begin with `start`, in the order of the keys, until the limit.
    fn walk(&mut self, folder: &Path, start: &str) -> io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(err) if is_absent(&err) => return Ok(()),
            Err(err) => return Err(err),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // With its slash, a folder sorts among the files as its keys do.
            let slash = if entry.file_type()?.is_dir() { "/" } else { "" };
            found.push((format!("{start}{name}{slash}"), entry));
        }
        found.sort_by(|(left, _), (right, _)| left.cmp(right));
        for (key, entry) in found {
            if self.objects.len() >= self.limit {
                return Ok(());
            }
            let passed = |after: &String| key <= *after && !(key.ends_with('/') && after.starts_with(&key));
            if !key.starts_with(&self.prefix) || self.after.as_ref().is_some_and(passed) {
                continue;
            }
            if key.ends_with('/') {
                self.walk(&entry.path(), &key)?;
            } else {
                let metadata = match entry.metadata() {
                    Ok(metadata) => metadata,
                    Err(err) if is_absent(&err) => continue,
                    Err(err) => return Err(err),
                };
                self.objects.push(Object {
                    key: Some(key),
                    size: i64::try_from(metadata.len()).ok(),
                    last_modified: metadata.modified().ok().map(Timestamp::from),
                    ..Default::default()
                });
            }
        }
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> S3Result<T> + Send + 'static) -> S3Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(S3Error::internal_error)?
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(err) if !is_absent(&err) => Err(err),
        _ => Ok(()),
    }
}

fn is_absent(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn refusal(code: S3ErrorCode, message: &'static str) -> S3Error {
    S3Error::with_message(code, message)
}

/// The cause is in the message because nothing else of it reaches the client.
fn failure(what: &str, path: &Path, err: &io::Error) -> S3Error {
    let code = match err.kind() {
        io::ErrorKind::InvalidFilename => S3ErrorCode::KeyTooLongError,
        _ => S3ErrorCode::InternalError,
    };
    S3Error::with_message(code, format!("could not {what} {}: {err}", path.display()))
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::Client;
    use aws_sdk_s3::primitives::ByteStream;

    use super::*;

    struct World {
        folder: tempfile::TempDir,
        client: Client,
    }

    fn world() -> World {
        let folder = tempfile::tempdir().unwrap();
        let client = client(folder.path()).unwrap();
        World { folder, client }
    }

    /// "created", or the error's code.
    async fn create(client: &Client, key: &str, bytes: &[u8]) -> String {
        let put = client.put_object().bucket(BUCKET).key(key).if_none_match("*").metadata("sha", hex::encode(bytes));
        match put.body(ByteStream::from(bytes.to_vec())).send().await {
            Ok(_) => "created".to_owned(),
            Err(err) => {
                let status = err.raw_response().map_or(0, |response| response.status().as_u16());
                format!("{status} {}", err.into_service_error().meta().code().unwrap_or("?"))
            }
        }
    }

    async fn list(client: &Client, prefix: &str, page: i32) -> (Vec<String>, usize) {
        let (mut keys, mut pages) = (Vec::new(), 0);
        let mut paginator =
            client.list_objects_v2().bucket(BUCKET).prefix(prefix).max_keys(page).into_paginator().send();
        while let Some(page) = paginator.next().await {
            keys.extend(page.unwrap().contents().iter().filter_map(|object| object.key().map(str::to_owned)));
            pages += 1;
        }
        (keys, pages)
    }

    fn hidden(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_file()).count()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_many_creations_of_one_key_one_succeeds_and_its_bytes_and_metadata_are_kept() {
        let World { client, folder: _folder } = world();
        let key = "audit/v1/team=local/date=2026-01-02/run=a/000001-000001.jsonl.gz";
        let creations = (0..16_u8).map(|n| {
            let client = client.clone();
            tokio::spawn(async move { (n, create(&client, key, &[n; 3]).await) })
        });
        let mut winners = Vec::new();
        for creation in creations.collect::<Vec<_>>() {
            match creation.await.unwrap() {
                (n, answer) if answer == "created" => winners.push(n),
                (_, answer) => assert_eq!(answer, "412 PreconditionFailed"),
            }
        }
        let [winner] = winners[..] else { panic!("created by {winners:?}") };
        let head = client.head_object().bucket(BUCKET).key(key).send().await.unwrap();
        assert_eq!(head.metadata().unwrap()["sha"], hex::encode([winner; 3]));
        let object = client.get_object().bucket(BUCKET).key(key).send().await.unwrap();
        assert_eq!(object.body.collect().await.unwrap().to_vec(), [winner; 3]);
    }

    #[tokio::test]
    async fn keys() {
        let World { client, folder: _folder } = world();
        for (key, expected) in [
            ("a=b/c d/e+f&g.json", "created"),
            ("a=b/c d/e+f&g.json", "412 PreconditionFailed"),
            ("a=b/ü/\u{1F980}", "created"),
            ("deep/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16", "created"),
            ("deep/1", "412 PreconditionFailed"),
            ("a//b", "400 InvalidArgument"),
            ("../escape", "400 InvalidArgument"),
            (&"k".repeat(200), "400 KeyTooLongError"),
        ] {
            assert_eq!(create(&client, key, b"x").await, expected, "{key}");
        }
        assert_eq!(list(&client, "a=b/", 1000).await.0, ["a=b/c d/e+f&g.json", "a=b/ü/\u{1F980}"]);
        let folder = client.head_object().bucket(BUCKET).key("deep/1").send().await.unwrap_err();
        assert!(folder.into_service_error().is_not_found());
        let absent = client.head_object().bucket(BUCKET).key("absent").send().await.unwrap_err();
        assert!(absent.into_service_error().is_not_found());
        let absent = client.get_object().bucket(BUCKET).key("absent").send().await.unwrap_err();
        assert!(absent.into_service_error().is_no_such_key());
    }

    #[tokio::test]
    async fn lists_are_in_the_order_of_keys_whatever_the_page() {
        let World { client, folder: _folder } = world();
        let mut keys = ["a/1", "a/10", "a/2", "a/b-c", "a/b/c", "a/b/d/e", "a/b0", "ab/1", "b", "a.b", "z/y"];
        for key in keys {
            assert_eq!(create(&client, key, b"x").await, "created");
        }
        keys.sort_unstable();
        for prefix in ["", "a", "a/", "a/b", "a/b/", "a/b/d", "b", "b/", "none", "../", "/"] {
            let expected: Vec<_> = keys.iter().copied().filter(|key| key.starts_with(prefix)).collect();
            for page in 1..=4 {
                let (found, pages) = list(&client, prefix, page).await;
                assert_eq!(
                    (&found[..], pages),
                    (
                        &expected.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>()[..],
                        expected.len().div_ceil(page as usize).max(1)
                    ),
                    "{prefix} by {page}"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_crash_leaves_no_half_object() {
        let World { folder, client: before } = world();
        // As far as a put comes before its last rename.
        let key = "runs/1/prompt";
        let archive = Archive::open(folder.path()).unwrap();
        let attributes = archive.attributes(BUCKET, key);
        fs::write(archive.draft(), b"hal").unwrap();
        fs::write(&attributes, br#"{"user_metadata":{"sha":"stale"}}"#).unwrap();
        assert!(before.head_object().bucket(BUCKET).key(key).send().await.is_err());

        let client = client(folder.path()).unwrap();
        assert_eq!(hidden(folder.path()), 1, "the draft is gone");
        assert_eq!(list(&client, "", 1000).await.0, [""; 0]);
        assert_eq!(create(&client, key, b"whole").await, "created");
        let head = client.head_object().bucket(BUCKET).key(key).send().await.unwrap();
        assert_eq!(
            (head.content_length(), head.metadata().unwrap()["sha"].as_str()),
            (Some(5), &*hex::encode("whole"))
        );
    }

    #[tokio::test]
    async fn a_replaced_or_deleted_object_leaves_no_metadata_behind() {
        let World { folder, client } = world();
        assert_eq!(create(&client, "k", b"1").await, "created");
        assert_eq!(hidden(folder.path()), 1);
        client.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(b"22")).send().await.unwrap();
        let head = client.head_object().bucket(BUCKET).key("k").send().await.unwrap();
        assert_eq!((head.content_length(), head.metadata().map_or(0, HashMap::len)), (Some(2), 0));
        assert_eq!(create(&client, "l", b"1").await, "created");
        for key in ["k", "l", "never"] {
            client.delete_object().bucket(BUCKET).key(key).send().await.unwrap();
        }
        assert_eq!((hidden(folder.path()), list(&client, "", 10).await.0.len()), (0, 0));
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_one_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let err = client(file.path()).unwrap_err();
        assert_eq!(err.to_string(), format!("could not open the archive {}", file.path().display()));
    }

    /// `cargo test --release -p ozma-local --lib -- --ignored --nocapture puts_per_second`
    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "measures"]
    #[expect(clippy::print_stderr, reason = "the measure is for the person who asked for it")]
    async fn puts_per_second() {
        let folder = tempfile::tempdir_in(".").unwrap();
        let client = client(folder.path()).unwrap();
        let start = std::time::Instant::now();
        let puts = (0..8).map(|task| {
            let client = client.clone();
            tokio::spawn(async move {
                for n in 0..100 {
                    let key = format!("audit/v1/run={task}/{n:06}.jsonl.gz");
                    assert_eq!(create(&client, &key, &[7; 4096]).await, "created");
                }
            })
        });
        for put in puts.collect::<Vec<_>>() {
            put.await.unwrap();
        }
        eprintln!(
            "8 tasks: {:.0} new objects of 4 KiB with metadata per second",
            800.0 / start.elapsed().as_secs_f64()
        );
    }
}
