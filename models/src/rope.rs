//! Rotary positions (2104.09864) with the scalings in use for contexts longer than those of training.

mod scaling;

use std::f64::consts::PI;

use tch::{Device, Kind, Tensor};

use crate::config::ConfigFile;
use crate::error::Result;
use crate::fused;
use crate::host::Constants;

pub(crate) use scaling::yarn_scale;

/// How queries and keys are turned.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// How many dimensions of each head are turned; the others stay.
    pub dim: usize,
    /// The first of them.
    pub start: usize,
    pub theta: f64,
    pub pairs: Pairs,
    pub scaling: Scaling,
    /// The context of the model, which some scalings count from.
    pub context_length: usize,
}

/// Which dimensions turn together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairs {
    /// i and i + dim / 2.
    Halves,
    /// 2 i and 2 i + 1.
    Neighbours,
}

/// What is done to the frequencies.
#[derive(Debug, Clone, PartialEq)]
pub enum Scaling {
    Default,
    /// As if all of a head turned, of which so many pairs do: the others' frequency is 0. All slower by a factor.
    Proportional {
        n_pairs: usize,
        factor: f64,
    },
    /// All slower (2306.15595).
    Linear {
        factor: f64,
    },
    /// A larger base once a text is longer than the context.
    Dynamic {
        factor: f64,
    },
    /// Llama 3.1: the slow ones slower, those between partly.
    Llama3 {
        factor: f64,
        low: f64,
        high: f64,
        original: f64,
    },
    /// By parts (2309.00071).
    Yarn {
        factor: f64,
        original: f64,
        beta_fast: f64,
        beta_slow: f64,
        truncate: bool,
        attention_factor: f64,
    },
    /// A factor for each frequency, other ones for long texts (2402.13753).
    LongRope {
        short: Vec<f64>,
        long: Vec<f64>,
        original: f64,
        /// On cosines and sines, of short and of long texts.
        attention_factors: [f64; 2],
    },
}

const PROPORTIONAL: &str = "proportional";

impl Rope {
    /// Reads `rope_parameters`, or `rope_scaling` and `rope_theta` of older files; `section` is a name in
    /// `rope_parameters` for models with several turns.
    pub fn read(
        file: &ConfigFile,
        section: Option<&str>,
        head_dim: usize,
        defaults: Defaults,
    ) -> Result<Self> {
        let of_file = match file.section("rope_parameters")? {
            Some(all) => match section {
                Some(name) => all.section(name)?,
                None => Some(all),
            },
            None => file.section("rope_scaling")?,
        };
        let empty = ConfigFile::empty();
        let parameters = of_file.as_ref().unwrap_or(&empty);
        let theta = parameters.positive_or("rope_theta", file.positive_or("rope_theta", defaults.theta)?)?;
        let part = parameters.positive_or(
            "partial_rotary_factor",
            file.positive_or("partial_rotary_factor", defaults.part)?,
        )?;
        let turned = (head_dim as f64 * part) as usize;
        // Those that stay are part of a proportional turn.
        let dim = match parameters.is_text("rope_type") && parameters.text("rope_type")? == PROPORTIONAL {
            true if turned <= head_dim => head_dim,
            _ => turned,
        };
        if dim < 2 || !dim.is_multiple_of(2) || dim > head_dim {
            let reason =
                format!("{dim} of {head_dim} dimensions of a head would turn: expected an even part");
            return Err(file.refuse("partial_rotary_factor", &reason));
        }
        let context_length = file.size_or("max_position_embeddings", 2048)?;
        Ok(Self {
            dim,
            start: 0,
            theta,
            pairs: Pairs::Halves,
            scaling: Scaling::read(file, parameters, [dim, turned], context_length)?,
            context_length,
        })
    }

    /// How long a text may be: some scalings stretch the context that the file names.
    pub fn reach(&self) -> usize {
        let stretched = match self.scaling {
            Scaling::Linear { factor } | Scaling::Dynamic { factor } => self.context_length as f64 * factor,
            Scaling::Yarn { factor, original, .. } => original * factor,
            _ => 0.0,
        };
        self.context_length.max(stretched as usize)
    }

    /// Whether a text that grows from one length to another turns at other frequencies, so that keys which were turned
    /// before are of no use. Those of `Dynamic` are kept, as transformers does.
    pub fn turns_anew(&self, before: usize, after: usize) -> bool {
        match self.scaling {
            Scaling::LongRope { original, .. } => before as f64 <= original && after as f64 > original,
            _ => false,
        }
    }

    /// The same turns with another base and no scaling.
    pub fn plain(&self, theta: f64) -> Self {
        Self {
            theta,
            scaling: Scaling::Default,
            ..self.clone()
        }
    }

    /// Frequencies, and the factor on cosines and sines, for texts of `length` tokens. In single precision, as
    /// the models were trained with.
    pub fn frequencies(&self, length: usize) -> (Vec<f32>, f64) {
        let plain = |theta: f64| -> Vec<f32> {
            let powers = (0..self.dim).step_by(2).map(|i| i as f32 / self.dim as f32);
            powers.map(|power| 1.0 / (theta as f32).powf(power)).collect()
        };
        match &self.scaling {
            Scaling::Default => (plain(self.theta), 1.0),
            Scaling::Proportional { n_pairs, factor } => {
                let turned = |(pair, f): (usize, f32)| if pair < *n_pairs { f / *factor as f32 } else { 0.0 };
                (
                    plain(self.theta).into_iter().enumerate().map(turned).collect(),
                    1.0,
                )
            }
            Scaling::Linear { factor } => {
                let slower = plain(self.theta).into_iter().map(|f| f / *factor as f32);
                (slower.collect(), 1.0)
            }
            Scaling::Dynamic { factor } => {
                let context = self.context_length as f64;
                let length = (length as f64).max(context);
                let dim = self.dim as f64;
                let stretch = factor * length / context - (factor - 1.0);
                (plain(self.theta * stretch.powf(dim / (dim - 2.0))), 1.0)
            }
            Scaling::Llama3 {
                factor,
                low,
                high,
                original,
            } => {
                let scaled = plain(self.theta).into_iter().map(|frequency| {
                    let wavelength = 2.0 * PI / f64::from(frequency);
                    let slow = f64::from(frequency) / factor;
                    if wavelength > original / low {
                        slow as f32
                    } else if wavelength < original / high {
                        frequency
                    } else {
                        let smooth = (original / wavelength - low) / (high - low);
                        ((1.0 - smooth) * slow + smooth * f64::from(frequency)) as f32
                    }
                });
                (scaled.collect(), 1.0)
            }
            Scaling::Yarn {
                factor,
                attention_factor,
                ..
            } => {
                let mixed = plain(self.theta)
                    .into_iter()
                    .zip(self.ramp())
                    .map(|(frequency, ramp)| {
                        let (fast, slow) = (f64::from(frequency), f64::from(frequency) / factor);
                        (slow * ramp + fast * (1.0 - ramp)) as f32
                    });
                (mixed.collect(), *attention_factor)
            }
            Scaling::LongRope {
                short,
                long,
                original,
                attention_factors,
            } => {
                let is_long = length as f64 > *original;
                let factors = if is_long { long } else { short };
                let scaled = plain(self.theta)
                    .into_iter()
                    .zip(factors)
                    .map(|(frequency, factor)| frequency / *factor as f32);
                (scaled.collect(), attention_factors[usize::from(is_long)])
            }
        }
    }

    /// How much of each frequency is slowed down by YaRN, from 0 to 1.
    fn ramp(&self) -> Vec<f64> {
        let Scaling::Yarn {
            original,
            beta_fast,
            beta_slow,
            truncate,
            ..
        } = self.scaling
        else {
            return Vec::new();
        };
        let dim = self.dim as f64;
        let turning =
            |rotations: f64| dim * (original / (rotations * 2.0 * PI)).ln() / (2.0 * self.theta.ln());
        let (mut low, mut high) = (turning(beta_fast), turning(beta_slow));
        if truncate {
            (low, high) = (low.floor(), high.ceil());
        }
        let (low, mut high) = (low.max(0.0), high.min(dim - 1.0));
        if low == high {
            high += 0.001;
        }
        (0..self.dim / 2)
            .map(|i| ((i as f64 - low) / (high - low)).clamp(0.0, 1.0))
            .collect()
    }

    /// Whether texts up to a length turn at the frequencies of short ones.
    pub fn is_steady(&self, length: usize) -> bool {
        self.frequencies(1) == self.frequencies(length)
    }

    /// The turns of positions `start .. start + n`.
    pub fn turns(&self, start: i64, n: i64, (kind, device): (Kind, Device), constants: &Constants) -> Turns {
        let (frequencies, factor) = self.frequencies((start + n) as usize);
        let frequencies = constants.get(&frequencies, device);
        let positions = Tensor::arange_start(start, start + n, (Kind::Float, device));
        self.turns_at(&positions, &frequencies, factor, kind)
    }

    /// The turns of some positions, `[position]`, at frequencies, `[dim / 2]`.
    pub fn turns_at(&self, positions: &Tensor, frequencies: &Tensor, factor: f64, kind: Kind) -> Turns {
        let angles = positions.unsqueeze(1) * frequencies.unsqueeze(0); // [position, dim / 2]
        let place = |x: Tensor| (x * factor).to_kind(kind);
        Turns {
            cosines: place(angles.cos()),
            sines: place(angles.sin()),
            start: self.start as i64,
            pairs: self.pairs,
        }
    }
}

/// Cosines and sines of some positions, `[position, dim / 2]`.
pub struct Turns {
    cosines: Tensor,
    sines: Tensor,
    /// The first dimension of those that are turned.
    start: i64,
    pairs: Pairs,
}

impl Turns {
    /// Turns `[.., position, head_dim]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.turn(x, &self.sines)
    }

    /// The other way round: the transpose of a rotation is its inverse (up to the factor, which both have).
    pub fn backward(&self, cotangent: &Tensor) -> Tensor {
        self.turn(cotangent, &-&self.sines)
    }

    /// The turns of some of the positions, one for each entry of a batch: `[target, 1, 1, dim / 2]`.
    pub fn at(&self, rows: &Tensor) -> Self {
        let of = |x: &Tensor| x.index_select(0, rows).unsqueeze(1).unsqueeze(1);
        Self {
            cosines: of(&self.cosines),
            sines: of(&self.sines),
            start: self.start,
            pairs: self.pairs,
        }
    }

    fn turn(&self, x: &Tensor, sines: &Tensor) -> Tensor {
        let neighbours = self.pairs == Pairs::Neighbours;
        if let Some(turned) = fused::turn(x, [&self.cosines, sines], self.start, neighbours) {
            return turned;
        }
        let (half, head_dim) = (self.cosines.size()[self.cosines.dim() - 1], x.size()[x.dim() - 1]);
        let turned = x.narrow(-1, self.start, 2 * half);
        let (first, second) = match self.pairs {
            Pairs::Halves => (turned.narrow(-1, 0, half), turned.narrow(-1, half, half)),
            Pairs::Neighbours => {
                let pairs = turned.unflatten(-1, [half, 2]);
                (pairs.select(-1, 0), pairs.select(-1, 1))
            }
        };
        let new_first = &first * &self.cosines - &second * sines;
        let new_second = second * &self.cosines + first * sines;
        let turned = match self.pairs {
            Pairs::Halves => Tensor::cat(&[new_first, new_second], -1),
            Pairs::Neighbours => Tensor::stack(&[new_first, new_second], -1).flatten(-2, -1),
        };
        let end = self.start + 2 * half;
        match (self.start, head_dim - end) {
            (0, 0) => turned,
            (0, rest) => Tensor::cat(&[turned, x.narrow(-1, end, rest)], -1),
            (start, rest) => Tensor::cat(&[x.narrow(-1, 0, start), turned, x.narrow(-1, end, rest)], -1),
        }
    }
}

/// What a family takes when its file is silent.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    pub theta: f64,
    pub part: f64,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            theta: 10_000.0,
            part: 1.0,
        }
    }
}
