//! A tap that keeps a few positions of each site: what a reading of some tokens needs, whatever the texts' lengths.

use std::collections::HashMap;
use std::ops::ControlFlow;

use ecco_interpreter::{Progress, Watch};
use ecco_models::host::bring;
use ecco_models::stack::Stack;
use ecco_models::{Site, Tap, host};
use tch::{Kind, Tensor};

/// Positions of some sites of one sequence, or of several that pass side by side, recorded while they pass.
pub(crate) struct Rows<'a, 'b> {
    sites: &'a [Site],
    positions: Tensor,
    /// Of which sequence each is, where there are several.
    texts: Option<Tensor>,
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
        Self {
            sites,
            positions: index(positions.iter().copied(), stack),
            texts: None,
            tensors: HashMap::new(),
            watch,
            n_layers: stack.blocks.len(),
        }
    }

    /// The same of several sequences: of which one each position is, and the position.
    pub(crate) fn of_several(
        sites: &'a [Site],
        places: &[(usize, usize)],
        stack: &Stack,
        watch: &'a mut Watch<'b>,
    ) -> Self {
        let positions: Vec<usize> = places.iter().map(|(_, position)| *position).collect();
        let texts = index(places.iter().map(|(text, _)| *text), stack);
        Self {
            texts: Some(texts),
            ..Self::new(sites, &positions, stack, watch)
        }
    }

    /// The positions of `[text, position, size]`, or with heads before the position: `[row, size]`, `[head, row, size]`.
    pub(crate) fn of(&mut self, value: &Tensor) -> Tensor {
        // Layers on one device share it.
        self.positions = bring(&self.positions, (Kind::Int64, value.device()));
        let Some(texts) = &self.texts else {
            return value.index_select(value.dim() as i64 - 2, &self.positions).get(0);
        };
        let texts = bring(texts, (Kind::Int64, value.device()));
        match value.dim() {
            // What is picked by two lists stands before what is whole.
            4 => value
                .index(&[Some(&texts), None, Some(&self.positions)])
                .transpose(0, 1),
            _ => value.index(&[Some(&texts), Some(&self.positions)]),
        }
    }

    /// `[row, hidden]`, `[row, neuron]`; of heads `[head, row, head_dim]`. `None` where the model has no such site.
    pub(crate) fn get(&self, site: Site, layer: usize) -> Option<&Tensor> {
        self.tensors.get(&(site, layer))
    }
}

fn index(places: impl Iterator<Item = usize>, stack: &Stack) -> Tensor {
    let places: Vec<i64> = places.map(|place| place as i64).collect();
    host::index(&places, stack.device())
}

impl Tap for Rows<'_, '_> {
    fn wants(&self, site: Site, _: usize) -> bool {
        self.sites.contains(&site)
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        if self.wants(site, layer) {
            let rows = self.of(&value);
            self.tensors.insert((site, layer), rows);
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
