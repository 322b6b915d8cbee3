//! The graph of a decoder's parts: who writes to the residual stream, and who reads it.

use ecco_models::Model;
use ecco_models::model::Body;
use ecco_models::tap::Reader;
use ndarray::Array2;

use crate::error::{Result, ensure_attention, refuse};

/// Sources (rows): the embeddings `input`, then of each layer its heads `a3.h1` and its MLP `m3`. Readers (columns): of
/// each layer the queries of each head `a3.q1`, each key head's keys `a3.k0` and values `a3.v0`, and its MLP `m3`; last
/// `logits`. Where several heads share a key head, it is one reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Graph {
    pub n_layers: usize,
    pub n_heads: usize,
    pub n_kv_heads: usize,
    /// Whether a layer's MLP reads what its attention reads.
    pub parallel: bool,
}

/// From a source to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Edge {
    pub source: usize,
    pub reader: usize,
}

/// What writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Input,
    Head { layer: usize, head: usize },
    Mlp { layer: usize },
}

impl Graph {
    /// # Errors
    /// For a model whose stream is no sum of what its parts write, or with layers without heads.
    pub fn of(model: &Model) -> Result<Self> {
        let config = model.config();
        let no = |reason: &str| Err(refuse("model", &config.model_type, reason.to_owned()));
        if !matches!(model.body(), Body::Decoder(_)) {
            return no("edges go through the one stream of a model that reads from left to right");
        }
        if config.residual.after_sum || config.residual.from_norms {
            return no("its norms stand on the stream, which is no sum of what its parts write");
        }
        if config.residual.scaled_layers {
            return no("each layer multiplies the stream, which is no sum of what its parts write");
        }
        if config.reads_beside() {
            return no(
                "its layers read more than the stream: inputs of their own, or other layers' keys and values",
            );
        }
        ensure_attention(model, "a graph of edges")?;
        if model.stack().is_edited() {
            return Err(ecco_models::Error::Edited { what: "these edges" }.into());
        }
        Ok(Self {
            n_layers: config.n_layers,
            n_heads: config.n_heads,
            n_kv_heads: config.n_kv_heads,
            parallel: config.residual.parallel,
        })
    }

    pub fn n_sources(&self) -> usize {
        1 + self.n_layers * (self.n_heads + 1)
    }

    pub fn n_readers(&self) -> usize {
        self.n_layers * self.readers_of_layer() + 1
    }

    fn readers_of_layer(&self) -> usize {
        self.n_heads + 2 * self.n_kv_heads + 1
    }

    pub fn source(&self, index: usize) -> Source {
        let Some(index) = index.checked_sub(1) else {
            return Source::Input;
        };
        let (layer, head) = (index / (self.n_heads + 1), index % (self.n_heads + 1));
        match head == self.n_heads {
            true => Source::Mlp { layer },
            false => Source::Head { layer, head },
        }
    }

    /// The rows of a layer's heads begin here; its MLP's follows them.
    pub(super) fn first_source(&self, layer: usize) -> usize {
        1 + layer * (self.n_heads + 1)
    }

    /// What reads, of which layer (the last one's of the logits), and which of them.
    pub fn reader(&self, index: usize) -> (Reader, usize, usize) {
        let (layer, at) = (index / self.readers_of_layer(), index % self.readers_of_layer());
        let (heads, keys) = (self.n_heads, self.n_kv_heads);
        match at {
            _ if layer == self.n_layers => (Reader::Head, layer - 1, 0),
            at if at < heads => (Reader::Queries, layer, at),
            at if at < heads + keys => (Reader::Keys, layer, at - heads),
            at if at < heads + 2 * keys => (Reader::Values, layer, at - heads - keys),
            _ => (Reader::Mlp, layer, 0),
        }
    }

    /// The columns of a layer's readers of a kind: the first, and how many.
    pub(super) fn readers(&self, reader: Reader, layer: usize) -> (usize, usize) {
        let first = layer * self.readers_of_layer();
        let (heads, keys) = (self.n_heads, self.n_kv_heads);
        match reader {
            Reader::Queries => (first, heads),
            Reader::Keys => (first + heads, keys),
            Reader::Values => (first + heads + keys, keys),
            Reader::Mlp => (first + heads + 2 * keys, 1),
            Reader::Head => (self.n_readers() - 1, 1),
        }
    }

    /// How many sources, from the first on, have written before a reader of a layer reads.
    pub(super) fn n_before(&self, reader: Reader, layer: usize) -> usize {
        match reader {
            Reader::Head => self.n_sources(),
            Reader::Mlp if !self.parallel => self.first_source(layer) + self.n_heads,
            _ => self.first_source(layer),
        }
    }

    pub fn has(&self, edge: Edge) -> bool {
        let (reader, layer, _) = self.reader(edge.reader);
        edge.reader < self.n_readers() && edge.source < self.n_before(reader, layer)
    }

    /// All edges, by source and then by reader.
    pub fn edges(&self) -> Vec<Edge> {
        let each = (0..self.n_sources())
            .flat_map(|source| (0..self.n_readers()).map(move |reader| Edge { source, reader }));
        each.filter(|&edge| self.has(edge)).collect()
    }

    pub fn source_name(&self, index: usize) -> String {
        match self.source(index) {
            Source::Input => "input".to_owned(),
            Source::Head { layer, head } => format!("a{layer}.h{head}"),
            Source::Mlp { layer } => format!("m{layer}"),
        }
    }

    pub fn reader_name(&self, index: usize) -> String {
        match self.reader(index) {
            (Reader::Queries, layer, head) => format!("a{layer}.q{head}"),
            (Reader::Keys, layer, head) => format!("a{layer}.k{head}"),
            (Reader::Values, layer, head) => format!("a{layer}.v{head}"),
            (Reader::Mlp, layer, _) => format!("m{layer}"),
            (Reader::Head, ..) => "logits".to_owned(),
        }
    }

    /// # Errors
    /// For a name that no source has.
    pub fn source_named(&self, name: &str) -> Result<usize> {
        let found = (0..self.n_sources()).find(|&index| self.source_name(index) == name);
        let (layers, heads) = (self.n_layers - 1, self.n_heads - 1);
        found.ok_or_else(|| {
            let reason = format!(
                "sources are \"input\", heads \"a0.h0\" to \"a{layers}.h{heads}\", and MLPs \"m0\" to \"m{layers}\""
            );
            refuse("from", format!("{name:?}"), reason)
        })
    }

    /// # Errors
    /// For a name that no reader has.
    pub fn reader_named(&self, name: &str) -> Result<usize> {
        let found = (0..self.n_readers()).find(|&index| self.reader_name(index) == name);
        let (layers, heads, keys) = (self.n_layers - 1, self.n_heads - 1, self.n_kv_heads - 1);
        found.ok_or_else(|| {
            let reason = format!(
                "readers are queries \"a0.q0\" to \"a{layers}.q{heads}\", keys \"a0.k0\" to \"a{layers}.k{keys}\", values \
                 \"a0.v0\" to \"a{layers}.v{keys}\", MLPs \"m0\" to \"m{layers}\", and \"logits\""
            );
            refuse("to", format!("{name:?}"), reason)
        })
    }

    /// The columns by which a source gets what it makes something of.
    fn inputs(&self, source: usize) -> Vec<usize> {
        let group = self.n_heads / self.n_kv_heads.max(1);
        let column = |reader, layer, at| self.readers(reader, layer).0 + at;
        match self.source(source) {
            Source::Input => vec![],
            Source::Head { layer, head } => vec![
                column(Reader::Queries, layer, head),
                column(Reader::Keys, layer, head / group),
                column(Reader::Values, layer, head / group),
            ],
            Source::Mlp { layer } => vec![column(Reader::Mlp, layer, 0)],
        }
    }

    /// Drops edges from sources that nothing reaches, and to readers whose parts reach nothing, until none is left.
    pub(super) fn prune(&self, kept: &mut Array2<bool>) {
        let last = self.n_readers() - 1;
        loop {
            let before = kept.clone();
            let mut is_of_use = vec![false; self.n_readers()];
            is_of_use[last] = true;
            for source in 1..self.n_sources() {
                let inputs = self.inputs(source);
                if !inputs
                    .iter()
                    .any(|&column| kept.column(column).iter().any(|&kept| kept))
                {
                    kept.row_mut(source).fill(false);
                }
                if kept.row(source).iter().any(|&kept| kept) {
                    inputs.iter().for_each(|&column| is_of_use[column] = true);
                }
            }
            for (column, _) in is_of_use.iter().enumerate().filter(|(_, is_of_use)| !**is_of_use) {
                kept.column_mut(column).fill(false);
            }
            if before == *kept {
                return;
            }
        }
    }
}
