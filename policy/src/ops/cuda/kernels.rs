//! Calling our kernels: arguments in the order of the `.cu` file, a kernel's variant by number type and pack.

use candle_core::{DType, Device, Result};

use super::backend::{self, Argument, Launch, Span};

/// Threads of a block, in every kernel.
pub(super) const THREADS: usize = 256;

/// A call in the making.
pub(super) struct Kernel {
    module: &'static str,
    name: String,
    arguments: Vec<Argument>,
    /// Where the arrays among the arguments are.
    devices: Vec<Device>,
}

impl Kernel {
    /// A kernel that has no variants.
    pub(super) fn new(module: &'static str, name: &str) -> Self {
        Self { module, name: name.to_owned(), arguments: Vec::new(), devices: Vec::new() }
    }

    /// The variant for numbers of `dtype`, `lanes` at once.
    pub(super) fn variant(module: &'static str, name: &str, dtype: DType, lanes: usize) -> Result<Self> {
        let kind = match dtype {
            DType::F32 => "f32",
            DType::BF16 => "bf16",
            other => candle_core::bail!("{name}: no kernel for {other:?}"),
        };
        Ok(Self::new(module, &format!("{name}_{kind}_{lanes}")))
    }

    pub(super) fn span(mut self, span: &Span<'_>) -> Self {
        self.arguments.push(Argument::Address(span.address));
        self.devices.push(span.device.clone());
        self
    }

    /// An array that may be absent.
    pub(super) fn maybe(mut self, span: Option<&Span<'_>>) -> Self {
        match span {
            Some(span) => self.span(span),
            None => {
                self.arguments.push(Argument::Address(0));
                self
            }
        }
    }

    pub(super) fn count(mut self, count: usize) -> Self {
        self.arguments.push(Argument::Count(count as i64));
        self
    }

    pub(super) fn flag(self, flag: bool) -> Self {
        self.count(usize::from(flag))
    }

    pub(super) fn factor(mut self, factor: f32) -> Self {
        self.arguments.push(Argument::Factor(factor));
        self
    }

    /// Runs it with a thread for each of `count` values or packs.
    pub(super) fn each(self, device: &Device, count: usize) -> Result<()> {
        self.blocks(device, [count.div_ceil(THREADS), 1, 1])
    }

    /// Runs it on so many blocks.
    pub(super) fn blocks(self, device: &Device, grid: [usize; 3]) -> Result<()> {
        // A GPU would fault on the address of another device.
        if let Some(other) = self.devices.iter().find(|other| !device.same_device(other)) {
            candle_core::bail!(
                "{}: arguments on {:?} and {:?}",
                self.name,
                device.location(),
                other.location()
            );
        }
        if grid.contains(&0) {
            return Ok(());
        }
        let fit = |n: usize| u32::try_from(n).map_err(candle_core::Error::wrap);
        let grid = [fit(grid[0])?, fit(grid[1])?, fit(grid[2])?];
        backend::launch(
            device,
            &Launch { module: self.module, kernel: &self.name, grid, arguments: &self.arguments },
        )
    }
}

/// How many values a thread takes at once: 8 where runs of `length` values and all addresses allow it.
pub(super) fn lanes(length: usize, spans: &[&Span<'_>]) -> usize {
    let aligned = |span: &&Span<'_>| span.address.is_multiple_of(16);
    if length.is_multiple_of(8) && spans.iter().all(aligned) { 8 } else { 1 }
}
