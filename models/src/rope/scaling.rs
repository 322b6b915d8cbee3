//! What `rope_parameters` says of the frequencies.

use super::{PROPORTIONAL, Scaling};
use crate::config::ConfigFile;
use crate::error::Result;

impl Scaling {
    /// Of `dim` numbers of a head, of which `turned` turn.
    pub(super) fn read(
        file: &ConfigFile,
        parameters: &ConfigFile,
        [dim, turned]: [usize; 2],
        context_length: usize,
    ) -> Result<Self> {
        let key = if parameters.is_set("rope_type") {
            "rope_type"
        } else {
            "type"
        };
        let name = if parameters.is_set(key) {
            parameters.text(key)?
        } else {
            "default"
        };
        let factor = || parameters.positive_or("factor", 1.0);
        // Some files have it beside the scaling, and the class then prefers it.
        let beside = file.positive_or("original_max_position_embeddings", context_length as f64)?;
        let original = if file.is_set("original_max_position_embeddings") {
            beside
        } else {
            parameters.positive_or("original_max_position_embeddings", beside)?
        };
        Ok(match name {
            "default" | "mrope" => Self::Default,
            PROPORTIONAL => Self::Proportional {
                n_pairs: turned / 2,
                factor: factor()?,
            },
            "linear" => Self::Linear { factor: factor()? },
            "dynamic" => Self::Dynamic { factor: factor()? },
            "llama3" => Self::Llama3 {
                factor: factor()?,
                low: parameters.positive_or("low_freq_factor", 1.0)?,
                high: parameters.positive_or("high_freq_factor", 4.0)?,
                original,
            },
            "yarn" => {
                let factor = parameters.positive_or("factor", context_length as f64 / original)?;
                Self::Yarn {
                    factor,
                    original,
                    beta_fast: parameters.positive_or("beta_fast", 32.0)?,
                    beta_slow: parameters.positive_or("beta_slow", 1.0)?,
                    truncate: parameters.flag_or("truncate", true)?,
                    attention_factor: yarn_attention(parameters, factor)?,
                }
            }
            "longrope" | "su" => {
                let factor = parameters.positive_or("factor", context_length as f64 / original)?;
                let of_factor = if factor <= 1.0 {
                    1.0
                } else {
                    (1.0 + factor.ln() / original.ln()).sqrt()
                };
                let list = |key: &str| {
                    let list = parameters.numbers(key)?;
                    match list.len() == dim / 2 && list.iter().all(|&f| f > 0.0) {
                        true => Ok(list),
                        false => {
                            Err(parameters.refuse(key, &format!("expected {} numbers above 0", dim / 2)))
                        }
                    }
                };
                let attention_factor = parameters.positive_or("attention_factor", of_factor)?;
                Self::LongRope {
                    short: list("short_factor")?,
                    long: list("long_factor")?,
                    original,
                    attention_factors: [
                        parameters.positive_or("short_mscale", attention_factor)?,
                        parameters.positive_or("long_mscale", attention_factor)?,
                    ],
                }
            }
            _ => {
                let known = "expected default, linear, dynamic, llama3, yarn, longrope or proportional";
                return Err(parameters.refuse(key, known));
            }
        })
    }
}

/// YaRN's factor on cosines and sines, equation 22, as transformers reads it.
fn yarn_attention(parameters: &ConfigFile, factor: f64) -> Result<f64> {
    let of = |scale: f64| yarn_scale(factor, scale);
    let (one, all) = (
        parameters.number_or("mscale", 0.0)?,
        parameters.number_or("mscale_all_dim", 0.0)?,
    );
    let inferred = if one != 0.0 && all != 0.0 {
        of(one) / of(all)
    } else {
        of(1.0)
    };
    parameters.positive_or("attention_factor", inferred)
}

/// YaRN's equation 22, with a factor of a model's own.
pub(crate) fn yarn_scale(factor: f64, scale: f64) -> f64 {
    match factor <= 1.0 {
        true => 1.0,
        false => 0.1 * scale * factor.ln() + 1.0,
    }
}
