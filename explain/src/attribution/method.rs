//! The methods by name.

/// How contributions are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Method {
    /// Gradient · embedding, element by element (Shrikumar et al. 2016, 1605.01713).
    #[default]
    GradXInput,
    /// The gradient alone (Simonyan et al. 2013, 1312.6034).
    Gradient,
    /// (Embedding − baseline) · mean gradient on the way between them (Sundararajan et al. 2017, 1703.01365).
    IntegratedGradients,
    /// The difference from the baseline, passed back by the rescale rule (Shrikumar et al. 2017, 1704.02685).
    DeepLift,
    /// The gradient, but that activations pass back only what is positive, where they are (Springenberg et al. 2014,
    /// 1412.6806).
    GuidedBackprop,
    /// The gradient, but that activations pass back only what is positive (Zeiler and Fergus 2013, 1311.2901).
    Deconvolution,
    /// (Noisy embedding − baseline) · gradient at random points between them (Lundberg and Lee 2017, 1705.07874;
    /// Erion et al. 2019, 1906.10670).
    GradientShap,
    /// Gradient × input with attention patterns, norms' statistics and gates held, and an activation's value over its
    /// input in place of its slope (1604.00825; 2202.07304).
    LayerwiseRelevance,
    /// What a target loses when a source is replaced by the baseline, one after the other.
    Occlusion,
    /// A linear model of passes without some of the sources (Ribeiro et al. 2016, 1602.04938).
    Lime,
    /// Shapley's values, by regression or from all sets (Lundberg & Lee 2017, 1705.07874).
    KernelShap,
    /// The product of the layers' attention, half of each being the residual stream (Abnar & Zuidema 2020, 2005.00928).
    AttentionRollout,
    /// The last layer's attention.
    AttentionLast,
    /// How much positions turn when the value of another is zero, over the layers (Mohebbi et al. 2023, 2301.12971).
    ValueZeroing,
}

impl Method {
    /// (name in scripts, method, name for people). The first of each method is the one to use; the others are those of
    /// the Python library and of captum.
    pub const NAMES: &[(&str, Method, &str)] = &[
        ("grad_x_input", Self::GradXInput, "gradient × input"),
        ("input_x_gradient", Self::GradXInput, "gradient × input"),
        ("gradient", Self::Gradient, "gradient"),
        ("saliency", Self::Gradient, "gradient"),
        (
            "integrated_gradients",
            Self::IntegratedGradients,
            "integrated gradients",
        ),
        ("ig", Self::IntegratedGradients, "integrated gradients"),
        ("deep_lift", Self::DeepLift, "DeepLIFT"),
        ("dl", Self::DeepLift, "DeepLIFT"),
        ("guided_backprop", Self::GuidedBackprop, "guided backpropagation"),
        ("gb", Self::GuidedBackprop, "guided backpropagation"),
        ("deconvolution", Self::Deconvolution, "deconvolution"),
        ("deconv", Self::Deconvolution, "deconvolution"),
        ("gradient_shap", Self::GradientShap, "gradient SHAP"),
        ("gshap", Self::GradientShap, "gradient SHAP"),
        (
            "layerwise_relevance",
            Self::LayerwiseRelevance,
            "layer-wise relevance",
        ),
        (
            "layer_relevance_propagation",
            Self::LayerwiseRelevance,
            "layer-wise relevance",
        ),
        ("lrp", Self::LayerwiseRelevance, "layer-wise relevance"),
        ("occlusion", Self::Occlusion, "occlusion"),
        ("feature_ablation", Self::Occlusion, "occlusion"),
        ("lime", Self::Lime, "LIME"),
        ("limebase", Self::Lime, "LIME"),
        ("kernel_shap", Self::KernelShap, "KernelSHAP"),
        ("shap", Self::KernelShap, "KernelSHAP"),
        ("shapley_values", Self::KernelShap, "KernelSHAP"),
        ("attention_rollout", Self::AttentionRollout, "attention rollout"),
        ("attention_last", Self::AttentionLast, "last-layer attention"),
        ("value_zeroing", Self::ValueZeroing, "value zeroing"),
    ];

    /// The names alone, for tables of options.
    pub const ALL_NAMES: &[&str] = &{
        let mut names = [""; Self::NAMES.len()];
        let mut i = 0;
        while i < names.len() {
            names[i] = Self::NAMES[i].0;
            i += 1;
        }
        names
    };

    pub fn parse(name: &str) -> Option<Self> {
        let mut names = Self::NAMES.iter();
        names.find(|(known, ..)| *known == name).map(|row| row.1)
    }

    fn row(self) -> &'static (&'static str, Method, &'static str) {
        let mut names = Self::NAMES.iter();
        names.find(|row| row.1 == self).unwrap_or(&Self::NAMES[0])
    }

    /// In scripts: `grad_x_input`.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// For people: `gradient × input`.
    pub fn label(self) -> &'static str {
        self.row().2
    }

    /// Whether contributions are those to a difference from a baseline.
    pub fn has_baseline(self) -> bool {
        matches!(
            self,
            Self::IntegratedGradients
                | Self::DeepLift
                | Self::GradientShap
                | Self::Occlusion
                | Self::Lime
                | Self::KernelShap
        )
    }

    /// Whether it looks at passes over texts without some of the sources.
    pub fn is_perturbation(self) -> bool {
        matches!(self, Self::Occlusion | Self::Lime | Self::KernelShap)
    }

    /// Whether it looks at attention, so that only where a target stands counts.
    pub fn is_of_attention(self) -> bool {
        matches!(
            self,
            Self::AttentionRollout | Self::AttentionLast | Self::ValueZeroing
        )
    }

    /// Whether it needs passes alone, and no gradient.
    pub fn is_by_passes(self) -> bool {
        self.is_perturbation() || self.is_of_attention()
    }
}
