//! Two outputs that continue one text, and how far their models' predictions are apart along the second.

use std::cell::OnceCell;
use std::rc::Rc;

use ecco_explain::intervention::divergence::{self, Divergence};
use ecco_models::run::Input;
use ecco_widgets::Explorable;
use ecco_widgets::{Prediction, Side};
use ndarray::{ArrayD, IxDyn};
use rhai::{Dynamic, FLOAT, INT};

use super::asking::AskedCall;
use crate::text::generation::Generation;
use crate::text::reading;
use crate::text::shown::{shown, shown_one};
use ecco_scripting::live::Live;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::session::watched;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members};

/// Computed when it is first shown or read. Clones share everything.
#[derive(Clone)]
pub(crate) struct SideBySide(Rc<OutputPair>);

struct OutputPair {
    untouched: Generation,
    intervened: Generation,
    divergence: OnceCell<Divergence>,
    /// Of `lm.compare`, where a line of script spells it out.
    asked: Option<Rc<AskedCall>>,
}

impl SideBySide {
    /// `one` is taken for the untouched one unless it is the one under interventions.
    ///
    /// # Errors
    /// For outputs of different texts.
    pub(crate) fn new(one: &Generation, other: &Generation) -> Result<Self, ScriptError> {
        Self::asked(one, other, None)
    }

    /// The same by a call that its view asks by other options.
    pub(super) fn asked(
        one: &Generation,
        other: &Generation,
        asked: Option<AskedCall>,
    ) -> Result<Self, ScriptError> {
        let n_changes = |output: &Generation| output.model().interventions().len();
        let (untouched, intervened) = match n_changes(one) > 0 && n_changes(other) == 0 {
            true => (other, one),
            false => (one, other),
        };
        let given = |output: &Generation| -> Vec<u32> {
            let given = output.tokens().iter().take(output.n_input());
            given.map(|token| token.id).collect()
        };
        if given(one) != given(other) {
            let message = "the outputs continue different texts, so they cannot be compared token by token";
            return Err(ScriptError::new(ErrorKind::Value, message).with_hint(
                "generate both from the same text: lm.compare(text, #{intervene: #{…}, generate: 20})",
            ));
        }
        Ok(Self(Rc::new(OutputPair {
            untouched: untouched.clone(),
            intervened: intervened.clone(),
            divergence: OnceCell::new(),
            asked: asked.map(Rc::new),
        })))
    }

    pub(crate) fn untouched(&self) -> &Generation {
        &self.0.untouched
    }

    pub(crate) fn intervened(&self) -> &Generation {
        &self.0.intervened
    }

    /// What only the second one's model changes, a line each.
    fn interventions(&self) -> Vec<String> {
        let [before, after] = [self.untouched(), self.intervened()].map(|output| output.model().changes());
        let shared = before.iter().zip(&after).take_while(|(one, other)| one == other);
        after[shared.count()..].to_vec()
    }

    fn names(&self) -> [String; 2] {
        let models = [self.untouched(), self.intervened()].map(Generation::model);
        if models[0].share() != models[1].share() {
            return models.map(|model| match model.share() {
                None | Some(0.0) => "without adapter".into(),
                Some(1.0) => "with adapter".into(),
                Some(share) => format!("adapter × {share}"),
            });
        }
        let names = match self.untouched().model().interventions().is_empty() {
            true if !self.intervened().model().interventions().is_empty() => ["untouched", "intervened"],
            _ => ["first", "second"],
        };
        names.map(str::to_owned)
    }

    fn divergence(&self) -> Result<&Divergence, ScriptError> {
        if let Some(divergence) = self.0.divergence.get() {
            return Ok(divergence);
        }
        let output = self.intervened();
        let [reference, changed] = [self.untouched(), output].map(|output| output.model().loaded());
        let (reference, changed) = (reference?, changed?);
        let ids: Vec<u32> = output.tokens().iter().map(|token| token.id).collect();
        let input = match output.decoder_ids() {
            Some(written) => Input::of(&changed, ids[..output.n_input()].to_vec(), written)?,
            None => Input::of(&changed, ids, vec![])?,
        };
        let state = output.model().state()?;
        let divergence = watched(&state, output.model().verbose, |watch| {
            divergence::divergence(&reference, &changed, &input, watch)
        })?;
        reading::about_numbers(output.model(), !divergence.kl.iter().any(|kl| kl.is_nan()))?;
        Ok(self.0.divergence.get_or_init(|| divergence))
    }

    /// The first token that is predicted from those before it.
    fn first_predicted(&self) -> usize {
        match self.intervened().decoder_ids() {
            Some(_) => self.intervened().n_input(),
            None => 1,
        }
    }

    /// By token from [`Self::first_predicted`] on.
    fn predictions(&self) -> Result<Vec<Prediction>, ScriptError> {
        let divergence = self.divergence()?;
        let loaded = self.intervened().model().loaded()?;
        let n = self
            .intervened()
            .tokens()
            .len()
            .saturating_sub(self.first_predicted());
        let token = |id: u32| shown_one(&loaded.tokenizer().tokens(&[id])[0]);
        let one = |at: usize| {
            let both = [&divergence.reference[at], &divergence.changed[at]];
            Prediction {
                kl: divergence.kl[at] as f32,
                best: both.map(|said| (token(said.id), said.probability as f32)),
                of_token: both.map(|said| said.of_next.unwrap_or(f64::NAN) as f32),
            }
        };
        Ok((0..n.min(divergence.kl.len())).map(one).collect())
    }

    /// A tensor (token), for the tokens from the first one that is predicted.
    pub(crate) fn kl(&self) -> Result<Tensor, ScriptError> {
        let kl: Vec<f32> = self.predictions()?.iter().map(|predicted| predicted.kl).collect();
        let array = ArrayD::from_shape_vec(IxDyn(&[kl.len()]), kl);
        let array = array.map_err(|error| ScriptError::new(ErrorKind::Internal, error.to_string()))?;
        Ok(Tensor::new(array, &["token"]))
    }

    pub(crate) fn view(&self) -> Result<ecco_widgets::SideBySide, ScriptError> {
        let tokens = |output: &Generation| shown(output.tokens());
        let [one, other] = self.names();
        let nothing = (0..self.first_predicted()).map(|_| None);
        let predictions = nothing.chain(self.predictions()?.into_iter().map(Some));
        Ok(ecco_widgets::SideBySide {
            untouched: Side {
                name: one,
                tokens: tokens(self.untouched()),
            },
            intervened: Side {
                name: other,
                tokens: tokens(self.intervened()),
            },
            n_input: self.intervened().n_input(),
            interventions: self.interventions(),
            predictions: predictions.collect(),
        })
    }
}

impl Show for SideBySide {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.view()?))
    }

    fn live(&self) -> Option<Rc<dyn Live>> {
        self.0.asked.clone().map(|asked| asked as Rc<dyn Live>)
    }

    fn line(&self) -> String {
        let [one, other] = self.names();
        let n = |output: &Generation| output.tokens().len();
        format!(
            "{one} and {other} output side by side, of {} and {} tokens",
            n(self.untouched()),
            n(self.intervened())
        )
    }
}

impl Explanation for SideBySide {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        Ok(vec![("kl", self.kl()?)])
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        let first = self.first_predicted();
        (axis == "token").then(|| self.intervened().token_texts().split_off(first))
    }
}

pub(crate) fn register(registry: &mut Registry) {
    members! { registry, [Generation];
        /// Shows two outputs that continue the same text side by side: see `lm.compare`. The one whose model is under
        /// interventions counts as the changed one.
        ///
        /// Example:
        /// ```rhai
        /// let edited = lm.intervene(#{scale: [#{layer: 0, head: 1, factor: 3.0}]});
        /// edited.generate("It was", #{generate: 8}).compare(lm.generate("It was", #{generate: 8}))
        /// ```
        fn compare(output: &Generation, other: Generation) -> SideBySide { SideBySide::new(output, &other) }
    }
    members! { registry, [SideBySide];
        /// KL(untouched ‖ intervened) of the predictions, in nats: a tensor (token), for each token of the second text
        /// from the first one that is predicted.
        get kl(sides: &SideBySide) -> Tensor { sides.kl() }

        /// The mean of the generated tokens' KL; `()` where none was generated.
        get mean_kl(sides: &SideBySide) -> Dynamic {
            let mean = sides.view()?.mean_kl();
            Ok(mean.map_or(Dynamic::UNIT, |kl| Dynamic::from_float(FLOAT::from(kl))))
        }

        /// The first position at which the two texts differ; `()` where they are the same.
        get first_difference(sides: &SideBySide) -> Dynamic {
            let position = sides.view()?.first_difference();
            Ok(position.map_or(Dynamic::UNIT, |position| Dynamic::from_int(position as INT)))
        }

        /// The output of the untouched model, or the first one.
        get untouched(sides: &SideBySide) -> Generation { Ok(sides.untouched().clone()) }

        /// The output under interventions, or the second one.
        get intervened(sides: &SideBySide) -> Generation { Ok(sides.intervened().clone()) }
    }
}
