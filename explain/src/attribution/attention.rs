//! What attention says of where a target's information comes from: rollout, and the last layer alone.
//!
//! Attention knows only where the target stands, not what is said there: all tokens that could be said at a position
//! get the same row. The start token of an encoder–decoder, which is no source, takes its share with it.

use std::ops::ControlFlow;

use ecco_models::Site;
use ecco_models::config::LabelOf;
use ecco_models::host;
use ecco_models::model::Body;
use ecco_models::tap::Tap;
use ndarray::{Array1, Array2, Axis, concatenate, s};
use tch::{Kind, Tensor};

use super::objective::Objective;
use super::options::AttributionOptions;
use super::rows::{Contributions, MethodOutput};
use super::work::Work;
use crate::error::Result;

/// Where one layer's positions take their information from, rows to columns.
pub(super) struct Layer {
    /// The stack's own positions.
    pub own: Array2<f64>,
    /// What the encoder read, for the writing half of an encoder–decoder.
    pub read: Option<Array2<f64>>,
}

/// The same where it was computed, `[position, position]`: all layers cross to the host together.
pub(super) struct LayerTensors {
    pub own: Tensor,
    pub read: Option<Tensor>,
}

/// Layers of one or several stacks on the host, in one crossing.
pub(super) fn on_host<const N: usize>(stacks: [Vec<LayerTensors>; N]) -> [Vec<Layer>; N] {
    let layers = stacks.iter().flatten();
    let all: Vec<&Tensor> = layers
        .flat_map(|layer| std::iter::once(&layer.own).chain(&layer.read))
        .collect();
    let mut values = host::numbers_of_all(&all).into_iter();
    let mut matrix = |x: &Tensor| {
        let shape = (x.size()[0] as usize, x.size()[1] as usize);
        let values = values.next().unwrap_or_default();
        Array2::from_shape_vec(shape, values).unwrap_or_else(|_| Array2::zeros(shape))
    };
    let mut layer = |layer: &LayerTensors| Layer {
        own: matrix(&layer.own),
        read: layer.read.as_ref().map(&mut matrix),
    };
    stacks.map(|stack| stack.iter().map(&mut layer).collect())
}

/// Attention rollout (Abnar & Zuidema 2020, 2005.00928): the product over layers of ½ A + ½ I, A the mean over heads.
/// A layer that also looks at what an encoder read does so in a second step of its own, ½ I + ½ C, C the rollout of
/// that behind the cross-attention.
pub(super) fn rollout(
    explained: &Objective,
    _: &AttributionOptions,
    work: &mut Work,
) -> Result<MethodOutput> {
    let (values, patterns) = patterns(explained, work)?;
    let half = |layer: Layer| {
        let mixed = (&layer.own + &Array2::<f64>::eye(layer.own.nrows())) / 2.0;
        match layer.read {
            None => Layer {
                own: mixed,
                read: None,
            },
            Some(read) => Layer {
                own: mixed / 2.0,
                read: Some(read / 2.0),
            },
        }
    };
    let [encoder, own] = patterns.map(|layers| layers.into_iter().map(half).collect::<Vec<_>>());
    Ok(found(explained, values, &rolled(&encoder, &own)))
}

/// The last layer's attention, mean over heads; half of it to what an encoder read where there is one.
pub(super) fn last(explained: &Objective, _: &AttributionOptions, work: &mut Work) -> Result<MethodOutput> {
    let (values, [_, mut own]) = patterns(explained, work)?;
    let layer = own.pop().map(|layer| match layer.read {
        None => layer.own,
        Some(read) => concatenate![Axis(1), read / 2.0, layer.own / 2.0],
    });
    Ok(found(explained, values, &layer.unwrap_or_default()))
}

/// The product of layers, `[position, source]`: an encoder's (none for other models), then those of the stack that
/// speaks. With an encoder the columns are what it read, then the stack's own positions.
pub(super) fn rolled(encoder: &[Layer], own: &[Layer]) -> Array2<f64> {
    let alone = |layers: &[Layer]| {
        let n = layers.first().map_or(0, |layer| layer.own.nrows());
        layers
            .iter()
            .fold(Array2::eye(n), |product, layer| layer.own.dot(&product))
    };
    if encoder.is_empty() {
        return alone(own);
    }
    let read = alone(encoder);
    let n = own.first().map_or(0, |layer| layer.own.nrows());
    let mut product = concatenate![Axis(1), Array2::zeros((n, read.ncols())), Array2::eye(n)];
    for layer in own {
        let mut next = layer.own.dot(&product);
        if let Some(across) = &layer.read {
            let mut of_read = next.slice_mut(s![.., ..read.ncols()]);
            of_read += &across.dot(&read);
        }
        product = next;
    }
    product
}

/// A row of contributions for each target from `[position, source]`.
pub(super) fn found(explained: &Objective, values: Vec<f64>, by_position: &Array2<f64>) -> MethodOutput {
    let n_read = explained.input().ids.len();
    let is_pair = matches!(explained.model().body(), Body::EncoderDecoder(_));
    let rows = explained.targets().iter().map(|target| {
        let row = match explained.place(target) {
            Some(row) => by_position.row(row).to_owned(),
            None if reads_mean(explained) => by_position.mean_axis(Axis(0)).unwrap_or_default(),
            None => by_position.row(0).to_owned(),
        };
        let n_sources = explained.n_sources_of(target);
        match is_pair {
            false => row.slice(s![..n_sources]).to_vec(),
            // The start token stands between what was read and what was written.
            true => without(&row, n_read).slice(s![..n_sources]).to_vec(),
        }
    });
    MethodOutput::without_baseline(Contributions::Tokens(rows.collect()), values)
}

fn without(row: &Array1<f64>, index: usize) -> Array1<f64> {
    let kept = row.iter().enumerate().filter(|(i, _)| *i != index);
    kept.map(|(_, &value)| value).collect()
}

/// Whether labels are read from the mean of all states; otherwise from the first.
fn reads_mean(explained: &Objective) -> bool {
    let label = explained.model().config().task.label();
    label.is_some_and(|label| label.of == LabelOf::Mean)
}

/// The targets' values, and the mean over heads of each layer's attention: of an encoder that is read through, and of
/// the stack that speaks.
fn patterns(explained: &Objective, work: &mut Work) -> Result<(Vec<f64>, [Vec<Layer>; 2])> {
    let mut tap = Patterns {
        work,
        stacks: Vec::new(),
    };
    let values = explained.values(&explained.embeddings(), &mut tap)?;
    let mut stacks = tap.stacks;
    let own = stacks.pop().unwrap_or_default();
    let encoder = stacks.pop().unwrap_or_default();
    Ok((host::numbers(&values), on_host([encoder, own])))
}

/// Takes the mean over heads as attention comes by, so that no more than a layer's is there at once.
struct Patterns<'r, 'a, 'b> {
    work: &'r mut Work<'a, 'b>,
    stacks: Vec<Vec<LayerTensors>>,
}

impl Tap for Patterns<'_, '_, '_> {
    fn wants(&self, site: Site, _: usize) -> bool {
        matches!(site, Site::AttentionPattern | Site::CrossPattern)
    }

    fn visit(&mut self, site: Site, _: usize, value: Tensor) -> Tensor {
        let layers = match self.stacks.last_mut() {
            Some(layers) => layers,
            None => return value,
        };
        match site {
            Site::AttentionPattern => layers.push(LayerTensors {
                own: mean_of_heads(&value),
                read: None,
            }),
            Site::CrossPattern => {
                if let Some(layer) = layers.last_mut() {
                    layer.read = Some(mean_of_heads(&value));
                }
            }
            _ => {}
        }
        value
    }

    /// A stack's pass begins at its layer 0.
    fn proceed(&mut self, layer: usize) -> ControlFlow<()> {
        if layer == 0 {
            self.stacks.push(Vec::new());
        }
        self.work.report()
    }
}

/// `[1, head, query, key]` to `[query, key]`.
fn mean_of_heads(pattern: &Tensor) -> Tensor {
    pattern.get(0).mean_dim(0, false, Kind::Double)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn rows_of_a_product_of_rows_that_sum_to_one_do_so_too() {
        let encoder = [Layer {
            own: array![[0.75, 0.25], [0.5, 0.5]],
            read: None,
        }];
        let own = [
            Layer {
                own: array![[0.5, 0.0], [0.25, 0.25]],
                read: Some(array![[0.25, 0.25], [0.5, 0.0]]),
            },
            Layer {
                own: array![[0.5, 0.0], [0.25, 0.5]],
                read: Some(array![[0.5, 0.0], [0.0, 0.25]]),
            },
        ];
        let found = rolled(&encoder, &own);
        assert_eq!(found.dim(), (2, 4));
        for row in found.outer_iter() {
            assert!((row.sum() - 1.0).abs() < 1e-15);
        }
        // By hand: the first position takes ½ of its first layer and ½ of the first read token.
        let first = array![
            0.5 * 0.625 / 2.0 + 0.5 * 0.75,
            0.5 * 0.375 / 2.0 + 0.5 * 0.25,
            0.25,
            0.0
        ];
        assert!(
            (&found.row(0) - &first).iter().all(|off| off.abs() < 1e-15),
            "{found}"
        );
    }
}
