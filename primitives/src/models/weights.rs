//! A model's weights: `lm.weights`, `lm.weight`.

use ecco_models::WeightCard;
use ecco_scripting::errors::nearest;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::tensor::work::Work;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members};
use rhai::{Array, Dynamic, INT, Map};

use super::model::Model;

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// The weights in the model's files, ordered by their names, as maps: `name` (as the file has it), `role` (the same in every family of
        /// models; `()` for what is not used), `shape`, `dtype`, `file`.
        ///
        /// Example:
        /// ```rhai
        /// lm.weights().filter(|w| w.name.contains("mlp")).map(|w| w.name)
        /// ```
        fn weights(lm: &Model) -> Array {
            let cards = cards(lm)?;
            Ok(cards.iter().map(|card| Dynamic::from_map(map(card))).collect())
        }

        /// The numbers of a weight, by its name in the file or its role: as they are stored, without an adapter or what
        /// `intervene` changes. Of a quantized weight the numbers that it stands for.
        ///
        /// Example:
        /// ```rhai
        /// lm.weight(lm.weights()[0].name).shape
        /// ```
        fn weight(lm: &Model, name: &str) -> Tensor { weight(lm, name) }
    }
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

fn weight(lm: &Model, name: &str) -> Result<Tensor, ScriptError> {
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
    match nearest(name, names) {
        Some(meant) => error.with_hint(format!("did you mean `{meant}`? lm.weights() lists all")),
        None => error.with_hint("lm.weights() lists all"),
    }
}
