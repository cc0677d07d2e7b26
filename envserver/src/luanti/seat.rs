//! A person's place at a game: keyboard and mouse through the X server's test extension, and the mouse pointer.

use std::fmt::Display as Shown;

use vpt_proto::keys;
use x11rb::CURRENT_TIME;
use x11rb::connection::Connection;
use x11rb::protocol::xfixes::ConnectionExt as _;
use x11rb::protocol::xproto::{
    AutoRepeatMode, BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, ChangeKeyboardControlAux, ConnectionExt as _,
    InputFocus, KEY_PRESS_EVENT, KEY_RELEASE_EVENT, MOTION_NOTIFY_EVENT, Window,
};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

use super::error::LuantiError;
use crate::world::Action;

/// Mouse counts a degree in a window of 640x360, as Minecraft has it; a look of one count is 0.15 degrees.
const COUNTS_PER_DEGREE: f64 = 2400.0 / 360.0;
/// The window in which a screen's cursor moves by them.
const CURSOR_WIDTH: f64 = 640.0;
/// What a motion event's detail says of its coordinates.
const RELATIVE: u8 = 1;

/// Something to press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Press {
    Key(u8),
    Button(u8),
}

/// The same before the keyboard was asked where its keys are.
#[derive(Clone, Copy)]
enum Symbol {
    Key(u32),
    Button(u8),
}

const fn letter(letter: u8) -> Symbol {
    Symbol::Key(letter as u32)
}

/// What each bit of an action is on keyboard and mouse; X calls printable keys by their ASCII codes.
const BINDINGS: [(u32, Symbol); 23] = [
    (keys::ATTACK, Symbol::Button(1)),
    (keys::PICK_ITEM, Symbol::Button(2)),
    (keys::USE, Symbol::Button(3)),
    (keys::FORWARD, letter(b'w')),
    (keys::BACK, letter(b's')),
    (keys::LEFT, letter(b'a')),
    (keys::RIGHT, letter(b'd')),
    (keys::JUMP, letter(b' ')),
    (keys::SNEAK, Symbol::Key(0xffe1)),
    (keys::SPRINT, Symbol::Key(0xffe3)),
    (keys::DROP, letter(b'q')),
    (keys::INVENTORY, letter(b'e')),
    (keys::ESC, Symbol::Key(0xff1b)),
    (keys::SWAP_HANDS, letter(b'f')),
    (keys::HOTBAR[0], letter(b'1')),
    (keys::HOTBAR[1], letter(b'2')),
    (keys::HOTBAR[2], letter(b'3')),
    (keys::HOTBAR[3], letter(b'4')),
    (keys::HOTBAR[4], letter(b'5')),
    (keys::HOTBAR[5], letter(b'6')),
    (keys::HOTBAR[6], letter(b'7')),
    (keys::HOTBAR[7], letter(b'8')),
    (keys::HOTBAR[8], letter(b'9')),
];

/// Keys that mean something else in this game, or nothing, and are not passed on: `F` would put the fog away.
const LEFT_OUT: u32 = keys::SWAP_HANDS;

/// Keyboard and mouse of one game.
pub(super) struct Seat {
    connection: RustConnection,
    root: Window,
    size: (usize, usize),
    bindings: Vec<(u32, Press)>,
    held: u32,
    /// Mouse movement that is not made yet, in degrees: less than a count, or more than fits a step.
    owed: [f64; 2],
    /// What they move: a cursor, or else the view.
    moves_cursor: bool,
}

fn fault(error: impl Shown) -> LuantiError {
    LuantiError::X11(error.to_string())
}

impl Seat {
    /// Connects to a display.
    pub(super) fn connect(display: &str, size: (usize, usize)) -> Result<Self, LuantiError> {
        let (connection, screen) = x11rb::connect(Some(display)).map_err(fault)?;
        let root = connection.setup().roots.get(screen).ok_or_else(|| fault("no such screen"))?.root;
        connection.xfixes_query_version(5, 0).map_err(fault)?.reply().map_err(fault)?;
        // Held keys are held, not pressed again and again.
        let quiet = ChangeKeyboardControlAux::new().auto_repeat_mode(AutoRepeatMode::OFF);
        connection.change_keyboard_control(&quiet).map_err(fault)?;
        let bindings = bindings(&connection)?;
        Ok(Self { connection, root, size, bindings, held: 0, owed: [0.0; 2], moves_cursor: false })
    }

    /// Gives the game's window the keyboard: without a window manager nobody else does.
    pub(super) fn take_focus(&self) -> Result<(), LuantiError> {
        let tree = self.connection.query_tree(self.root).map_err(fault)?.reply().map_err(fault)?;
        let window = tree.children.last().copied().ok_or_else(|| fault("the game has no window"))?;
        self.connection.set_input_focus(InputFocus::PARENT, window, CURRENT_TIME).map_err(fault)?;
        self.sync()
    }

    /// Presses, releases and moves as an action says; all of it has reached the game when this returns.
    pub(super) fn act(&mut self, action: &Action, screen_open: bool) -> Result<(), LuantiError> {
        // Without a screen to close, Escape would stop the game for its own menu.
        let escape = if screen_open || self.held & keys::ESC != 0 { 0 } else { keys::ESC };
        if screen_open != self.moves_cursor {
            (self.moves_cursor, self.owed) = (screen_open, [0.0; 2]);
        }
        self.owed[0] += f64::from(action.yaw_delta);
        self.owed[1] += f64::from(action.pitch_delta);
        self.move_mouse(screen_open)?;
        self.hold(action.keys & !LEFT_OUT & !escape)?;
        self.sync()
    }

    /// Lets go of everything and forgets movements that are owed.
    pub(super) fn let_go(&mut self) -> Result<(), LuantiError> {
        self.owed = [0.0; 2];
        self.hold(0)?;
        self.sync()
    }

    /// Presses or releases Escape, whatever is open.
    pub(super) fn escape(&mut self, down: bool) -> Result<(), LuantiError> {
        self.hold(if down { keys::ESC } else { 0 })?;
        self.sync()
    }

    fn hold(&mut self, wanted: u32) -> Result<(), LuantiError> {
        let changed = self.held ^ wanted;
        for (bit, press) in &self.bindings {
            if changed & bit == 0 {
                continue;
            }
            let down = wanted & bit != 0;
            let (kind, detail) = match press {
                Press::Key(code) => (if down { KEY_PRESS_EVENT } else { KEY_RELEASE_EVENT }, *code),
                Press::Button(code) => (if down { BUTTON_PRESS_EVENT } else { BUTTON_RELEASE_EVENT }, *code),
            };
            self.fake(kind, detail, [0, 0])?;
        }
        self.held = wanted;
        Ok(())
    }

    fn move_mouse(&mut self, screen_open: bool) -> Result<(), LuantiError> {
        // The game looks by 0.15 degrees a pixel whatever the window; a cursor moves as in a window of 640.
        let scale = if screen_open { self.size.0 as f64 / CURSOR_WIDTH } else { 1.0 };
        // The pointer starts in the middle and goes no farther than the border.
        let most = if screen_open {
            [self.size.0 as f64, self.size.1 as f64]
        } else {
            [self.size.0 as f64 / 2.0 - 1.0, self.size.1 as f64 / 2.0 - 1.0]
        };
        let counts = [0, 1].map(|axis| {
            let wanted = self.owed[axis] * COUNTS_PER_DEGREE * scale;
            wanted.round().clamp(-most[axis], most[axis])
        });
        for axis in [0, 1] {
            self.owed[axis] -= counts[axis] / (COUNTS_PER_DEGREE * scale);
        }
        if counts != [0.0; 2] {
            self.fake(MOTION_NOTIFY_EVENT, RELATIVE, counts.map(|count| count as i16))?;
        }
        Ok(())
    }

    fn fake(&self, kind: u8, detail: u8, at: [i16; 2]) -> Result<(), LuantiError> {
        let request =
            self.connection.xtest_fake_input(kind, detail, CURRENT_TIME, self.root, at[0], at[1], 0);
        request.map(drop).map_err(fault)
    }

    /// Comes back when the server has done all that was asked.
    fn sync(&self) -> Result<(), LuantiError> {
        self.connection.get_input_focus().map_err(fault)?.reply().map(drop).map_err(fault)
    }

    /// Where the pointer's tip is, if the game shows one: it does while a screen is open.
    pub(super) fn cursor(&self) -> Result<Option<(i32, i32)>, LuantiError> {
        let image = self.connection.xfixes_get_cursor_image().map_err(fault)?.reply().map_err(fault)?;
        let is_seen = image.cursor_image.iter().any(|pixel| pixel >> 24 != 0);
        Ok(is_seen.then_some((i32::from(image.x), i32::from(image.y))))
    }
}

/// Looks up the keys of this display's keyboard.
fn bindings(connection: &RustConnection) -> Result<Vec<(u32, Press)>, LuantiError> {
    let (first, last) = (connection.setup().min_keycode, connection.setup().max_keycode);
    let mapping = connection.get_keyboard_mapping(first, last - first + 1).map_err(fault)?;
    let mapping = mapping.reply().map_err(fault)?;
    let each = usize::from(mapping.keysyms_per_keycode).max(1);
    let code = |symbol: u32| {
        let index = mapping.keysyms.chunks(each).position(|symbols| symbols.contains(&symbol));
        index.and_then(|index| u8::try_from(index + usize::from(first)).ok())
    };
    BINDINGS
        .iter()
        .map(|(bit, symbol)| match *symbol {
            Symbol::Button(button) => Ok((*bit, Press::Button(button))),
            Symbol::Key(symbol) => {
                let code = code(symbol).ok_or_else(|| fault(format!("no key for symbol {symbol:#x}")))?;
                Ok((*bit, Press::Key(code)))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_an_action_is_bound() {
        let bound = BINDINGS.iter().fold(0, |bound, (bit, _)| bound | bit);
        assert_eq!(bound, keys::ALL);
    }
}
