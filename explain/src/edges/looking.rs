//! Why a head looks where it looks: the product of a query and a key, taken apart by what wrote both sides.
//!
//! With the deviations of norms held as they were, a query is a sum of what each source wrote to the stream at its position
//! and of biases, and so is a key. So their product is a sum over pairs of sources (Elhage et al. 2021, A mathematical
//! framework for transformer circuits: Q- and K-composition at one text).

use std::cell::RefCell;
use std::ops::ControlFlow;

use ecco_interpreter::Watch;
use ecco_models::device::ensure_room;
use ecco_models::guard::guard;
use ecco_models::host::{self, bring};
use ecco_models::run::{self, Input};
use ecco_models::tap::{NoTap, Reader, Tap};
use ecco_models::{Model, Rule, Site};
use ndarray::Array2;
use tch::{Kind, Tensor};

use super::graph::Graph;
use super::pass::streams;
use super::writes::Writes;
use crate::attribution::work::Work;
use crate::error::{Result, refuse};
use crate::vocabulary::weights::HeadAt;

/// A head's products of one query with all keys.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryKey {
    pub at: HeadAt,
    pub query: usize,
    /// The key whose pairs are told.
    pub key: usize,
    /// What wrote both sides: sources as [`Graph::source_name`] has them, and last what biases make.
    pub sources: Vec<String>,
    /// By key query · key · scale, without what a position adds to it or a cap takes off.
    pub scores: Vec<f64>,
    /// By key how much of the head's attention it has.
    pub attention: Vec<f64>,
    /// (key, source): what of the score comes from each source on the query's side.
    pub by_query: Array2<f64>,
    /// (key, source): on the key's side.
    pub by_key: Array2<f64>,
    /// Of the one key: (source of the query, source of the key).
    pub pairs: Array2<f64>,
}

/// Two passes, and one back for each number of a head through its projections. Without `key` the key with most attention.
///
/// # Errors
/// For a model whose stream is no sum of what its parts write, a head or position that is not there, too little memory.
pub fn query_key(
    model: &Model,
    input: &Input,
    at: HeadAt,
    (query, key): (usize, Option<usize>),
    watch: &mut Watch,
) -> Result<QueryKey> {
    let graph = Graph::of(model)?;
    input.check(model)?;
    let n = input.ids.len();
    for (option, value, n) in [
        ("layer", at.layer, graph.n_layers),
        ("head", at.head, graph.n_heads),
        ("query", query, n),
        ("key", key.unwrap_or(0), n),
    ] {
        if value >= n {
            return Err(refuse(option, value, format!("there are {n}, numbered from 0")));
        }
    }
    if let Some(key) = key.filter(|key| *key > query) {
        let reason = format!("the query at position {query} sees no later ones");
        return Err(refuse("key", key, reason));
    }
    let hidden = model.config().hidden_size;
    // Streams for each reader with their gradients, and what sources wrote.
    let rows = 6 * (graph.n_heads + graph.n_kv_heads) + 2 * graph.n_sources();
    let needed = 8 * (n * hidden * rows) as u64;
    ensure_room(
        model.stack().device(),
        needed,
        "queries and keys of a text by what wrote them",
    )?;
    let head_dim = model.config().head_dim as u64;
    let work = &mut Work::new(watch, "queries and keys".into(), "steps", 2 + head_dim);
    let n_before = graph.n_before(Reader::Queries, at.layer);
    let mut sources: Vec<String> = (0..n_before).map(|source| graph.source_name(source)).collect();
    sources.push("biases".into());
    Ok(guard(|| {
        let seen = read(model, graph, input, at.layer, work)?;
        let (queries, keys) = sides(&seen, (graph, at), query, work)?; // [source, head_dim], [source, key, head_dim]
        let scale = seen.scale;
        let (whole_query, whole_keys) = (total(&queries), total(&keys));
        let number = |x: Tensor| host::numbers(&(x * scale));
        let scores = number(whole_keys.matmul(&whole_query)); // [key]
        let by_query = number(whole_keys.matmul(&queries.tr())); // [key, source]
        let by_key = number(keys.matmul(&whole_query).tr());
        let pattern = seen.pattern.get(0).get(at.head as i64).get(query as i64);
        let attention = host::numbers(&pattern.narrow(0, 0, query as i64 + 1));
        let most = |attention: &[f64]| {
            let each = attention.iter().enumerate();
            each.max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(key, _)| key)
        };
        let key = key.unwrap_or_else(|| most(&attention));
        let pairs = number(queries.matmul(&keys.select(1, key as i64).tr()));
        let table = |numbers: Vec<f64>, rows: usize| {
            Array2::from_shape_vec((rows, sources.len()), numbers).map_err(|error| {
                ecco_models::Error::Torch {
                    message: error.to_string(),
                }
            })
        };
        Ok(QueryKey {
            at,
            query,
            key,
            scores,
            attention,
            by_query: table(by_query, query + 1)?,
            by_key: table(by_key, query + 1)?,
            pairs: table(pairs, sources.len())?,
            sources: sources.clone(),
        })
    })?)
}

/// What a head's queries and keys are made of.
struct Seen {
    /// Each reader's own stream, `[2, head, position, hidden]`, nodes of autograd's.
    readers: [Tensor; 2],
    /// `[2, head, position, head_dim]`, made of these.
    queries: Tensor,
    keys: Tensor,
    /// `[2, head, query, key]`
    pattern: Tensor,
    /// `[source, position, hidden]`
    writes: Tensor,
    scale: f64,
}

fn read(
    model: &Model,
    graph: Graph,
    input: &Input,
    layer: usize,
    work: &mut Work,
) -> ecco_models::error::Result<Seen> {
    let no_site = || ecco_models::Error::NoSite {
        site: Site::Queries.name().to_owned(),
        layer: Some(layer),
    };
    let attention = model.stack().blocks[layer].mixer.attention();
    let scale = attention.ok_or_else(no_site)?.scale;
    let work = RefCell::new(work);
    let mut tap = Look {
        graph,
        layer,
        writes: Some(Writes::new(model, graph)),
        readers: [None, None],
        seen: [None, None, None],
        work: &work,
    };
    let _ = run::states(model, std::slice::from_ref(input), &mut tap, &mut NoTap)?;
    work.borrow_mut().advance(1)?;
    let writes = tap.writes.take().map(|writes| writes.of_one_text());
    // By the frozen rule the second half has constants alone; what it says is not asked for.
    let twice = [input.clone(), input.clone()];
    let _ = tch::with_grad(|| run::states(model, &twice, &mut tap, &mut NoTap))?;
    work.borrow_mut().advance(1)?;
    let [queries, keys, pattern] = tap.seen.map(|seen| seen.ok_or_else(no_site));
    let [of_queries, of_keys] = tap.readers.map(|reader| reader.ok_or_else(no_site));
    Ok(Seen {
        readers: [of_queries?, of_keys?],
        queries: queries?,
        keys: keys?,
        pattern: pattern?,
        writes: writes.ok_or_else(no_site)?,
        scale,
    })
}

/// The query at a position by source, `[source, head_dim]`, and the keys up to it, `[source, key, head_dim]`, in double
/// precision; what is left of them, biases', comes last.
fn sides(
    seen: &Seen,
    (graph, at): (Graph, HeadAt),
    query: usize,
    work: &mut Work,
) -> ecco_models::error::Result<(Tensor, Tensor)> {
    let head = at.head as i64;
    let key_head = head * graph.n_kv_heads as i64 / graph.n_heads as i64;
    let n_keys = query as i64 + 1;
    let (own, keys) = tch::with_grad(|| {
        let own = seen.queries.get(0).get(head).get(query as i64); // [head_dim]
        (own, seen.keys.get(0).get(key_head).narrow(0, 0, n_keys)) // [key, head_dim]
    });
    let n_before = graph.n_before(Reader::Queries, at.layer) as i64;
    let wide = |x: &Tensor| x.to_kind(Kind::Double);
    let writes = wide(&seen.writes.narrow(0, 0, n_before).narrow(1, 0, n_keys)); // [source, key, hidden]
    let at_query = writes.select(1, query as i64); // [source, hidden]
    let (mut of_query, mut of_keys) = (Vec::new(), Vec::new());
    for number in 0..own.size()[0] {
        // A key depends on its own position alone, so that all of them go back together.
        let sum = tch::with_grad(|| own.get(number) + keys.select(1, number).sum(None::<Kind>));
        let slopes = Tensor::run_backward(&[sum], &seen.readers, true, false);
        let of =
            |side: usize, head: i64| bring(&slopes[side].get(0).get(head), (Kind::Double, writes.device()));
        of_query.push(at_query.matmul(&of(0, head).get(query as i64)));
        let of_key = of(1, key_head).narrow(0, 0, n_keys); // [key, hidden]
        of_keys.push((&writes * of_key).sum_dim_intlist(-1, false, None::<Kind>));
        work.advance(1)?;
    }
    let with_rest = |parts: Tensor, whole: Tensor| {
        let whole = bring(&whole.detach(), (Kind::Double, parts.device()));
        let rest = whole - total(&parts);
        Tensor::cat(&[parts, rest.unsqueeze(0)], 0)
    };
    Ok((
        with_rest(Tensor::stack(&of_query, -1), own),
        with_rest(Tensor::stack(&of_keys, -1), keys),
    ))
}

/// Of all sources together.
fn total(parts: &Tensor) -> Tensor {
    parts.sum_dim_intlist(0, false, None::<Kind>)
}

/// First notes what is written; then gives a layer's queries and keys streams of their own.
struct Look<'m, 'a, 'r, 'w, 'b> {
    graph: Graph,
    layer: usize,
    writes: Option<Writes<'m>>,
    readers: [Option<Tensor>; 2],
    /// Queries, keys, pattern.
    seen: [Option<Tensor>; 3],
    work: &'a RefCell<&'r mut Work<'w, 'b>>,
}

/// What of the second pass is kept.
const SEEN: [Site; 3] = [Site::Queries, Site::Keys, Site::AttentionPattern];

impl Tap for Look<'_, '_, '_, '_, '_> {
    fn wants(&self, site: Site, layer: usize) -> bool {
        match self.writes {
            Some(_) => Writes::wants(site, layer),
            None => layer == self.layer && SEEN.contains(&site),
        }
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        let is_wanted = self.wants(site, layer);
        match &mut self.writes {
            Some(writes) => writes.note(site, layer, &value),
            None if is_wanted => {
                let at = SEEN.iter().position(|seen| *seen == site).unwrap_or(0);
                self.seen[at] = Some(value.shallow_clone());
            }
            None => {}
        }
        value
    }

    fn read(&mut self, reader: Reader, layer: usize, stream: &Tensor) -> Option<Tensor> {
        let at = match reader {
            Reader::Queries => 0,
            Reader::Keys => 1,
            _ => return None,
        };
        if self.writes.is_some() || layer != self.layer {
            return None;
        }
        let (_, n) = self.graph.readers(reader, layer);
        let own = streams(reader, n, stream).detach().copy().set_requires_grad(true);
        self.readers[at] = Some(own.shallow_clone());
        Some(own)
    }

    fn rule(&self) -> Rule {
        match self.writes {
            Some(_) => Rule::Gradient,
            None => Rule::Frozen,
        }
    }

    fn proceed(&mut self, _: usize) -> ControlFlow<()> {
        self.work.borrow_mut().report()
    }
}
