//! Adapters as PEFT saves them: what fine-tuning changed, without the model it was changed in.
//!
//! LoRA (2106.09685) adds a product of two narrow matrices to weights; its layers compute it beside the weight
//! ([`LowRank`]), so that one set of weights serves the model with and without its adapter. What an adapter has whole
//! (`modules_to_save`, embeddings of added tokens) stands in the place of the model's own. [`Tunable`] is a model that
//! both can be made of, and all between them.
//!
//! - [`settings`] reads `adapter_config.json`
//! - [`reading`] reads `adapter_model.safetensors`
//! - [`low_rank`] is what is added to a linear layer

mod low_rank;
mod reading;
mod settings;

use std::collections::BTreeMap;
use std::rc::Rc;

use tch::Tensor;

use crate::config::{Config, Task};
use crate::error::{Error, Result};
use crate::families::Family;
use crate::weight::Weight;
use crate::weights::Weights;

pub(crate) use low_rank::LowRank;
pub(crate) use reading::base_of;
pub(crate) use settings::{FILE, is_adapter};

/// A model's own weights, by canonical name, and what an adapter makes of them.
pub(crate) struct Tunable {
    pub family: &'static Family,
    pub config: Config,
    pub weights: BTreeMap<String, Weight>,
    /// By name, in the order in which they are made.
    changes: Vec<(String, Change)>,
}

/// What an adapter makes of one weight.
enum Change {
    /// Computed beside it.
    LowRank(Rc<LowRank>),
    /// Added to it, of the same shape: two narrow matrices whose product that is, `[rows, rank]` and `[rank, columns]`.
    Sum(Tensor, Tensor),
    /// In its place.
    Whole(Tensor),
    /// In the place of some of its rows.
    Rows(Tensor, Tensor),
}

impl Change {
    /// What becomes of a weight at a share of the way.
    fn of(&self, own: &Weight, share: f64) -> Weight {
        match self {
            // Computed beside the weight.
            Self::LowRank(_) => own.shallow_clone(),
            Self::Sum(one, other) if share != 0.0 => (own.tensor() + one.mm(other) * share).into(),
            Self::Sum(..) => own.shallow_clone(),
            Self::Whole(whole) if share == 1.0 => whole.shallow_clone().into(),
            Self::Whole(whole) if share == 0.0 && whole.size() == own.size() => own.shallow_clone(),
            Self::Whole(whole) => between(&own.tensor(), whole, share).into(),
            Self::Rows(..) if share == 0.0 => own.shallow_clone(),
            Self::Rows(index, rows) => {
                let rows = between(&own.rows(index), rows, share);
                own.tensor().index_copy(0, index, &rows).into()
            }
        }
    }
}

const EMBEDDING: &str = "token_embedding.weight";
const HEAD: &str = "head.weight";

impl Tunable {
    /// How many numbers the adapter has.
    pub(crate) fn n_parameters(&self) -> u64 {
        let count = |change: &Change| match change {
            Change::LowRank(low_rank) => low_rank.count(),
            Change::Sum(one, other) => (one.numel() + other.numel()) as u64,
            Change::Whole(whole) => whole.numel() as u64,
            Change::Rows(_, rows) => rows.numel() as u64,
        };
        self.changes.iter().map(|(_, change)| count(change)).sum()
    }

    /// The weights at a share of the way to the tuned ones: 0 are the model's own, 1 the tuned. Rows that only the
    /// adapter has, of tokens that it adds, are there at every share.
    pub(crate) fn at(&self, share: f64) -> (Config, Weights) {
        let mut config = self.config.clone();
        let mut weights: BTreeMap<String, Weight> = self
            .weights
            .iter()
            .map(|(name, weight)| (name.clone(), weight.shallow_clone()))
            .collect();
        let mut low_ranks = BTreeMap::new();
        for (name, change) in &self.changes {
            if let Change::LowRank(low_rank) = change {
                match share {
                    0.0 => {}
                    1.0 => drop(low_ranks.insert(name.clone(), Rc::clone(low_rank))),
                    _ => drop(low_ranks.insert(name.clone(), Rc::new(low_rank.at(share)))),
                }
                continue;
            }
            if !matches!(change, Change::Rows(..)) {
                self.untie(name, &mut config, &mut weights);
            }
            let changed = weights.get(name).map(|own| change.of(own, share));
            weights.extend(changed.map(|changed| (name.clone(), changed)));
        }
        if let Some(embedding) = weights.get(EMBEDDING) {
            let n_tokens = embedding.size()[0] as usize;
            config.vocab_size = n_tokens;
            if let Some(encoder) = &mut config.encoder {
                encoder.vocab_size = n_tokens;
            }
        }
        (config, Weights::of_weights(weights, low_ranks, self.family))
    }

    /// The model's own weight. A head that is the embeddings has theirs.
    fn own(&self, name: &str) -> Option<&Weight> {
        let tied = || (name == HEAD && self.config.head.tied).then(|| self.weights.get(EMBEDDING))?;
        self.weights.get(name).or_else(tied)
    }

    /// Where the head is the embeddings and only one of them is changed, both are there from now on.
    fn untie(&self, name: &str, config: &mut Config, weights: &mut BTreeMap<String, Weight>) {
        let head = match config.task {
            Task::NextToken => HEAD,
            Task::MaskedToken(_) => "task.masked.output.weight",
            _ => return,
        };
        if config.head.tied && [EMBEDDING, head].contains(&name) {
            config.head.tied = false;
            if let Some(own) = self.weights.get(EMBEDDING) {
                weights.entry(head.into()).or_insert_with(|| own.shallow_clone());
            }
        }
    }

    /// Refuses an adapter that adds to what is no linear layer of this model.
    pub(crate) fn check_used(&self, unused: Option<&str>) -> Result<()> {
        match unused {
            None => Ok(()),
            Some(name) => Err(self.stranger(name)),
        }
    }

    /// The error about a weight that this model does not have, or not as a layer that can be adapted.
    fn stranger(&self, name: &str) -> Error {
        reading::misfit(format!(
            "changes {}, which this {} model does not have",
            self.family.name_in_file(name),
            self.family.model_type
        ))
    }
}

/// `own + share · (whole − own)`; exactly the one or the other at both ends. Rows that only `whole` has are its.
fn between(own: &Tensor, whole: &Tensor, share: f64) -> Tensor {
    if share == 1.0 {
        return whole.shallow_clone();
    }
    let n_rows = own.size()[0].min(whole.size()[0]);
    let (own, rest) = (
        own.narrow(0, 0, n_rows),
        whole.narrow(0, n_rows, whole.size()[0] - n_rows),
    );
    let shared = match share == 0.0 {
        true => own,
        false => &own + (whole.narrow(0, 0, n_rows) - &own) * share,
    };
    match rest.size()[0] {
        0 => shared,
        _ => Tensor::cat(&[shared, rest], 0),
    }
}
