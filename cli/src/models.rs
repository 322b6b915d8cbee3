//! `ecco-kernel models`: what is in the hub's cache, and how it goes.

use std::io::Write;
use std::time::SystemTime;

use anyhow::{Context, bail};
use clap::Args;
use ecco_interpreter::Diagnostic;
use ecco_models::error::format_bytes;
use ecco_models::hub::{self, CachedModel, HubSettings};
use serde_json::{Value, json};

use crate::table;

pub(crate) const ABOUT: &str = "\
List the models in the cache that this program and Python's huggingface_hub share, with what each takes on the disk, when \
it was last read, and its revisions. --delete takes one away: with --revision only the files that no other revision has. \
Nothing outside of the model's folder is touched, wherever links lead.";

#[derive(Args)]
pub(crate) struct Arguments {
    /// The list as JSON
    #[arg(long, conflicts_with = "delete")]
    json: bool,
    /// Take a model out of the cache; asks first
    #[arg(long, value_name = "NAME")]
    delete: Option<String>,
    /// Only this branch, tag, commit, or a commit that begins so
    #[arg(long, value_name = "REVISION", requires = "delete")]
    revision: Option<String>,
    /// Do not ask
    #[arg(long, requires = "delete")]
    yes: bool,
}

/// Lists or deletes; returns the status to end with: 1 where it was asked and the answer was no.
///
/// # Errors
/// For a model that is not there, and what cannot be deleted.
pub(crate) fn models(arguments: &Arguments) -> anyhow::Result<i32> {
    let settings = HubSettings::from_env();
    let models = hub::inventory(&settings.cache);
    let Some(name) = &arguments.delete else {
        table::print(&match arguments.json {
            true => format!(
                "{:#}\n",
                json!({"cache": settings.cache, "models": models.iter().map(data).collect::<Vec<_>>()})
            ),
            false => list(&settings, &models),
        })?;
        return Ok(0);
    };
    let Some(model) = models.iter().find(|model| model.id == *name) else {
        let known: Vec<&str> = models.iter().map(|model| model.id.as_str()).collect();
        let known = if known.is_empty() {
            "nothing".to_owned()
        } else {
            known.join(", ")
        };
        bail!(
            "{name:?} is not in the cache {}, which has {known}",
            settings.cache.display()
        );
    };
    let revision = arguments.revision.as_deref();
    if !arguments.yes && !is_wanted(&question(model, revision))? {
        return Ok(1);
    }
    let freed = hub::delete(&settings.cache, name, revision).map_err(|error| match error.hint() {
        Some(hint) => anyhow::anyhow!("{error}: {hint}"),
        None => error.into(),
    })?;
    table::print(&format!("{} are free again\n", format_bytes(freed)))?;
    Ok(0)
}

fn list(settings: &HubSettings, models: &[CachedModel]) -> String {
    let cache = settings.cache.display();
    if models.is_empty() {
        return format!("No model is in {cache}\n");
    }
    let mut rows = vec![["model", "size", "last use", "revision"].map(str::to_owned)];
    for model in models {
        let mut revisions = model.revisions.iter().map(|revision| {
            let names = revision.names.join(", ");
            let commit = &revision.commit[..12];
            match names.is_empty() {
                true => format!("{commit} {}", revision.content.name()),
                false => format!("{commit} {} ({names})", revision.content.name()),
            }
        });
        let first = revisions
            .next()
            .unwrap_or_else(|| "none: only what broke off".to_owned());
        let last_use = model
            .last_use
            .map_or_else(String::new, |time| ago(time, SystemTime::now()));
        rows.push([model.id.clone(), format_bytes(model.bytes), last_use, first]);
        rows.extend(revisions.map(|revision| [String::new(), String::new(), String::new(), revision]));
    }
    let total: u64 = models.iter().map(|model| model.bytes).sum();
    let list = table::aligned(&rows, [false, true, true, false]);
    format!("{list}\n{} in {cache}\n", format_bytes(total))
}

fn data(model: &CachedModel) -> Value {
    let revisions = model.revisions.iter().map(|revision| {
        json!({
            "commit": revision.commit, "names": revision.names, "bytes": revision.bytes, "content": revision.content.name(),
        })
    });
    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok();
    json!({
        "id": model.id, "folder": model.folder, "bytes": model.bytes,
        "last_use": model.last_use.and_then(seconds).map(|time| time.as_secs()),
        "revisions": revisions.collect::<Vec<_>>(),
    })
}

/// How long ago something was, in the largest unit that it was once.
fn ago(time: SystemTime, now: SystemTime) -> String {
    const UNITS: [(u64, &str); 4] = [
        (86_400 * 365, "year"),
        (86_400, "day"),
        (3_600, "hour"),
        (60, "minute"),
    ];
    let seconds = now.duration_since(time).unwrap_or_default().as_secs();
    match UNITS.iter().find(|(unit, _)| seconds >= *unit) {
        Some((unit, name)) if seconds / unit == 1 => format!("1 {name} ago"),
        Some((unit, name)) => format!("{} {name}s ago", seconds / unit),
        None => "just now".to_owned(),
    }
}

fn question(model: &CachedModel, revision: Option<&str>) -> String {
    let what = match revision {
        Some(revision) => format!("revision {revision} of {}", model.id),
        None => format!("{} ({})", model.id, format_bytes(model.bytes)),
    };
    format!("Delete {what} from {}? [y/N] ", model.folder.display())
}

fn is_wanted(question: &str) -> anyhow::Result<bool> {
    let mut stderr = std::io::stderr();
    write!(stderr, "{question}")
        .and_then(|()| stderr.flush())
        .context("could not ask")?;
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .context("could not read the answer: --yes does not ask")?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_told_in_the_largest_unit() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let cases = [
            (5, "just now"),
            (60, "1 minute ago"),
            (7_300, "2 hours ago"),
            (86_400 * 3, "3 days ago"),
            (86_400 * 800, "2 years ago"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(ago(now - Duration::from_secs(seconds), now), expected);
        }
        assert_eq!(ago(now + Duration::from_secs(9), now), "just now");
    }
}
