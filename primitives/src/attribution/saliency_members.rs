//! Which tokens what a model says came from: `saliency`, `primary_attributions`, `lm.attribute`.

use ecco_explain::Completeness;
use ecco_models::Prompt;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{Registry, ScriptError, members};
use ecco_widgets::saliency::Target;
use rhai::{Array, Dynamic, INT, Map};

use super::computed::attributions;
use super::saliency::Saliency;
use super::saliency_options::{PrimaryOptions, SaliencyOptions};
use crate::models::model::Model;
use crate::text::chat::{Chat, TextOrChat};
use crate::text::generation::Generation;
use crate::text::outputs::Outputs;
use crate::text::passage::Passage;
use crate::text::reading::input;
use crate::text::results::{OfText, Results};
use crate::text::run::{self, Run};
use crate::text::score::{given, pairs};

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Generation, Run];
        /// Input saliency: how much each earlier token contributed to each generated one; of a run, to what the model
        /// says of the text, or could say. By another method, of another target, in words, in another style. It is
        /// computed when it is first shown or read.
        ///
        /// Example:
        /// ```rhai
        /// output.saliency(#{style: "detailed", method: "integrated_gradients"})
        /// lm.run("It was good.").saliency(#{target: "positive", by: "word"})
        /// ```
        fn saliency(passage: Passage; options: SaliencyOptions) -> Saliency { Saliency::new(passage, options) }
    }
    members! { registry, [Generation];
        /// The name the Python library has for `saliency`, with the names of its options.
        ///
        /// Example:
        /// ```rhai
        /// output.primary_attributions(#{attr_method: "ig", style: "detailed"})
        /// ```
        fn primary_attributions(passage: Passage; options: PrimaryOptions) -> Saliency {
            Saliency::new(passage, options.saliency()?)
        }
    }
    members! { registry, [Model];
        /// Explains what a model says of a text, or could say: the most probable next token, label, or token behind each
        /// mask; any token of the vocabulary, any label. Of a conversation that `lm.chat` made, what it would answer
        /// first.
        ///
        /// Example:
        /// ```rhai
        /// lm.attribute("The capital of France is", #{target: " Paris", contrast: " London"})
        /// lm.attribute(lm.pair("Who won?", "Norway won."), #{target: "start", position: 4})
        /// ```
        fn attribute(lm: &Model, text: &str; options: SaliencyOptions) -> Saliency { of_text(lm, text.into(), options) }

        fn attribute(lm: &Model, chat: Chat; options: SaliencyOptions) -> Saliency { of_text(lm, chat.prompt(), options) }

        /// Explains each token of a continuation, or of an answer in a conversation, that you give; for an
        /// encoder–decoder what it would have written.
        ///
        /// Example:
        /// ```rhai
        /// lm.attribute("The capital of France is", " Paris.", #{method: "occlusion"})
        /// ```
        fn attribute(lm: &Model, prompt: &str, continuation: &str; options: SaliencyOptions) -> Saliency {
            Saliency::new(given(lm, Some(prompt.into()), continuation)?.passage(), options)
        }

        fn attribute(lm: &Model, chat: Chat, continuation: &str; options: SaliencyOptions) -> Saliency {
            Saliency::new(given(lm, Some(chat.prompt()), continuation)?.passage(), options)
        }

        /// Of several texts, or of conversations, or of texts given by their tokens' numbers: a list with what each alone has,
        /// whose `table` has a row for each. They are computed when the list is first shown or read; an interrupt keeps those
        /// that are done, and the next time it goes on with the others.
        ///
        /// Example:
        /// ```rhai
        /// let found = lm.attribute(table.column("text"), #{by: "word"});
        /// found.table
        /// ```
        fn attribute(lm: &Model, texts: Array; options: SaliencyOptions) -> Results { several(lm, &texts, options) }

        /// Of several prompts, each with its own continuation.
        ///
        /// Example:
        /// ```rhai
        /// lm.attribute(["France:", "Italy:"], [" Paris", " Rome"])
        /// ```
        fn attribute(lm: &Model, prompts: Array, continuations: Array; options: SaliencyOptions) -> Results {
            of_pairs(lm, &prompts, &continuations, options)
        }
    }
    members! { registry, [Outputs];
        /// Input saliency of each output, as of one: a list, computed when it is first shown or read.
        ///
        /// Example:
        /// ```rhai
        /// lm.score(sentences).saliency(#{of: "log_probability"})
        /// ```
        fn saliency(outputs: &Outputs; options: SaliencyOptions) -> Results {
            Results::of_outputs_together(outputs, move |passages| together(passages, &options))
        }
    }
    of_saliency(registry);
}

fn of_text(lm: &Model, text: Prompt, options: SaliencyOptions) -> Result<Saliency, ScriptError> {
    Saliency::new(Passage::of_text(lm, input(lm, text, None)?)?, options)
}

/// Of several texts of a model: those about equally long side by side, where the method allows that.
fn together(passages: &[Passage], options: &SaliencyOptions) -> Result<Vec<Saliency>, ScriptError> {
    let each = passages
        .iter()
        .map(|passage| Saliency::new(passage.clone(), options.clone()));
    let each = each.collect::<Result<Vec<Saliency>, _>>()?;
    let asked = |saliency: &Saliency| Ok((saliency.passage.clone(), saliency.targets()?.list.clone()));
    let texts = each.iter().map(asked).collect::<Result<Vec<_>, ScriptError>>()?;
    if let Some(first) = each.first() {
        attributions(&texts, &first.options)?;
    }
    Ok(each)
}

fn several(lm: &Model, texts: &Array, options: SaliencyOptions) -> Result<Results, ScriptError> {
    let passage = |(at, text): (usize, TextOrChat)| {
        let read = input(lm, text.prompt(), None).and_then(|input| Passage::of_text(lm, input));
        let passage = read.map_err(|error| run::of_text(error, at))?;
        Ok((text.prompt().text().to_owned(), passage))
    };
    let texts = TextOrChat::all(lm, texts)?.into_iter().enumerate().map(passage);
    let texts = texts.collect::<Result<Vec<_>, ScriptError>>()?;
    Results::of_passages(texts, move |passages| {
        // What is explained where nothing is named.
        Passage::predict(passages)?;
        together(passages, &options)
    })
}

fn of_pairs(
    lm: &Model,
    prompts: &Array,
    continuations: &Array,
    options: SaliencyOptions,
) -> Result<Results, ScriptError> {
    let pairs = pairs(lm, prompts, continuations)?;
    let text = |(prompt, written): (TextOrChat, String)| {
        (format!("{}{written}", prompt.prompt().text()), (prompt, written))
    };
    let reader = lm.plain();
    Results::new(
        lm,
        pairs.into_iter().map(text).collect(),
        move |(prompt, written)| {
            Saliency::new(
                given(&reader, Some(prompt.prompt()), written)?.passage(),
                options.clone(),
            )
        },
    )
}

impl OfText for Saliency {
    const NAME: &'static str = "saliency";

    fn figures(&self) -> Result<Vec<(String, Dynamic)>, ScriptError> {
        let (attribution, names, scores) = (self.attribution()?, self.target_names()?, self.scores()?);
        let target: Vec<String> = names.iter().map(Target::line).collect();
        let mut sums = vec![0.0; scores.iter().map(Vec::len).max().unwrap_or(0)];
        for row in &scores {
            row.iter()
                .zip(&mut sums)
                .for_each(|(score, sum)| *sum += f64::from(score.abs()));
        }
        let strongest = (0..sums.len()).max_by(|&a, &b| sums[a].total_cmp(&sums[b]).then(b.cmp(&a)));
        let mean = attribution.values.iter().sum::<f64>() / attribution.values.len() as f64;
        let off = attribution
            .completeness
            .iter()
            .flatten()
            .map(|found| found.relative);
        Ok(vec![
            ("target".to_owned(), target.join(", ").into()),
            ("value".to_owned(), Dynamic::from_float(mean)),
            (
                "strongest".to_owned(),
                match strongest {
                    Some(at) => self.unit_name(at)?.into(),
                    None => Dynamic::UNIT,
                },
            ),
            (
                "off".to_owned(),
                off.reduce(f64::max).map_or(Dynamic::UNIT, Dynamic::from_float),
            ),
        ])
    }
}

fn of_saliency(registry: &mut Registry) {
    members! { registry, [Saliency];
        /// The scores: a tensor (generated token or target, position or word …), zero where a position comes after the
        /// target. Shares that sum to 1 in each row; with `aggregation: "sum"` contributions with their sign.
        get scores(saliency: &Saliency) -> Tensor { saliency.tensor() }

        /// Each token's contribution with its sign, in units of what is explained: a tensor (target, position). Where
        /// the method promises completeness, a row sums to the difference from the baseline.
        get contributions(saliency: &Saliency) -> Tensor { saliency.contributions() }

        /// What is explained, as a number for each target: its probability, or what `of` says.
        get values(saliency: &Saliency) -> Array {
            let attribution = saliency.attribution()?;
            Ok(attribution.values.iter().map(|&value| Dynamic::from_float(value)).collect())
        }

        /// The targets: an array of maps with `token` (or label), `position`, and `contrast` where there is one.
        get targets(saliency: &Saliency) -> Array {
            Ok(saliency.target_names()?.iter().map(target_map).collect())
        }

        /// Whether contributions add up to what the method promises: for each target a map with `promised`, `error`
        /// and `relative`; `()` where it promises nothing.
        get completeness(saliency: &Saliency) -> Array {
            Ok(saliency.attribution()?.completeness.iter().map(completeness_map).collect())
        }

        /// The method, for people.
        get method(saliency: &Saliency) -> String { Ok(saliency.options.method.label().to_owned()) }
    }
}

fn target_map(target: &Target) -> Dynamic {
    let position = target
        .position
        .map_or(Dynamic::UNIT, |at| Dynamic::from_int(at as INT));
    let mut map = Map::from([
        ("token".into(), target.name.text.clone().into()),
        ("position".into(), position),
    ]);
    if let Some(contrast) = &target.contrast {
        map.insert("contrast".into(), contrast.text.clone().into());
    }
    Dynamic::from_map(map)
}

pub(crate) fn completeness_map(found: &Option<Completeness>) -> Dynamic {
    found.map_or(Dynamic::UNIT, |found| {
        let numbers = [
            ("promised", found.promised),
            ("error", found.error),
            ("relative", found.relative),
        ];
        Dynamic::from_map(numbers.map(|(name, number)| (name.into(), number.into())).into())
    })
}
