//! Files of a model that are asked for by name: those of a GGUF model, which needs no others.

use std::path::PathBuf;

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
    let revision = options.revision.as_deref().unwrap_or(DEFAULT_REVISION);
    listing::check_repo_id(repo_id)?;
    listing::check_revision(revision)?;
    for file in files {
        listing::check_file(repo_id, file)?;
    }
    let cache = ModelCache::new(&settings.cache, repo_id);
    let cached = || cache.snapshot_with(revision, files);
    if settings.offline {
        return cached().ok_or_else(|| HubError::NotCached {
            repo_id: repo_id.to_owned(),
            revision: revision.to_owned(),
            cache: settings.cache.clone(),
            commits: cache.commits(),
        });
    }
    match download(settings, repo_id, files, revision, watch) {
        // As with the Python library, what is here works without its server.
        Err(error) if error.is_outage() => cached().ok_or(error),
        folder => folder,
    }
}

fn download(
    settings: &HubSettings,
    repo_id: &str,
    files: &[String],
    revision: &str,
    watch: &mut Watch,
) -> Result<PathBuf, HubError> {
    let (client, cache) = (Client::new(settings)?, ModelCache::new(&settings.cache, repo_id));
    let repo = Repo::with_revision(repo_id.to_owned(), RepoType::Model, revision.to_owned());
    let info = describe(&client, &repo, watch)?;
    for file in files {
        listing::check_listed(repo_id, file, &info)?;
    }
    let source = Source {
        client: &client,
        cache: &cache,
        repo: &repo,
        commit: &info.sha,
    };
    for file in files {
        source.fetch(file, watch)?;
    }
    cache.set_reference(revision, &info.sha)?;
    Ok(cache.snapshot(&info.sha))
}
