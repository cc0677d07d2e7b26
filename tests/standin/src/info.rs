//! What is told beside the picture, under the names that MineRL's Java side gives it.

use serde_json::{Map, Value, json};
use vpt_envserver::native::item::Slot;
use vpt_envserver::native::observation::Observation;

use crate::mission::Mission;
use crate::names;
use crate::statistics::Statistics;

/// A moment to be told.
pub(crate) struct Moment<'a> {
    pub(crate) mission: &'a Mission,
    pub(crate) seen: &'a Observation,
    pub(crate) statistics: &'a Statistics,
    pub(crate) gui_open: bool,
    pub(crate) alive: bool,
}

/// The JSON text of `moment`. Biomes are not told: the embedded world keeps none.
pub(crate) fn tell(moment: &Moment<'_>) -> Vec<u8> {
    let mut info = Map::new();
    if moment.mission.tells_inventory {
        let stack = |(name, quantity): &(&'static str, u32)| json!({"type": names::theirs(name), "quantity": quantity});
        info.insert("inventory".to_owned(), moment.seen.inventory.iter().map(stack).collect());
    }
    if moment.mission.tells_stats {
        tell_stats(moment, &mut info);
    }
    if moment.mission.tells_equipment {
        info.insert("equipped_items".to_owned(), equipment(moment.seen));
    }
    info.insert("isGuiOpen".to_owned(), moment.gui_open.into());
    Value::Object(info).to_string().into_bytes()
}

/// Texts of JSON inside of the JSON, as the game has them.
fn equipment(seen: &Observation) -> Value {
    let names = ["mainhand", "offhand", "head", "chest", "legs", "feet"];
    let piece = |(name, slot): (&str, &Slot)| {
        let (kind, most, worn) = slot.map_or(("air", 0, 0), |stack| {
            (names::theirs(stack.item.name()), stack.item.durability().unwrap_or(0), stack.worn)
        });
        let text = json!({"type": kind, "maxDamage": most, "damage": worn}).to_string();
        (name.to_owned(), Value::from(text))
    };
    Value::Object(names.into_iter().zip(&seen.equipment).map(piece).collect())
}

fn tell_stats(moment: &Moment<'_>, info: &mut Map<String, Value>) {
    let seen = moment.seen;
    let (sky, block) = seen.light;
    let mut add = |name: &str, value: Value| info.insert(name.to_owned(), value);
    add("life", if moment.alive { seen.condition.health.into() } else { 0.0.into() });
    // The embedded world has no experience to gain and no weather.
    add("score", 0.into());
    add("xp", 0.into());
    add("is_raining", false.into());
    add("food", (seen.condition.food as i32).into());
    add("saturation", seen.condition.saturation.into());
    add("is_alive", moment.alive.into());
    add("air", seen.condition.air.into());
    add("name", moment.mission.name.clone().into());
    for (name, value) in ["xpos", "ypos", "zpos"].into_iter().zip(seen.position) {
        add(name, value.into());
    }
    add("yaw", seen.yaw.into());
    add("pitch", seen.pitch.into());
    add("can_see_sky", seen.sees_sky.into());
    add("light_level", block.max((f32::from(sky) * seen.daylight) as u8).into());
    add("sky_light_level", sky.into());
    add("sun_brightness", seen.daylight.into());
    add("world_time", seen.time_of_day.into());
    add("total_time", seen.ticks.into());
    add("distance_travelled_cm", moment.statistics.centimetres().into());
    moment.statistics.tell(info);
}
