-- The state of play, for the scripted player: where it is, where it looks, and where the logs are.

local REACH = 4.0
local FAR = 16

local function pointed(player, eye)
	local ends = vector.add(eye, vector.multiply(player:get_look_dir(), REACH))
	for thing in minetest.raycast(eye, ends, false, false) do
		if thing.type == "node" then return thing.under end
	end
	return nil
end

local function numbers(pos)
	return {pos.x, pos.y, pos.z}
end

function vpt.tell_state(player)
	local pos = player:get_pos()
	local eye = vector.offset(pos, 0, player:get_properties().eye_height, 0)
	local under = pointed(player, eye)
	local trunks = {}
	for _, trunk in ipairs(vpt.trunks(vector.round(pos), FAR)) do
		local height = 0
		local log = {x = trunk.x, y = trunk.y, z = trunk.z}
		while height < 8 and minetest.get_item_group(minetest.get_node(log).name, "tree") > 0 do
			height = height + 1
			log.y = log.y + 1
		end
		trunks[#trunks + 1] = {trunk.x, trunk.y, trunk.z, height}
	end
	local slots = {}
	for slot, stack in ipairs(player:get_inventory():get_list("main")) do
		slots[slot] = {stack:get_name(), stack:get_count()}
	end
	vpt.tell({state = {
		pos = numbers(pos),
		eye = numbers(eye),
		yaw = -math.deg(player:get_look_horizontal()),
		pitch = math.deg(player:get_look_vertical()),
		pointed = under and {at = numbers(under), name = minetest.get_node(under).name},
		trunks = trunks,
		slots = slots,
		hand = player:get_wield_index() - 1,
	}})
end
