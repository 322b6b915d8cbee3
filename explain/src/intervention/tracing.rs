//! Causal tracing: noise on some tokens, and which states bring the answer back (Meng et al. 2022, 2202.05262).
//!
//! One text is its own corrupted one: what enters the first layer at some positions has noise added. So no second text of as
//! many tokens is needed, and what is asked is where the model keeps what it knows of these tokens.

use ecco_interpreter::Watch;
use ecco_models::guard::guard;
use ecco_models::run::{Input, Place};
use ecco_models::{Model, Site, host};
use ndarray::Axis;

use super::patching::{PatchMap, PatchOptions, patch_map_between, read_clean};
use super::{Change, Intervention, Part, compile};
use crate::attribution::work::Work;
use crate::error::{Result, refuse};
use crate::random::RandomState;

#[derive(Debug, Clone, PartialEq)]
pub struct Noise {
    /// Of the text that is read.
    pub positions: Vec<usize>,
    /// Its standard deviation, in those of the numbers that enter the first layer.
    pub factor: f64,
    pub n_samples: usize,
    pub seed: u64,
}

/// A map for each draw of the noise, normal and independent for each number.
///
/// # Errors
/// As [`patch_map`](super::patching::patch_map); positions that the text does not have; for a model that is changed already.
pub fn causal_trace(
    model: &Model,
    input: &Input,
    options: &PatchOptions,
    noise: &Noise,
    watch: &mut Watch,
) -> Result<Vec<PatchMap>> {
    check(model, input, noise)?;
    let place = Place {
        site: Site::ResidualBefore,
        encoder: !input.target.is_empty(),
    };
    let clean = guard(|| {
        let work = &mut Work::new(watch, "causal tracing".into(), "passes", 1);
        let (_, values) = read_clean(model, input, place, work)?;
        Ok(host::array(&values.tensor(place.site, 0).get(0))) // (position, hidden)
    })?;
    let n = clean.len() as f64;
    let mean = clean.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = clean.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
    let deviation = noise.factor * variance.sqrt();
    let mut random = RandomState::new(noise.seed as u32);
    let ranges = noise.positions.iter().map(|&at| at..at + 1);
    let ranges: Vec<_> = ranges.collect();
    let mut maps = Vec::new();
    for _ in 0..noise.n_samples {
        let mut noised = clean.clone();
        for &position in &noise.positions {
            let mut row = noised.index_axis_mut(Axis(0), position);
            row.mapv_inplace(|x| x + (random.normal() * deviation) as f32);
        }
        let intervention = Intervention {
            place,
            layers: Some(vec![0]),
            part: Part::Whole,
            positions: Some(ranges.clone()),
            change: Change::Patch(vec![(0, noised)]),
        };
        let corrupted = model.edited(&compile(model, &[intervention], watch)?);
        maps.push(patch_map_between(
            [model, &corrupted],
            [input, input],
            options,
            None,
            watch,
        )?);
    }
    Ok(maps)
}

/// Draws at most: each is a map.
const MOST_SAMPLES: usize = 1_000;

fn check(model: &Model, input: &Input, noise: &Noise) -> Result<()> {
    input.check(model)?;
    if model.stack().is_edited() {
        return Err(ecco_models::Error::Edited {
            what: "causal tracing",
        }
        .into());
    }
    let n = input.ids.len();
    if noise.positions.is_empty() {
        return Err(refuse(
            "subject",
            "nothing",
            "noise is added to some of the tokens",
        ));
    }
    if let Some(&position) = noise.positions.iter().find(|&&position| position >= n) {
        let reason = format!("the text has {n} tokens, numbered from 0");
        return Err(refuse("subject", position, reason));
    }
    if !(noise.factor > 0.0 && noise.factor.is_finite()) {
        let reason = "it is how many standard deviations the noise has, above 0";
        return Err(refuse("noise", noise.factor, reason));
    }
    match noise.n_samples <= MOST_SAMPLES {
        true => Ok(()),
        false => {
            let reason = format!("at most {MOST_SAMPLES} maps are made");
            Err(refuse("samples", noise.n_samples, reason))
        }
    }
}
