//! Options as a struct: one place says each option's name, type, default, bound and meaning.
//!
//! ```
//! ecco_scripting::options! {
//!     /// What `lens` can be told.
//!     pub struct LensOptions {
//!         /// how many candidates each cell has
//!         pub topk: usize [1..] = 5,
//!         /// positions whose tokens are predicted
//!         pub positions: Option<Vec<usize>> = "all generated tokens",
//!     }
//! }
//! ```
//! `= value` is what holds when the option is not given; of an `Option`, `= "text"` says for people what then holds.
//! `[1..]` is the least number that is taken. `..name: Other` takes in the options of another such struct. The field `told` has
//! what was given, as it was given.

use std::ops::Range;

use rhai::{Dynamic, Map};

use super::{OptionKind, OptionReader, OptionSpec, TargetOption, Told, Word, number, target};
use crate::errors::ScriptError;
use ecco_interpreter::Named;

/// A struct that [`options!`](crate::options!) made.
pub trait OptionSet: Sized {
    /// A row for each option.
    fn rows() -> &'static [OptionSpec];

    /// What was given.
    fn told(&self) -> Told;

    /// From a map whose entries were checked against the rows.
    fn from_reader(reader: &OptionReader) -> Self;

    /// Reads a map. `()` as a value stands for "not given".
    ///
    /// # Errors
    /// An unknown name (with the nearest known one), or a value of the wrong type.
    fn read(primitive: &str, map: &Map) -> Result<Self, ScriptError> {
        Ok(Self::from_reader(&OptionReader::new(
            primitive,
            Self::rows(),
            map,
        )?))
    }
}

/// A primitive without options.
impl OptionSet for () {
    fn rows() -> &'static [OptionSpec] {
        &[]
    }

    fn told(&self) -> Told {
        Told::default()
    }

    fn from_reader(_: &OptionReader) -> Self {}
}

/// What an option's value may be.
pub trait OptionValue: Sized {
    const KIND: OptionKind;

    /// The value, if the script gave such a one.
    fn of(value: &Dynamic) -> Option<Self>;

    /// The kind where only numbers from `least` on are taken.
    fn kind_from(_least: i64) -> OptionKind {
        Self::KIND
    }

    /// Of a name that is one of a closed list, the one to use for the same.
    fn main_name(_name: &str) -> Option<&'static str> {
        None
    }

    /// Whether it is at least that.
    fn is_from(&self, _least: i64) -> bool {
        true
    }

    /// As a default, for people; as code would write it.
    fn written(&self) -> String {
        String::new()
    }
}

/// Not given: what then holds, the row says.
impl<T: OptionValue> OptionValue for Option<T> {
    const KIND: OptionKind = T::KIND;

    fn of(value: &Dynamic) -> Option<Self> {
        T::of(value).map(Some)
    }

    fn kind_from(least: i64) -> OptionKind {
        T::kind_from(least)
    }

    fn main_name(name: &str) -> Option<&'static str> {
        T::main_name(name)
    }

    fn is_from(&self, least: i64) -> bool {
        self.as_ref().is_none_or(|value| value.is_from(least))
    }
}

impl OptionValue for bool {
    const KIND: OptionKind = OptionKind::Bool;

    fn of(value: &Dynamic) -> Option<Self> {
        value.as_bool().ok()
    }

    fn written(&self) -> String {
        self.to_string()
    }
}

macro_rules! whole_numbers {
    ($($of:ty, $least:expr;)*) => {$(
        impl OptionValue for $of {
            const KIND: OptionKind = OptionKind::Int($least);

            fn of(value: &Dynamic) -> Option<Self> {
                value.as_int().ok()?.try_into().ok()
            }

            fn kind_from(least: i64) -> OptionKind {
                OptionKind::Int(least)
            }

            fn is_from(&self, least: i64) -> bool {
                i64::try_from(*self).is_ok_and(|number| number >= least)
            }

            fn written(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

whole_numbers! {
    i64, i64::MIN;
    u64, 0;
    usize, 0;
}

impl OptionValue for f64 {
    const KIND: OptionKind = OptionKind::Float;

    fn of(value: &Dynamic) -> Option<Self> {
        number(value).filter(|number| number.is_finite())
    }

    fn written(&self) -> String {
        format!("{self:?}")
    }
}

impl OptionValue for String {
    const KIND: OptionKind = OptionKind::Text;

    fn of(value: &Dynamic) -> Option<Self> {
        value.as_immutable_string_ref().ok().map(|text| text.to_string())
    }

    fn written(&self) -> String {
        format!("{self:?}")
    }
}

/// An array of whole numbers, not negative.
impl OptionValue for Vec<usize> {
    const KIND: OptionKind = OptionKind::Ints;

    fn of(value: &Dynamic) -> Option<Self> {
        value.as_array_ref().ok()?.iter().map(usize::of).collect()
    }
}

/// An array of pairs of whole numbers.
impl OptionValue for Vec<Range<usize>> {
    const KIND: OptionKind = OptionKind::Spans;

    fn of(value: &Dynamic) -> Option<Self> {
        target::spans(value)
    }
}

/// A token or label, a map of it with its contrast and position, or an array of these.
impl OptionValue for Vec<TargetOption> {
    const KIND: OptionKind = OptionKind::Targets;

    fn of(value: &Dynamic) -> Option<Self> {
        target::targets(value)
    }
}

impl OptionValue for Word {
    const KIND: OptionKind = OptionKind::Token;

    fn of(value: &Dynamic) -> Option<Self> {
        Word::of(value)
    }
}

/// One value, or an array of such.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OneOrMany<T>(pub Vec<T>);

macro_rules! one_or_many {
    ($($of:ty, $kind:ident;)*) => {$(
        impl OptionValue for OneOrMany<$of> {
            const KIND: OptionKind = OptionKind::$kind;

            fn of(value: &Dynamic) -> Option<Self> {
                let all = match value.as_array_ref() {
                    Ok(array) => array.iter().map(<$of>::of).collect(),
                    Err(_) => <$of>::of(value).map(|one| vec![one]),
                };
                all.map(Self)
            }
        }
    )*};
}

one_or_many! {
    usize, IntOrInts;
    f64, Floats;
    String, Texts;
    Word, Tokens;
}

/// One of some names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Choice<T>(pub T);

impl<T: Named> OptionValue for Choice<T> {
    const KIND: OptionKind = OptionKind::OneOf(T::NAMES);

    fn of(value: &Dynamic) -> Option<Self> {
        T::parse(&value.as_immutable_string_ref().ok()?).map(Self)
    }

    fn main_name(name: &str) -> Option<&'static str> {
        T::parse(name).map(|value| value.name())
    }

    fn written(&self) -> String {
        format!("{:?}", self.0.name())
    }
}

/// One or several of some names.
impl<T: Named> OptionValue for OneOrMany<Choice<T>> {
    const KIND: OptionKind = OptionKind::SomeOf(T::NAMES);

    fn of(value: &Dynamic) -> Option<Self> {
        let names = OneOrMany::<String>::of(value)?.0;
        let all = names.iter().map(|name| T::parse(name).map(Choice));
        all.collect::<Option<_>>().map(Self)
    }

    fn main_name(name: &str) -> Option<&'static str> {
        T::parse(name).map(|value| value.name())
    }
}

/// Makes a struct of options, with its rows and its reader: see [the module](self).
#[macro_export]
macro_rules! options {
    ($(#[$about:meta])* $vis:vis struct $name:ident { $($fields:tt)* }) => {
        $crate::options!(@field [$(#[$about])* $vis struct $name] [] $($fields)*);
    };
    // One field after the other is taken apart …
    (@field $head:tt [$($done:tt)*] .. $field:ident : $of:ty, $($rest:tt)*) => {
        $crate::options!(@field $head [$($done)* (set [] $field [$of] [] [])] $($rest)*);
    };
    (@field $head:tt [$($done:tt)*] $(#[doc = $doc:literal])+ $vis:vis $field:ident : $of:ty [$least:literal ..] = $default:expr, $($rest:tt)*) => {
        $crate::options!(@field $head [$($done)* (row [$($doc)+] $field [$of] [$least] [$default])] $($rest)*);
    };
    (@field $head:tt [$($done:tt)*] $(#[doc = $doc:literal])+ $vis:vis $field:ident : $of:ty = $default:expr, $($rest:tt)*) => {
        $crate::options!(@field $head [$($done)* (row [$($doc)+] $field [$of] [] [$default])] $($rest)*);
    };
    // … and then the struct is made of all.
    (@field [$(#[$about:meta])* $vis:vis struct $name:ident] [$(($how:ident [$($doc:literal)*] $field:ident [$of:ty] [$($least:literal)?] [$($default:expr)?]))*]) => {
        $(#[$about])*
        #[derive(Debug, Clone)]
        $vis struct $name {
            $($(#[doc = $doc])* pub $field: $of,)*
            /// What was given.
            pub told: $crate::options::Told,
        }

        impl $crate::options::OptionSet for $name {
            fn rows() -> &'static [$crate::options::OptionSpec] {
                static ROWS: std::sync::LazyLock<Vec<$crate::options::OptionSpec>> = std::sync::LazyLock::new(|| {
                    let mut rows = Vec::new();
                    $($crate::options!(@rows rows $how [$($doc)*] $field [$of] [$($least)?] [$($default)?]);)*
                    rows
                });
                &ROWS
            }

            fn told(&self) -> $crate::options::Told {
                self.told.clone()
            }

            fn from_reader(reader: &$crate::options::OptionReader) -> Self {
                Self {
                    $($field: $crate::options!(@read reader $how $field [$of] [$($default)?]),)*
                    told: reader.told(),
                }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($field: $crate::options!(@default $how [$of] [$($default)?]),)*
                    told: Default::default(),
                }
            }
        }
    };
    (@rows $rows:ident set $docs:tt $field:ident [$of:ty] $least:tt $default:tt) => {
        $rows.extend_from_slice(<$of as $crate::options::OptionSet>::rows())
    };
    (@rows $rows:ident row [$($doc:literal)*] $field:ident [$of:ty] [$($least:literal)?] [$default:expr]) => {
        $rows.push($crate::options::OptionSpec {
            name: stringify!($field),
            kind: $crate::options!(@kind [$of] [$($least)?]),
            default: $crate::options::DefaultOf::<$of>::written($default),
            doc: concat!($($doc),*).trim_start(),
            accepts: |value| {
                <$of as $crate::options::OptionValue>::of(value).is_some_and(|value| {
                    let _ = &value;
                    true $(&& $crate::options::OptionValue::is_from(&value, $least))?
                })
            },
            main_name: <$of as $crate::options::OptionValue>::main_name,
        })
    };
    (@kind [$of:ty] []) => { <$of as $crate::options::OptionValue>::KIND };
    (@kind [$of:ty] [$least:literal]) => { <$of as $crate::options::OptionValue>::kind_from($least) };
    (@read $reader:ident set $field:ident [$of:ty] $default:tt) => {
        <$of as $crate::options::OptionSet>::from_reader($reader)
    };
    (@read $reader:ident row $field:ident [$of:ty] [$default:expr]) => {
        $reader
            .get::<$of>(stringify!($field))
            .unwrap_or_else(|| $crate::options::DefaultOf::<$of>::value($default))
    };
    (@default set [$of:ty] $default:tt) => { <$of>::default() };
    (@default row [$of:ty] [$default:expr]) => { $crate::options::DefaultOf::<$of>::value($default) };
}

/// What a default is written as: a value, or, of what may be left out, words for people.
pub trait DefaultOf<T> {
    fn value(self) -> T;
    fn written(self) -> &'static str;
}

impl<T: OptionValue> DefaultOf<T> for T {
    fn value(self) -> T {
        self
    }

    /// Kept for good: it is asked for once in a process.
    fn written(self) -> &'static str {
        OptionValue::written(&self).leak()
    }
}

impl<T: OptionValue> DefaultOf<Option<T>> for &'static str {
    fn value(self) -> Option<T> {
        None
    }

    fn written(self) -> &'static str {
        self
    }
}
