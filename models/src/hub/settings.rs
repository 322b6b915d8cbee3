//! Where the hub and its cache are: what Python's huggingface_hub reads from the environment, read once.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::proxy::Proxies;
use crate::files::regular;

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// Variables that name certificates, as Python's clients read them, the ones before the others.
const CERTIFICATES: [&str; 4] = [
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_DIR",
];

/// No wait is longer, in seconds: a day.
const LONGEST: u64 = 24 * 60 * 60;

/// Bytes of a token's file, and of one that says which commit a branch is.
pub(super) const LARGEST_NOTE: u64 = 64 << 10;

/// Everything outside the request that decides how a model is fetched.
#[derive(Clone)]
pub struct HubSettings {
    /// Address of the hub, without a slash at its end.
    pub endpoint: String,
    /// The folder with one `models--owner--name` folder for each model.
    pub cache: PathBuf,
    /// Sent to the endpoint only, never to where it redirects.
    pub token: Option<String>,
    /// Certificates (PEM) to trust instead of the built-in ones, in a file or a folder of such: behind proxies that look
    /// into connections.
    pub ca_file: Option<PathBuf>,
    pub proxies: Proxies,
    /// Use the cache only.
    pub offline: bool,
    /// For name lookup, connection and the TLS handshake.
    pub connect_timeout: Duration,
    /// A server that sends nothing for this long is given up.
    pub stall_timeout: Duration,
    /// How many times a request, or the rest of a body, is asked for again.
    pub retries: u32,
    /// The pause before the first retry; it doubles with each.
    pub retry_pause: Duration,
}

impl HubSettings {
    /// From this process's environment and the token file.
    pub fn from_env() -> Self {
        Self::from_vars(|name| std::env::var(name).ok())
    }

    /// From any source of variables: HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN, HF_TOKEN_PATH, HF_HUB_OFFLINE,
    /// HF_HUB_ETAG_TIMEOUT, HF_HUB_DOWNLOAD_TIMEOUT, SSL_CERT_FILE (REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_DIR),
    /// HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, and the older names that the Python library still honours.
    pub fn from_vars(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| {
            variable(name)
                .map(|value| value.trim().to_owned())
                .filter(|value| !value.is_empty())
        };
        let seconds = |name: &str| {
            let seconds: u64 = set(name)?.parse().ok().filter(|s| *s > 0)?;
            Some(Duration::from_secs(seconds.min(LONGEST)))
        };
        let user = set("HOME")
            .map(PathBuf::from)
            .or_else(std::env::home_dir)
            .unwrap_or_default();
        let path = |name: &str| set(name).map(|value| expand_user(&value, &user));

        let caches = path("XDG_CACHE_HOME").unwrap_or_else(|| user.join(".cache"));
        let home = path("HF_HOME").unwrap_or_else(|| caches.join("huggingface"));
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let token_file = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        let token = set("HF_TOKEN")
            .or_else(|| set("HUGGING_FACE_HUB_TOKEN"))
            .or_else(|| read_token(&token_file));
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        let offline = set("HF_HUB_OFFLINE").or_else(|| set("TRANSFORMERS_OFFLINE"));
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache: cache.unwrap_or_else(|| home.join("hub")),
            token,
            ca_file: CERTIFICATES.into_iter().find_map(path),
            proxies: Proxies::from_vars(set),
            offline: offline.is_some_and(|value| is_true(&value)),
            connect_timeout: seconds("HF_HUB_ETAG_TIMEOUT").unwrap_or(Duration::from_secs(10)),
            stall_timeout: seconds("HF_HUB_DOWNLOAD_TIMEOUT").unwrap_or(Duration::from_secs(30)),
            retries: 4,
            retry_pause: Duration::from_millis(500),
        }
    }
}

/// Like the Python library: anything else is false.
fn is_true(value: &str) -> bool {
    matches!(value.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE")
}

fn expand_user(value: &str, home: &Path) -> PathBuf {
    match value.strip_prefix('~') {
        Some("") => home.to_owned(),
        Some(rest) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(value),
    }
}

fn read_token(file: &Path) -> Option<String> {
    let token = String::from_utf8(regular::read(file, LARGEST_NOTE).ok()?).ok()?;
    let token = token.trim().to_owned();
    (!token.is_empty()).then_some(token)
}

/// Without the token: settings end up in messages and logs.
impl fmt::Debug for HubSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubSettings")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("token", &self.token.as_ref().map(|_| "..."))
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}
