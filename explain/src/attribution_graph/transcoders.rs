//! Features of transcoders as parts: what the MLP adds is what they write, and those of layers below where they are of one
//! cross-layer transcoder, and an error that is kept.

use std::rc::Rc;

use ecco_models::device::ensure_room;
use ecco_models::dictionary::reading::check;
use ecco_models::dictionary::{Dictionary, Spot};
use ecco_models::host::{self, bring};
use ecco_models::{Model, Site};
use tch::{Kind, Tensor};

use super::GraphOptions;
use super::parts::{LeafKind, PartsTap};
use crate::dictionary::{rows_at_once, sparse_pairs};
use crate::error::{Result, refuse};

/// Tensors of as many numbers as active features have that a pass keeps for the way back.
const KEPT: u64 = 6;

/// Whether the dictionaries are ones whose features can be nodes, and are asked for.
///
/// # Errors
/// What is no transcoder of this model, two of a layer, and kinds of nodes that leave no place for them.
pub(super) fn check_options(model: &Model, options: &GraphOptions) -> Result<()> {
    let all = &options.dictionaries;
    let spot = |spot: Spot| format!("{} of layer {}", spot.place.name(), spot.layer);
    if options.nodes == super::NodeKinds::Features && all.is_empty() {
        let reason = "name the transcoders whose features are nodes";
        return Err(refuse("dictionary", "not given", reason));
    }
    for (at, dictionary) in all.iter().enumerate() {
        check(dictionary, model)?;
        let (reads, writes) = (dictionary.reads, dictionary.writes);
        let before = [Site::ResidualMid, Site::MlpInput].contains(&reads.place.site);
        let is_here = reads.layer == writes.layer && reads.place.encoder == writes.place.encoder;
        if !(before && is_here && writes.place.site == Site::MlpOutput) {
            let value = format!("one that reads {} and writes {}", spot(reads), spot(writes));
            let reason = "nodes are features of transcoders, which read what goes into the MLP and write what it adds; \
                          `dictionary.attribute` says what an answer owes to those of others";
            return Err(refuse("dictionary", value, reason));
        }
        let has = |below: &Rc<Dictionary>| all.iter().any(|other| Rc::ptr_eq(other, below));
        if !dictionary.earlier().iter().all(has) {
            let value = format!("layer {} of a cross-layer transcoder", writes.layer);
            let reason =
                "features of the layers below write there, too: name all layers up to it, of one set";
            return Err(refuse("dictionary", value, reason));
        }
        if all[..at].iter().any(|other| other.writes == writes) {
            let reason = "the layer has one already";
            return Err(refuse(
                "dictionary",
                format!("a second one of {}", spot(writes)),
                reason,
            ));
        }
        if !options.nodes.features() {
            let reason = "features are nodes with \"features\" and \"all\"";
            return Err(refuse("nodes", options.nodes.name(), reason));
        }
    }
    Ok(())
}

impl PartsTap<'_, '_, '_> {
    /// What a transcoder's features and its error come to in the place of what the MLP adds, `[2, position, hidden]`.
    pub(super) fn transcoded(&mut self, dictionary: &Rc<Dictionary>, layer: usize, own: Tensor) -> Tensor {
        let Some(read) = self.read.take() else {
            return own;
        };
        let x = bring(&read, dictionary.place());
        let active = match active(dictionary, &x.get(0).detach()) {
            Ok(active) => active,
            Err(error) => {
                self.failed = Some(error);
                return own;
            }
        };
        let device = dictionary.place().1;
        let index = |of: fn(&(usize, usize)) -> usize| {
            let places: Vec<i64> = active.iter().map(|one| of(one) as i64).collect();
            host::index(&places, device)
        };
        let (positions, features) = (index(|one| one.0), index(|one| one.1));
        let held = dictionary.held(&x, &positions, &features);
        let mut made = held.rest;
        for below in self.passed.iter().filter(|passed| passed.writes_with(dictionary)) {
            made = below.added_to(made, layer);
        }
        if !active.is_empty() {
            let kind = LeafKind::Features {
                active,
                directions: held.directions.iter().map(Tensor::shallow_clone).collect(),
            };
            let passed = Passed {
                of: Rc::clone(dictionary),
                positions,
                values: self.leaf(kind, layer, held.values.unsqueeze(-1)), // [2, active, 1]
                directions: held.directions,
            };
            made = passed.added_to(made, layer);
            if dictionary.layers().len() > 1 {
                self.passed.push(passed);
            }
        }
        let made = bring(&made, (own.kind(), own.device()));
        let error = own.detach() - made.detach();
        made + self.leaf(LeafKind::Errors, layer, error)
    }
}

/// Features of a layer at positions, as they are passed on.
pub(super) struct Passed {
    of: Rc<Dictionary>,
    positions: Tensor,
    /// `[2, active, 1]`
    values: Tensor,
    /// By layer from their own on, `[active, hidden]`.
    directions: Vec<Tensor>,
}

impl Passed {
    /// Whether they write where the features of a layer further up do.
    fn writes_with(&self, other: &Dictionary) -> bool {
        other.earlier().iter().any(|below| Rc::ptr_eq(below, &self.of))
    }

    /// With what they write in a layer: `[2, position, hidden]`.
    fn added_to(&self, made: Tensor, layer: usize) -> Tensor {
        let directions = &self.directions[layer - self.of.writes.layer];
        let place = (made.kind(), made.device());
        let written = bring(&(&self.values * directions), place);
        let positions = bring(&self.positions, (Kind::Int64, place.1));
        made.index_add(1, &positions, &written)
    }
}

/// Positions and features that are active there, of rows `[position, input]`.
fn active(dictionary: &Dictionary, x: &Tensor) -> ecco_models::error::Result<Vec<(usize, usize)>> {
    let mut active = Vec::new();
    let mut position = 0;
    for some in x.split(rows_at_once(dictionary), 0) {
        for row in sparse_pairs(&dictionary.encode(&some).activations)? {
            active.extend(row.into_iter().map(|(feature, _)| (position, feature as usize)));
            position += 1;
        }
    }
    let n_written = dictionary.n_outputs() * dictionary.layers().len();
    let numbers = active.len() * (dictionary.n_inputs() + n_written);
    let needed = KEPT * (numbers * dictionary.place().0.elt_size_in_bytes()) as u64;
    let what = format!("{} features that are active at positions", active.len());
    ensure_room(dictionary.place().1, needed, &what)?;
    Ok(active)
}
