//! The algorithms against numbers that the PPG and VPT reference code produced (float32, tolerance 1e-5 relative).

// Functions that only tests call may unwrap; clippy knows that only of those marked as tests.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::Path;

use candle_core::{D, DType, Device, Result, Tensor, Var};
use serde_json::Value;
use vpt_learner::algo::advantage_norm::normalize_advantages;
use vpt_learner::algo::gae::{GaeConfig, GaeInput, compute_gae};
use vpt_learner::algo::ppg::{AuxCoefficients, AuxInput, aux_loss};
use vpt_learner::algo::ppo::{entropy_bonus, policy_loss, value_loss};

struct Golden {
    scalars: Value,
    tensors: HashMap<String, Tensor>,
}

impl Golden {
    fn load() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let scalars = std::fs::read_to_string(folder.join("rl.json")).unwrap();
        Self {
            scalars: serde_json::from_str(&scalars).unwrap(),
            tensors: candle_core::safetensors::load(folder.join("rl.safetensors"), &Device::Cpu).unwrap(),
        }
    }

    fn flat(&self, name: &str) -> Tensor {
        self.tensors[name].flatten_all().unwrap()
    }

    fn rows(&self, name: &str) -> Vec<Vec<f32>> {
        self.tensors[name].to_dtype(DType::F32).unwrap().to_vec2().unwrap()
    }
}

fn assert_close(got: f64, expected: f64, what: &str) {
    assert!((got - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{what}: {got} instead of {expected}");
}

fn assert_tensor(got: &Tensor, expected: &Tensor, what: &str) {
    let got: Vec<f32> = got.flatten_all().unwrap().to_vec1().unwrap();
    let expected: Vec<f32> = expected.flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(got.len(), expected.len());
    let largest = expected.iter().fold(0.0f32, |m, e| m.max(e.abs()));
    for (g, e) in got.iter().zip(&expected) {
        assert!((g - e).abs() <= 1e-5 * largest.max(e.abs()), "{what}: {g} instead of {e}");
    }
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap()
}

fn scalar(tensor: &Tensor) -> f64 {
    f64::from(tensor.to_scalar::<f32>().unwrap())
}

/// log softmax of `[N, C]` in plain tensor operations, so that gradients do not depend on the policy crate.
fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    logits.broadcast_sub(&logits.log_sum_exp(D::Minus1)?.unsqueeze(1)?)
}

#[test]
fn advantages_match_the_reference() {
    let golden = Golden::load();
    let (rewards, values) = (golden.rows("gae.reward"), golden.rows("gae.vpred_incl_bootstrap"));
    let first = golden.rows("gae.first_incl_final");
    let mut last = Vec::new();
    for (i, case) in golden.scalars["gae"].as_array().unwrap().iter().enumerate() {
        let config = GaeConfig {
            discount: number(case, "gamma"),
            gae_lambda: number(case, "lambda"),
            time_limit_is_terminal: false,
        };
        let outputs: Vec<_> = (0..rewards.len())
            .map(|row| {
                let is_first_next: Vec<bool> = first[row][1..].iter().map(|&f| f != 0.0).collect();
                let never = vec![false; is_first_next.len()];
                let input = GaeInput {
                    rewards: &rewards[row],
                    values: &values[row][..16],
                    is_first_next: &is_first_next,
                    terminated: &is_first_next,
                    truncated: &never,
                    truncation_values: &[],
                    bootstrap_value: values[row][16],
                };
                compute_gae(config, input).unwrap()
            })
            .collect();
        last = outputs.iter().map(|o| o.advantages.clone()).collect();
        let targets: Vec<_> = outputs.into_iter().map(|o| o.value_targets).collect();
        let to_tensor = |rows: &Vec<Vec<f32>>| Tensor::new(rows.concat(), &Device::Cpu).unwrap();
        assert_tensor(&to_tensor(&last), &golden.flat(&format!("gae.{i}.adv")), "advantages");
        assert_tensor(&to_tensor(&targets), &golden.flat(&format!("gae.{i}.vtarg")), "value targets");
    }
    normalize_advantages(&mut last);
    let normalised = Tensor::new(last.concat(), &Device::Cpu).unwrap();
    assert_tensor(&normalised, &golden.flat("gae.last.adv_normalised"), "normalised advantages");
}

#[test]
fn policy_phase_losses_and_gradients_match_the_reference() -> Result<()> {
    let golden = Golden::load();
    let logits = Var::from_tensor(&golden.tensors["ppo.logits_new"].reshape((24, 7))?)?;
    let value = Var::from_tensor(&golden.flat("ppo.vpred"))?;
    let actions = golden.flat("ppo.actions").unsqueeze(1)?;
    for (i, case) in golden.scalars["ppo"].as_array().unwrap().iter().enumerate() {
        let log_probs = log_softmax(logits.as_tensor())?;
        let log_prob = log_probs.gather(&actions, 1)?.squeeze(1)?;
        let entropy = (log_probs.exp()? * &log_probs)?.sum(1)?.neg()?;
        let old = golden.flat("ppo.logp_old");
        let policy = policy_loss(&log_prob, &old, &golden.flat("ppo.adv"), number(case, "clip"))?;
        let bonus = entropy_bonus(&entropy, number(case, "entcoef"))?;
        let penalty = ((&log_prob - &old)?.sqr()?.mean_all()? * (0.5 * number(case, "kl_penalty")))?;
        let values = value_loss(value.as_tensor(), &golden.flat("ppo.vtarg"), number(case, "vfcoef"))?;
        assert_close(scalar(&policy.loss), number(case, "pg"), "surrogate");
        assert_close(scalar(&entropy.mean_all()?), number(case, "entropy"), "entropy");
        assert_close(scalar(&bonus), number(case, "negent"), "entropy bonus");
        assert_close(scalar(&values), number(case, "loss_vf"), "value loss");
        assert_close(policy.statistics.approx_kl, number(case, "approxkl"), "approximate KL");
        assert_close(policy.statistics.clip_fraction, number(case, "clipfrac"), "clip fraction");
        let total = ((policy.loss + bonus)? + penalty)?;
        assert_close(scalar(&total), number(case, "loss_pi"), "policy loss");
        let gradients = (total + values)?.backward()?;
        let expected = golden.tensors[&format!("ppo.{i}.grad_logits_new")].clone();
        assert_tensor(gradients.get(logits.as_tensor()).unwrap(), &expected, "gradient of the logits");
        let expected = golden.tensors[&format!("ppo.{i}.grad_vpred")].clone();
        assert_tensor(gradients.get(value.as_tensor()).unwrap(), &expected, "gradient of the value");
    }
    Ok(())
}

#[test]
fn auxiliary_phase_losses_match_the_reference() -> Result<()> {
    let golden = Golden::load();
    let logits = Var::from_tensor(&golden.tensors["ppo.logits_new"].reshape((24, 7))?)?;
    let old = log_softmax(&golden.tensors["ppo.logits_old"].reshape((24, 7))?)?;
    let kl = (old.exp()? * (&old - log_softmax(logits.as_tensor())?)?)?.sum(1)?;
    let input = AuxInput {
        value: &golden.flat("ppg.vpredtrue"),
        aux_value: &golden.flat("ppg.vpredaux"),
        normalized_targets: &golden.flat("ppg.vtarg"),
        clone_kl: &kl,
    };
    let losses = aux_loss(input, AuxCoefficients { aux_value: 1.0, true_value: 1.0, beta_clone: 1.0 })?;
    let expected = &golden.scalars["ppg"];
    assert_close(scalar(&losses.clone_kl), number(expected, "pol_distance"), "policy distance");
    assert_close(scalar(&losses.aux_value), number(expected, "vf_aux"), "auxiliary value loss");
    assert_close(scalar(&losses.true_value), number(expected, "vf_true"), "true value loss");
    assert_close(scalar(&losses.loss), number(expected, "total_beta1"), "total");
    let gradients = losses.clone_kl.backward()?;
    let gradient = gradients.get(logits.as_tensor()).unwrap();
    assert_tensor(gradient, &golden.tensors["ppg.grad_logits_new_of_pol_distance"], "gradient of the logits");
    Ok(())
}
