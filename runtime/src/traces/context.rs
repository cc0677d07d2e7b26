//! Which trace and which span: W3C Trace Context's `traceparent`, version 00, as it travels with an unroll.

use std::fmt;

/// Characters of a `traceparent`.
const LENGTH: usize = 55;

/// A span of a trace; neither number is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) trace: u128,
    pub(super) span: u64,
}

impl Context {
    /// Reads what [`fmt::Display`] writes; none for anything else. Whether it is marked as sampled does not matter: contexts
    /// of other traces are not sent.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() != LENGTH || !text.is_ascii() {
            return None;
        }
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if version != "00" || (trace.len(), span.len(), flags.len()) != (32, 16, 2) || parts.next().is_some()
        {
            return None;
        }
        let is_hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
        if ![trace, span, flags].into_iter().all(is_hex) {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok()?;
        let span = u64::from_str_radix(span, 16).ok()?;
        (trace != 0 && span != 0).then_some(Self { trace, span })
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-01", self.trace, self.span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (trace, span) in [(1, 1), (u128::MAX, u64::MAX), (0x0af7 << 100, 0xb7ad)] {
            let context = Context { trace, span };
            assert_eq!(context.to_string().len(), LENGTH);
            assert_eq!(Context::parse(&context.to_string()), Some(context));
        }
        let example = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(Context::parse(example).unwrap().to_string(), example);
    }

    #[test]
    fn anything_else_is_no_context() {
        let good = Context { trace: 7, span: 9 }.to_string();
        let bad = [
            String::new(),
            good[1..].to_owned(),
            format!("{good}0"),
            good.replacen("00-", "ff-", 1),
            good.replacen("-01", "-zz", 1),
            good.replace('7', "+"),
            good.replace('7', "g"),
            good.replace('7', "0"),
            good.replace('9', "0"),
            good.replace("-00", "--0"),
            "é".repeat(LENGTH / 2) + "0",
        ];
        for text in bad {
            assert_eq!(Context::parse(&text), None, "{text:?}");
        }
    }
}
