//! Gradients of named parameters, detached from the pass that made them.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var, backprop::GradStore};

use crate::error::Result;
use crate::ops::{all_finite, sum_of_squares};
use crate::parameters::Parameters;

/// One gradient per parameter that the loss reached, by name, each in its parameter's shape.
#[derive(Debug, Clone)]
pub struct Gradients {
    by_name: BTreeMap<String, Tensor>,
}

impl Gradients {
    /// Takes the gradients of the trainable parameters from a backward pass; those the loss did not reach are absent.
    ///
    /// # Errors
    /// When the device fails.
    pub fn collect(parameters: &Parameters, store: &GradStore) -> Result<Self> {
        Self::from_vars(&parameters.vars(), store)
    }

    pub(crate) fn from_vars(vars: &[(String, Var)], store: &GradStore) -> Result<Self> {
        let mut by_name = BTreeMap::new();
        for (name, var) in vars {
            if let Some(grad) = store.get(var.as_tensor()) {
                by_name.insert(name.clone(), grad.detach().contiguous()?);
            }
        }
        Ok(Self { by_name })
    }

    /// Names of the parameters that have a gradient, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// The gradient of the parameter called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.by_name.get(name)
    }

    /// Adds other gradients; a parameter that only one of them has keeps that one's.
    ///
    /// # Errors
    /// When shapes differ.
    pub fn add(&mut self, other: &Self) -> Result<()> {
        for (name, grad) in &other.by_name {
            let sum = match self.by_name.get(name) {
                Some(mine) => (mine + grad)?,
                None => grad.clone(),
            };
            self.by_name.insert(name.clone(), sum);
        }
        Ok(())
    }

    /// Multiplies every gradient by `factor`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn scale(&mut self, factor: f64) -> Result<()> {
        for grad in self.by_name.values_mut() {
            *grad = grad.affine(factor, 0.0)?;
        }
        Ok(())
    }

    /// All gradients end to end in the order of their names, f32 `[N]`.
    ///
    /// # Errors
    /// When the device fails, or there is no gradient.
    pub fn flatten(&self) -> Result<Tensor> {
        let flat = self.by_name.values().map(Tensor::flatten_all).collect::<candle_core::Result<Vec<_>>>()?;
        Ok(Tensor::cat(&flat, 0)?)
    }

    /// Puts other numbers in the place of what [`Self::flatten`] gave.
    ///
    /// # Errors
    /// When there are too few.
    pub fn replace(&mut self, flat: &Tensor) -> Result<()> {
        let mut start = 0;
        for grad in self.by_name.values_mut() {
            let count = grad.elem_count();
            *grad = flat.narrow(0, start, count)?.reshape(grad.shape())?;
            start += count;
        }
        Ok(())
    }

    /// Euclidean norm over all gradients together.
    ///
    /// # Errors
    /// When the device fails.
    pub fn global_norm(&self) -> Result<f64> {
        Ok(sum_of_squares(&self.by_name.values().collect::<Vec<_>>())?.sqrt())
    }

    /// Names of the parameters whose gradient holds a value that is not a finite number, sorted.
    ///
    /// # Errors
    /// When the device fails.
    pub fn non_finite(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for (name, grad) in &self.by_name {
            if !all_finite(&[grad])? {
                names.push(name.clone());
            }
        }
        Ok(names)
    }

    /// Whether every value is a finite number.
    ///
    /// # Errors
    /// When the device fails.
    pub fn is_finite(&self) -> Result<bool> {
        Ok(all_finite(&self.by_name.values().collect::<Vec<_>>())?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn make(pairs: &[(&str, &[f32])]) -> Gradients {
        let tensor = |v: &[f32]| Tensor::new(v, &Device::Cpu).unwrap();
        Gradients { by_name: pairs.iter().map(|(n, v)| ((*n).to_string(), tensor(v))).collect() }
    }

    #[test]
    fn sums_scales_and_norms() {
        let mut sum = make(&[("a", &[1.0, 2.0]), ("b", &[4.0])]);
        sum.add(&make(&[("a", &[2.0, 2.0]), ("c", &[12.0])])).unwrap();
        assert_eq!(sum.names().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(sum.global_norm().unwrap(), (9.0f64 + 16.0 + 16.0 + 144.0).sqrt());
        sum.scale(0.5).unwrap();
        assert_eq!(sum.get("a").unwrap().to_vec1::<f32>().unwrap(), [1.5, 2.0]);
        assert!(sum.add(&make(&[("a", &[1.0])])).is_err());
    }

    #[test]
    fn flat_gradients_find_their_way_back() {
        let mut gradients = make(&[("b", &[3.0]), ("a", &[1.0, 2.0])]);
        let flat = gradients.flatten().unwrap();
        assert_eq!(flat.to_vec1::<f32>().unwrap(), [1.0, 2.0, 3.0]);
        gradients.replace(&(flat * 2.0).unwrap()).unwrap();
        assert_eq!(gradients.get("a").unwrap().to_vec1::<f32>().unwrap(), [2.0, 4.0]);
        assert_eq!(gradients.get("b").unwrap().to_vec1::<f32>().unwrap(), [6.0]);
        assert!(gradients.replace(&Tensor::new(&[1.0f32, 2.0], &Device::Cpu).unwrap()).is_err());
    }

    #[test]
    fn one_bad_value_anywhere_is_seen() {
        assert!(make(&[("a", &[1e30; 100])]).is_finite().unwrap());
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut values = [1.0f32; 100];
            values[63] = bad;
            let gradients = make(&[("a", &[0.0]), ("b", &values)]);
            assert!(!gradients.is_finite().unwrap());
            assert_eq!(gradients.non_finite().unwrap(), ["b"]);
        }
    }

    #[test]
    fn a_norm_beyond_single_precision_is_still_a_number() {
        assert!((make(&[("a", &[3e25, 4e25])]).global_norm().unwrap() / 5e25 - 1.0).abs() < 1e-6);
    }
}
