-- What an episode changes in the world is put back when the next one starts: places are used again.

local changed = {}
local count = 0

local function remember(pos)
	local key = minetest.hash_node_position(vector.round(pos))
	if changed[key] == nil then
		changed[key] = minetest.get_node(pos)
		count = count + 1
	end
end

local set_node = minetest.set_node
for _, name in ipairs({"set_node", "add_node", "swap_node", "remove_node"}) do
	local real = minetest[name]
	minetest[name] = function(pos, ...)
		remember(pos)
		return real(pos, ...)
	end
end

-- Whether the episode has changed a node.
function vpt.is_changed(pos)
	return changed[minetest.hash_node_position(pos)] ~= nil
end

-- Puts everything back; how many nodes that was.
function vpt.undo()
	local undone = count
	for key, node in pairs(changed) do
		if node.name ~= "ignore" then set_node(minetest.get_position_from_hash(key), node) end
	end
	changed, count = {}, 0
	return undone
end

-- Removes what lies or flies around a player.
function vpt.sweep(player)
	for _, object in ipairs(minetest.get_objects_inside_radius(player:get_pos(), 80)) do
		if not object:is_player() then object:remove() end
	end
end
