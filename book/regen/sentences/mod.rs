//! The numbers in the sentences of the chapters, `[@n:KEY]`: from the tables and outputs that stand beside them, or computed.

mod gpu;
mod papers;
mod read;
mod real;
mod tiny;
mod toys;

use anyhow::Result;

use book::Page;
use book::numbers::Numbers;

pub fn pages() -> Result<Vec<Page>> {
    let mut numbers = Numbers::default();
    for part in [tiny::add, toys::add, real::add, papers::add, gpu::add] {
        part(&mut numbers)?;
    }
    Ok(vec![numbers.page()])
}
