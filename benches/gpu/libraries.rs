//! Where the libraries of CUDA lie: in pip's wheels of the Python that is given, so that torch and we use the same cuBLAS, or in
//! the system's place.

use std::path::Path;
use std::process::Command;

/// Folders, and what to call them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Libraries {
    pub name: &'static str,
    /// For `LD_LIBRARY_PATH`, before what stands there.
    pub folders: Vec<String>,
}

/// Prints `nvidia/*/lib` of each folder that Python imports from.
const WHEELS: &str = "import glob, os, sys
for folder in sys.path:
    print('\\n'.join(sorted(glob.glob(os.path.join(folder, 'nvidia', '*', 'lib')))))";

/// Where the loader looks of itself.
pub const DEFAULT: Libraries = Libraries { name: "where the loader looks", folders: Vec::new() };

/// What to try, one after the other.
pub fn candidates(python: &str) -> Vec<Libraries> {
    let found = [
        Libraries { name: "Python's wheels", folders: wheels(python) },
        Libraries { name: "the system's CUDA", folders: system() },
    ];
    found.into_iter().filter(|found| !found.folders.is_empty()).chain([DEFAULT]).collect()
}

fn wheels(python: &str) -> Vec<String> {
    let Ok(output) = Command::new(python).args(["-c", WHEELS]).output() else { return Vec::new() };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn system() -> Vec<String> {
    let mut folders = Vec::new();
    let mut roots = vec!["/usr/local/cuda".to_owned()];
    let others = std::fs::read_dir("/usr/local").into_iter().flatten().flatten();
    let mut others: Vec<String> =
        others.map(|entry| entry.path().to_string_lossy().into_owned()).collect();
    others.sort();
    // The newest first.
    roots.extend(others.into_iter().rev().filter(|path| path.contains("/cuda-")));
    for root in roots {
        folders.extend(["lib64", "targets/x86_64-linux/lib"].map(|lib| format!("{root}/{lib}")));
    }
    folders.push("/usr/local/nvidia/lib64".into());
    folders.retain(|folder| Path::new(folder).is_dir());
    folders
}

impl Libraries {
    /// `LD_LIBRARY_PATH` with them, if it is to change.
    pub fn path(&self) -> Option<String> {
        if self.folders.is_empty() {
            return None;
        }
        let there = std::env::var("LD_LIBRARY_PATH").ok().filter(|there| !there.is_empty());
        Some(self.folders.iter().cloned().chain(there).collect::<Vec<_>>().join(":"))
    }
}
