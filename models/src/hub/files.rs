//! Some files of a repository: those of a GGUF model by name, which needs no others, and those of an adapter.

use std::path::PathBuf;

use hf_hub::api::RepoInfo;
use hf_hub::{Repo, RepoType};

use super::cache::ModelCache;
use super::download::Source;
use super::http::Client;
use super::{DEFAULT_REVISION, HubError, HubOptions, HubSettings, describe, listing};
use ecco_interpreter::Watch;

/// The folder with these files of a model on the hub. What the cache lacks is downloaded and verified.
///
/// # Errors
/// As [`super::fetch`]; where the model has no such file, [`HubError::FileNotFound`].
pub fn fetch_files(
    settings: &HubSettings,
    repo_id: &str,
    files: &[String],
    options: &HubOptions,
    watch: &mut Watch,
) -> Result<PathBuf, HubError> {
    for file in files {
        listing::check_file(repo_id, file)?;
    }
    let listed = |info: &RepoInfo| {
        for file in files {
            listing::check_listed(repo_id, file, info)?;
        }
        Ok(files.to_vec())
    };
    let cached = |cache: &ModelCache, revision: &str| cache.snapshot_with(revision, files);
    fetch_chosen(settings, repo_id, options, cached, listed, watch)
}

/// The folder with the files that are chosen of those that the hub lists; where it cannot be asked, what is cached.
pub(super) fn fetch_chosen(
    settings: &HubSettings,
    repo_id: &str,
    options: &HubOptions,
    cached: impl Fn(&ModelCache, &str) -> Option<PathBuf>,
    choose: impl Fn(&RepoInfo) -> Result<Vec<String>, HubError>,
    watch: &mut Watch,
) -> Result<PathBuf, HubError> {
    let revision = options.revision.as_deref().unwrap_or(DEFAULT_REVISION);
    listing::check_repo_id(repo_id)?;
    listing::check_revision(revision)?;
    let cache = ModelCache::new(&settings.cache, repo_id);
    if settings.offline {
        return cached(&cache, revision).ok_or_else(|| HubError::NotCached {
            repo_id: repo_id.to_owned(),
            revision: revision.to_owned(),
            cache: settings.cache.clone(),
            commits: cache.commits(),
        });
    }
    match download(settings, &cache, repo_id, revision, choose, watch) {
        // As with the Python library, what is here works without its server.
        Err(error) if error.is_outage() => cached(&cache, revision).ok_or(error),
        folder => folder,
    }
}

fn download(
    settings: &HubSettings,
    cache: &ModelCache,
    repo_id: &str,
    revision: &str,
    choose: impl Fn(&RepoInfo) -> Result<Vec<String>, HubError>,
    watch: &mut Watch,
) -> Result<PathBuf, HubError> {
    let client = Client::new(settings)?;
    let repo = Repo::with_revision(repo_id.to_owned(), RepoType::Model, revision.to_owned());
    let info = describe(&client, &repo, watch)?;
    let source = Source {
        client: &client,
        cache,
        repo: &repo,
        commit: &info.sha,
    };
    for file in choose(&info)? {
        source.fetch(&file, watch)?;
    }
    cache.set_reference(revision, &info.sha)?;
    Ok(cache.snapshot(&info.sha))
}
