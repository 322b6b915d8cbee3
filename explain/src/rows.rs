//! A tap that keeps a few positions of each site: what a reading of some tokens needs, whatever the text's length.

use std::collections::HashMap;
use std::ops::ControlFlow;

use ecco_interpreter::{Progress, Watch};
use ecco_models::host::bring;
use ecco_models::stack::Stack;
use ecco_models::{Site, Tap, host};
use tch::{Kind, Tensor};

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
        stack: &Stack,
        watch: &'a mut Watch<'b>,
    ) -> Self {
        let positions: Vec<i64> = positions.iter().map(|&position| position as i64).collect();
        Self {
            sites,
            positions: host::index(&positions, stack.device()),
            tensors: HashMap::new(),
            watch,
            n_layers: stack.blocks.len(),
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
            // Layers on one device share it.
            self.positions = bring(&self.positions, (Kind::Int64, value.device()));
            let rows = value.index_select(value.dim() as i64 - 2, &self.positions);
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
