-- Where episodes are played: places are middles of the game's chunks of land, found once each; spots lie within.

-- Land with trees on it. Jungle and snow are left out: dense woods cost five times as much to draw.
local BIOMES = {savanna = true, deciduous_forest = true, coniferous_forest = true}
local CHUNK, MIDDLE = 80, 8
-- Chunks in each direction that places are chosen from, and how many are looked at before giving up.
local FARTHEST, LOOKS = 300, 400
-- How far from a place's middle its spots lie, and how many are looked at.
local SPREAD, SPOTS = 16, 120
-- Trunks around a spot, at most.
local DENSE = 16

local function walkable(pos)
	local node = minetest.registered_nodes[minetest.get_node(pos).name]
	return node ~= nil and node.walkable
end

local function is_tree(pos)
	return minetest.get_item_group(minetest.get_node(pos).name, "tree") > 0
end

local function open(pos)
	local node = minetest.registered_nodes[minetest.get_node(pos).name]
	return node ~= nil and not node.walkable and node.liquidtype == "none" and not node.climbable
end

local function is_leaves(pos)
	return minetest.get_item_group(minetest.get_node(pos).name, "leaves") > 0
end

-- The height at which one stands at (x, z), from so much above y to so much below; none where there is water, a tree or
-- no ground. Leaves are looked through.
local function stand(x, y, z, above, below)
	for up = y + above, y - below, -1 do
		local ground = {x = x, y = up - 1, z = z}
		if walkable(ground) and not is_leaves(ground) then
			local free = open({x = x, y = up, z = z}) and open({x = x, y = up + 1, z = z})
			return free and not is_tree(ground) and up or nil
		end
		if minetest.get_item_group(minetest.get_node(ground).name, "water") > 0 then return nil end
	end
	return nil
end

-- Lowest logs of the trunks around a position: those that stand on ground, or above what was cut.
function vpt.trunks(pos, radius)
	local low, high = vector.offset(pos, -radius, -6, -radius), vector.offset(pos, radius, 8, radius)
	local found = {}
	for _, log in ipairs(minetest.find_nodes_in_area(low, high, "group:tree")) do
		local below = {x = log.x, y = log.y - 1, z = log.z}
		if not is_tree(below) then
			local stands = walkable(below) and not is_leaves(below) and is_tree({x = log.x, y = log.y + 1, z = log.z})
			if stands or vpt.is_changed(below) then found[#found + 1] = log end
		end
	end
	return found
end

-- Whether one can walk from a spot straight to a trunk.
local function leads(from, trunk)
	local dx, dz = trunk.x - from.x, trunk.z - from.z
	local length = math.sqrt(dx * dx + dz * dz)
	local y = from.y
	for step = 0.5, length - 1.2, 0.5 do
		local x, z = from.x + dx * step / length, from.z + dz * step / length
		local up = stand(math.floor(x + 0.5), y, math.floor(z + 0.5), 2, 2)
		if not up or math.abs(up - y) > 1 then return false end
		y = up
	end
	return math.abs(trunk.y - y) <= 1
end

local function nearest(trunks, spot)
	local best, least
	for _, trunk in ipairs(trunks) do
		local distance = math.sqrt((trunk.x - spot.x) ^ 2 + (trunk.z - spot.z) ^ 2)
		if not least or distance < least then best, least = trunk, distance end
	end
	return best, least
end

-- A spot within a place, anywhere on its ground; none if there is none.
local function any_spot(place, random)
	for _ = 1, SPOTS do
		local x = place.x + random:next(-SPREAD, SPREAD)
		local z = place.z + random:next(-SPREAD, SPREAD)
		local y = stand(x, place.y, z, 12, 12)
		if y then return {x = x, y = y, z = z} end
	end
	return nil
end

-- A spot within a place that is so far from the nearest trunk (least and most), to which one can walk; none if there is none.
function vpt.spot(place, random, distances)
	if not distances then return any_spot(place, random) end
	local goals = vpt.trunks(place, SPREAD)
	if #goals == 0 then return nil end
	for _ = 1, SPOTS do
		local goal = goals[random:next(1, #goals)]
		local angle, away = random:next(0, 359), random:next(0, 100) / 100
		local length = distances[1] + (distances[2] - distances[1]) * away
		local x = math.floor(goal.x + length * math.cos(math.rad(angle)) + 0.5)
		local z = math.floor(goal.z + length * math.sin(math.rad(angle)) + 0.5)
		local y = stand(x, goal.y, z, 4, 4)
		local spot = y and {x = x, y = y, z = z}
		local trunks = spot and vpt.trunks(spot, 16) or {}
		local trunk, distance = nearest(trunks, spot)
		if trunk and #trunks <= DENSE and distance >= distances[1] and distance <= distances[2]
				and leads(spot, trunk) then
			return spot
		end
	end
	return nil
end

-- The next place to look at: a chunk's middle on dry land with the right plants.
function vpt.candidate(random)
	for _ = 1, LOOKS do
		local x = MIDDLE + CHUNK * random:next(-FARTHEST, FARTHEST)
		local z = MIDDLE + CHUNK * random:next(-FARTHEST, FARTHEST)
		local y = minetest.get_spawn_level(x, z)
		local biome = y and minetest.get_biome_data({x = x, y = y, z = z})
		if biome and BIOMES[minetest.get_biome_name(biome.biome)] then return {x = x, y = y, z = z} end
	end
	return nil
end
