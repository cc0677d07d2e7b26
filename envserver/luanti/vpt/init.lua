-- Episodes, events and the state of play, for the envserver that runs this game.
--
-- The envserver puts commands into <world>/vpt_command (a JSON list, renamed into place) and reads <world>/vpt_report, to
-- which every server step appends lines of JSON: events in the order they happened, then answers, then, when it was asked
-- for, the state of play. The game stands still while the envserver reads and writes.

local world = minetest.get_worldpath()
local path = minetest.get_modpath(minetest.get_current_modname())
local report = assert(io.open(world .. "/vpt_report", "a"))

vpt = {}

local dirty = false

-- Appends a line; it reaches the envserver with the step.
function vpt.tell(line)
	report:write(minetest.write_json(line), "\n")
	dirty = true
end

dofile(path .. "/events.lua")
dofile(path .. "/changes.lua")
dofile(path .. "/places.lua")
dofile(path .. "/episode.lua")
dofile(path .. "/state.lua")

-- Whether the state of play is told in every step.
local telling = false

local function commands()
	local file = io.open(world .. "/vpt_command", "r")
	if not file then return {} end
	local text = file:read("*a")
	file:close()
	os.remove(world .. "/vpt_command")
	return minetest.parse_json(text) or {}
end

local handlers = {
	reset = vpt.reset,
	state = function() telling = true end,
}

minetest.register_on_joinplayer(function(player)
	player:hud_set_flags({minimap = false, minimap_radar = false, basic_debug = false})
	player:hud_set_hotbar_itemcount(9)
	-- The game's own picture has eight places.
	player:hud_set_hotbar_image("")
	player:hud_set_hotbar_selected_image("")
	player:get_inventory():set_size("main", 36)
	vpt.tell({joined = minetest.get_mapgen_setting("seed")})
end)

minetest.register_globalstep(function()
	local player = minetest.get_connected_players()[1]
	if player then
		for _, command in ipairs(commands()) do
			handlers[command.what](player, command)
		end
		vpt.go_on(player)
		if telling then vpt.tell_state(player) end
	end
	if dirty then
		report:flush()
		dirty = false
	end
end)
