//! The methods of attribution, a row each.
//!
//! To add one: a row here, a file with its function, a case in `tests/parity`, a page in `docs/methods`.

use super::cost::{Cost, Graphs, Storage};
use super::method::{Method, Row};
use super::{attention, guided, kernel_shap, lime, occlusion, path, smooth_grad, value_zeroing};

/// A constant for each row, and what lists them.
macro_rules! methods {
    ($($(#[$meta:meta])* $Method:ident = $row:expr;)+) => {
        /// The methods.
        #[allow(non_upper_case_globals)] // they read as the variants they stand for
        impl Method {
            $($(#[$meta])* pub const $Method: Self = Self(&$row);)+

            /// Each once, in the order that people are shown.
            pub const ALL: &[Self] = &[$(Self::$Method),+];
        }
    };
}

methods! {
    /// Gradient · embedding, element by element (Shrikumar et al. 2016, 1605.01713).
    GradXInput = Row {
        names: &["grad_x_input", "input_x_gradient"],
        label: "gradient × input",
        baseline: false,
        adds_up: false,
        drawn: false,
        cost: Cost::Gradients { n_points: |_| 1, graphs: Graphs::Least },
        run: path::gradient_x_input,
    };

    /// The gradient alone (Simonyan et al. 2013, 1312.6034).
    Gradient = Row {
        names: &["gradient", "saliency"],
        label: "gradient",
        baseline: false,
        adds_up: false,
        drawn: false,
        cost: Cost::Gradients { n_points: |_| 1, graphs: Graphs::Least },
        run: path::gradient,
    };

    /// The mean gradient of the text with noise on it (Smilkov et al. 2017, 1706.03825).
    SmoothGrad = Row {
        names: &["smooth_grad", "smoothgrad"],
        label: "SmoothGrad",
        baseline: false,
        adds_up: false,
        drawn: true,
        cost: Cost::Gradients { n_points: path::n_draws, graphs: Graphs::Points },
        run: smooth_grad::smooth_grad,
    };

    /// (Embedding − baseline) · mean gradient on the way between them (Sundararajan et al. 2017, 1703.01365).
    IntegratedGradients = Row {
        names: &["integrated_gradients", "ig"],
        label: "integrated gradients",
        baseline: true,
        adds_up: true,
        drawn: false,
        cost: Cost::Gradients { n_points: |options| options.n_steps, graphs: Graphs::Points },
        run: path::integrated,
    };

    /// The difference from the baseline, passed back by the rescale rule (Shrikumar et al. 2017, 1704.02685).
    DeepLift = Row {
        names: &["deep_lift", "dl"],
        label: "DeepLIFT",
        baseline: true,
        adds_up: true,
        drawn: false,
        // Two texts, and more of every product.
        cost: Cost::Gradients { n_points: |_| 1, graphs: Graphs::Texts(4) },
        run: path::deep_lift,
    };

    /// The gradient, but that activations pass back only what is positive, where they are (Springenberg et al. 2014,
    /// 1412.6806).
    GuidedBackprop = Row {
        names: &["guided_backprop", "gb"],
        label: "guided backpropagation",
        baseline: false,
        adds_up: false,
        drawn: false,
        cost: Cost::Gradients { n_points: |_| 1, graphs: Graphs::Texts(1) },
        run: guided::guided_backprop,
    };

    /// The gradient, but that activations pass back only what is positive (Zeiler and Fergus 2013, 1311.2901).
    Deconvolution = Row {
        names: &["deconvolution", "deconv"],
        label: "deconvolution",
        baseline: false,
        adds_up: false,
        drawn: false,
        cost: Cost::Gradients { n_points: |_| 1, graphs: Graphs::Texts(1) },
        run: guided::deconvolution,
    };

    /// (Noisy embedding − baseline) · gradient at random points between them (Lundberg and Lee 2017, 1705.07874;
    /// Erion et al. 2019, 1906.10670).
    GradientShap = Row {
        names: &["gradient_shap", "gshap"],
        label: "gradient SHAP",
        baseline: true,
        adds_up: true,
        drawn: true,
        cost: Cost::Gradients { n_points: path::n_draws, graphs: Graphs::Points },
        run: path::gradient_shap,
    };

    /// Gradient × input with attention patterns, norms' statistics and gates held, and an activation's value over its
    /// input in place of its slope (1604.00825; 2202.07304).
    LayerwiseRelevance = Row {
        names: &["layerwise_relevance", "layer_relevance_propagation", "lrp"],
        label: "layer-wise relevance",
        baseline: false,
        adds_up: true,
        drawn: false,
        cost: Cost::Gradients { n_points: |_| 1, graphs: Graphs::Texts(2) },
        run: path::relevance,
    };

    /// What a target loses when a source is replaced by the baseline, one after the other.
    Occlusion = Row {
        names: &["occlusion", "feature_ablation"],
        label: "occlusion",
        baseline: true,
        adds_up: false,
        drawn: false,
        cost: Cost::Passes { n: occlusion::n_passes, kept: Storage::Values },
        run: occlusion::occlusion,
    };

    /// A linear model of passes without some of the sources (Ribeiro et al. 2016, 1602.04938).
    Lime = Row {
        names: &["lime", "limebase"],
        label: "LIME",
        baseline: true,
        adds_up: false,
        drawn: true,
        cost: Cost::Passes { n: lime::n_passes, kept: Storage::Sets },
        run: lime::lime,
    };

    /// Shapley's values, by regression or from all sets (Lundberg & Lee 2017, 1705.07874).
    KernelShap = Row {
        names: &["kernel_shap", "shap", "shapley_values"],
        label: "KernelSHAP",
        baseline: true,
        adds_up: true,
        drawn: true,
        cost: Cost::Passes { n: kernel_shap::n_passes, kept: Storage::Sets },
        run: kernel_shap::kernel_shap,
    };

    /// The product of the layers' attention, half of each being the residual stream (Abnar & Zuidema 2020,
    /// 2005.00928).
    AttentionRollout = Row {
        names: &["attention_rollout"],
        label: "attention rollout",
        baseline: false,
        adds_up: false,
        drawn: false,
        cost: Cost::Passes { n: |_, _| 1, kept: Storage::Matrices },
        run: attention::rollout,
    };

    /// The last layer's attention.
    AttentionLast = Row {
        names: &["attention_last"],
        label: "last-layer attention",
        baseline: false,
        adds_up: false,
        drawn: false,
        cost: Cost::Passes { n: |_, _| 1, kept: Storage::Matrices },
        run: attention::last,
    };

    /// How much positions turn when the value of another is zero, over the layers (Mohebbi et al. 2023, 2301.12971).
    ValueZeroing = Row {
        names: &["value_zeroing"],
        label: "value zeroing",
        baseline: false,
        adds_up: false,
        drawn: false,
        cost: Cost::Passes { n: |explained, _| explained.n_sources(), kept: Storage::Matrices },
        run: value_zeroing::value_zeroing,
    };
}

impl Method {
    /// Every name in scripts, by method.
    pub const ALL_NAMES: &[&str] = &NAMES;

    /// The method of a name.
    pub fn parse(name: &str) -> Option<Self> {
        let named = |method: &&Self| method.names().contains(&name);
        Self::ALL.iter().find(named).copied()
    }
}

impl Default for Method {
    fn default() -> Self {
        Self::GradXInput
    }
}

const N_NAMES: usize = {
    let (mut n, mut row) = (0, 0);
    while row < Method::ALL.len() {
        n += Method::ALL[row].0.names.len();
        row += 1;
    }
    n
};

const NAMES: [&str; N_NAMES] = {
    let mut all = [""; N_NAMES];
    let (mut n, mut row) = (0, 0);
    while row < Method::ALL.len() {
        let names = Method::ALL[row].0.names;
        let mut i = 0;
        while i < names.len() {
            all[n] = names[i];
            n += 1;
            i += 1;
        }
        row += 1;
    }
    all
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_of_one_method() {
        for method in Method::ALL {
            for name in method.names() {
                assert_eq!(Method::parse(name), Some(*method), "{name}");
                assert_eq!(Method::ALL_NAMES.iter().filter(|other| *other == name).count(), 1);
            }
        }
        assert_eq!(Method::parse("no_method"), None);
        assert_eq!(
            Method::ALL_NAMES[..3],
            ["grad_x_input", "input_x_gradient", "gradient"]
        );
    }
}
