-- Starting an episode: a spot is found, the land around it made, the player put there with what the task gives.

-- Places looked at for one episode, and nodes of land made around a place.
local TRIES = 40
local AROUND = {x = 39, y = 40, z = 39}
-- Steps that the player stands at a spot before it is reported.
local REST = 3

local found = {}
local episode

-- Makes the land around a place, then goes on.
local function make(place, after)
	minetest.emerge_area(vector.subtract(place, AROUND), vector.add(place, AROUND), function(_, _, left)
		if left == 0 then after() end
	end)
end

local function give(player, command)
	local inventory = player:get_inventory()
	for name in pairs(inventory:get_lists()) do inventory:set_list(name, {}) end
	for _, item in ipairs(command.inventory or {}) do inventory:add_item("main", item) end
end

local function put(player, spot)
	local command = episode.command
	player:set_pos({x = spot.x, y = spot.y - 0.5, z = spot.z})
	player:set_velocity(vector.zero())
	player:set_look_horizontal(math.rad(command.yaw or 0))
	player:set_look_vertical(0)
	episode.spot, episode.rest = spot, REST
end

local function look_for(player)
	local command = episode.command
	-- The key says which place it is; the try, which of the chunks that could be it.
	local key = command.place
	episode.try = episode.try + 1
	if episode.try > TRIES then
		vpt.tell({reset = command.id, failed = "no spot satisfies the task"})
		episode = nil
		return
	end
	local name = key .. ":" .. episode.try
	local place = found[name]
	if place == nil then
		place = vpt.candidate(PcgRandom(key * 1000 + episode.try)) or false
		found[name] = place
	end
	if not place then return look_for(player) end
	episode.making = true
	make(place, function()
		if not episode or episode.command ~= command then return end
		episode.making = false
		local spot = vpt.spot(place, PcgRandom(command.seed), command.trunk_distance)
		if spot then put(player, spot) else look_for(player) end
	end)
end

function vpt.reset(player, command)
	vpt.undo()
	vpt.sweep(player)
	give(player, command)
	player:set_armor_groups({immortal = command.survival and 0 or 1, fleshy = 100})
	player:set_hp(20)
	player:set_breath(10)
	minetest.settings:set("time_speed", command.survival and "72" or "0")
	minetest.set_timeofday(0.5)
	episode = {command = command, try = 0}
	look_for(player)
end

-- The dead are put where the next episode starts, not where the game would have them.
minetest.register_on_respawnplayer(function()
	return true
end)

-- Once a step: reports the reset when the player has come to rest at the spot.
function vpt.go_on(player)
	if not episode or not episode.spot then return end
	episode.rest = episode.rest - 1
	if episode.rest > 0 then return end
	vpt.tell_state(player)
	vpt.tell({reset = episode.command.id})
	episode = nil
end
