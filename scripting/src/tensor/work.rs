//! What longer work on tensors asks along the way: whether there is room, and whether to stop.

use std::cell::Cell;
use std::rc::Rc;

use rhai::NativeCallContext;

use crate::errors::{ErrorKind, RhaiResult, ScriptError};
use crate::session::State;
use crate::session::state::state_of;
use crate::session::{memory, room};

/// Steps between two looks at the interrupt: some milliseconds of simple ones.
pub(crate) const PIECE: usize = 1 << 20;

/// One call of a script.
pub struct Work {
    state: Rc<State>,
    /// Steps since the last look.
    unasked: Cell<usize>,
}

impl Work {
    pub fn new(state: Rc<State>) -> Self {
        Self {
            state,
            unasked: Cell::new(0),
        }
    }

    /// Does `work` for a call, whose place an error gets.
    pub(crate) fn of<T>(
        context: &NativeCallContext,
        work: impl FnOnce(&Self) -> Result<T, ScriptError>,
    ) -> RhaiResult<T> {
        work(&Self::new(state_of(context))).map_err(|error| error.raise(context))
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// # Errors
    /// When the cell was interrupted.
    pub fn check(&self) -> Result<(), ScriptError> {
        self.unasked.set(0);
        self.state.check_interrupt()
    }

    /// So many steps are done.
    ///
    /// # Errors
    /// When the cell was interrupted.
    pub(crate) fn step(&self, steps: usize) -> Result<(), ScriptError> {
        self.unasked.set(self.unasked.get().saturating_add(steps.max(1)));
        match self.unasked.get() >= PIECE {
            true => self.check(),
            false => Ok(()),
        }
    }

    /// A value of a script was made: looks now and then also at the memory that all of them take.
    ///
    /// # Errors
    /// When they take more than scripts may, or the cell was interrupted.
    pub(crate) fn value(&self) -> Result<(), ScriptError> {
        self.step(1 << 8)?;
        match self.unasked.get() == 0 && memory::allocated_bytes() > self.state.memory_limit.get() {
            true => {
                let message = "the values are too large for the memory that scripts may take";
                Err(ScriptError::new(ErrorKind::Memory, message))
            }
            false => Ok(()),
        }
    }

    /// Whether an array of that shape fits into what scripts may still take.
    ///
    /// # Errors
    /// When it does not, with how much that would be.
    pub fn room(&self, shape: &[usize], item_bytes: usize) -> Result<(), ScriptError> {
        let product = |len: usize, axis: &usize| len.saturating_mul(*axis);
        let bytes = shape.iter().fold(item_bytes, product);
        room::check_room(&self.state, bytes)?;
        // An axis without length makes any other lengths an empty array, but not one that has an address.
        let all = shape.iter().filter(|len| **len > 0).fold(item_bytes, product);
        match all > isize::MAX as usize {
            true => Err(ScriptError::new(
                ErrorKind::Value,
                format!("no array can have the shape {shape:?}"),
            )),
            false => Ok(()),
        }
    }
}
