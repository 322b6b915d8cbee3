//! Choices that people name: methods, units, quantities.

/// A type whose values have names. [`named!`](crate::named!) makes it of one table.
pub trait Named: Clone + PartialEq + Sized + 'static {
    /// Each value with its name. Of several names of a value the first is the one it is called by.
    const TABLE: &'static [(&'static str, Self)];

    /// The names alone, in the table's order.
    const NAMES: &'static [&'static str];

    /// The value of that name.
    fn parse(name: &str) -> Option<Self> {
        let mut rows = Self::TABLE.iter();
        rows.find(|(known, _)| *known == name)
            .map(|(_, value)| value.clone())
    }

    fn name(&self) -> &'static str {
        let mut rows = Self::TABLE.iter();
        rows.find(|(_, value)| value == self).map_or("", |(name, _)| name)
    }
}

/// `named! { Unit { "token" => Unit::Token, "word" => Unit::Word } }` gives the values of a type their names.
#[macro_export]
macro_rules! named {
    ($of:ty { $($name:literal => $value:expr),* $(,)? }) => {
        impl $crate::Named for $of {
            const TABLE: &'static [(&'static str, Self)] = &[$(($name, $value)),*];
            const NAMES: &'static [&'static str] = &[$($name),*];
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Size {
        Small,
        Large,
    }

    named! { Size { "small" => Size::Small, "large" => Size::Large, "big" => Size::Large } }

    #[test]
    fn names_find_values_and_values_their_first_name() {
        assert_eq!(Size::parse("big"), Some(Size::Large));
        assert_eq!(Size::parse("huge"), None);
        assert_eq!((Size::Small.name(), Size::Large.name()), ("small", "large"));
        assert_eq!(Size::NAMES, ["small", "large", "big"]);
    }
}
