//! Values with names: one table, from which everything that asks for names derives.

/// A type whose values people name: methods, units, quantities. [`named!`](crate::named!) makes it of one table.
pub trait Named: Clone + PartialEq + 'static {
    /// Every name, in the order of the values.
    const NAMES: &'static [&'static str];

    /// The value of a name.
    fn parse(name: &str) -> Option<Self>;

    /// The name to use.
    fn name(&self) -> &'static str;
}

/// An enum whose values have names, those that scripts and reports use.
///
/// Gives the enum `ALL`, its values in order; `ALL_NAMES`, every name in order; `parse`, the value of a name; and `name`,
/// the first of a value's names, which is the one to use. The others are what it is called elsewhere.
///
/// A type whose other values hold data says its rows alone, with the name of those others.
///
/// ```
/// ecco_interpreter::named! {
///     /// How to stop.
///     #[derive(Debug, Clone, Copy, PartialEq)]
///     pub enum Stop {
///         End = "end" | "eos",
///         Length = "length",
///     }
/// }
/// assert_eq!(Stop::parse("eos"), Some(Stop::End));
/// assert_eq!((Stop::End.name(), Stop::ALL.len()), ("end", 2));
/// assert_eq!(Stop::ALL_NAMES, ["end", "eos", "length"]);
/// ```
#[macro_export]
macro_rules! named {
    ($(#[$meta:meta])* $visibility:vis enum $Type:ident {
        $($(#[$of_value:meta])* $Value:ident = $name:literal $(| $alias:literal)*),+ $(,)?
    }) => {
        $(#[$meta])*
        $visibility enum $Type {
            $($(#[$of_value])* $Value),+
        }

        impl $Type {
            $crate::named!(@table $visibility $($Value = $name $(| $alias)*),+);

            /// The name to use.
            $visibility const fn name(self) -> &'static str {
                match self {
                    $(Self::$Value => $name),+
                }
            }
        }

        $crate::named!(@trait $Type);
    };

    ($visibility:vis $Type:ident {
        $($Value:ident = $name:literal $(| $alias:literal)*),+, .. = $other:literal $(,)?
    }) => {
        impl $Type {
            $crate::named!(@table $visibility $($Value = $name $(| $alias)*),+);

            /// The name to use; of values that hold data, what they are.
            $visibility const fn name(&self) -> &'static str {
                match self {
                    $(Self::$Value => $name,)+
                    _ => $other,
                }
            }
        }

        $crate::named!(@trait $Type);
    };

    (@table $visibility:vis $($Value:ident = $name:literal $(| $alias:literal)*),+) => {
        /// The values with a name, in order.
        $visibility const ALL: &[Self] = &[$(Self::$Value),+];

        /// Every name, in the order of the values.
        $visibility const ALL_NAMES: &[&str] = &[$($name $(, $alias)*),+];

        /// The value of a name.
        $visibility fn parse(name: &str) -> Option<Self> {
            match name {
                $($name $(| $alias)* => Some(Self::$Value),)+
                _ => None,
            }
        }
    };

    (@trait $Type:ident) => {
        impl $crate::Named for $Type {
            const NAMES: &'static [&'static str] = Self::ALL_NAMES;

            fn parse(name: &str) -> Option<Self> {
                Self::parse(name)
            }

            fn name(&self) -> &'static str {
                self.clone().name()
            }
        }
    };
}
