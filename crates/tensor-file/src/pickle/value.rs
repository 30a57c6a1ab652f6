//! What a pickle of torch's has on its stack, and what torch means by it.

use std::rc::Rc;

use safetensors::tensor::Dtype;

/// A tensor as the pickle has it: a part of a storage, which is a record of the archive.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tensor {
    /// The record's name.
    pub storage: Rc<str>,
    /// The type of all numbers of the storage.
    pub dtype: Dtype,
    /// Where the tensor begins, in numbers.
    pub offset: usize,
    pub shape: Vec<usize>,
    /// How many numbers lie between neighbours along each axis.
    pub strides: Vec<usize>,
}

/// What lies on the stack.
#[derive(Clone, Debug)]
pub(super) enum Value {
    None,
    Bool,
    Int(i64),
    Text(Rc<str>),
    /// With how deep it is: what is nested deeper than this crate would follow is refused.
    Tuple(Rc<[Value]>, usize),
    /// A dictionary under construction, by its place among the machine's own.
    Dict(usize),
    /// The name of something to be called, which nobody calls.
    Global(Rc<str>),
    Storage {
        key: Rc<str>,
        dtype: Dtype,
    },
    Tensor(Rc<Tensor>),
}

/// No weight has as many.
const MAX_AXES: usize = 8;

/// A name from a file that may hold anything: on one line, and not too long.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(80).flat_map(char::escape_debug).collect()
}

/// Little-endian, two's complement.
pub(super) fn long(bytes: &[u8]) -> Result<i64, String> {
    let Some(last) = bytes.last() else { return Ok(0) };
    let mut whole = [if last & 0x80 == 0 { 0 } else { 0xff }; 8];
    let place = whole.get_mut(..bytes.len()).ok_or("a number of more than 64 bits")?;
    place.copy_from_slice(bytes);
    Ok(i64::from_le_bytes(whole))
}

/// `('storage', torch.FloatStorage, '0', 'cpu', 6)`: the record "0" of the archive, wherever its numbers were.
pub(super) fn storage(value: &Value) -> Result<Value, String> {
    let Value::Tuple(parts, _) = value else {
        return Err("a storage without a name".to_owned());
    };
    match &parts[..] {
        [
            Value::Text(what),
            Value::Global(kind),
            Value::Text(key),
            Value::Text(_),
            Value::Int(_),
        ] if &**what == "storage" => {
            let dtype = dtype(kind)
                .ok_or_else(|| format!("it stores numbers as {}: not supported", shown(kind)))?;
            Ok(Value::Storage { key: Rc::clone(key), dtype })
        }
        _ => Err("a storage without a name".to_owned()),
    }
}

fn dtype(storage: &str) -> Option<Dtype> {
    Some(match storage.strip_prefix("torch.")?.strip_suffix("Storage")? {
        "Double" => Dtype::F64,
        "Float" => Dtype::F32,
        "Half" => Dtype::F16,
        "BFloat16" => Dtype::BF16,
        "Long" => Dtype::I64,
        "Int" => Dtype::I32,
        "Short" => Dtype::I16,
        "Char" => Dtype::I8,
        "Byte" => Dtype::U8,
        "Bool" => Dtype::BOOL,
        _ => return None,
    })
}

/// `_rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, backward_hooks)`, and perhaps metadata.
pub(super) fn tensor(arguments: &[Value]) -> Option<Tensor> {
    let [
        Value::Storage { key, dtype },
        Value::Int(offset),
        Value::Tuple(shape, _),
        Value::Tuple(strides, _),
        Value::Bool,
        Value::Dict(_),
        ..,
    ] = arguments
    else {
        return None;
    };
    let size =
        |value: &Value| if let Value::Int(n) = value { usize::try_from(*n).ok() } else { None };
    let sizes = |values: &[Value]| values.iter().map(size).collect::<Option<Vec<usize>>>();
    let (shape, strides) = (sizes(shape)?, sizes(strides)?);
    if shape.len() != strides.len() || shape.len() > MAX_AXES {
        return None;
    }
    let offset = usize::try_from(*offset).ok()?;
    Some(Tensor { storage: Rc::clone(key), dtype: *dtype, offset, shape, strides })
}
