//! Enums whose values have a word for people and programs.

/// Declares an enum, its words, and an index for a counter of each: `enum Cause, name {…}` has `Cause::name`, the word,
/// `Cause::ALL`, `Cause::COUNT` and `Cause::index`. All come from one list, so that none can lack a value.
macro_rules! words {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident, $word:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }
    ) => {
        $(#[$meta])*
        $vis enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// How many there are.
            pub const COUNT: usize = [$(Self::$variant),+].len();
            /// Every one, in the order of the indexes.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$variant),+];

            /// The word as the table, the API, the logs and the metrics write it.
            pub const fn $word(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Its place in an array of [`Self::COUNT`].
            pub const fn index(self) -> usize {
                self as usize
            }
        }
    };
}

pub(crate) use words;
