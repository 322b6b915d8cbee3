//! `manifest.json`: what a batch's results were made by and of, and how far it is.

use std::path::PathBuf;

use anyhow::bail;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::input::{Fingerprint, Position};
use super::message::{Files, Ready};

const FORMAT: u32 = 1;
/// So many different reasons are counted apart.
const MOST_REASONS: usize = 20;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub format: u32,
    pub is_finished: bool,
    /// The version of this program, and libtorch's; of the first worker, as the models.
    pub version: String,
    pub libtorch: String,
    pub script: ScriptFile,
    /// What the script imports, and what its cells before the last read: SHA-256 by path.
    #[serde(default)]
    pub files: Files,
    pub input: Fingerprint,
    /// The models that the script loads: name, SHA-256 of their files, device, type.
    pub models: Value,
    /// What computed, in words, each once.
    pub processors: Vec<String>,
    pub options: Options,
    pub rows: Counts,
    /// Why rows were passed over, and how many for each reason.
    pub reasons: Vec<Reason>,
    /// Seconds of work in all.
    pub seconds: f64,
    /// How far the input was read, and how long the files were then.
    pub position: Position,
    pub results_bytes: u64,
    pub passed_over_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ScriptFile {
    pub path: PathBuf,
    pub sha256: String,
}

/// What results depend on besides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Options {
    /// Rows that are computed together, at most.
    pub batch: usize,
    pub seed: u64,
    /// What multiplies with weights on a processor, as `ECCO_MATMUL` has it: what is measured anew in each process may be
    /// another one each time, and rounds otherwise.
    pub matmul: String,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Counts {
    pub results: u64,
    pub passed_over: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Reason {
    pub reason: String,
    pub rows: u64,
}

impl Manifest {
    pub(super) fn new(script: ScriptFile, input: Fingerprint, options: Options) -> Self {
        Self {
            format: FORMAT,
            is_finished: false,
            version: String::new(),
            libtorch: String::new(),
            script,
            files: Files::new(),
            input,
            models: Value::Null,
            processors: Vec::new(),
            options,
            rows: Counts::default(),
            reasons: Vec::new(),
            seconds: 0.0,
            position: Position::default(),
            results_bytes: 0,
            passed_over_bytes: 0,
        }
    }

    pub(super) fn read(text: &str) -> anyhow::Result<Self> {
        let manifest: Self = serde_json::from_str(text)?;
        if manifest.format != FORMAT {
            bail!(
                "it is of form {}, and this program reads {FORMAT}",
                manifest.format
            );
        }
        Ok(manifest)
    }

    pub(super) fn written(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Refuses to go on with something else than before.
    ///
    /// # Errors
    /// Another script, input or option than that of the first run.
    pub(super) fn ensure_same(&self, now: &Self) -> anyhow::Result<()> {
        let other = |what: &str, then: String, now: String| {
            bail!(
                "the results there are of another {what}: {then}, and this is {now}. Go on with the same, or name another folder \
                 with --output"
            )
        };
        if self.script.sha256 != now.script.sha256 {
            let named = |script: &ScriptFile| format!("{} ({:.8})", script.path.display(), script.sha256);
            return other("script", named(&self.script), named(&now.script));
        }
        let same_input = (self.input.bytes, &self.input.sha256_of_ends);
        if same_input != (now.input.bytes, &now.input.sha256_of_ends) {
            let named = |input: &Fingerprint| match input.bytes {
                Some(bytes) => format!("{} ({bytes} bytes)", input.path.display()),
                None => format!("{} (a stream)", input.path.display()),
            };
            return other("input", named(&self.input), named(&now.input));
        }
        if self.options != now.options {
            let named = |options: &Options| {
                let Options { batch, seed, matmul } = options;
                format!("--batch {batch} --seed {seed}, ECCO_MATMUL={matmul}")
            };
            return other("choice of options", named(&self.options), named(&now.options));
        }
        Ok(())
    }

    /// Takes what the first worker says of itself; refuses one that is not like it.
    ///
    /// # Errors
    /// Another version, or other models.
    pub(super) fn meet(&mut self, worker: &Ready) -> anyhow::Result<()> {
        if self.models.is_null() {
            self.version.clone_from(&worker.version);
            self.libtorch.clone_from(&worker.libtorch);
            self.models = worker.models.clone();
        }
        let versions =
            |version: &str, libtorch: &str| format!("ecco-kernel {version} with libtorch {libtorch}");
        let (then, now) = (
            versions(&self.version, &self.libtorch),
            versions(&worker.version, &worker.libtorch),
        );
        if then != now {
            bail!("the results there are of {then}, and this is {now}: name another folder with --output");
        }
        if weights(&self.models) != weights(&worker.models) {
            bail!(
                "the results there are of other models: {}, and these are {}. Go on with the same, or name another folder with \
                 --output",
                self.models,
                worker.models
            );
        }
        self.take_files(&worker.files)?;
        if !self.processors.contains(&worker.processor) {
            self.processors.push(worker.processor.clone());
        }
        Ok(())
    }

    /// Takes what a worker has imported or read.
    ///
    /// # Errors
    /// A file that was another one before.
    pub(super) fn take_files(&mut self, files: &Files) -> anyhow::Result<()> {
        for (path, sha256) in files {
            let then = self.files.entry(path.clone()).or_insert_with(|| sha256.clone());
            if then != sha256 {
                bail!(
                    "the results there are of another {path}: {then:.8}, and this is {sha256:.8}. Go on with the same, or name another \
                     folder with --output"
                );
            }
        }
        Ok(())
    }

    pub(super) fn note_reason(&mut self, why: &str) {
        if let Some(known) = self.reasons.iter_mut().find(|known| known.reason == why) {
            known.rows += 1;
        } else if self.reasons.len() < MOST_REASONS {
            self.reasons.push(Reason {
                reason: why.to_owned(),
                rows: 1,
            });
        } else if let Some(last) = self.reasons.last_mut() {
            last.reason = "others".to_owned();
            last.rows += 1;
        }
    }
}

/// What models are, wherever they lie and compute.
fn weights(models: &Value) -> Vec<[Option<&Value>; 2]> {
    let models = models.as_array().map(Vec::as_slice).unwrap_or_default();
    models
        .iter()
        .map(|model| [model.get("digest"), model.get("dtype")])
        .collect()
}
