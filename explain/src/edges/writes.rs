//! What each source writes to the stream.

use ecco_models::attention::Attention;
use ecco_models::stack::Block;
use ecco_models::{Model, Site};
use tch::{Kind, Tensor};

use super::graph::Graph;
use ecco_models::host::bring;

/// What the sources of a pass have written so far.
pub(super) struct Writes<'m> {
    model: &'m Model,
    graph: Graph,
    /// `[text, source, position, hidden]`, zeros where nothing is written yet.
    all: Option<Tensor>,
}

impl<'m> Writes<'m> {
    pub(super) fn new(model: &'m Model, graph: Graph) -> Self {
        let all = None;
        Self { model, graph, all }
    }

    /// Whether [`Self::note`] has to see this.
    pub(super) fn wants(site: Site, layer: usize) -> bool {
        matches!(site, Site::HeadOutputs | Site::MlpOutput) || (site == Site::ResidualBefore && layer == 0)
    }

    pub(super) fn note(&mut self, site: Site, layer: usize, value: &Tensor) {
        let first = self.graph.first_source(layer);
        match site {
            Site::ResidualBefore if layer == 0 => self.put(0, &value.unsqueeze(1)),
            Site::HeadOutputs => {
                let block = &self.model.stack().blocks[layer];
                if let Some(attention) = block.mixer.attention() {
                    self.put(first, &of_heads(block, attention, value));
                }
            }
            Site::MlpOutput => self.put(first + self.graph.n_heads, &value.unsqueeze(1)),
            _ => {}
        }
    }

    /// `written` is `[text, source, position, hidden]`.
    fn put(&mut self, first: usize, written: &Tensor) {
        let size = written.size();
        let n = self.graph.n_sources() as i64;
        let all = self.all.get_or_insert_with(|| {
            Tensor::zeros([size[0], n, size[2], size[3]], (written.kind(), written.device()))
        });
        let written = bring(written, (all.kind(), all.device()));
        all.narrow(1, first as i64, size[1]).copy_(&written);
    }

    /// The first sources' writes, `[text, source, position, hidden]`.
    pub(super) fn first(&self, n: usize) -> Tensor {
        match &self.all {
            Some(all) => all.narrow(1, 0, n as i64),
            None => Tensor::zeros([1, n as i64, 1, 1], self.model.stack().place()),
        }
    }

    /// Of one text, `[source, position, hidden]`.
    pub(super) fn of_one_text(&self) -> Tensor {
        self.first(self.graph.n_sources()).get(0)
    }
}

/// What each head adds to the stream, without what is added whatever heads do: `[text, head, position, hidden]` from
/// their mixtures `[text, head, position, head_dim]`. Behind a norm its part by that pass's deviation, so that heads sum up.
fn of_heads(block: &Block, attention: &Attention, mixed: &Tensor) -> Tensor {
    let output = &attention.output;
    let n_heads = mixed.size()[1];
    // Each head alone, among zeros.
    let alone = Tensor::eye(n_heads, (Kind::Int64, mixed.device())).to_kind(mixed.kind());
    let alone = alone.reshape([1, n_heads, 1, n_heads, 1]);
    let side_by_side = mixed.transpose(1, 2); // [text, position, head, head_dim]
    let parts = output.linear(&(side_by_side.unsqueeze(1) * alone).flatten(3, 4));
    let parts = match &block.attention_post_norm {
        Some(norm) if block.residual.after_branch => {
            let whole = output.forward(&side_by_side.flatten(2, 3));
            norm.share(&whole.unsqueeze(1), &parts)
        }
        _ => parts,
    };
    match block.residual.scale {
        1.0 => parts,
        scale => parts * scale,
    }
}
