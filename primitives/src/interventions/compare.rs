//! `lm.compare`: a text continued by the untouched model and by the changed one.

use std::cell::RefCell;

use ecco_models::Prompt;
use rhai::{Dynamic, INT, Map};

use super::asking::AskedCall;
use super::intervene::{InterveneOptions, intervene};
use super::side_by_side::SideBySide;
use crate::attribution::generate::generated;
use crate::models::model::Model;
use crate::text::chat::Chat;
use crate::text::generate::GenerationOptions;
use crate::text::generation::Generation;
use ecco_scripting::options::{OptionKind, OptionReader, OptionSet, OptionSpec, OptionValue, Told};
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};

options! {
    struct ChangeOptions {
        /// what is changed in the second text; all other options are those of `generate`
        intervene: Option<InterveneMap> = "this handle's interventions, against the untouched model; without any, its adapter",
    }
}

/// A map as `lm.intervene` takes it.
#[derive(Debug, Clone)]
struct InterveneMap(Map);

impl OptionValue for InterveneMap {
    const KIND: OptionKind = OptionKind::Any("a map as lm.intervene takes it");

    fn of(value: &Dynamic) -> Option<Self> {
        value.as_map_ref().ok().map(|map| Self(map.clone()))
    }
}

/// What `lm.compare` can be told: what is changed, and all that `lm.generate` can be told.
#[derive(Default)]
struct CompareOptions {
    intervene: Option<InterveneMap>,
    generate: Map,
    told: Told,
}

impl OptionSet for CompareOptions {
    fn rows() -> &'static [OptionSpec] {
        ChangeOptions::rows()
    }

    fn told(&self) -> Told {
        self.told.clone()
    }

    fn from_reader(reader: &OptionReader) -> Self {
        Self {
            told: reader.told(),
            intervene: reader.get("intervene"),
            generate: Map::new(),
        }
    }

    /// The options of `generate` are read where it is called.
    fn read(primitive: &str, map: &Map) -> Result<Self, ScriptError> {
        let mut generate = map.clone();
        let own = generate.remove_entry("intervene").into_iter().collect();
        let ChangeOptions { intervene, .. } = ChangeOptions::read(primitive, &own)?;
        Ok(Self {
            intervene,
            generate,
            told: Told::of(map),
        })
    }
}

/// The tokens of a text as they stand in it; none where they are not the text, as where a tokenizer puts its own around it.
fn pieces(output: &Generation, text: &str) -> Vec<String> {
    let given = output.tokens().iter().take(output.n_input());
    let pieces: Vec<String> = given.map(|token| token.text.clone()).collect();
    match pieces.concat() == text {
        true => pieces,
        false => Vec::new(),
    }
}

/// The text without the change that was compared last: changes are tried on one text, and drags of a picture ask by the dozen.
#[derive(Default)]
struct LastUntouched(RefCell<Option<(String, Generation)>>);

/// What the handle `before` writes, or has written when `lm` was last asked the same.
fn untouched(
    lm: &Model,
    before: &Model,
    (text, line): (Prompt, Option<&str>),
    generate: &Map,
) -> Result<Generation, ScriptError> {
    let asked = line.map(|text| format!("{text:?} {generate:?} {:?}", before.changes()));
    let last = lm.kept::<LastUntouched>();
    if let Some((of, known)) = &*last.0.borrow()
        && asked.as_ref() == Some(of)
    {
        return Ok(known.clone());
    }
    let made = generated(before, text, generate, false)?;
    // What is drawn is drawn anew.
    let asked = asked.filter(|_| made.seed().is_none());
    last.0.replace(asked.map(|asked| (asked, made.clone())));
    Ok(made)
}

/// `line`: the text as a line of code can say it.
fn compare(
    lm: &Model,
    text: Prompt,
    line: Option<&str>,
    options: CompareOptions,
) -> Result<SideBySide, ScriptError> {
    // Of a handle that is changed itself no line says how.
    let told = options.told.given().filter(|_| options.intervene.is_some());
    let (before, after) = match options.intervene {
        Some(InterveneMap(map)) => {
            let interventions = InterveneOptions::read("Model.intervene", &map)?;
            (lm.plain(), intervene(lm, &interventions)?)
        }
        None if !lm.interventions().is_empty() => (lm.untouched(), lm.plain()),
        None if lm.share().is_some_and(|share| share != 0.0) => (lm.with_share(0.0)?, lm.plain()),
        None => {
            let message = "there is nothing to compare: the model is untouched";
            return Err(ScriptError::new(ErrorKind::Value, message).with_hint(
                "lm.compare(text, #{intervene: #{ablate: […]}, generate: 20}), or edited.compare(text, …)",
            ));
        }
    };
    let mut generate = options.generate;
    let one = untouched(lm, &before, (text, line), &generate)?;
    // What is drawn is drawn by the same numbers.
    if let Some(seed) = one.seed() {
        generate.insert("seed".into(), Dynamic::from_int(seed as INT));
    }
    let other = generated(&after, text, &generate, false)?;
    let asked = told.zip(line).map(|(options, text)| AskedCall {
        model: lm.plain(),
        member: "compare",
        arguments: vec![text.into()],
        options,
        rows: vec![GenerationOptions::rows()],
        pieces: pieces(&one, text),
    });
    SideBySide::asked(&one, &other, asked)
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// Generates from a text twice, untouched and under interventions, with the same options and the same seed, and
        /// shows both side by side. Beside each token of the second text stands how far apart the two models' predictions
        /// were there, given the same tokens before it: KL(untouched ‖ intervened) = Σ p ln(p / q), in nats.
        /// Without `intervene` the interventions are those of this handle; of a handle that has none but an adapter, the
        /// first text is the model's without it.
        ///
        /// Example:
        /// ```rhai
        /// lm.compare("The countries are:", #{intervene: #{ablate: [#{layer: 1, site: "mlp_output"}]}, generate: 10})
        /// ```
        volatile fn compare(lm: &Model, text: &str; options: CompareOptions) -> SideBySide {
            compare(lm, text.into(), Some(text), options)
        }

        volatile fn compare(lm: &Model, chat: Chat; options: CompareOptions) -> SideBySide {
            compare(lm, chat.prompt(), None, options)
        }
    }
}
