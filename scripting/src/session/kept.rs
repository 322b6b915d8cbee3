//! Values kept by their type, for whoever knows the type.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// One value of each type.
#[derive(Default)]
pub struct Kept(RefCell<HashMap<TypeId, Rc<dyn Any>>>);

impl Kept {
    /// The value of a type; the type's default at first.
    pub fn of<T: Default + 'static>(&self) -> Rc<T> {
        let mut kept = self.0.borrow_mut();
        let value = kept
            .entry(TypeId::of::<T>())
            .or_insert_with(|| Rc::new(T::default()));
        // Only this function puts values in, under their own type.
        Rc::clone(value).downcast().unwrap_or_default()
    }
}
