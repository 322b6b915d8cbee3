//! Copies of model folders, to be damaged, and what this process takes.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, UnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use ecco_models::Error;
use ecco_tests::fixtures;
use serde_json::{Map, Value, json};

/// One tensor of a safetensors file.
#[derive(Clone)]
pub(crate) struct Stored {
    pub dtype: String,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

pub(crate) struct Folder(PathBuf);

impl Folder {
    /// A copy of a family's folder.
    pub(crate) fn copy(family: &str) -> Self {
        Self::of(&format!("families/{family}"))
    }

    /// A copy of a folder of the fixtures; what are links there are files here.
    pub(crate) fn of(fixture: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let to = std::env::temp_dir().join(format!("ecco-folders-{}-{number}", std::process::id()));
        fs::create_dir_all(&to).expect("a folder");
        for entry in fs::read_dir(fixtures().join(fixture)).expect("the fixture") {
            let entry = entry.expect("an entry");
            fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
        }
        Self(to)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.0.join(file)).expect("the file is there")
    }

    pub(crate) fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.0.join(file), bytes).expect("written");
    }

    pub(crate) fn remove(&self, file: &str) {
        fs::remove_file(self.0.join(file)).expect("removed");
    }

    pub(crate) fn config(&self) -> Value {
        serde_json::from_slice(&self.read("config.json")).expect("JSON")
    }

    pub(crate) fn write_config(&self, config: &Value) {
        self.write("config.json", config.to_string());
    }

    pub(crate) fn tensors(&self) -> BTreeMap<String, Stored> {
        self.tensors_of("model.safetensors")
    }

    pub(crate) fn tensors_of(&self, file: &str) -> BTreeMap<String, Stored> {
        let bytes = self.read(file);
        let length = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
        let header: Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).expect("a header");
        let data = &bytes[8 + length..];
        let number = |value: &Value| value.as_u64().expect("a number") as usize;
        let tensors = header.into_iter().filter(|(name, _)| name != "__metadata__");
        tensors
            .map(|(name, about)| {
                let at = |i: usize| number(&about["data_offsets"][i]);
                let stored = Stored {
                    dtype: about["dtype"].as_str().expect("a type").to_owned(),
                    shape: about["shape"]
                        .as_array()
                        .expect("a shape")
                        .iter()
                        .map(number)
                        .collect(),
                    bytes: data[at(0)..at(1)].to_vec(),
                };
                (name, stored)
            })
            .collect()
    }

    pub(crate) fn write_tensors(&self, file: &str, tensors: &BTreeMap<String, Stored>) {
        let (mut header, mut data) = (Map::new(), Vec::new());
        for (name, stored) in tensors {
            let start = data.len();
            data.extend(&stored.bytes);
            let about =
                json!({"dtype": stored.dtype, "shape": stored.shape, "data_offsets": [start, data.len()]});
            header.insert(name.clone(), about);
        }
        let mut text = Value::Object(header).to_string().into_bytes();
        text.resize(text.len().next_multiple_of(8), b' ');
        let length = (text.len() as u64).to_le_bytes();
        self.write(file, [&length[..], &text, &data].concat());
    }

    /// Changes the tensors of the one file.
    pub(crate) fn edit(&self, change: impl FnOnce(&mut BTreeMap<String, Stored>)) {
        self.edit_file("model.safetensors", change);
    }

    pub(crate) fn edit_file(&self, file: &str, change: impl FnOnce(&mut BTreeMap<String, Stored>)) {
        let mut tensors = self.tensors_of(file);
        change(&mut tensors);
        self.write_tensors(file, &tensors);
    }

    /// Writes the one file as two, `a` and `b`, with an index; gives the tensors of each.
    pub(crate) fn shard(&self) -> [BTreeMap<String, Stored>; 2] {
        let mut first = self.tensors();
        let middle = first.keys().nth(first.len() / 2).expect("many tensors").clone();
        let second = first.split_off(&middle);
        self.remove("model.safetensors");
        self.write_tensors("a.safetensors", &first);
        self.write_tensors("b.safetensors", &second);
        let map = |tensors: &BTreeMap<String, Stored>, file: &str| -> Vec<(String, Value)> {
            tensors.keys().map(|name| (name.clone(), file.into())).collect()
        };
        let all = [map(&first, "a.safetensors"), map(&second, "b.safetensors")].concat();
        self.write_index(all.into_iter().collect::<Map<_, _>>().into());
        [first, second]
    }

    /// Writes the shards of [`Self::shard`] anew from the one file that they were.
    pub(crate) fn shard_again(&self, whole: &[u8], index: &[u8]) {
        self.write("model.safetensors", whole);
        self.shard();
        self.write("model.safetensors.index.json", index);
    }

    pub(crate) fn write_index(&self, map: Value) {
        self.write(
            "model.safetensors.index.json",
            json!({"weight_map": map}).to_string(),
        );
    }

    /// A matrix of a layer, which every family has.
    pub(crate) fn a_matrix(&self) -> String {
        let tensors = self.tensors();
        let is_layers = |name: &str| [".0.", ".1."].iter().any(|layer| name.contains(layer));
        let mut matrices = tensors.iter().filter(|(name, stored)| {
            is_layers(name) && stored.shape.len() == 2 && stored.shape[0] != stored.shape[1]
        });
        let (name, _) = matrices.next().expect("a matrix that is not square");
        name.clone()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed from the temporary folder is no failure of the test.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Bytes of this process: `VmRSS` now, `VmHWM` at the most since [`reset_peak`].
pub(crate) fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .expect("the field");
    let number = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    number.parse::<u64>().expect("a number") * 1024
}

pub(crate) fn reset_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("Linux");
}

/// What is wrong with how something damaged was refused; `None` where it is an error with all of `expected` in it, not too
/// long, and took no more than `most` bytes.
pub(crate) fn fault(
    expected: &[&str],
    most: u64,
    load: impl FnOnce() -> Result<(), Error> + UnwindSafe,
) -> Option<String> {
    reset_peak();
    let before = memory("VmRSS");
    let result = catch_unwind(load);
    let took = memory("VmHWM").saturating_sub(before);
    let text = match result {
        Err(_) => return Some("panicked".to_owned()),
        Ok(Ok(())) => return Some("loaded".to_owned()),
        Ok(Err(error)) => error.to_string(),
    };
    match expected.iter().all(|part| text.contains(part)) && text.len() < 1500 {
        true => (took > most).then(|| format!("took {took} bytes")),
        false => Some(format!("said {text:?}, not {expected:?}")),
    }
}

/// What became of many absurd values, each in the place of another.
#[derive(Default)]
pub(crate) struct Walk {
    failed: Vec<String>,
    n: usize,
    n_refused: usize,
}

impl Walk {
    /// Does something with an absurd value: it is refused in clear words, or works; the one takes no more than `most`
    /// bytes, the other than twice as many.
    pub(crate) fn step(
        &mut self,
        what: impl FnOnce() -> String,
        most: u64,
        is_clear: impl Fn(&Error) -> bool,
        work: impl FnOnce() -> Result<(), Error>,
    ) {
        reset_peak();
        let before = memory("VmRSS");
        let result = catch_unwind(AssertUnwindSafe(work));
        let took = memory("VmHWM").saturating_sub(before);
        self.n += 1;
        let fault = match result {
            Err(_) => "panicked".into(),
            Ok(Ok(())) if took <= 2 * most => return,
            Ok(Err(error)) if is_clear(&error) && took <= most => {
                self.n_refused += 1;
                return;
            }
            Ok(Err(error)) if is_clear(&error) => format!("took {took} bytes: {error}"),
            Ok(Ok(())) => format!("took {took} bytes"),
            Ok(Err(error)) => format!("said {error}"),
        };
        self.failed.push(format!("{}: {fault}", what()));
    }

    /// Fails where any step did, or where there were fewer than `least`, or a smaller share than 1 / `share` was refused.
    pub(crate) fn assert(self, least: usize, share: usize) {
        let Self { failed, n, n_refused } = self;
        assert!(
            failed.is_empty(),
            "{} of {n}:\n{}",
            failed.len(),
            failed.join("\n")
        );
        assert!(n >= least && n_refused > n / share, "{n_refused} of {n} refused");
    }
}
