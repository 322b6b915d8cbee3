//! `lm.edges`: which connections between a model's parts carry what makes two texts differ, and circuits of them.

use std::rc::Rc;

use ecco_explain::edges::{Edge, EdgeMethod, EdgeOptions, Edges as Found, Graph, Setting, edges};
use ecco_explain::intervention::answer::Answer;
use ecco_explain::intervention::patching::check_lengths;
use ecco_models::Prompt;
use ecco_models::run::Input;
use ecco_widgets::{Explorable, ScoredEdge};
use rhai::{Array, Dynamic, FLOAT, INT, Map};

use super::circuit::{Circuit, Curve, EdgeNames};
use crate::attribution::saliency_members::completeness_map;
use crate::interventions::answer::{AnswerOptions, position, watched as watched_answers};
use crate::models::model::Model;
use crate::text::chat::Chat;
use crate::text::reading;
use ecco_scripting::options::{Choice, OneOrMany};
use ecco_scripting::result::numbers::short;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::session::watched;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};

options! {
    /// What `edges` can be told.
    pub struct EdgesOptions {
        ..answer: AnswerOptions,
        /// how edges are scored: "eap" by gradients at the corrupted text, "eap_ig" by gradients along the way to the clean
        /// one, "exact" by patching each
        method: Choice<EdgeMethod> = Choice(EdgeMethod::IntegratedGradients),
        /// steps of "eap_ig"
        n_steps: usize [1..] = 5,
        /// only edges from these: "input", heads "a3.h1", MLPs "m3"
        from: Option<OneOrMany<String>> = "all",
        /// only edges to these: queries "a3.q1", keys "a3.k0", values "a3.v0", MLPs "m3", "logits"
        to: Option<OneOrMany<String>> = "all",
        /// how many edges are patched indeed, to compare: half of them the strongest, the others drawn at random
        measure: usize = 20,
        /// which are drawn
        seed: u64 = 0,
    }
}

options! {
    /// What `curve` can be told.
    pub struct CurveOptions {
        /// how many edges each circuit has
        sizes: Option<Vec<usize>> = "some ten sizes, up to all edges",
        /// random circuits of each size
        random: usize = 3,
        /// which are drawn
        seed: u64 = 0,
    }
}

/// Scores of edges. Clones share them.
#[derive(Clone)]
pub(crate) struct Edges {
    pub(super) found: Rc<Found>,
    pub(super) asked: Rc<Asked>,
}

/// Two texts as a script gives them, and what is asked of them.
pub(super) struct Asked {
    lm: Model,
    clean: Input,
    corrupted: Input,
    watched: Answer,
    /// The watched number for people.
    pub answer: String,
}

/// Edges of a page and its document at most.
const MOST_SHOWN: usize = 1000;

impl Asked {
    /// Calls `work` with the setting, which reports and can be interrupted.
    pub(super) fn watched<T>(
        &self,
        work: impl FnOnce(&Setting, &mut ecco_interpreter::Watch) -> ecco_explain::error::Result<T>,
    ) -> Result<T, ScriptError> {
        let (loaded, state) = (self.lm.loaded()?, self.lm.state()?);
        let setting = Setting {
            model: &loaded,
            clean: &self.clean,
            corrupted: &self.corrupted,
            answer: self.watched,
        };
        Ok(watched(&state, self.lm.verbose, |watch| work(&setting, watch))?)
    }

    pub(super) fn model(&self) -> String {
        self.lm.card().name.clone()
    }
}

impl Edges {
    fn new(
        lm: &Model,
        clean: Prompt,
        corrupted: Prompt,
        options: &EdgesOptions,
    ) -> Result<Self, ScriptError> {
        let loaded = lm.loaded()?;
        let graph = Graph::of(&loaded)?;
        let [clean, corrupted] = [clean, corrupted].map(|text| reading::input(lm, text, None));
        let (clean, corrupted) = (clean?, corrupted?);
        check_lengths(&loaded, &clean, &corrupted)?;
        let at = position(&loaded, &corrupted, options.answer.position)?;
        let answers = watched_answers(&loaded, [&clean, &corrupted], [at, at], &options.answer)?;
        let named = |names: &Option<OneOrMany<String>>,
                     of: &dyn Fn(&str) -> Result<usize, ecco_explain::Error>| {
            let names = names.as_ref();
            names
                .map(|names| names.0.iter().map(|name| of(name)).collect::<Result<Vec<_>, _>>())
                .transpose()
        };
        let settings = EdgeOptions {
            method: options.method.0,
            n_steps: options.n_steps,
            from: named(&options.from, &|name| graph.source_named(name))?,
            to: named(&options.to, &|name| graph.reader_named(name))?,
            n_measured: options.measure,
            seed: options.seed,
        };
        let asked = Asked {
            lm: lm.clone(),
            clean,
            corrupted,
            watched: answers.corrupted,
            answer: answers.name,
        };
        let found = asked.watched(|setting, watch| edges(setting, &settings, watch))?;
        Ok(Self {
            found: Rc::new(found),
            asked: Rc::new(asked),
        })
    }

    fn names(&self, of: fn(&Graph, usize) -> String, n: usize) -> Vec<String> {
        (0..n).map(|index| of(&self.found.graph, index)).collect()
    }

    fn sources(&self) -> Vec<String> {
        self.names(Graph::source_name, self.found.graph.n_sources())
    }

    fn readers(&self) -> Vec<String> {
        self.names(Graph::reader_name, self.found.graph.n_readers())
    }

    fn measured(&self, edge: Edge) -> Option<f64> {
        let found = self.found.measured.iter().find(|(of, _)| *of == edge);
        found.map(|(_, change)| *change)
    }

    /// The `n` strongest, as maps.
    fn top(&self, n: INT) -> Result<Array, ScriptError> {
        let n = positive("n", n)?;
        let gap = self.found.clean - self.found.corrupted;
        let map = |edge: Edge| {
            let score = self.found.score(edge);
            let measured = self.measured(edge).map_or(Dynamic::UNIT, Dynamic::from_float);
            Dynamic::from_map(Map::from([
                ("from".into(), self.found.graph.source_name(edge.source).into()),
                ("to".into(), self.found.graph.reader_name(edge.reader).into()),
                ("score".into(), Dynamic::from_float(score)),
                ("share".into(), Dynamic::from_float(score / gap)),
                ("measured".into(), measured),
            ]))
        };
        Ok(self.found.ranked().into_iter().take(n).map(map).collect())
    }

    /// `edge attribution patching`
    pub(super) fn method(&self) -> String {
        match self.found.options.method {
            EdgeMethod::Gradient => "edge attribution patching".to_owned(),
            EdgeMethod::IntegratedGradients => format!(
                "edge attribution patching with integrated gradients, {} steps",
                self.found.options.n_steps
            ),
            EdgeMethod::Exact => "edge patching".to_owned(),
        }
    }

    fn circuit_of_strongest(&self, n: INT) -> Result<Circuit, ScriptError> {
        let n = positive("n", n)?;
        let found = self
            .asked
            .watched(|setting, watch| self.found.circuit(setting, n, watch))?;
        Ok(Circuit::new(
            self,
            found,
            format!("{} edges by {}", n, self.method()),
        ))
    }

    /// Of pairs of names.
    fn circuit_of(&self, names: &Array) -> Result<Circuit, ScriptError> {
        let edges = EdgeNames(names).edges(&self.found.graph)?;
        let found = self
            .asked
            .watched(|setting, watch| self.found.circuit_of(setting, &edges, watch))?;
        Ok(Circuit::new(
            self,
            found,
            format!("{} edges by name", edges.len()),
        ))
    }

    fn curve(&self, options: &CurveOptions) -> Result<Curve, ScriptError> {
        let n = self.found.graph.edges().len();
        let sizes = options.sizes.clone().unwrap_or_else(|| usual_sizes(n));
        let found = self.asked.watched(|setting, watch| {
            self.found
                .curve(setting, &sizes, options.random, options.seed, watch)
        })?;
        Ok(Curve::new(self, found))
    }

    fn view(&self) -> ecco_widgets::Edges {
        let ranked = self.found.ranked();
        let edge = |&edge: &Edge| ScoredEdge {
            from: self.found.graph.source_name(edge.source),
            to: self.found.graph.reader_name(edge.reader),
            score: self.found.score(edge),
            measured: self.measured(edge),
        };
        // Those that were measured are there, wherever they stand.
        let shown = ranked.iter().enumerate();
        let shown = shown.filter(|(at, edge)| *at < MOST_SHOWN || self.measured(**edge).is_some());
        ecco_widgets::Edges {
            model: Some(self.asked.model()),
            method: self.method(),
            answer: self.asked.answer.clone(),
            clean: self.found.clean,
            corrupted: self.found.corrupted,
            n_edges: ranked.len(),
            edges: shown.map(|(_, shown)| edge(shown)).collect(),
            correlation: self.found.correlation(),
            sum: self
                .found
                .completeness
                .map(|completeness| completeness.promised + completeness.error),
        }
    }
}

/// # Errors
/// For less than 1.
fn positive(what: &str, n: INT) -> Result<usize, ScriptError> {
    usize::try_from(n)
        .ok()
        .filter(|&n| n > 0)
        .ok_or_else(|| ScriptError::new(ErrorKind::Value, format!("{what} is {n}: ask for at least 1")))
}

/// 1, 2, 5, 10, 20, 50 … and all.
fn usual_sizes(n: usize) -> Vec<usize> {
    let decades = (0..12).flat_map(|power| [1, 2, 5].map(|times: usize| times * 10_usize.pow(power)));
    let mut sizes: Vec<usize> = decades
        .take_while(|&size| size < n)
        .filter(|&size| size >= 5)
        .collect();
    sizes.push(n.max(1));
    sizes
}

impl Show for Edges {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.view()))
    }

    fn line(&self) -> String {
        let measured = match self.found.correlation() {
            Some(r) => format!(", r = {r:.2} with {} measured", self.found.measured.len()),
            None => String::new(),
        };
        format!(
            "scores of edges by {}, {} {} corrupted, {} clean{measured}",
            self.method(),
            self.asked.answer,
            short(self.found.corrupted),
            short(self.found.clean)
        )
    }
}

impl Explanation for Edges {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        Ok(vec![("scores", self.scores())])
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        match axis {
            "source" => Some(self.sources()),
            "reader" => Some(self.readers()),
            _ => None,
        }
    }
}

impl Edges {
    fn scores(&self) -> Tensor {
        Tensor::new(
            self.found.scores.mapv(|x| x as f32).into_dyn(),
            &["source", "reader"],
        )
    }
}

fn words(names: Vec<String>) -> Array {
    names.into_iter().map(Dynamic::from).collect()
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// Which connections between the model's parts carry what makes two texts differ: a score for every edge from what
        /// writes to the residual stream (the embeddings, heads, MLPs) to what reads it (each head's queries, keys and values,
        /// MLPs, the final norm). By how much the answer to the corrupted text would change with that one edge as in the clean
        /// text. Some edges are patched indeed, and the correlation says how far the scores are to be trusted. With `from`,
        /// `to` and `method: "exact"` it is path patching of these. The texts need as many tokens as each other.
        ///
        /// Example:
        /// ```rhai
        /// let edges = lm.edges("The capital of France is", "The capital of Italy is", #{target: " Paris", contrast: " Rome"});
        /// edges.top(5)
        /// edges.circuit(50)
        /// edges.curve()
        /// ```
        volatile fn edges(lm: &Model, clean: &str, corrupted: &str; options: EdgesOptions) -> Edges {
            Edges::new(lm, clean.into(), corrupted.into(), &options)
        }

        volatile fn edges(lm: &Model, clean: Chat, corrupted: Chat; options: EdgesOptions) -> Edges {
            Edges::new(lm, clean.prompt(), corrupted.prompt(), &options)
        }
    }
    members! { registry, [Edges];
        /// In the units of the answer: a tensor (source, reader), 0 where there is no edge.
        get scores(edges: &Edges) -> Tensor { Ok(edges.scores()) }

        /// The names of what writes: "input", heads "a0.h0" and MLPs "m0" of each layer.
        get sources(edges: &Edges) -> Array { Ok(words(edges.sources())) }

        /// The names of what reads: of each layer queries "a0.q0", keys "a0.k0", values "a0.v0" by key head, the MLP "m0";
        /// "logits".
        get readers(edges: &Edges) -> Array { Ok(words(edges.readers())) }

        /// The `n` edges with the largest absolute scores: maps with `from`, `to`, `score`, `share` (of the difference of the
        /// answers) and `measured`, which is `()` where the edge was not patched.
        fn top(edges: &Edges, n: INT) -> Array { edges.top(n) }

        /// The answer to the clean text.
        get clean(edges: &Edges) -> FLOAT { Ok(edges.found.clean) }

        /// The answer to the corrupted text.
        get corrupted(edges: &Edges) -> FLOAT { Ok(edges.found.corrupted) }

        /// Pearson's correlation of scores and what was measured; `()` where either does not vary.
        get correlation(edges: &Edges) -> Dynamic {
            Ok(edges.found.correlation().map_or(Dynamic::UNIT, Dynamic::from_float))
        }

        /// With "eap_ig": whether all edges from the embeddings together make all of the difference of the answers, a map
        /// with `promised`, `error` and `relative`; else `()`.
        get completeness(edges: &Edges) -> Dynamic { Ok(completeness_map(&edges.found.completeness)) }

        /// The circuit of the `n` edges with the largest absolute scores, without those that lead nowhere; what it does is
        /// measured with all other edges as in the corrupted text.
        fn circuit(edges: &Edges, n: INT) -> Circuit { edges.circuit_of_strongest(n) }

        /// The circuit of edges that are named, pairs of what writes and what reads.
        ///
        /// Example:
        /// ```rhai
        /// edges.circuit([["input", "m0"], ["m0", "logits"]])
        /// ```
        fn circuit(edges: &Edges, names: Array) -> Circuit { edges.circuit_of(&names) }

        /// Circuits of growing size: how much of the difference of the answers each leaves, and what is left without it,
        /// beside random circuits of as many edges.
        fn curve(edges: &Edges; options: CurveOptions) -> Curve { edges.curve(&options) }
    }
}
