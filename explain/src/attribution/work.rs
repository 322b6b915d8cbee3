//! Progress and interruption of one attribution, and passes that report to it.

use std::ops::ControlFlow;

use ecco_interpreter::{Progress, Watch};
use ecco_models::tap::Tap;
use ecco_models::{Rule, Site};
use tch::Tensor;

/// Where an attribution stands.
pub(crate) struct Work<'a, 'b> {
    watch: &'a mut Watch<'b>,
    label: String,
    unit: &'static str,
    pub done: u64,
    pub total: u64,
}

impl<'a, 'b> Work<'a, 'b> {
    pub(crate) fn new(watch: &'a mut Watch<'b>, label: String, unit: &'static str, total: u64) -> Self {
        Self {
            watch,
            label,
            unit,
            done: 0,
            total,
        }
    }

    pub(crate) fn report(&mut self) -> ControlFlow<()> {
        (self.watch)(&Progress {
            label: self.label.clone().into(),
            done: self.done,
            total: Some(self.total),
            unit: self.unit,
        })
    }

    /// Reports that `n` more are done.
    ///
    /// # Errors
    /// When the work must stop.
    pub(crate) fn advance(&mut self, n: u64) -> ecco_models::error::Result<()> {
        self.done += n;
        match self.report() {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(ecco_models::Error::Interrupted),
        }
    }
}

/// A pass that looks at nothing, and can be interrupted.
pub(crate) struct WorkTap<'r, 'a, 'b>(pub &'r mut Work<'a, 'b>);

impl Tap for WorkTap<'_, '_, '_> {
    fn wants(&self, _: Site, _: usize) -> bool {
        false
    }
    fn visit(&mut self, _: Site, _: usize, value: Tensor) -> Tensor {
        value
    }
    fn proceed(&mut self, _: usize) -> ControlFlow<()> {
        self.0.report()
    }
}

/// The same, differentiated by a rule.
pub(crate) struct RuleTap<'r, 'a, 'b> {
    pub rule: Rule,
    pub work: &'r mut Work<'a, 'b>,
}

impl Tap for RuleTap<'_, '_, '_> {
    fn wants(&self, _: Site, _: usize) -> bool {
        false
    }
    fn visit(&mut self, _: Site, _: usize, value: Tensor) -> Tensor {
        value
    }
    fn rule(&self) -> Rule {
        self.rule
    }
    fn proceed(&mut self, _: usize) -> ControlFlow<()> {
        self.work.report()
    }
}
