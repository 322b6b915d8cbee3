//! `output.query_key`: why a head looks where it looks.

use std::cell::OnceCell;
use std::rc::Rc;

use ecco_explain::edges::{QueryKey as Found, query_key};
use ecco_explain::vocabulary::weights::HeadAt;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::table::Table;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};
use ecco_widgets::Explorable;
use ndarray::{Array1, Array2};
use rhai::{Array, Dynamic, INT, Map};

use crate::text::generation::Generation;
use crate::text::passage::Passage;
use crate::text::run::Run;

options! {
    /// What `query_key` can be told.
    pub struct QueryKeyOptions {
        /// the position that looks
        query: Option<usize> = "the last one",
        /// the position that is looked at
        key: Option<usize> = "the one with most of the head's attention",
        /// how many pairs the page names
        top: usize [1..] = 15,
    }
}

/// Pairs that are named, at most.
const MOST: usize = 1000;

/// Why a head looks where it looks, computed when it is first looked at. Clones share it.
#[derive(Clone)]
pub(crate) struct QueryKey(Rc<Inner>);

struct Inner {
    passage: Passage,
    at: HeadAt,
    query: usize,
    key: Option<usize>,
    top: usize,
    found: OnceCell<Found>,
}

impl QueryKey {
    fn new(passage: Passage, at: [INT; 2], options: &QueryKeyOptions) -> Result<Self, ScriptError> {
        let number = |name: &str, value: INT| {
            usize::try_from(value).map_err(|_| {
                ScriptError::new(
                    ErrorKind::Value,
                    format!("{name} is {value}: it is numbered from 0"),
                )
            })
        };
        if options.top > MOST {
            let message = format!("top is {}: at most {MOST} pairs are named", options.top);
            return Err(ScriptError::new(ErrorKind::Value, message).pointing_at("top"));
        }
        let last = passage.input().ids.len().saturating_sub(1);
        Ok(Self(Rc::new(Inner {
            at: HeadAt {
                layer: number("layer", at[0])?,
                head: number("head", at[1])?,
            },
            query: options.query.unwrap_or(last),
            key: options.key,
            top: options.top,
            passage,
            found: OnceCell::new(),
        })))
    }

    fn found(&self) -> Result<&Found, ScriptError> {
        let inner = &self.0;
        inner.passage.found(
            &inner.found,
            |found| found.scores[found.key],
            |model, watch| {
                query_key(
                    model,
                    inner.passage.input(),
                    inner.at,
                    (inner.query, inner.key),
                    watch,
                )
            },
        )
    }

    /// The pairs of sources that add or take most, the largest first.
    fn top(&self, n: usize) -> Result<Vec<(&str, &str, f64)>, ScriptError> {
        let found = self.found()?;
        let mut pairs: Vec<((usize, usize), f64)> = found
            .pairs
            .indexed_iter()
            .map(|(at, value)| (at, *value))
            .collect();
        pairs.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
        let name = |source: usize| found.sources[source].as_str();
        let named = |((query, key), value)| (name(query), name(key), value);
        Ok(pairs.into_iter().take(n).map(named).collect())
    }

    /// A row for each of the first pairs, then what is left, and the whole.
    fn table(&self) -> Result<Table, ScriptError> {
        let found = self.found()?;
        let top = self.top(self.0.top)?;
        let text = |text: &str| Dynamic::from(text.to_owned());
        let mut columns: [Array; 3] = Default::default();
        let mut row = |cells: [Dynamic; 3]| {
            for (column, cell) in columns.iter_mut().zip(cells) {
                column.push(cell);
            }
        };
        let shown: f64 = top.iter().map(|pair| pair.2).sum();
        for (query, key, value) in top {
            row([text(query), text(key), Dynamic::from_float(value)]);
        }
        let whole = found.scores[found.key];
        for (name, value) in [("other pairs", whole - shown), ("score", whole)] {
            row([text(name), Dynamic::UNIT, Dynamic::from_float(value)]);
        }
        let [query, key, score] = columns;
        let tokens = self
            .0
            .passage
            .model()
            .loaded()?
            .tokenizer()
            .tokens(&self.0.passage.input().ids);
        let at = |side: &str, position: usize| {
            let token = tokens.get(position).map_or("", |token| token.text.as_str());
            format!("{side} {position}: {token}")
        };
        Table::new(vec![
            (at("query", found.query), query),
            (at("key", found.key), key),
            ("score".to_owned(), score),
        ])
    }
}

fn rows(values: &Array2<f64>, axes: &[&'static str]) -> Tensor {
    Tensor::new(values.mapv(|x| x as f32).into_dyn(), axes)
}

fn vector(values: &[f64]) -> Tensor {
    let values: Array1<f32> = values.iter().map(|x| *x as f32).collect();
    Tensor::new(values.into_dyn(), &["key"])
}

impl Show for QueryKey {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.table()?.shown()))
    }

    fn line(&self) -> String {
        let inner = &self.0;
        format!(
            "query and key of head {} of layer {} at position {} of {}, by what wrote them",
            inner.at.head,
            inner.at.layer,
            inner.query,
            inner.passage.phrase()
        )
    }
}

impl Explanation for QueryKey {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let found = self.found()?;
        Ok(vec![
            ("pairs", rows(&found.pairs, &["query_source", "key_source"])),
            ("by_query", rows(&found.by_query, &["key", "source"])),
            ("by_key", rows(&found.by_key, &["key", "source"])),
            ("scores", vector(&found.scores)),
            ("attention", vector(&found.attention)),
        ])
    }
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Generation, Run];
        /// Why a head looks where it looks: the product of a query and a key at one text, taken apart by what wrote both sides.
        /// Sources are the embeddings `input`, heads `a1.h3` and MLPs `m1` of layers below, and `biases`; pairs of them sum to
        /// the score, whose softmax is the pattern. Of decoders whose stream is a sum of what their parts write.
        ///
        /// Example:
        /// ```rhai
        /// let why = lm.run("one two three one two").query_key(2, 1);
        /// why.top(5)
        /// ```
        fn query_key(passage: Passage, layer: INT, head: INT; options: QueryKeyOptions) -> QueryKey {
            QueryKey::new(passage, [layer, head], &options)
        }
    }
    members! { registry, [QueryKey];
        /// The pairs that add or take most, the largest first: maps with `query`, `key` (names of sources) and `score`.
        fn top(why: &QueryKey, n: INT) -> Array {
            let n = usize::try_from(n).unwrap_or(0).min(MOST);
            let pair = |(query, key, value): (&str, &str, f64)| Dynamic::from_map(Map::from([
                ("query".into(), query.to_owned().into()),
                ("key".into(), key.to_owned().into()),
                ("score".into(), Dynamic::from_float(value)),
            ]));
            Ok(why.top(n)?.into_iter().map(pair).collect())
        }

        /// What each pair of sources adds to the score of the one key: a tensor (query_source, key_source).
        get pairs(why: &QueryKey) -> Tensor { Ok(rows(&why.found()?.pairs, &["query_source", "key_source"])) }

        /// What each source on the query's side adds to every key's score: a tensor (key, source).
        get by_query(why: &QueryKey) -> Tensor { Ok(rows(&why.found()?.by_query, &["key", "source"])) }

        /// The same on the key's side: a tensor (key, source).
        get by_key(why: &QueryKey) -> Tensor { Ok(rows(&why.found()?.by_key, &["key", "source"])) }

        /// Query times key, by key: a tensor (key).
        get scores(why: &QueryKey) -> Tensor { Ok(vector(&why.found()?.scores)) }

        /// The head's attention from there, by key: a tensor (key).
        get attention(why: &QueryKey) -> Tensor { Ok(vector(&why.found()?.attention)) }

        /// The names of the sources.
        get sources(why: &QueryKey) -> Array {
            Ok(why.found()?.sources.iter().map(|name| Dynamic::from(name.clone())).collect())
        }

        /// The position that is looked at.
        get key(why: &QueryKey) -> INT { Ok(why.found()?.key as INT) }
    }
}
