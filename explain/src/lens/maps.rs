//! A fitted lens in numbers: its maps, how far they are from doing nothing, and the directions that tokens have by them.

use ecco_models::Model;
use ecco_models::guard::guard;
use ecco_models::host::{self, bring};
use ecco_models::lens::FittedLens;
use ndarray::ArrayD;
use tch::{Kind, Tensor};

use super::fit::check_model;
use crate::error::{Result, refuse};

/// Of each layer the length of its map M and of M − 1, both over that of the identity.
///
/// # Errors
/// What libtorch says.
pub fn sizes(lens: &FittedLens) -> Result<Vec<[f64; 2]>> {
    let length = |x: &Tensor| (x.square().sum(None::<Kind>) / x.size()[0]).sqrt();
    let numbers = guard(|| {
        let both = lens.translators.iter().flat_map(|translator| {
            let matrix = &translator.matrix;
            let identity = Tensor::eye(matrix.size()[0], (matrix.kind(), matrix.device()));
            [length(matrix), length(&(matrix - identity))]
        });
        Ok(host::numbers(&Tensor::stack(&both.collect::<Vec<_>>(), 0)))
    })?;
    Ok(numbers.as_chunks().0.to_vec())
}

/// The maps (layer, output, hidden) and, where there are, biases (layer, hidden).
///
/// # Errors
/// What libtorch says.
pub fn maps(lens: &FittedLens) -> Result<(ArrayD<f32>, Option<ArrayD<f32>>)> {
    let matrices = lens.translators.iter().map(|translator| &translator.matrix);
    let biases = lens.translators.iter().map(|translator| translator.bias.as_ref());
    let biases: Option<Vec<&Tensor>> = biases.collect();
    let stacked = |all: &[&Tensor]| host::array(&Tensor::stack(all, 0));
    Ok(guard(|| {
        let matrices: Vec<&Tensor> = matrices.collect();
        Ok((stacked(&matrices), biases.map(|biases| stacked(&biases))))
    })?)
}

/// The direction of the stream after `depth` layers along which a token's logit grows by the lens, were there no final norm:
/// the token's row of the head's weights times the map, `[hidden]`.
///
/// # Errors
/// A depth that the lens has no map for, a token that is not there, another model.
pub fn direction(model: &Model, lens: &FittedLens, depth: usize, token: u32) -> Result<ArrayD<f32>> {
    let decoder = check_model(model)?;
    let translator = lens
        .at(depth)
        .ok_or_else(|| refuse("depth", depth, "the fitted lens has no map for it"))?;
    let n_tokens = model.config().vocab_size;
    if token as usize >= n_tokens {
        return Err(refuse(
            "token",
            token,
            format!("the vocabulary has {n_tokens} tokens"),
        ));
    }
    Ok(guard(|| {
        let (kind, device) = model.stack().place();
        let one = Tensor::zeros([1, n_tokens as i64], (kind, device));
        let _ = one.narrow(1, i64::from(token), 1).fill_(1.0);
        let row = decoder.project_backward(&decoder.head.backward(&one)); // [1, hidden]
        let row = bring(&row, (translator.matrix.kind(), device));
        Ok(host::array(&row.matmul(&translator.matrix).get(0)))
    })?)
}
