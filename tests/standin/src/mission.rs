//! What a mission asks for, as far as the embedded world has it.

use std::hash::{BuildHasher, RandomState};

use vpt_envserver::native::item::Item;
use vpt_envserver::task::{ItemCount, Mobs, Task};

use crate::error::ConnectionError;
use crate::names;
use crate::xml::{self, Element};

const NAMESPACE: &str = "http://ProjectMalmo.microsoft.com";
/// What the window has when no size is asked for.
const WINDOW: (usize, usize) = (640, 360);
/// Longest side of a picture.
const LONGEST_SIDE: usize = 2048;
/// What an agent may begin with.
const SLOTS: usize = 36;
/// What the game does without and JAXB or the code behind it does not.
const NEEDED: [&str; 4] = ["GuiScale", "GammaSetting", "FOVSetting", "FakeCursorSize"];

/// A mission.
#[derive(Debug, PartialEq)]
pub(crate) struct Mission {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) seed: i64,
    pub(crate) name: String,
    /// Whether `inventory` is told.
    pub(crate) tells_inventory: bool,
    /// Whether `equipped_items` is told.
    pub(crate) tells_equipment: bool,
    /// Whether everything else is told.
    pub(crate) tells_stats: bool,
    done_on_death: bool,
    has_mobs: bool,
    inventory: Vec<ItemCount>,
}

impl Mission {
    /// A mission from its two frames.
    pub(crate) fn parse(text: &str, token: &str) -> Result<Self, ConnectionError> {
        Self::read(text, token).map_err(ConnectionError::Mission)
    }

    fn read(text: &str, token: &str) -> Result<Self, String> {
        let root = xml::parse(text)?;
        let spaces = ["xmlns", "xmlns:ns0", "xmlns:ns1"].map(|name| root.attribute(name));
        if root.name != "MissionInit" || !spaces.contains(&Some(NAMESPACE)) {
            return Err(format!("`MissionInit` of {NAMESPACE} is missing"));
        }
        let agent = root.find("AgentSection").ok_or("`AgentSection` is missing")?;
        let start = agent.find("AgentStart").ok_or("`AgentStart` is missing")?;
        for name in NEEDED {
            number::<f64>(start, name)?.ok_or_else(|| format!("`{name}` is missing"))?;
        }
        for name in ["LoadWorldFile", "RemoteServer"] {
            if root.find(name).is_some() {
                return Err(format!("`{name}`: the stand-in only makes new worlds"));
            }
        }
        let (width, height) = picture_size(agent)?;
        let seed = seed_of_token(token).map_or_else(|| number(start, "WorldSeed"), |seed| Ok(Some(seed)))?;
        Ok(Self {
            width,
            height,
            seed: seed.unwrap_or_else(random_seed),
            name: agent.text_of("Name").unwrap_or_default().to_owned(),
            tells_inventory: agent.find("ObservationFromFullInventory").is_some(),
            tells_equipment: agent.find("ObservationFromEquippedItem").is_some(),
            tells_stats: agent.find("ObservationFromFullStats").is_some(),
            done_on_death: flag(start, "DoneOnDeath")?.unwrap_or(false),
            has_mobs: flag(&root, "AllowSpawning")?.unwrap_or(true),
            inventory: inventory(start)?,
        })
    }

    /// The task that the embedded world plays: `base` where the mission says nothing.
    pub(crate) fn task(&self, base: &Task) -> Task {
        Task {
            survival: true,
            respawn: !self.done_on_death,
            mobs: if self.has_mobs { base.mobs } else { Mobs::None },
            inventory: if self.inventory.is_empty() {
                base.inventory.clone()
            } else {
                self.inventory.clone()
            },
            ..base.clone()
        }
    }
}

/// The sixth part of `uid:role:resets:agents:true:seed`.
fn seed_of_token(token: &str) -> Option<i64> {
    let part = token.split(':').nth(5)?;
    part.parse().inspect_err(|_| tracing::warn!(token, "invalid seed in the mission's token")).ok()
}

fn random_seed() -> i64 {
    RandomState::new().hash_one("seed") as i64
}

fn picture_size(agent: &Element) -> Result<(usize, usize), String> {
    let Some(video) = agent.find("VideoProducer") else { return Ok(WINDOW) };
    let side = |name| {
        let side: usize = number(video, name)?.ok_or_else(|| format!("`{name}` is missing"))?;
        if (1..=LONGEST_SIDE).contains(&side) {
            Ok(side)
        } else {
            Err(format!("`{name}` is {side}; it has to be within 1..={LONGEST_SIDE}"))
        }
    };
    Ok((side("Width")?, side("Height")?))
}

fn inventory(start: &Element) -> Result<Vec<ItemCount>, String> {
    let Some(given) = start.find("Inventory") else { return Ok(Vec::new()) };
    let mut items = Vec::new();
    for object in given.children().take(SLOTS) {
        let kind = object.attribute("type").unwrap_or_default();
        let quantity = object.attribute("quantity").unwrap_or("1");
        let count: u32 = quantity.parse().map_err(|_| format!("`quantity` is {quantity:?}"))?;
        // What the game does not know becomes air.
        if let Some(item) = Item::from_name(names::ours(kind)).filter(|_| count > 0) {
            items.push(ItemCount {
                item: item.name().to_owned(),
                count: count.min(u32::from(item.max_stack())),
            });
        }
    }
    Ok(items)
}

fn number<T: std::str::FromStr>(inside: &Element, name: &str) -> Result<Option<T>, String> {
    let Some(text) = inside.text_of(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| format!("`{name}` is {text:?}"))
}

fn flag(inside: &Element, name: &str) -> Result<Option<bool>, String> {
    match inside.text_of(name) {
        None => Ok(None),
        Some("true" | "1") => Ok(Some(true)),
        Some("false" | "0") => Ok(Some(false)),
        Some(other) => Err(format!("`{name}` is {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "vpt-7:0:0:1:true:-1234567";

    /// A small mission with something more in its `AgentStart`, and other handlers.
    fn mission(more: &str, handlers: &str) -> String {
        format!(
            "<MissionInit xmlns=\"{NAMESPACE}\"><Mission><AgentSection mode=\"Survival\"><Name>a</Name><AgentStart>\
             <GuiScale>1</GuiScale><GammaSetting>2.0</GammaSetting><FOVSetting>70.0</FOVSetting>\
             <FakeCursorSize>16</FakeCursorSize>{more}</AgentStart><AgentHandlers>{handlers}</AgentHandlers>\
             </AgentSection></Mission></MissionInit>"
        )
    }

    fn seed(more: &str, token: &str) -> i64 {
        Mission::parse(&mission(more, ""), token).unwrap().seed
    }

    #[test]
    fn the_tokens_seed_comes_before_the_missions() {
        let world = "<WorldSeed>5</WorldSeed>";
        assert_eq!(seed(world, TOKEN), -1_234_567);
        assert_eq!((seed(world, "u:0:0:1:true"), seed(world, "u:0:0:1:true:None")), (5, 5));
        assert_ne!(seed("", "u:0:0:1:true"), seed("", "u:0:0:1:true"), "random without either");
    }

    #[test]
    fn a_mission_says_what_is_seen_and_carried() {
        let more = "<Inventory><InventoryObject slot=\"0\" type=\"oak_log\" quantity=\"70\"/><InventoryObject slot=\"1\" \
                    type=\"elytra\" quantity=\"1\"/></Inventory><DoneOnDeath>true</DoneOnDeath>";
        let handlers =
            "<VideoProducer><Width>64</Width><Height>36</Height></VideoProducer><ObservationFromFullStats/>";
        let read = Mission::parse(&mission(more, handlers), TOKEN).unwrap();
        assert_eq!((read.width, read.height, read.tells_inventory, read.tells_stats), (64, 36, false, true));
        let base = Task::resolve("diamond_pickaxe").unwrap();
        let task = read.task(&base);
        assert!(task.survival && !task.respawn);
        assert_eq!(
            (task.mobs, task.inventory),
            (base.mobs, vec![ItemCount { item: "log".into(), count: 64 }])
        );
        let plain = Mission::parse(&mission("", ""), TOKEN).unwrap();
        assert_eq!((plain.width, plain.height, plain.task(&base).respawn), (640, 360, true));
    }

    #[test]
    fn space_comments_and_other_namespaces_are_no_matter() {
        let handlers = "<!-- seen --><VideoProducer want_depth=\"false\">\n<Width>320 </Width> <Height>\t180</Height>\n\
                        </VideoProducer><ChatCommands> </ChatCommands>";
        let text = mission("", handlers).replace("xmlns=", "xmlns:xsi=\"http://www.w3.org\" xmlns=");
        let read = Mission::parse(&format!("<?xml version=\"1.0\"?>\n{text}\n"), TOKEN).unwrap();
        assert_eq!((read.width, read.height), (320, 180));
    }

    #[test]
    fn what_the_game_would_stumble_over_is_refused() {
        let good = mission("", "");
        let sizes =
            |width: &str| format!("<VideoProducer><Width>{width}</Width><Height>9</Height></VideoProducer>");
        let texts = [
            good.replace(NAMESPACE, "http://example.org"),
            good.replace("MissionInit", "Mission"),
            good.replace("<GammaSetting>2.0</GammaSetting>", ""),
            good.replace("AgentStart", "AgentBegin"),
            good.replace("</Mission>", ""),
            mission("<DoneOnDeath>yes</DoneOnDeath>", ""),
            mission("<LoadWorldFile>a.zip</LoadWorldFile>", ""),
            mission("<WorldSeed>x</WorldSeed>", ""),
            mission("", &sizes("0")),
            mission("", &sizes("100000")),
            mission("", &sizes("6.4")),
            mission("", "<VideoProducer/>"),
        ];
        for text in texts {
            let token = if text.contains("WorldSeed") { "u" } else { TOKEN };
            assert!(matches!(Mission::parse(&text, token), Err(ConnectionError::Mission(_))), "{text}");
        }
    }
}
