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
        matches!(self, Self::IntegratedGradients)
    }
}
