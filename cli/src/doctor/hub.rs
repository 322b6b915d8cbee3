//! The hub's cache, and whether the hub answers.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use ecco_interpreter::Diagnostic;
use ecco_models::error::format_bytes;
use ecco_models::hub::{self, HubError, HubSettings};
use serde_json::json;

use super::{Findings, Section, line};

const PATIENCE: Duration = Duration::from_millis(1_800);

/// Variables that decide where the hub is, whose values are nobody's secret.
const VARIABLES: [&str; 6] = [
    "HF_HOME",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
];

pub(super) enum Answer {
    After(Duration),
    None(HubError),
    NotAsked,
}

/// Waits for the hub, not long.
pub(super) fn ask() -> Answer {
    let settings = HubSettings::from_env();
    if settings.offline {
        return Answer::NotAsked;
    }
    match hub::answers(&settings, PATIENCE) {
        Ok(time) => Answer::After(time),
        Err(error) => Answer::None(error),
    }
}

pub(super) fn section(answer: Answer, findings: &mut Findings) -> Section {
    let settings = HubSettings::from_env();
    let models = hub::inventory(&settings.cache);
    let bytes: u64 = models.iter().map(|model| model.bytes).sum();
    let existing = settings.cache.ancestors().find(|folder| folder.exists());
    if !existing.is_some_and(is_writable) {
        findings.problem(
            "hub",
            format!(
                "nothing can be written to its cache, {}",
                settings.cache.display()
            ),
            "export HF_HOME=FOLDER   # one that is yours",
        );
    }
    let free = existing.and_then(free_bytes);
    let (said, millis) = match &answer {
        Answer::After(time) => (
            format!("answers in {} ms", time.as_millis()),
            Some(time.as_millis()),
        ),
        Answer::None(_) => ("does not answer".to_owned(), None),
        Answer::NotAsked => ("not asked: HF_HUB_OFFLINE".to_owned(), None),
    };
    if let Answer::None(error) = &answer {
        let mend = match error {
            HubError::Unreachable { .. } | HubError::TimedOut { .. } => {
                "export HF_HUB_OFFLINE=1   # to use what is in the cache alone; or correct HF_ENDPOINT, HTTPS_PROXY".to_owned()
            }
            error => error.hint().unwrap_or_default(),
        };
        findings.problem("hub", error.to_string(), mend);
    }
    let set = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let variables: Vec<(&str, String)> = VARIABLES
        .into_iter()
        .filter_map(|name| Some((name, set(&name)?)))
        .collect();
    let token = if settings.token.is_some() { "set" } else { "none" };
    let held = match models.len() {
        1 => format!("1 model, {}", format_bytes(bytes)),
        n => format!("{n} models, {}", format_bytes(bytes)),
    };
    let left = free.map_or(String::new(), |free| {
        format!("; {} free on its disk", format_bytes(free))
    });
    let mut lines = vec![
        line("endpoint", format!("{} {said}", settings.endpoint)),
        line("token", token),
        line("cache", settings.cache.display().to_string()),
        line("in it", format!("{held}{left}")),
    ];
    lines.extend(variables.iter().map(|(name, value)| line(*name, value.clone())));
    Section {
        title: "hub",
        lines,
        data: json!({
            "endpoint": settings.endpoint, "offline": settings.offline, "answer_ms": millis.map(|ms| ms as u64),
            "token": settings.token.is_some(), "cache": settings.cache, "models": models.len(), "bytes": bytes,
            "free_bytes": free,
            "variables": variables.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        }),
    }
}

fn is_writable(folder: &Path) -> bool {
    let path = CString::new(folder.as_os_str().as_bytes());
    // SAFETY: a C string that lives as long as the call.
    folder.is_dir()
        && path.is_ok_and(|path| unsafe { libc::access(path.as_ptr(), libc::W_OK | libc::X_OK) } == 0)
}

/// Free bytes of a folder's disk.
fn free_bytes(folder: &Path) -> Option<u64> {
    let path = CString::new(folder.as_os_str().as_bytes()).ok()?;
    // SAFETY: numbers alone, for which nothing is a value.
    let mut about: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: a C string, and a struct of the type that is filled.
    let is_known = unsafe { libc::statvfs(path.as_ptr(), &raw mut about) } == 0;
    is_known.then(|| about.f_bavail as u64 * about.f_frsize as u64)
}
