//! The backend on the CPU, for tests: our kernels compiled by the host's C++ compiler with a thread scheduler in place of
//! a GPU's, plain loops in place of cuBLAS and cuDNN. It shows that kernels and what calls them compute the right numbers;
//! what only a GPU can show are the calls into CUDA's libraries, and speed.

use std::cell::Cell;
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use candle_core::{DType, Result};
use half::bf16;

use super::{Argument, Convolution, Launch, Pass, Product, Span};
use crate::ops::cuda::kernels::THREADS;

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread's operations are to come here.
pub(crate) fn is_on() -> bool {
    ON.get()
}

/// Runs this thread's operations as on a GPU, or does nothing where the machine has no C++ compiler.
pub(crate) fn on<R>(run: impl FnOnce() -> R) -> Option<R> {
    struct Off;
    impl Drop for Off {
        fn drop(&mut self) {
            ON.set(false);
        }
    }
    if let Err(reason) = library() {
        eprintln!("SKIP emulated kernels: {reason}");
        return None;
    }
    ON.set(true);
    let _off = Off;
    Some(run())
}

unsafe extern "C" {
    fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

type Emulate =
    unsafe extern "C" fn(*const c_char, *const c_uint, c_uint, *const c_char, *mut *mut c_void) -> c_int;

/// The kernels' entry; compiled once a process.
fn library() -> std::result::Result<Emulate, String> {
    static LIBRARY: OnceLock<std::result::Result<Emulate, String>> = OnceLock::new();
    LIBRARY.get_or_init(build).clone()
}

fn build() -> std::result::Result<Emulate, String> {
    // The run-time variable is for a binary that was carried to another machine.
    let crate_folder =
        std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let source = Path::new(&crate_folder).join("src/ops/cuda/kernels/emulation.cpp");
    if !source.exists() {
        return Err(format!("{} is not there", source.display()));
    }
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let library = folder.path().join("kernels.so");
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "g++".to_owned());
    let options = ["-std=c++17", "-O2", "-shared", "-fPIC", "-DEMULATED", "-x", "c++"];
    let run = Command::new(&compiler).args(options).arg(&source).arg("-o").arg(&library).output();
    let output = run.map_err(|e| format!("{compiler}: {e}"))?;
    assert!(output.status.success(), "{compiler}: {}", String::from_utf8_lossy(&output.stderr));
    let path = CString::new(library.to_string_lossy().into_owned()).map_err(|e| e.to_string())?;
    // SAFETY: a library of our own; its constructors only fill a table. 2 is RTLD_NOW.
    let entry = unsafe {
        let library = dlopen(path.as_ptr(), 2);
        assert!(!library.is_null(), "the kernels' library does not load");
        dlsym(library, c"emulate".as_ptr())
    };
    assert!(!entry.is_null(), "the kernels' library has no entry");
    // SAFETY: the signature in emulation.cpp.
    Ok(unsafe { std::mem::transmute::<*mut c_void, Emulate>(entry) })
}

pub(super) fn launch(launch: &Launch<'_>) -> Result<()> {
    /// The scheduler has one state a process.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let emulate = library().map_err(candle_core::Error::Msg)?;
    let name = CString::new(launch.kernel).map_err(candle_core::Error::wrap)?;
    let kind = |argument: &Argument| match argument {
        Argument::Address(_) => 'p',
        Argument::Count(_) => 'l',
        Argument::Factor(_) => 'f',
    };
    let kinds: String = launch.arguments.iter().map(kind).collect();
    let kinds = CString::new(kinds).map_err(candle_core::Error::wrap)?;
    let mut pointers: Vec<*mut c_void> = launch
        .arguments
        .iter()
        .map(|argument| match argument {
            Argument::Address(a) => std::ptr::from_ref(a) as *mut c_void,
            Argument::Count(c) => std::ptr::from_ref(c) as *mut c_void,
            Argument::Factor(f) => std::ptr::from_ref(f) as *mut c_void,
        })
        .collect();
    let _lock = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the kernel checks number and kinds of its arguments; addresses are of buffers that the caller borrows.
    let code = unsafe {
        let grid = launch.grid.as_ptr();
        emulate(name.as_ptr(), grid, THREADS as c_uint, kinds.as_ptr(), pointers.as_mut_ptr())
    };
    match code {
        0 => Ok(()),
        1 => candle_core::bail!("there is no kernel {}", launch.kernel),
        _ => candle_core::bail!("{} takes other arguments than {kinds:?}", launch.kernel),
    }
}

fn read(span: &Span<'_>) -> Vec<f32> {
    let len = span.count();
    // SAFETY: a span covers `count` numbers of its type.
    unsafe {
        match span.dtype {
            DType::BF16 => std::slice::from_raw_parts(span.address as *const bf16, len)
                .iter()
                .map(|v| v.to_f32())
                .collect(),
            _ => std::slice::from_raw_parts(span.address as *const f32, len).to_vec(),
        }
    }
}

fn write(span: &Span<'_>, values: &[f64]) {
    assert_eq!(span.count(), values.len());
    // SAFETY: a span covers `count` numbers of its type.
    unsafe {
        for (i, v) in values.iter().enumerate() {
            match span.dtype {
                DType::BF16 => *(span.address as *mut bf16).add(i) = bf16::from_f64(*v),
                _ => *(span.address as *mut f32).add(i) = *v as f32,
            }
        }
    }
}

pub(super) fn multiply(product: &Product<'_>) -> Result<()> {
    let [m, n, k] = product.sizes;
    let (a, b) = (read(&product.a), read(&product.b));
    assert_eq!((a.len(), b.len()), (product.batch * m * k, product.batch * k * n));
    let mut c = vec![0.0; product.batch * m * n];
    for (i, c) in c.iter_mut().enumerate() {
        let (batch, row, column) = (i / (m * n), i / n % m, i % n);
        for step in 0..k {
            let x = a[batch * m * k + if product.a_transposed { step * m + row } else { row * k + step }];
            let y =
                b[batch * k * n + if product.b_transposed { column * k + step } else { step * n + column }];
            *c += f64::from(x) * f64::from(y);
        }
    }
    write(&product.c, &c);
    Ok(())
}

pub(super) fn convolve(convolution: &Convolution<'_>) -> Result<()> {
    let Convolution { pass, images, filters, results } = convolution;
    let ([n, h, w, ci], co) = (<[usize; 4]>::try_from(&images.dims[..]).unwrap(), results.dims[3]);
    assert_eq!(results.dims, [n, h, w, co]);
    assert_eq!(filters.dims, [co, 3, 3, ci]);
    let (x, f, y) = (read(images), read(filters), read(results));
    let target = match pass {
        Pass::Forward => results,
        Pass::Images => images,
        Pass::Filters => filters,
    };
    let mut sums = vec![0.0f64; target.count()];
    for i in 0..n * h * w * 9 {
        let (tap, place) = (i % 9, i / 9);
        let (line, column) = (place / w % h + tap / 3, place % w + tap % 3);
        let (Some(line), Some(column)) = (line.checked_sub(1), column.checked_sub(1)) else { continue };
        if line >= h || column >= w {
            continue;
        }
        let from = (place / (h * w) * h + line) * w + column;
        for o in 0..co {
            for c in 0..ci {
                let (image, filter, result) = (from * ci + c, (o * 9 + tap) * ci + c, place * co + o);
                match pass {
                    Pass::Forward => sums[result] += f64::from(x[image]) * f64::from(f[filter]),
                    Pass::Images => sums[image] += f64::from(y[result]) * f64::from(f[filter]),
                    Pass::Filters => sums[filter] += f64::from(x[image]) * f64::from(y[result]),
                }
            }
        }
    }
    write(target, &sums);
    Ok(())
}
