//! The methods by name, and what a training run needs of each beside the four functions of [`adapter::Adapter`].
//!
//! | here | what |
//! |---|---|
//! | [`Method`] | the one list: name, label, paper, and through [`visit`](Method::visit) the type |
//! | [`Tunable`] | what a run needs of a method: options, a start, files |
//! | [`Options`], [`Field`] | what a method can be told, by the names that the command line has too |
//! | [`Needs`] | the memory that its adapters need, from shapes alone |
//! | [`Row`] | a method as a comparison shows it: LoRA-FA has two variants |
//! | [`Trained`] | the adapters of a folder, whoever made them, and what else it changes |
//!
//! `full.rs`, `lora.rs`, `lora_fa.rs`, `vera.rs`, `delta_lora.rs`, `lora_plus.rs` and `dora.rs` have one method each;
//! `lora_family.rs` has what those built on LoRA share. One more is a file beside them, its `mod`, and an entry in the
//! list below.

mod beside;
mod delta_lora;
mod dora;
mod error;
mod field;
mod full;
#[macro_use]
mod list;
mod lora;
mod lora_fa;
mod lora_family;
mod lora_plus;
mod needs;
mod place;
mod trained;
mod tunable;
mod vera;

pub use error::{Error, Result};
pub use field::{Field, OptionInfo, Options, Setting, set};
pub use needs::{Needs, SiteNeeds};
pub use trained::{AdapterUser, OfKind, Trained};
pub use tunable::{Base, Row, Tunable, Visitor};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

methods! {
    /// Full fine-tuning: every number of the model is trained.
    Full = adapter::Full, "full", "full", None;
    /// LoRA: A and B are trained.
    Lora = ::lora::Lora<T>, "lora", "LoRA", Some("2106.09685");
    /// LoRA-FA: B is trained.
    LoraFa = ::lora_fa::LoraFa<T>, "lora-fa", "LoRA-FA", Some("2308.03303");
    /// VeRA: two vectors are trained; A and B are random and shared.
    Vera = ::vera::Vera<T>, "vera", "VeRA", Some("2310.11454");
    /// Delta-LoRA: A and B are trained, and W follows their product.
    DeltaLora = ::delta_lora::DeltaLora<T>, "delta-lora", "Delta-LoRA", Some("2309.02411");
    /// LoRA+: A and B are trained, B faster.
    LoraPlus = ::lora_plus::LoraPlus<T>, "lora-plus", "LoRA+", Some("2402.12354");
    /// DoRA: A, B and the length of each row of W are trained.
    Dora = ::dora::Dora<T>, "dora", "DoRA", Some("2402.09353");
}
