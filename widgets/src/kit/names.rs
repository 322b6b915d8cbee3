//! One way to name the parts of a model, in every view.

/// `L2 n117`; `n117` where activations are of no layer. The script's `neuronName` writes the same.
pub(crate) fn neuron(layer: Option<usize>, neuron: usize) -> String {
    match layer {
        Some(layer) => format!("L{layer} n{neuron}"),
        None => format!("n{neuron}"),
    }
}

/// `L2 h5`
pub(crate) fn head(layer: usize, head: usize) -> String {
    format!("L{layer} h{head}")
}

/// A position beside a token in plain text: `₁₉`.
pub(crate) fn position(position: usize) -> String {
    const ZERO: u32 = '₀' as u32;
    let digits = position.to_string();
    digits
        .chars()
        .filter_map(|digit| char::from_u32(ZERO + digit.to_digit(10)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_one_name() {
        assert_eq!(neuron(Some(2), 117), "L2 n117");
        assert_eq!(neuron(None, 117), "n117");
        assert_eq!(head(11, 0), "L11 h0");
        assert_eq!(position(1290), "₁₂₉₀");
    }
}
