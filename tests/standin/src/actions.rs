//! One step's action: lines of a name and a value, read as strictly, and as loosely, as the game reads them.

use vpt_envserver::world::Action;
use vpt_proto::keys;

use crate::error::ConnectionError;

/// Degrees that one step can turn; a person's mouse moves less.
const MOST_DEGREES: f64 = 180.0;

/// The action that `lines` describe.
///
/// Keys are held when their value is 1; any other whole number lets go, and what is no whole number is refused, unknown
/// names included. Unknown names with a whole number are nothing.
pub(crate) fn parse(lines: &str) -> Result<Action, ConnectionError> {
    let mut action = Action::NOOP;
    for line in lines.split('\n') {
        let words: Vec<&str> = line.trim().split(' ').collect();
        match words[0] {
            "camera" => {
                action.pitch_delta = degrees(&words, 1)?;
                action.yaw_delta = degrees(&words, 2)?;
            }
            // The embedded world has no mouse wheel.
            "dwheel" => {
                degrees(&words, 1)?;
            }
            "chat" => {}
            name => {
                if words.len() > 1 && whole(words[1])? == 1 {
                    action.keys |= key(name)?;
                }
            }
        }
    }
    Ok(action)
}

fn refuse<T>(why: String) -> Result<T, ConnectionError> {
    Err(ConnectionError::Step(why))
}

/// As Java's `Integer.parseInt`: a sign, digits, 32 bits; no point, no exponent, no word.
fn whole(text: &str) -> Result<i32, ConnectionError> {
    text.parse().or_else(|_| refuse(format!("{text:?} is no whole number")))
}

/// As Java's `Double.parseDouble`: also `1e3` and `1.5f`; of words only `NaN` and `Infinity`.
fn degrees(words: &[&str], index: usize) -> Result<f32, ConnectionError> {
    let Some(text) = words.get(index) else {
        return refuse(format!("`{}` with {} values", words[0], words.len() - 1));
    };
    let plain = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
    let unsigned = plain.trim_start_matches(['+', '-']);
    let is_number = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let number = match plain.parse::<f64>() {
        Ok(number) if is_number => number,
        // The mouse stays where it is, whatever the game would make of it.
        _ if matches!(unsigned, "NaN" | "Infinity") => 0.0,
        _ => return refuse(format!("{text:?} is no number")),
    };
    Ok(number.clamp(-MOST_DEGREES, MOST_DEGREES) as f32)
}

fn key(name: &str) -> Result<u32, ConnectionError> {
    if name.starts_with("hotbar") {
        return match name.split('.').nth(1).filter(|digit| !digit.is_empty()) {
            Some(digit) => {
                let slot = digit.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
                Ok(slot.and_then(|slot| keys::HOTBAR.get(slot)).copied().unwrap_or(0))
            }
            None => refuse(format!("{name:?} names no slot")),
        };
    }
    let bit = keys::NAMES.iter().position(|known| *known == name);
    Ok(bit.map_or(0, |bit| 1 << bit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_camera_are_read() {
        let action = parse("forward 1\nleft 0\nhotbar.3 1\nESC 1\ncamera -10.0 0.25\nchat hello 1").unwrap();
        assert_eq!(action.keys, keys::FORWARD | keys::HOTBAR[2] | keys::ESC);
        assert_eq!((action.pitch_delta, action.yaw_delta), (-10.0, 0.25));
        assert_eq!(parse("").unwrap(), Action::NOOP);
        assert_eq!(parse("jump 2\nattack +1\nsomething 1\nuse\n").unwrap().keys, keys::ATTACK);
        assert_eq!(parse("camera 1e3 -1.5f").unwrap().pitch_delta, 180.0);
        assert_eq!(parse("camera NaN 2").unwrap().pitch_delta, 0.0);
        assert_eq!(parse("dwheel 1.0").unwrap(), Action::NOOP);
    }

    #[test]
    fn every_name_on_the_wire_is_a_key() {
        for (bit, name) in keys::NAMES.iter().enumerate() {
            assert_eq!(parse(&format!("{name} 1")).unwrap().keys, 1 << bit, "{name}");
        }
    }

    #[test]
    fn what_java_refuses_is_refused() {
        let lines = [
            "forward 1.0",
            "forward true",
            "forward  1",
            "nothing x",
            "forward 2147483648",
            "camera 1",
            "camera a b",
            "camera inf 0",
            "hotbar 1",
            "dwheel",
            "camera",
            "camera  1 2",
            "camera - 0",
            "camera +-1 0",
        ];
        for line in lines {
            assert!(matches!(parse(line), Err(ConnectionError::Step(_))), "{line}");
        }
    }
}
