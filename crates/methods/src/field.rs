//! What a method can be told, by name: one table for the command line, a run's settings and its errors.

use std::collections::BTreeSet;

use ::lora::Scaling;
use ::lora_fa::Variant;
use ::vera::Sharing;
use llama::{Config, Projection};
use serde_json::{Value, json};

use crate::{Error, Method, Result, Tunable, Visitor};

/// The options of a method. `Default` is what it does when it is told nothing.
pub trait Options: Clone + Default + 'static {
    /// Every option, in the order that help shows them.
    fn fields() -> Vec<Field<Self>>;

    /// The defaults of a run of `steps` steps, where they depend on it.
    fn of_run(steps: usize) -> Self {
        let _ = steps;
        Self::default()
    }

    /// Settles what depends on the model: names of projections become those that it has.
    ///
    /// # Errors
    /// It has no such projection.
    fn settle(&mut self, config: &Config) -> Result<()> {
        let _ = config;
        Ok(())
    }

    /// The projections that get an adapter, where that is an option.
    fn targets(&self) -> &[Projection] {
        &[]
    }

    /// Dropout on the adapters' inputs.
    fn dropout(&self) -> f64 {
        0.0
    }

    /// Why there is no option of this name, where there is more to say than that.
    fn lacks(name: &str) -> Option<&'static str> {
        let _ = name;
        None
    }

    /// What would not stop a run of `steps` steps, and is hardly meant.
    fn warnings(&self, steps: usize) -> Vec<String> {
        let _ = steps;
        Vec::new()
    }
}

/// One option of the options `O`.
pub struct Field<O> {
    /// `d-init`: its name after `--`, in settings and in errors.
    pub name: &'static str,
    /// What it means, in a line.
    pub help: &'static str,
    /// What it can be, where that is a list.
    pub values: &'static [&'static str],
    /// Whether it is said by its name alone.
    pub flag: bool,
    /// Whether a folder keeps it: a run that goes on from one has it from there, unless it is said. So it must be where the
    /// default depends on the model or the run's length.
    pub in_folder: bool,
    set: Box<dyn Fn(&mut O, &str) -> Result<()>>,
    get: Box<dyn Fn(&O) -> Value>,
}

impl<O: Clone + 'static> Field<O> {
    /// The option that is at `place`.
    pub fn new<V: Setting>(
        name: &'static str,
        help: &'static str,
        place: impl Fn(&mut O) -> &mut V + Clone + 'static,
    ) -> Self {
        let at = place.clone();
        let set = move |options: &mut O, text: &str| {
            *at(options) = V::parse(text)
                .map_err(|reason| Error::Option(format!("{name} is {text:?}: {reason}")))?;
            Ok(())
        };
        Self {
            name,
            help,
            values: V::VALUES,
            flag: V::FLAG,
            in_folder: false,
            set: Box::new(set),
            get: Box::new(move |options| place(&mut options.clone()).show()),
        }
    }

    /// This option, said to be kept in a folder: see the field of this name.
    pub fn in_folder(self) -> Self {
        Self { in_folder: true, ..self }
    }

    /// This option as one of larger options that hold these at `place`.
    pub fn within<P: Clone + 'static>(
        self,
        place: impl Fn(&mut P) -> &mut O + Clone + 'static,
    ) -> Field<P> {
        let Self { name, help, values, flag, in_folder, set, get } = self;
        let at = place.clone();
        Field {
            name,
            help,
            values,
            flag,
            in_folder,
            set: Box::new(move |options, text| set(at(options), text)),
            get: Box::new(move |options| get(place(&mut options.clone()))),
        }
    }

    /// Takes a value that [`get`](Self::get) gave.
    ///
    /// # Errors
    /// It is of another option.
    pub fn take(&self, options: &mut O, value: &Value) -> Result<()> {
        match value {
            Value::String(text) => (self.set)(options, text),
            other => (self.set)(options, &other.to_string()),
        }
    }

    /// The value it has, for settings and help.
    pub fn get(&self, options: &O) -> Value {
        (self.get)(options)
    }
}

/// Sets the options that are given by name and value: those of [`Options::fields`].
///
/// # Errors
/// There is no such option ([`Method::check_option`] says more), or the value makes no sense.
pub fn set<'a, O: Options>(
    options: &mut O,
    given: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<()> {
    let fields = O::fields();
    for (name, text) in given {
        let field = fields.iter().find(|field| field.name == name);
        let unknown = || Error::Option(format!("the method has no option {name}"));
        (field.ok_or_else(unknown)?.set)(options, text)?;
    }
    Ok(())
}

/// An option as it is shown, whichever method has it.
#[derive(Clone, Debug, PartialEq)]
pub struct OptionInfo {
    /// Its name after `--`, in settings and in errors.
    pub name: &'static str,
    /// What it means, in a line.
    pub help: &'static str,
    /// What it can be, where that is a list.
    pub values: &'static [&'static str],
    /// Whether it is said by its name alone.
    pub flag: bool,
    /// What it is when nothing is said.
    pub default: Value,
}

impl Method {
    /// What the method can be told.
    pub fn options(self) -> Vec<OptionInfo> {
        struct Show;
        impl Visitor<f64> for Show {
            type Output = Vec<OptionInfo>;
            fn visit<M: Tunable<f64>>(self) -> Vec<OptionInfo> {
                let default = M::Options::default();
                let show = |field: Field<M::Options>| OptionInfo {
                    name: field.name,
                    help: field.help,
                    values: field.values,
                    flag: field.flag,
                    default: field.get(&default),
                };
                M::Options::fields().into_iter().map(show).collect()
            }
        }
        self.visit(Show)
    }

    /// # Errors
    /// The method has no option of this name: which have, or why it has not.
    pub fn check_option(self, name: &str) -> Result<()> {
        struct Lacks<'a>(&'a str);
        impl Visitor<f64> for Lacks<'_> {
            type Output = Option<&'static str>;
            fn visit<M: Tunable<f64>>(self) -> Option<&'static str> {
                M::Options::lacks(self.0)
            }
        }
        let has = |method: Self| method.options().iter().any(|option| option.name == name);
        if has(self) {
            return Ok(());
        }
        let others = Self::ALL.iter().filter(|method| has(**method));
        let others = others.map(|method| method.name()).collect::<Vec<_>>().join(", ");
        let why = self.visit(Lacks(name)).map_or(format!("the method is {self}"), str::to_owned);
        Err(Error::Option(match others.is_empty() {
            true => format!("no method has an option {name}"),
            false => format!("--{name} is for {others}: {why}"),
        }))
    }
}

/// What an option can hold.
pub trait Setting: 'static {
    /// What it can be, where that is a list.
    const VALUES: &'static [&'static str] = &[];
    /// Whether it is said by its name alone.
    const FLAG: bool = false;

    /// From the text of the command line.
    ///
    /// # Errors
    /// What the text would have to be.
    fn parse(text: &str) -> Result<Self, String>
    where
        Self: Sized;

    /// As settings and help have it.
    fn show(&self) -> Value;
}

macro_rules! numbers {
    ($($number:ty: $what:literal),+) => {$(
        impl Setting for $number {
            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| $what.to_owned())
            }
            fn show(&self) -> Value {
                json!(self)
            }
        }
    )+};
}
numbers!(usize: "a whole number is needed", u64: "a whole number is needed", f64: "a number is needed");

impl Setting for bool {
    const FLAG: bool = true;
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "true or false is needed".to_owned())
    }
    fn show(&self) -> Value {
        json!(self)
    }
}

macro_rules! choices {
    ($($choice:ty { $($name:literal => $value:path),+ })+) => {$(
        impl Setting for $choice {
            const VALUES: &'static [&'static str] = &[$($name),+];
            fn parse(text: &str) -> Result<Self, String> {
                match text {
                    $($name => Ok($value),)+
                    _ => Err(format!("there are {}", Self::VALUES.join(", "))),
                }
            }
            fn show(&self) -> Value {
                json!(match self {
                    $($value => $name,)+
                })
            }
        }
    )+};
}
choices! {
    Scaling { "alpha_over_r" => Scaling::AlphaOverR, "rslora" => Scaling::RsLora }
    Variant { "plain" => Variant::Plain, "projected" => Variant::Projected }
    Sharing { "max_slice" => Sharing::MaxSlice, "per_shape" => Sharing::PerShape }
}

/// Separated by commas; `all-linear`, as PEFT calls all of them.
impl Setting for Vec<Projection> {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "all-linear" {
            return Ok(Projection::ALL.to_vec());
        }
        let one = |name: &str| name.parse().map_err(|error: llama::Error| error.to_string());
        text.split(',').map(one).collect()
    }
    /// In their own order, for a run is resumed whatever order they are named in. How A is drawn does depend on it.
    fn show(&self) -> Value {
        let targets: BTreeSet<Projection> = self.iter().copied().collect();
        json!(targets.iter().map(|target| target.name()).collect::<Vec<_>>().join(","))
    }
}
