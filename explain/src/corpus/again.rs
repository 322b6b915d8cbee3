//! One neuron's values over some texts, token by token.

use ecco_interpreter::Watch;
use ecco_models::guard::guard;
use ecco_models::host::{self, bring};
use ecco_models::run::{Input, Place};
use ecco_models::tap::Tap;
use ecco_models::{Model, Site};
use tch::{Device, Kind, Tensor};

use super::Units;
use super::units::Placed;
use crate::error::Result;
use crate::states::{in_batches, length};

/// By text and position. Texts are read side by side; of each pass the one neuron is kept.
///
/// # Errors
/// `watch`'s interruption; a neuron that is not there.
pub fn neuron_values(
    model: &Model,
    inputs: &[Input],
    (place, units): (Place, &Units),
    (layer, neuron): (Option<usize>, usize),
    watch: &mut Watch,
) -> Result<Vec<Vec<f32>>> {
    let mut values = vec![Vec::new(); inputs.len()];
    let units = Placed::new(units);
    in_batches(model, inputs, place, watch, |batch, together, read| {
        let mut tap = One {
            site: place.site,
            units: &units,
            layer,
            neuron: neuron as i64,
            found: None,
        };
        read(&mut tap)?;
        let found = tap
            .found
            .unwrap_or_else(|| Tensor::zeros([0, 0], (Kind::Float, Device::Cpu)));
        let rows = guard(|| Ok(host::array(&found)))?;
        for ((row, &at), input) in rows.outer_iter().zip(batch).zip(together) {
            values[at] = row.iter().copied().take(length(input, place)).collect();
        }
        Ok(())
    })?;
    Ok(values)
}

struct One<'a> {
    site: Site,
    units: &'a Placed<'a>,
    /// None: whichever there is.
    layer: Option<usize>,
    neuron: i64,
    /// `[text, position]`
    found: Option<Tensor>,
}

impl Tap for One<'_> {
    fn wants(&self, site: Site, layer: usize) -> bool {
        site == self.site && self.layer.is_none_or(|of| of == layer)
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        if self.wants(site, layer) {
            let one = self.units.values(layer, &value).select(2, self.neuron);
            self.found = Some(bring(&one, (Kind::Float, one.device())));
        }
        value
    }
}
