//! Back through a gated convolution.

use tch::Tensor;

use super::Layer;
use crate::rules::Rule;
use crate::short_convolution::{Gates, ShortConvolution};
use crate::stack::apply;

impl Layer<'_> {
    /// From what the convolution adds at the queries to the normalised stream at all positions. What the pass had is one
    /// text's, and computed anew: it is little beside the cotangents of all targets.
    pub(super) fn short_convolution(
        &self,
        convolution: &ShortConvolution,
        cotangent: &Tensor,
        pre: &Tensor,
    ) -> Tensor {
        let Gates { before, after, x } = convolution.gates(&apply(&self.block.attention_norm, pre));
        let mixed = self.queries.of(
            &convolution
                .kernel
                .forward(&convolution.kernel.behind(None, &(&before * &x))),
            1,
        );
        let after = self.queries.of(&after, 1);
        let output = || convolution.output.forward(&(&after * &mixed));
        let cotangent = self.branch(&self.block.attention_post_norm, cotangent, output);
        let of_gated = convolution.output.backward(&cotangent); // [target, query, channel]
        let of_input = convolution.kernel.backward(&self.at_all(&of_gated * &after)); // [target, position, channel]
        let of_x = &of_input * before;
        if self.rule == Rule::Frozen {
            let hidden = of_x.size()[2];
            return convolution.input.part(2 * hidden, hidden).backward(&of_x);
        }
        let (of_before, of_after) = (of_input * x, self.at_all(of_gated * mixed));
        convolution
            .input
            .backward(&Tensor::cat(&[of_before, of_after, of_x], -1))
    }
}
