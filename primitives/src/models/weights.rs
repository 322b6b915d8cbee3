//! A model's weights: `lm.weights`, `lm.weight`.

use ecco_explain::vocabulary::parts::{Part, PartAt, has, part};
use ecco_interpreter::named;
use ecco_models::WeightCard;
use ecco_models::host;
use ecco_scripting::errors::nearest;
use ecco_scripting::options::Choice;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::tensor::work::Work;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};
use rhai::{Array, Dynamic, INT, Map};

use super::model::Model;

named! {
    /// How weights are listed.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub(super) enum By {
        #[default]
        File = "file",
        Part = "part",
    }
}

options! {
    /// What `weights` can be told.
    pub struct WeightsOptions {
        /// "file": what the model's files have; "part": W_E, W_Q of layer 0, and so on, with heads apart
        by: Choice<By> = Choice(By::File),
    }
}

options! {
    /// What `weight` can be told, of a part.
    pub struct WeightOptions {
        /// of this layer, counted from 0
        layer: Option<usize> = "none",
        /// of this head alone; of keys and values those that it reads
        head: Option<usize> = "all heads",
        /// with norms and biases folded in and means taken away, as TransformerLens does it
        folded: bool = false,
    }
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// The weights in the model's files, ordered by their names, as maps: `name` (as the file has it), `role` (the same in every family of
        /// models; `()` for what is not used), `shape`, `dtype`, `file`. By part, maps with `name`, `layer` and `axes`, as
        /// `weight` takes them.
        ///
        /// Example:
        /// ```rhai
        /// lm.weights().filter(|w| w.name.contains("mlp")).map(|w| w.name)
        /// lm.weights(#{by: "part"}).filter(|w| w.layer == 0)
        /// ```
        fn weights(lm: &Model; options: WeightsOptions) -> Array {
            match options.by.0 {
                By::File => Ok(cards(lm)?.iter().map(|card| Dynamic::from_map(map(card))).collect()),
                By::Part => parts(lm),
            }
        }

        /// The numbers of a weight, by its name in the file or its role: as they are stored, without an adapter or what
        /// `intervene` changes. Of a quantized weight the numbers that it stands for.
        ///
        /// Or of a part of a decoder, by the names and in the shapes of TransformerLens: `W_E`, `W_pos`, `W_Q`, `W_K`, `W_V`, `W_O`, `W_in`,
        /// `W_gate`, `W_out`, `W_U`, and `b_Q` for a bias; as the model computes with it. Folded, norms' weights and biases
        /// are in what reads behind them, values' biases in the output's, and nothing that reads or writes has a mean where all norms
        /// take it away: with norms that only divide by the deviation the model says the same.
        ///
        /// Example:
        /// ```rhai
        /// lm.weight(lm.weights()[0].name).shape
        /// let q = lm.weight("W_Q", #{layer: 0, head: 1, folded: true});
        /// let k = lm.weight("W_K", #{layer: 0, head: 1, folded: true});
        /// q.matmul(k.transpose()).svd().s
        /// ```
        fn weight(lm: &Model, name: &str; options: WeightOptions) -> Tensor {
            match Part::parse(name) {
                Some(part) => of_part(lm, part, &options),
                None => weight(lm, name, &options),
            }
        }
    }
}

/// Those that the model has.
fn parts(lm: &Model) -> Result<Array, ScriptError> {
    let (n_layers, state, loaded) = (lm.n_layers(false), lm.state()?, lm.loaded()?);
    let mut all = Array::new();
    for part in Part::ALL {
        let layers = match part.is_of_layer() {
            true => (0..n_layers).map(Some).collect(),
            false => vec![None],
        };
        for layer in layers {
            state.check_interrupt()?;
            if !has(&loaded, *part, layer.unwrap_or(0))? {
                continue;
            }
            let axes = part.axes().iter().map(|&axis| axis.into());
            all.push(Dynamic::from_map(Map::from([
                ("name".into(), part.name().into()),
                (
                    "layer".into(),
                    layer.map_or(Dynamic::UNIT, |layer| Dynamic::from_int(layer as INT)),
                ),
                ("axes".into(), Dynamic::from_array(axes.collect())),
            ])));
        }
    }
    Ok(all)
}

/// Layer by layer: by name, numbers in it as such. The formats know no order of their own.
fn cards(lm: &Model) -> Result<Vec<WeightCard>, ScriptError> {
    let mut cards = lm.loaded()?.weights()?;
    let key = |card: &WeightCard| -> Vec<(Option<u64>, String)> {
        let parts = card.name.split('.');
        parts.map(|part| (part.parse().ok(), part.to_owned())).collect()
    };
    cards.sort_by_cached_key(key);
    Ok(cards)
}

fn map(card: &WeightCard) -> Map {
    let shape = card.shape.iter().map(|len| Dynamic::from_int(*len as INT));
    Map::from([
        ("name".into(), card.name.clone().into()),
        (
            "role".into(),
            card.role.clone().map_or(Dynamic::UNIT, Dynamic::from),
        ),
        ("shape".into(), Dynamic::from_array(shape.collect())),
        ("dtype".into(), card.dtype.clone().into()),
        ("file".into(), card.file.clone().into()),
    ])
}

fn of_part(lm: &Model, of: Part, options: &WeightOptions) -> Result<Tensor, ScriptError> {
    let (loaded, card) = (lm.loaded()?, lm.card());
    // The largest are as wide as the vocabulary or the neurons; some tensors as large are made on the way.
    let widest = match of {
        Part::Embedding | Part::Unembedding => card.vocab_size,
        Part::In | Part::Gate | Part::Out => lm.intermediate_size(),
        _ => card.hidden_size,
    };
    Work::new(lm.state()?).room(&[card.hidden_size, widest], 4 * size_of::<f32>())?;
    let at = PartAt {
        part: of,
        layer: options.layer,
        head: options.head,
    };
    let numbers = host::array(&part(&loaded, at, options.folded)?);
    let axes = match options.head {
        None => of.axes(),
        Some(_) => &of.axes()[1..],
    };
    Ok(Tensor::new(numbers, axes))
}

fn weight(lm: &Model, name: &str, options: &WeightOptions) -> Result<Tensor, ScriptError> {
    let given = [
        ("layer", options.layer.is_some()),
        ("head", options.head.is_some()),
        ("folded", options.folded),
    ];
    if let Some(&(option, _)) = given.iter().find(|(_, is_given)| *is_given) {
        let message = format!("{option} is said of {name:?}, which is no part");
        return Err(ScriptError::new(ErrorKind::Option, message)
            .with_hint(format!("parts are {}", Part::ALL_NAMES.join(", ")))
            .pointing_at(option));
    }
    let loaded = lm.loaded()?;
    let cards = cards(lm)?;
    let is_it = |card: &&WeightCard| card.name == name || card.role.as_deref() == Some(name);
    let Some(card) = cards.iter().find(is_it) else {
        return Err(unknown(lm, name, &cards));
    };
    // Once as the file has it and once for the script.
    Work::new(lm.state()?).room(&card.shape, 2 * size_of::<f32>())?;
    Ok(Tensor::new(loaded.weight(&card.name)?, &[]))
}

fn unknown(lm: &Model, name: &str, cards: &[WeightCard]) -> ScriptError {
    let message = format!("{:?} has no weight {name:?}", lm.card().name);
    let error = ScriptError::new(ErrorKind::Value, message).pointing_at("weight");
    let roles = cards.iter().filter_map(|card| card.role.as_deref());
    let names = cards.iter().map(|card| card.name.as_str()).chain(roles);
    let names = names.chain(Part::ALL_NAMES.iter().copied());
    match nearest(name, names) {
        Some(meant) => error.with_hint(format!("did you mean `{meant}`? lm.weights() lists all")),
        None => error.with_hint("lm.weights() lists all"),
    }
}
