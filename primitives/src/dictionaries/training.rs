//! `lm.fit_dictionary`: a dictionary that is trained on texts, and its files.

use std::rc::Rc;

use ecco_explain::dictionary::autoencoder::Recipe;
use ecco_explain::dictionary::training::{HeldOut, Trained, TrainingOptions, TrainingPoint, train};
use ecco_models::dictionary::Spot;
use ecco_models::dictionary::writing::{SETTINGS, WEIGHTS, sae_lens};
use ecco_scripting::result::numbers::short;
use ecco_scripting::result::saving::{Content, save_folder};
use ecco_scripting::session::watched;
use ecco_scripting::table::Table;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};
use rhai::{Array, Dynamic, INT, Map};

use super::dictionary::Dictionary;
use super::features::{loss_map, quality_map};
use crate::models::model::Model;
use crate::text::reading::beginnings;
use crate::text::run::place;

options! {
    /// What `fit_dictionary` can be told.
    pub struct FitDictionaryOptions {
        /// how many features it has
        features: Option<usize> [1..] = "8 for each number of the site",
        /// how many are active at a position, at most
        k: usize [1..] = 16,
        /// steps of the descent
        steps: usize [1..] = 1000,
        /// positions that a step reads, of all texts mixed
        batch: usize [2..] = 1024,
        /// the rate of Adam, which falls to 0 over the last fifth
        learning_rate: f64 = 0.001,
        /// at which directions it begins, and in which order positions are read
        seed: u64 = 0,
        /// the share of the texts, drawn by the seed, that it is not trained on but measured on
        held_out: f64 = 0.1,
        /// steps without being active after which a feature is dead and learns from what is left over
        dead_after: usize [1..] = 50,
        /// the first position of a text that is read
        from: Option<usize> = "1 where a special token begins the texts, else 0",
        /// tokens of a text that are read, at most
        max_length: usize [2..] = 128,
    }
}

/// How a dictionary came about.
pub(super) struct Training {
    curve: Vec<TrainingPoint>,
    n_texts: usize,
    n_positions: usize,
    held_out: Option<HeldOut>,
}

impl Training {
    /// For the dictionary's table.
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let trained = format!(
            "{} texts, {} positions, {} steps",
            self.n_texts,
            self.n_positions,
            self.curve.len()
        );
        let mut rows = vec![("trained on", trained)];
        if let Some(last) = self.curve.last() {
            rows.push(("unexplained at the end", short(last.unexplained)));
            rows.push(("dead features", short(last.dead)));
        }
        if let Some(held_out) = &self.held_out {
            rows.push(("texts held out", held_out.n_texts.to_string()));
            rows.push(("explained of them", short(held_out.quality.explained)));
            rows.push(("active at a position", short(held_out.quality.l0)));
            let recovered = held_out.loss.map(|loss| ("loss recovered", short(loss.share())));
            rows.extend(recovered);
        }
        rows
    }

    fn table(&self) -> Result<Table, ScriptError> {
        let column = |name: &str, of: &dyn Fn(&TrainingPoint) -> f64| {
            let values = self.curve.iter().map(|point| Dynamic::from_float(of(point)));
            (name.to_owned(), values.collect::<Vec<_>>())
        };
        let steps = (1..=self.curve.len()).map(|step| Dynamic::from_int(step as INT));
        Table::new(vec![
            ("step".to_owned(), steps.collect()),
            column("loss", &|point| point.loss),
            column("unexplained", &|point| point.unexplained),
            column("l0", &|point| point.l0),
            column("dead", &|point| point.dead),
        ])
    }

    fn held_out(&self) -> Option<Map> {
        let held_out = self.held_out.as_ref()?;
        let mut map = quality_map(&held_out.quality);
        map.extend(held_out.loss.as_ref().map(loss_map).unwrap_or_default());
        map.insert("n_texts".into(), Dynamic::from_int(held_out.n_texts as INT));
        Some(map)
    }
}

fn fit(
    lm: &Model,
    site: &str,
    layer: INT,
    texts: &Array,
    options: &FitDictionaryOptions,
) -> Result<Dictionary, ScriptError> {
    let (loaded, state) = (lm.loaded()?, lm.state()?);
    let layer = usize::try_from(layer).map_err(|_| {
        let message = format!("there is no layer {layer}: layers are numbered from 0");
        ScriptError::new(ErrorKind::Value, message)
    })?;
    let spot = Spot {
        place: place(lm, site)?,
        layer,
    };
    let inputs = beginnings(lm, texts, options.max_length.min(loaded.config().context_length))?;
    let firsts = inputs.iter().filter_map(|input| input.ids.first());
    let is_special = firsts.take(1).any(|id| loaded.tokenizer().is_special(*id));
    let options = TrainingOptions {
        features: options.features,
        recipe: Recipe {
            k: options.k,
            dead_after: options.dead_after,
        },
        steps: options.steps,
        batch: options.batch,
        learning_rate: options.learning_rate,
        seed: options.seed,
        held_out: options.held_out,
        from: options.from.unwrap_or(usize::from(is_special)),
    };
    let trained = watched(&state, lm.verbose, |watch| {
        train(&loaded, &inputs, spot, options, watch)
    })?;
    let Trained {
        dictionary,
        curve,
        n_texts,
        n_positions,
        held_out,
    } = trained;
    Ok(Dictionary {
        lm: lm.plain(),
        name: format!("trained on {n_texts} texts").into(),
        loaded: dictionary,
        training: Some(Rc::new(Training {
            curve,
            n_texts,
            n_positions,
            held_out,
        })),
    })
}

fn save(dictionary: &Dictionary, path: &str) -> Result<(), ScriptError> {
    if path.trim_matches('/').is_empty() {
        let error = ScriptError::new(ErrorKind::Value, "the folder's name is empty");
        return Err(error.with_hint("dictionary.save(\"dictionary\")"));
    }
    let (model, state) = (dictionary.lm.loaded()?, dictionary.lm.state()?);
    let files = sae_lens(&dictionary.loaded, &model)?;
    let tensor = |(name, array): (&'static str, ndarray::ArrayD<f32>)| {
        let axes: &[&'static str] = match name {
            "W_enc" => &["hidden", "feature"],
            "W_dec" => &["feature", "hidden"],
            "b_dec" => &["hidden"],
            _ => &["feature"],
        };
        (name, Tensor::new(array, axes))
    };
    let weights = files.weights.into_iter().map(tensor).collect();
    let files = [
        (WEIGHTS, Content::Tensors(weights)),
        (SETTINGS, Content::Json(files.settings)),
    ];
    save_folder(&state, path, &files)
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// Trains a dictionary on texts: a sparse autoencoder of what stands at a site of a layer, of which the `k` strongest
        /// features are active at a position. It is used as a loaded one. `.training` has the curves, `.held_out` what it does
        /// for texts that it has not seen, and `.save(folder)` keeps it.
        ///
        /// Example:
        /// ```rhai
        /// let texts = ecco::read("texts.txt", #{lines: true});
        /// let dictionary = lm.fit_dictionary("residual_after", 5, texts, #{features: 2048, k: 16, steps: 2000});
        /// dictionary.encode("The Eiffel Tower is in")
        /// ```
        volatile fn fit_dictionary(lm: &Model, site: &str, layer: INT, texts: Array; options: FitDictionaryOptions) -> Dictionary {
            fit(lm, site, layer, &texts, &options)
        }
    }
    members! { registry, [Dictionary];
        /// Of a dictionary that was trained here a table with a row for each step, over the positions that it read: the `loss`;
        /// the share of the variance that is `unexplained`; `l0`, active features of a position; and `dead` ones. Of one that
        /// was loaded `()`.
        ///
        /// Example:
        /// ```rhai
        /// dictionary.training.column("unexplained")
        /// ```
        get training(dictionary: &Dictionary) -> Dynamic {
            let table = dictionary.training.as_ref().map(|training| training.table()).transpose()?;
            Ok(table.map_or(Dynamic::UNIT, Dynamic::from))
        }

        /// How well a trained dictionary stands for texts that it was not trained on: a map with `explained`, `l0` and the
        /// losses that `features.loss_recovered` has; `()` where there are none.
        get held_out(dictionary: &Dictionary) -> Dynamic {
            let map = dictionary.training.as_ref().and_then(|training| training.held_out());
            Ok(map.map_or(Dynamic::UNIT, Dynamic::from_map))
        }

        /// Saves an autoencoder in the format of SAELens, as a folder in the notebook's folder or below with `cfg.json` and
        /// `sae_weights.safetensors`: `lm.dictionary(folder)` reads it.
        ///
        /// Example:
        /// ```rhai
        /// dictionary.save("my-dictionary")
        /// ```
        volatile fn save(dictionary: &Dictionary, path: &str) -> () { save(dictionary, path) }
    }
}
