//! `lm.causal_trace`: noise on some tokens, and which states bring the answer back.

use std::rc::Rc;

use ecco_explain::intervention::tracing::{Noise, causal_trace};
use ecco_models::{Prompt, Token, Tokenizer};
use ecco_scripting::session::watched;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};
use rhai::{Dynamic, INT};

use super::patch_map::PatchMap;
use super::patch_maps::PatchMaps;
use super::patching::{Pair, PairOptions};
use crate::models::model::Model;
use crate::text::chat::Chat;

options! {
    /// What `causal_trace` can be told.
    pub struct TraceOptions {
        ..pair: PairOptions,
        /// the noise's standard deviation, in those of the numbers that enter the first layer
        noise: f64 = 3.0,
        /// how often it is drawn
        samples: usize [1..] = 10,
        /// which noise
        seed: u64 = 0,
    }
}

/// The positions that a script names: by numbers, or by a text that stands there.
fn positions(tokenizer: &Tokenizer, ids: &[u32], subject: &Dynamic) -> Result<Vec<usize>, ScriptError> {
    let wrong = |value: &Dynamic| {
        let message = format!(
            "the subject is {}, neither a text nor positions",
            value.type_name()
        );
        ScriptError::new(ErrorKind::Type, message).with_hint("lm.causal_trace(text, \" France\") or [3, 4]")
    };
    let counted = |value: &Dynamic| {
        let number = value.as_int().map_err(|_| wrong(value))?;
        usize::try_from(number).map_err(|_| {
            ScriptError::new(
                ErrorKind::Value,
                format!("a position is {number}: they are counted from 0"),
            )
        })
    };
    if subject.is::<INT>() {
        return Ok(vec![counted(subject)?]);
    }
    if let Some(list) = subject.read_lock::<rhai::Array>() {
        let mut all = list.iter().map(counted).collect::<Result<Vec<_>, _>>()?;
        all.sort_unstable();
        all.dedup();
        return Ok(all);
    }
    let text = subject.clone().into_string().map_err(|_| wrong(subject))?;
    let tokens = tokenizer.tokens(ids);
    let whole: Vec<char> = tokenizer.decode(ids).chars().collect();
    let sought: Vec<char> = text.trim().chars().collect();
    let start = (0..whole.len()).find(|&at| !sought.is_empty() && whole[at..].starts_with(&sought));
    let Some(start) = start else {
        return Err(
            ScriptError::new(ErrorKind::Value, format!("{text:?} is not in the text"))
                .with_hint("the first place where it stands is taken; positions do as well: [3, 4]"),
        );
    };
    let end = start + sought.len();
    let overlaps = |token: &Token| token.span.start < end && token.span.end > start;
    let found = tokens.iter().enumerate().filter(|(_, token)| overlaps(token));
    Ok(found.map(|(at, _)| at).collect())
}

fn trace(
    lm: &Model,
    text: Prompt,
    subject: &Dynamic,
    options: TraceOptions,
) -> Result<PatchMaps, ScriptError> {
    let (loaded, state) = (lm.loaded()?, lm.state()?);
    let pair = Pair::read(lm, text, text, &options.pair, None)?;
    let positions = positions(loaded.tokenizer(), &pair.clean.ids, subject)?;
    let tokens = loaded.tokenizer().tokens(&pair.clean.ids);
    let named = positions.iter().filter_map(|&at| tokens.get(at));
    let named: Vec<String> = named.map(|token| format!("{:?}", token.text)).collect();
    let noise = Noise {
        positions,
        factor: options.noise,
        n_samples: options.samples,
        seed: options.seed,
    };
    let found = watched(&state, lm.verbose, |watch| {
        causal_trace(&loaded, &pair.clean, &pair.patch, &noise, watch)
    })?;
    let pair = Rc::new(pair);
    let map = |map| PatchMap {
        map: Rc::new(map),
        pair: Rc::clone(&pair),
        asked: None,
    };
    Ok(PatchMaps::of_noise(
        found.into_iter().map(map).collect(),
        named.join(" "),
    ))
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// Causal tracing: where a model keeps what it knows of some tokens. What enters the first layer there has noise added; then
        /// each state is put back as it was without, one after the other: how much of the answer comes back, 0 as with
        /// noise and 1 as without. The subject is a text that stands in the prompt, a position, or positions. The mean over several
        /// draws of noise, with its interval; no second text is needed.
        ///
        /// Example:
        /// ```rhai
        /// lm.causal_trace("The capital of France is", "France", #{target: " Paris", samples: 5})
        /// lm.causal_trace("The capital of France is", [3], #{site: "mlp_output"})
        /// ```
        volatile fn causal_trace(lm: &Model, text: &str, subject: Dynamic; options: TraceOptions) -> PatchMaps {
            trace(lm, text.into(), &subject, options)
        }

        volatile fn causal_trace(lm: &Model, chat: Chat, subject: Dynamic; options: TraceOptions) -> PatchMaps {
            trace(lm, chat.prompt(), &subject, options)
        }
    }
}
