//! Numbers and strings as protocol 0 spells them, and integers of any length.

use super::Node;
use super::input::Fault;

/// UTF-8 or a fault.
pub(super) fn utf8(bytes: &[u8]) -> Result<String, Fault> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| "a string is not UTF-8".into())
}

/// A string of Python 2, which may be either.
pub(super) fn text_or_bytes(bytes: &[u8]) -> Node {
    std::str::from_utf8(bytes)
        .map_or_else(|_| Node::Bytes(bytes.to_vec()), |text| Node::Text(text.to_owned()))
}

/// A decimal integer; `00` and `01` are how protocol 0 spells the booleans.
pub(super) fn decimal(line: &[u8]) -> Result<Node, Fault> {
    match line {
        b"00" => return Ok(Node::Bool(false)),
        b"01" => return Ok(Node::Bool(true)),
        _ => {}
    }
    let digits = line.strip_suffix(b"L").unwrap_or(line);
    let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
    if unsigned.is_empty() || !unsigned.iter().all(u8::is_ascii_digit) {
        return Err("an integer is not decimal".into());
    }
    // All digits, so that what does not parse is too large.
    Ok(utf8(digits)?.parse().map_or(Node::LargeInteger, Node::Integer))
}

/// A float as Python prints it.
pub(super) fn float(line: &[u8]) -> Result<Node, Fault> {
    utf8(line)?.parse().map(Node::Float).map_err(|_| "a float is not a number".into())
}

/// A little-endian two's complement integer of any length.
pub(super) fn long(bytes: &[u8]) -> Node {
    if bytes.len() > 8 {
        return Node::LargeInteger;
    }
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut extended = [if negative { 0xFF } else { 0 }; 8];
    extended[..bytes.len()].copy_from_slice(bytes);
    Node::Integer(i64::from_le_bytes(extended))
}

/// A Python 2 string literal with its quotes and escapes.
pub(super) fn quoted(line: &[u8]) -> Result<Node, Fault> {
    let inner = match line {
        [first @ (b'\'' | b'"'), inner @ .., last] if first == last => inner,
        _ => return Err("a string has no quotes".into()),
    };
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let [byte, after @ ..] = rest {
        let (value, left) = if *byte == b'\\' { escaped(after)? } else { (*byte, after) };
        bytes.push(value);
        rest = left;
    }
    Ok(text_or_bytes(&bytes))
}

/// The byte that an escape stands for, and what follows it.
fn escaped(after: &[u8]) -> Result<(u8, &[u8]), Fault> {
    match after {
        [b'n', rest @ ..] => Ok((b'\n', rest)),
        [b'r', rest @ ..] => Ok((b'\r', rest)),
        [b't', rest @ ..] => Ok((b'\t', rest)),
        [byte @ (b'\\' | b'\'' | b'"'), rest @ ..] => Ok((*byte, rest)),
        [b'x', high, low, rest @ ..] => {
            let value = hexadecimal(&[*high, *low])?;
            Ok((value as u8, rest))
        }
        _ => Err("a string has an unknown escape".into()),
    }
}

/// A protocol 0 Unicode string: Latin-1 with `\u` and `\U` escapes.
pub(super) fn raw_unicode(line: &[u8]) -> Result<Node, Fault> {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let [byte, after @ ..] = rest {
        let digits = match (byte, after.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => 0,
        };
        if digits == 0 {
            text.push(char::from(*byte));
            rest = after;
            continue;
        }
        let code = after.get(1..=digits).ok_or("a string ends inside an escape")?;
        text.push(char::from_u32(hexadecimal(code)?).ok_or("an escape is no character")?);
        rest = &after[digits + 1..];
    }
    Ok(Node::Text(text))
}

fn hexadecimal(digits: &[u8]) -> Result<u32, Fault> {
    digits.iter().try_fold(0u32, |value, &digit| {
        let digit = char::from(digit).to_digit(16).ok_or("an escape is not hexadecimal")?;
        Ok(value << 4 | digit)
    })
}
