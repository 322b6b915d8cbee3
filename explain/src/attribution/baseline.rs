//! What contributions are a difference from.

use ecco_interpreter::named;

/// The text that stands for nothing, as embeddings; positions stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Baseline {
    /// Zero at every token.
    #[default]
    Zero,
    /// The padding token's embedding at every token.
    Pad,
    /// The mask's.
    Mask,
    /// The mean embedding of the vocabulary.
    Mean,
    /// The embeddings of these tokens, one for each token of the text or for the first of them; those behind keep
    /// their own. For an encoder–decoder they stand for the text that is read.
    Text(Vec<u32>),
}

named! {
    pub Baseline {
        Zero = "zero",
        Pad = "pad",
        Mask = "mask",
        Mean = "mean",
        .. = "a text",
    }
}
