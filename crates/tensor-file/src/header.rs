//! The header, and what it must keep: nothing in it is believed before it is checked.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use safetensors::SafeTensorError;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, LayoutError, Result};

/// The limit of the safetensors specification, in bytes.
pub(crate) const MAX_HEADER: u64 = 100_000_000;

const METADATA: &str = "__metadata__";

/// Does a file of `size` bytes hold the header that its first 8 bytes promise?
pub(crate) fn check_length(file: &Path, header: u64, size: u64) -> Result<()> {
    // The text that Git leaves in the place of a large file that it has not fetched.
    if header.to_le_bytes() == *b"version " {
        let reason =
            "a Git LFS pointer and not the file itself: `git lfs pull` fetches it".to_owned();
        return Err(Error::Length { file: file.to_owned(), reason });
    }
    let reason = if header > MAX_HEADER {
        format!("above the limit of {MAX_HEADER}, so not a safetensors file?")
    } else if header > size - 8 {
        "it is cut off, or not a safetensors file".to_owned()
    } else {
        return Ok(());
    };
    let reason = format!("the header claims {header} bytes and the file has {size}: {reason}");
    Err(Error::Length { file: file.to_owned(), reason })
}

/// A header as it stands in a file, its tensors in the file's order.
pub(crate) struct Header {
    pub metadata: BTreeMap<String, String>,
    pub tensors: Vec<(String, TensorInfo)>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors by name")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Header, M::Error> {
                let (mut metadata, mut tensors) = (None, Vec::new());
                while let Some(name) = map.next_key::<String>()? {
                    if name != METADATA {
                        tensors.push((name, map.next_value()?));
                    } else if metadata.replace(map.next_value::<Option<_>>()?).is_some() {
                        return Err(M::Error::duplicate_field(METADATA));
                    }
                }
                Ok(Header { metadata: metadata.flatten().unwrap_or_default(), tensors })
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl Serialize for Header {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.metadata.is_empty() {
            map.serialize_entry(METADATA, &self.metadata)?;
        }
        for (name, info) in &self.tensors {
            map.serialize_entry(name, info)?;
        }
        map.end()
    }
}

/// Do the tensors have names of their own, and does each lie behind the one before, as long as its shape and type say?
/// They are in the order of their bytes. Returns how many bytes they have.
pub(crate) fn layout(tensors: &[(String, TensorInfo)]) -> Result<usize, LayoutError> {
    let mut names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(LayoutError::Twice(pair[0].to_owned()));
    }
    if let Some(name) = names.iter().find(|name| name.contains('\0') || **name == METADATA) {
        return Err(LayoutError::Name((*name).to_owned()));
    }
    let whole = Metadata::new(None, tensors.to_vec()).map_err(|source| {
        let name = match &source {
            SafeTensorError::InvalidOffset(name) => name.clone(),
            // The library says which tensor it is of an offset only; of a shape it is the first that is wrong alone too.
            _ => {
                let wrong = tensors.iter().find(|tensor| is_wrong_alone(tensor));
                wrong.map(|(name, _)| name.clone()).unwrap_or_default()
            }
        };
        LayoutError::Tensor { name, source }
    })?;
    Ok(whole.data_len())
}

fn is_wrong_alone((name, info): &(String, TensorInfo)) -> bool {
    let (from, to) = info.data_offsets;
    let alone = TensorInfo { data_offsets: (0, to.saturating_sub(from)), ..info.clone() };
    Metadata::new(None, vec![(name.clone(), alone)]).is_err()
}
