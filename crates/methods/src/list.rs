//! What the list of methods is turned into.

/// [`Method`](crate::Method), from its list: variant, type over the number `T`, name, label, number on arXiv.
macro_rules! methods {
    ($($(#[$doc:meta])+ $method:ident = $type:ty, $name:literal, $label:literal, $arxiv:expr;)+) => {
        /// The methods, in the order they are shown.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Method {
            $($(#[$doc])+ $method,)+
        }

        impl Method {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$method),+];

            /// As files and the command line have it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$method => $name,)+
                }
            }

            /// As tables and figures have it.
            pub fn label(self) -> &'static str {
                match self {
                    $(Self::$method => $label,)+
                }
            }

            /// The paper's number on arXiv; `None` for full fine-tuning.
            pub fn arxiv(self) -> Option<&'static str> {
                match self {
                    $(Self::$method => $arxiv,)+
                }
            }

            /// Does what `visitor` does with the type of this method.
            pub fn visit<T: ::adapter::Real, V: $crate::Visitor<T>>(self, visitor: V) -> V::Output {
                match self {
                    $(Self::$method => visitor.visit::<$type>(),)+
                }
            }
        }
    };
}

impl std::fmt::Display for crate::Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for crate::Method {
    type Err = crate::Error;
    fn from_str(name: &str) -> crate::Result<Self> {
        Self::ALL.iter().copied().find(|method| method.name() == name).ok_or_else(|| {
            let all = Self::ALL.iter().map(|method| method.name()).collect::<Vec<_>>().join(", ");
            crate::Error::Option(format!("unknown method {name:?}: there are {all}"))
        })
    }
}
