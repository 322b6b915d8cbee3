//! Who holds what of a device. Each process of this program writes what its models take into a file of its own, and the others of
//! the same user on the same machine read it: a driver tells how much is free, and not that it is another notebook's.
//!
//! A file is locked while its process lives. What a killed process has left is not locked, counts no more, and is removed by
//! whoever finds it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::error::format_bytes;

/// A process of this program that has models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    pub process: u32,
    pub models: Vec<Held>,
}

/// A model's weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    pub name: String,
    /// Bytes by device: `cuda:0`, `cpu`.
    pub bytes: BTreeMap<String, u64>,
}

impl Held {
    fn devices(&self) -> impl Iterator<Item = &str> {
        self.bytes.keys().map(String::as_str)
    }
}

impl Holder {
    /// Bytes on a device, and the names of what takes them.
    pub fn on(&self, device: &str) -> Option<(u64, Vec<&str>)> {
        let there = self
            .models
            .iter()
            .filter_map(|held| Some((*held.bytes.get(device)?, held.name.as_str())));
        let (bytes, names): (Vec<u64>, Vec<&str>) = there.unzip();
        (!names.is_empty()).then(|| (bytes.iter().sum(), names))
    }
}

/// What files are called before the process's number.
const PREFIX: &str = "ecco-kernel-holds-";
/// Longer ones are not ours.
const LONGEST: u64 = 1 << 20;

/// What this process holds.
struct Ledger {
    held: BTreeMap<u64, Held>,
    next: u64,
    /// Open and locked from the first model on. None where there cannot be one: then the others are not told.
    file: Option<File>,
}

static LEDGER: Mutex<Ledger> = Mutex::new(Ledger {
    held: BTreeMap::new(),
    next: 0,
    file: None,
});

fn ledger() -> MutexGuard<'static, Ledger> {
    LEDGER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An entry for a model, until it is dropped.
pub(crate) struct Entry(u64);

impl Entry {
    pub(crate) fn new(held: Held) -> Self {
        let mut ledger = ledger();
        let number = ledger.next;
        ledger.next += 1;
        ledger.held.insert(number, held);
        ledger.tell();
        Self(number)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut ledger = ledger();
        ledger.held.remove(&self.0);
        ledger.tell();
    }
}

impl Ledger {
    /// Writes what there is. Where that fails nobody is told, which is no reason not to have a model.
    fn tell(&mut self) {
        if self.file.is_none() {
            self.file = own(&std::env::temp_dir()).ok();
        }
        let holder = Holder {
            process: std::process::id(),
            models: self.held.values().cloned().collect(),
        };
        let text = serde_json::to_vec(&holder).unwrap_or_default();
        if let Some(file) = &mut self.file {
            let written = file
                .rewind()
                .and_then(|()| file.write_all(&text))
                .and_then(|()| file.set_len(text.len() as u64));
            if written.is_err() {
                self.file = None;
            }
        }
    }
}

/// This process's file, locked. No link that somebody has put there is followed.
fn own(folder: &Path) -> std::io::Result<File> {
    let path = folder.join(format!("{PREFIX}{}.json", std::process::id()));
    // One of an earlier process with this number.
    let _ = std::fs::remove_file(&path);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.try_lock()?;
    Ok(file)
}

/// The processes that have models, this one among them.
pub fn holders() -> Vec<Holder> {
    in_folder(&std::env::temp_dir())
}

/// What others have on GPUs, for people, a sentence each: `process 4711 has 2.1 GB of cuda:0 ("distilgpt2")`.
pub fn on_gpus(holders: &[Holder]) -> Vec<String> {
    let others = holders
        .iter()
        .filter(|holder| holder.process != std::process::id());
    let said = others.flat_map(|holder| {
        let devices: BTreeSet<&str> = holder.models.iter().flat_map(Held::devices).collect();
        let gpus = devices.into_iter().filter(|device| device.starts_with("cuda"));
        gpus.filter_map(|device| {
            let (bytes, names) = holder.on(device)?;
            let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
            let (process, bytes) = (holder.process, format_bytes(bytes));
            Some(format!(
                "process {process} has {bytes} of {device} ({})",
                names.join(", ")
            ))
        })
    });
    said.collect()
}

fn in_folder(folder: &Path) -> Vec<Holder> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let ours = files.filter(|file| file.file_name().to_string_lossy().starts_with(PREFIX));
    let mut holders: Vec<Holder> = ours.filter_map(|file| read(&file.path())).collect();
    holders.retain(|holder| !holder.models.is_empty());
    holders.sort_by_key(|holder| holder.process);
    holders
}

fn read(path: &PathBuf) -> Option<Holder> {
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .ok()
        .filter(|file| file.metadata().is_ok_and(|about| about.is_file()))?;
    match file.try_lock_shared() {
        // Nobody has it any more.
        Ok(()) => {
            let _ = std::fs::remove_file(path);
            return None;
        }
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(_)) => return None,
    }
    // It may be written anew meanwhile.
    (0..3).find_map(|_| {
        let mut text = Vec::new();
        file.rewind().ok()?;
        (&file).take(LONGEST).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("holders-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn holder(process: u32) -> Holder {
        let bytes = BTreeMap::from([("cuda:0".to_owned(), 2_000_000_000), ("cpu".to_owned(), 1_000)]);
        let held = |name: &str| Held {
            name: name.to_owned(),
            bytes: bytes.clone(),
        };
        Holder {
            process,
            models: vec![held("a"), held("b")],
        }
    }

    fn write(folder: &Path, process: u32) -> (PathBuf, File) {
        let path = folder.join(format!("{PREFIX}{process}.json"));
        std::fs::write(&path, serde_json::to_vec(&holder(process)).unwrap()).unwrap();
        let file = File::open(&path).unwrap();
        (path, file)
    }

    #[test]
    fn what_a_living_process_holds_is_read_and_what_a_dead_one_left_is_removed() {
        let folder = folder("living");
        let (living, file) = write(&folder, 7);
        file.try_lock().unwrap();
        let (dead, _) = write(&folder, 3);
        assert_eq!(in_folder(&folder), [holder(7)]);
        assert!(living.exists() && !dead.exists());
        drop(file);
        assert_eq!(in_folder(&folder), []);
        assert!(!living.exists());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_holder_says_what_it_has_on_a_device() {
        assert_eq!(holder(1).on("cuda:0"), Some((4_000_000_000, vec!["a", "b"])));
        assert_eq!(holder(1).on("cuda:1"), None);
        assert_eq!(
            on_gpus(&[holder(1), holder(std::process::id())]),
            ["process 1 has 4.0 GB of cuda:0 (\"a\", \"b\")"]
        );
    }

    #[test]
    fn files_that_say_something_else_are_passed_over() {
        let folder = folder("else");
        let path = folder.join(format!("{PREFIX}1.json"));
        std::fs::write(&path, "[1, 2").unwrap();
        let file = File::open(&path).unwrap();
        file.try_lock().unwrap();
        std::os::unix::fs::symlink("/dev/zero", folder.join(format!("{PREFIX}2.json"))).unwrap();
        std::fs::create_dir(folder.join(format!("{PREFIX}3.json"))).unwrap();
        assert_eq!(in_folder(&folder), []);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
