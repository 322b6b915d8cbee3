//! Features of transcoders as parts: what the MLP adds is what they write, and an error that is kept.

use std::rc::Rc;

use ecco_models::device::ensure_room;
use ecco_models::dictionary::reading::check;
use ecco_models::dictionary::{Dictionary, Spot};
use ecco_models::host::{self, bring};
use ecco_models::{Model, Site};
use tch::Tensor;

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
        if !active.is_empty() {
            let kind = LeafKind::Features {
                active,
                directions: held.directions.shallow_clone(),
            };
            let passed = self.leaf(kind, layer, held.values.unsqueeze(-1)); // [2, active, 1]
            made = made.index_add(1, &positions, &(passed * held.directions));
        }
        let made = bring(&made, (own.kind(), own.device()));
        let error = own.detach() - made.detach();
        made + self.leaf(LeafKind::Errors, layer, error)
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
    let numbers = active.len() * (dictionary.n_inputs() + dictionary.n_outputs());
    let needed = KEPT * (numbers * dictionary.place().0.elt_size_in_bytes()) as u64;
    let what = format!("{} features that are active at positions", active.len());
    ensure_room(dictionary.place().1, needed, &what)?;
    Ok(active)
}
