//! Enumerations by their names in a case file.

/// `Display` and `FromStr` by these names.
macro_rules! names {
    ($kind:ty, $what:literal, [$($value:expr => $name:literal),*]) => {
        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let all = [$(($value, $name)),*];
                f.pad(all.iter().find(|(value, _)| value == self).expect("all are listed").1)
            }
        }
        impl std::str::FromStr for $kind {
            type Err = crate::error::Error;
            fn from_str(text: &str) -> crate::error::Result<Self> {
                let all = [$(($value, $name)),*];
                let names: Vec<_> = all.iter().map(|(_, name)| *name).collect();
                let found = all.iter().find(|(_, name)| *name == text).map(|(value, _)| *value);
                found.ok_or_else(|| {
                    crate::error::wrong(format!("{text} is no {}: one of {}", $what, names.join(", ")))
                })
            }
        }
    };
}

pub(super) use names;
