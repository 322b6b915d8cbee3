//! From a hub id ("distilgpt2", "openai-community/gpt2") to a local folder, through the cache that Python's
//! huggingface_hub uses, so that nothing is downloaded twice in either direction.
//!
//! [`fetch`] asks the hub what a revision consists of (`listing` chooses among it: the configuration, the tokenizer
//! and the weights: safetensors, or PyTorch's where there are none), makes sure that each file is in the cache (`download`, over `http`,
//! `address`, `proxy`, `certificates` and `cache`), and answers with the snapshot's folder. Every body is verified against the hash that the
//! hub announces before any program can see it. `settings` reads the environment variables of the Python library.
//! [`inventory()`] says what is in the cache, and [`delete`] takes it away; [`answers`] asks whether there is a hub at all.

mod adapter;
mod address;
mod cache;
mod certificates;
mod dictionary;
mod download;
mod error;
mod files;
mod http;
mod inventory;
mod listing;
mod proxy;
mod reach;
mod settings;

use std::path::{Path, PathBuf};

use hf_hub::api::RepoInfo;
use hf_hub::{Repo, RepoType};
use ureq::http::Method;

pub use self::adapter::fetch_adapter;
pub use self::dictionary::{fetch_dictionaries, fetch_dictionary};
pub use self::error::HubError;
pub use self::files::fetch_files;
pub use self::inventory::{CachedModel, CachedRevision, Content, delete, inventory};
pub use self::proxy::Proxies;
pub use self::reach::answers;
pub use self::settings::HubSettings;

use self::cache::{ModelCache, io_error};
use self::download::Source;
use self::http::{Ask, Client, Reply, header};
use self::listing::Weights;
use crate::files::{json, regular};
use ecco_interpreter::{Progress, Watch};

const DEFAULT_REVISION: &str = "main";
/// A repository's description is some kilobytes; those with ten thousand files reach a megabyte.
const MAX_DESCRIPTION: usize = 32 << 20;

/// What to fetch of a model.
#[derive(Debug, Clone, Default)]
pub struct HubOptions {
    /// A branch, tag or commit; the default branch when none is given.
    pub revision: Option<String>,
}

/// Where a model of the hub is.
#[derive(Debug)]
pub struct Snapshot {
    pub folder: PathBuf,
    /// Where it is not for certain what was asked for, a sentence that says so.
    pub notice: Option<String>,
}

/// The folder with config.json, the tokenizer and the weights of a model on the hub, as the environment says where that
/// is. What the cache lacks is downloaded and verified.
///
/// # Errors
/// See [`HubError`]; nothing bad stays in the cache, and a next call goes on from what had arrived.
pub fn fetch(repo_id: &str, options: &HubOptions, watch: &mut Watch) -> Result<Snapshot, HubError> {
    fetch_with(&HubSettings::from_env(), repo_id, options, watch)
}

/// [`fetch`] with settings from elsewhere.
///
/// # Errors
/// As [`fetch`].
pub fn fetch_with(
    settings: &HubSettings,
    repo_id: &str,
    options: &HubOptions,
    watch: &mut Watch,
) -> Result<Snapshot, HubError> {
    let revision = options.revision.as_deref().unwrap_or(DEFAULT_REVISION);
    listing::check_repo_id(repo_id)?;
    listing::check_revision(revision)?;
    let cache = ModelCache::new(&settings.cache, repo_id);
    if settings.offline {
        return cached(&cache, options).ok_or_else(|| {
            adapter::only_adapter(&cache, revision).unwrap_or_else(|| HubError::NotCached {
                repo_id: repo_id.to_owned(),
                revision: revision.to_owned(),
                cache: settings.cache.clone(),
                commits: cache.commits(),
            })
        });
    }
    let client = Client::new(settings)?;
    let repo = Repo::with_revision(repo_id.to_owned(), RepoType::Model, revision.to_owned());
    let info = match describe(&client, &repo, watch) {
        // As with the Python library, a model that is here works without its server.
        Err(error) if error.is_outage() => {
            let only_adapter = || adapter::only_adapter(&cache, revision).unwrap_or(error);
            return cached(&cache, options).ok_or_else(only_adapter);
        }
        Err(error @ HubError::RevisionNotFound { .. }) => {
            let folder = cache.lengthened(revision).ok_or(error)?;
            return Ok(Snapshot { folder, notice: None });
        }
        info => info?,
    };
    let plan = listing::plan(repo_id, &info)?;
    let source = Source {
        client: &client,
        cache: &cache,
        repo: &repo,
        commit: &info.sha,
    };
    for file in &plan.small {
        source.fetch(file, watch)?;
    }
    source.fetch(plan.weights.file(), watch)?;
    if let Weights::Sharded { index, end } = plan.weights {
        fetch_shards(&source, repo_id, (index, end), watch)?;
    }
    // Last, so that a revision never points to a half-fetched snapshot.
    cache.set_reference(revision, &info.sha)?;
    Ok(Snapshot {
        folder: cache.snapshot(&info.sha),
        notice: None,
    })
}

/// What the cache has of a revision.
fn cached(cache: &ModelCache, options: &HubOptions) -> Option<Snapshot> {
    let revision = options.revision.as_deref().unwrap_or(DEFAULT_REVISION);
    let certain = cache
        .complete_snapshot(revision)
        .or_else(|| cache.lengthened(revision));
    if let Some(folder) = certain {
        return Some(Snapshot { folder, notice: None });
    }
    let commit = match revision {
        DEFAULT_REVISION => cache.only_commit("")?,
        _ => return None,
    };
    Some(Snapshot {
        folder: cache.complete_snapshot(&commit)?,
        notice: Some(format!(
            "the cache does not say which commit {revision} is: the only one that it has was taken, {commit}"
        )),
    })
}

/// The ids of the models in the local cache, sorted; for completion.
pub fn cached_models() -> Vec<String> {
    cached_models_in(&HubSettings::from_env().cache)
}

/// [`cached_models`] of a given cache folder.
pub fn cached_models_in(cache: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(cache).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let ids = names.filter_map(|name| Some(name.strip_prefix("models--")?.replace("--", "/")));
    let mut ids: Vec<_> = ids
        .filter(|id| listing::check_repo_id(id).is_ok())
        .filter(|id| !ModelCache::new(cache, id).commits().is_empty())
        .collect();
    ids.sort();
    ids
}

fn fetch_shards(
    source: &Source,
    repo_id: &str,
    (index, end): (&str, &str),
    watch: &mut Watch,
) -> Result<(), HubError> {
    let path = source.cache.snapshot(source.commit).join(index);
    let index = read_index(&path).map_err(|source| io_error(&path, source))?;
    for shard in listing::shards(repo_id, &index, end)? {
        source.fetch(&shard, watch)?;
    }
    Ok(())
}

/// An index of shards, which is a file of a sane size or none.
fn read_index(path: &Path) -> std::io::Result<Vec<u8>> {
    let index = regular::read(path, regular::largest(".index.json"))?;
    match json::is_index(&index) {
        true => Ok(index),
        false => Err(std::io::Error::other(
            "it has more values than any index of weights",
        )),
    }
}

/// Asks which commit a revision is and which files it has.
fn describe(client: &Client, repo: &Repo, watch: &mut Watch) -> Result<RepoInfo, HubError> {
    let label = format!("looking up {}", repo.url()).into();
    let progress = Progress {
        label,
        done: 0,
        total: None,
        unit: "bytes",
    };
    client.patiently(&progress, watch, HubError::is_busy, |watch, _| {
        let ask = Ask {
            method: Method::GET,
            url: client.info_url(repo),
            from: 0,
            what: &progress.label,
        };
        let reply = client.send(&ask, &progress, watch)?;
        if reply.status != 200 {
            return Err(refusal(client.settings(), repo, &reply));
        }
        let server = reply.server.clone();
        let body = reply.small_body(MAX_DESCRIPTION, &progress, watch)?;
        let odd = |reason: String| HubError::NotAHub {
            server: server.clone(),
            reason,
        };
        let info: RepoInfo = serde_json::from_slice(&body).map_err(|error| odd(error.to_string()))?;
        if !listing::is_commit(&info.sha) {
            return Err(odd("it names no commit".to_owned()));
        }
        Ok(info)
    })
}

/// The hub says 401 both for "who are you" and, to strangers, for "no such model"; a header tells which.
fn refusal(settings: &HubSettings, repo: &Repo, reply: &Reply) -> HubError {
    let code = header(&reply.headers, "x-error-code");
    match (reply.status, code) {
        (_, Some("RevisionNotFound")) => HubError::RevisionNotFound {
            repo_id: repo.url(),
            revision: repo.revision().to_owned(),
        },
        (404, _) | (401, Some("RepoNotFound")) => HubError::NotFound {
            repo_id: repo.url(),
            endpoint: settings.endpoint.clone(),
            with_token: settings.token.is_some(),
        },
        (401 | 403, _) => access_denied(settings, &repo.url(), reply.status),
        _ => reply.unexpected(&format!("looking up {}", repo.url())),
    }
}

fn access_denied(settings: &HubSettings, repo_id: &str, status: u16) -> HubError {
    HubError::AccessDenied {
        repo_id: repo_id.to_owned(),
        endpoint: settings.endpoint.clone(),
        status,
        with_token: settings.token.is_some(),
    }
}
