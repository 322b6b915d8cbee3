//! How far the weights of two models are apart.

use ecco_interpreter::{Progress, Watch};
use ecco_models::Model;
use ecco_models::device::ensure_room;
use tch::Device;

use crate::error::Result;

/// One weight of both.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightDistance {
    /// What it is in every family: `layers.0.attention.query.weight`.
    pub role: String,
    /// ‖tuned − base‖² and ‖base‖², sums of squares.
    pub difference: f64,
    pub base: f64,
}

impl WeightDistance {
    /// ‖tuned − base‖ / ‖base‖, Frobenius norms; of several weights as of one that has them side by side.
    pub fn relative<'a>(all: impl IntoIterator<Item = &'a Self>) -> f64 {
        let (mut difference, mut base) = (0.0, 0.0);
        for weight in all {
            difference += weight.difference;
            base += weight.base;
        }
        match difference == 0.0 {
            true => 0.0,
            false => (difference / base).sqrt(),
        }
    }

    /// The layer that it is of; none of an encoder's beside a decoder.
    pub fn layer(&self) -> Option<usize> {
        let own = self.role.strip_prefix("decoder.").unwrap_or(&self.role);
        own.strip_prefix("layers.")?.split('.').next()?.parse().ok()
    }
}

/// Of the weights that both have, as their files have them: without adapters. Two at a time are in memory.
///
/// # Errors
/// Files that have changed since they were read; no room.
pub fn weight_distances(base: &Model, tuned: &Model, watch: &mut Watch) -> Result<Vec<WeightDistance>> {
    let others = tuned.weights()?;
    let cards = base.weights()?;
    let both: Vec<_> = cards
        .into_iter()
        .filter_map(|card| {
            let role = card.role.clone()?;
            let is_it = |other: &&_| {
                let other: &&ecco_models::WeightCard = other;
                other.role.as_deref() == Some(&role) && other.shape == card.shape
            };
            others
                .iter()
                .find(is_it)
                .map(|other| (role, card.name, other.name.clone(), card.shape))
        })
        .collect();
    let mut all = Vec::new();
    for (at, (role, name, other, shape)) in both.iter().enumerate() {
        let progress = Progress {
            label: "comparing weights".into(),
            done: at as u64,
            total: Some(both.len() as u64),
            unit: "weights",
        };
        if watch(&progress).is_break() {
            return Err(ecco_models::Error::Interrupted.into());
        }
        let bytes = 2 * shape.iter().product::<usize>() * size_of::<f32>();
        ensure_room(Device::Cpu, bytes as u64, "a weight of both models")?;
        let (one, other) = (base.weight(name)?, tuned.weight(other)?);
        let (mut difference, mut sum) = (0.0, 0.0);
        for (&a, &b) in one.iter().zip(&other) {
            let (a, b) = (f64::from(a), f64::from(b));
            difference += (b - a).powi(2);
            sum += a * a;
        }
        all.push(WeightDistance {
            role: role.clone(),
            difference,
            base: sum,
        });
    }
    Ok(all)
}
