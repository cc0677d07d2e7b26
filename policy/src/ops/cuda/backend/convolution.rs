//! 3x3 convolutions by cuDNN, channels last: descriptors, algorithm and workspace of each shape are made once.
//!
//! f32 is multiplied in f32 (no TF32), bf16 by matrix units with f32 sums. cuDNN counts in 32 bits, so that large batches
//! go in groups.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::{c_int, c_void};
use std::sync::{Mutex, PoisonError};

use candle_core::{CudaDevice, DType, Error, Result};
use cudarc::cudnn::{result, sys};
use cudarc::driver::{CudaSlice, DevicePtr};

use super::{Convolution, Pass};

/// Values of images or results in a group at most.
const GROUP: usize = 1 << 30;
/// Bytes that an algorithm may use beside its arguments.
const WORKSPACE: usize = 512 << 20;
/// Algorithms that are tried.
const TRIED: usize = 8;

/// What a plan is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    pass: Pass,
    bf16: bool,
    /// N, H, W, Ci, Co.
    sizes: [usize; 5],
}

#[derive(Clone, Copy)]
enum Algorithm {
    Forward(sys::cudnnConvolutionFwdAlgo_t),
    Images(sys::cudnnConvolutionBwdDataAlgo_t),
    Filters(sys::cudnnConvolutionBwdFilterAlgo_t),
}

struct Plan {
    images: sys::cudnnTensorDescriptor_t,
    filters: sys::cudnnFilterDescriptor_t,
    results: sys::cudnnTensorDescriptor_t,
    convolution: sys::cudnnConvolutionDescriptor_t,
    /// Once it has been looked for: the fastest algorithm and the workspace it needs, if cuDNN has any.
    chosen: Option<Option<(Algorithm, usize)>>,
}

/// cuDNN on one device, for the life of the process.
struct Engine {
    handle: sys::cudnnHandle_t,
    plans: HashMap<Key, Plan>,
    workspace: Option<CudaSlice<u8>>,
}

// SAFETY: cuDNN's handles and descriptors may be used from any thread, by one at a time: they are behind a mutex.
unsafe impl Send for Engine {}

static ENGINES: Mutex<Vec<(usize, Engine)>> = Mutex::new(Vec::new());

/// Addresses of one group's images, of all filters, and of the group's results.
#[derive(Clone, Copy)]
struct Places {
    images: u64,
    filters: u64,
    results: u64,
}

/// Whether cuDNN has an algorithm for it; if not, nothing useful is written.
pub(super) fn convolve(device: &CudaDevice, convolution: &Convolution<'_>) -> Result<bool> {
    let Convolution { pass, images, filters, results } = convolution;
    let [n, h, w, ci] = images.dims[..] else { candle_core::bail!("convolution of {:?}", images.dims) };
    let (co, bytes) = (filters.dims[0], images.dtype.size_in_bytes());
    let stream = device.cuda_stream();
    stream.context().bind_to_thread().map_err(Error::wrap)?;
    let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    let id = stream.cu_stream() as usize;
    let place = match engines.iter().position(|(known, _)| *known == id) {
        Some(place) => place,
        None => {
            let handle = result::create_handle().map_err(Error::wrap)?;
            // SAFETY: both are open.
            unsafe { result::set_stream(handle, stream.cu_stream() as *mut _) }.map_err(Error::wrap)?;
            engines.push((id, Engine { handle, plans: HashMap::new(), workspace: None }));
            engines.len() - 1
        }
    };
    let engine = &mut engines[place].1;
    let group = (GROUP / (h * w * ci.max(co))).max(1);
    for start in (0..n).step_by(group) {
        let count = group.min(n - start);
        let key = Key { pass: *pass, bf16: images.dtype == DType::BF16, sizes: [count, h, w, ci, co] };
        let places = Places {
            images: images.address + (start * h * w * ci * bytes) as u64,
            filters: filters.address,
            results: results.address + (start * h * w * co * bytes) as u64,
        };
        if !engine.run(device, key, places, start > 0)? {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Engine {
    /// One group; `add` to a filters' gradient that has those before it.
    fn run(&mut self, device: &CudaDevice, key: Key, at: Places, add: bool) -> Result<bool> {
        let plan = match self.plans.entry(key) {
            Entry::Occupied(plan) => plan.into_mut(),
            Entry::Vacant(place) => place.insert(Plan::new(key).map_err(Error::wrap)?),
        };
        let chosen = match plan.chosen {
            Some(chosen) => chosen,
            None => {
                // SAFETY: filled by cuDNN before it is read.
                let room = unsafe { device.alloc::<u8>(WORKSPACE)? };
                // What the filters' gradient is added to must not be overwritten.
                let [.., ci, co] = key.sizes;
                // SAFETY: as above.
                let filters = unsafe { device.alloc::<f32>(co * 9 * ci)? };
                let tried = match key.pass {
                    Pass::Filters => Places { filters: filters.device_ptr(&device.cuda_stream()).0, ..at },
                    _ => at,
                };
                let chosen = plan.choose(self.handle, key.pass, tried, address(device, &room))?;
                plan.chosen = Some(chosen);
                chosen
            }
        };
        let Some((algorithm, needed)) = chosen else { return Ok(false) };
        if needed > self.workspace.as_ref().map_or(0, CudaSlice::len) {
            // SAFETY: as above.
            self.workspace = Some(unsafe { device.alloc::<u8>(needed)? });
        }
        let workspace = self.workspace.as_ref().map_or(0, |room| address(device, room)) as *mut c_void;
        let size = self.workspace.as_ref().map_or(0, CudaSlice::len);
        let (one, rest) = (1.0f32, if add { 1.0f32 } else { 0.0 });
        let (alpha, beta) = ((&raw const one).cast(), (&raw const rest).cast());
        let (x, w, y) = (at.images as *mut c_void, at.filters as *mut c_void, at.results as *mut c_void);
        let Plan { images, filters, results, convolution: conv, .. } = *plan;
        let handle = self.handle;
        // SAFETY: descriptors say what lies at the addresses, which the caller borrows; scalars are read during the call.
        unsafe {
            match algorithm {
                Algorithm::Forward(algorithm) => result::convolution_forward(
                    handle, alpha, images, x, filters, w, conv, algorithm, workspace, size, beta, results, y,
                ),
                Algorithm::Images(algorithm) => result::convolution_backward_data(
                    handle, alpha, filters, w, results, y, conv, algorithm, workspace, size, beta, images, x,
                ),
                Algorithm::Filters(algorithm) => result::convolution_backward_filter(
                    handle, alpha, images, x, results, y, conv, algorithm, workspace, size, beta, filters, w,
                ),
            }
        }
        .map_err(Error::wrap)?;
        Ok(true)
    }
}

fn address(device: &CudaDevice, room: &CudaSlice<u8>) -> u64 {
    room.device_ptr(&device.cuda_stream()).0
}

impl Plan {
    fn new(key: Key) -> std::result::Result<Self, result::CudnnError> {
        use sys::cudnnTensorFormat_t::CUDNN_TENSOR_NHWC as LAST;

        let [n, h, w, ci, co] = key.sizes.map(|size| size as c_int);
        let (kind, math) = if key.bf16 {
            (sys::cudnnDataType_t::CUDNN_DATA_BFLOAT16, sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH)
        } else {
            (sys::cudnnDataType_t::CUDNN_DATA_FLOAT, sys::cudnnMathType_t::CUDNN_FMA_MATH)
        };
        let images = result::create_tensor_descriptor()?;
        let results = result::create_tensor_descriptor()?;
        let filters = result::create_filter_descriptor()?;
        let convolution = result::create_convolution_descriptor()?;
        // SAFETY: descriptors made above. They live as long as the process, as the plans do.
        unsafe {
            result::set_tensor4d_descriptor(images, LAST, kind, [n, ci, h, w])?;
            result::set_tensor4d_descriptor(results, LAST, kind, [n, co, h, w])?;
            result::set_filter4d_descriptor(filters, kind, LAST, [co, ci, 3, 3])?;
            let mode = sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
            let sums = sys::cudnnDataType_t::CUDNN_DATA_FLOAT;
            result::set_convolution2d_descriptor(convolution, 1, 1, 1, 1, 1, 1, mode, sums)?;
            result::set_convolution_math_type(convolution, math)?;
        }
        Ok(Self { images, filters, results, convolution, chosen: None })
    }

    /// Lets cuDNN try its algorithms on the arguments themselves; the fastest that works, and the workspace it needs. The
    /// results it leaves are written again by the call that follows.
    fn choose(
        &self,
        handle: sys::cudnnHandle_t,
        pass: Pass,
        at: Places,
        room: u64,
    ) -> Result<Option<(Algorithm, usize)>> {
        let (x, w, y) = (at.images as *mut c_void, at.filters as *mut c_void, at.results as *mut c_void);
        let Self { images, filters, results, convolution: conv, .. } = *self;
        let (room, most, mut found) = (room as *mut c_void, TRIED as c_int, 0);
        // SAFETY: as for the calls themselves; the lists have room for `TRIED`, of plain numbers for which zeros are fine.
        let fastest = unsafe {
            match pass {
                Pass::Forward => {
                    let mut list: [sys::cudnnConvolutionFwdAlgoPerf_t; TRIED] = std::mem::zeroed();
                    let tried = sys::cudnnFindConvolutionForwardAlgorithmEx(
                        handle,
                        images,
                        x,
                        filters,
                        w,
                        conv,
                        results,
                        y,
                        most,
                        &mut found,
                        list.as_mut_ptr(),
                        room,
                        WORKSPACE,
                    )
                    .result();
                    let mut works = list
                        .iter()
                        .take(if tried.is_ok() { found as usize } else { 0 })
                        .filter(|a| a.status.result().is_ok());
                    works.next().map(|a| (Algorithm::Forward(a.algo), a.memory, a.mathType))
                }
                Pass::Images => {
                    let mut list: [sys::cudnnConvolutionBwdDataAlgoPerf_t; TRIED] = std::mem::zeroed();
                    let tried = sys::cudnnFindConvolutionBackwardDataAlgorithmEx(
                        handle,
                        filters,
                        w,
                        results,
                        y,
                        conv,
                        images,
                        x,
                        most,
                        &mut found,
                        list.as_mut_ptr(),
                        room,
                        WORKSPACE,
                    )
                    .result();
                    let mut works = list
                        .iter()
                        .take(if tried.is_ok() { found as usize } else { 0 })
                        .filter(|a| a.status.result().is_ok());
                    works.next().map(|a| (Algorithm::Images(a.algo), a.memory, a.mathType))
                }
                Pass::Filters => {
                    let mut list: [sys::cudnnConvolutionBwdFilterAlgoPerf_t; TRIED] = std::mem::zeroed();
                    let tried = sys::cudnnFindConvolutionBackwardFilterAlgorithmEx(
                        handle,
                        images,
                        x,
                        results,
                        y,
                        conv,
                        filters,
                        w,
                        most,
                        &mut found,
                        list.as_mut_ptr(),
                        room,
                        WORKSPACE,
                    )
                    .result();
                    let mut works = list
                        .iter()
                        .take(if tried.is_ok() { found as usize } else { 0 })
                        .filter(|a| a.status.result().is_ok());
                    works.next().map(|a| (Algorithm::Filters(a.algo), a.memory, a.mathType))
                }
            }
        };
        self.take(fastest)
    }

    /// Multiplies as the algorithm found wants to.
    fn take(
        &self,
        found: Option<(Algorithm, usize, sys::cudnnMathType_t)>,
    ) -> Result<Option<(Algorithm, usize)>> {
        let Some((algorithm, memory, math)) = found else { return Ok(None) };
        // SAFETY: the plan's own descriptor.
        unsafe { result::set_convolution_math_type(self.convolution, math) }.map_err(Error::wrap)?;
        Ok(Some((algorithm, memory)))
    }
}
