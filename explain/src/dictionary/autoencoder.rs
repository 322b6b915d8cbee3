//! A top-k sparse autoencoder while it is trained (Gao et al. 2024, 2406.04093), step by step.
//!
//! z = (x − b_dec) W_enc + b_enc, a the k largest of z where they are above 0, x̂ = a W_dec + b_dec, and the loss of some rows
//! Σ‖x − x̂‖² / Σ‖x − mean x‖². Features that have not been active for long stand for what is left over, x − x̂, by the largest of
//! theirs; a 32nd part of what that leaves is added to the loss, so that they come to life again. The gradients are written
//! out: everything but the k largest is linear. Adam descends; rows of W_dec stay of length 1, and of their gradients what
//! would change that is taken off.

use ecco_models::dictionary::largest;
use ecco_models::host;
use tch::{Device, Kind, Tensor};

/// How it is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recipe {
    /// Features that are active at a row, at most.
    pub k: usize,
    /// Steps without being active after which a feature is dead.
    pub dead_after: usize,
}

/// The autoencoder with what its training remembers.
pub struct Autoencoder {
    recipe: Recipe,
    /// `[input, feature]`
    pub encoder: Parameter,
    /// `[feature]`
    pub bias: Parameter,
    /// `[feature, input]`
    pub decoder: Parameter,
    /// `[input]`
    pub output_bias: Parameter,
    /// By feature the steps since it was active: `[feature]`.
    idle: Tensor,
    any_dead: bool,
    n_steps: usize,
}

/// Numbers that are learnt, and Adam's moments of their gradients.
pub struct Parameter {
    pub value: Tensor,
    first: Tensor,
    second: Tensor,
}

/// Adam's shares of the past, and what keeps a division from being one by 0, as published.
const FIRST: f64 = 0.9;
const SECOND: f64 = 0.999;
const EPSILON: f64 = 6.25e-10;
/// Of what dead features leave over in the loss.
const OF_THE_DEAD: f64 = 1.0 / 32.0;
/// How often it is asked whether there are dead features, which waits for the device: in steps.
const ASKED_EVERY: usize = 16;
/// Encodings that are there at once, in numbers: on a GPU, and on a processor, which is to be asked within a second.
const MOST_ON_GPU: i64 = 64 << 20;
const MOST_PRODUCTS: i64 = 1 << 30;

/// What of a step crosses to the host when all is done: the loss, the share that is unexplained, active features of a row,
/// dead features: `[4]`.
pub type Measures = Tensor;

/// Sums of gradients.
struct Gradients {
    encoder: Tensor,
    bias: Tensor,
    decoder: Tensor,
    output_bias: Tensor,
}

impl Autoencoder {
    /// From directions that features write along, `[feature, input]`, of length 1, along which they read at the start, and
    /// what stands there without any, `[input]`.
    pub fn new(recipe: Recipe, directions: &Tensor, output_bias: &Tensor) -> Self {
        let n_features = directions.size()[0];
        let (kind, device) = (directions.kind(), directions.device());
        Self {
            recipe,
            encoder: Parameter::new(directions.tr().contiguous()),
            bias: Parameter::new(Tensor::zeros([n_features], (kind, device))),
            decoder: Parameter::new(directions.copy()),
            output_bias: Parameter::new(output_bias.copy()),
            idle: Tensor::zeros([n_features], (Kind::Int64, device)),
            any_dead: false,
            n_steps: 0,
        }
    }

    /// Bytes that training takes beside what is read: parameters, their gradients and moments, and rows in features.
    pub fn n_bytes((width, features): (usize, usize), batch: usize, (kind, device): (Kind, Device)) -> u64 {
        let parameters = 2 * width * features + width + features;
        let rows = (rows_at_once((width, features), device) as usize).min(batch);
        let numbers = 5 * parameters + 8 * rows * features + 8 * batch * width;
        (numbers * kind.elt_size_in_bytes()) as u64
    }

    fn sizes(&self) -> (usize, usize) {
        let size = self.decoder.value.size();
        (size[1] as usize, size[0] as usize)
    }

    /// One step down the loss of some rows, `[row, input]`; `ask` is asked all along.
    ///
    /// # Errors
    /// Those of `ask`.
    pub fn step(
        &mut self,
        x: &Tensor,
        rate: f64,
        ask: &mut dyn FnMut() -> ecco_models::error::Result<()>,
    ) -> ecco_models::error::Result<Measures> {
        let place = (x.kind(), x.device());
        let sum = |x: &Tensor| x.square().sum(None::<Kind>);
        let varied = sum(&(x - x.mean_dim(0, true, None::<Kind>))).clamp_min(1e-30);
        let dead = self.idle.ge(self.recipe.dead_after as i64);
        if self.n_steps.is_multiple_of(ASKED_EVERY) {
            self.any_dead = host::number(&dead.sum(Kind::Int64)) > 0.0;
        }
        let mut found = Gradients::zeros(self);
        let mut active = self.idle.zeros_like().to_kind(Kind::Bool);
        let [mut unexplained, mut of_dead, mut n_active] = [0; 3].map(|_| Tensor::zeros([], place));
        for rows in x.split(rows_at_once(self.sizes(), place.1), 0) {
            let read = &rows - &self.output_bias.value;
            let z = read.matmul(&self.encoder.value) + &self.bias.value; // [row, feature]
            let code = largest(&z, self.recipe.k).relu();
            ask()?;
            let error = code.matmul(&self.decoder.value) + &self.output_bias.value - &rows;
            unexplained += sum(&error);
            let is_active = code.gt(0.0);
            active = active.logical_or(&is_active.any_dim(0, false));
            n_active += is_active.sum(place.0);
            let slope = &error * 2.0 / &varied; // [row, input]
            let mut by_code = self.back(&code, &slope, &mut found);
            found.output_bias += slope.sum_dim_intlist(0, false, None::<Kind>);
            ask()?;
            if self.any_dead {
                let alone = z.masked_fill(&dead.logical_not(), f64::NEG_INFINITY);
                let n = self.n_auxiliary();
                let code = largest(&alone, n).relu();
                let left = code.matmul(&self.decoder.value) + &error;
                let few = (dead.sum(place.0) / n as f64).clamp_max(1.0) * OF_THE_DEAD;
                of_dead += sum(&left) * &few;
                by_code += self.back(&code, &(left * (few * 2.0) / &varied), &mut found);
                ask()?;
            }
            found.encoder += read.tr().matmul(&by_code);
            found.bias += by_code.sum_dim_intlist(0, false, None::<Kind>);
            ask()?;
        }
        // What is read is less the output's bias, too.
        found.output_bias -= self.encoder.value.matmul(&found.bias);
        self.descend(found, rate, ask)?;
        self.idle = (&self.idle + 1) * active.logical_not();
        let n_dead = self.idle.ge(self.recipe.dead_after as i64).sum(place.0);
        let share = &unexplained / &varied;
        let loss = &share + of_dead / &varied;
        Ok(Tensor::stack(
            &[loss, share, n_active / x.size()[0] as f64, n_dead],
            0,
        ))
    }

    /// Of activations `[row, feature]` by the slopes of what they write, `[row, input]`; adds those of the decoder.
    fn back(&self, code: &Tensor, slope: &Tensor, found: &mut Gradients) -> Tensor {
        found.decoder += code.tr().matmul(slope);
        slope.matmul(&self.decoder.value.tr()) * code.gt(0.0).to_kind(code.kind())
    }

    /// How many dead features stand for what is left over of a row: half of its numbers.
    fn n_auxiliary(&self) -> usize {
        let (width, features) = self.sizes();
        (width / 2).clamp(1, features)
    }

    fn descend(
        &mut self,
        found: Gradients,
        rate: f64,
        ask: &mut dyn FnMut() -> ecco_models::error::Result<()>,
    ) -> ecco_models::error::Result<()> {
        self.n_steps += 1;
        let directions = &self.decoder.value;
        let along = (&found.decoder * directions).sum_dim_intlist(-1, true, None::<Kind>);
        let across = &found.decoder - directions * along;
        for (parameter, gradient) in [
            (&mut self.encoder, found.encoder),
            (&mut self.bias, found.bias),
            (&mut self.decoder, across),
            (&mut self.output_bias, found.output_bias),
        ] {
            parameter.descend(&gradient, rate, self.n_steps);
            ask()?;
        }
        self.decoder.value = unit(&self.decoder.value);
        Ok(())
    }
}

/// Rows of length 1.
pub(super) fn unit(rows: &Tensor) -> Tensor {
    rows / rows.norm_scalaropt_dim(2, [-1], true).clamp_min(1e-30)
}

/// Rows that are encoded together.
fn rows_at_once((width, features): (usize, usize), device: Device) -> i64 {
    let (width, features) = (width.max(1) as i64, features.max(1) as i64);
    let most = match device {
        Device::Cpu => MOST_PRODUCTS / width / features,
        _ => MOST_ON_GPU / features,
    };
    most.max(1)
}

impl Gradients {
    fn zeros(of: &Autoencoder) -> Self {
        Self {
            encoder: of.encoder.value.zeros_like(),
            bias: of.bias.value.zeros_like(),
            decoder: of.decoder.value.zeros_like(),
            output_bias: of.output_bias.value.zeros_like(),
        }
    }
}

impl Parameter {
    fn new(value: Tensor) -> Self {
        Self {
            first: value.zeros_like(),
            second: value.zeros_like(),
            value,
        }
    }

    /// Adam (1412.6980), at a step counted from 1.
    fn descend(&mut self, gradient: &Tensor, rate: f64, step: usize) {
        let past = |share: f64| 1.0 - share.powi(i32::try_from(step).unwrap_or(i32::MAX));
        self.first = &self.first * FIRST + gradient * (1.0 - FIRST);
        self.second = &self.second * SECOND + gradient.square() * (1.0 - SECOND);
        let size = (&self.second / past(SECOND)).sqrt() + EPSILON;
        self.value = &self.value - &self.first / size * (rate / past(FIRST));
    }
}
