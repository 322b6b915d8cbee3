//! What can be chosen about an attribution.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::aggregation::Aggregation;
use super::baseline::Baseline;
use super::method::Method;
use crate::error::{Result, refuse};

#[derive(Debug, Clone, PartialEq)]
pub struct AttributionOptions {
    pub method: Method,
    /// Steps of the path integral, for integrated gradients; Gauss–Legendre.
    pub n_steps: usize,
    /// For gradient SHAP: the deviation of what is added to each number of an embedding, by that of the text's
    /// embeddings.
    pub noise: f64,
    /// The same for SmoothGrad.
    pub sigma: f64,
    /// What contributions are a difference from, for the methods that have one.
    pub baseline: Baseline,
    /// How the numbers along an embedding become one.
    pub aggregation: Aggregation,
    /// How many neighbouring sources occlusion replaces together.
    pub window: usize,
    /// How many passes LIME and KernelSHAP take, or points gradient SHAP and SmoothGrad; `None` for as many as their authors' packages
    /// do, or fewer (see `docs/methods`).
    pub n_samples: Option<usize>,
    /// Of what is drawn at random.
    pub seed: u64,
    /// Whether the token that an encoder–decoder's decoder starts with is a source, too: its share is in the sum that
    /// shares are of, and in what contributions add up to. No row has a place for it.
    pub start_token: bool,
}

impl Default for AttributionOptions {
    fn default() -> Self {
        Self {
            method: Method::default(),
            n_steps: 50,
            noise: 0.1,
            sigma: 0.15,
            baseline: Baseline::default(),
            aggregation: Aggregation::default(),
            window: 1,
            n_samples: None,
            seed: 0,
            start_token: false,
        }
    }
}

impl AttributionOptions {
    pub fn with(method: Method) -> Self {
        Self {
            method,
            ..Self::default()
        }
    }

    /// Refuses what is out of range, or means nothing to the method.
    pub(super) fn check(&self) -> Result<()> {
        if !self.method.has_baseline() && self.baseline != Baseline::Zero {
            let reason = format!("{} does not compare with one", self.method.name());
            return Err(refuse("baseline", self.baseline.name(), reason));
        }
        if self.start_token && self.method.is_of_attention() {
            let reason = format!("{} looks at attention, not at embeddings", self.method.name());
            return Err(refuse("start_token", true, reason));
        }
        within("window", self.window, 1..=10_000)?;
        within("n_samples", self.n_samples.unwrap_or(1), 1..=1_000_000)?;
        within("n_steps", self.n_steps, 1..=10_000)?;
        within("seed", self.seed, 0..=u64::from(u32::MAX))?;
        within("noise", self.noise, 0.0..=10.0)?;
        within("sigma", self.sigma, 0.0..=10.0)
    }

    /// Refuses samples that are too few to tell `n_sources` apart.
    pub(super) fn ensure_samples(&self, n: usize, least: usize, n_sources: usize) -> Result<()> {
        match n >= least {
            true => Ok(()),
            false => {
                let label = self.method.label();
                let reason = format!("{label} of {n_sources} sources needs at least {least}");
                Err(refuse("n_samples", n, reason))
            }
        }
    }
}

/// Refuses what is out of a range.
fn within<T: PartialOrd + Display>(option: &'static str, value: T, range: RangeInclusive<T>) -> Result<()> {
    match range.contains(&value) {
        true => Ok(()),
        false => {
            let reason = format!("expected {} to {}", range.start(), range.end());
            Err(refuse(option, value, reason))
        }
    }
}
