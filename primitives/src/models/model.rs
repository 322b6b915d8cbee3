//! A loaded model as scripts hold it, and the models that are resident.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use ecco_models::{Aside, Edits, LoadOptions};
use ecco_widgets::Explorable;
use ecco_widgets::{ModelCard, ResidentModels};

use ecco_scripting::errors::{ErrorKind, ScriptError};
use ecco_scripting::result::Show;
use ecco_scripting::result::rich::Plain;
use ecco_scripting::session::{Kept, State, watched};

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

/// The models that are resident in a session.
#[derive(Default)]
pub(crate) struct Residents(pub RefCell<Vec<Rc<Resident>>>);

/// One set of weights in memory.
pub(crate) struct Resident {
    asked: LoadOptions,
    card: ModelCard,
    intermediate_size: usize,
    /// Of the encoder beside a decoder.
    n_encoder_layers: Option<usize>,
    weights: RefCell<Weights>,
    /// How long nobody may use it before its memory is given back.
    idle: Cell<Option<Duration>>,
    last_use: Cell<LastUse>,
    /// Views with other shares of its adapter, the last that were asked for.
    adapted: RefCell<Vec<(f64, Rc<ecco_models::Model>)>>,
    state: Weak<State>,
}

/// Where a model's weights are.
enum Weights {
    /// On its devices.
    Here(Rc<ecco_models::Model>),
    /// Given back after a time without use, until it is used again.
    Aside(Aside),
    /// Freed for good.
    Unloaded,
}

/// When a model was last used.
#[derive(Clone, Copy)]
enum LastUse {
    /// By the cell that runs, or ran since somebody looked.
    Now,
    At(Instant),
}

/// Views that are kept: two can be compared without making them anew each time.
const KEPT_VIEWS: usize = 2;

impl Resident {
    pub(crate) fn new(model: ecco_models::Model, asked: LoadOptions, state: &Rc<State>) -> Self {
        let config = model.config();
        let card = ModelCard {
            name: model.name().to_owned(),
            model_type: config.model_type.clone(),
            n_layers: config.n_layers,
            hidden_size: config.hidden_size,
            n_heads: config.n_heads,
            vocab_size: config.vocab_size,
            context_length: config.context_length,
            n_parameters: model.n_parameters(),
            device: model.device(),
            dtype: model.dtype(),
            memory_bytes: model.memory_bytes(),
            interventions: Vec::new(),
        };
        let intermediate_size = config.intermediate_size;
        let n_encoder_layers = config.encoder.as_ref().map(|encoder| encoder.n_layers);
        Self {
            asked,
            card,
            intermediate_size,
            n_encoder_layers,
            weights: RefCell::new(Weights::Here(Rc::new(model))),
            idle: Cell::new(None),
            last_use: Cell::new(LastUse::Now),
            adapted: RefCell::default(),
            state: Rc::downgrade(state),
        }
    }

    /// The folder of its adapter, as it was asked for.
    fn adapter(&self) -> Option<&str> {
        let has_adapter = match &*self.weights.borrow() {
            Weights::Here(model) => model.has_adapter(),
            Weights::Aside(aside) => aside.has_adapter(),
            Weights::Unloaded => false,
        };
        has_adapter.then(|| self.asked.adapter.as_deref().unwrap_or(&self.card.name))
    }

    /// The model at a share of the way to the tuned one.
    fn at(&self, share: f64, loaded: &ecco_models::Model) -> Result<Rc<ecco_models::Model>, ScriptError> {
        let mut views = self.adapted.borrow_mut();
        if let Some((_, view)) = views.iter().find(|(of, _)| *of == share) {
            return Ok(Rc::clone(view));
        }
        let view = Rc::new(loaded.adapted(share)?);
        if views.len() == KEPT_VIEWS {
            views.remove(0);
        }
        views.push((share, Rc::clone(&view)));
        Ok(view)
    }

    /// Whether asking for `name` with these options means this one.
    pub(crate) fn serves(&self, name: &str, options: &LoadOptions) -> bool {
        let same = |now: &Option<String>, then: &Option<String>, actual: &str| {
            now == then || now.as_deref() == Some(actual)
        };
        self.card.name == name
            && self.is_loaded()
            && options.revision == self.asked.revision
            && options.adapter == self.asked.adapter
            && same(&options.device, &self.asked.device, &self.card.device)
            && same(&options.dtype, &self.asked.dtype, &self.card.dtype)
    }

    pub(crate) fn card(&self) -> &ModelCard {
        &self.card
    }

    fn is_loaded(&self) -> bool {
        !matches!(*self.weights.borrow(), Weights::Unloaded)
    }

    /// Whether its weights are in memory now.
    pub(crate) fn is_here(&self) -> bool {
        matches!(*self.weights.borrow(), Weights::Here(_))
    }

    /// How many seconds nobody may use it before its memory is given back.
    pub(crate) fn set_idle(&self, seconds: usize) {
        self.idle.set(Some(Duration::from_secs(seconds as u64)));
    }

    /// The model on its devices: one whose memory was given back comes back.
    fn here(&self) -> Result<Rc<ecco_models::Model>, ScriptError> {
        self.last_use.set(LastUse::Now);
        let back = match &*self.weights.borrow() {
            Weights::Here(model) => return Ok(Rc::clone(model)),
            Weights::Aside(aside) => match self.state.upgrade() {
                Some(state) => watched(&state, true, |watch| aside.back(watch))?,
                None => aside.back(&mut ecco_interpreter::unwatched)?,
            },
            Weights::Unloaded => {
                let name = &self.card.name;
                let error = ScriptError::new(ErrorKind::Value, format!("the model {name:?} was unloaded"));
                return Err(error.with_hint(format!("load it again: ecco::from_pretrained({name:?})")));
            }
        };
        let back = Rc::new(back);
        self.weights.replace(Weights::Here(Rc::clone(&back)));
        Ok(back)
    }

    /// Drops its tensors and those of its views.
    fn give_back(&self, left: Weights) {
        self.weights.replace(left);
        self.adapted.borrow_mut().clear();
        ecco_models::gpu::give_back();
    }

    /// Gives its memory back if nobody has used it for so long; otherwise, in how long that may be.
    fn rest(&self) -> Option<Duration> {
        let idle = self.idle.get()?;
        let aside = match &*self.weights.borrow() {
            Weights::Here(model) => model.aside(),
            _ => return None,
        };
        let since = match self.last_use.get() {
            LastUse::At(since) => since,
            // The cell has ended by now.
            LastUse::Now => Instant::now(),
        };
        self.last_use.set(LastUse::At(since));
        let left = idle.saturating_sub(since.elapsed());
        if left.is_zero() {
            self.give_back(Weights::Aside(aside));
            return None;
        }
        Some(left)
    }
}

/// Between cells: gives back the memory of models that nobody has used for the time that they were loaded with.
pub(super) fn rest(state: &State) -> Option<Duration> {
    let residents = state.kept::<Residents>();
    let residents = residents.0.borrow();
    residents.iter().filter_map(|resident| resident.rest()).min()
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
        &self.resident.card
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
            device,
            memory_bytes: self.memory_bytes(),
            interventions: self.changes(),
            ..card.clone()
        }
    }

    pub(crate) fn is_loaded(&self) -> bool {
        self.resident.is_loaded()
    }

    /// Frees the weights, for all handles. Results that were computed stay.
    pub(crate) fn unload(&self) {
        self.resident.give_back(Weights::Unloaded);
        if let Some(state) = self.resident.state.upgrade() {
            let residents = state.kept::<Residents>();
            residents
                .0
                .borrow_mut()
                .retain(|resident| !Rc::ptr_eq(resident, &self.resident));
        }
    }

    /// The session's state.
    pub(crate) fn state(&self) -> Result<Rc<State>, ScriptError> {
        let gone = || ScriptError::new(ErrorKind::Internal, "the model's session has ended");
        self.resident.state.upgrade().ok_or_else(gone)
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
            true => Box::new(self.shown()),
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
