//! A tap that keeps a few positions of each site: what a reading of some tokens needs, whatever the text's length.

use std::collections::HashMap;
use std::ops::ControlFlow;

use ecco_interpreter::{Progress, Watch};
use ecco_models::{Site, Tap};
use tch::Tensor;

/// Positions of some sites of one sequence, recorded while it passes.
pub(crate) struct Rows<'a, 'b> {
    sites: &'a [Site],
    positions: Tensor,
    tensors: HashMap<(Site, usize), Tensor>,
    watch: &'a mut Watch<'b>,
    n_layers: usize,
}

impl<'a, 'b> Rows<'a, 'b> {
    pub(crate) fn new(
        sites: &'a [Site],
        positions: &[usize],
        n_layers: usize,
        watch: &'a mut Watch<'b>,
    ) -> Self {
        let positions: Vec<i64> = positions.iter().map(|&position| position as i64).collect();
        Self {
            sites,
            positions: Tensor::from_slice(&positions),
            tensors: HashMap::new(),
            watch,
            n_layers,
        }
    }

    /// `[row, hidden]`, `[row, neuron]`; of heads `[head, row, head_dim]`. `None` where the model has no such site.
    pub(crate) fn get(&self, site: Site, layer: usize) -> Option<&Tensor> {
        self.tensors.get(&(site, layer))
    }
}

impl Tap for Rows<'_, '_> {
    fn wants(&self, site: Site, _: usize) -> bool {
        self.sites.contains(&site)
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        if self.wants(site, layer) {
            let rows = value.index_select(value.dim() as i64 - 2, &self.positions.to_device(value.device()));
            self.tensors.insert((site, layer), rows.get(0));
        }
        value
    }

    fn proceed(&mut self, layer: usize) -> ControlFlow<()> {
        (self.watch)(&Progress {
            label: "running the model".into(),
            done: layer as u64,
            total: Some(self.n_layers as u64),
            unit: "layers",
        })
    }
}
