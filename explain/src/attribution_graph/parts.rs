//! A pass by the frozen rule whose parts are leaves of autograd's graph.

use std::ops::ControlFlow;
use std::rc::Rc;

use ecco_interpreter::Watch;
use ecco_models::dictionary::Dictionary;
use ecco_models::host::bring;
use ecco_models::tap::Tap;
use ecco_models::{Rule, Site};
use tch::{Kind, Tensor};

use super::chosen::Chosen;
use super::transcoders::Passed;
use super::{GraphOptions, Node, NodeKinds, Place, wide};
use crate::aside::aside;
use crate::attribution::Objective;
use crate::attribution::work::Work;

/// What stands in a leaf.
pub(super) enum LeafKind {
    Tokens,
    Heads,
    Neurons,
    /// Positions and features that are active there, and what these write for a unit, `[active, hidden]`, in this layer and, of a
    /// cross-layer transcoder, in each behind.
    Features {
        active: Vec<(usize, usize)>,
        directions: Vec<Tensor>,
    },
    Errors,
}

/// What parts of one kind wrote in a layer.
pub(super) struct Leaf {
    pub kind: LeafKind,
    pub encoder: bool,
    pub layer: usize,
    /// The position of its first row among the sources.
    pub offset: usize,
    /// As the pass has it, both halves: connected to what is below.
    value: Tensor,
    /// The first half's: heads `[1, head, position, head_dim]`, neurons `[1, position, neuron]`, tokens and errors
    /// `[1, position, size]`, features `[1, active, 1]`.
    pub leaf: Tensor,
}

/// A pass with its leaves in the order in which they come.
pub(super) struct Parts {
    /// Tokens first.
    pub leaves: Vec<Leaf>,
    /// What is said, and what is said without any leaf.
    pub answer: Tensor,
    pub constant: Tensor,
}

/// What one part is: its value, what of it is constant, and how many of the leaves it may depend on.
pub(super) struct Part {
    pub value: Tensor,
    pub constant: Tensor,
    pub n_below: usize,
}

/// Reads the text. With `cut` a part depends on nothing: what is below is seen by the leaves themselves alone.
pub(super) fn read(
    explained: &Objective,
    options: &GraphOptions,
    cut: bool,
    work: &mut Work,
) -> ecco_models::error::Result<Parts> {
    tch::with_grad(|| {
        let leaf = explained.embeddings().detach().set_requires_grad(true);
        let whole = Tensor::cat(&[&leaf, &leaf.detach().zeros_like()], 0);
        let stacks = Stacks::of(explained);
        let mut tap = PartsTap {
            kinds: options.nodes,
            dictionaries: &options.dictionaries,
            cut,
            stacks,
            leaves: Vec::new(),
            read: None,
            passed: Vec::new(),
            failed: None,
            work,
        };
        let answers = explained.values(&whole, &mut tap);
        let leaves = match tap.failed {
            Some(error) => return Err(error),
            None => tap.leaves,
        };
        let answers = answers?;
        let tokens = Leaf {
            kind: LeafKind::Tokens,
            encoder: stacks.n_read.is_some(),
            layer: 0,
            offset: 0,
            value: whole,
            leaf,
        };
        let answers = wide(&answers.select(1, 0));
        Ok(Parts {
            leaves: std::iter::once(tokens).chain(leaves).collect(),
            answer: answers.get(0),
            constant: answers.get(1),
        })
    })
}

/// Which stack a pass is in, and where its positions stand among the sources.
#[derive(Clone, Copy)]
pub(super) struct Stacks {
    /// What an encoder reads, where one comes first.
    n_read: Option<usize>,
    n_begun: usize,
}

impl Stacks {
    pub(super) fn of(explained: &Objective) -> Self {
        let is_both = !explained.input().target.is_empty();
        Self {
            n_read: is_both.then(|| explained.input().ids.len()),
            n_begun: 0,
        }
    }

    /// Is told of each layer before it is passed.
    pub(super) fn proceed(&mut self, layer: usize) {
        self.n_begun += usize::from(layer == 0);
    }

    pub(super) fn in_encoder(self) -> bool {
        self.n_read.is_some() && self.n_begun == 1
    }

    /// The place of the stack's first position among the sources.
    pub(super) fn offset(self) -> usize {
        match self.in_encoder() {
            true => 0,
            false => self.n_read.unwrap_or(0),
        }
    }
}

pub(super) struct PartsTap<'r, 'w, 'b> {
    kinds: NodeKinds,
    dictionaries: &'r [Rc<Dictionary>],
    cut: bool,
    stacks: Stacks,
    leaves: Vec<Leaf>,
    /// What the layer's transcoder reads, `[2, position, input]`.
    pub(super) read: Option<Tensor>,
    /// What features of a cross-layer transcoder write in layers that are still to come.
    pub(super) passed: Vec<Passed>,
    /// What ends the pass.
    pub(super) failed: Option<ecco_models::Error>,
    work: &'r mut Work<'w, 'b>,
}

impl PartsTap<'_, '_, '_> {
    /// The transcoder of a layer of the stack that is passed.
    fn dictionary(&self, layer: usize) -> Option<&Rc<Dictionary>> {
        let is_here = |dictionary: &&Rc<Dictionary>| {
            let writes = dictionary.writes;
            writes.layer == layer && writes.place.encoder == self.stacks.in_encoder()
        };
        self.dictionaries.iter().find(is_here)
    }

    /// Notes what parts wrote, `[2, …]`, and gives what is passed on.
    pub(super) fn leaf(&mut self, kind: LeafKind, layer: usize, value: Tensor) -> Tensor {
        let first = value.narrow(0, 0, 1);
        // Nothing is below an error, and it has no constant.
        let (leaf, rest) = match self.cut || matches!(kind, LeafKind::Errors) {
            true => (
                first.detach().set_requires_grad(true),
                first.detach().zeros_like(),
            ),
            false => (first.alias(), value.narrow(0, 1, 1)),
        };
        let passed = Tensor::cat(&[&leaf, &rest], 0);
        self.leaves.push(Leaf {
            kind,
            encoder: self.stacks.in_encoder(),
            layer,
            offset: self.stacks.offset(),
            value,
            leaf,
        });
        passed
    }
}

impl Tap for PartsTap<'_, '_, '_> {
    fn wants(&self, site: Site, layer: usize) -> bool {
        match (self.dictionary(layer), site) {
            (_, Site::HeadOutputs) => self.kinds.heads(),
            (None, Site::MlpInner) => self.kinds.neurons(),
            (Some(dictionary), site) => {
                [dictionary.reads.place.site, dictionary.writes.place.site].contains(&site)
            }
            (None, _) => false,
        }
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        if !self.wants(site, layer) || self.failed.is_some() {
            return value;
        }
        match (site, self.dictionary(layer).cloned()) {
            (Site::HeadOutputs, _) => self.leaf(LeafKind::Heads, layer, value),
            (Site::MlpOutput, Some(dictionary)) => self.transcoded(&dictionary, layer, value),
            (_, Some(_)) => {
                self.read = Some(value.shallow_clone());
                value
            }
            (_, None) => self.leaf(LeafKind::Neurons, layer, value),
        }
    }

    fn rule(&self) -> Rule {
        Rule::Frozen
    }

    fn proceed(&mut self, layer: usize) -> ControlFlow<()> {
        self.stacks.proceed(layer);
        match self.failed {
            Some(_) => ControlFlow::Break(()),
            None => self.work.report(),
        }
    }
}

/// ∂ value / ∂ leaf, zeros where there is no way. The way back is one call of libtorch, which asks nobody.
pub(super) fn backward(
    value: &Tensor,
    leaves: &[Leaf],
    work: &mut Work,
) -> ecco_models::error::Result<Vec<Tensor>> {
    let leaves: Vec<Tensor> = leaves.iter().map(|leaf| leaf.leaf.shallow_clone()).collect();
    let found = match value.requires_grad() {
        true => {
            let (value, to) = (value.shallow_clone(), leaves.iter().map(Tensor::shallow_clone));
            let to: Vec<Tensor> = to.collect();
            let back = move |_: &mut Watch| Tensor::run_backward(&[value], &to, true, false);
            aside("gradients", back, &mut |_| work.report()).ok_or(ecco_models::Error::Interrupted)?
        }
        false => leaves.iter().map(|leaf| leaf.detach().zeros_like()).collect(),
    };
    let each = found.into_iter().zip(&leaves);
    let each = each.map(|(found, leaf)| match found.defined() {
        true => found,
        false => leaf.detach().zeros_like(),
    });
    Ok(each.collect())
}

impl Leaf {
    /// What each part owes or gives by these slopes, in double precision: `[head, position]`, `[position, neuron]`, `[position]`,
    /// `[active, 1]`.
    pub(super) fn products(&self, slopes: &Tensor) -> Tensor {
        let products = wide(&self.leaf.detach()) * wide(slopes);
        let products = match self.kind {
            LeafKind::Neurons | LeafKind::Features { .. } => products,
            _ => products.sum_dim_intlist(-1, false, None::<Kind>),
        };
        products.squeeze_dim(0)
    }

    /// Which part stands at a place of [`Self::products`], flattened.
    pub(super) fn node(&self, index: usize) -> Node {
        let (rows, columns) = self.size();
        let (row, column) = (index / columns, index % columns);
        debug_assert!(row < rows);
        let at = |position| Place {
            encoder: self.encoder,
            layer: self.layer,
            position: self.offset + position,
        };
        match &self.kind {
            LeafKind::Heads => Node::Head {
                at: at(column),
                head: row,
            },
            LeafKind::Neurons => Node::Neuron {
                at: at(row),
                neuron: column,
            },
            LeafKind::Features { active, .. } => Node::Feature {
                at: at(active[row].0),
                feature: active[row].1,
            },
            LeafKind::Errors => Node::Error { at: at(row) },
            LeafKind::Tokens => Node::Token { position: index },
        }
    }

    /// Of [`Self::products`]; tokens and errors have one column.
    fn size(&self) -> (usize, usize) {
        let size = self.leaf.size();
        match self.kind {
            LeafKind::Tokens | LeafKind::Errors => (size[1] as usize, 1),
            _ => (size[1] as usize, size[2] as usize),
        }
    }

    /// Where in it a node stands, if it does.
    fn place(&self, node: Node) -> Option<(i64, i64)> {
        let here = (self.encoder, self.layer, self.offset);
        match (&self.kind, node) {
            (LeafKind::Heads, node) => node.place(Site::HeadOutputs, here),
            (LeafKind::Neurons, node) => node.place(Site::MlpInner, here),
            (LeafKind::Features { active, .. }, Node::Feature { at, feature }) => {
                let position = at.within(here)?;
                let place = active.iter().position(|one| *one == (position, feature))?;
                Some((place as i64, 0))
            }
            _ => None,
        }
    }
}

impl Place {
    /// Its position in a layer of a stack whose first one stands at `offset`, if it is there.
    pub(super) fn within(self, (encoder, layer, offset): (bool, usize, usize)) -> Option<usize> {
        let is_here = self.encoder == encoder && self.layer == layer;
        is_here.then(|| self.position - offset)
    }
}

impl Node {
    /// Where a head or neuron stands in what passes by a site of a layer, `[…, row, column]`, if it is one of these.
    pub(super) fn place(self, site: Site, here: (bool, usize, usize)) -> Option<(i64, i64)> {
        let position = |at: Place| at.within(here).map(|position| position as i64);
        match (self, site) {
            (Self::Head { at, head }, Site::HeadOutputs) => Some((head as i64, position(at)?)),
            (Self::Neuron { at, neuron }, Site::MlpInner) => Some((position(at)?, neuron as i64)),
            _ => None,
        }
    }
}

impl Parts {
    /// The answer, a head's number along its direction (`[head_dim]`), or a neuron's or feature's.
    pub(super) fn part(&self, node: Node, directions: &[(Node, Tensor)]) -> Part {
        let stands = |leaf: &Leaf| leaf.place(node);
        let mut each = self.leaves.iter().enumerate();
        let Some((index, (row, column))) = each.find_map(|(index, leaf)| Some((index, stands(leaf)?))) else {
            return Part {
                value: self.answer.shallow_clone(),
                constant: self.constant.shallow_clone(),
                n_below: self.leaves.len(),
            };
        };
        tch::with_grad(|| {
            let numbers = wide(&self.leaves[index].value.select(1, row).select(1, column)); // [2, …]
            let numbers = match directions.iter().find(|(of, _)| *of == node) {
                Some((_, direction)) => (numbers * direction).sum_dim_intlist(-1, false, None::<Kind>),
                None => numbers,
            };
            Part {
                value: numbers.get(0),
                constant: numbers.get(1),
                n_below: index,
            }
        })
    }

    /// A part's value, its constant, what comes from no nodes (sum, sum of absolute values, and what of that are errors), and
    /// what comes from each node but the answer: zeros where it is above.
    pub(super) fn row(&self, part: &Part, slopes: &[Tensor], chosen: &Chosen) -> Tensor {
        let value = part.value.detach();
        let place = (Kind::Double, value.device());
        let [mut others, mut size, mut errors] = [0; 3].map(|_| value.zeros_like());
        let mut of_nodes = Vec::new();
        for (at, (leaf, places)) in self.leaves.iter().zip(&chosen.places).enumerate() {
            let Some(slopes) = slopes.get(at) else {
                of_nodes.push(Tensor::zeros(places.size(), place));
                continue;
            };
            let products = leaf.products(slopes).flatten(0, -1);
            let of_places = products.index_select(0, places);
            if at > 0 {
                let rest = |all: Tensor, some: Tensor| {
                    bring(&(all.sum(None::<Kind>) - some.sum(None::<Kind>)), place)
                };
                others += rest(products.shallow_clone(), of_places.shallow_clone());
                let left = rest(products.abs(), of_places.abs()).clamp_min(0.0);
                if let LeafKind::Errors = leaf.kind {
                    errors += &left;
                }
                size += left;
            }
            of_nodes.push(bring(&of_places, place));
        }
        let ends = Tensor::stack(&[value, part.constant.detach(), others, size, errors], 0);
        of_nodes.insert(0, ends);
        Tensor::cat(&of_nodes, 0)
    }
}
