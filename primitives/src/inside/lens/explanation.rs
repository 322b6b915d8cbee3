//! The numbers of a lens.

use ecco_explain::lens;
use ecco_scripting::errors::{ErrorKind, ScriptError};
use ecco_scripting::result::Explanation;
use ecco_scripting::tensor::Tensor;
use ndarray::{ArrayD, IxDyn};

use super::{Lens, LensKind};

impl Lens {
    /// One number of each reading: (layer, position), or (layer) of one place.
    fn numbers(&self, of: impl Fn(&lens::Reading) -> f32) -> Result<Tensor, ScriptError> {
        let found = self.found()?;
        let rows: Vec<Vec<f32>> = found
            .readings
            .iter()
            .map(|row| row.iter().map(&of).collect())
            .collect();
        let all = matrix(&rows, &["layer", "position"])?;
        match self.0.kind {
            LensKind::Map => Ok(all),
            _ => all.index(1, 0),
        }
    }
}

impl Explanation for Lens {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let found = self.found()?;
        let entropy = ("entropy", self.numbers(|reading| reading.entropy)?);
        let divergence = ("divergence", self.numbers(|reading| reading.divergence)?);
        if let LensKind::Ranks(_) = self.0.kind {
            let of = |of| matrix(&self.by_column(found, of), &["layer", "token"]);
            let mut tensors = vec![
                ("ranks", of(rank)?),
                ("probabilities", of(|watched| watched.probability)?),
            ];
            if self.0.positions.len() == 1 {
                tensors.extend([entropy, divergence]);
            }
            return Ok(tensors);
        }
        let top = |of: fn(&(u32, f32)) -> f32, axes: &[&'static str]| {
            let row =
                |row: &Vec<lens::Reading>| row.iter().flat_map(|reading| &reading.top).map(of).collect();
            let rows: Vec<Vec<f32>> = found.readings.iter().map(row).collect();
            matrix(&rows, axes)
        };
        if self.0.kind == LensKind::Predictions {
            return Ok(vec![
                (
                    "probabilities",
                    top(|(_, probability)| *probability, &["layer", "candidate"])?,
                ),
                ("token_ids", top(|(id, _)| *id as f32, &["layer", "candidate"])?),
                entropy,
                divergence,
            ]);
        }
        let watched = |of: fn(&lens::TokenTrack) -> f32| {
            self.numbers(move |reading| reading.watched.first().map_or(f32::NAN, of))
        };
        let best = |of: fn(&(u32, f32)) -> f32| {
            self.numbers(move |reading| reading.top.first().map_or(f32::NAN, of))
        };
        Ok(vec![
            ("probabilities", watched(|watched| watched.probability)?),
            ("ranks", watched(rank)?),
            ("best_probabilities", best(|(_, probability)| *probability)?),
            ("best_ids", best(|(id, _)| *id as f32)?),
            entropy,
            divergence,
        ])
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        match axis {
            "layer" => Some(self.layers()),
            "token" => Some(
                self.0
                    .columns
                    .iter()
                    .map(|(token, _)| token.text.clone())
                    .collect(),
            ),
            "position" => Some(
                self.0
                    .positions
                    .iter()
                    .map(|position| position.to_string())
                    .collect(),
            ),
            _ => None,
        }
    }
}

/// As a number; where there is no rank, there is none.
fn rank(watched: &lens::TokenTrack) -> f32 {
    match watched.rank {
        0 => f32::NAN,
        rank => rank as f32,
    }
}

fn matrix(rows: &[Vec<f32>], axes: &[&'static str]) -> Result<Tensor, ScriptError> {
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let values = rows.iter().flatten().copied().collect();
    let array = ArrayD::from_shape_vec(IxDyn(&[rows.len(), width]), values)
        .map_err(|error| ScriptError::new(ErrorKind::Internal, error.to_string()))?;
    Ok(Tensor::new(array, axes))
}
