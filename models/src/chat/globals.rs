//! Functions and tests of Jinja that the engine does not have.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use minijinja::value::{Object, ObjectRepr, Rest, Value, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, State};

use super::bounds::invalid;

pub(super) fn add(environment: &mut Environment) {
    environment.add_function("cycler", |items: Rest<Value>| match items.is_empty() {
        true => Err(invalid("cycler: at least one item has to be provided".to_owned())),
        false => Ok(Value::from_object(Cycler {
            items: items.to_vec(),
            at: AtomicUsize::new(0),
        })),
    });
    environment.add_function("joiner", |between: Option<Value>| {
        Value::from_object(Joiner {
            between: between.unwrap_or_else(|| ", ".into()),
            is_used: AtomicBool::new(false),
        })
    });
    // Python's: whatever has a length and items by number or key, which what is not defined says of itself, too.
    environment.add_test("sequence", |value: &Value| {
        use ValueKind::{Bytes, Map, Seq, String, Undefined};
        matches!(value.kind(), Seq | String | Map | Bytes | Undefined)
    });
    // What is no data is a function or a joiner; a cycler is not, and a macro tells its parts as a map does. What is not defined
    // can be called too, and says then that it is not.
    environment.add_test("callable", |value: &Value| match value.kind() {
        ValueKind::Plain => value.downcast_object_ref::<Cycler>().is_none(),
        ValueKind::Map => value.try_iter().is_ok_and(|keys| keys.eq(MACRO.map(Value::from))),
        kind => kind == ValueKind::Undefined,
    });
    // Of a seed that is always the same: a conversation is the same text whenever it is asked for.
    environment.add_global("RAND_SEED", 1);
    environment.add_filter("random", |state: &mut State, items: &Value| match items.len() {
        Some(0) => Ok(Value::UNDEFINED),
        _ => minijinja_contrib::filters::random(state, items),
    });
}

/// The parts of a macro, as the engine names them.
const MACRO: [&str; 3] = ["name", "arguments", "caller"];

/// Its items in turn, over and over.
#[derive(Debug)]
struct Cycler {
    items: Vec<Value>,
    at: AtomicUsize,
}

impl Object for Cycler {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        (key.as_str() == Some("current")).then(|| self.items[self.at.load(Ordering::Relaxed)].clone())
    }

    fn call_method(self: &Arc<Self>, _: &mut State, method: &str, given: &[Value]) -> Result<Value, Error> {
        let () = from_args(given)?;
        let at = self.at.load(Ordering::Relaxed);
        let (next, value) = match method {
            "next" => ((at + 1) % self.items.len(), self.items[at].clone()),
            "reset" => (0, Value::from(())),
            _ => return Err(Error::from(ErrorKind::UnknownMethod)),
        };
        self.at.store(next, Ordering::Relaxed);
        Ok(value)
    }
}

/// Nothing at its first call, what stands between afterwards.
#[derive(Debug)]
struct Joiner {
    between: Value,
    is_used: AtomicBool,
}

impl Object for Joiner {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State, given: &[Value]) -> Result<Value, Error> {
        let () = from_args(given)?;
        Ok(match self.is_used.swap(true, Ordering::Relaxed) {
            true => self.between.clone(),
            false => "".into(),
        })
    }
}
