//! A model as a Hugging Face folder that transformers loads.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use adapter::Real;
use half::{bf16, f16};
use ndarray::ArrayViewD;
use safetensors::tensor::{Dtype, View};
use serde_json::{Value, json};

use crate::load::Checkpoint;
use crate::{Error, Llama, Result};

/// How numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum StorageDtype {
    F64,
    F32,
    F16,
    Bf16,
}

impl StorageDtype {
    const ALL: [Self; 4] = [Self::F64, Self::F32, Self::F16, Self::Bf16];

    /// The type that `T` is.
    pub fn of<T: Real>() -> Self {
        if T::NAME == "F64" { Self::F64 } else { Self::F32 }
    }

    /// The name users write: `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// The nearest number that can be stored; ties go to the even one. Infinite where there is none.
    pub fn round(self, value: f64) -> f64 {
        match self {
            Self::F64 => value,
            Self::F32 => f64::from(value as f32),
            Self::F16 => f16::from_f32(to_odd(value)).to_f64(),
            Self::Bf16 => bf16::from_f32(to_odd(value)).to_f64(),
        }
    }

    fn torch_name(self) -> &'static str {
        match self {
            Self::F64 => "float64",
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }

    fn safetensors(self) -> Dtype {
        match self {
            Self::F64 => Dtype::F64,
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
        }
    }

    fn encode(self, values: impl Iterator<Item = f64>) -> Vec<u8> {
        match self {
            Self::F64 => values.flat_map(f64::to_le_bytes).collect(),
            Self::F32 => values.flat_map(|value| (value as f32).to_le_bytes()).collect(),
            Self::F16 => {
                values.flat_map(|value| f16::from_f32(to_odd(value)).to_le_bytes()).collect()
            }
            Self::Bf16 => {
                values.flat_map(|value| bf16::from_f32(to_odd(value)).to_le_bytes()).collect()
            }
        }
    }
}

impl std::fmt::Display for StorageDtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for StorageDtype {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|dtype| dtype.name() == name);
        found.ok_or_else(|| {
            let all = Self::ALL.map(Self::name).join(", ");
            adapter::Error::value("dtype", format!("{name:?}"), format!("there is {all}")).into()
        })
    }
}

/// To `f32`, and where that is not exact, to the neighbour with an odd last bit. Rounding that once more to a type with
/// at least two bits less gives what rounding the `f64` itself gives (Boldo & Melquiond 2008), as rounding to nearest
/// twice does not.
fn to_odd(value: f64) -> f32 {
    let nearest = value as f32;
    let error = value - f64::from(nearest);
    if error == 0.0 || !nearest.is_finite() || nearest.to_bits() & 1 == 1 {
        return nearest;
    }
    // The other neighbour of `value`; one step in magnitude is one step of the bits.
    match (error > 0.0) == value.is_sign_positive() {
        true => f32::from_bits(nearest.to_bits() + 1),
        false => f32::from_bits(nearest.to_bits() - 1),
    }
}

/// Write a model's `config.json` and `model.safetensors` into `folder`, its numbers as they are.
///
/// # Errors
/// See [`save_checkpoint`].
pub fn save<T: Real>(model: &Llama<T>, folder: &Path) -> Result<()> {
    write(model, StorageDtype::of::<T>(), BTreeMap::new(), folder)
}

/// Write a whole Hugging Face folder: configuration, weights in `dtype`, and the tokenizer's files.
///
/// A folder that does not exist appears whole or not at all. In one that exists, each file is replaced in one step,
/// after all have been written; other files stay.
///
/// # Errors
/// A number does not fit `dtype`, or the disk is full or read-only: what was there is as it was.
pub fn save_checkpoint<T: Real>(
    checkpoint: &Checkpoint<T>,
    dtype: StorageDtype,
    folder: &Path,
) -> Result<()> {
    write(&checkpoint.model, dtype, checkpoint.files()?, folder)
}

fn write<T: Real>(
    model: &Llama<T>,
    dtype: StorageDtype,
    mut files: BTreeMap<String, Vec<u8>>,
    folder: &Path,
) -> Result<()> {
    for (name, tensor) in model.tensors() {
        let fits = |&value: &T| !value.is_finite() || dtype.round(value.to_f64()).is_finite();
        if !tensor.iter().all(fits) {
            let hint = format!("a number is too large for {dtype}: choose another dtype");
            return Err(adapter::Error::NotFinite { name: name.into(), hint: hint.into() }.into());
        }
    }
    files.insert("config.json".into(), config(model, dtype, &files));

    let io = |source| Error::Io { path: folder.to_owned(), source };
    let parent = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    if folder.is_dir() {
        let staging = staging(folder).map_err(io)?;
        let names = fill(model, dtype, &files, staging.path()).map_err(io)?;
        let replace = |name: &PathBuf| fs::rename(staging.path().join(name), folder.join(name));
        names.iter().try_for_each(replace).map_err(io)?;
        sync(folder).map_err(io)
    } else {
        fs::create_dir_all(parent).map_err(io)?;
        let staging = staging(parent).map_err(io)?;
        fill(model, dtype, &files, staging.path()).map_err(io)?;
        fs::rename(staging.path(), folder).map_err(io)?;
        // It has another name now: there is nothing left to delete.
        let _ = staging.keep();
        sync(parent).map_err(io)
    }
}

/// A folder that is deleted again unless all goes well.
fn staging(parent: &Path) -> io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o777));
    }
    builder.prefix(".writing-").tempdir_in(parent)
}

/// Write all files into `folder` and onto the disk; returns their names.
fn fill<T: Real>(
    model: &Llama<T>,
    dtype: StorageDtype,
    files: &BTreeMap<String, Vec<u8>>,
    folder: &Path,
) -> io::Result<Vec<PathBuf>> {
    for (name, contents) in files {
        let mut file = File::create(folder.join(name))?;
        file.write_all(contents)?;
        file.sync_all()?;
    }
    let weights = folder.join(WEIGHTS);
    let tensors = model.tensors().into_iter();
    let tensors = tensors.map(|(name, tensor)| (name, Stored { tensor, dtype }));
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    safetensors::serialize_to_file(tensors, Some(metadata), &weights).map_err(
        |error| match error {
            safetensors::SafeTensorError::IoError(error) => error,
            other => io::Error::other(other.to_string()),
        },
    )?;
    sync(&weights)?;
    sync(folder)?;
    Ok([WEIGHTS].into_iter().chain(files.keys().map(String::as_str)).map(PathBuf::from).collect())
}

const WEIGHTS: &str = "model.safetensors";

fn sync(path: &Path) -> io::Result<()> {
    // Windows has no way to open a folder for this.
    if cfg!(windows) && path.is_dir() {
        return Ok(());
    }
    File::open(path)?.sync_all()
}

/// Names the type, and the tokens that begin and end a text: transformers assumes 1 and 2 for a Llama that is silent.
fn config<T: Real>(
    model: &Llama<T>,
    dtype: StorageDtype,
    files: &BTreeMap<String, Vec<u8>>,
) -> Vec<u8> {
    let mut config = model.config.to_json();
    let generation = files.get("generation_config.json");
    let generation: Value =
        generation.and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default();
    for name in ["bos_token_id", "eos_token_id", "pad_token_id"] {
        config.insert(name.into(), generation.get(name).cloned().unwrap_or_default());
    }
    config.insert("torch_dtype".into(), json!(dtype.torch_name()));
    let mut text = serde_json::to_vec_pretty(&config).expect("plain data");
    text.push(b'\n');
    text
}

/// A tensor that is converted when it is written, so that one at a time is in memory twice.
struct Stored<'a, T> {
    tensor: ArrayViewD<'a, T>,
    dtype: StorageDtype,
}

impl<T: Real> View for Stored<'_, T> {
    fn dtype(&self) -> Dtype {
        self.dtype.safetensors()
    }
    fn shape(&self) -> &[usize] {
        self.tensor.shape()
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.dtype.encode(self.tensor.iter().map(|value| value.to_f64())))
    }
    fn data_len(&self) -> usize {
        self.tensor.len() * self.dtype.safetensors().bitsize() / 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_once() {
        let tie = 1.0 + 2f64.powi(-11);
        assert_eq!(StorageDtype::F16.round(tie), 1.0, "a tie goes to the even number");
        // Just above and below the tie, by less than f32 can tell.
        assert_eq!(StorageDtype::F16.round(tie + 2f64.powi(-40)), 1.0 + 2f64.powi(-10));
        assert_eq!(StorageDtype::F16.round(tie - 2f64.powi(-40)), 1.0);
        assert_eq!(StorageDtype::F16.round(-tie - 2f64.powi(-40)), -1.0 - 2f64.powi(-10));
        let tie = 1.0 + 2f64.powi(-8);
        assert_eq!(StorageDtype::Bf16.round(tie), 1.0);
        assert_eq!(StorageDtype::Bf16.round(tie + 2f64.powi(-40)), 1.0 + 2f64.powi(-7));
        // The smallest subnormal of f16 is 2^-24; just above its half rounds up, just below down.
        assert_eq!(
            StorageDtype::F16.round(2f64.powi(-25) * (1.0 + 2f64.powi(-40))),
            2f64.powi(-24)
        );
        assert_eq!(StorageDtype::F16.round(2f64.powi(-25) * (1.0 - 2f64.powi(-40))), 0.0);
        assert!(StorageDtype::F16.round(65520.0).is_infinite());
        assert_eq!(StorageDtype::F16.round(65519.99), 65504.0);
        assert_eq!(StorageDtype::F32.round(0.1), f64::from(0.1f32));
        assert_eq!(StorageDtype::F64.round(0.1), 0.1);
        assert!(StorageDtype::Bf16.round(f64::NAN).is_nan());
    }

    #[test]
    fn a_number_that_fits_stays() {
        for bits in (0..=u16::MAX).filter(|&bits| f16::from_bits(bits).is_finite()) {
            let value = f16::from_bits(bits).to_f64();
            assert_eq!(StorageDtype::F16.round(value).to_bits(), value.to_bits());
        }
    }

    #[test]
    fn names_are_read_back() {
        for dtype in StorageDtype::ALL {
            assert_eq!(dtype.to_string().parse::<StorageDtype>().unwrap(), dtype);
        }
        let error = "int4".parse::<StorageDtype>().unwrap_err().to_string();
        assert!(error.contains("int4") && error.contains("bf16"), "{error}");
    }
}
