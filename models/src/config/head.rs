//! What says tokens, as data.

/// From the residual stream to logits.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// The weights are the token embedding's, where the file does not have others.
    pub tied: bool,
    /// Files that have others are nothing unusual.
    pub prefers_own: bool,
    pub bias: bool,
    /// Files may leave out a bias of zeros.
    pub spares_bias: bool,
    /// Factor on the logits.
    pub scale: f64,
    /// Logits x become c tanh(x / c).
    pub soft_cap: Option<f64>,
}

impl Head {
    pub fn new(tied: bool) -> Self {
        Self {
            tied,
            prefers_own: false,
            bias: false,
            spares_bias: false,
            scale: 1.0,
            soft_cap: None,
        }
    }
}
