//! A model with its adapter: on, off, or at a share of the way.

use std::rc::Rc;

use super::Model;
use super::loading::body;
use crate::adapter::Tunable;
use crate::error::{Error, Result, refuse};
use crate::guard::guard;
use crate::weights::Sum;

impl Model {
    /// The same model with an adapter, as it was trained.
    pub(super) fn tuned(self, tunable: Tunable) -> Result<Self> {
        let tunable = Rc::new(tunable);
        let added = tunable.n_parameters();
        let sum = Sum {
            n_parameters: self.sum.n_parameters + added,
            n_bytes: self.sum.n_bytes + added * self.stack().kind().elt_size_in_bytes() as u64,
            ..self.sum
        };
        let model = Self {
            sum,
            tunable: Some(tunable),
            ..self
        };
        model.adapted(1.0)
    }

    pub fn has_adapter(&self) -> bool {
        self.tunable.is_some()
    }

    /// A view on the same weights at a share of the way to the tuned model, without edits: 0 is the model without its
    /// adapter, 1 the tuned one. What the adapter adds to linear layers is computed beside them. Matrices that it has
    /// whole are copied for shares between the two, and so are embeddings that it adds to.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] for a model that was loaded without one.
    pub fn adapted(&self, share: f64) -> Result<Self> {
        let tunable = self.tunable.as_ref().ok_or_else(|| Error::NoAdapter {
            model: self.name.clone(),
        })?;
        if !share.is_finite() {
            return Err(refuse("scale", share, "expected a number"));
        }
        let body = guard(|| {
            let (config, mut weights) = tunable.at(share);
            let body = body(config, &mut weights)?;
            tunable.check_used(weights.unused_low_rank())?;
            weights.finish()?;
            Ok(body)
        })?;
        Ok(self.with_body(body))
    }
}
