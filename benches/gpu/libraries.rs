//! Where the libraries of CUDA lie: in pip's wheels of the Python that is given, so that torch and we use the same cuBLAS, or in
//! the system's place.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::{fs, io};

/// Folders, and what to call them.
#[derive(Clone, Debug)]
pub struct Libraries {
    pub name: &'static str,
    /// For `LD_LIBRARY_PATH`, before what stands there.
    folders: Vec<String>,
    /// Before the folders.
    links: Option<Rc<Links>>,
}

/// What cudarc opens. Where such a name is found nowhere, it tries names with a number.
const OPENED: [&str; 3] = ["libcublas.so", "libcublasLt.so", "libnvrtc.so"];

/// Prints `nvidia/*/lib` of each folder that Python imports from.
const WHEELS: &str = "import glob, os, sys
for folder in sys.path:
    print('\\n'.join(sorted(glob.glob(os.path.join(folder, 'nvidia', '*', 'lib')))))";

/// Where the loader looks of itself.
pub const DEFAULT: Libraries =
    Libraries { name: "where the loader looks", folders: Vec::new(), links: None };

/// What to try, one after the other.
pub fn candidates(python: &str) -> Vec<Libraries> {
    let found = [("Python's wheels", wheels(python)), ("the system's CUDA", system())];
    let found = found.into_iter().filter(|(_, folders)| !folders.is_empty());
    found.map(|(name, folders)| Libraries::new(name, folders)).chain([DEFAULT]).collect()
}

fn wheels(python: &str) -> Vec<String> {
    let Ok(output) = Command::new(python).args(["-c", WHEELS]).output() else { return Vec::new() };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn system() -> Vec<String> {
    let mut folders = Vec::new();
    let mut roots = vec!["/usr/local/cuda".to_owned()];
    let others = fs::read_dir("/usr/local").into_iter().flatten().flatten();
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

/// The libraries of CUDA among those that a process has opened, by what cudarc calls them; from `/proc/self/maps`. Two paths of
/// one name are two libraries where there should be one.
pub fn opened(maps: &str) -> BTreeMap<&'static str, String> {
    let mut opened = BTreeMap::new();
    for name in OPENED {
        let named =
            |path: &&str| path.rsplit_once('/').is_some_and(|(_, file)| file.starts_with(name));
        let paths = maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..]));
        let mut paths: Vec<&str> = paths.filter(named).collect();
        paths.sort_unstable();
        paths.dedup();
        if !paths.is_empty() {
            opened.insert(name, paths.join(", "));
        }
    }
    opened
}

/// A folder of links with the names that are opened first. Wheels hold `libcublas.so.13` alone: a `libcublas.so` of the system
/// would come before it, and bring a cuBLASLt of its own beside the wheel's.
#[derive(Debug)]
struct Links(PathBuf);

impl Links {
    fn to(folders: &[String]) -> io::Result<Self> {
        let process = std::process::id();
        let mut names = (0..100).map(|count| format!("gpu-check-{process}-{count}"));
        let made = names.find_map(|name| {
            let folder = std::env::temp_dir().join(name);
            fs::create_dir(&folder).ok().map(|()| Self(folder))
        });
        let made = made.ok_or_else(|| io::Error::other("no folder can be made for it"))?;
        for name in OPENED {
            if let Some(library) = folders.iter().find_map(|folder| library(folder, name)) {
                symlink(library, made.0.join(name))?;
            }
        }
        Ok(made)
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        // What stays behind in the folder of temporary files harms no one.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The library of that name in a folder, whatever number it ends with.
fn library(folder: &str, name: &str) -> Option<PathBuf> {
    let paths = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let named = |path: &PathBuf| {
        let file = path.file_name().and_then(|file| file.to_str());
        let number = file.and_then(|file| file.strip_prefix(name));
        number.is_some_and(|number| number.is_empty() || number.starts_with('.'))
    };
    fs::canonicalize(paths.filter(named).max()?).ok()
}

impl Libraries {
    fn new(name: &'static str, folders: Vec<String>) -> Self {
        let links = Links::to(&folders);
        if let Err(error) = &links {
            eprintln!("{name}: no links to its libraries: {error}");
        }
        Self { name, folders, links: links.ok().map(Rc::new) }
    }

    /// `LD_LIBRARY_PATH` with them, if it is to change.
    pub fn path(&self) -> Option<String> {
        if self.folders.is_empty() {
            return None;
        }
        let there = std::env::var("LD_LIBRARY_PATH").ok().filter(|there| !there.is_empty());
        let links = self.links.iter().map(|links| links.0.to_string_lossy().into_owned());
        let folders = links.chain(self.folders.iter().cloned()).chain(there);
        Some(folders.collect::<Vec<_>>().join(":"))
    }
}
