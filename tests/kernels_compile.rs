//! Every kernel compiles with NVRTC for every GPU that counts. Needs libnvrtc, and no GPU: `cargo xtask test kernels` fetches
//! it.

use std::path::Path;

use cuda::{Kind, Source, compile, nvrtc_version};

/// Every source of the workspace.
fn sources() -> Vec<&'static Source> {
    let methods = [&lora_fa::gpu::KERNELS, &vera::gpu::KERNELS, &delta_lora::gpu::KERNELS];
    cuda::SOURCES.into_iter().chain(methods).collect()
}

#[test]
fn no_source_is_forgotten() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the root");
    let mut on_disk = Vec::new();
    let mut folders = vec![root.join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the workspace") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "cu") {
                let relative = path.strip_prefix(root).expect("below the root");
                on_disk.push(relative.to_str().expect("a plain name").replace('\\', "/"));
            }
        }
    }
    let mut listed: Vec<_> = sources().iter().map(|source| source.file.to_owned()).collect();
    on_disk.sort();
    listed.sort();
    assert_eq!(on_disk, listed);
}

#[test]
fn every_kernel_compiles_for_every_gpu() {
    let version = match nvrtc_version() {
        Ok(version) => version,
        Err(error) => {
            println!("SKIPPED {error}");
            return;
        }
    };
    let mut compiled = 0;
    for source in sources() {
        for kind in [Kind::F64, Kind::F32, Kind::Bf16] {
            for architecture in ["compute_80", "compute_90", "sm_90"] {
                let code = compile(source, kind, architecture);
                let code = code.unwrap_or_else(|error| panic!("{architecture} {kind:?}: {error}"));
                for kernel in source.kernels() {
                    let found = code.0.windows(kernel.len()).any(|part| part == kernel.as_bytes());
                    assert!(found, "{kernel} is not in what {} became", source.file);
                }
                compiled += source.kernels().len();
            }
        }
    }
    println!("NVRTC {version:?} compiled {compiled} kernels");
    assert!(compiled > 0);
}

#[test]
fn what_does_not_compile_says_where() {
    if let Err(error) = nvrtc_version() {
        println!("SKIPPED {error}");
        return;
    }
    let broken = Source::new("broken.cu", "extern \"C\" __global__ void f(M* p) { q = 1; }");
    let error = compile(&broken, Kind::F32, "compute_90").expect_err("q is not declared");
    let text = error.to_string();
    assert!(text.contains("broken.cu does not compile") && text.contains('q'), "{text}");
}
