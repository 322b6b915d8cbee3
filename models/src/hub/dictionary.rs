//! Dictionaries: a folder or a file of a repository that has many.

use std::path::PathBuf;

use hf_hub::api::RepoInfo;

use super::cache::ModelCache;
use super::files::fetch_chosen;
use super::listing::check_file;
use super::{HubError, HubOptions, HubSettings};
use crate::files::{DICTIONARIES, DICTIONARY_SETTINGS};
use ecco_interpreter::Watch;

/// The snapshot's folder with the files of a dictionary, which is at `parts` below it: a folder, or a file. What the cache
/// lacks is downloaded and verified.
///
/// # Errors
/// As [`super::fetch`]; where the repository has none there, [`HubError::FileNotFound`].
pub fn fetch_dictionary(
    settings: &HubSettings,
    repo_id: &str,
    parts: &[&str],
    options: &HubOptions,
    watch: &mut Watch,
) -> Result<PathBuf, HubError> {
    for part in parts {
        check_file(repo_id, part)?;
    }
    let choices = choices(parts);
    let choose = |info: &RepoInfo| {
        let listed = |name: &String| info.siblings.iter().any(|file| file.rfilename == *name);
        let found = choices.iter().find(|(weights, _)| listed(weights));
        let (weights, settings) = found.ok_or_else(|| HubError::FileNotFound {
            repo_id: repo_id.to_owned(),
            file: choices[0].0.clone(),
        })?;
        let settings = settings.iter().filter(|name| listed(name)).cloned();
        Ok(settings.chain([weights.clone()]).collect())
    };
    let cached = |cache: &ModelCache, revision: &str| {
        let weights = choices.iter().map(|(weights, _)| weights.clone());
        weights
            .into_iter()
            .find_map(|weights| cache.snapshot_with(revision, &[weights]))
    };
    fetch_chosen(settings, repo_id, options, cached, choose, watch)
}

/// The snapshot's folder with what a folder of a repository has for each layer of a model.
///
/// # Errors
/// As [`super::fetch`]; where there is nothing of that kind, [`HubError::FileNotFound`].
pub fn fetch_dictionaries(
    settings: &HubSettings,
    repo_id: &str,
    parts: &[&str],
    options: &HubOptions,
    watch: &mut Watch,
) -> Result<PathBuf, HubError> {
    for part in parts {
        check_file(repo_id, part)?;
    }
    let within = |name: &str| [parts, &[name]].concat().join("/");
    let config = within(SET_SETTINGS);
    let choose = |info: &RepoInfo| {
        let names = info.siblings.iter().map(|file| file.rfilename.clone());
        let mut wanted: Vec<String> = names.filter(|name| is_of_set(name, parts)).collect();
        if wanted.is_empty() {
            return Err(HubError::FileNotFound {
                repo_id: repo_id.to_owned(),
                file: within("layer_0.safetensors"),
            });
        }
        wanted.sort();
        // Settings first: what is whole has them.
        wanted.sort_by_key(|name| *name != config);
        Ok(wanted)
    };
    let cached = |cache: &ModelCache, revision: &str| {
        let first = ["layer_0.safetensors", "W_enc_0.safetensors"];
        let mut first = first.iter().map(|name| within(name));
        first.find_map(|name| cache.snapshot_with(revision, &[name]))
    };
    fetch_chosen(settings, repo_id, options, cached, choose, watch)
}

/// What the settings of a folder with a dictionary for each layer are in.
const SET_SETTINGS: &str = "config.yaml";

/// Whether a file belongs to such a folder, whose parts were checked; of its own name all but the number is given.
fn is_of_set(name: &str, folder: &[&str]) -> bool {
    let (of, file) = name.rsplit_once('/').unwrap_or(("", name));
    let number = |start: &str| {
        let number = file
            .strip_prefix(start)
            .and_then(|rest| rest.strip_suffix(".safetensors"));
        let is_number =
            |number: &str| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
        number.is_some_and(is_number)
    };
    of == folder.join("/") && (file == SET_SETTINGS || ["layer_", "W_enc_", "W_dec_"].into_iter().any(number))
}

/// Weights that there may be, each with its settings.
fn choices(parts: &[&str]) -> Vec<(String, Vec<String>)> {
    let within = |folder: &[&str], name: &str| [folder, &[name]].concat().join("/");
    if let Some((file, folder)) = parts.split_last()
        && file.contains(".safetensors") | file.ends_with(".pt") | file.ends_with(".npz")
    {
        let settings = DICTIONARY_SETTINGS
            .iter()
            .filter_map(|name| match name.strip_prefix("../") {
                Some(name) => Some(within(folder.split_last()?.1, name)),
                None => Some(within(folder, name)),
            });
        return vec![(parts.join("/"), settings.collect())];
    }
    let layout = |(weights, settings): &(&str, &str)| {
        let settings = Some(settings).filter(|name| !name.is_empty());
        let settings = settings.map(|name| within(parts, name));
        (within(parts, weights), settings.into_iter().collect())
    };
    DICTIONARIES.iter().map(layout).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_folder_and_beside_a_file() {
        let of_folder = choices(&["layer_3", "width_16k"]);
        assert_eq!(of_folder[0].0, "layer_3/width_16k/sae_weights.safetensors");
        assert_eq!(of_folder[0].1, ["layer_3/width_16k/cfg.json"]);
        assert!(
            of_folder
                .iter()
                .any(|(name, settings)| name == "layer_3/width_16k/params.npz" && settings.is_empty())
        );
        let of_file = choices(&["a", "checkpoints", "final.safetensors"]);
        assert_eq!(of_file[0].0, "a/checkpoints/final.safetensors");
        assert!(of_file[0].1.contains(&"a/hyperparams.json".to_owned()));
        let at_root = choices(&["layer_3.safetensors"]);
        assert!(at_root[0].1.contains(&"config.yaml".to_owned()) && at_root[0].1.len() == 4);
    }
}
