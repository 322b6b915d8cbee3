//! Features of a dictionary, taken out, made stronger or added, the dictionary's error being kept.

use std::ops::Range;
use std::rc::Rc;

use ecco_models::Model;
use ecco_models::dictionary::reading::check;
use ecco_models::dictionary::{Dictionary, FeatureChange, FeatureEdit};
use ecco_models::edit::{Change, Edit, Part};
use ecco_models::guard::guard;
use ecco_models::run;
use tch::Kind;

use super::label::counted;
use super::{Change as Intended, Intervention, Part as Whole};
use crate::dictionary::check_features;
use crate::error::Result;

/// What becomes of features of a dictionary.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureIntervention {
    pub dictionary: Rc<Dictionary>,
    pub features: Vec<usize>,
    pub what: FeatureAction,
}

/// With x what stands at the place that the dictionary writes, a its activations there and W_dec what they write; features of a
/// cross-layer transcoder are changed in every layer that they write in:
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FeatureAction {
    /// x + (factor − 1) Σ a_f W_dec\[f\]: 0 takes them out.
    Scale(f64),
    /// x + c Σ W_dec\[f\], whether they are active or not.
    Add(f64),
    /// What the dictionary makes of x, so without its error; whatever features are named.
    Reconstruct,
}

impl FeatureIntervention {
    /// The intervention, at some positions or all.
    pub fn at(self, positions: Option<Vec<Range<usize>>>) -> Intervention {
        Intervention {
            place: self.dictionary.writes.place,
            layers: Some(vec![self.dictionary.writes.layer]),
            part: Whole::Whole,
            positions,
            change: Intended::Features(self),
        }
    }

    /// # Errors
    /// Features that the dictionary does not have, and a model that it is not of.
    pub(super) fn edits(&self, model: &Model, positions: Option<Vec<Range<usize>>>) -> Result<Vec<Edit>> {
        check(&self.dictionary, model)?;
        check_features(&self.dictionary, &self.features)?;
        let writes = self.dictionary.writes;
        let size = run::probe(model)?
            .size(writes.place, writes.layer)
            .unwrap_or_default();
        Ok(guard(|| {
            let change = match self.what {
                FeatureAction::Scale(factor) => FeatureChange::Scale(factor),
                FeatureAction::Reconstruct => FeatureChange::Reconstruct,
                FeatureAction::Add(factor) => {
                    let edit = |layer: usize| {
                        let directions = self.dictionary.directions(layer, &self.features); // [feature, output]
                        let sum = directions.sum_dim_intlist(0, false, None::<Kind>) * factor;
                        let added = match size[..] {
                            [n_heads, _, head_dim] => sum.reshape([n_heads as i64, 1, head_dim as i64]),
                            _ => sum,
                        };
                        Edit {
                            place: writes.place,
                            layer,
                            part: Part::Whole,
                            positions: positions.clone(),
                            change: Change::Add(added),
                        }
                    };
                    return Ok(self.dictionary.layers().map(edit).collect());
                }
            };
            Ok(FeatureEdit::edits(
                &self.dictionary,
                &self.features,
                change,
                positions,
            ))
        })?)
    }

    /// `features 41, 38 × 0`
    pub(super) fn label(&self) -> String {
        let features = counted("feature", &self.features);
        let where_to = match self.dictionary.layers().len() {
            1 => "",
            _ => " in this and all later layers",
        };
        match self.what {
            FeatureAction::Scale(factor) => format!("{features} × {factor}{where_to}"),
            FeatureAction::Add(factor) => format!("+ {factor} × the writes of {features}{where_to}"),
            FeatureAction::Reconstruct => "as its dictionary reconstructs it".into(),
        }
    }
}
