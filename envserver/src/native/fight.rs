//! Blows with what is in hand: how hard, how often, and what they cost (Java 1.16).

use super::block::Tool;
use super::item::{Item, Material, Slot};
use super::wear::wear_by;

/// How far a blow reaches, metres from the eye.
pub(crate) const REACH: f64 = 3.0;
/// What a well-timed blow on the way down is worth.
const CRITICAL: f32 = 1.5;
/// Charge from which a blow counts as well timed.
const WELL_TIMED: f32 = 0.9;

/// Half hearts a fully charged blow takes.
pub(crate) fn damage(held: Option<Item>) -> f32 {
    let Some(tool) = held.and_then(Item::tool) else { return 1.0 };
    let tier = f32::from(tool.material.tier());
    match (tool.kind, tool.material) {
        (Tool::Sword, _) => 3.0 + tier,
        (Tool::Axe, Material::Wood) => 7.0,
        (Tool::Axe, _) => 9.0,
        (Tool::Pickaxe, _) => 1.0 + tier,
        (Tool::Shovel, _) => 1.5 + tier,
        (Tool::Hoe, _) => 1.0,
    }
}

/// Fully charged blows in a second.
fn speed(held: Option<Item>) -> f32 {
    let Some(tool) = held.and_then(Item::tool) else { return 4.0 };
    match (tool.kind, tool.material) {
        (Tool::Sword, _) => 1.6,
        (Tool::Axe, Material::Wood | Material::Stone) => 0.8,
        (Tool::Axe, Material::Iron) => 0.9,
        (Tool::Pickaxe, _) => 1.2,
        (Tool::Hoe, material) => f32::from(material.tier()),
        (Tool::Axe | Tool::Shovel, _) => 1.0,
    }
}

/// Ticks since the arm last struck at somebody or at nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arm {
    rested: u16,
    held: Option<Item>,
}

/// A blow as it leaves the arm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Blow {
    pub(crate) points: f32,
    pub(crate) well_timed: bool,
}

impl Arm {
    /// One tick; another thing in hand has to be got ready first.
    pub(crate) fn tick(&mut self, held: Option<Item>) {
        self.rested = if held == self.held { self.rested.saturating_add(1) } else { 0 };
        self.held = held;
    }

    /// Strikes, on the way `down` the harder, and begins to rest.
    pub(crate) fn strike(&mut self, down: bool) -> Blow {
        let charge = ((f32::from(self.rested) + 0.5) * speed(self.held) / 20.0).min(1.0);
        self.rested = 0;
        let well_timed = charge > WELL_TIMED;
        let critical = if down && well_timed { CRITICAL } else { 1.0 };
        Blow { points: damage(self.held) * (0.2 + 0.8 * charge * charge) * critical, well_timed }
    }

    /// What decides the future, for hashing.
    pub(crate) fn bits(&self) -> u64 {
        u64::from(self.rested) << 8 | self.held.map_or(0, |item| 1 + item as u64)
    }
}

/// Wears what struck somebody: a sword by one use, other tools by two. A tool at its end is returned.
pub(crate) fn wear(slot: &mut Slot) -> Option<Item> {
    let tool = slot.as_ref()?.item.tool()?;
    wear_by(slot, if tool.kind == Tool::Sword { 1 } else { 2 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::item::Stack;

    #[test]
    fn blows_are_as_hard_as_the_games() {
        let table = [
            (None, 1.0),
            (Some(Item::Log), 1.0),
            (Some(Item::WoodenSword), 4.0),
            (Some(Item::StoneSword), 5.0),
            (Some(Item::IronSword), 6.0),
            (Some(Item::DiamondSword), 7.0),
            (Some(Item::WoodenAxe), 7.0),
            (Some(Item::StoneAxe), 9.0),
            (Some(Item::DiamondAxe), 9.0),
            (Some(Item::WoodenPickaxe), 2.0),
            (Some(Item::DiamondPickaxe), 5.0),
            (Some(Item::StoneShovel), 3.5),
            (Some(Item::IronHoe), 1.0),
        ];
        for (held, points) in table {
            assert_eq!(damage(held), points, "{held:?}");
        }
    }

    #[test]
    fn an_arm_that_has_not_rested_strikes_weakly() {
        let mut arm = Arm::default();
        let mut after = |item: Option<Item>, ticks: usize| {
            (0..ticks).for_each(|_| arm.tick(item));
            arm.strike(false).points
        };
        let sword = Some(Item::IronSword);
        assert_eq!(after(sword, 40), 6.0);
        // Half a tick of 12.5: a fifth and a little.
        let hasty = after(sword, 0);
        assert!((hasty - 6.0 * (0.2 + 0.8 * 0.04 * 0.04)).abs() < 1e-5, "{hasty}");
        assert!(after(sword, 11) < 6.0 && after(sword, 12) == 6.0);
        assert!(after(None, 5) < 1.0 && after(None, 5) == 1.0, "the hand is ready after five ticks");
        (0..40).for_each(|_| arm.tick(sword));
        assert_eq!(arm.strike(true), Blow { points: 9.0, well_timed: true });
        assert!(!arm.strike(true).well_timed);
    }

    #[test]
    fn swords_wear_by_one_and_other_tools_by_two() {
        for (item, blows) in [(Item::WoodenSword, 59), (Item::StoneAxe, 66), (Item::IronPickaxe, 125)] {
            let mut slot = Some(Stack::new(item, 1));
            let lasted = (1..2000).find(|_| wear(&mut slot) == Some(item));
            assert_eq!((lasted, slot), (Some(blows), None), "{item:?}");
        }
        let mut log = Some(Stack::new(Item::Log, 3));
        assert_eq!(wear(&mut log), None);
        assert_eq!(log, Some(Stack::new(Item::Log, 3)));
    }
}
