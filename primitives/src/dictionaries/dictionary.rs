//! `lm.dictionary`: a sparse autoencoder or transcoder in one of the published formats, and its features by their weights.

use std::rc::Rc;

use ecco_explain::dictionary::{FeatureWeights, described, writes_to_stream};
use ecco_models::dictionary::reading::{DictionaryOptions, open};
use ecco_models::dictionary::set::open_set;
use ecco_models::dictionary::{ActivationRule, Dictionary as Loaded, Preparation, Spot};
use ecco_scripting::options::{OptionKind, OptionValue};
use ecco_scripting::result::numbers::short;
use ecco_scripting::result::{Show, show};
use ecco_scripting::session::watched;
use ecco_scripting::table::Table;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};
use ecco_widgets::Explorable;
use rhai::{Array, Dynamic, INT, Map};

use super::training::Training;
use crate::circuits::vocabulary::{Vocabulary, VocabularyOptions};
use crate::models::model::Model;
use crate::text::passage::Passage;
use crate::text::reading;
use crate::text::run::place;

options! {
    /// What `dictionary` and `dictionaries` can be told.
    pub struct FilesOptions {
        /// the place that it reads: one of lm.sites()
        site: Option<String> = "what its files say",
        /// the place that it writes, where it is another one
        writes: Option<String> = "what its files say",
        /// how many features are active at a position, of a top-k dictionary
        k: Option<usize> [1..] = "what its files say",
        /// branch, tag or commit of a repository on the hub
        revision: Option<String> = "\"main\"",
    }
}

options! {
    /// What `dictionary` can be told.
    pub struct OpenOptions {
        ..of_files: FilesOptions,
        /// its layer
        layer: Option<usize> = "what its files say",
    }
}

options! {
    /// What `dictionaries` can be told.
    pub struct SetOptions {
        ..of_files: FilesOptions,
        /// whose dictionaries are loaded
        layers: Option<Vec<usize>> = "all layers",
    }
}

/// Features that are named at once, at most.
const MOST_NAMED: usize = 1000;

/// A dictionary for a model. Clones share it.
#[derive(Clone)]
pub(crate) struct Dictionary {
    pub(super) lm: Model,
    pub(super) name: Rc<str>,
    pub loaded: Rc<Loaded>,
    /// Of one that was trained here.
    pub(super) training: Option<Rc<Training>>,
}

/// Several of them.
#[derive(Debug, Clone)]
pub(crate) struct Dictionaries(pub Vec<Rc<Loaded>>);

impl OptionValue for Dictionaries {
    const KIND: OptionKind = OptionKind::Any("a dictionary as lm.dictionary loads it, or an array of them");

    fn of(value: &Dynamic) -> Option<Self> {
        let one = |value: &Dynamic| Some(Rc::clone(&value.read_lock::<Dictionary>()?.loaded));
        let all = match value.as_array_ref() {
            Ok(array) => array.iter().map(one).collect(),
            Err(_) => one(value).map(|one| vec![one]),
        };
        all.map(Self)
    }
}

impl Dictionary {
    fn open(lm: &Model, name: &str, options: OpenOptions) -> Result<Self, ScriptError> {
        let asked = DictionaryOptions {
            layer: options.layer,
            ..asked(lm, name, options.of_files)?
        };
        let (model, state) = (lm.loaded()?, lm.state()?);
        let loaded = watched(&state, lm.verbose, |watch| open(name, &model, &asked, watch))?;
        Ok(Self::of(lm, name, Rc::new(loaded)))
    }

    /// One for each layer.
    fn open_set(lm: &Model, name: &str, options: SetOptions) -> Result<Array, ScriptError> {
        let asked = asked(lm, name, options.of_files)?;
        let (model, state) = (lm.loaded()?, lm.state()?);
        let layers = options.layers.as_deref();
        let all = watched(&state, lm.verbose, |watch| {
            open_set(name, &model, (&asked, layers), watch)
        })?;
        let one = |loaded| Dynamic::from(Self::of(lm, name, loaded));
        Ok(all.into_iter().map(one).collect())
    }

    fn of(lm: &Model, name: &str, loaded: Rc<Loaded>) -> Self {
        Self {
            lm: lm.plain(),
            name: name.into(),
            loaded,
            training: None,
        }
    }

    /// An output, a run, or a text that the dictionary's model has not read yet.
    pub(super) fn passage(&self, value: &Dynamic) -> Result<Passage, ScriptError> {
        if let Some(passage) = Passage::of(value)? {
            return Ok(passage);
        }
        match value.as_immutable_string_ref() {
            Ok(text) => Passage::of_text(&self.lm, reading::input(&self.lm, text.as_str().into(), None)?),
            Err(_) => show::expected("an output, a run or a text", value),
        }
    }

    /// The numbers of features that are named.
    pub(super) fn numbers(&self, named: &Dynamic) -> Result<Vec<usize>, ScriptError> {
        let one = |value: &Dynamic| {
            value
                .as_int()
                .ok()
                .and_then(|number| usize::try_from(number).ok())
        };
        let found = match named.as_array_ref() {
            Ok(array) if array.len() > MOST_NAMED => {
                let message = format!("{} features are named: at most {MOST_NAMED} at once", array.len());
                return Err(ScriptError::new(ErrorKind::Value, message));
            }
            Ok(array) => array.iter().map(one).collect::<Option<Vec<usize>>>(),
            Err(_) => one(named).map(|number| vec![number]),
        };
        found.map_or_else(
            || show::expected("a feature's number, or an array of them", named),
            Ok,
        )
    }

    fn weights(&self, feature: usize) -> Result<FeatureWeights, ScriptError> {
        Ok(described(&self.loaded, feature)?)
    }

    /// What features write, in the vocabulary.
    fn vocabulary(&self, features: &[usize], options: &VocabularyOptions) -> Result<Vocabulary, ScriptError> {
        if !writes_to_stream(&self.loaded) {
            let place = self.loaded.writes.place.name();
            let message = format!("what is written at {place} is not added to the residual stream as it is");
            return Err(ScriptError::new(ErrorKind::Value, message)
                .with_hint("dictionary.feature(i).writes has it, as numbers"));
        }
        let directions = features
            .iter()
            .map(|&feature| Ok(self.weights(feature)?.writes_in_all().to_vec()));
        let directions = directions.collect::<Result<Vec<_>, ScriptError>>()?;
        let labels = features
            .iter()
            .map(|feature| format!("feature {feature}"))
            .collect();
        let about = format!("features of {:?}", &*self.name);
        Vocabulary::of_directions(&self.lm, directions, (about, labels), options)
    }

    fn feature(&self, feature: usize, options: &VocabularyOptions) -> Result<Map, ScriptError> {
        let weights = self.weights(feature)?;
        let vector = |values: &ndarray::Array1<f32>, axis| {
            Dynamic::from(Tensor::new(values.clone().into_dyn(), &[axis]))
        };
        let length = |values: &[f32]| {
            let squares = values.iter().map(|x| f64::from(*x).powi(2));
            Dynamic::from_float(squares.sum::<f64>().sqrt())
        };
        let all = weights.writes_in_all();
        let writes = match self.loaded.layers().len() {
            1 => vector(&all, "hidden"),
            _ => Dynamic::from(Tensor::new(weights.writes.into_dyn(), &["layer", "hidden"])),
        };
        let mut map = Map::from([
            ("feature".into(), Dynamic::from_int(feature as INT)),
            ("bias".into(), Dynamic::from_float(weights.bias)),
            (
                "threshold".into(),
                weights.threshold.map_or(Dynamic::UNIT, Dynamic::from_float),
            ),
            ("norm".into(), length(&all.to_vec())),
            ("reading_norm".into(), length(&weights.reads.to_vec())),
            ("writes".into(), writes),
            ("reads".into(), vector(&weights.reads, "hidden")),
        ]);
        if writes_to_stream(&self.loaded) {
            let spoken = self.vocabulary(&[feature], options)?;
            let first = |words: rhai::Array| words.into_iter().next().unwrap_or_default();
            map.insert("promotes".into(), first(spoken.promoted()));
            map.insert("suppresses".into(), first(spoken.suppressed()));
        }
        Ok(map)
    }

    /// `mlp_output of layer 1`, and of how many.
    fn writes(&self) -> String {
        let loaded = &self.loaded;
        match loaded.layers().end - 1 {
            last if last > loaded.writes.layer => format!(
                "{} of layers {} to {last}",
                loaded.writes.place.name(),
                loaded.writes.layer
            ),
            _ => spot(loaded.writes),
        }
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let loaded = &self.loaded;
        let rule = match loaded.rule {
            ActivationRule::Relu => "ReLU".to_owned(),
            ActivationRule::JumpRelu => "JumpReLU".into(),
            ActivationRule::TopK(k) => format!("the {k} largest of a position"),
            ActivationRule::Gated => "gated".into(),
        };
        let preparation = match loaded.preparation {
            Preparation::Plain => "as it stands",
            Preparation::LayerNorm => "less its mean, over its deviation; undone in what is written",
            Preparation::ConstantNorm => "brought to one length; undone in what is written",
            Preparation::BeforeGain { .. } => "as the norm before the MLP has it, before its gain",
        };
        vec![
            ("format", loaded.format.to_owned()),
            ("features", loaded.n_features().to_string()),
            ("reads", spot(loaded.reads)),
            ("input", preparation.into()),
            ("writes", self.writes()),
            ("activation", rule),
            ("memory", format!("{} MB", short(loaded.n_bytes() as f64 / 1e6))),
        ]
        .into_iter()
        .chain(self.training.iter().flat_map(|training| training.rows()))
        .collect()
    }
}

/// What of the options is said to what reads the files.
fn asked(lm: &Model, name: &str, options: FilesOptions) -> Result<DictionaryOptions, ScriptError> {
    if name.trim().is_empty() {
        let error = ScriptError::new(ErrorKind::Value, "the dictionary's name is empty");
        return Err(error.with_hint("a folder, a file, or owner/name/folder of a repository on the hub"));
    }
    let named = |name: &Option<String>, option: &'static str| {
        let found = name.as_ref().map(|name| place(lm, name));
        found.transpose().map_err(|error| error.pointing_at(option))
    };
    Ok(DictionaryOptions {
        site: named(&options.site, "site")?,
        writes: named(&options.writes, "writes")?,
        layer: None,
        k: options.k,
        revision: options.revision,
    })
}

/// `residual_after of layer 1`
fn spot(spot: Spot) -> String {
    format!("{} of layer {}", spot.place.name(), spot.layer)
}

impl Show for Dictionary {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        let (names, values) = self.rows().into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
        let table = Table::new(vec![
            (
                "dictionary".into(),
                names.into_iter().map(Dynamic::from).collect(),
            ),
            (
                self.name.to_string(),
                values.into_iter().map(Dynamic::from).collect(),
            ),
        ])?;
        Ok(Box::new(table.shown()))
    }

    fn line(&self) -> String {
        let loaded = &self.loaded;
        let kind = if loaded.is_transcoder() {
            "transcoder"
        } else {
            "dictionary"
        };
        let writes = match loaded.is_transcoder() {
            true if loaded.layers().len() > 1 => format!(", writes {}", self.writes()),
            true => format!(", writes {}", loaded.writes.place.name()),
            false => String::new(),
        };
        format!(
            "{kind} {:?} ({}): {} features, reads {}{writes}",
            &*self.name,
            loaded.format,
            loaded.n_features(),
            spot(loaded.reads)
        )
    }

    fn place_in_memory(&self) -> Option<usize> {
        Some(Rc::as_ptr(&self.loaded) as usize)
    }
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// Loads a dictionary for the model, a sparse autoencoder or a transcoder, in the formats of SAELens, Gemma Scope,
        /// Llama Scope, Qwen Scope, sparsify, OpenAI, dictionary_learning and circuit-tracer: from its folder, from a file, or
        /// from a repository on the hub, `owner/name/folder`. The files say which format it is, and mostly where it reads;
        /// where they do not, `site` and `layer` do. `lm.intervene` takes it with `features`.
        ///
        /// Example:
        /// ```rhai
        /// let dictionary = lm.dictionary("google/gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71");
        /// dictionary.encode("The Eiffel Tower is in")
        /// ```
        volatile fn dictionary(lm: &Model, path: &str; options: OpenOptions) -> Dictionary {
            Dictionary::open(lm, path, options)
        }

        /// Loads what a folder, or a repository on the hub, has for each layer: transcoders in the format of circuit-tracer
        /// (`layer_N.safetensors`), or a cross-layer transcoder (`W_enc_N.safetensors`, `W_dec_N.safetensors`), whose features
        /// write in all later layers. A dictionary for each layer comes, lowest first; `output.circuit` takes them together.
        ///
        /// Example:
        /// ```rhai
        /// let transcoders = lm.dictionaries("mntss/clt-gemma-2-2b-426k");
        /// output.circuit(#{nodes: "features", dictionary: transcoders})
        /// ```
        volatile fn dictionaries(lm: &Model, path: &str; options: SetOptions) -> Array {
            Dictionary::open_set(lm, path, options)
        }
    }
    members! { registry, [Dictionary];
        /// How many features it has.
        get n_features(dictionary: &Dictionary) -> INT { Ok(dictionary.loaded.n_features() as INT) }

        /// The published format of its files.
        get format(dictionary: &Dictionary) -> String { Ok(dictionary.loaded.format.to_owned()) }

        /// The site and layer that it reads: `residual_after of layer 3`.
        get reads(dictionary: &Dictionary) -> String { Ok(spot(dictionary.loaded.reads)) }

        /// The site and layer that it writes; a transcoder's is another than it reads, and a cross-layer transcoder's features
        /// write in all later layers, too.
        get writes(dictionary: &Dictionary) -> String { Ok(dictionary.writes()) }

        /// A feature by its weights: `norm` and `writes`, what it writes for each unit of its activation (of a cross-layer
        /// transcoder by layer, from its own on; `norm` is of their sum); `reads` and
        /// `reading_norm`, what it is read along; `bias`, and `threshold` where it has one; `promotes` and `suppresses`, its
        /// tokens by `lm.vocabulary_of`, where it writes to the residual stream.
        ///
        /// Example:
        /// ```rhai
        /// dictionary.feature(41, #{top: 5}).promotes
        /// ```
        volatile fn feature(dictionary: &Dictionary, feature: INT; options: VocabularyOptions) -> Map {
            let feature = dictionary.numbers(&Dynamic::from_int(feature))?;
            dictionary.feature(feature[0], &options)
        }

        /// What features promote and suppress, a row each.
        ///
        /// Example:
        /// ```rhai
        /// dictionary.vocabulary_of([41, 38], #{top: 5})
        /// ```
        volatile fn vocabulary_of(dictionary: &Dictionary, features: Dynamic; options: VocabularyOptions) -> Vocabulary {
            dictionary.vocabulary(&dictionary.numbers(&features)?, &options)
        }

        fn to_string(dictionary: &Dictionary) -> String { Ok(dictionary.line()) }

        fn to_debug(dictionary: &Dictionary) -> String { Ok(dictionary.line()) }
    }
}
