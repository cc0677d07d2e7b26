-- What happens to items: by MineRL's kinds, with the game's own names.

local function event(kind, name, count)
	if name and name ~= "" and (count or 1) > 0 then
		vpt.tell({event = kind, item = name, count = count or 1})
	end
end

minetest.register_on_dignode(function(_, old)
	event("mine_block", old.name)
end)

-- What is dug goes straight into the inventory; what finds no room lies on the ground and is picked up by a punch.
local handle_node_drops = minetest.handle_node_drops
function minetest.handle_node_drops(pos, drops, digger)
	local inventory = digger and digger:get_inventory()
	for _, drop in ipairs(drops) do
		local stack = ItemStack(drop)
		local left = inventory and inventory:room_for_item("main", stack)
		if left then event("pickup", stack:get_name(), stack:get_count()) end
	end
	return handle_node_drops(pos, drops, digger)
end

minetest.register_on_mods_loaded(function()
	local item = minetest.registered_entities["__builtin:item"]
	local on_punch = item.on_punch
	item.on_punch = function(self, hitter, ...)
		local before = ItemStack(self.itemstring)
		local result = on_punch(self, hitter, ...)
		-- What is left over stays; what was taken is gone from the entity.
		local after = ItemStack(self.itemstring)
		event("pickup", before:get_name(), before:get_count() - after:get_count())
		return result
	end
end)

minetest.register_on_craft(function(stack)
	event("craft_item", stack:get_name(), stack:get_count())
end)

-- Taking what a furnace made counts as crafting, as it does in Minecraft.
for _, name in ipairs({"default:furnace", "default:furnace_active"}) do
	local take = minetest.registered_nodes[name].on_metadata_inventory_take
	minetest.override_item(name, {
		on_metadata_inventory_take = function(pos, list, index, stack, player)
			if list == "dst" then event("craft_item", stack:get_name(), stack:get_count()) end
			if take then return take(pos, list, index, stack, player) end
		end,
	})
end

minetest.register_on_placenode(function(_, node)
	event("use_item", node.name)
end)

minetest.register_on_item_eat(function(_, _, stack)
	event("use_item", stack:get_name())
end)

local item_drop = minetest.item_drop
function minetest.item_drop(stack, dropper, pos)
	event("drop", stack:get_name(), stack:get_count())
	return item_drop(stack, dropper, pos)
end

local node_dig = minetest.node_dig
function minetest.node_dig(pos, node, digger)
	local tool = digger and digger:get_wielded_item():get_name()
	local result = node_dig(pos, node, digger)
	if tool and tool ~= "" and digger:get_wielded_item():is_empty() then event("break_item", tool) end
	return result
end

minetest.register_on_dieplayer(function()
	vpt.tell({died = true})
end)
