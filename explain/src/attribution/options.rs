//! What can be chosen about an attribution.

use ecco_models::named;

use super::method::Method;
use crate::error::{Error, Result};

#[derive(Debug, Clone, PartialEq)]
pub struct AttributionOptions {
    pub method: Method,
    /// Steps of the path integral, for integrated gradients; Gauss–Legendre.
    pub n_steps: usize,
    /// For gradient SHAP: the deviation of what is added to each number of an embedding, by that of the text's
    /// embeddings.
    pub noise: f64,
    /// What contributions are a difference from, for the methods that have one.
    pub baseline: Baseline,
    /// How the numbers along an embedding become one.
    pub aggregation: Aggregation,
    /// How many neighbouring sources occlusion replaces together.
    pub window: usize,
    /// How many passes LIME and KernelSHAP take, or points gradient SHAP; `None` for as many as their authors' packages
    /// do, or fewer (see `docs/methods`).
    pub n_samples: Option<usize>,
    /// Of what is drawn at random.
    pub seed: u64,
}

impl Default for AttributionOptions {
    fn default() -> Self {
        Self {
            method: Method::default(),
            n_steps: 50,
            noise: 0.1,
            baseline: Baseline::default(),
            aggregation: Aggregation::default(),
            window: 1,
            n_samples: None,
            seed: 0,
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

    pub(super) fn check(&self) -> Result<()> {
        if !self.method.has_baseline() && self.baseline != Baseline::Zero {
            return Err(Error::Option {
                option: "baseline",
                value: self.baseline.name().into(),
                reason: format!("{} does not compare with one", self.method.name()),
            });
        }
        bounded("window", self.window, 10_000)?;
        bounded("n_samples", self.n_samples.unwrap_or(1), 1_000_000)?;
        bounded("n_steps", self.n_steps, 10_000)?;
        if self.seed > u64::from(u32::MAX) {
            return Err(Error::Option {
                option: "seed",
                value: self.seed.to_string(),
                reason: format!("expected 0 to {}", u32::MAX),
            });
        }
        match (0.0..=10.0).contains(&self.noise) {
            true => Ok(()),
            false => Err(Error::Option {
                option: "noise",
                value: self.noise.to_string(),
                reason: "expected 0 to 10".into(),
            }),
        }
    }

    /// At how many points gradients are taken.
    pub(super) fn n_points(&self) -> usize {
        match self.method {
            Method::IntegratedGradients => self.n_steps,
            Method::GradientShap => self.n_samples.unwrap_or(SHAP_SAMPLES),
            _ => 1,
        }
    }
}

/// Points of gradient SHAP.
pub(super) const SHAP_SAMPLES: usize = 50;

fn bounded(option: &'static str, value: usize, most: usize) -> Result<()> {
    match (1..=most).contains(&value) {
        true => Ok(()),
        false => Err(Error::Option {
            option,
            value: value.to_string(),
            reason: format!("expected 1 to {most}"),
        }),
    }
}

/// The text that stands for nothing, as embeddings; positions stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Baseline {
    /// Zero at every token.
    #[default]
    Zero,
    /// The padding token's embedding at every token.
    Pad,
    /// The mask's.
    Mask,
    /// The mean embedding of the vocabulary.
    Mean,
    /// The embeddings of these tokens, one for each token of the text or for the first of them; those behind keep
    /// their own. For an encoder–decoder they stand for the text that is read.
    Text(Vec<u32>),
}

named! {
    pub Baseline {
        Zero = "zero",
        Pad = "pad",
        Mask = "mask",
        Mean = "mean",
        .. = "a text",
    }
}

named! {
    /// How the numbers along a token's embedding become one score.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub enum Aggregation {
        /// √Σ x².
        #[default]
        L2 = "l2",
        /// Σ |x|.
        L1 = "l1",
        /// Σ x, with its sign.
        Sum = "sum",
        /// The mean of x, with its sign.
        Mean = "mean",
    }
}

impl Aggregation {
    /// Whether scores have signs.
    pub fn is_signed(self) -> bool {
        matches!(self, Self::Sum | Self::Mean)
    }
}
