//! Puts a computed result into candle's graph, with a function that computes its gradients.

use std::sync::{Mutex, PoisonError};

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Storage, Tensor,
};

use super::backend::Buffer;

/// Arguments, result and the result's gradient to the arguments' gradients.
type Backward = dyn Fn(&[&Tensor], &Tensor, &Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync;

struct Recorded {
    name: &'static str,
    /// Taken by the only forward call.
    result: Mutex<Option<Buffer>>,
    backward: Box<Backward>,
}

/// Makes `result` the result of an operation on `arguments`, of which there are one to three.
pub(super) fn record(
    name: &'static str,
    result: Buffer,
    arguments: &[&Tensor],
    backward: impl Fn(&[&Tensor], &Tensor, &Tensor) -> Result<Vec<Option<Tensor>>> + Send + Sync + 'static,
) -> Result<Tensor> {
    if !arguments.iter().any(|argument| argument.track_op()) {
        return Ok(result.into_tensor());
    }
    let op = Recorded { name, result: Mutex::new(Some(result)), backward: Box::new(backward) };
    match arguments {
        [a] => a.apply_op1(op),
        [a, b] => a.apply_op2(b, op),
        [a, b, c] => a.apply_op3(b, c, op),
        _ => candle_core::bail!("{name}: an operation of {} arguments", arguments.len()),
    }
}

impl Recorded {
    fn take(&self) -> Result<Buffer> {
        let taken = self.result.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.ok_or_else(|| candle_core::Error::Msg(format!("{}: its result is taken already", self.name)))
    }

    fn cpu(&self) -> Result<(CpuStorage, Shape)> {
        let buffer = self.take()?;
        let shape = buffer.shape().clone();
        match buffer.into_storage() {
            Storage::Cpu(storage) => Ok((storage, shape)),
            _ => candle_core::bail!("{}: arguments and result on two devices", self.name),
        }
    }

    fn cuda(&self) -> Result<(CudaStorage, Shape)> {
        let buffer = self.take()?;
        let shape = buffer.shape().clone();
        match buffer.into_storage() {
            Storage::Cuda(storage) => Ok((storage, shape)),
            _ => candle_core::bail!("{}: arguments and result on two devices", self.name),
        }
    }

    fn gradients(&self, arguments: &[&Tensor], res: &Tensor, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let gradients = (self.backward)(arguments, res, &grad.contiguous()?)?;
        debug_assert_eq!(gradients.len(), arguments.len());
        Ok(gradients)
    }
}

impl CustomOp1 for Recorded {
    fn name(&self) -> &'static str {
        self.name
    }
    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }
    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.cuda()
    }
    fn bwd(&self, a: &Tensor, res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(self.gradients(&[a], res, grad)?.pop().flatten())
    }
}

impl CustomOp2 for Recorded {
    fn name(&self) -> &'static str {
        self.name
    }
    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }
    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.cuda()
    }
    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut all = self.gradients(&[a, b], res, grad)?;
        let second = all.pop().flatten();
        Ok((all.pop().flatten(), second))
    }
}

impl CustomOp3 for Recorded {
    fn name(&self) -> &'static str {
        self.name
    }
    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }
    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.cuda()
    }
    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut all = self.gradients(&[a, b, c], res, grad)?;
        let third = all.pop().flatten();
        let second = all.pop().flatten();
        Ok((all.pop().flatten(), second, third))
    }
}
