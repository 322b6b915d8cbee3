//! Names that come from outside: which model ids, revisions and file names are let through, and which of a model's
//! files are wanted.

use std::collections::BTreeSet;

use hf_hub::api::RepoInfo;

use super::error::HubError;
use crate::files::{
    ADAPTER_SETTINGS, ADAPTER_WEIGHTS, MOST_TEMPLATES, SENTENCE_PIECE_FILES, TEMPLATE_FOLDER,
};

/// Read beside the weights when the model has them; anything else in a repository is left there.
const SMALL_FILES: [&str; 7] = [
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "tokenizer.json",
];
/// What a tokenizer can be rebuilt from where there is no tokenizer.json.
const VOCABULARY_FILES: [&str; 3] = ["vocab.json", "merges.txt", "vocab.txt"];

/// How weights may be stored, what is first being preferred: in one file, or in shards that an index names.
pub(super) const WEIGHTS: [Weights; 4] = [
    Weights::Single("model.safetensors"),
    Weights::Sharded {
        index: "model.safetensors.index.json",
        end: ".safetensors",
    },
    Weights::Single("pytorch_model.bin"),
    Weights::Sharded {
        index: "pytorch_model.bin.index.json",
        end: ".bin",
    },
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weights {
    Single(&'static str),
    /// What the shards' names end with.
    Sharded {
        index: &'static str,
        end: &'static str,
    },
}

impl Weights {
    /// The file to look for.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Single(file) | Self::Sharded { index: file, .. } => file,
        }
    }
}

/// The files to fetch, in order: configuration first, so that a model nobody can use costs nothing; weights last, so
/// that where they are, the rest is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub small: Vec<String>,
    pub weights: Weights,
}

/// Chooses from what the hub lists.
pub(super) fn plan(repo_id: &str, info: &RepoInfo) -> Result<Plan, HubError> {
    let names: BTreeSet<&str> = info.siblings.iter().map(|file| file.rfilename.as_str()).collect();
    if let Some(name) = names.iter().find(|name| !is_relative_name(name)) {
        return Err(HubError::UnsafeName {
            repo_id: repo_id.to_owned(),
            name: (*name).to_owned(),
        });
    }
    let has_weights = WEIGHTS.iter().any(|weights| names.contains(weights.file()));
    if let Some(files) = gguf_files(&names).filter(|_| !has_weights) {
        return Err(HubError::GgufOnly {
            repo_id: repo_id.to_owned(),
            files,
        });
    }
    if names.contains(ADAPTER_SETTINGS) && !has_weights {
        return Err(HubError::AdapterOnly {
            repo_id: repo_id.to_owned(),
        });
    }
    if !names.contains("config.json") {
        return Err(HubError::FileNotFound {
            repo_id: repo_id.to_owned(),
            file: "config.json".to_owned(),
        });
    }
    let weights = WEIGHTS.into_iter().find(|weights| names.contains(weights.file()));
    let weights = weights.ok_or_else(|| HubError::NoWeights {
        repo_id: repo_id.to_owned(),
    })?;
    let vocabulary = match names.contains("tokenizer.json") {
        true => [&[][..], &[]],
        false => [&VOCABULARY_FILES[..], &SENTENCE_PIECE_FILES],
    };
    let known = SMALL_FILES
        .iter()
        .chain(vocabulary.into_iter().flatten())
        .copied();
    let small = known.filter(|name| names.contains(name)).chain(templates(&names));
    Ok(Plan {
        small: small.map(str::to_owned).collect(),
        weights,
    })
}

/// The files of an adapter, weights last, chosen from what the hub lists.
pub(super) fn adapter_files(repo_id: &str, info: &RepoInfo) -> Result<Vec<String>, HubError> {
    let has = |name: &str| info.siblings.iter().any(|file| file.rfilename == name);
    let missing = |file: &str| HubError::FileNotFound {
        repo_id: repo_id.to_owned(),
        file: file.to_owned(),
    };
    if !has(ADAPTER_SETTINGS) {
        return Err(missing(ADAPTER_SETTINGS));
    }
    let weights = ADAPTER_WEIGHTS.into_iter().find(|name| has(name));
    let weights = weights.ok_or_else(|| missing(ADAPTER_WEIGHTS[0]))?;
    // A tokenizer is read where it is there whole.
    let of_tokenizer = SMALL_FILES
        .into_iter()
        .filter(|name| has("tokenizer.json") && has(name));
    let of_tokenizer = of_tokenizer.filter(|name| !["config.json", "generation_config.json"].contains(name));
    let files = [ADAPTER_SETTINGS]
        .into_iter()
        .chain(of_tokenizer)
        .chain([weights]);
    Ok(files.map(str::to_owned).collect())
}

/// Chat templates for a purpose.
fn templates<'n>(names: &BTreeSet<&'n str>) -> impl Iterator<Item = &'n str> {
    let is_one = |path: &&str| {
        let name = path
            .strip_prefix(TEMPLATE_FOLDER)
            .and_then(|name| name.strip_prefix('/'));
        name.is_some_and(|name| name.ends_with(".jinja") && is_plain_name(name))
    };
    names.iter().copied().filter(is_one).take(MOST_TEMPLATES)
}

/// The GGUF files of a list, if there are any.
fn gguf_files(names: &BTreeSet<&str>) -> Option<Vec<String>> {
    let files = names
        .iter()
        .filter(|name| is_plain_name(name) && name.ends_with(".gguf"));
    let files: Vec<String> = files.map(|name| (*name).to_owned()).collect();
    Some(files).filter(|files| !files.is_empty())
}

/// A file that is asked for by name.
pub(super) fn check_file(repo_id: &str, file: &str) -> Result<(), HubError> {
    match is_plain_name(file) {
        true => Ok(()),
        false => Err(HubError::UnsafeName {
            repo_id: repo_id.to_owned(),
            name: file.to_owned(),
        }),
    }
}

/// The same, among what the hub lists.
pub(super) fn check_listed(repo_id: &str, file: &str, info: &RepoInfo) -> Result<(), HubError> {
    match info.siblings.iter().any(|sibling| sibling.rfilename == file) {
        true => Ok(()),
        false => Err(HubError::FileNotFound {
            repo_id: repo_id.to_owned(),
            file: file.to_owned(),
        }),
    }
}

/// The shards that an index names, each once, in order.
pub(super) fn shards(repo_id: &str, index: &[u8], end: &str) -> Result<Vec<String>, HubError> {
    let invalid = |reason: String| HubError::InvalidIndex {
        repo_id: repo_id.to_owned(),
        reason,
    };
    let index: serde_json::Value =
        serde_json::from_slice(index).map_err(|error| invalid(error.to_string()))?;
    let map = index.get("weight_map").and_then(|map| map.as_object());
    let map = map
        .filter(|map| !map.is_empty())
        .ok_or_else(|| invalid("it has no weight_map".to_owned()))?;
    let mut names = BTreeSet::new();
    for name in map.values() {
        let name = name
            .as_str()
            .ok_or_else(|| invalid(format!("{name} is not a file name")))?;
        if !is_plain_name(name) || !name.ends_with(end) {
            return Err(HubError::UnsafeName {
                repo_id: repo_id.to_owned(),
                name: name.to_owned(),
            });
        }
        names.insert(name.to_owned());
    }
    Ok(names.into_iter().collect())
}

/// "name" or "owner/name" as the hub allows them; checked before any request and before any path is made of it.
pub(super) fn check_repo_id(repo_id: &str) -> Result<(), HubError> {
    let refuse = |reason| {
        Err(HubError::InvalidRepoId {
            repo_id: repo_id.to_owned(),
            reason,
        })
    };
    let parts: Vec<&str> = repo_id.split('/').collect();
    if parts.len() > 2 {
        return refuse("it has more than one '/'");
    }
    for part in &parts {
        if part.is_empty() || part.len() > 96 {
            return refuse("each part has 1 to 96 characters");
        }
        if !is_plain_name(part) {
            return refuse("only letters, digits, '-', '_' and '.' may stand in it");
        }
        if part.starts_with(['-', '.']) || part.ends_with(['-', '.']) {
            return refuse("no part may begin or end with '-' or '.'");
        }
    }
    if repo_id.contains("--") || repo_id.contains("..") {
        return refuse("\"--\" and \"..\" may not stand in it");
    }
    if repo_id.ends_with(".git") {
        return refuse("it may not end with \".git\"");
    }
    Ok(())
}

/// A branch, a tag, "refs/pr/1" or a commit: it becomes part of an address and of a path.
pub(super) fn check_revision(revision: &str) -> Result<(), HubError> {
    let whole = revision.len() <= 200
        && revision
            .split('/')
            .all(|part| is_plain_name(part) && !part.starts_with('.'));
    if whole && !revision.contains("..") {
        Ok(())
    } else {
        Err(HubError::InvalidRevision {
            revision: revision.to_owned(),
        })
    }
}

/// The start of a commit's hash, long enough to mean one.
pub(super) fn is_short_commit(text: &str) -> bool {
    (4..40).contains(&text.len()) && is_hex(text)
}

/// A full commit hash, which always means the same files.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && is_hex(text)
}

pub(super) fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A file name without folders, safe in a path and in an address.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name != "."
        && name != ".."
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Inside the repository: no way up and no root, under either kind of slash.
fn is_relative_name(name: &str) -> bool {
    !name.starts_with(['/', '\\'])
        && !name.contains('\0')
        && !name.split(['/', '\\']).any(|part| part == "..")
}
