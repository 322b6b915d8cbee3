//! Two models, one tuned from the other: `ecco::diff`.

use std::rc::Rc;

use ecco_explain::diff::{Diff, Grafts, WeightDistance, diff, weight_distances};
use ecco_explain::intervention::divergence::{Divergence, Prediction};
use ecco_models::config::Task;
use ecco_models::run::Input;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::session::watched;
use ecco_scripting::table::Table;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, functions, members, options};
use ecco_widgets::{DiffText, Explorable, GraftMap, WeightChange};
use ndarray::{ArrayD, IxDyn};
use rhai::{Array, Dynamic, FLOAT, INT};

use crate::models::model::Model;
use crate::text::chat::TextOrChat;
use crate::text::passage::Passage;
use crate::text::reading;
use crate::text::run::of_text;
use crate::text::shown::{shown, shown_one};

options! {
    /// What `diff` can be told.
    pub struct DiffOptions {
        /// also the map of grafts: how much comes with each layer, and each half of one
        grafts: bool = true,
        /// also how far the weights are apart
        weights: bool = true,
    }
}

/// Clones share everything.
#[derive(Clone)]
pub(crate) struct ModelDiff(Rc<Inner>);

struct Inner {
    base: Model,
    tuned: Model,
    passages: Vec<Passage>,
    diff: Diff,
    weights: Vec<WeightDistance>,
}

impl ModelDiff {
    fn new(base: &Model, tuned: &Model, texts: &Array, options: &DiffOptions) -> Result<Self, ScriptError> {
        let (one, other, state) = (base.loaded()?, tuned.loaded()?, base.state()?);
        let texts = TextOrChat::all(base, texts)?;
        if texts.is_empty() {
            return Err(ScriptError::new(ErrorKind::Value, "the list of texts is empty")
                .with_hint("ecco::diff(base, tuned, [\"one text\", \"another\"])"));
        }
        let read = |(at, text): (usize, &TextOrChat)| -> Result<Passage, ScriptError> {
            let input = reading::input(base, text.prompt(), None).map_err(|error| of_text(error, at))?;
            let there = Input::new(&other, text.prompt(), None)?;
            if there.ids != input.ids {
                let message = format!(
                    "{:?} reads text {at} as other tokens than {:?}",
                    tuned.card().name,
                    base.card().name
                );
                return Err(ScriptError::new(ErrorKind::Value, message)
                    .with_hint("models are compared whose tokenizers are the same"));
            }
            Passage::of_text(base, input)
        };
        let passages: Vec<Passage> = texts.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        let inputs: Vec<Input> = passages.iter().map(|passage| passage.input().clone()).collect();
        let found = watched(&state, base.verbose, |watch| {
            diff(&one, &other, &inputs, options.grafts, watch)
        })?;
        let are_there = found
            .texts
            .iter()
            .flat_map(|text| &text.kl)
            .all(|kl| kl.is_finite());
        reading::about_numbers(tuned, are_there)?;
        let weights = match options.weights {
            true => watched(&state, base.verbose, |watch| {
                weight_distances(&one, &other, watch)
            })?,
            false => Vec::new(),
        };
        Ok(Self(Rc::new(Inner {
            base: base.plain(),
            tuned: tuned.plain(),
            passages,
            diff: found,
            weights,
        })))
    }

    /// The mean over all positions.
    fn divergence(&self) -> f64 {
        let all: Vec<f64> = self
            .0
            .diff
            .texts
            .iter()
            .flat_map(|text| text.kl.iter().copied())
            .collect();
        all.iter().sum::<f64>() / all.len().max(1) as f64
    }

    fn grafts(&self) -> Result<&Grafts, ScriptError> {
        self.0.diff.grafts.as_ref().ok_or_else(|| {
            ScriptError::new(ErrorKind::Value, "there is no map of grafts")
                .with_hint("it is made of models of one stack, unless #{grafts: false} leaves it out")
        })
    }

    /// A row for each layer.
    fn table(&self) -> Result<Table, ScriptError> {
        let Inner { diff, weights, .. } = &*self.0;
        let n_layers = diff.cosine.len().saturating_sub(1);
        let floats = |name: &str, values: &[f64]| {
            (
                name.to_owned(),
                values.iter().map(|&value| given(value)).collect(),
            )
        };
        let layers = (0..n_layers)
            .map(|layer| Dynamic::from_int(layer as INT))
            .collect();
        let mut columns = vec![
            ("layer".to_owned(), layers),
            floats("cosine", &diff.cosine[1..]),
            floats("cka", diff.cka.get(1..).unwrap_or_default()),
        ];
        if let Some(grafts) = &diff.grafts {
            columns.extend([
                floats("with_layer", &grafts.layer),
                floats("with_attention", &grafts.attention),
                floats("with_mlp", &grafts.mlp),
                floats("with_all_up_to", &grafts.up_to),
            ]);
        }
        if weights.iter().any(|weight| weight.layer().is_some()) {
            let of = |layer| {
                WeightDistance::relative(weights.iter().filter(|weight| weight.layer() == Some(layer)))
            };
            columns.push(floats("weights", &(0..n_layers).map(of).collect::<Vec<f64>>()));
        }
        Table::new(columns)
    }

    /// A row for each weight.
    fn weights(&self) -> Result<Table, ScriptError> {
        let weights = &self.0.weights;
        let column = |name: &str, of: &dyn Fn(&WeightDistance) -> Dynamic| {
            (name.to_owned(), weights.iter().map(of).collect::<Vec<Dynamic>>())
        };
        Table::new(vec![
            column("role", &|weight| weight.role.clone().into()),
            column("layer", &|weight| {
                weight
                    .layer()
                    .map_or(Dynamic::UNIT, |layer| Dynamic::from_int(layer as INT))
            }),
            column("relative", &|weight| {
                Dynamic::from_float(WeightDistance::relative([weight]))
            }),
            column("norm", &|weight| Dynamic::from_float(weight.base.sqrt())),
        ])
    }

    /// The place among a text's tokens of what is predicted first. A label is said of the whole text: behind it.
    fn shift(passage: &Passage, loaded: &ecco_models::Model) -> usize {
        match &loaded.config().task {
            task if task.is_of_text() => passage.tokens().len(),
            _ if passage.is_pair() => passage.n_input(),
            _ => usize::from(passage.is_causal()),
        }
    }

    fn text(passage: &Passage, found: &Divergence, loaded: &ecco_models::Model) -> DiffText {
        let (shift, is_token) = (
            Self::shift(passage, loaded),
            !matches!(loaded.config().task, Task::Label(_)),
        );
        let token = |said: &Prediction| shown_one(&loaded.tokenizer().tokens(&[said.id])[0]);
        let both = found.reference.iter().zip(&found.changed);
        let said = both.map(|(tuned, base)| is_token.then(|| (token(base), token(tuned))));
        let none = std::iter::repeat_n(f32::NAN, shift);
        DiffText {
            tokens: shown(passage.tokens()),
            divergences: none.chain(found.kl.iter().map(|&kl| kl as f32)).collect(),
            predicted: std::iter::repeat_n(None, shift).chain(said).collect(),
            parted: Diff::parted(found).map(|at| at + shift),
        }
    }
}

/// What is no number was not found.
fn given(value: f64) -> Dynamic {
    match value.is_nan() {
        true => Dynamic::UNIT,
        false => Dynamic::from_float(value),
    }
}

impl Show for ModelDiff {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        let Inner {
            base,
            tuned,
            passages,
            diff,
            weights,
        } = &*self.0;
        let loaded = base.loaded()?;
        let texts = passages.iter().zip(&diff.texts);
        let change = |weight: &WeightDistance| WeightChange {
            role: weight.role.clone(),
            layer: weight.layer(),
            relative: WeightDistance::relative([weight]),
            norm: weight.base.sqrt(),
        };
        Ok(Box::new(ecco_widgets::ModelDiff {
            base: base.card().name.clone(),
            tuned: match tuned.changes().is_empty() {
                true => tuned.card().name.clone(),
                false => format!("{}, changed", tuned.card().name),
            },
            divergence: self.divergence(),
            texts: texts
                .map(|(passage, found)| Self::text(passage, found, &loaded))
                .collect(),
            cosine: diff.cosine.clone(),
            cka: diff.cka.clone(),
            grafts: diff.grafts.clone().map(|grafts| GraftMap {
                layer: grafts.layer,
                attention: grafts.attention,
                mlp: grafts.mlp,
                up_to: grafts.up_to,
                embedding: grafts.embedding,
                head: grafts.head,
            }),
            weights: weights.iter().map(change).collect(),
        }))
    }

    fn line(&self) -> String {
        let Inner {
            base,
            tuned,
            passages,
            ..
        } = &*self.0;
        format!(
            "difference of {:?} from {:?} in {} texts",
            tuned.card().name,
            base.card().name,
            passages.len()
        )
    }
}

impl Explanation for ModelDiff {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let tensor = |values: &[f64], axis: &'static str| {
            let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            Tensor::new(
                ArrayD::from_shape_vec(IxDyn(&[values.len()]), values).unwrap_or_default(),
                &[axis],
            )
        };
        let diff = &self.0.diff;
        let mut all = vec![
            ("cosine", tensor(&diff.cosine, "depth")),
            ("cka", tensor(&diff.cka, "depth")),
        ];
        if let Some(grafts) = &diff.grafts {
            all.extend([
                ("with_layer", tensor(&grafts.layer, "layer")),
                ("with_attention", tensor(&grafts.attention, "layer")),
                ("with_mlp", tensor(&grafts.mlp, "layer")),
                ("with_all_up_to", tensor(&grafts.up_to, "layer")),
            ]);
        }
        Ok(all)
    }
}

pub(super) fn register(registry: &mut Registry) {
    functions! { registry, "ecco";
        /// What a tuned model does otherwise than the one it was tuned from: how far their predictions are apart at each token
        /// (KL from the tuned one's, in nats), where they first find another token most probable, how alike their states are
        /// after each layer, how far their weights are apart, and the map of grafts: how much of the divergence is left when
        /// the base has one layer of the tuned model, its attention or MLP alone, or all layers up to it. No weight is copied.
        /// Both have to be of one size and read texts as the same tokens; handles of one model, as with and without its
        /// adapter or an intervention, can be compared too.
        ///
        /// Example:
        /// ```rhai
        /// let base = ecco::from_pretrained("HuggingFaceTB/SmolLM2-135M");
        /// let tuned = ecco::from_pretrained("HuggingFaceTB/SmolLM2-135M-Instruct");
        /// ecco::diff(base, tuned, ["The capital of France is", "Say hello."])
        /// ```
        fn diff(_state, base: Model, tuned: Model, texts: Array; options: DiffOptions) -> ModelDiff {
            ModelDiff::new(&base, &tuned, &texts, &options)
        }
    }
    members! { registry, [ModelDiff];
        /// The mean divergence over all positions, in nats.
        get divergence(diff: &ModelDiff) -> FLOAT { Ok(diff.divergence()) }

        /// The divergences of each text: an array of tensors (position), each of the prediction that is made there.
        get divergences(diff: &ModelDiff) -> Array {
            let tensor = |text: &Divergence| {
                let values: Vec<f64> = text.kl.clone();
                let values = ArrayD::from_shape_vec(IxDyn(&[values.len()]), values).unwrap_or_default();
                Tensor::exact(values, &["position"]).into_value()
            };
            Ok(diff.0.diff.texts.iter().map(tensor).collect())
        }

        /// Of each text the place of the first token that the two would not both have written; `()` where there is none.
        get parted(diff: &ModelDiff) -> Array {
            let (texts, loaded) = (diff.0.passages.iter().zip(&diff.0.diff.texts), diff.0.base.loaded()?);
            let place = |(passage, text): (&Passage, &Divergence)| match Diff::parted(text) {
                Some(at) => Dynamic::from_int((at + ModelDiff::shift(passage, &loaded)) as INT),
                None => Dynamic::UNIT,
            };
            Ok(texts.map(place).collect())
        }

        /// A row for each layer: the mean `cosine` of the states after it, their `cka` (linear centred kernel alignment), the divergence that is left `with_layer`,
        /// `with_attention`, `with_mlp` and `with_all_up_to` of the tuned model, and how far its `weights` are apart.
        ///
        /// Example:
        /// ```rhai
        /// ecco::diff(base, tuned, texts).table.sort("with_layer").head(3)
        /// ```
        get table(diff: &ModelDiff) -> Table { diff.table() }

        /// A row for each weight that both have: its `role`, its `layer`, the length of the difference `relative` to that of
        /// the base's, which is its `norm` (Frobenius). They are those of the files, without adapters.
        get weights(diff: &ModelDiff) -> Table { diff.weights() }

        /// The divergence that is left when what embeds tokens is the tuned model's.
        get with_embedding(diff: &ModelDiff) -> FLOAT { Ok(diff.grafts()?.embedding) }

        /// The divergence that is left when the final norm and the head are the tuned model's.
        get with_head(diff: &ModelDiff) -> FLOAT { Ok(diff.grafts()?.head) }
    }
}
