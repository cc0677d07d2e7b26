//! What the game's own script tells: a file to which every step appends lines of JSON.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Deserializer};

use super::items;
use crate::world::{Event, EventKind};

/// The state of play, for the scripted player.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct State {
    /// Where the player's feet are.
    pub(super) pos: [f64; 3],
    /// Where it sees from.
    pub(super) eye: [f64; 3],
    /// Degrees, positive right.
    pub(super) yaw: f32,
    /// Degrees, positive down.
    pub(super) pitch: f32,
    /// What the crosshair is on, within reach.
    pub(super) pointed: Option<Pointed>,
    /// Lowest logs of trunks around, and how many logs stand on each other there.
    #[serde(default, deserialize_with = "whole_rows")]
    pub(super) trunks: Vec<[i32; 4]>,
    /// What the player has, slot by slot: the game's name, empty for nothing, and how many.
    #[serde(default)]
    pub(super) slots: Vec<(String, f64)>,
    /// The slot that is in hand.
    #[serde(default)]
    pub(super) hand: f64,
}

/// A node under the crosshair.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Pointed {
    /// Where.
    #[serde(deserialize_with = "whole")]
    pub(super) at: [i32; 3],
    /// The game's name of it.
    pub(super) name: String,
}

// The game's script has no whole numbers: it writes 2.0 for 2.

fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[i32; 3], D::Error> {
    Ok(<[f64; 3]>::deserialize(deserializer)?.map(|number| number as i32))
}

fn whole_rows<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<[i32; 4]>, D::Error> {
    let rows = Option::<Vec<[f64; 4]>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(rows.into_iter().map(|row| row.map(|number| number as i32)).collect())
}

/// One line.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    joined: Option<serde_json::Value>,
    reset: Option<f64>,
    failed: Option<String>,
    event: Option<String>,
    item: String,
    count: f64,
    died: bool,
    state: Option<State>,
}

/// What was told since the last look.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The player is in the world.
    pub(super) joined: bool,
    /// The reset of that number is done, or why it cannot be.
    pub(super) reset: Option<(u64, Option<String>)>,
    /// In the order they happened.
    pub(super) events: Vec<Event>,
    /// The player died.
    pub(super) died: bool,
    /// The newest state of play.
    pub(super) state: Option<State>,
}

impl Told {
    fn add(&mut self, line: Line) {
        self.joined |= line.joined.is_some();
        self.died |= line.died;
        if let Some(id) = line.reset {
            self.reset = Some((id as u64, line.failed));
        }
        if line.state.is_some() {
            self.state = line.state;
        }
        let kind = line.event.as_deref().and_then(kind);
        if let Some((kind, item)) = kind.zip(items::ours(&line.item)) {
            self.events.push(Event { kind, item, quantity: line.count as u32 });
        }
    }
}

fn kind(name: &str) -> Option<EventKind> {
    Some(match name {
        "mine_block" => EventKind::MineBlock,
        "pickup" => EventKind::Pickup,
        "craft_item" => EventKind::CraftItem,
        "use_item" => EventKind::UseItem,
        "drop" => EventKind::Drop,
        "break_item" => EventKind::BreakItem,
        _ => return None,
    })
}

/// The file, and how far it was read.
pub(super) struct Report {
    file: File,
    /// A line that has not ended yet.
    rest: String,
    buffer: Vec<u8>,
}

impl Report {
    /// The file at `path`, which is made if it is not there.
    pub(super) fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::options().read(true).append(true).create(true).open(path)?;
        Ok(Self { file, rest: String::new(), buffer: Vec::new() })
    }

    /// Everything told since the last call.
    pub(super) fn read(&mut self) -> std::io::Result<Told> {
        self.buffer.clear();
        self.file.read_to_end(&mut self.buffer)?;
        let mut told = Told::default();
        if self.buffer.is_empty() {
            return Ok(told);
        }
        self.rest.push_str(&String::from_utf8_lossy(&self.buffer));
        let end = self.rest.rfind('\n').map_or(0, |at| at + 1);
        for line in self.rest[..end].lines() {
            match serde_json::from_str(line) {
                Ok(line) => told.add(line),
                Err(error) => tracing::warn!(%error, line, "the game's script told something unknown"),
            }
        }
        self.rest.drain(..end);
        Ok(told)
    }

    /// Empties the file: the game appends, so nothing of what follows is lost.
    pub(super) fn forget(&mut self) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.rest.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_are_read_once_and_only_when_whole() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut report = Report::open(file.path()).unwrap();
        let mut game = File::options().append(true).open(file.path()).unwrap();
        let lines =
            "{\"joined\":\"42\"}\n{\"event\":\"pickup\",\"item\":\"default:tree\",\"count\":2.0}\n{\"eve";
        game.write_all(lines.as_bytes()).unwrap();
        let told = report.read().unwrap();
        assert!(told.joined && told.reset.is_none());
        assert_eq!(told.events, [Event { kind: EventKind::Pickup, item: "log", quantity: 2 }]);
        game.write_all(b"nt\":\"drop\",\"item\":\"default:wood\",\"count\":1}\n{\"died\":true}\n").unwrap();
        let told = report.read().unwrap();
        assert_eq!(told.events, [Event { kind: EventKind::Drop, item: "planks", quantity: 1 }]);
        assert!(told.died && !report.read().unwrap().died);
        report.forget().unwrap();
        game.write_all(b"{\"reset\":7.0,\"pos\":[1,2,3]}\n").unwrap();
        assert_eq!(report.read().unwrap().reset, Some((7, None)));
    }

    #[test]
    fn what_has_no_counterpart_is_no_event() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "{\"event\":\"pickup\",\"item\":\"default:papyrus\",\"count\":1}\nnonsense\n\
             {\"event\":\"sneeze\",\"item\":\"default:tree\",\"count\":1}\n{\"reset\":1,\"failed\":\"why\"}\n",
        )
        .unwrap();
        let told = Report::open(file.path()).unwrap().read().unwrap();
        assert!(told.events.is_empty());
        assert_eq!(told.reset, Some((1, Some("why".to_owned()))));
    }

    #[test]
    fn a_state_is_read() {
        let line = "{\"state\":{\"pos\":[1.5,2.0,3.0],\"eye\":[1.5,3.5,3.0],\"yaw\":-90.0,\"pitch\":0.5,\
                    \"pointed\":{\"at\":[1.0,2,3],\"name\":\"default:tree\"},\"trunks\":[[1.0,2,3,4.0]]}}\n";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), line).unwrap();
        let state = Report::open(file.path()).unwrap().read().unwrap().state.unwrap();
        assert_eq!((state.yaw, state.trunks[0], state.pointed.unwrap().at), (-90.0, [1, 2, 3, 4], [1, 2, 3]));
    }
}
