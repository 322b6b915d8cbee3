//! Makes libtorch a library that is opened when the first tensor is made, not when the program starts: a
//! kernel answers at once, stays small until a model is loaded, and says so in a cell when libtorch is missing.
//!
//! `torch-sys` compiles C++ glue, some 2,900 functions in `libtch.a`, which would tie the program to
//! libtorch. From it comes here
//! - `libtch.so`, the glue as a library, which the program carries inside, deflated, and opens when it is needed;
//!   Beside it is some glue of our own, of `glue/`;
//! - `calls.s`, one short function for each of the glue's, which jumps to where `src/libtorch.rs` found the
//!   real one. The linker meets these first, so the archive stays out of the program.
//!
//! Recording CUDA graphs needs libtorch's CUDA half; so that piece of glue is a library of its own, `libgraph.so`, which
//! the program carries inside, too, and opens where there is a GPU.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(libtorch_on_demand)");
    println!("cargo:rustc-check-cfg=cfg(cuda_graphs)");
    let target = std::env::var("TARGET").unwrap_or_default();
    let on_demand = target == "x86_64-unknown-linux-gnu";
    let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    let libtorch = std::env::var("DEP_TCH_LIBTORCH_LIB").expect("torch-sys says where libtorch is");
    let ours = compile(&out, &libtorch, on_demand);
    if target.contains("linux") {
        match graphs(&out, &libtorch) {
            Ok(()) => println!("cargo:rustc-cfg=cuda_graphs"),
            Err(reason) => println!("cargo:warning=built without CUDA graphs: {reason}"),
        }
    }
    if !on_demand {
        // Elsewhere the program is linked with libtorch, as torch-sys does it.
        return;
    }
    println!("cargo:rustc-cfg=libtorch_on_demand");
    let archive = glue(&out);
    println!("cargo:rerun-if-changed={}", archive.display());
    let libraries = ["-L", &libtorch, "-ltorch_cpu", "-lc10"];
    let library = out.join("libtch.so");
    link(&[&archive, &ours], &libraries, &library);
    let library = std::fs::read(&library).unwrap_or_else(|error| panic!("{}: {error}", library.display()));
    let packed = out.join("libtch.so.deflate");
    std::fs::write(&packed, miniz_oxide::deflate::compress_to_vec(&library, 9))
        .unwrap_or_else(|error| panic!("{}: {error}", packed.display()));
    let mut names = functions(&archive);
    assert!(
        names.len() > 1000,
        "{} functions in {}",
        names.len(),
        archive.display()
    );
    names.extend(functions(&ours));
    write(&out.join("calls.s"), &calls(&names));
    write(&out.join("names"), &names.join("\n"));
}

/// The archive that torch-sys has compiled, in the build folder beside ours.
fn glue(out: &Path) -> PathBuf {
    let builds = out.ancestors().nth(2).expect("OUT_DIR is build/<package>/out");
    let packages = std::fs::read_dir(builds).expect("the build folder can be read");
    packages
        .flatten()
        .filter(|package| package.file_name().to_string_lossy().starts_with("torch-sys-"))
        .map(|package| package.path().join("out/libtch.a"))
        .filter(|archive| archive.exists())
        .max_by_key(|archive| archive.metadata().and_then(|about| about.modified()).ok())
        .unwrap_or_else(|| panic!("torch-sys has left no libtch.a in {}", builds.display()))
}

/// Our own glue, as an archive; with `apart` it is not linked into the program.
fn compile(out: &Path, libtorch: &str, apart: bool) -> PathBuf {
    const SOURCES: [&str; 4] = [
        "glue/memory.cpp",
        "glue/gradient.cpp",
        "glue/product.cpp",
        "glue/below_autograd.cpp",
    ];
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
    }
    let include = Path::new(libtorch).with_file_name("include");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .files(SOURCES)
        .include(include)
        // libtorch's headers, not ours.
        .flag("-w")
        // For its header of threads. The threads are libtorch's, which has the library.
        .flag_if_supported("-fopenmp")
        .cargo_metadata(!apart)
        .compile("ecco_glue");
    out.join("libecco_glue.a")
}

/// `libgraph.so`. What it needs of libtorch is found when it is opened, so that it is built where there is no GPU; of CUDA
/// it needs headers, which come with PyTorch's wheel: most of them with the libraries, the compiler's with triton.
fn graphs(out: &Path, libtorch: &str) -> Result<(), String> {
    const SOURCE: &str = "glue/graph.cpp";
    println!("cargo:rerun-if-changed={SOURCE}");
    println!("cargo:rerun-if-env-changed=CUDA_HOME");
    let packages = Path::new(libtorch).ancestors().nth(2).unwrap_or(Path::new("/"));
    let toolkit = std::env::var("CUDA_HOME").map(|home| Path::new(&home).join("include"));
    let folders: Vec<PathBuf> = toolkit
        .into_iter()
        .chain(["nvidia/cu13/include", "triton/backends/nvidia/include"].map(|folder| packages.join(folder)))
        .filter(|folder| folder.is_dir())
        .collect();
    for header in ["cuda_runtime.h", "crt/host_config.h"] {
        if !folders.iter().any(|folder| folder.join(header).exists()) {
            return Err(format!(
                "{header} of CUDA is neither in CUDA_HOME nor in {}",
                packages.display()
            ));
        }
    }
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++17")
        .file(SOURCE)
        .flag("-w")
        .cargo_metadata(false);
    build
        .include(Path::new(libtorch).with_file_name("include"))
        .includes(&folders);
    build
        .try_compile("ecco_graph")
        .map_err(|error| error.to_string())?;
    link(&[&out.join("libecco_graph.a")], &[], &out.join("libgraph.so"));
    Ok(())
}

fn link(archives: &[&Path], libraries: &[&str], library: &Path) {
    let mut compiler = cc::Build::new().cpp(true).get_compiler().to_command();
    compiler
        .args(["-shared", "-s", "-o"])
        .arg(library)
        .arg("-Wl,--whole-archive")
        .args(archives)
        .arg("-Wl,--no-whole-archive")
        .args(libraries);
    let status = compiler.status().expect("the C++ compiler runs");
    assert!(
        status.success(),
        "linking {} failed: {compiler:?}",
        library.display()
    );
}

/// The C functions of the archive; C++ names start with `_Z`.
fn functions(archive: &Path) -> Vec<String> {
    let output = Command::new("nm")
        .args(["--defined-only", "--extern-only"])
        .arg(archive)
        .output()
        .expect("nm (of binutils) runs");
    let text = String::from_utf8(output.stdout).expect("symbols are ASCII");
    let mut names: Vec<String> = text
        .lines()
        .filter_map(|line| line.split_once(" T "))
        .map(|(_, name)| name.trim().to_owned())
        .filter(|name| !name.starts_with("_Z"))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// One jump for each function, through a table that at first leads to `libtorch_first_call`: it opens
/// libtorch, with all argument registers kept, and then goes where the call was meant to go.
fn calls(names: &[String]) -> String {
    let mut text = String::from(".text\n");
    for (index, name) in names.iter().enumerate() {
        let entry = index * 8;
        let jump = format!("movl ${index}, %r11d\n    jmp *libtorch_calls+{entry}(%rip)");
        write!(
            text,
            ".globl {name}\n.type {name}, @function\n{name}:\n    {jump}\n"
        )
        .expect("a string grows");
    }
    text + FIRST_CALL
        + &format!(
            "\n.data\n.balign 8\n.globl libtorch_calls\n.hidden libtorch_calls\nlibtorch_calls:\n\
         .rept {}\n    .quad libtorch_first_call\n.endr\n.text\n",
            names.len()
        )
}

/// Arguments travel in six integer and eight vector registers; `%al` counts the latter, `%r11` is ours.
const FIRST_CALL: &str = "
libtorch_first_call:
    pushq %rbp
    movq %rsp, %rbp
    pushq %rdi
    pushq %rsi
    pushq %rdx
    pushq %rcx
    pushq %r8
    pushq %r9
    pushq %rax
    pushq %r11
    subq $128, %rsp
    movups %xmm0, (%rsp)
    movups %xmm1, 16(%rsp)
    movups %xmm2, 32(%rsp)
    movups %xmm3, 48(%rsp)
    movups %xmm4, 64(%rsp)
    movups %xmm5, 80(%rsp)
    movups %xmm6, 96(%rsp)
    movups %xmm7, 112(%rsp)
    call libtorch_open_or_abort
    movups (%rsp), %xmm0
    movups 16(%rsp), %xmm1
    movups 32(%rsp), %xmm2
    movups 48(%rsp), %xmm3
    movups 64(%rsp), %xmm4
    movups 80(%rsp), %xmm5
    movups 96(%rsp), %xmm6
    movups 112(%rsp), %xmm7
    addq $128, %rsp
    popq %r11
    popq %rax
    popq %r9
    popq %r8
    popq %rcx
    popq %rdx
    popq %rsi
    popq %rdi
    popq %rbp
    leaq libtorch_calls(%rip), %r10
    jmp *(%r10,%r11,8)
";

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
