//! `lm.fit_lens` and `lm.load_lens`: lenses that were fitted, and what they gain on the logit lens.

use std::rc::Rc;

use ecco_explain::lens::{
    JacobianOptions, LensComparison, LensFit, TunedOptions, compare, direction, jacobian, maps, sizes, tuned,
};
use ecco_models::Rule;
use ecco_models::lens::{FittedLens as Loaded, LensMethod, reading::open};
use ecco_scripting::options::{Choice, OptionKind, OptionValue, Word};
use ecco_scripting::result::{Explanation, Show, show};
use ecco_scripting::session::watched;
use ecco_scripting::table::Table;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};
use ecco_widgets::Explorable;
use ecco_widgets::depths::FittedLensName;
use ndarray::{Array1, ArrayD};
use rhai::{Array, Dynamic, INT};

use crate::models::model::Model;
use crate::text::reading::beginnings;
use crate::text::token::token;

options! {
    /// What `fit_lens` can be told.
    pub struct FitOptions {
        /// tokens of a text that are read, at most
        max_length: usize [2..] = 128,
        /// Jacobian, relevance: positions at the beginning of each text that are left out
        skip: usize = 16,
        /// tuned: steps of the descent
        steps: usize = 250,
        /// tuned: tokens that a step reads, in whole texts
        step_tokens: usize [1..] = 1024,
        /// tuned: the rate at the beginning, which falls to 0
        learning_rate: f64 = 1.0,
        /// tuned: in which order texts are read
        seed: u64 = 0,
    }
}

options! {
    /// What `load_lens` can be told.
    pub struct LoadLensOptions {
        /// branch, tag or commit of a repository on the hub
        revision: Option<String> = "\"main\"",
    }
}

/// A lens that was fitted for a model. Clones share it.
#[derive(Clone)]
pub(crate) struct FittedLens {
    lm: Model,
    pub loaded: Rc<Loaded>,
}

impl std::fmt::Debug for FittedLens {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&self.line())
    }
}

impl OptionValue for FittedLens {
    const KIND: OptionKind = OptionKind::Any("a lens as lm.fit_lens or lm.load_lens gives it");

    fn of(value: &Dynamic) -> Option<Self> {
        value.read_lock::<Self>().map(|lens| lens.clone())
    }
}

impl FittedLens {
    fn fit(lm: &Model, method: &str, texts: &Array, options: &FitOptions) -> Result<Self, ScriptError> {
        let Some(Choice(method)) = Choice::<LensMethod>::of(&method.into()) else {
            let message = format!("there is no lens {method:?} to fit");
            return Err(ScriptError::new(ErrorKind::Value, message)
                .with_hint("there are \"jacobian\", \"relevance\" and \"tuned\""));
        };
        let (loaded, state) = (lm.loaded()?, lm.state()?);
        let max_length = options.max_length.min(loaded.config().context_length);
        let inputs = beginnings(lm, texts, max_length)?;
        let of_jacobian = JacobianOptions {
            skip: options.skip,
            max_length,
            rule: match method {
                LensMethod::Relevance => Rule::Frozen,
                _ => Rule::Gradient,
            },
        };
        let of_tuned = TunedOptions {
            steps: options.steps,
            step_tokens: options.step_tokens,
            learning_rate: options.learning_rate,
            seed: options.seed,
            max_length,
        };
        let fitted = watched(&state, lm.verbose, |watch| match method {
            LensMethod::Jacobian | LensMethod::Relevance => jacobian(&loaded, &inputs, of_jacobian, watch),
            LensMethod::Tuned => tuned(&loaded, &inputs, of_tuned, watch),
        })?;
        Ok(Self::new(lm, fitted))
    }

    fn new(lm: &Model, fitted: Loaded) -> Self {
        Self {
            lm: lm.plain(),
            loaded: Rc::new(fitted),
        }
    }

    fn open(lm: &Model, path: &str, options: &LoadLensOptions) -> Result<Self, ScriptError> {
        if path.trim().is_empty() {
            let error = ScriptError::new(ErrorKind::Value, "the lens's name is empty");
            return Err(error.with_hint("a file, a folder, or owner/name/path of a file on the hub"));
        }
        let (model, state) = (lm.loaded()?, lm.state()?);
        let revision = options.revision.as_deref();
        let fitted = watched(&state, lm.verbose, |watch| open(path, revision, &model, watch))?;
        Ok(Self::new(lm, fitted))
    }

    /// For views.
    pub(crate) fn name(&self) -> FittedLensName {
        match self.loaded.method {
            LensMethod::Jacobian => FittedLensName::Jacobian,
            LensMethod::Relevance => FittedLensName::Relevance,
            LensMethod::Tuned => FittedLensName::Tuned,
        }
    }

    /// Names of its layers, as those of a lens are called.
    fn layers(&self) -> Vec<String> {
        let name = |depth: usize| {
            depth
                .checked_sub(1)
                .map_or("embedding".to_owned(), |layer| layer.to_string())
        };
        let depths = self.loaded.translators.iter();
        depths.map(|translator| name(translator.depth)).collect()
    }

    /// Length of each map, and of what it changes, over that of the identity.
    fn table(&self) -> Result<Table, ScriptError> {
        let found = sizes(&self.loaded)?;
        let column = |at: usize| found.iter().map(|sizes| Dynamic::from_float(sizes[at])).collect();
        Table::new(vec![
            (
                "layer".into(),
                self.layers().into_iter().map(Dynamic::from).collect(),
            ),
            ("size".into(), column(0)),
            ("change".into(), column(1)),
        ])
    }

    fn compare(&self, texts: &Array) -> Result<Table, ScriptError> {
        let (model, state) = (self.lm.loaded()?, self.lm.state()?);
        let inputs = beginnings(&self.lm, texts, model.config().context_length)?;
        let found = watched(&state, self.lm.verbose, |watch| {
            compare(&model, &self.loaded, &inputs, watch)
        })?;
        let n_layers = model.config().n_layers;
        let layer = |row: &LensComparison| match row.depth {
            0 => "embedding".into(),
            depth if depth == n_layers => "output".into(),
            depth => Dynamic::from((depth - 1).to_string()),
        };
        let column = |name: &str, of: &dyn Fn(&LensComparison) -> f64| {
            let values = found.iter().map(|row| Dynamic::from_float(of(row)));
            (name.to_owned(), values.collect::<Vec<_>>())
        };
        let numbers: [(&str, FitNumber); 3] = [
            ("agreement", |fit| fit.agreement),
            ("divergence", |fit| fit.divergence),
            ("entropy", |fit| fit.entropy),
        ];
        let mut columns = vec![("layer".to_owned(), found.iter().map(layer).collect())];
        for (name, of) in numbers {
            columns.push(column(name, &|row| of(&row.fitted)));
            columns.push(column(&format!("plain_{name}"), &|row| of(&row.plain)));
        }
        Table::new(columns)
    }

    /// What stands in the stream after a layer where the last one says a token: W_U[token] M. With the token for people.
    pub(crate) fn direction(&self, layer: INT, word: &Word) -> Result<(ArrayD<f32>, String), ScriptError> {
        let model = self.lm.loaded()?;
        let token = token(word, &model, "token")?;
        let depth = usize::try_from(layer).ok().and_then(|layer| layer.checked_add(1));
        let depth = depth
            .filter(|depth| self.loaded.at(*depth).is_some())
            .ok_or_else(|| {
                let message = format!("the lens has no map for layer {layer}");
                let has = self.layers().join(", ");
                ScriptError::new(ErrorKind::Index, message).with_hint(format!("it has {has}"))
            })?;
        let array = direction(&model, &self.loaded, depth, token.id)?;
        Ok((array, format!("{:?}", token.text)))
    }
}

/// A number of what a lens says after a layer.
type FitNumber = fn(&LensFit) -> f64;

impl Show for FittedLens {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.table()?.shown()))
    }

    fn line(&self) -> String {
        let loaded = &self.loaded;
        let texts = loaded
            .n_texts
            .map_or(String::new(), |n| format!(", fitted on {n} texts"));
        format!(
            "{} lens of {} layers{texts}",
            loaded.method.name(),
            loaded.translators.len()
        )
    }

    fn place_in_memory(&self) -> Option<usize> {
        Some(Rc::as_ptr(&self.loaded) as usize)
    }
}

impl Explanation for FittedLens {
    /// What `lm.load_lens` reads.
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let (matrices, biases) = maps(&self.loaded)?;
        let depths = self
            .loaded
            .translators
            .iter()
            .map(|translator| translator.depth as f32);
        let depths = Array1::from_iter(depths).into_dyn();
        let mut tensors = vec![
            ("matrices", Tensor::new(matrices, &["layer", "output", "hidden"])),
            ("depths", Tensor::new(depths, &["layer"])),
        ];
        if self.loaded.method == LensMethod::Relevance {
            tensors.push((
                "relevance",
                Tensor::new(ArrayD::from_elem(vec![1], 1.0), &["lens"]),
            ));
        }
        tensors.extend(biases.map(|biases| ("biases", Tensor::new(biases, &["layer", "hidden"]))));
        Ok(tensors)
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        (axis == "layer").then(|| self.layers())
    }
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// Fits a lens on texts: of each layer a map from its residual stream to what the last layer's would be. `"jacobian"`
        /// takes the mean derivative of the one by the other, `"relevance"` the same with attention patterns, deviations of
        /// norms and gates held, so that the pass is linear; `"tuned"` descends until the head says of each layer what it says
        /// at the end. `lens`, `layer_predictions` and `rankings` take it; saved as `.safetensors` it can be loaded again.
        ///
        /// Example:
        /// ```rhai
        /// let fitted = lm.fit_lens("jacobian", texts);
        /// output.lens(#{lens: fitted})
        /// ```
        volatile fn fit_lens(lm: &Model, method: &str, texts: Array; options: FitOptions) -> FittedLens {
            FittedLens::fit(lm, method, &texts, &options)
        }

        /// Loads a fitted lens for the model: what `save` wrote, a published Jacobian lens (`…_jacobian_lens.pt`) or tuned lens
        /// (a folder with `params.pt`), or such a file of a repository on the hub, `owner/name/path`; `"demo"` is the demo model's
        /// tuned lens, inside the kernel.
        ///
        /// Example:
        /// ```rhai
        /// lm.load_lens("lens.safetensors").compare(texts)
        /// ```
        volatile fn load_lens(lm: &Model, path: &str; options: LoadLensOptions) -> FittedLens {
            FittedLens::open(lm, path, &options)
        }
    }
    members! { registry, [FittedLens];
        /// `jacobian`, `relevance` or `tuned`.
        get method(lens: &FittedLens) -> String { Ok(lens.loaded.method.name().to_owned()) }

        /// The maps: a tensor (layer, output, hidden). What it does to the stream of a layer x is M x, and b where it has one.
        get matrices(lens: &FittedLens) -> Tensor { Ok(lens.tensors()?.swap_remove(0).1) }

        /// What the lens says beside the logit lens, at every position of texts: a table with a row for each layer. `agreement` is the
        /// share of positions whose most probable token is the last layer's, `divergence` that of the output from it,
        /// `entropy` its own, both in nats; `plain_…` are the logit lens's.
        ///
        /// Example:
        /// ```rhai
        /// lm.fit_lens("tuned", texts, #{steps: 100}).compare(others)
        /// ```
        volatile fn compare(lens: &FittedLens, texts: Array) -> Table { lens.compare(&texts) }

        /// A token's direction in the stream after a layer: a tensor (hidden), the token's row of the head's weights times the
        /// map. It can be added to the stream.
        ///
        /// Example:
        /// ```rhai
        /// let to = fitted.direction(2, " good");
        /// lm.intervene(#{add: [#{layer: 2, vector: to, factor: 2.0}]})
        /// ```
        volatile fn direction(lens: &FittedLens, layer: INT, token: Dynamic) -> Tensor {
            match Word::of(&token) {
                Some(word) => Ok(Tensor::new(lens.direction(layer, &word)?.0, &["hidden"])),
                None => show::expected("a token: its text or its number", &token),
            }
        }
    }
}
