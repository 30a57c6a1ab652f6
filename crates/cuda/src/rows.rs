//! Copies between matrices whose rows lie apart.

use adapter::check_shape;

use crate::{Device, Dimensions, Element, Error, Launch, Result, Source, View, ViewMut};

/// Its kernels.
pub static ROWS: Source =
    Source::new("crates/cuda/src/kernels/rows.cu", include_str!("kernels/rows.cu"));

/// `to` ← `from`.
///
/// # Errors
/// The shapes or the devices differ, `from` is transposed, or the device refuses.
pub fn copy<T: Element, D: Device>(from: View<'_, T, D>, to: ViewMut<'_, T, D>) -> Result<()> {
    let [rows, columns] = same_shape(&from, &to)?;
    Launch::new::<T>(from.device, &ROWS, "copy_rows")
        .read_strided(from)
        .write_strided(to)
        .length(rows * columns)
        .count(columns)
        .run(Dimensions::each(rows * columns))
}

/// `to` ← `scale` · `from`, rounded once more, to `T`: the copy that products are made with.
///
/// # Errors
/// As [`copy`].
pub fn round<T: Element, D: Device>(
    scale: f64,
    from: View<'_, T::Master, D>,
    to: ViewMut<'_, T, D>,
) -> Result<()> {
    let [rows, columns] = same_shape(&from, &to)?;
    Launch::new::<T>(from.device, &ROWS, "round_rows")
        .read_strided(from)
        .write_strided(to)
        .length(rows * columns)
        .count(columns)
        .real(scale)
        .run(Dimensions::each(rows * columns))
}

fn same_shape<T: Element, U: Element, D: Device>(
    from: &View<'_, T, D>,
    to: &ViewMut<'_, U, D>,
) -> Result<[usize; 2]> {
    check_shape("the matrix to copy", &from.shape(), &to.shape(), "the shape of its target")?;
    if !from.device.same(to.0.device) {
        return Err(Error::Devices { operation: "a copy" });
    }
    Ok(from.shape())
}
