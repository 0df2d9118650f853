-- Take people from the head of one ready set, out of all their ready sets, into wake with a lease.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] language  ARGV[2] tier  ARGV[3] how many  ARGV[4] now  ARGV[5] lease_until
-- ARGV[6] excluded ids, 16 bytes each, one after the other
-- ARGV[7] how many more entries may be looked at than are wanted or excluded
-- Reply: {ids in the order of their turn, 1 if that bound was met before the set's end else 0}; nil while the index is
-- not complete
local prefix, language, tier, now, lease_until = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5])
if not generation_is_complete(prefix) then
  return false
end

local excluded, excluded_count = {}, 0
for at = 1, #ARGV[6], 16 do
  excluded[string.sub(ARGV[6], at, at + 15)] = true
  excluded_count = excluded_count + 1
end

local ready = index_ready_key(prefix, tier, language)

local function take(id)
  local person = index_read(prefix, id)
  if not person or person.tier ~= tier or not string.find(',' .. person.languages .. ',', ',' .. language .. ',', 1, true)
  then
    redis.call('ZREM', ready, id) -- what the record does not say is not so
    return false
  end
  if index_window_over(person, now) then
    index_shelve(prefix, id, person, now) -- the next sweep tells that new edges are needed
    return false
  end
  person.not_before = lease_until
  index_write(prefix, id, person)
  index_shelve(prefix, id, person, index_ready_at(person))
  return true
end

local wanted = tonumber(ARGV[3])
local budget = wanted + excluded_count + tonumber(ARGV[7])
local skipped, taken = 0, {}
while #taken < wanted and budget > 0 do
  -- Whoever is taken leaves the set, so that the next page begins right after those skipped.
  local page = redis.call('ZRANGE', ready, skipped, skipped + math.min(budget, wanted - #taken + 8) - 1)
  if #page == 0 then
    break
  end
  budget = budget - #page
  for _, id in ipairs(page) do
    if #taken == wanted then
      break
    elseif excluded[id] then
      skipped = skipped + 1
    elseif take(id) then
      taken[#taken + 1] = id
    end
  end
end
return { taken, #taken < wanted and budget <= 0 and 1 or 0 }
