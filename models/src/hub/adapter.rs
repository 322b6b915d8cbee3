//! Adapters: repositories that have what fine-tuning changed, and no model.

use std::path::PathBuf;

use hf_hub::api::RepoInfo;

use super::cache::ModelCache;
use super::files::fetch_chosen;
use super::listing::adapter_files;
use super::{HubError, HubOptions, HubSettings};
use crate::files::{ADAPTER_SETTINGS, ADAPTER_WEIGHTS};
use ecco_interpreter::Watch;

/// The folder with an adapter on the hub: its settings, its weights, and its tokenizer where it has one. What the cache
/// lacks is downloaded and verified.
///
/// # Errors
/// As [`super::fetch`]; where the repository has no adapter, [`HubError::FileNotFound`].
pub fn fetch_adapter(
    settings: &HubSettings,
    repo_id: &str,
    options: &HubOptions,
    watch: &mut Watch,
) -> Result<PathBuf, HubError> {
    let choose = |info: &RepoInfo| adapter_files(repo_id, info);
    fetch_chosen(settings, repo_id, options, cached, choose, watch)
}

/// What the cache has of an adapter.
fn cached(cache: &ModelCache, revision: &str) -> Option<PathBuf> {
    let sets = ADAPTER_WEIGHTS.map(|weights| [ADAPTER_SETTINGS, weights].map(str::to_owned));
    sets.iter().find_map(|files| cache.snapshot_with(revision, files))
}

/// The error about a model of which the cache has an adapter of this name.
pub(super) fn only_adapter(cache: &ModelCache, revision: &str) -> Option<HubError> {
    cached(cache, revision).map(|_| HubError::AdapterOnly {
        repo_id: cache.repo_id().to_owned(),
    })
}
