//! Every view that shows numbers, with such that are none: of a model whose weights overflow, or that says nothing at
//! all of its input.

use std::collections::BTreeMap;

use ecco_widgets::Explorable;
use ecco_widgets::comparison::MethodRow;
use ecco_widgets::faithfulness::{Figure, Measurement};
use ecco_widgets::reading::Place;
use ecco_widgets::*;

use crate::texts::{N_INPUT, eu};
use crate::{attention, attribution, circuits, factors, inside, interventions, many, saliency, small};

/// The names of the pages end with these.
const VALUES: [(&str, f64); 5] = [
    ("nan", f64::NAN),
    ("infinite", f64::INFINITY),
    ("minus-infinite", f64::NEG_INFINITY),
    ("underflown", 1e-42),
    ("zero", 0.0),
];

pub(crate) fn views() -> Vec<(&'static str, Box<dyn Explorable>)> {
    let mut views: Vec<(&'static str, Box<dyn Explorable>)> = Vec::new();
    for (name, value) in VALUES {
        let mut all = |view: &str, shown: Box<dyn Explorable>| {
            // The gallery lives as long as the process.
            let name: &'static str = format!("none-{view}-{name}").leak();
            views.push((name, shown));
        };
        all(
            "saliency",
            with(saliency::saliency(SaliencyStyle::Detailed), value),
        );
        all(
            "saliency-signed",
            with(attribution::contrasts(SaliencyStyle::Detailed), value),
        );
        all("saliency-labels", with(attribution::labels(), value));
        all("saliency-words", with(attribution::by_words(), value));
        all("saliency-pair", with(attribution::pair(), value));
        all("score", with(attribution::score(eu(), 8), value));
        all(
            "faithfulness",
            with(attribution::faithfulness(eu()[N_INPUT..].to_vec()), value),
        );
        all("comparison", with(attribution::comparison(eu()), value));
        all("factors", with(factors::factors(4), value));
        all("factors-signed", with(factors::components(4), value));
        all("neuron", with(factors::neuron(vec![(eu(), N_INPUT)]), value));
        all("neurons", with(factors::top_neurons(), value));
        all("similarity", with(factors::similarity(4, 5), value));
        all("predictions", with(inside::predictions(eu(), 23), value));
        all("ranks", with(inside::ranks(RankKind::Written), value));
        all("ranks-watched", with(inside::ranks(RankKind::Watched), value));
        all("lens", with(inside::lens(eu(), 23, 3), value));
        for (by, name) in [
            (PartsBy::Layer, "layer"),
            (PartsBy::Head, "head"),
            (PartsBy::Neuron, "neuron"),
        ] {
            all(&format!("parts-{name}"), with(inside::parts(by), value));
        }
        all("top-k", with(inside::top_k(), value));
        all("heads", with(inside::head_scores("induction"), value));
        all("vocabulary", with(inside::vocabulary(eu()), value));
        all("candidates", with(inside::candidates(), value));
        all(
            "attention",
            with(attention::attention(eu(), 2, 3, Some(1)), value),
        );
        all("attention-cross", with(attention::cross_attention(), value));
        all("side-by-side", with(interventions::side_by_side(), value));
        all("patch-map", with(interventions::patch_map(false), value));
        all("patch-map-heads", with(interventions::patch_map(true), value));
        all("patch-map-pairs", with(interventions::patch_map_pairs(), value));
        all(
            "attribution-patching",
            with(interventions::attribution_patching(), value),
        );
        all("site-attribution", with(interventions::site_attribution(), value));
        all("steering", with(interventions::steering(), value));
        all("edges", with(circuits::edges(), value));
        all("circuit", with(circuits::circuit(), value));
        all("circuit-curve", with(circuits::curve(), value));
        all("attribution-graph", with(circuits::graph(), value));
        all("probes", with(many::probes(), value));
        all("corpus-neuron", with(many::neuron(), value));
        all("projection", with(many::projection(), value));
        for (name, reading) in [
            ("guessed", small::guessed(eu(), 23)),
            ("masked", small::masked()),
            ("replaced", small::replaced()),
            ("labelled", small::labelled()),
            ("entities", small::entities()),
            ("answers", small::answers()),
        ] {
            all(name, with(reading, value));
        }
        all("tensor", with(small::tensor(), value));
    }
    views
}

fn with<V: Numbers + Explorable + 'static>(mut view: V, value: f64) -> Box<dyn Explorable> {
    view.set(value);
    Box::new(view)
}

/// What holds numbers, all of which can be set to one.
trait Numbers {
    fn set(&mut self, value: f64);
}

impl Numbers for f32 {
    fn set(&mut self, value: f64) {
        *self = value as f32;
    }
}

impl Numbers for f64 {
    fn set(&mut self, value: f64) {
        *self = value;
    }
}

/// A rank: where there is no number, there is none.
impl Numbers for u32 {
    fn set(&mut self, value: f64) {
        if value.is_nan() {
            *self = 0;
        }
    }
}

impl Numbers for usize {
    fn set(&mut self, value: f64) {
        if value.is_nan() {
            *self = 0;
        }
    }
}

/// What names a number, and stays.
macro_rules! names {
    ($($Name:ty),+) => {
        $(impl Numbers for $Name {
            fn set(&mut self, _: f64) {}
        })+
    };
}

names!(Token, String);

impl<N: Numbers> Numbers for Vec<N> {
    fn set(&mut self, value: f64) {
        self.iter_mut().for_each(|number| number.set(value));
    }
}

impl<N: Numbers, const LENGTH: usize> Numbers for [N; LENGTH] {
    fn set(&mut self, value: f64) {
        self.iter_mut().for_each(|number| number.set(value));
    }
}

impl<N: Numbers> Numbers for Option<N> {
    fn set(&mut self, value: f64) {
        self.iter_mut().for_each(|number| number.set(value));
    }
}

impl<N: Numbers> Numbers for BTreeMap<String, N> {
    fn set(&mut self, value: f64) {
        self.values_mut().for_each(|number| number.set(value));
    }
}

impl<A: Numbers, B: Numbers> Numbers for (A, B) {
    fn set(&mut self, value: f64) {
        self.0.set(value);
        self.1.set(value);
    }
}

/// The fields that hold numbers, of each type that is shown.
macro_rules! numbers {
    ($($Type:ty: $($field:ident)+;)+) => {
        $(impl Numbers for $Type {
            fn set(&mut self, value: f64) {
                $(self.$field.set(value);)+
            }
        })+
    };
}

numbers! {
    Saliency: values scores contributions;
    Score: scored;
    ScoredToken: log_probability rank best;
    Faithfulness: targets fractions figures;
    Measurement: deletion insertion random;
    Figure: value random;
    Comparison: agreement methods;
    MethodRow: scores faithfulness seconds;
    Factors: components weights unmixing mean shares error relative_error held_out neurons;
    Holdout: error spread;
    FactorNeuron: weight;
    NeuronActivity: texts;
    NeuronText: values;
    NeuronList: neurons;
    ActiveNeuron: value;
    SimilarityGrid: values;
    LayerPredictions: readings;
    depths::Reading: top chosen entropy divergence;
    RankMap: ranks probabilities entropy divergence;
    LensMap: readings;
    Parts: logit sum embedding bias heads attention_bias layers neurons;
    LayerParts: attention cross mlp;
    parts::Neuron: activation part;
    TopK: positions;
    TopKPosition: rank probability top;
    Heads: values;
    Vocabulary: rows;
    VocabularyRow: norm promotes suppresses;
    VocabularyToken: value;
    Candidates: places;
    CandidatePlace: rows chosen;
    Candidate: rank probability;
    Attention: patterns;
    ecco_widgets::attention::Pattern: weights;
    SideBySide: predictions;
    Prediction: kl best of_token;
    PatchMap: clean corrupted restored estimate pairs;
    PatchPairs: interval;
    PatchEstimate: measured correlation;
    MeasuredCell: restored;
    SiteAttribution: value contributions sums;
    LayerSum: sum promised;
    Edges: clean corrupted edges correlation sum;
    ScoredEdge: score measured;
    Circuit: faithfulness without edges;
    CircuitEdge: score;
    CircuitCurve: circuits;
    AttributionGraph: value nodes edges kept completeness replacement correlation;
    GraphNode: value score others constant influence measured;
    GraphEdge: weight;
    CircuitSize: faithfulness without random;
    Probes: majority places;
    Projection: shares x y;
    CorpusNeuron: mean deviation active histogram quantiles promotes suppresses nearest groups;
    Quantile: share value;
    Neighbours: units;
    Neighbour: likeness;
    Histogram: start end;
    CorpusGroup: texts;
    CorpusText: value values;
    ProbePlace: accuracy spread auc calibration_error control;
    Steering: vector norm typical positive negative;
    Place: candidates;
    TensorSummary: min max mean preview histogram cells;
    TensorCells: deepest values;
}

impl Numbers for Reading {
    fn set(&mut self, value: f64) {
        match &mut self.said {
            Statement::Nothing { .. } => {}
            Statement::Tokens { places } => places.set(value),
            Statement::Replaced { probabilities } => probabilities.set(value),
            Statement::Labels { labels: values, .. } | Statement::Values { values } => values.set(value),
            Statement::TokenLabels { tokens } => tokens.iter_mut().for_each(|token| token.labels.set(value)),
            Statement::Spans { spans } => spans.iter_mut().for_each(|span| span.score = value as f32),
        }
    }
}
