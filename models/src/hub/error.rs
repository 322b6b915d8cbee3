//! What can go wrong between a hub id and a folder, and what to do about it.

use std::path::PathBuf;
use std::time::Duration;

use ecco_interpreter::{Diagnostic, Kind};

/// Why a model did not arrive. `Display` says what was wrong with which value, its hint what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    #[error("{repo_id:?} is not a model id: {reason}")]
    InvalidRepoId { repo_id: String, reason: &'static str },
    #[error("{revision:?} is not a revision")]
    InvalidRevision { revision: String },
    #[error("{endpoint:?} is not the address of a hub: {reason}")]
    InvalidEndpoint { endpoint: String, reason: &'static str },
    #[error("the access token holds characters that cannot be sent")]
    InvalidToken,
    #[error("there are no certificates in {}", file.display())]
    NoCertificates { file: PathBuf },
    #[error("cannot read certificates from {}: {source}", file.display())]
    Certificates { file: PathBuf, source: std::io::Error },
    #[error("{proxy:?} is not a proxy that can be used: it must begin with http:// or https://")]
    InvalidProxy { proxy: String },
    #[error("there is no model {repo_id:?} at {endpoint}, or it is private")]
    NotFound {
        repo_id: String,
        endpoint: String,
        with_token: bool,
    },
    #[error("the model {repo_id:?} has no revision {revision:?}")]
    RevisionNotFound { repo_id: String, revision: String },
    #[error("the model {repo_id:?} has no {file}")]
    FileNotFound { repo_id: String, file: String },
    #[error("{endpoint} refuses access to {repo_id:?} (HTTP status {status})")]
    AccessDenied {
        repo_id: String,
        endpoint: String,
        status: u16,
        with_token: bool,
    },
    #[error("{repo_id:?} at revision {revision:?} is not complete in {}, and HF_HUB_OFFLINE is set", cache.display())]
    NotCached {
        repo_id: String,
        revision: String,
        cache: PathBuf,
        /// What is there.
        commits: Vec<String>,
    },
    #[error("{repo_id:?}{} is not in the cache {}", at(revision.as_deref()), cache.display())]
    NotInCache {
        repo_id: String,
        revision: Option<String>,
        cache: PathBuf,
        /// What is there.
        commits: Vec<String>,
    },
    #[error("cannot reach {server}: {source}")]
    Unreachable {
        server: String,
        source: Box<ureq::Error>,
    },
    #[error("{server} sent nothing for {} seconds ({what})", after.as_secs_f64())]
    TimedOut {
        server: String,
        what: String,
        after: Duration,
    },
    #[error("{server} answered with HTTP status {status} ({what})")]
    Status {
        server: String,
        what: String,
        status: u16,
        retry_after: Option<Duration>,
    },
    #[error("{file} broke off after {got} bytes{}", of_expected(*.expected))]
    CutOff {
        file: String,
        got: u64,
        expected: Option<u64>,
    },
    #[error("{file} arrived damaged: expected {expected}, got {actual}")]
    Corrupted {
        file: String,
        expected: String,
        actual: String,
    },
    #[error("{server} does not answer like a model hub: {reason}")]
    NotAHub { server: String, reason: String },
    #[error("the model {repo_id:?} lists a file with the unsafe name {name:?}")]
    UnsafeName { repo_id: String, name: String },
    #[error(
        "the model {repo_id:?} has neither model.safetensors nor pytorch_model.bin, whole or in shards with an index"
    )]
    NoWeights { repo_id: String },
    #[error("the model {repo_id:?} has neither safetensors nor PyTorch files, but GGUF: {}", files.join(", "))]
    GgufOnly { repo_id: String, files: Vec<String> },
    #[error("{repo_id:?} is an adapter and no model")]
    AdapterOnly { repo_id: String },
    #[error("the shard index of {repo_id:?} cannot be read: {reason}")]
    InvalidIndex { repo_id: String, reason: String },
    #[error("the download was interrupted")]
    Interrupted,
    #[error("cannot use {}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
}

fn at(revision: Option<&str>) -> String {
    revision.map_or_else(String::new, |revision| format!(" at revision {revision:?}"))
}

fn of_expected(expected: Option<u64>) -> String {
    expected.map(|bytes| format!(" of {bytes}")).unwrap_or_default()
}

impl Diagnostic for HubError {
    fn kind(&self) -> Kind {
        match self {
            Self::InvalidRepoId { .. } | Self::InvalidRevision { .. } => Kind::Value,
            Self::Interrupted => Kind::Interrupt,
            _ => Kind::Os,
        }
    }

    /// In one line; none where the message says it all.
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::InvalidRepoId { .. } => {
                "a model id is \"name\" or \"owner/name\"; for a local folder give a path that exists".to_owned()
            }
            Self::InvalidRevision { .. } => {
                "give a branch, a tag or a commit: letters, digits, '.', '_', '-' and '/'".to_owned()
            }
            Self::InvalidEndpoint { .. } => "set HF_ENDPOINT to an address like https://huggingface.co".to_owned(),
            Self::InvalidToken => "check HF_TOKEN, or the file that `hf auth login` wrote".to_owned(),
            Self::NotFound { with_token, .. } => format!("check the spelling; {}", token_advice(*with_token)),
            Self::RevisionNotFound { .. } => "leave `revision` out for the default branch".to_owned(),
            Self::AccessDenied { with_token, .. } => token_advice(*with_token).to_owned(),
            Self::NotCached { commits, .. } | Self::NotInCache { commits, .. } if !commits.is_empty() => {
                format!("ask for what is there by its commit: revision {}", commits.join(", or "))
            }
            Self::NotCached { .. } => "unset HF_HUB_OFFLINE to download it".to_owned(),
            Self::NoCertificates { .. } | Self::Certificates { .. } => {
                "correct SSL_CERT_FILE or REQUESTS_CA_BUNDLE, or unset it".to_owned()
            }
            Self::InvalidProxy { .. } => {
                "correct HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or name the hub in NO_PROXY".to_owned()
            }
            Self::Unreachable { source, .. } if source.to_string().contains("certificate") => {
                "behind a proxy with certificates of its own, name their file in SSL_CERT_FILE".to_owned()
            }
            Self::Unreachable { .. } => {
                "check the network, the proxy settings and HF_ENDPOINT; \"demo\" needs no network".to_owned()
            }
            Self::TimedOut { .. } | Self::CutOff { .. } => {
                "run it again: it goes on from where it stopped".to_owned()
            }
            Self::Status { status: 429, .. } => "wait a little, then run it again".to_owned(),
            Self::Status { .. } => "the server has trouble: run it again later".to_owned(),
            Self::Corrupted { .. } => {
                "nothing of it was kept: run it again, and if it stays so, look for a proxy that changes bodies"
                    .to_owned()
            }
            Self::NotAHub { .. } => "check HF_ENDPOINT, and whether a login page stands in between".to_owned(),
            Self::GgufOnly { repo_id, files } => {
                let file = files.first().map_or("model.gguf", String::as_str);
                format!("name one behind the model: \"{repo_id}/{file}\"")
            }
            Self::AdapterOnly { .. } => "name the model that it is for, and this as its adapter".to_owned(),
            Self::Interrupted => "run it again: it goes on from where it stopped".to_owned(),
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                "make room, or set HF_HOME to a folder on a larger disk".to_owned()
            }
            Self::Io { .. } => "check the folder's permissions, or set HF_HOME to another one".to_owned(),
            Self::FileNotFound { .. }
            | Self::UnsafeName { .. }
            | Self::NotInCache { .. }
            | Self::NoWeights { .. }
            | Self::InvalidIndex { .. } => return None,
        };
        Some(hint)
    }
}

impl HubError {
    /// Nobody answered, or only to say "not now": what is in the cache may stand in.
    pub(super) fn is_outage(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::TimedOut { .. }) || self.is_busy()
    }

    /// The server asks for patience.
    pub(super) fn is_busy(&self) -> bool {
        matches!(
            self,
            Self::Status {
                status: 429 | 500..=599,
                ..
            }
        )
    }

    /// Asking once more for the rest of a body may help.
    pub(super) fn is_transient(&self) -> bool {
        self.is_outage() || matches!(self, Self::CutOff { .. })
    }
}

fn token_advice(with_token: bool) -> &'static str {
    if with_token {
        "the access token that was sent does not open it: ask for access on the model's page"
    } else {
        "a private or gated model needs an access token in HF_TOKEN (or `hf auth login`)"
    }
}
