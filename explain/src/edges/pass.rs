//! Passes in which readers see something else than the stream.

use std::ops::ControlFlow;

use ecco_models::host::bring;
use ecco_models::run::{self, Input, Known};
use ecco_models::tap::{NoTap, Reader, Tap};
use ecco_models::{Model, Site};
use tch::{Kind, Tensor};

use super::graph::{Edge, Graph};
use super::writes::Writes;
use crate::attribution::work::Work;
use crate::intervention::answer::{Answer, Measure};

/// A pair of texts of which everything is known that edges need.
pub(super) struct Pair<'m> {
    pub model: &'m Model,
    pub graph: Graph,
    pub clean: &'m Input,
    pub corrupted: &'m Input,
    pub measure: Measure<'m>,
    /// `[source, position, hidden]`.
    clean_writes: Tensor,
    corrupted_writes: Tensor,
    /// `[1]` each.
    pub clean_answer: Tensor,
    pub corrupted_answer: Tensor,
    /// The pass over the corrupted text.
    known: Known,
}

impl<'m> Pair<'m> {
    /// Two passes. The answer's position is the same in both texts.
    pub(super) fn read(
        model: &'m Model,
        graph: Graph,
        [clean, corrupted]: [&'m Input; 2],
        answer: Answer,
        work: &mut Work,
    ) -> ecco_models::error::Result<Self> {
        let mut read = |input: &Input| {
            let mut tap = Note {
                writes: Writes::new(model, graph),
                work: &mut *work,
            };
            let (known, states) = run::known(model, input, &mut tap)?;
            Ok::<_, ecco_models::Error>((tap.writes.of_one_text(), states, known))
        };
        let (clean_writes, clean_states, _) = read(clean)?;
        let (corrupted_writes, corrupted_states, known) = read(corrupted)?;
        let measure = Measure::new(model, answer, answer, &clean_states)?;
        Ok(Self {
            model,
            graph,
            clean,
            corrupted,
            clean_answer: measure.of_states(&clean_states)?,
            corrupted_answer: measure.of_states(&corrupted_states)?,
            measure,
            clean_writes,
            corrupted_writes,
            known,
        })
    }

    /// What the embeddings write: `[1, position, hidden]` each, to the corrupted text and to the clean one.
    pub(super) fn embeddings(&self) -> [Tensor; 2] {
        [&self.corrupted_writes, &self.clean_writes].map(|writes| writes.narrow(0, 0, 1))
    }

    /// What the first sources write to the clean text and not to the corrupted one, `[source, position, hidden]`.
    pub(super) fn difference(&self, n: usize) -> Tensor {
        let n = n as i64;
        self.clean_writes.narrow(0, 0, n) - self.corrupted_writes.narrow(0, 0, n)
    }

    /// The answers to the corrupted text where one reader sees what one source writes to the clean one; all that follows is
    /// computed anew. `[edge]`; the edges' readers are of one layer.
    pub(super) fn with_edges(&self, edges: &[Edge], work: &mut Work) -> ecco_models::error::Result<Tensor> {
        let (_, layer, _) = self.graph.reader(edges[0].reader);
        let mut tap = Exact {
            graph: self.graph,
            edges,
            difference: self.difference(self.graph.n_sources()),
            work,
        };
        let states = run::resume(self.model, &self.known, layer, edges.len(), &mut tap)?;
        self.measure.of_states(&states)
    }

    /// The answers to the clean text where readers see, of the sources whose edges are cut, what these write to the corrupted
    /// one. `cut` is `[circuit, source, reader]`, 1 where an edge is cut: `[circuit]`.
    pub(super) fn with_cuts(&self, cut: Tensor, work: &mut Work) -> ecco_models::error::Result<Tensor> {
        let n = cut.size()[0] as usize;
        let mut tap = Cut {
            graph: self.graph,
            cut,
            other: &self.corrupted_writes,
            writes: Writes::new(self.model, self.graph),
            work,
        };
        let inputs = vec![self.clean.clone(); n];
        let states = run::states(self.model, &inputs, &mut tap, &mut NoTap)?;
        self.measure.of_states(&states)
    }
}

/// Notes what is written.
struct Note<'m, 'r, 'w, 'b> {
    writes: Writes<'m>,
    work: &'r mut Work<'w, 'b>,
}

impl Tap for Note<'_, '_, '_, '_> {
    fn wants(&self, site: Site, layer: usize) -> bool {
        Writes::wants(site, layer)
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        self.writes.note(site, layer, &value);
        value
    }

    fn proceed(&mut self, _: usize) -> ControlFlow<()> {
        self.work.report()
    }
}

/// The stream for each reader of a kind: `[text, reader, position, hidden]`, or without that axis where there is one.
pub(super) fn streams(reader: Reader, n: usize, stream: &Tensor) -> Tensor {
    match reader {
        Reader::Mlp | Reader::Head => stream.shallow_clone(),
        _ => stream.unsqueeze(1).expand([-1, n as i64, -1, -1], false),
    }
}

/// Adds an edge's difference to its reader's stream, another edge in every row.
struct Exact<'a, 'w, 'b> {
    graph: Graph,
    edges: &'a [Edge],
    difference: Tensor,
    work: &'a mut Work<'w, 'b>,
}

impl Tap for Exact<'_, '_, '_> {
    fn wants(&self, _: Site, _: usize) -> bool {
        false
    }

    fn visit(&mut self, _: Site, _: usize, value: Tensor) -> Tensor {
        value
    }

    fn read(&mut self, reader: Reader, layer: usize, stream: &Tensor) -> Option<Tensor> {
        let (first, n) = self.graph.readers(reader, layer);
        let own = |edge: &Edge| (first..first + n).contains(&edge.reader);
        if !self.edges.iter().any(own) {
            return None;
        }
        let streams = streams(reader, n, stream).copy();
        for (row, edge) in self.edges.iter().enumerate().filter(|(_, edge)| own(edge)) {
            let mut seen = streams.get(row as i64);
            if seen.dim() == 3 {
                seen = seen.get((edge.reader - first) as i64);
            }
            let difference = self.difference.get(edge.source as i64);
            let _ = seen.g_add_(&bring(&difference, (seen.kind(), seen.device())));
        }
        Some(streams)
    }

    fn proceed(&mut self, _: usize) -> ControlFlow<()> {
        self.work.report()
    }
}

/// Puts another pass's writes in the place of this one's wherever an edge is cut.
struct Cut<'a, 'w, 'b> {
    graph: Graph,
    /// `[text, source, reader]`.
    cut: Tensor,
    /// `[source, position, hidden]`.
    other: &'a Tensor,
    writes: Writes<'a>,
    work: &'a mut Work<'w, 'b>,
}

impl Tap for Cut<'_, '_, '_> {
    fn wants(&self, site: Site, layer: usize) -> bool {
        Writes::wants(site, layer)
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        self.writes.note(site, layer, &value);
        value
    }

    fn read(&mut self, reader: Reader, layer: usize, stream: &Tensor) -> Option<Tensor> {
        let (first, n) = self.graph.readers(reader, layer);
        let n_before = self.graph.n_before(reader, layer);
        let cut = self
            .cut
            .narrow(1, 0, n_before as i64)
            .narrow(2, first as i64, n as i64);
        let here = self.writes.first(n_before);
        let change = self.other.narrow(0, 0, n_before as i64).unsqueeze(0) - here; // [text, source, position, hidden]
        let cut = cut.transpose(1, 2).to_kind(change.kind()).contiguous();
        let seen = cut.matmul(&change.flatten(2, 3)); // [text, reader, position · hidden]
        let size = change.size();
        let seen = seen.unflatten(2, [size[2], size[3]]);
        let seen = if matches!(reader, Reader::Mlp | Reader::Head) {
            seen.select(1, 0)
        } else {
            seen
        };
        Some(streams(reader, n, stream) + bring(&seen, (stream.kind(), stream.device())))
    }

    fn proceed(&mut self, _: usize) -> ControlFlow<()> {
        self.work.report()
    }
}

/// As numbers, `[circuit, source, reader]`.
pub(super) fn as_tensor(cut: &[&ndarray::Array2<bool>], device: tch::Device) -> Tensor {
    let each = cut.iter().map(|cut| {
        let flat: Vec<bool> = cut.iter().copied().collect();
        let (n, m) = cut.dim();
        ecco_models::host::tensor(&flat, device).reshape([n as i64, m as i64])
    });
    Tensor::stack(&each.collect::<Vec<_>>(), 0).to_kind(Kind::Float)
}
