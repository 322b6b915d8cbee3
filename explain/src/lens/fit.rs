//! Fitting lenses: what models and texts they take, and how near they come beside the logit lens.

use ecco_interpreter::{Progress, Watch};
use ecco_models::Model;
use ecco_models::decoder::Decoder;
use ecco_models::lens::FittedLens;
use ecco_models::model::Body;
use ecco_models::run::Input;

use super::{Question, Reading, lens_by};
use crate::error::{Result, refuse};

/// What a lens says after a depth, on average over positions.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LensFit {
    /// Share of positions where its most probable token is the output's.
    pub agreement: f64,
    /// Of what it says, in nats.
    pub entropy: f64,
    /// Kullback–Leibler divergence of the output from it, in nats.
    pub divergence: f64,
}

/// A depth with the logit lens's numbers and the fitted one's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LensComparison {
    pub depth: usize,
    pub plain: LensFit,
    pub fitted: LensFit,
}

/// Both lenses over every position of some texts, of the depths that the fitted one has and of the output.
///
/// # Errors
/// As of [`super::lens`]; where there is no text.
pub fn compare(
    model: &Model,
    fitted: &FittedLens,
    inputs: &[Input],
    watch: &mut Watch,
) -> Result<Vec<LensComparison>> {
    let n: usize = inputs.iter().map(|input| input.spoken().len()).sum();
    if n == 0 {
        return Err(refuse(
            "texts",
            inputs.len(),
            "there is no token to compare lenses at",
        ));
    }
    let own = fitted.translators.iter().map(|translator| translator.depth);
    let depths: Vec<usize> = own.chain([model.config().n_layers]).collect();
    let mut sums = vec![[LensFit::default(); 2]; depths.len()];
    for (done, input) in inputs.iter().enumerate() {
        let progress = Progress {
            label: "comparing lenses".into(),
            done: done as u64,
            total: Some(inputs.len() as u64),
            unit: "texts",
        };
        let mut watch = |_: &Progress| watch(&progress);
        let n_rows = input.spoken().len();
        let question = Question {
            rows: (0..n_rows).collect(),
            depths: depths.clone(),
            top_k: 1,
            watch: vec![vec![]; n_rows],
            raw: false,
        };
        for (which, by) in [None, Some(fitted)].into_iter().enumerate() {
            let found = lens_by(model, input, &question, by, &mut watch)?.readings;
            let Some(output) = found.last() else { continue };
            for (sum, row) in sums.iter_mut().zip(&found) {
                sum[which].add(row, output);
            }
        }
    }
    let each = depths.into_iter().zip(sums);
    let each = each.map(|(depth, [plain, fitted])| LensComparison {
        depth,
        plain: plain.over(n),
        fitted: fitted.over(n),
    });
    Ok(each.collect())
}

impl LensFit {
    fn add(&mut self, row: &[Reading], output: &[Reading]) {
        let best = |reading: &Reading| reading.top.first().map(|(id, _)| *id);
        for (reading, output) in row.iter().zip(output) {
            self.agreement += f64::from(u8::from(best(reading) == best(output)));
            self.entropy += f64::from(reading.entropy);
            self.divergence += f64::from(reading.divergence);
        }
    }

    fn over(self, n: usize) -> Self {
        let n = n as f64;
        Self {
            agreement: self.agreement / n,
            entropy: self.entropy / n,
            divergence: self.divergence / n,
        }
    }
}

/// The decoder of a model that lenses are fitted for.
pub(super) fn check_model(model: &Model) -> Result<&Decoder> {
    let config = model.config();
    let Body::Decoder(decoder) = model.body() else {
        let reason = "lenses are fitted for models that write one text, such as gpt2 or llama";
        return Err(refuse("the kind of model", &config.model_type, reason));
    };
    match config.n_layers {
        0 | 1 => {
            let reason = "there is no layer before the last to fit a lens for";
            Err(refuse("the number of layers", config.n_layers, reason))
        }
        _ => Ok(decoder),
    }
}

/// Texts up to so many tokens.
pub(super) fn beginnings(inputs: &[Input], max_length: usize) -> Vec<Input> {
    let beginning = |input: &Input| Input {
        ids: input.ids[..input.ids.len().min(max_length)].to_vec(),
        ..Input::default()
    };
    inputs.iter().map(beginning).collect()
}
