//! Matrix products: dense layers and the two products of attention, by cuBLAS, f32 or bf16 in and f32 out.

use candle_core::{DType, Result, Tensor};

use super::backend::{self, Buffer, Product, Span};
use super::dtype_in_scope;
use super::images::{bias_relu, column_sums, relu_backward};
use super::record::record;

/// A matrix, `[R, C]` or a batch `[B, R, C]` of them, as a product reads it.
struct Matrix<'a> {
    span: Span<'a>,
    transposed: bool,
    rows: usize,
    columns: usize,
    batch: usize,
}

impl<'a> Matrix<'a> {
    /// The last two dimensions are a matrix, those before them the batch.
    fn of(tensor: &'a Tensor) -> Result<Self> {
        let span = Span::of(tensor)?;
        let [batch @ .., rows, columns] = &span.dims[..] else {
            candle_core::bail!("a product of {:?}", span.dims)
        };
        let (batch, rows, columns) = (batch.iter().product(), *rows, *columns);
        Ok(Self { span, transposed: false, rows, columns, batch })
    }

    /// Rows and columns exchanged.
    fn t(self) -> Self {
        Self { transposed: !self.transposed, rows: self.columns, columns: self.rows, ..self }
    }

    /// The product, f32, in the shape given.
    fn times(self, other: Matrix<'_>, shape: &[usize]) -> Result<Buffer> {
        if self.columns != other.rows || self.batch != other.batch {
            candle_core::bail!("product of {:?} and {:?}", self.span.dims, other.span.dims);
        }
        let to = Buffer::new(&self.span.device, DType::F32, shape)?;
        let sizes = [self.rows, other.columns, self.columns];
        if to.shape().elem_count() > 0 {
            backend::multiply(&Product {
                a: self.span,
                a_transposed: self.transposed,
                b: other.span,
                b_transposed: other.transposed,
                c: to.span()?,
                batch: self.batch,
                sizes,
            })?;
        }
        Ok(to)
    }
}

/// The numbers as a product reads them, without history.
fn rounded(x: &Tensor, dtype: DType) -> Result<Tensor> {
    x.detach().to_dtype(dtype)?.contiguous()
}

/// `[.., M, K]` times `[.., K, N]`, or times `[.., N, K]` with rows and columns of b exchanged; f32.
pub(crate) fn product(a: &Tensor, b: &Tensor, b_transposed: bool) -> Result<Tensor> {
    let (a, b, dtype) = (a.contiguous()?, b.contiguous()?, dtype_in_scope());
    let (ra, rb) = (rounded(&a, dtype)?, rounded(&b, dtype)?);
    let right = Matrix::of(&rb)?;
    let right = if b_transposed { right.t() } else { right };
    let mut shape = a.dims().to_vec();
    shape.pop();
    shape.push(right.columns);
    let result = Matrix::of(&ra)?.times(right, &shape)?;
    record("product", result, &[&a, &b], move |args, _, grad| {
        let g = rounded(grad, dtype)?;
        let (a, b) = (rounded(args[0], dtype)?, rounded(args[1], dtype)?);
        let (g, a, b) = (|| Matrix::of(&g), || Matrix::of(&a), || Matrix::of(&b));
        let da = || g()?.times(if b_transposed { b()? } else { b()?.t() }, args[0].dims());
        let db = || {
            if b_transposed {
                g()?.t().times(a()?, args[1].dims())
            } else {
                a()?.t().times(g()?, args[1].dims())
            }
        };
        Ok(vec![
            args[0].track_op().then(da).transpose()?.map(Buffer::into_tensor),
            args[1].track_op().then(db).transpose()?.map(Buffer::into_tensor),
        ])
    })
}

/// As `ops::linear`, whose checks have been made.
pub(crate) fn linear(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, relu: bool) -> Result<Tensor> {
    let (x, w, dtype) = (x.contiguous()?, w.contiguous()?, dtype_in_scope());
    let bias = bias.map(Tensor::contiguous).transpose()?;
    let (rx, rw) = (rounded(&x, dtype)?, rounded(&w, dtype)?);
    let result = Matrix::of(&rx)?.times(Matrix::of(&rw)?.t(), &[x.dims()[0], w.dims()[0]])?;
    let bias_span = bias.as_ref().map(Span::of).transpose()?;
    bias_relu(&result.span()?, bias_span.as_ref(), relu)?;
    let mut arguments = vec![&x, &w];
    arguments.extend(&bias);
    record("linear", result, &arguments, move |args, res, grad| {
        let masked;
        let grad = if relu {
            masked = relu_backward(&Span::of(res)?, &Span::of(grad)?)?.into_tensor();
            &masked
        } else {
            grad
        };
        let g = rounded(grad, dtype)?;
        let (x, w) = (rounded(args[0], dtype)?, rounded(args[1], dtype)?);
        let dx = || Matrix::of(&g)?.times(Matrix::of(&w)?, args[0].dims());
        let dw = || Matrix::of(&g)?.t().times(Matrix::of(&x)?, args[1].dims());
        let mut gradients = vec![
            args[0].track_op().then(dx).transpose()?.map(Buffer::into_tensor),
            args[1].track_op().then(dw).transpose()?.map(Buffer::into_tensor),
        ];
        if let Some(bias) = args.get(2) {
            let sums = Buffer::new(grad.device(), DType::F32, bias.shape())?;
            column_sums(&Span::of(grad)?, &sums.span()?)?;
            gradients.push(Some(sums.into_tensor()));
        }
        Ok(gradients)
    })
}
