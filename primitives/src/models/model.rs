//! A loaded model as scripts hold it.

use std::rc::Rc;

use ecco_models::{Edits, product};
use ecco_widgets::Explorable;
use ecco_widgets::{ModelCard, ModelSite, ResidentModels};

use ecco_scripting::errors::{ErrorKind, ScriptError};
use ecco_scripting::live::Live;
use ecco_scripting::result::Show;
use ecco_scripting::result::rich::Plain;
use ecco_scripting::session::{Kept, State};

use super::asking::AskedModels;
use super::resident::Resident;
use super::sites;

/// What is recorded right after each generation, so that it outlives the model.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Recording {
    pub activations: bool,
    pub hidden_states: bool,
    pub attention: bool,
    /// Layers whose activations are recorded; None for all.
    pub layers: Option<Vec<usize>>,
}

/// A handle to a resident model. Handles that differ in what they record, or in what they change, share the weights.
#[derive(Clone)]
pub(crate) struct Model {
    resident: Rc<Resident>,
    changed: Option<Rc<Interventions>>,
    /// How much of its adapter it has, where that is not all or it has none.
    share: Option<f64>,
    pub recording: Rc<Recording>,
    pub verbose: bool,
    /// What is remembered of it, and not of handles that results hold.
    kept: Rc<Kept>,
}

/// What is changed in every pass.
struct Interventions {
    edits: Edits,
    /// The same for people, a line each.
    lines: Vec<String>,
}

impl Model {
    pub(crate) fn new(resident: Rc<Resident>, recording: Recording, verbose: bool) -> Self {
        Self {
            resident,
            changed: None,
            share: None,
            recording: Rc::new(recording),
            verbose,
            kept: Rc::default(),
        }
    }

    pub(crate) fn card(&self) -> &ModelCard {
        self.resident.card()
    }

    pub(crate) fn intermediate_size(&self) -> usize {
        self.resident.intermediate_size
    }

    /// Layers of the stack whose head speaks, or of the encoder beside it.
    pub(crate) fn n_layers(&self, encoder: bool) -> usize {
        match self.resident.n_encoder_layers {
            Some(n_layers) if encoder => n_layers,
            _ => self.card().n_layers,
        }
    }

    /// The model itself, or a view on it that makes this handle's changes in every pass.
    ///
    /// # Errors
    /// When it was unloaded.
    pub(crate) fn loaded(&self) -> Result<Rc<ecco_models::Model>, ScriptError> {
        let loaded = self.resident.here()?;
        let loaded = match self.share {
            Some(share) => self.resident.at(share, &loaded)?,
            None => loaded,
        };
        Ok(match &self.changed {
            // Made anew each time: a view that is kept would keep the weights of an unloaded model in memory.
            Some(changed) => Rc::new(loaded.edited(&changed.edits)),
            None => loaded,
        })
    }

    /// A handle that makes these changes after those of this one.
    pub(crate) fn changed(&self, edits: Edits, lines: Vec<String>) -> Self {
        let (edits, lines) = match &self.changed {
            Some(before) => (
                before.edits.followed_by(&edits),
                [before.lines.clone(), lines].concat(),
            ),
            None => (edits, lines),
        };
        Self {
            changed: Some(Rc::new(Interventions { edits, lines })),
            ..self.plain()
        }
    }

    /// A handle that changes nothing.
    pub(crate) fn untouched(&self) -> Self {
        Self {
            changed: None,
            ..self.plain()
        }
    }

    /// A handle with a share of the model's adapter: 0 is the model without it, 1 as it was trained.
    ///
    /// # Errors
    /// For a model that was loaded without an adapter, or is unloaded.
    pub(crate) fn with_share(&self, share: f64) -> Result<Self, ScriptError> {
        let handle = Self {
            share: Some(share).filter(|share| *share != 1.0),
            ..self.plain()
        };
        match self.loaded()?.has_adapter() {
            true => handle.loaded().map(|_| handle),
            false => Err(ecco_models::Error::NoAdapter {
                model: self.card().name.clone(),
            }
            .into()),
        }
    }

    /// How much of its adapter the model has, where it has one.
    pub(crate) fn share(&self) -> Option<f64> {
        self.resident.adapter().map(|_| self.share.unwrap_or(1.0))
    }

    /// What is changed, a line each, its adapter first.
    pub(crate) fn changes(&self) -> Vec<String> {
        let adapter = self.resident.adapter().zip(self.share());
        let adapter = adapter.map(|(folder, share)| format!("adapter {folder:?} × {share}"));
        adapter
            .into_iter()
            .chain(self.interventions().iter().cloned())
            .collect()
    }

    /// What is changed, a line each.
    pub(crate) fn interventions(&self) -> &[String] {
        self.changed.as_ref().map_or(&[], |changed| &changed.lines)
    }

    /// Bytes that its weights take now.
    pub(crate) fn memory_bytes(&self) -> u64 {
        match self.resident.is_here() {
            true => self.card().memory_bytes,
            false => 0,
        }
    }

    /// What is shown of it: of one whose memory was given back, that it was.
    fn shown(&self) -> ModelCard {
        let card = self.card();
        let device = match self.resident.is_here() {
            true => card.device.clone(),
            false => format!("{} (set aside)", card.device),
        };
        ModelCard {
            products: (device == "cpu").then(product::said),
            device,
            memory_bytes: self.memory_bytes(),
            interventions: self.changes(),
            ..card.clone()
        }
    }

    /// Those of a model that is there: none of one whose memory was given back, which nobody wants to read again for them.
    fn sites(&self) -> Vec<ModelSite> {
        let loaded = self.resident.is_here().then(|| self.loaded().ok()).flatten();
        loaded
            .and_then(|model| sites::listed(&model).ok())
            .unwrap_or_default()
    }

    pub(crate) fn is_loaded(&self) -> bool {
        self.resident.is_loaded()
    }

    /// Frees the weights, for all handles. Results that were computed stay.
    pub(crate) fn unload(&self) {
        self.resident.unload();
    }

    /// The session's state.
    pub(crate) fn state(&self) -> Result<Rc<State>, ScriptError> {
        let gone = || ScriptError::new(ErrorKind::Internal, "the model's session has ended");
        self.resident.state().ok_or_else(gone)
    }

    /// What is remembered of it under a type.
    pub(crate) fn kept<T: Default + 'static>(&self) -> Rc<T> {
        self.kept.of()
    }

    /// A handle for an output to hold. It remembers nothing: the two must not keep each other alive.
    pub(crate) fn plain(&self) -> Self {
        Self {
            kept: Rc::default(),
            ..self.clone()
        }
    }
}

impl Show for Model {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(match self.is_loaded() {
            true => Box::new(ModelCard {
                sites: self.sites(),
                ..self.shown()
            }),
            false => Box::new(Plain(self.line())),
        })
    }

    /// Of a handle that changes nothing.
    fn place_in_memory(&self) -> Option<usize> {
        let is_plain = self.changed.is_none() && self.share.is_none();
        is_plain.then_some(Rc::as_ptr(&self.resident) as usize)
    }

    fn summary(&self) -> Option<String> {
        let view = self.is_loaded().then(|| self.view().ok())??;
        Some(view.text())
    }

    fn line(&self) -> String {
        let card = self.card();
        let state = if self.is_loaded() {
            self.shown().device
        } else {
            "unloaded".to_owned()
        };
        let adapter = match self.share {
            Some(0.0) => " without its adapter".to_owned(),
            Some(share) => format!(" with its adapter × {share}"),
            None => String::new(),
        };
        let changed = match self.interventions().len() {
            0 => String::new(),
            1 => " under 1 intervention".to_owned(),
            n => format!(" under {n} interventions"),
        };
        format!(
            "model {:?} ({}, {state}){adapter}{changed}",
            card.name, card.model_type
        )
    }
}

/// The models that are resident, as `ecco::models()` gives them.
#[derive(Clone)]
pub(crate) struct ModelList {
    pub models: Vec<Model>,
}

impl Show for ModelList {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        let models = self.models.iter().map(Model::shown).collect();
        Ok(Box::new(ResidentModels { models }))
    }

    fn live(&self) -> Option<Rc<dyn Live>> {
        Some(Rc::new(AskedModels(self.models.clone())))
    }

    fn line(&self) -> String {
        format!("{} resident models", self.models.len())
    }
}

impl IntoIterator for ModelList {
    type Item = Model;
    type IntoIter = std::vec::IntoIter<Model>;

    fn into_iter(self) -> Self::IntoIter {
        self.models.into_iter()
    }
}
