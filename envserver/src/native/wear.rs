//! Wear: tools have so many uses, each block broken costs one, and at the last the tool is gone.

use super::block::{Block, Tool};
use super::item::{Item, Slot};

/// Uses that breaking `block` costs a tool: none where the block breaks at a touch, two for a sword.
fn cost(block: Block, kind: Tool) -> u16 {
    match (block.hardness(), kind) {
        (None, _) => 0,
        (Some(0.0), _) => 0,
        (Some(_), Tool::Sword) => 2,
        (Some(_), _) => 1,
    }
}

/// Wears what broke `block`; a tool at its end leaves the slot and is returned.
pub(crate) fn wear(slot: &mut Slot, block: Block) -> Option<Item> {
    let tool = slot.as_ref()?.item.tool()?;
    wear_by(slot, cost(block, tool.kind))
}

/// Wears a tool by so many uses; at its end it leaves the slot and is returned.
pub(crate) fn wear_by(slot: &mut Slot, uses: u16) -> Option<Item> {
    let stack = slot.as_mut()?;
    let tool = stack.item.tool()?;
    let item = stack.item;
    stack.worn = stack.worn.saturating_add(uses);
    if stack.worn < tool.material.durability() {
        return None;
    }
    *slot = None;
    Some(item)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::item::Stack;

    /// Blocks broken until the tool is gone.
    fn lasts(item: Item, block: Block) -> Option<usize> {
        let mut slot = Some(Stack::new(item, 1));
        (1..4000).find(|_| wear(&mut slot, block) == Some(item) && slot.is_none())
    }

    #[test]
    fn tools_last_as_many_blocks_as_their_material_says() {
        let table = [
            (Item::WoodenPickaxe, 59),
            (Item::StoneAxe, 131),
            (Item::IronShovel, 250),
            (Item::DiamondPickaxe, 1561),
            (Item::WoodenSword, 30),
            (Item::DiamondSword, 781),
            (Item::StoneHoe, 131),
        ];
        for (item, blocks) in table {
            assert_eq!(lasts(item, Block::Stone), Some(blocks), "{item:?}");
        }
    }

    #[test]
    fn what_breaks_at_a_touch_and_what_is_no_tool_does_not_wear() {
        assert_eq!(lasts(Item::WoodenPickaxe, Block::Torch), None);
        assert_eq!(lasts(Item::Log, Block::Stone), None);
        assert_eq!(wear(&mut None, Block::Stone), None);
    }

    #[test]
    fn worn_tools_do_not_become_new_by_moving() {
        let worn = Stack { worn: 7, ..Stack::new(Item::IronAxe, 1) };
        let mut from = Some(worn);
        let mut to = None;
        let taken = crate::native::inventory::take(&mut from, 64);
        assert_eq!(taken.and_then(|stack| crate::native::inventory::pour(stack, &mut to)), None);
        assert_eq!(to, Some(worn));
        assert_ne!(Stack::bits(to), Stack::bits(Some(Stack::new(Item::IronAxe, 1))));
    }
}
