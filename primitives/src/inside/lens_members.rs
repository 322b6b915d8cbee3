//! What each layer would say: `layer_predictions`, `rankings`, `rankings_watch`, `lens`.

use ecco_scripting::options::{OneOrMany, Word};
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};
use rhai::{Array, Dynamic};

use super::fitted_lens::FittedLens;
use super::lens::{Lens, LensOptions};
use crate::live::Asking;
use crate::text::generation::Generation;
use crate::text::outputs::Outputs;
use crate::text::passage::{Passage, Stream};
use crate::text::results::Results;
use crate::text::run::Run;
use crate::text::token::token;

options! {
    /// What is read of the layers.
    struct DepthOptions {
        /// one layer only, counted from 0
        layer: Option<usize> = "all layers",
        /// leave the final norm out, as the Python library does
        raw: bool = false,
        /// also what the stream says before the first layer
        embedding: bool = false,
        /// a lens that was fitted, in place of the plain one
        lens: Option<FittedLens> = "the logit lens",
    }
}

options! {
    /// What `layer_predictions` can be told.
    struct PredictionOptions {
        /// the position whose token is predicted
        position: Option<usize> = "the first generated token; of a run the first mask, or what follows",
        /// how many tokens of each layer
        topk: usize [1..] = 10,
        ..depths: DepthOptions,
    }
}

options! {
    /// What `rankings_watch` can be told.
    struct WatchOptions {
        /// the tokens to rank: texts that are one token each, or their numbers
        watch: Option<OneOrMany<Word>> = "needed",
        /// the position where they might stand
        position: Option<usize> = "the last generated token; of a run the first mask, or what follows",
        ..depths: DepthOptions,
    }
}

options! {
    /// What `lens` can be told.
    struct MapOptions {
        /// positions whose tokens are predicted
        positions: Option<Vec<usize>> = "all generated tokens; of a run all",
        /// how many candidates each cell has
        topk: usize [1..] = 5,
        /// leave the final norm out
        raw: bool = false,
        /// also what the stream says before the first layer, where the lens reads it
        embedding: bool = true,
        /// a lens that was fitted, in place of the plain one
        lens: Option<FittedLens> = "the logit lens",
    }
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Generation, Run];
        /// The most probable tokens after each layer, were it the last (logit lens): each layer's residual stream goes
        /// through the final norm and the head; `raw: true` leaves out the norm. Shown, it is a table of layers; the last
        /// one is what the model says. Of a run it is about a mask, or about what follows the text.
        ///
        /// Example:
        /// ```rhai
        /// output.layer_predictions(#{position: 25, topk: 5})
        /// ```
        fn layer_predictions(stream: Stream; options: PredictionOptions) -> Lens {
            let asked = Asking::new("layer_predictions", &options);
            Lens::predictions(stream.0, options.position, &of_depths(&options.depths, options.topk, asked))
        }

        /// The ranks of the generated tokens, of a run of all its tokens, after each layer (layer × token); 1 is the most
        /// probable one.
        ///
        /// Example:
        /// ```rhai
        /// output.rankings()
        /// ```
        fn rankings(passage: Passage; options: DepthOptions) -> Lens {
            let asked = Asking::new("rankings", &options);
            Lens::ranks(passage, &of_depths(&options, 1, asked))
        }

        /// The ranks of chosen tokens at one position after each layer: texts that are one token each, or numbers. Of a
        /// run the position is a mask's, or what follows the text.
        ///
        /// Example:
        /// ```rhai
        /// output.rankings_watch(#{watch: [" is", " are"]})
        /// ```
        fn rankings_watch(stream: Stream; options!: WatchOptions) -> Lens {
            watch(stream.0, options)
        }

        /// What each layer would say at several places, with the entropy of it (in nats), the Kullback–Leibler divergence
        /// of the output from it (in nats), and the rank and probability of the token that stands there.
        ///
        /// Example:
        /// ```rhai
        /// output.lens()
        /// ```
        fn lens(stream: Stream; options: MapOptions) -> Lens { map(stream.0, options) }
    }
    members! { registry, [Outputs];
        /// What each layer would say in each output, as in one, those about equally long side by side: a list, computed when it is
        /// first shown or read.
        ///
        /// Example:
        /// ```rhai
        /// lm.generate(prompts, #{generate: 5}).lens().table.sort("settled")
        /// ```
        fn lens(outputs: &Outputs; options: MapOptions) -> Results {
            Results::of_outputs_together(outputs, move |passages| {
                let each = passages.iter().map(|passage| map(passage.clone(), options.clone()));
                let lenses = each.collect::<Result<Vec<Lens>, _>>()?;
                Lens::compute(&lenses)?;
                Ok(lenses)
            })
        }
    }
    members! { registry, [Lens];
        /// The ranks of the tokens: a tensor (layer, token); of a lens (layer, position).
        get ranks(lens: &Lens) -> Tensor { lens.tensor("ranks") }

        /// Probabilities: of layer predictions (layer, candidate), of rankings (layer, token), of a lens those of the
        /// text's tokens (layer, position).
        get probabilities(lens: &Lens) -> Tensor { lens.tensor("probabilities") }

        /// The entropy of what each layer says, −Σ p ln p in nats: a tensor (layer); of a lens (layer, position).
        get entropy(lens: &Lens) -> Tensor { lens.tensor("entropy") }

        /// The Kullback–Leibler divergence of the output from what each layer says, Σ q ln (q / p) in nats, 0 at the last
        /// layer: a tensor (layer); of a lens (layer, position).
        get divergence(lens: &Lens) -> Tensor { lens.tensor("divergence") }

        /// The texts of the most probable tokens: for each layer, at each position, best first.
        get top_tokens(lens: &Lens) -> Array {
            let nested = |texts: Vec<String>| Dynamic::from_array(texts.into_iter().map(Dynamic::from).collect());
            let row = |row: Vec<Vec<String>>| Dynamic::from_array(row.into_iter().map(nested).collect());
            Ok(lens.top_tokens()?.into_iter().map(row).collect())
        }
    }
}

fn map(passage: Passage, options: MapOptions) -> Result<Lens, ScriptError> {
    let read = LensOptions {
        asked: Asking::new("lens", &options),
        layer: None,
        top_k: options.topk,
        raw: options.raw,
        embedding: options.embedding,
        lens: options.lens,
    };
    Lens::map(passage, options.positions, &read)
}

fn of_depths(options: &DepthOptions, top_k: usize, asked: Asking) -> LensOptions {
    LensOptions {
        asked,
        layer: options.layer,
        top_k,
        raw: options.raw,
        embedding: options.embedding,
        lens: options.lens.clone(),
    }
}

fn watch(passage: Passage, options: WatchOptions) -> Result<Lens, ScriptError> {
    let asked = Asking::new("rankings_watch", &options);
    let words = options
        .watch
        .map(|words| words.0)
        .filter(|words| !words.is_empty());
    let words = words.ok_or_else(|| {
        ScriptError::new(ErrorKind::Option, "there is no token to watch")
            .with_hint("name some: #{watch: [\" is\", \" are\"]}")
    })?;
    let loaded = passage.model().loaded()?;
    let tokens = words.iter().map(|word| token(word, &loaded, "watch"));
    let tokens = tokens.collect::<Result<_, _>>()?;
    Lens::watch(
        passage,
        tokens,
        options.position,
        &of_depths(&options.depths, 1, asked),
    )
}
