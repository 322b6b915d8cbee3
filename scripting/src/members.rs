//! A primitive said once: its name, documentation, arguments, options and what it does, registered for every type that
//! has it, with and without the map of options.
//!
//! ```
//! # use ecco_scripting::{Registry, ScriptError, members, options, result::Show};
//! # use ecco_widgets::Explorable;
//! # #[derive(Clone)] struct Text(String);
//! # impl Show for Text {
//! #     fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> { Ok(Box::new(self.clone())) }
//! #     fn line(&self) -> String { self.0.clone() }
//! # }
//! # impl Explorable for Text { fn text(&self) -> String { self.0.clone() } }
//! options! {
//!     /// What `part` can be told.
//!     pub struct PartOptions {
//!         /// how many characters
//!         n: usize [1..] = 1,
//!     }
//! }
//!
//! fn register(registry: &mut Registry) {
//!     registry.value::<Text>("Text", "text");
//!     members! { registry, [Text];
//!         /// The characters from a place on.
//!         fn part(text: &Text, from: i64; options: PartOptions) -> String {
//!             Ok(text.0.chars().skip(from as usize).take(options.n).collect())
//!         }
//!     }
//! }
//! ```
//! The first argument may be of any type that is made `From` a reference to each receiver, or `TryFrom` one with a
//! [`ScriptError`](crate::ScriptError); a name without a type before it
//! is the session's [`State`](crate::session::state::State), for what asks along the way. `get` in the place of `fn`
//! makes a property; `volatile fn` is for what has effects or reads what changes; `options!: Type` says that the map
//! cannot be left out. A body is a `Result` with a [`ScriptError`](crate::ScriptError).

use rhai::FuncRegistration;

use crate::options::OptionSet;
use crate::registry::Registry;
use crate::result::known;

/// What is said of a member besides its code.
pub struct Member {
    pub of: &'static str,
    pub name: &'static str,
    pub docs: &'static [&'static str],
    /// `position: INT`
    pub params: &'static [&'static str],
    pub returns: &'static str,
    pub is_volatile: bool,
    pub is_property: bool,
}

impl Member {
    /// For the version with the map of options, or without.
    pub fn registration(&self, with_options: bool) -> FuncRegistration {
        let receiver = format!(
            "{}: &mut {}",
            known::variable_of(self.of).unwrap_or("value"),
            self.of
        );
        let options: &[&str] = if with_options { &["options: Map"] } else { &[] };
        let info = [&[receiver.as_str()], self.params, options, &[self.returns]].concat();
        let registration = match self.is_property {
            true => FuncRegistration::new_getter(self.name),
            false => FuncRegistration::new(self.name),
        };
        registration
            .with_purity(!self.is_volatile)
            .with_volatility(self.is_volatile)
            .with_comments(self.docs)
            .with_params_info(info)
    }

    /// `Generation.saliency`
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.of, self.name)
    }

    pub fn options<O: OptionSet>(&self, registry: &mut Registry) {
        registry.options::<O>(&self.full_name());
    }
}

/// Registers members: see [the module](self).
#[macro_export]
macro_rules! members {
    ($registry:expr, [$($of:ident),+ $(,)?]; $($members:tt)*) => {{
        let registry: &mut $crate::Registry = $registry;
        $crate::members!(@each registry [$($of)+] { $($members)* });
    }};
    (@each $registry:ident [$($of:ident)+] $members:tt) => {
        $($crate::members!(@next $registry $of $members);)+
    };
    (@next $registry:ident $of:ident {}) => {};
    // A property.
    (@next $registry:ident $of:ident {
        $(#[doc = $doc:literal])*
        get $name:ident($this:ident: $as:ty) -> $returns:ty $body:block
        $($rest:tt)*
    }) => {
        let member = $crate::members!(@member $of $name [$($doc)*] [] $returns, false, true);
        member.registration(false).register_into_engine(
            $registry.engine,
            |receiver: &mut $of| -> $crate::RhaiResult<$returns> {
                let run = |$this: $as| -> Result<$returns, $crate::ScriptError> { $body };
                Ok(run(TryFrom::try_from(&*receiver).map_err($crate::ScriptError::from)?)?)
            },
        );
        $crate::members!(@next $registry $of { $($rest)* });
    };
    (@next $registry:ident $of:ident { $(#[doc = $doc:literal])* volatile fn $($rest:tt)* }) => {
        $crate::members!(@function $registry $of [$($doc)*] true, $($rest)*);
    };
    (@next $registry:ident $of:ident { $(#[doc = $doc:literal])* fn $($rest:tt)* }) => {
        $crate::members!(@function $registry $of [$($doc)*] false, $($rest)*);
    };
    // A method without options, …
    (@function $registry:ident $of:ident $docs:tt $volatile:literal,
        $name:ident($this:ident: $as:ty $(, $arg:ident: $arg_type:ty)*) -> $returns:ty $body:block
        $($rest:tt)*
    ) => {
        let member = $crate::members!(@member $of $name $docs [$($arg: $arg_type)*] $returns, $volatile, false);
        member.registration(false).register_into_engine(
            $registry.engine,
            |receiver: &mut $of $(, $arg: $arg_type)*| -> $crate::RhaiResult<$returns> {
                let run = |$this: $as| -> Result<$returns, $crate::ScriptError> { $body };
                Ok(run(TryFrom::try_from(&*receiver).map_err($crate::ScriptError::from)?)?)
            },
        );
        $crate::members!(@next $registry $of { $($rest)* });
    };
    // … one that asks the session along the way, …
    (@function $registry:ident $of:ident $docs:tt $volatile:literal,
        $name:ident($state:ident, $this:ident: $as:ty $(, $arg:ident: $arg_type:ty)*) -> $returns:ty $body:block
        $($rest:tt)*
    ) => {
        let member = $crate::members!(@member $of $name $docs [$($arg: $arg_type)*] $returns, $volatile, false);
        member.registration(false).register_into_engine(
            $registry.engine,
            |ctx: rhai::NativeCallContext, receiver: &mut $of $(, $arg: $arg_type)*| -> $crate::RhaiResult<$returns> {
                let run = |$state: std::rc::Rc<$crate::session::state::State>, $this: $as| -> Result<$returns, $crate::ScriptError> { $body };
                Ok(run($crate::session::state::state_of(&ctx), TryFrom::try_from(&*receiver).map_err($crate::ScriptError::from)?)?)
            },
        );
        $crate::members!(@next $registry $of { $($rest)* });
    };
    // … the same with options, …
    (@function $registry:ident $of:ident $docs:tt $volatile:literal,
        $name:ident($state:ident, $this:ident: $as:ty $(, $arg:ident: $arg_type:ty)*; $options:ident: $set:ty) -> $returns:ty $body:block
        $($rest:tt)*
    ) => {
        let member = $crate::members!(@member $of $name $docs [$($arg: $arg_type)*] $returns, $volatile, false);
        member.registration(false).register_into_engine(
            $registry.engine,
            |ctx: rhai::NativeCallContext, receiver: &mut $of $(, $arg: $arg_type)*| -> $crate::RhaiResult<$returns> {
                let run = |$state: std::rc::Rc<$crate::session::state::State>, $this: $as, $options: $set| -> Result<$returns, $crate::ScriptError> { $body };
                Ok(run($crate::session::state::state_of(&ctx), TryFrom::try_from(&*receiver).map_err($crate::ScriptError::from)?, Default::default())?)
            },
        );
        member.options::<$set>($registry);
        member.registration(true).register_into_engine(
            $registry.engine,
            {
                let full_name = member.full_name();
                move |ctx: rhai::NativeCallContext, receiver: &mut $of $(, $arg: $arg_type)*, options: rhai::Map| -> $crate::RhaiResult<$returns> {
                    let run = |$state: std::rc::Rc<$crate::session::state::State>, $this: $as, $options: $set| -> Result<$returns, $crate::ScriptError> { $body };
                    let options = $crate::options::OptionSet::read(&full_name, &options)?;
                    Ok(run($crate::session::state::state_of(&ctx), TryFrom::try_from(&*receiver).map_err($crate::ScriptError::from)?, options)?)
                }
            },
        );
        $crate::members!(@next $registry $of { $($rest)* });
    };
    // … with options that may be left out, …
    (@function $registry:ident $of:ident $docs:tt $volatile:literal,
        $name:ident($this:ident: $as:ty $(, $arg:ident: $arg_type:ty)*; $options:ident: $set:ty) -> $returns:ty $body:block
        $($rest:tt)*
    ) => {
        let member = $crate::members!(@member $of $name $docs [$($arg: $arg_type)*] $returns, $volatile, false);
        member.registration(false).register_into_engine(
            $registry.engine,
            |receiver: &mut $of $(, $arg: $arg_type)*| -> $crate::RhaiResult<$returns> {
                let run = |$this: $as, $options: $set| -> Result<$returns, $crate::ScriptError> { $body };
                Ok(run(TryFrom::try_from(&*receiver).map_err($crate::ScriptError::from)?, Default::default())?)
            },
        );
        $crate::members!(@with_map $registry $of member ($this: $as $(, $arg: $arg_type)*; $options: $set) $returns, $body);
        $crate::members!(@next $registry $of { $($rest)* });
    };
    // … and with options that are needed.
    (@function $registry:ident $of:ident $docs:tt $volatile:literal,
        $name:ident($this:ident: $as:ty $(, $arg:ident: $arg_type:ty)*; $options:ident!: $set:ty) -> $returns:ty $body:block
        $($rest:tt)*
    ) => {
        let member = $crate::members!(@member $of $name $docs [$($arg: $arg_type)*] $returns, $volatile, false);
        $crate::members!(@with_map $registry $of member ($this: $as $(, $arg: $arg_type)*; $options: $set) $returns, $body);
        $crate::members!(@next $registry $of { $($rest)* });
    };
    (@with_map $registry:ident $of:ident $member:ident
        ($this:ident: $as:ty $(, $arg:ident: $arg_type:ty)*; $options:ident: $set:ty) $returns:ty, $body:block
    ) => {
        $member.options::<$set>($registry);
        $member.registration(true).register_into_engine(
            $registry.engine,
            {
                let full_name = $member.full_name();
                move |receiver: &mut $of $(, $arg: $arg_type)*, options: rhai::Map| -> $crate::RhaiResult<$returns> {
                    let run = |$this: $as, $options: $set| -> Result<$returns, $crate::ScriptError> { $body };
                    let options = $crate::options::OptionSet::read(&full_name, &options)?;
                    Ok(run(TryFrom::try_from(&*receiver).map_err($crate::ScriptError::from)?, options)?)
                }
            },
        );
    };
    (@member $of:ident $name:ident [$($doc:literal)*] [$($arg:ident: $arg_type:ty)*] $returns:ty, $volatile:literal, $property:literal) => {
        $crate::members::Member {
            of: stringify!($of),
            name: stringify!($name),
            docs: &[$(concat!("///", $doc)),*],
            params: &[$(concat!(stringify!($arg), ": ", stringify!($arg_type))),*],
            returns: stringify!($returns),
            is_volatile: $volatile,
            is_property: $property,
        }
    };
}

/// Registers functions of a module such as `ecco`, as [`members!`](crate::members!) does members. The first argument is
/// the session's [`State`](crate::session::state::State). Of functions in modules Rhai does not fill in where an error was
/// raised, so that is said here.
#[macro_export]
macro_rules! functions {
    ($registry:expr, $module:literal; $($functions:tt)*) => {{
        let registry: &mut $crate::Registry = $registry;
        $crate::functions!(@next registry $module { $($functions)* });
    }};
    (@next $registry:ident $module:literal {}) => {};
    (@next $registry:ident $module:literal {
        $(#[doc = $doc:literal])*
        fn $name:ident($state:ident $(, $arg:ident: $arg_type:ty)*) -> $returns:ty $body:block
        $($rest:tt)*
    }) => {
        let function = $crate::functions!(@function $module $name [$($doc)*] [$($arg: $arg_type)*] $returns);
        function.registration(false).set_into_module(
            $registry.module_named($module),
            |ctx: rhai::NativeCallContext $(, $arg: $arg_type)*| -> $crate::RhaiResult<$returns> {
                let run = |$state: std::rc::Rc<$crate::session::state::State>| -> Result<$returns, $crate::ScriptError> { $body };
                run($crate::session::state::state_of(&ctx)).map_err(|error| error.raise(&ctx))
            },
        );
        $crate::functions!(@next $registry $module { $($rest)* });
    };
    (@next $registry:ident $module:literal {
        $(#[doc = $doc:literal])*
        fn $name:ident($state:ident $(, $arg:ident: $arg_type:ty)*; $options:ident: $set:ty) -> $returns:ty $body:block
        $($rest:tt)*
    }) => {
        let function = $crate::functions!(@function $module $name [$($doc)*] [$($arg: $arg_type)*] $returns);
        function.registration(false).set_into_module(
            $registry.module_named($module),
            |ctx: rhai::NativeCallContext $(, $arg: $arg_type)*| -> $crate::RhaiResult<$returns> {
                let run = |$state: std::rc::Rc<$crate::session::state::State>, $options: $set| -> Result<$returns, $crate::ScriptError> { $body };
                run($crate::session::state::state_of(&ctx), Default::default()).map_err(|error| error.raise(&ctx))
            },
        );
        $registry.options::<$set>(concat!($module, "::", stringify!($name)));
        function.registration(true).set_into_module(
            $registry.module_named($module),
            |ctx: rhai::NativeCallContext $(, $arg: $arg_type)*, options: rhai::Map| -> $crate::RhaiResult<$returns> {
                let run = |$state: std::rc::Rc<$crate::session::state::State>, $options: $set| -> Result<$returns, $crate::ScriptError> { $body };
                let options = $crate::options::OptionSet::read(concat!($module, "::", stringify!($name)), &options);
                let result = options.and_then(|options| run($crate::session::state::state_of(&ctx), options));
                result.map_err(|error| error.raise(&ctx))
            },
        );
        $crate::functions!(@next $registry $module { $($rest)* });
    };
    (@function $module:literal $name:ident [$($doc:literal)*] [$($arg:ident: $arg_type:ty)*] $returns:ty) => {
        $crate::members::Function {
            name: stringify!($name),
            docs: &[$(concat!("///", $doc)),*],
            params: &[$(concat!(stringify!($arg), ": ", stringify!($arg_type))),*],
            returns: stringify!($returns),
        }
    };
}

/// What is said of a module's function besides its code.
pub struct Function {
    pub name: &'static str,
    pub docs: &'static [&'static str],
    pub params: &'static [&'static str],
    pub returns: &'static str,
}

impl Function {
    pub fn registration(&self, with_options: bool) -> FuncRegistration {
        let options: &[&str] = if with_options { &["options: Map"] } else { &[] };
        FuncRegistration::new(self.name)
            .with_volatility(true)
            .with_comments(self.docs)
            .with_params_info([self.params, options, &[self.returns]].concat())
    }
}
