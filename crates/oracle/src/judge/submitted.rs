//! The file that answers a case.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Result, at, io, wrong};
use crate::tensors::TensorFile;

/// The largest file of a submission: twice the largest array of a case in `f64`.
const MOST_BYTES: u64 = 4 << 30;

/// `folder/<id>.safetensors`; `None` if there is none. Only this file is opened, whatever else the folder holds.
///
/// # Errors
/// It is no file of its own in the folder, is too large, or cannot be read.
pub(super) fn submitted(folder: &Path, id: &str) -> Result<Option<TensorFile>> {
    let path = folder.join(format!("{id}.safetensors"));
    let refuse = |reason: String| at(&path)(wrong(reason));
    match fs::symlink_metadata(&path) {
        Ok(_) => {}
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(io(&path)(error)),
    }
    // A link within the folder is as good as a file; one that leads out would have another file judged.
    let real = path.canonicalize().map_err(io(&path))?;
    if !real.starts_with(folder.canonicalize().map_err(io(folder))?) {
        let real = real.display();
        return Err(refuse(format!("a link to {real}, outside the submission: copy the file")));
    }
    let metadata = fs::metadata(&real).map_err(io(&path))?;
    if !metadata.is_file() {
        return Err(refuse("no regular file".into()));
    }
    if metadata.len() > MOST_BYTES {
        let size = metadata.len();
        return Err(refuse(format!("{size} bytes: a submission has at most {MOST_BYTES} a case")));
    }
    TensorFile::read(&path).map(Some)
}
