//! One layer: attention, or what stands in its place, and neurons, each with a way around it.

use tch::{Device, Kind, Tensor};

use super::mixer::Mixer;
use super::own_input::OwnInput;
use crate::attention::{Attention, CrossMemory, LayerMemory, View};
use crate::config::{self, Config, NormConfig, PreNorm, Residual};
use crate::convolution::Convolution;
use crate::error::Result;
use crate::layers::Norm;
use crate::mlp::{Mlp, Shape};
use crate::rules::Rule;
use crate::tap::{Reader, Site, Tap};
use crate::weights::Weights;

/// What a layer's attention has to do with besides the stream.
pub(super) struct Surroundings<'a> {
    pub memory: Option<LayerMemory<'a>>,
    /// What an encoder has read.
    pub source: Option<&'a CrossMemory>,
    pub view: &'a View<'a>,
}

/// Attention to an encoder, between a layer's two halves.
pub struct Cross {
    pub attention: Attention,
    norm: Option<Norm>,
    pub post_norm: Option<Norm>,
}

/// One layer.
pub struct Block {
    pub mixer: Mixer,
    pub cross: Option<Cross>,
    pub mlp: Mlp,
    pub attention_norm: Option<Norm>,
    pub mlp_norm: Option<Norm>,
    pub attention_post_norm: Option<Norm>,
    pub mlp_post_norm: Option<Norm>,
    pub residual: Residual,
    /// What it makes of an input of its own.
    pub own_input: Option<OwnInput>,
    /// The factor on its output, `[1]`.
    pub scale: Option<Tensor>,
    convolution: Option<Convolution>,
}

impl Block {
    pub(super) fn load(config: &Config, layer: usize, weights: &mut Weights) -> Result<Self> {
        let residual = &config.residual;
        let hidden = [config.hidden_size];
        let first_is_bare = layer == 0 && residual.bare_start;
        let mut norm = |wanted: bool, part: &str, kind: NormConfig| match wanted {
            true => Norm::load(weights, &config.name_in_layer(layer, part), &hidden, kind).map(Some),
            false => Ok(None),
        };
        let is_after = residual.after_branch || residual.after_sum;
        let (mixes, thinks) = (
            config.mixer(layer) != config::Mixer::Nothing,
            config.has_mlp(layer),
        );
        // Where layers are of several kinds, one of one branch has one norm, whichever it is.
        let names = match mixes && thinks || config.mixers.is_empty() {
            true => ["attention_norm", "mlp_norm"],
            false => ["norm"; 2],
        };
        let (attention_norm, mlp_norm) = (
            norm(
                mixes && residual.before != PreNorm::None && !first_is_bare,
                names[0],
                config.norm,
            )?,
            norm(
                thinks && residual.before == PreNorm::Both,
                names[1],
                config.norm_of_mlp(),
            )?,
        );
        // Where these are the only norms, files have them under the names of those before the branches.
        let names = match residual.after_sum {
            true => ["attention_norm", "mlp_norm"],
            false => ["attention_post_norm", "mlp_post_norm"],
        };
        let attention_post_norm = norm(is_after, names[0], config.norm)?;
        let mlp_post_norm = norm(is_after, names[1], config.norm)?;
        let cross_norm = norm(
            config.encoder.is_some() && residual.before == PreNorm::Both,
            "cross_norm",
            config.norm,
        )?;
        let cross_post_norm = norm(
            config.encoder.is_some() && is_after,
            match residual.after_sum {
                true => "cross_norm",
                false => "cross_post_norm",
            },
            config.norm,
        )?;
        let cross = match config.encoder {
            Some(_) => Some(Cross {
                attention: Attention::load(config, layer, "cross", weights)?.without_window(),
                norm: cross_norm,
                post_norm: cross_post_norm,
            }),
            None => None,
        };
        Ok(Self {
            mixer: Mixer::load(config, layer, weights)?,
            cross,
            mlp: Mlp::load(config, layer, weights)?,
            attention_norm,
            mlp_norm,
            attention_post_norm,
            mlp_post_norm,
            residual: residual.clone(),
            own_input: OwnInput::load(config, layer, weights)?,
            scale: match residual.scaled_layers {
                true => Some(weights.take(&config.name_in_layer(layer, "scale"), &[1])?),
                false => None,
            },
            convolution: match config.convolution.filter(|_| layer == 0) {
                Some(convolution) => Some(Convolution::load(convolution, config, weights)?),
                None => None,
            },
        })
    }

    /// Where its weights are.
    pub fn place(&self) -> (Kind, Device) {
        let place = self.mixer.place().or_else(|| self.mlp.place());
        place.expect("a layer is something")
    }

    /// Of a layer that is a mixer or an MLP alone, the norm before it.
    pub(crate) fn only_norm(&self) -> Option<&Option<Norm>> {
        match (&self.mixer, &self.mlp.shape) {
            (Mixer::Nothing, _) => Some(&self.mlp_norm),
            (_, Shape::Nothing) => Some(&self.attention_norm),
            _ => None,
        }
    }

    /// ```text
    /// pre ──┬── norm ── attention ── norm ──(+)── norm ── mid ──┬── norm ── mlp ── norm ──(+)── norm ── post
    ///       └────────────────────────────────┘                 └──────────────────────────┘
    /// ```
    /// In the place of attention a layer may have another mixer of positions, and it may have one of the two branches alone. No family has all of these norms.
    /// In parallel, the MLP reads pre, and mid is not there. Where branches are added
    /// to what they read, the way around them begins behind their first norm. Behind both what a layer makes of an input of its own may be
    /// added, and the layer's output may have a factor.
    pub(super) fn forward(&self, x: Tensor, around: Surroundings, layer: usize, tap: &mut dyn Tap) -> Tensor {
        let Surroundings { memory, source, view } = around;
        let rule = tap.rule();
        let x = tap.visit(Site::ResidualBefore, layer, x); // [batch, position, hidden]
        let pre = self
            .convolution
            .as_ref()
            .map(|convolution| (convolution, x.shallow_clone()));
        if self.only_norm().is_some() {
            let branch = match &self.mixer {
                Mixer::Nothing => {
                    let own = tap.read(Reader::Mlp, layer, &x);
                    let input = apply_by(&self.mlp_norm, own.as_ref().unwrap_or(&x), rule);
                    self.think(input, layer, tap).1
                }
                _ => self.mix(&x, memory, view, layer, tap).1,
            };
            return tap.visit(Site::ResidualAfter, layer, self.scaled(x + branch));
        }
        let (normalised, attended) = self.mix(&x, memory, view, layer, tap);
        let (mid, mlp_input) = if self.residual.parallel {
            let norm = self.mlp_norm.as_ref();
            let mlp_input = match tap.read(Reader::Mlp, layer, &x) {
                Some(own) => apply_by(
                    if norm.is_some() {
                        &self.mlp_norm
                    } else {
                        &self.attention_norm
                    },
                    &own,
                    rule,
                ),
                None => norm.map_or(normalised, |norm| norm.forward_by(&x, rule)),
            };
            (x + attended, mlp_input)
        } else {
            let around = if self.residual.from_norms { normalised } else { x };
            let mid = tap.visit(
                Site::ResidualMid,
                layer,
                self.sum(&self.attention_post_norm, around, attended, rule),
            );
            let mid = match (&self.cross, source) {
                (Some(cross), Some(source)) => self.look(cross, mid, source, layer, tap),
                _ => mid,
            };
            let own = tap.read(Reader::Mlp, layer, &mid);
            let normalised = apply_by(&self.mlp_norm, own.as_ref().unwrap_or(&mid), rule);
            (mid, normalised)
        };
        let (mlp_input, mlp) = self.think(mlp_input, layer, tap);
        let around = if self.residual.from_norms { mlp_input } else { mid };
        let post = self.sum(&self.mlp_post_norm, around, mlp, rule);
        let post = match pre {
            Some((convolution, pre)) => convolution.forward(&pre, &post, view.padding().as_ref(), tap),
            None => post,
        };
        let post = match &self.own_input {
            Some(own) => &post + own.forward(&post, &view.beside.input(layer, self.place()), tap),
            None => post,
        };
        tap.visit(Site::ResidualAfter, layer, self.scaled(post))
    }

    /// The same with the layer's factor: of its output, and of a cotangent of that on the way back.
    pub fn scaled(&self, x: Tensor) -> Tensor {
        match &self.scale {
            Some(scale) => x * scale,
            None => x,
        }
    }

    /// The first branch: what it reads, normalised, and what it adds to the stream.
    fn mix(
        &self,
        x: &Tensor,
        memory: Option<LayerMemory>,
        view: &View,
        layer: usize,
        tap: &mut dyn Tap,
    ) -> (Tensor, Tensor) {
        let rule = tap.rule();
        let normalised = tap.visit(
            Site::AttentionInput,
            layer,
            apply_by(&self.attention_norm, x, rule),
        );
        let own = [Reader::Queries, Reader::Keys, Reader::Values].map(|reader| tap.read(reader, layer, x));
        let attended = match self.mixer.attention().filter(|_| own.iter().any(Option::is_some)) {
            None => self.mixer.forward(&normalised, memory, view, layer, tap),
            Some(attention) => {
                // Those without a stream of their own share the one that is there.
                let stream = |own: Option<Tensor>| match own {
                    Some(own) => apply_by(&self.attention_norm, &own, rule),
                    None => normalised.unsqueeze(1),
                };
                attention.forward_apart(&own.map(stream), view, layer, tap)
            }
        };
        let attended = tap.visit(
            Site::AttentionOutput,
            layer,
            self.branch(&self.attention_post_norm, attended, rule),
        );
        (normalised, attended)
    }

    /// The second branch: what it reads, as a tap leaves it, and what it adds to the stream.
    fn think(&self, input: Tensor, layer: usize, tap: &mut dyn Tap) -> (Tensor, Tensor) {
        let rule = tap.rule();
        let input = tap.visit(Site::MlpInput, layer, input);
        let output = self.branch(&self.mlp_post_norm, self.mlp.forward(&input, layer, tap), rule);
        let output = tap.visit(Site::MlpOutput, layer, output);
        (input, output)
    }

    /// Adds what attention to the encoder gives.
    fn look(
        &self,
        cross: &Cross,
        x: Tensor,
        source: &CrossMemory,
        layer: usize,
        tap: &mut dyn Tap,
    ) -> Tensor {
        let attended = cross
            .attention
            .across(&apply_by(&cross.norm, &x, tap.rule()), source, layer, tap);
        let attended = self.branch(&cross.post_norm, attended, tap.rule());
        let attended = tap.visit(Site::CrossOutput, layer, attended);
        self.sum(&cross.post_norm, x, attended, tap.rule())
    }

    /// A branch's output as it is added to the stream.
    fn branch(&self, norm: &Option<Norm>, output: Tensor, rule: Rule) -> Tensor {
        let output = match norm {
            Some(norm) if self.residual.after_branch => norm.forward_by(&output, rule),
            _ => output,
        };
        if self.residual.scale == 1.0 {
            output
        } else {
            output * self.residual.scale
        }
    }

    fn sum(&self, norm: &Option<Norm>, x: Tensor, branch: Tensor, rule: Rule) -> Tensor {
        match norm {
            Some(norm) if self.residual.after_sum => norm.forward_by(&(x + branch), rule),
            _ => x + branch,
        }
    }
}

/// Through a norm, where there is one.
pub fn apply(norm: &Option<Norm>, x: &Tensor) -> Tensor {
    apply_by(norm, x, Rule::Gradient)
}

/// The same, differentiated by a rule.
pub fn apply_by(norm: &Option<Norm>, x: &Tensor, rule: Rule) -> Tensor {
    norm.as_ref()
        .map_or_else(|| x.shallow_clone(), |norm| norm.forward_by(x, rule))
}
