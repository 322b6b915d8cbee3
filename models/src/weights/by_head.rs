//! Matrices of attention that are stored head by head, as TransformerLens keeps them: brought side by side, `[in, out]`.

use tch::{Device, Kind, Tensor};

use super::stored::{Encoded, StoredData, StoredWeight};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::families::{Family, WeightName};
use crate::files::WeightFile;

/// Puts heads side by side, and the head's matrix as an embedding has it, where the files have them otherwise.
///
/// # Errors
/// A weight of another shape than the sizes make it, in which the axes could be others.
pub(crate) fn side_by_side<'a>(
    stored: Vec<StoredWeight<'a>>,
    config: &Config,
    family: &Family,
) -> Result<Vec<StoredWeight<'a>>> {
    match config.attention.by_head {
        true => stored
            .into_iter()
            .map(|weight| turned(weight, config, family))
            .collect(),
        false => Ok(stored),
    }
}

/// How axes of a file go together.
#[derive(Clone, Copy)]
enum Axes {
    /// `[head, in, head_dim]` to `[in, head · head_dim]`.
    HeadsLast,
    /// `[head, head_dim, ..]` to `[head · head_dim, ..]`.
    HeadsFirst,
    /// `[hidden, token]` to `[token, hidden]`.
    Swapped,
}

fn turned<'a>(weight: StoredWeight<'a>, config: &Config, family: &Family) -> Result<StoredWeight<'a>> {
    let WeightName::Canonical(name) = family.weight_name(&weight.name) else {
        return Ok(weight);
    };
    let (hidden, n_heads, of_head) = (config.hidden_size, config.n_heads, config.head_dim);
    let ends = |end: &str| name.ends_with(end);
    let is_read = |kind: &str| {
        let parts = ["query", "key", "value"];
        parts
            .iter()
            .any(|part| ends(&format!(".attention.{part}.{kind}")))
    };
    let (axes, expected, shape) = if is_read("weight") {
        let stored = vec![n_heads, hidden, of_head];
        (Axes::HeadsLast, stored, vec![hidden, n_heads * of_head])
    } else if is_read("bias") {
        (Axes::HeadsFirst, vec![n_heads, of_head], vec![n_heads * of_head])
    } else if ends(".attention.output.weight") {
        let stored = vec![n_heads, of_head, hidden];
        (Axes::HeadsFirst, stored, vec![n_heads * of_head, hidden])
    } else if name == "head.weight" {
        let stored = vec![hidden, config.vocab_size];
        (Axes::Swapped, stored, vec![config.vocab_size, hidden])
    } else {
        return Ok(weight);
    };
    if weight.shape != expected {
        return Err(Error::WeightShape {
            file: weight.file.name.clone(),
            name: weight.name,
            found: weight.shape,
            expected,
        });
    }
    Ok(StoredWeight {
        file: weight.file,
        name: weight.name.clone(),
        shape,
        data: StoredData::Encoded(Box::new(Turned { weight, axes })),
    })
}

/// A weight whose axes are put together otherwise as it is read.
struct Turned<'a> {
    weight: StoredWeight<'a>,
    axes: Axes,
}

impl<'a> Encoded<'a> for Turned<'a> {
    fn sources(&self) -> Vec<(&'a WeightFile, &'a [u8])> {
        match &self.weight.data {
            StoredData::Numbers { bytes, .. } => vec![(self.weight.file, bytes)],
            StoredData::Encoded(encoded) => encoded.sources(),
        }
    }

    fn kind(&self) -> Kind {
        self.weight.kind().unwrap_or(Kind::Float)
    }

    fn decode(&self) -> Result<Tensor> {
        let stored = self.weight.tensor((self.kind(), Device::Cpu))?;
        let turned = match self.axes {
            Axes::HeadsLast => stored.transpose(0, 1).flatten(1, 2),
            Axes::HeadsFirst => stored.flatten(0, 1),
            Axes::Swapped => stored.transpose(0, 1),
        };
        Ok(turned.contiguous())
    }
}
