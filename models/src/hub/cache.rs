//! One model's folder in the cache that Python's huggingface_hub uses:
//!
//! ```text
//! models--owner--name/
//!   refs/main                      the commit that a branch or tag stood at
//!   blobs/<hash>                   contents, named by git's SHA-1 or, for large files, by SHA-256
//!   snapshots/<commit>/<file>      links to ../../blobs/<hash>
//! .locks/models--owner--name/<hash>.lock
//! ```
//!
//! A blob is written under a name that one process owns and renamed when it has been verified, so whoever sees a
//! blob sees all of it. Locks only save doing the same work twice; on file systems where they do nothing, nothing
//! breaks.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hf_hub::{Cache, CacheRepo, Repo, RepoType};
use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::error::HubError;
use super::http::pause;
use super::listing::{WEIGHTS, Weights, is_commit, is_hex, is_short_commit, shards};
use super::settings::LARGEST_NOTE;
use crate::apart::{Fault, on_thread};
use crate::files::regular;
use ecco_interpreter::{Progress, Watch};

const LOCK_POLL: Duration = Duration::from_millis(200);

/// The folder of one model.
pub(super) struct ModelCache {
    repo_id: String,
    root: PathBuf,
    layout: CacheRepo,
    folder_name: String,
}

/// The hash that the hub promises for a file, which is also its blob's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Etag(String);

impl Etag {
    /// From a header: `"hash"`, `W/"hash"`; none where it is no hash that a file can be checked against.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let hash = header.trim().trim_start_matches("W/").trim_matches('"');
        let known = matches!(hash.len(), 40 | 64) && is_hex(hash);
        known.then(|| Self(hash.to_owned()))
    }

    /// The hash of what is in `file`, of the same kind: SHA-256 of the contents for large files, for others git's
    /// SHA-1, which covers the header `blob <length>\0` too.
    fn of_file(&self, file: &Path, progress: &mut Progress, watch: &mut Watch) -> Result<String, HubError> {
        let failed = |source| io_error(file, source);
        let (mut reader, length) = regular::open(file).map_err(failed)?;
        (progress.done, progress.total) = (0, Some(length));
        if self.0.len() == 64 {
            digest(Sha256::new(), &mut reader, file, progress, watch)
        } else {
            let hasher = Sha1::new_with_prefix(format!("blob {length}\0"));
            digest(hasher, &mut reader, file, progress, watch)
        }
    }
}

fn digest<D: Digest>(
    mut hasher: D,
    reader: &mut File,
    file: &Path,
    progress: &mut Progress,
    watch: &mut Watch,
) -> Result<String, HubError> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        if watch(progress).is_break() {
            return Err(HubError::Interrupted);
        }
        let n = reader
            .read(&mut buffer)
            .map_err(|source| io_error(file, source))?;
        if n == 0 {
            return Ok(hasher
                .finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect());
        }
        hasher.update(&buffer[..n]);
        progress.done += n as u64;
    }
}

impl ModelCache {
    pub(super) fn new(root: &Path, repo_id: &str) -> Self {
        let repo = Repo::new(repo_id.to_owned(), RepoType::Model);
        let folder_name = repo.folder_name();
        let layout = Cache::new(root.to_owned()).repo(repo);
        Self {
            repo_id: repo_id.to_owned(),
            root: root.to_owned(),
            layout,
            folder_name,
        }
    }

    pub(super) fn repo_id(&self) -> &str {
        &self.repo_id
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.root.join(&self.folder_name)
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.layout.pointer_path(commit)
    }

    pub(super) fn blob(&self, etag: &Etag) -> PathBuf {
        self.layout.blob_path(&etag.0)
    }

    fn reference(&self, revision: &str) -> PathBuf {
        self.folder().join("refs").join(revision)
    }

    /// The snapshot that a revision last stood at.
    fn last_snapshot(&self, revision: &str) -> Option<PathBuf> {
        let commit = if is_commit(revision) {
            revision.to_owned()
        } else {
            read_note(&self.reference(revision))?.trim().to_owned()
        };
        is_commit(&commit).then(|| self.snapshot(&commit))
    }

    /// The same, when it has these files.
    pub(super) fn snapshot_with(&self, revision: &str, files: &[String]) -> Option<PathBuf> {
        let folder = self.last_snapshot(revision)?;
        let whole = files.iter().all(|name| folder.join(name).is_file());
        whole.then_some(folder)
    }

    /// The same, when a model can be loaded from it.
    pub(super) fn complete_snapshot(&self, revision: &str) -> Option<PathBuf> {
        let folder = self.last_snapshot(revision)?;
        let has_weights = || WEIGHTS.iter().any(|weights| self.has(&folder, *weights));
        let whole = folder.join("config.json").is_file() && has_weights();
        whole.then_some(folder)
    }

    /// The only commit that is here whole and begins with `start`, where no reference says which is meant: in a cache
    /// that was copied by hand, or fetched by commit.
    pub(super) fn only_commit(&self, start: &str) -> Option<String> {
        let mut commits = self.commits();
        commits.retain(|commit| commit.starts_with(start));
        match commits.len() {
            1 => commits.pop(),
            _ => None,
        }
    }

    /// The commit that a shortened one means, if it is here.
    pub(super) fn lengthened(&self, revision: &str) -> Option<PathBuf> {
        let commit = is_short_commit(revision).then(|| self.only_commit(revision))?;
        self.complete_snapshot(&commit?)
    }

    /// The commits of the model that are here whole, sorted.
    pub(super) fn commits(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.snapshot(""))
            .into_iter()
            .flatten()
            .flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut commits: Vec<String> = names
            .filter(|commit| is_commit(commit) && self.complete_snapshot(commit).is_some())
            .collect();
        commits.sort();
        commits
    }

    fn has(&self, snapshot: &Path, weights: Weights) -> bool {
        let here = |name: &str| snapshot.join(name).is_file();
        match weights {
            Weights::Single(file) => here(file),
            Weights::Sharded { index, end } => {
                let index = super::read_index(&snapshot.join(index)).ok();
                let names = index.and_then(|index| shards(&self.repo_id, &index, end).ok());
                names.is_some_and(|names| names.iter().all(|name| here(name)))
            }
        }
    }

    /// Remembers where a branch or tag stands, for offline use.
    pub(super) fn set_reference(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        let path = self.reference(revision);
        if is_commit(revision) || read_note(&path).is_some_and(|known| known == commit) {
            return Ok(());
        }
        let temporary = beside(&path, "tmp");
        create_parent(&path)?;
        File::create_new(&temporary)
            .and_then(|mut file| file.write_all(commit.as_bytes()))
            .map_err(|source| io_error(&temporary, source))?;
        std::fs::rename(&temporary, &path).map_err(|source| io_error(&path, source))
    }

    /// Waits for whoever is fetching the same file, this program or Python. `None` where there are no locks.
    pub(super) fn lock(&self, etag: &Etag, file: &str, watch: &mut Watch) -> Result<Option<File>, HubError> {
        let path = self
            .root
            .join(".locks")
            .join(&self.folder_name)
            .join(format!("{}.lock", etag.0));
        create_parent(&path)?;
        // Links and pipes are not followed and not waited for; they are no locks.
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&path);
        let lock = match lock {
            Ok(lock) => lock,
            // Somebody else's, a link or a pipe.
            Err(error)
                if [libc::EACCES, libc::ELOOP, libc::ENXIO]
                    .map(Some)
                    .contains(&error.raw_os_error()) =>
            {
                return Ok(None);
            }
            Err(source) => return Err(io_error(&path, source)),
        };
        let label = format!("waiting for another download of {file}").into();
        let progress = Progress {
            label,
            done: 0,
            total: None,
            unit: "bytes",
        };
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Some(lock)),
                Err(TryLockError::WouldBlock) => pause(LOCK_POLL, &progress, watch)?,
                Err(TryLockError::Error(_)) => return Ok(None),
            }
        }
    }

    /// Takes over what an earlier try left of a blob, or starts empty. The rename makes it this process's own. In a cache
    /// that several people write to, what lies there may lead elsewhere: only a file of one's own that has no other name
    /// is taken, else it is removed.
    pub(super) fn take_partial(&self, etag: &Etag) -> Result<(PathBuf, File), HubError> {
        let blob = self.blob(etag);
        create_parent(&blob)?;
        let own = beside(&blob, "incomplete");
        let failed = |source| io_error(&own, source);
        match std::fs::rename(self.leftover(etag), &own) {
            Ok(()) => match open_own(&own) {
                Some(file) => return Ok((own, file)),
                None => remove(&own).map_err(failed)?,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(failed(source)),
        }
        let file = File::options().write(true).read(true).create_new(true).open(&own);
        let file = file.map_err(failed)?;
        Ok((own, file))
    }

    /// Leaves what has arrived for the next try; of nothing, nothing stays.
    pub(super) fn leave_partial(&self, etag: &Etag, own: &Path) {
        let worth_it = own.metadata().is_ok_and(|partial| partial.len() > 0);
        if !worth_it || std::fs::rename(own, self.leftover(etag)).is_err() {
            // Best effort: at worst a file stays that nobody reads.
            let _ = std::fs::remove_file(own);
        }
    }

    /// A name that neither Python nor this program takes for a blob.
    fn leftover(&self, etag: &Etag) -> PathBuf {
        self.layout.blob_path(&format!("{}.ecco.incomplete", etag.0))
    }

    /// Fails when `path` does not hold what the hub promised for `file`.
    pub(super) fn verify(
        &self,
        etag: &Etag,
        path: &Path,
        file: &str,
        watch: &mut Watch,
    ) -> Result<(), HubError> {
        let label = format!("checking {file}").into();
        let mut progress = Progress {
            label,
            done: 0,
            total: None,
            unit: "bytes",
        };
        let actual = etag.of_file(path, &mut progress, watch)?;
        if actual == etag.0 {
            return Ok(());
        }
        Err(HubError::Corrupted {
            file: file.to_owned(),
            expected: etag.0.clone(),
            actual,
        })
    }

    /// Makes a verified file the blob. It reaches the disk before its name does.
    pub(super) fn publish(&self, etag: &Etag, own: &Path) -> Result<(), HubError> {
        let blob = self.blob(etag);
        let file = File::open(own).map_err(|source| io_error(own, source))?;
        // A slow disk takes its time for a large file.
        let synced = on_thread(move || file.sync_all()).map_err(|fault| match fault {
            Fault::NoProcess(source) => io_error(own, source),
            _ => HubError::Interrupted,
        })?;
        synced.map_err(|source| io_error(own, source))?;
        std::fs::rename(own, &blob).map_err(|source| io_error(&blob, source))
    }

    /// Shows a blob under its file name in a snapshot.
    pub(super) fn point(&self, commit: &str, file: &str, etag: &Etag) -> Result<(), HubError> {
        let pointer = self.snapshot(commit).join(file);
        let temporary = beside(&pointer, "tmp");
        // From the snapshot's folder, and from those within it.
        let up = "../".repeat(2 + file.matches('/').count());
        create_parent(&pointer)?;
        // Made aside and renamed: a dangling link that stands there already is replaced, not followed.
        link(
            &self.blob(etag),
            &PathBuf::from(up).join("blobs").join(&etag.0),
            &temporary,
        )
        .and_then(|()| std::fs::rename(&temporary, &pointer))
        .map_err(|source| io_error(&pointer, source))
    }
}

/// A file to write on, if it is one, this user's, and under no other name. Nothing is followed.
fn open_own(path: &Path) -> Option<File> {
    let mut options = File::options();
    let options = options.read(true).write(true);
    let file = options
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .ok()?;
    let about = file.metadata().ok()?;
    // SAFETY: only asks for a number.
    let user = unsafe { libc::geteuid() };
    (about.is_file() && about.uid() == user && about.nlink() == 1).then_some(file)
}

/// Takes away whatever has a name.
fn remove(path: &Path) -> io::Result<()> {
    match path.symlink_metadata()?.is_dir() {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    }
}

/// A file of a line, where there is one that can be read.
pub(super) fn read_note(path: &Path) -> Option<String> {
    String::from_utf8(regular::read(path, LARGEST_NOTE).ok()?).ok()
}

/// A relative symbolic link, as Python makes it, so that the cache can be moved; where there are none, a hard link or
/// a copy.
fn link(blob: &Path, relative: &Path, at: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if std::os::unix::fs::symlink(relative, at).is_ok() {
        return Ok(());
    }
    #[cfg(not(unix))]
    let _ = relative;
    std::fs::hard_link(blob, at).or_else(|_| std::fs::copy(blob, at).map(drop))
}

/// A name next to `path` that no other process or thread uses.
fn beside(path: &Path, extension: &str) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    // The random part is for process ids that repeat, in containers that share a cache.
    let unique = format!(
        ".{}-{count}-{:08x}.{extension}",
        std::process::id(),
        rand::random::<u32>()
    );
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(unique);
    path.with_file_name(name)
}

fn create_parent(path: &Path) -> Result<(), HubError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(|source| io_error(parent, source))
}

pub(super) fn io_error(path: &Path, source: io::Error) -> HubError {
    HubError::Io {
        path: path.to_owned(),
        source,
    }
}
