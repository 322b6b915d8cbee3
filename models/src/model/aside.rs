//! A model's files: what tells them from others, and what it takes to have the model again when it has given its memory back.

use std::rc::Rc;

use super::{LoadOptions, Model, loading};
use crate::error::Result;
use crate::files::ModelFiles;
use ecco_interpreter::Watch;

/// What it takes to have a model again, as it was: its files, which stay mapped, and what it was loaded with. Of mapped files
/// the system keeps in the host's memory what there is room for, so they are seldom read from the disk again; and a file
/// that is removed or replaced meanwhile is still the one that was loaded.
pub struct Aside {
    name: String,
    files: Rc<ModelFiles>,
    adapter: Option<Rc<ModelFiles>>,
    asked: LoadOptions,
}

impl Model {
    /// What tells its files from all others: SHA-256 in hexadecimal digits, behind a `+` that of its adapter. Reads all weights.
    pub fn digest(&self) -> String {
        let own = self.files.digest();
        match &self.adapter {
            Some(adapter) => format!("{own}+{}", adapter.digest()),
            None => own,
        }
    }

    /// The memory is given back when the model and its views are dropped.
    pub fn aside(&self) -> Aside {
        Aside {
            name: self.name.clone(),
            files: Rc::clone(&self.files),
            adapter: self.adapter.clone(),
            asked: self.asked.clone(),
        }
    }
}

impl Aside {
    pub fn has_adapter(&self) -> bool {
        self.adapter.is_some()
    }

    /// The model on the devices that were asked for. By `device: "auto"` these can be others than before.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) where there is no room now; a file that was written over meanwhile; an
    /// interrupt. It can be tried again.
    pub fn back(&self, watch: &mut Watch) -> Result<Model> {
        let files = (Rc::clone(&self.files), self.adapter.clone());
        loading::of_whole_files(|| Model::from_files(&self.name, files, &self.asked, None, watch))
    }
}
