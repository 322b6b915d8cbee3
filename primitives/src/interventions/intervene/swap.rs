//! An entry that swaps two tokens' coordinates along the directions of a fitted lens.

use ecco_explain::intervention::swap::Swap;
use ecco_explain::intervention::{Change, Intervention, Part};
use ecco_models::Site;
use ecco_models::run::Place;
use rhai::{INT, Map};

use super::entries::refused;
use super::values::Positions;
use crate::inside::fitted_lens::FittedLens;
use crate::models::model::Model;
use ecco_scripting::options::{OneOrMany, OptionSet, Word};
use ecco_scripting::{ScriptError, options};

options! {
    struct SwapEntry {
        /// whose directions these are
        lens: Option<FittedLens> = "none",
        /// the layer behind which the stream is changed
        layer: Option<usize> = "none",
        /// two of them
        tokens: Option<OneOrMany<Word>> = "none",
        /// where
        positions: Option<Positions> = "all",
    }
}

pub(super) fn swap(_: &Model, map: &Map) -> Result<Intervention, ScriptError> {
    let entry = SwapEntry::read("an entry of `swap`", map)?;
    let missing = |what: &str| {
        let error = refused("swap", format!("an entry of `swap` says no {what}"));
        error.with_hint("#{lens: fitted, layer: 2, tokens: [\" Paris\", \" Rome\"]}")
    };
    let lens = entry.lens.as_ref().ok_or_else(|| missing("lens"))?;
    let layer = entry.layer.ok_or_else(|| missing("layer"))?;
    let Some([one, other]) = entry.tokens.as_ref().map(|tokens| &tokens.0[..]) else {
        return Err(missing("two tokens"));
    };
    let of = |word: &Word| lens.direction(layer as INT, word);
    let ((one, name), (other, other_name)) = (of(one)?, of(other)?);
    Ok(Intervention {
        place: Place::of(Site::ResidualAfter),
        layers: Some(vec![layer]),
        part: Part::Whole,
        positions: entry.positions.as_ref().map(Positions::ranges).transpose()?,
        change: Change::Swap(Swap {
            directions: [one, other].map(|direction| direction.iter().copied().collect()),
            names: [name, other_name],
        }),
    })
}
