//! What is in the cache, and what of it can be taken away.
//!
//! A cache may be shared, and what lies in it may lead elsewhere. Links are never followed to anything that is counted or
//! removed: a model is a folder, its blobs are files of that folder, and a link is removed as a link.

use std::collections::BTreeSet;
use std::fs::{DirEntry, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::cache::{ModelCache, io_error, read_note};
use super::error::HubError;
use super::listing::{check_repo_id, check_revision, is_commit, is_hex, is_short_commit};
use crate::files::ADAPTER_SETTINGS;

/// Folders within a snapshot; those of models have one.
const DEEPEST: usize = 8;

/// A model's folder in the cache.
#[derive(Debug, Clone)]
pub struct CachedModel {
    pub id: String,
    pub folder: PathBuf,
    /// On the disk, with what broke off, and blobs that several revisions share once.
    pub bytes: u64,
    /// When a file of it was last read, as far as its disk notes that.
    pub last_use: Option<SystemTime>,
    pub revisions: Vec<CachedRevision>,
}

/// What a commit had.
#[derive(Debug, Clone)]
pub struct CachedRevision {
    pub commit: String,
    /// The branches and tags that stood there.
    pub names: Vec<String>,
    /// Shared blobs included.
    pub bytes: u64,
    pub content: Content,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Configuration and weights.
    Model,
    Adapter,
    /// Dictionaries, single files, or a model that is not here whole.
    Files,
}

impl Content {
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Adapter => "adapter",
            Self::Files => "files",
        }
    }
}

/// The models of a cache, by name.
pub fn inventory(cache: &Path) -> Vec<CachedModel> {
    let names = entries(cache).into_iter().filter_map(|entry| name_of(&entry));
    let ids = names.filter_map(|name| Some(name.strip_prefix("models--")?.replace("--", "/")));
    let mut models: Vec<CachedModel> = ids.filter_map(|id| cached_model(cache, &id)).collect();
    models.sort_by(|a, b| a.id.cmp(&b.id));
    models
}

/// Takes a model out of the cache, or one revision (a branch, a tag, a commit or its start) with the blobs that no other
/// revision shows; returns the bytes that are free again.
///
/// # Errors
/// [`HubError::InvalidRepoId`], [`HubError::InvalidRevision`] for what can be no name, [`HubError::NotInCache`] for what
/// is not there, [`HubError::Io`] for what cannot be removed.
pub fn delete(cache: &Path, id: &str, revision: Option<&str>) -> Result<u64, HubError> {
    check_repo_id(id)?;
    let model = cached_model(cache, id);
    let absent = |commits| HubError::NotInCache {
        repo_id: id.to_owned(),
        revision: revision.map(str::to_owned),
        cache: cache.to_owned(),
        commits,
    };
    let model = model.ok_or_else(|| absent(Vec::new()))?;
    let Some(name) = revision else {
        return remove_all(&model);
    };
    check_revision(name)?;
    let mut meant = model.revisions.iter().filter(|revision| revision.is_called(name));
    match (meant.next(), meant.next()) {
        (Some(_), None) if model.revisions.len() == 1 => remove_all(&model),
        (Some(revision), None) => remove_revision(&model, revision),
        _ => Err(absent(commits(&model.folder.join("snapshots")))),
    }
}

impl CachedRevision {
    fn is_called(&self, name: &str) -> bool {
        let is_short = is_short_commit(name) && self.commit.starts_with(name);
        self.commit == name || is_short || self.names.iter().any(|known| known == name)
    }
}

/// std's way does not follow links, also not one that takes a folder's place meanwhile.
fn remove_all(model: &CachedModel) -> Result<u64, HubError> {
    std::fs::remove_dir_all(&model.folder).map_err(|source| io_error(&model.folder, source))?;
    Ok(model.bytes)
}

fn remove_revision(model: &CachedModel, revision: &CachedRevision) -> Result<u64, HubError> {
    for name in &revision.names {
        let path = model.folder.join("refs").join(name);
        std::fs::remove_file(&path).map_err(|source| io_error(&path, source))?;
    }
    let snapshot = model.folder.join("snapshots").join(&revision.commit);
    let mut only_here = blobs_of(&snapshot);
    for other in model
        .revisions
        .iter()
        .filter(|other| other.commit != revision.commit)
    {
        let shared = blobs_of(&model.folder.join("snapshots").join(&other.commit));
        only_here.retain(|blob| !shared.contains(blob));
    }
    // First what shows them, so that no snapshot looks whole that is not.
    std::fs::remove_dir_all(&snapshot).map_err(|source| io_error(&snapshot, source))?;
    let blobs = model.folder.join("blobs");
    if is_folder(&blobs) {
        for path in only_here.iter().map(|blob| blobs.join(blob)) {
            match std::fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error(&path, source));
                }
                _ => {}
            }
        }
    }
    let left = held(&model.folder).0;
    Ok(model.bytes.saturating_sub(left))
}

/// A model's folder, if it is one: no link, and with snapshots or blobs.
fn cached_model(cache: &Path, id: &str) -> Option<CachedModel> {
    check_repo_id(id).ok()?;
    let layout = ModelCache::new(cache, id);
    let folder = layout.folder();
    let is_one = is_folder(&folder)
        && ["snapshots", "blobs"]
            .iter()
            .any(|name| is_folder(&folder.join(name)));
    is_one.then(|| {
        let references = references(&folder.join("refs"));
        let revisions = commits(&folder.join("snapshots")).into_iter().map(|commit| {
            let names = references.iter().filter(|(_, stood_at)| *stood_at == commit);
            CachedRevision {
                names: names.map(|(name, _)| name.clone()).collect(),
                bytes: shown_bytes(&folder, &commit),
                content: content(&layout, &commit),
                commit,
            }
        });
        let revisions = revisions.collect();
        let (bytes, last_use) = held(&folder);
        CachedModel {
            id: id.to_owned(),
            folder,
            bytes,
            last_use,
            revisions,
        }
    })
}

fn content(layout: &ModelCache, commit: &str) -> Content {
    if layout.complete_snapshot(commit).is_some() {
        return Content::Model;
    }
    match layout.snapshot(commit).join(ADAPTER_SETTINGS).is_file() {
        true => Content::Adapter,
        false => Content::Files,
    }
}

fn commits(snapshots: &Path) -> Vec<String> {
    if !is_folder(snapshots) {
        return Vec::new();
    }
    let folders = entries(snapshots)
        .into_iter()
        .filter(|entry| is_folder(&entry.path()));
    let mut commits: Vec<String> = folders
        .filter_map(|entry| name_of(&entry))
        .filter(|name| is_commit(name))
        .collect();
    commits.sort();
    commits
}

/// Branches, tags and `refs/pr/1`, and the commits that they stood at.
fn references(folder: &Path) -> Vec<(String, String)> {
    let mut references = Vec::new();
    for path in files_in(folder) {
        let name = path.strip_prefix(folder).ok().and_then(Path::to_str);
        let name = name.filter(|name| check_revision(name).is_ok());
        if let (Some(name), Some(commit)) = (name, read_note(&path)) {
            references.push((name.to_owned(), commit.trim().to_owned()));
        }
    }
    references.sort();
    references
}

/// The blobs that a snapshot's links name.
fn blobs_of(snapshot: &Path) -> BTreeSet<String> {
    let names = files_in(snapshot).into_iter().filter_map(|path| {
        let target = std::fs::read_link(path).ok()?;
        let is_blob = target.parent().is_some_and(|parent| parent.ends_with("blobs"));
        let name = target.file_name()?.to_str()?.to_owned();
        (is_blob && matches!(name.len(), 40 | 64) && is_hex(&name)).then_some(name)
    });
    names.collect()
}

/// Bytes of a revision: of the blobs that its links name, and of files that stand in for links.
fn shown_bytes(folder: &Path, commit: &str) -> u64 {
    let snapshot = folder.join("snapshots").join(commit);
    let blobs = folder.join("blobs");
    let linked = blobs_of(&snapshot).into_iter().map(|blob| blobs.join(blob));
    let linked = linked.filter(|_| is_folder(&blobs));
    let files = linked
        .chain(files_in(&snapshot))
        .filter_map(|path| regular(&path));
    files.map(|about| about.len()).sum()
}

/// Bytes of all files below a folder, each inode once, and when one was last read.
fn held(folder: &Path) -> (u64, Option<SystemTime>) {
    let mut seen = BTreeSet::new();
    let (mut bytes, mut last_use) = (0, None);
    for about in files_in(folder).iter().filter_map(|path| regular(path)) {
        if seen.insert((about.dev(), about.ino())) {
            bytes += about.len();
            last_use = last_use.max(about.accessed().ok());
        }
    }
    (bytes, last_use)
}

fn regular(path: &Path) -> Option<Metadata> {
    path.symlink_metadata().ok().filter(Metadata::is_file)
}

fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|about| about.is_dir())
}

/// What lies below a folder, without folders; links are not followed.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = open.pop() {
        if depth > DEEPEST || !is_folder(&folder) {
            continue;
        }
        for path in entries(&folder).into_iter().map(|entry| entry.path()) {
            match is_folder(&path) {
                true => open.push((path, depth + 1)),
                false => found.push(path),
            }
        }
    }
    found
}

fn entries(folder: &Path) -> Vec<DirEntry> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .collect()
}

fn name_of(entry: &DirEntry) -> Option<String> {
    entry.file_name().into_string().ok()
}
