//! What tells two files, or two lists of numbers, apart.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Error, Result};

/// A SHA-256, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// Of a file's bytes.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of_file(path: &Path) -> Result<Self> {
        let read = || {
            let mut digest = DigestWriter::new(io::sink());
            io::copy(&mut File::open(path)?, &mut digest)?;
            Ok(digest.digest())
        };
        read().map_err(|source| Error::Read { file: path.to_owned(), source })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A writer that takes the digest of what passes through it.
pub struct DigestWriter<W> {
    to: W,
    hash: Sha256,
}

impl<W: Write> DigestWriter<W> {
    /// Everything goes on to `to`.
    pub fn new(to: W) -> Self {
        Self { to, hash: Sha256::new() }
    }

    /// Of all that was written so far.
    pub fn digest(&self) -> Digest {
        let bytes = self.hash.clone().finalize();
        Digest(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// What everything went to.
    pub fn into_inner(self) -> W {
        self.to
    }
}

impl<W: Write> Write for DigestWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_sha_256() {
        // FIPS 180-4, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(Digest::of_file(&path).unwrap().to_string(), abc);
        let mut writer = DigestWriter::new(Vec::new());
        writer.write_all(b"a").unwrap();
        writer.write_all(b"bc").unwrap();
        assert_eq!(writer.digest().to_string(), abc);
        assert_eq!(writer.into_inner(), b"abc");
    }
}
