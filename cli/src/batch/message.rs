//! What a batch and its workers say to each other: JSON, a message a line.
//!
//! A worker is a process: it reads [`Job`], then [`Part`]s, on its standard input, and writes [`FromWorker`] on its standard
//! output. Whoever passes these lines on, to another machine, is a worker too.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The first line: what is to be done with each part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Job {
    /// What errors call the script.
    pub label: String,
    pub script: String,
    /// Seeds that the script does not name follow from it and from the number of a part's first row.
    pub seed: u64,
}

/// Some rows that belong together.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Part {
    pub part: u64,
    pub rows: Vec<Row>,
}

/// A row of the input: its number, from 0, and what it holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Row {
    pub row: u64,
    pub value: Box<RawValue>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FromWorker {
    /// The cells before the last have run.
    Ready(Ready),
    /// They have not: the script is wrong.
    Failed(String),
    Done(Done),
    /// A part was not done, and why: whoever was to do it is gone.
    Lost {
        part: u64,
        why: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ready {
    /// The version of this program.
    pub version: String,
    pub libtorch: String,
    /// What it computes on, in words.
    pub processor: String,
    /// The models that the script has loaded: name, digest, device, dtype.
    pub models: serde_json::Value,
    /// How many parts it may be given at a time.
    pub slots: usize,
    /// What the cells before the last have imported and read.
    #[serde(default)]
    pub files: Files,
}

/// Files that results depend on, by their paths as the script has them: SHA-256.
pub(super) type Files = BTreeMap<String, String>;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Done {
    pub part: u64,
    pub results: Vec<RowResult>,
    /// What was imported for the first time.
    #[serde(default, skip_serializing_if = "Files::is_empty")]
    pub files: Files,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RowResult {
    pub row: u64,
    pub result: Outcome,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Value(Box<RawValue>),
    /// Why there is none, in one line.
    Error(String),
}
