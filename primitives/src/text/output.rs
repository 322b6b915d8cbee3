//! What an output tells: its tokens, what happened inside the model.

use ecco_scripting::result::rich::Rich;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{Registry, members};
use ecco_widgets::Explorable;
use rhai::{Array, Dynamic, INT};

use super::chat::Chat;
use super::generation::{Generation, Internals};
use super::passage::Stream;
use super::run::Run;

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Generation];
        /// The whole text: what was given and what was generated.
        get text(output: &Generation) -> String { Ok(output.text().to_owned()) }

        /// The text with exactly these tokens, to be given to a model once more in the place of a text: nothing is put
        /// before it, and no token becomes another one. Of an encoder–decoder what its encoder has read.
        ///
        /// Example:
        /// ```rhai
        /// lm.generate(output.as_prompt, #{generate: 10})
        /// ```
        get as_prompt(output: &Generation) -> Chat {
            let mut tokens = output.tokens().to_vec();
            if output.is_pair() {
                tokens.truncate(output.n_input());
            }
            let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
            let text = output.model().loaded()?.tokenizer().decode(&ids);
            Ok(Chat::of_tokens(text, tokens))
        }

        /// The tokens' texts. A character that is split over several tokens stands in each of them.
        get tokens(output: &Generation) -> Array {
            Ok(output.tokens().iter().map(|token| token.text.clone().into()).collect())
        }

        /// The tokens' numbers in the vocabulary.
        get token_ids(output: &Generation) -> Array {
            Ok(output.tokens().iter().map(|token| Dynamic::from_int(INT::from(token.id))).collect())
        }

        /// How many of the tokens were given.
        get n_input_tokens(output: &Generation) -> INT { Ok(output.n_input() as INT) }

        /// The seed that tokens were drawn with; `()` when nothing was drawn.
        get seed(output: &Generation) -> Dynamic {
            Ok(output.seed().map_or(Dynamic::UNIT, |seed| Dynamic::from_int(seed as INT)))
        }

        /// Why the generation ended: `length`, `end_of_text`, `stop` or `interrupted`.
        get finish(output: &Generation) -> String { Ok(output.finish().to_owned()) }

        fn to_string(output: &Generation) -> String { Ok(output.view().text()) }

        fn to_debug(output: &Generation) -> String { Ok(output.view().text()) }
    }
    members! { registry, [Generation, Run];
        /// The MLPs' inner values after the non-linearity: a tensor (layer, neuron, position); of an output for all
        /// tokens but the last generated one, which the model has not read. Of an encoder–decoder the decoder's, whose
        /// first position is the token that it starts with.
        get activations(stream: Stream) -> Tensor { stream.0.activations() }

        /// The residual stream before each layer and, last, after the final norm: a tensor (layer + 1, position,
        /// hidden), as transformers has it. Of an encoder–decoder the decoder's. Where the stream is projected to the
        /// embedding's width before the head (OPT-350m), the last is before that, and transformers' behind it.
        get hidden_states(stream: Stream) -> Tensor { stream.0.hidden_states() }

        /// How much each position attends to each: a tensor (layer, head, query, key). Of an encoder–decoder the
        /// decoder's to itself; `cross_attention` is its attention to the text, `encoder_attention` the encoder's.
        get attention(stream: Stream) -> Tensor { stream.0.attention() }

        /// Of an encoder–decoder: the inner values of its encoder's MLPs, a tensor (layer, neuron, position).
        get encoder_activations(stream: Stream) -> Tensor { stream.0.of_pair(Internals::EncoderActivations) }

        /// Of an encoder–decoder: its encoder's states, a tensor (layer + 1, position, hidden) as of the decoder.
        get encoder_hidden_states(stream: Stream) -> Tensor { stream.0.of_pair(Internals::EncoderHiddenStates) }

        /// Of an encoder–decoder: its encoder's attention, a tensor (layer, head, query, key).
        get encoder_attention(stream: Stream) -> Tensor { stream.0.of_pair(Internals::EncoderAttention) }

        /// Of an encoder–decoder: its decoder's attention to what the encoder has read, a tensor (layer, head, query,
        /// key).
        get cross_attention(stream: Stream) -> Tensor { stream.0.of_pair(Internals::CrossAttention) }
    }
    members! { registry, [Rich];
        fn to_string(view: &Rich) -> String { Ok(view.text()) }

        fn to_debug(view: &Rich) -> String { Ok(view.text()) }
    }
}
