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
    let tensors: Vec<(String, V)> = named(tensors);
    let plan = Plan::new(tensors.iter().map(Entry::of), metadata)?;
    let mut bytes = Vec::with_capacity(plan.size);
    let written = plan.write(&mut bytes, |i| Ok::<_, io::Error>(tensors[i].1.data()));
    written.expect("memory takes what it has room for");
    Ok(bytes)
}

pub(crate) fn named<V>(
    tensors: impl IntoIterator<Item = (impl Into<String>, V)>,
) -> Vec<(String, V)> {
    tensors.into_iter().map(|(name, tensor)| (name.into(), tensor)).collect()
}

/// A tensor as a header has it.
pub(crate) struct Entry {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: usize,
}

impl Entry {
    pub fn of<V: View>((name, tensor): &(String, V)) -> Self {
        let (dtype, bytes) = (tensor.dtype(), tensor.data_len());
        Self { name: name.clone(), dtype, shape: tensor.shape().to_vec(), bytes }
    }

    /// Of numbers that are still to come.
    pub fn new(name: &str, dtype: StorageDtype, shape: &[usize]) -> Self {
        let bytes = shape.iter().product::<usize>().saturating_mul(dtype.size());
        Self { name: name.to_owned(), dtype: dtype.into(), shape: shape.to_vec(), bytes }
    }
}

/// The header of a file, and which tensor comes when.
pub(crate) struct Plan {
    header: Vec<u8>,
    /// Their places in the list that was given, in the order of their bytes.
    order: Vec<usize>,
    /// Bytes of the whole file.
    size: usize,
}

impl Plan {
    pub fn new(
        tensors: impl Iterator<Item = Entry>,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Self, LayoutError> {
        let mut tensors: Vec<(usize, Entry)> = tensors.enumerate().collect();
        // The library's order. Its writer keeps the metadata in a hash map, which gives other bytes each time.
        tensors.sort_by(|(_, a), (_, b)| b.dtype.cmp(&a.dtype).then_with(|| a.name.cmp(&b.name)));
        let mut end = 0;
        let info = |(_, tensor): &(usize, Entry)| {
            let from = end;
            end += tensor.bytes;
            let (dtype, shape) = (tensor.dtype, tensor.shape.clone());
            (tensor.name.clone(), TensorInfo { dtype, shape, data_offsets: (from, end) })
        };
        let infos: Vec<(String, TensorInfo)> = tensors.iter().map(info).collect();
        layout(&infos)?;
        let header = Header { metadata: metadata.clone(), tensors: infos };
        let mut header = serde_json::to_vec(&header).expect("strings and numbers");
        header.resize(header.len().next_multiple_of(8), b' ');
        if header.len() as u64 > MAX_HEADER {
            return Err(LayoutError::TooLong);
        }
        let size = 8 + header.len() + end;
        Ok(Self { header, order: tensors.iter().map(|(place, _)| *place).collect(), size })
    }

    /// `bytes` is asked for those of each tensor by its place in the list, one at a time.
    pub fn write<'a, E: From<io::Error>>(
        &self,
        out: &mut impl Write,
        mut bytes: impl FnMut(usize) -> Result<Cow<'a, [u8]>, E>,
    ) -> Result<(), E> {
        out.write_all(&(self.header.len() as u64).to_le_bytes())?;
        out.write_all(&self.header)?;
        self.order.iter().try_for_each(|&place| Ok(out.write_all(&bytes(place)?)?))
    }
}
