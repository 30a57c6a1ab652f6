//! Kernels: their sources, and launches whose arguments are checked against what the source declares.

use std::ffi::c_void;
use std::sync::OnceLock;

use crate::{Device, Element, Error, Kind, Matrix, Result, View, ViewMut};

/// A file of kernels. `T` in it is the element of a launch, `M` its master.
#[derive(Debug)]
pub struct Source {
    /// The file, for messages.
    pub file: &'static str,
    /// Its text.
    pub text: &'static str,
    /// Each kernel with the types of its parameters, read from the text once.
    signatures: OnceLock<Vec<(&'static str, Vec<&'static str>)>>,
}

/// What every source may use: `T`, `M`, `get`, `put`.
pub(crate) const PRELUDE: &str = include_str!("kernels/prelude.cuh");

impl Source {
    /// The kernels of a file.
    pub const fn new(file: &'static str, text: &'static str) -> Self {
        Self { file, text, signatures: OnceLock::new() }
    }

    /// The text that is compiled, with `T` and `M` chosen.
    pub fn for_kind(&self, kind: Kind) -> String {
        let (element, master) = match kind {
            Kind::F64 => ("double", "double"),
            Kind::F32 | Kind::Tf32 => ("float", "float"),
            Kind::Bf16 => ("bf16", "float"),
        };
        let types = format!("typedef {element} T;\ntypedef {master} M;\n");
        let line = format!("#line 1 \"{}\"", self.file);
        [PRELUDE, &types, &line, self.text].join("\n")
    }

    /// The kernels in it, in order.
    pub fn kernels(&self) -> Vec<&'static str> {
        self.signatures().iter().map(|(name, _)| *name).collect()
    }

    /// The types of a kernel's parameters.
    pub(crate) fn parameters(&self, kernel: &str) -> Option<&[&'static str]> {
        let found = self.signatures().iter().find(|(name, _)| *name == kernel);
        found.map(|(_, parameters)| parameters.as_slice())
    }

    fn signatures(&self) -> &[(&'static str, Vec<&'static str>)] {
        self.signatures.get_or_init(|| {
            let kernels = self.text.split("__global__ void ").skip(1);
            kernels.filter_map(signature).collect()
        })
    }
}

/// `name(type parameter, …) {`: the name and the types.
fn signature(text: &'static str) -> Option<(&'static str, Vec<&'static str>)> {
    let (name, rest) = text.split_once('(')?;
    let (list, _) = rest.split_once(')')?;
    // All but the last word of each is its type.
    let types = list.split(',').map(|each| Some(each.trim().rsplit_once(' ')?.0.trim()));
    Some((name.trim(), types.collect::<Option<_>>()?))
}

/// Blocks of a grid, and threads of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimensions {
    /// x and y.
    pub grid: [u32; 2],
    /// Along x.
    pub block: u32,
}

/// Threads of a block, unless a kernel needs another number.
pub const BLOCK: u32 = 256;
/// Blocks of a grid-stride loop: enough to fill any GPU of today, few enough for every limit.
const MOST_BLOCKS: usize = 4096;
/// The limit of a grid's second dimension.
const MOST_ROWS: usize = 65535;

impl Dimensions {
    /// One thread for each of `count` elements, in blocks of [`BLOCK`]; a loop in the kernel does what is beyond the grid.
    pub fn each(count: usize) -> Self {
        let blocks = count.div_ceil(BLOCK as usize).clamp(1, MOST_BLOCKS);
        Self { grid: [blocks as u32, 1], block: BLOCK }
    }

    /// `blocks` of them, of [`BLOCK`] threads.
    ///
    /// # Errors
    /// There are more than a grid can have.
    pub fn blocks(blocks: usize) -> Result<Self> {
        let count = i32::try_from(blocks.max(1)).map_err(|_| {
            let hint = "a grid has at most 2³¹ − 1 blocks";
            adapter::Error::value("blocks", blocks, hint)
        })?;
        Ok(Self { grid: [count as u32, 1], block: BLOCK })
    }

    /// The same for each of `rows`, the grid's second dimension.
    ///
    /// # Errors
    /// There are more than a grid can have.
    pub fn times(self, rows: usize) -> Result<Self> {
        if rows > MOST_ROWS {
            let hint = "the second dimension of a grid has at most 65535 blocks";
            return Err(adapter::Error::value("rows", rows, hint).into());
        }
        Ok(Self { grid: [self.grid[0], rows.max(1) as u32], ..self })
    }
}

/// A kernel with its arguments, one after another in the order of its source.
///
/// What the source declares is checked: number, types, and that nothing is written that was lent to be read. That a kernel
/// stays within its matrices is its own affair, tested under AddressSanitizer.
pub struct Launch<'a, D: Device> {
    device: &'a D,
    source: &'static Source,
    kernel: &'static str,
    kind: Kind,
    arguments: Vec<(&'static str, u64)>,
    foreign: bool,
    scattered: bool,
}

impl<'a, D: Device> Launch<'a, D> {
    /// `kernel` of `source`, for elements of type `T`.
    pub fn new<T: Element>(device: &'a D, source: &'static Source, kernel: &'static str) -> Self {
        let kind = T::KIND;
        Self {
            device,
            source,
            kernel,
            kind,
            arguments: Vec::new(),
            foreign: false,
            scattered: false,
        }
    }

    fn pointer<T: Element>(&self, reading: bool) -> &'static str {
        // f32 is both T and M for f32: the source decides, see `fits`.
        match (T::KIND, reading) {
            (kind, true) if kind == self.kind => "const T*",
            (kind, false) if kind == self.kind => "T*",
            (_, true) => "const M*",
            (_, false) => "M*",
        }
    }

    /// A matrix to read: packed, its rows without gaps between them.
    pub fn read<T: Element>(self, matrix: &'a Matrix<T, D>) -> Self {
        self.read_packed(matrix.view())
    }

    /// A matrix to write: packed.
    pub fn write<T: Element>(self, matrix: &'a mut Matrix<T, D>) -> Self {
        let declared = self.pointer::<T>(false);
        self.packed(declared, matrix.view())
    }

    /// Some rows of a matrix to read: packed.
    pub fn read_packed<T: Element>(self, part: View<'a, T, D>) -> Self {
        let declared = self.pointer::<T>(true);
        self.packed(declared, part)
    }

    fn packed<T: Element>(mut self, declared: &'static str, part: View<'_, T, D>) -> Self {
        self.scattered |= !part.is_contiguous();
        self.pushed(declared, part)
    }

    /// A part of a matrix to read, and the elements from one of its rows to the next: two parameters of the kernel.
    pub fn read_strided<T: Element>(mut self, part: View<'a, T, D>) -> Self {
        self.scattered |= part.transposed;
        let declared = self.pointer::<T>(true);
        self.pushed(declared, part).length(part.stride)
    }

    /// A part of a matrix to write, and the elements from one of its rows to the next: two parameters of the kernel.
    pub fn write_strided<T: Element>(self, part: ViewMut<'a, T, D>) -> Self {
        let declared = self.pointer::<T>(false);
        self.pushed(declared, part.0).length(part.0.stride)
    }

    fn pushed<T: Element>(mut self, declared: &'static str, part: View<'_, T, D>) -> Self {
        self.foreign |= !self.device.same(part.device);
        self.arguments.push((declared, part.address));
        self
    }

    /// A whole number that fits 32 bits.
    pub fn count(mut self, value: usize) -> Self {
        let fits = u32::try_from(value);
        self.arguments.push((if fits.is_ok() { "unsigned" } else { "size_t" }, value as u64));
        self
    }

    /// A length.
    pub fn length(mut self, value: usize) -> Self {
        self.arguments.push(("size_t", value as u64));
        self
    }

    /// 64 bits.
    pub fn bits(mut self, value: u64) -> Self {
        self.arguments.push(("uint64", value));
        self
    }

    /// A number, rounded to `M`.
    pub fn real(mut self, value: f64) -> Self {
        let bits = match self.kind {
            Kind::F64 => value.to_bits(),
            _ => u64::from((value as f32).to_bits()),
        };
        self.arguments.push(("M", bits));
        self
    }

    /// An address of the device, which the caller keeps alive: for tables of pointers.
    pub(crate) fn address(mut self, declared: &'static str, address: u64) -> Self {
        self.arguments.push((declared, address));
        self
    }

    /// Run it.
    ///
    /// # Errors
    /// The arguments are not those of the source, a matrix lies on another device, the kernel does not compile, or the device
    /// refuses.
    pub fn run(self, dimensions: Dimensions) -> Result<()> {
        let Self { device, source, kernel, kind, mut arguments, foreign, scattered } = self;
        let fail = |reason: String| Err(Error::Launch { kernel: kernel.to_owned(), reason });
        if foreign {
            return Err(Error::Devices { operation: kernel });
        }
        if scattered {
            return fail("takes no transpose, and no gaps between rows".into());
        }
        let Some(declared) = source.parameters(kernel) else {
            return fail(format!("is not in {}", source.file));
        };
        let same = kind != Kind::Bf16;
        let agree = declared.len() == arguments.len()
            && declared.iter().zip(&arguments).all(|(want, (got, _))| fits(want, got, same));
        if !agree {
            let given: Vec<_> = arguments.iter().map(|(name, _)| *name).collect();
            return fail(format!("declares {declared:?} and is given {given:?}"));
        }
        let mut pointers: Vec<*mut c_void> =
            arguments.iter_mut().map(|(_, bits)| std::ptr::from_mut(bits).cast()).collect();
        // SAFETY: each value has the type that the source declares, checked above (a `u64` in little-endian order holds
        // its narrower ones), and each pointer is that of a matrix that is borrowed until here.
        unsafe { device.launch(source, kernel, kind, dimensions, &mut pointers) }
    }
}

/// `M*` may be `T*` where both are the same type; a pointer to write may be read.
fn fits(want: &str, got: &str, same: bool) -> bool {
    fn split(name: &str) -> (bool, &str) {
        name.strip_prefix("const ").map_or((false, name), |rest| (true, rest))
    }
    let ((only_read, want), (lent, got)) = (split(want), split(got));
    let either = |name: &str| ["T*", "M*"].contains(&name);
    (want == got || same && either(want) && either(got)) && (only_read || !lent)
}
