//! Arguments of filters, by place or by name, as Python takes them.

use minijinja::value::{Kwargs, Rest, ValueOrKwargs, from_args};
use minijinja::{Error, ErrorKind, State, Value};

/// What a filter was given, in the order of its parameters.
pub(super) struct Arguments {
    filter: &'static str,
    names: &'static [&'static str],
    values: Vec<Option<Value>>,
}

impl Arguments {
    /// # Errors
    /// More arguments than there are parameters, a name that none has, one that is given twice.
    pub(super) fn bind(
        filter: &'static str,
        names: &'static [&'static str],
        given: Rest<ValueOrKwargs>,
    ) -> Result<Self, Error> {
        let given = given.into_values();
        let (by_place, by_name): (&[Value], Kwargs) = from_args(&given)?;
        if by_place.len() > names.len() {
            let reason = format!("{filter} takes {} arguments, not {}", names.len(), by_place.len());
            return Err(Error::new(ErrorKind::TooManyArguments, reason));
        }
        let mut values: Vec<Option<Value>> = by_place.iter().cloned().map(Some).collect();
        values.resize(names.len(), None);
        let unknown = |name: &str| {
            let reason = format!("{filter} has no argument {name:?}, or it is given twice");
            Error::new(ErrorKind::TooManyArguments, reason)
        };
        for name in by_name.args() {
            let at = names.iter().position(|known| *known == name);
            let at = at
                .filter(|&at| values[at].is_none())
                .ok_or_else(|| unknown(name))?;
            values[at] = Some(by_name.get(name)?);
        }
        Ok(Self {
            filter,
            names,
            values,
        })
    }

    fn given(&self, name: &str) -> Option<&Value> {
        let at = self.names.iter().position(|known| *known == name)?;
        self.values[at].as_ref()
    }

    /// A value that is given and is not none.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.given(name).filter(|value| !value.is_none())
    }

    /// # Errors
    /// Where it is not given.
    pub(super) fn required(&self, name: &str) -> Result<&Value, Error> {
        self.given(name).ok_or_else(|| {
            let reason = format!("{} needs an argument {name:?}", self.filter);
            Error::new(ErrorKind::MissingArgument, reason)
        })
    }

    pub(super) fn is_true(&self, name: &str, default: bool) -> bool {
        self.given(name).map_or(default, Value::is_true)
    }

    pub(super) fn text(&self, name: &str, default: &str) -> String {
        self.value(name)
            .map_or_else(|| default.to_owned(), super::python::text)
    }

    pub(super) fn integer(&self, name: &str, default: i64) -> Result<i64, Error> {
        match self.value(name) {
            None => Ok(default),
            Some(value) => value.as_i64().ok_or_else(|| {
                let reason = format!("{}: {name} is {value}, not a whole number", self.filter);
                Error::new(ErrorKind::InvalidOperation, reason)
            }),
        }
    }

    /// Calls another filter with these: the first so many by place, the others by name.
    pub(super) fn pass_to(
        self,
        state: &mut State,
        filter: &str,
        value: Value,
        n_by_place: usize,
    ) -> Result<Value, Error> {
        let (by_place, by_name) = self.values.split_at(n_by_place);
        let n_given = by_place
            .iter()
            .rposition(Option::is_some)
            .map_or(0, |last| last + 1);
        let by_place = by_place[..n_given]
            .iter()
            .map(|value| value.clone().unwrap_or(Value::from(())));
        let by_name = self.names[n_by_place..].iter().zip(by_name);
        let by_name: Kwargs = by_name
            .filter_map(|(name, value)| Some((*name, value.clone()?)))
            .collect();
        let mut all: Vec<Value> = std::iter::once(value).chain(by_place).collect();
        if by_name.args().next().is_some() {
            all.push(by_name.into());
        }
        state.apply_filter(filter, &all)
    }
}
