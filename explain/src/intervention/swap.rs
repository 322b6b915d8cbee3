//! Two directions' coordinates, exchanged: what a value has of one it has of the other, and the rest stays ("Verbalizable
//! Representations Form a Global Workspace").
//!
//! With V = \[v₁ v₂\] and c = V⁺ x, x becomes x + V (c′ − c), where c′ has the numbers of c the other way round: x + (c₂ − c₁)
//! (v₁ − v₂). That is a change of rank one, and what stands across both directions does not change.

use ecco_models::edit;
use ecco_models::guard::guard;
use ecco_models::run::Place;
use tch::Tensor;

use crate::error::{Result, refuse};

/// What is exchanged.
#[derive(Debug, Clone, PartialEq)]
pub struct Swap {
    /// As wide as the place, not parallel.
    pub directions: [Vec<f32>; 2],
    /// For people: `" Paris"`.
    pub names: [String; 2],
}

/// The least square of the sine of the angle between both.
const LEAST_ANGLE: f64 = 1e-10;

impl Swap {
    /// At a place whose axes have these lengths in a text of one token.
    pub(super) fn change(&self, place: Place, size: &[usize]) -> Result<edit::Change> {
        let width = size[size.len() - 1];
        if size.len() == 3 {
            let reason = "it is divided by heads, and coordinates are those of one stream";
            return Err(refuse("site", place.name(), reason));
        }
        if let Some(wrong) = self.directions.iter().find(|direction| direction.len() != width) {
            let value = format!("directions of {} numbers", wrong.len());
            let reason = format!("{} has {width} at each position", place.name());
            return Err(refuse("lens", value, reason));
        }
        let [one, other] = &self.directions;
        let dot = |a: &[f32], b: &[f32]| {
            let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
            products.sum::<f64>()
        };
        let (a, b, c) = (dot(one, one), dot(one, other), dot(other, other));
        let determinant = a * c - b * b;
        // Numbers that are none are not above it.
        if !(determinant.is_finite() && determinant > LEAST_ANGLE * a * c) {
            let value = format!("{} and {}", self.names[0], self.names[1]);
            let reason = "their directions are parallel or 0: there are no two coordinates to swap";
            return Err(refuse("tokens", value, reason));
        }
        // The rows of the pseudoinverse are (c v₁ − b v₂) / det and (a v₂ − b v₁) / det.
        let each = || one.iter().zip(other).map(|(x, y)| (f64::from(*x), f64::from(*y)));
        let read: Vec<f64> = each()
            .map(|(x, y)| ((a + b) * y - (b + c) * x) / determinant)
            .collect();
        let write: Vec<f64> = each().map(|(x, y)| x - y).collect();
        Ok(guard(|| {
            Ok(edit::Change::RankOne {
                read: Tensor::from_slice(&read),
                write: Tensor::from_slice(&write),
            })
        })?)
    }

    pub(super) fn label(&self) -> String {
        format!(
            "the coordinates of {} and {} swapped",
            self.names[0], self.names[1]
        )
    }
}
