//! Models in memory: one set of weights each, which handles share, and which is set aside after a time without use.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use ecco_models::{Aside, LoadOptions};
use ecco_widgets::ModelCard;

use ecco_scripting::errors::{ErrorKind, ScriptError};
use ecco_scripting::session::{Kept, State, watched};

/// The models that are resident in a session.
#[derive(Default)]
pub(crate) struct Residents(pub RefCell<Vec<Rc<Resident>>>);

/// One set of weights in memory.
pub(crate) struct Resident {
    asked: LoadOptions,
    card: ModelCard,
    pub(super) intermediate_size: usize,
    /// Of the encoder beside a decoder.
    pub(super) n_encoder_layers: Option<usize>,
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
            products: None,
            interventions: Vec::new(),
            sites: Vec::new(),
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
    pub(super) fn adapter(&self) -> Option<&str> {
        let has_adapter = match &*self.weights.borrow() {
            Weights::Here(model) => model.has_adapter(),
            Weights::Aside(aside) => aside.has_adapter(),
            Weights::Unloaded => false,
        };
        has_adapter.then(|| self.asked.adapter.as_deref().unwrap_or(&self.card.name))
    }

    /// The model at a share of the way to the tuned one.
    pub(super) fn at(
        &self,
        share: f64,
        loaded: &ecco_models::Model,
    ) -> Result<Rc<ecco_models::Model>, ScriptError> {
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

    pub(super) fn is_loaded(&self) -> bool {
        !matches!(*self.weights.borrow(), Weights::Unloaded)
    }

    /// Whether its weights are in memory now.
    pub(super) fn is_here(&self) -> bool {
        matches!(*self.weights.borrow(), Weights::Here(_))
    }

    /// How many seconds nobody may use it before its memory is given back.
    pub(super) fn set_idle(&self, seconds: usize) {
        self.idle.set(Some(Duration::from_secs(seconds as u64)));
    }

    /// The model on its devices: one whose memory was given back comes back.
    pub(super) fn here(&self) -> Result<Rc<ecco_models::Model>, ScriptError> {
        self.last_use.set(LastUse::Now);
        let back = match &*self.weights.borrow() {
            Weights::Here(model) => return Ok(Rc::clone(model)),
            Weights::Aside(aside) => match self.state() {
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

    /// Frees the weights for good.
    pub(super) fn unload(self: &Rc<Self>) {
        self.give_back(Weights::Unloaded);
        if let Some(state) = self.state() {
            let residents = state.kept::<Residents>();
            residents
                .0
                .borrow_mut()
                .retain(|resident| !Rc::ptr_eq(resident, self));
        }
    }

    /// The session's.
    pub(super) fn state(&self) -> Option<Rc<State>> {
        self.state.upgrade()
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
pub(super) fn rest(kept: &Kept) -> Option<Duration> {
    let residents = kept.of::<Residents>();
    let residents = residents.0.borrow();
    residents.iter().filter_map(|resident| resident.rest()).min()
}
