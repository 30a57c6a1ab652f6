//! `quantise SOURCE.gguf F16|Q8_0|Q4_K_M OUT.gguf`: a model in the types that people have; see [`lowrank_tests::quantise`].

use std::path::Path;
use std::process::ExitCode;

use lowrank_tests::quantise::{FileType, quantise};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [source, file_type, out] = &words[..] else {
        eprintln!("quantise SOURCE.gguf F16|Q8_0|Q4_K_M OUT.gguf");
        return ExitCode::FAILURE;
    };
    let Some(file_type) =
        FileType::ALL.into_iter().find(|known| format!("{known:?}") == *file_type)
    else {
        eprintln!("the type {file_type} is not one of {:?}", FileType::ALL);
        return ExitCode::FAILURE;
    };
    match quantise(Path::new(source), file_type, Path::new(out)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{source}: {error}");
            ExitCode::FAILURE
        }
    }
}
