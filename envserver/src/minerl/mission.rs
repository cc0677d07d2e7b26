//! What an episode is started with: HumanSurvival, as the published policies were trained in it.
//!
//! The game reads the text strictly: the name space must be there, and elements it does not know are errors.

use std::fmt::Write;

use super::error::MineRlError;
use super::names;
use crate::native::item::Item;
use crate::task::Task;

/// Width and height of the game's picture.
pub(super) const SIZE: (usize, usize) = (640, 360);

/// In front of what a player is given.
const BEGIN: &str = "<MissionInit xmlns=\"http://ProjectMalmo.microsoft.com\" SchemaVersion=\"\" PlatformVersion=\"0.37.0\">\
    <Mission><About><Summary>MineRLHumanSurvival-v0</Summary></About>\
    <ModSettings><MsPerTick>50</MsPerTick></ModSettings>\
    <ServerSection><ServerInitialConditions><Time><AllowPassageOfTime>true</AllowPassageOfTime></Time>\
    <AllowSpawning>true</AllowSpawning></ServerInitialConditions>\
    <ServerHandlers><DefaultWorldGenerator forceReset=\"true\" generatorOptions=\"\"/><ServerQuitWhenAnyAgentFinishes/>\
    </ServerHandlers></ServerSection>\
    <AgentSection mode=\"Survival\"><Name>MineRLAgent0</Name>\
    <AgentStart><LowLevelInputs>true</LowLevelInputs><GuiScale>1</GuiScale><GammaSetting>2.0</GammaSetting>\
    <FOVSetting>70.0</FOVSetting><FakeCursorSize>16</FakeCursorSize><DoneOnDeath>true</DoneOnDeath>";

/// Malmo's own connections, none of which this protocol uses.
const PORTS: [&str; 7] = [
    "AgentMissionControlPort",
    "AgentVideoPort",
    "AgentDepthPort",
    "AgentLuminancePort",
    "AgentObservationsPort",
    "AgentRewardsPort",
    "AgentColourMapPort",
];

/// The two frames that start an episode.
#[derive(Debug)]
pub(super) struct Mission {
    pub(super) xml: String,
    pub(super) token: String,
}

impl Mission {
    /// An episode of `task` in the world of `seed`; `id` tells it from others.
    pub(super) fn new(task: &Task, seed: u64, id: &str) -> Result<Self, MineRlError> {
        let mut xml = BEGIN.to_owned();
        xml += &inventory(task)?;
        let (width, height) = SIZE;
        // A string takes everything.
        let _ = write!(
            xml,
            "</AgentStart><AgentHandlers><VideoProducer want_depth=\"false\"><Width>{width}</Width><Height>{height}</Height>\
             </VideoProducer><ObservationFromFullInventory flat=\"false\"/><ObservationFromFullStats/><HumanLevelCommands/>\
             <CameraCommands/></AgentHandlers></AgentSection></Mission><ExperimentUID>{}</ExperimentUID>\
             <ClientRole>0</ClientRole>{}</MissionInit>",
            escaped(id),
            connection(),
        );
        // The game's seeds have a sign.
        let seed = seed.cast_signed();
        Ok(Self { xml, token: format!("{id}:0:0:1:true:{seed}") })
    }
}

fn connection() -> String {
    let mut text = "<ClientAgentConnection><ClientIPAddress>127.0.0.1</ClientIPAddress>\
        <ClientMissionControlPort>0</ClientMissionControlPort><ClientCommandsPort>0</ClientCommandsPort>\
        <AgentIPAddress>127.0.0.1</AgentIPAddress>"
        .to_owned();
    for port in PORTS {
        let _ = write!(text, "<{port}>0</{port}>");
    }
    text + "</ClientAgentConnection>"
}

/// What the player starts with, from the first slot on.
fn inventory(task: &Task) -> Result<String, MineRlError> {
    if task.inventory.is_empty() {
        return Ok(String::new());
    }
    let (mut text, mut slot) = ("<Inventory>".to_owned(), 0);
    for entry in &task.inventory {
        let none = || MineRlError::NoCounterpart { task: task.name.clone(), item: entry.item.clone() };
        let item = Item::from_name(&entry.item).ok_or_else(none)?;
        let name = names::theirs(item.name());
        let (stack, mut left) = (u32::from(item.max_stack()), entry.count);
        while left > 0 {
            let quantity = left.min(stack);
            let _ = write!(
                text,
                "<InventoryObject slot=\"{slot}\" type=\"{}\" quantity=\"{quantity}\"/>",
                escaped(&name)
            );
            left -= quantity;
            slot += 1;
        }
    }
    Ok(text + "</Inventory>")
}

/// A text as it may stand in an element or an attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::golden;
    use super::*;

    #[test]
    fn a_mission_is_written_as_it_is_described() {
        let task = Task::resolve("diamond_pickaxe").unwrap();
        let mission = Mission::new(&task, (-1_234_567_i64).cast_unsigned(), "vpt-7").unwrap();
        let expected = String::from_utf8(golden::MISSION_INIT[1..].concat()).unwrap();
        assert_eq!(mission.xml, expected);
        assert_eq!(mission.token.as_bytes(), golden::TOKEN[1..].concat());
    }

    #[test]
    fn what_a_task_gives_is_spread_over_slots_by_the_games_names() {
        let text = "name='x'\nepisode_steps=5\n[[inventory]]\nitem='log'\ncount=65\n[[inventory]]\nitem='iron_pickaxe'";
        let mission = Mission::new(&Task::parse(text).unwrap(), 1, "a").unwrap();
        let given = "<DoneOnDeath>true</DoneOnDeath><Inventory><InventoryObject slot=\"0\" type=\"oak_log\" quantity=\"64\"/>\
            <InventoryObject slot=\"1\" type=\"oak_log\" quantity=\"1\"/>\
            <InventoryObject slot=\"2\" type=\"iron_pickaxe\" quantity=\"1\"/></Inventory></AgentStart>";
        assert!(mission.xml.contains(given), "{}", mission.xml);
    }

    #[test]
    fn texts_cannot_leave_their_element() {
        assert_eq!(escaped("a<b>&\"c'"), "a&lt;b&gt;&amp;&quot;c&apos;");
    }
}
