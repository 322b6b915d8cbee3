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
        ("gradient", Self::Gradient, "gradient"),
        ("saliency", Self::Gradient, "gradient"),
        (
            "integrated_gradients",
            Self::IntegratedGradients,
            "integrated gradients",
        ),
        ("ig", Self::IntegratedGradients, "integrated gradients"),
        ("occlusion", Self::Occlusion, "occlusion"),
        ("feature_ablation", Self::Occlusion, "occlusion"),
        ("lime", Self::Lime, "LIME"),
        ("kernel_shap", Self::KernelShap, "KernelSHAP"),
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
            Self::IntegratedGradients | Self::Occlusion | Self::Lime | Self::KernelShap
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
