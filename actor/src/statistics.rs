//! Means and their standard errors.

/// Mean of `values` and its standard error (sample deviation over √n); zeros when there is nothing to say.
pub(crate) fn mean_stderr(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    if values.is_empty() {
        return (0.0, 0.0);
    }
    let mean = values.iter().sum::<f64>() / n;
    if values.len() < 2 {
        return (mean, 0.0);
    }
    let variance = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

/// Share of `hits` among `n` and its binomial standard error.
pub(crate) fn share_stderr(hits: usize, n: usize) -> (f64, f64) {
    if n == 0 {
        return (0.0, 0.0);
    }
    let share = hits as f64 / n as f64;
    (share, (share * (1.0 - share) / n as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_follow_their_definitions() {
        let (mean, stderr) = mean_stderr(&[1.0, 2.0, 3.0, 4.0]);
        assert!((mean - 2.5).abs() < 1e-12 && (stderr - (5.0f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12);
        assert_eq!(mean_stderr(&[]), (0.0, 0.0));
        assert_eq!(mean_stderr(&[3.0]), (3.0, 0.0));
        let (share, stderr) = share_stderr(16, 64);
        assert!((share - 0.25).abs() < 1e-12 && (stderr - (0.25f64 * 0.75 / 64.0).sqrt()).abs() < 1e-12);
    }
}
