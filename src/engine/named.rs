//! Enums whose variants have names, used in metrics, logs, headers and tables.

/// Declares such an enum, with `ALL` of its variants and the `name` of each.
macro_rules! named {
    ($(#[$about:meta])* pub enum $type:ident {
        $($(#[$what:meta])* $variant:ident => $name:literal,)+
    }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type {
            $($(#[$what])* $variant,)+
        }

        impl $type {
            pub const ALL: [$type; [$($name),+].len()] = [$($type::$variant),+];

            pub fn name(self) -> &'static str {
                match self {
                    $($type::$variant => $name,)+
                }
            }
        }
    };
}

pub(super) use named;
