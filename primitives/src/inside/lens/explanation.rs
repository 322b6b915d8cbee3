//! The numbers of a lens.

use ecco_explain::lens;
use ecco_scripting::errors::{ErrorKind, ScriptError};
use ecco_scripting::result::Explanation;
use ecco_scripting::tensor::Tensor;
use ndarray::{ArrayD, IxDyn};
use rhai::Dynamic;

use super::{Lens, LensKind};
use crate::text::results::OfText;

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

impl OfText for Lens {
    const NAME: &'static str = "lens";

    /// After how many layers the most probable token is the last layer's and stays so, on average over the places, and what
    /// the last layer says: its entropy, and the probability of the text's tokens where they are known.
    fn figures(&self) -> Result<Vec<(String, Dynamic)>, ScriptError> {
        let (found, n_places) = (self.found()?, self.0.positions.len() as f64);
        let best = |reading: &lens::Reading| reading.top.first().map(|(id, _)| *id);
        let settled = |place: usize| {
            let mut from_last = found.readings.iter().rev().map(|row| best(&row[place]));
            let last = from_last.next().flatten();
            found.readings.len() - 1 - from_last.take_while(|id| *id == last).count()
        };
        let last = found.readings.last().map_or(&[][..], Vec::as_slice);
        let depth = |row: usize| self.0.question.depths.get(row).copied().unwrap_or(row) as f64;
        let settled: f64 = (0..last.len()).map(|place| depth(settled(place))).sum();
        let entropy: f64 = last.iter().map(|reading| f64::from(reading.entropy)).sum();
        let chosen = last.iter().flat_map(|reading| reading.watched.first());
        let chosen: Vec<f64> = chosen.map(|watched| f64::from(watched.probability)).collect();
        let probability = match chosen.is_empty() {
            true => Dynamic::UNIT,
            false => Dynamic::from_float(chosen.iter().sum::<f64>() / chosen.len() as f64),
        };
        Ok(vec![
            ("settled".to_owned(), Dynamic::from_float(settled / n_places)),
            ("entropy".to_owned(), Dynamic::from_float(entropy / n_places)),
            ("probability".to_owned(), probability),
        ])
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
