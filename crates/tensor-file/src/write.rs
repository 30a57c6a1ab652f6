//! Tensors to bytes: by type, the widest first, then by name, so that the same tensors give the same bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use adapter::Real;
use ndarray::{ArrayView, ArrayViewD, Dimension};
use safetensors::tensor::{Dtype, TensorInfo, View};

use crate::header::{Header, MAX_HEADER, layout};
use crate::{LayoutError, StorageDtype};

/// An array, and how it is to be stored. It is converted when it is written, so that one at a time is in memory twice.
pub struct Stored<'a, T> {
    array: ArrayViewD<'a, T>,
    dtype: StorageDtype,
}

impl<'a, T: Real> Stored<'a, T> {
    /// Each number rounded as [`StorageDtype::round`] does.
    pub fn new<D: Dimension>(array: ArrayView<'a, T, D>, dtype: StorageDtype) -> Self {
        Self { array: array.into_dyn(), dtype }
    }
}

impl<T: Real> View for Stored<'_, T> {
    fn dtype(&self) -> Dtype {
        self.dtype.into()
    }
    fn shape(&self) -> &[usize] {
        self.array.shape()
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.dtype.encode(self.array.iter().map(|value| value.to_f64())))
    }
    fn data_len(&self) -> usize {
        self.array.len() * self.dtype.size()
    }
}

/// The bytes of a safetensors file with these tensors and this metadata: the same bytes for the same content, whatever
/// order the tensors come in.
///
/// # Errors
/// Two tensors have one name, one has a name that no tensor can have, or not the bytes that its shape and type ask for, or
/// the header would be above 100 MB.
pub fn to_bytes<V: View>(
    tensors: impl IntoIterator<Item = (impl Into<String>, V)>,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, LayoutError> {
    let plan = Plan::new(tensors, metadata)?;
    let mut bytes = Vec::with_capacity(plan.size);
    plan.write(&mut bytes).expect("memory takes what it has room for");
    Ok(bytes)
}

/// The header of a file, and the tensors in the order of their bytes.
pub(crate) struct Plan<V> {
    header: Vec<u8>,
    tensors: Vec<V>,
    /// Bytes of the whole file.
    size: usize,
}

impl<V: View> Plan<V> {
    pub fn new(
        tensors: impl IntoIterator<Item = (impl Into<String>, V)>,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Self, LayoutError> {
        let mut tensors: Vec<(String, V)> =
            tensors.into_iter().map(|(name, tensor)| (name.into(), tensor)).collect();
        // The library's order. Its writer keeps the metadata in a hash map, which gives other bytes each time.
        tensors.sort_by(|(a, left), (b, right)| {
            right.dtype().cmp(&left.dtype()).then_with(|| a.cmp(b))
        });
        let mut end = 0;
        let info = |(name, tensor): &(String, V)| {
            let from = end;
            end += tensor.data_len();
            let (dtype, shape) = (tensor.dtype(), tensor.shape().to_vec());
            (name.clone(), TensorInfo { dtype, shape, data_offsets: (from, end) })
        };
        let infos: Vec<(String, TensorInfo)> = tensors.iter().map(info).collect();
        layout(infos.clone())?;
        let header = Header { metadata: metadata.clone(), tensors: infos };
        let mut header = serde_json::to_vec(&header).expect("strings and numbers");
        header.resize(header.len().next_multiple_of(8), b' ');
        if header.len() as u64 > MAX_HEADER {
            return Err(LayoutError::TooLong);
        }
        let size = 8 + header.len() + end;
        Ok(Self { header, tensors: tensors.into_iter().map(|(_, tensor)| tensor).collect(), size })
    }

    pub fn write(self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&(self.header.len() as u64).to_le_bytes())?;
        out.write_all(&self.header)?;
        self.tensors.iter().try_for_each(|tensor| out.write_all(&tensor.data()))
    }
}
