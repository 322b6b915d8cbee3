//! Layers behind the last one, which some files have to guess several tokens at once: they are no part of the model's pass.

use super::stored::StoredWeight;

/// Leaves them out: `n` of them behind `n_layers`.
pub(crate) fn leave_out_guessing_layers(stored: &mut Vec<StoredWeight>, n_layers: usize, n: usize) {
    stored.retain(|weight| {
        !layer_of(&weight.name).is_some_and(|layer| (n_layers..n_layers.saturating_add(n)).contains(&layer))
    });
}

/// The number behind `layers.` in a name.
fn layer_of(name: &str) -> Option<usize> {
    let (_, rest) = name.split_once("layers.")?;
    rest.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_by_their_names() {
        assert_eq!(layer_of("model.layers.61.eh_proj.weight"), Some(61));
        assert_eq!(layer_of("layers.0.mlp.gate.weight"), Some(0));
        assert_eq!(layer_of("model.layers.x"), None);
        assert_eq!(layer_of("model.norm.weight"), None);
    }
}
