-- Move people whose moment has come from wake to ready; find those whose window has ended.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] shards  ARGV[2] now  ARGV[3] at most how many of each kind  ARGV[4] when people with a window ended are told
-- again if nobody put them back with new edges (the one told may have died)
-- Reply: {ids woken, ids stale}; nil while the index does not answer for anybody
local prefix, now, limit, again_at = KEYS[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if not generation_answers(prefix, ARGV[1]) then
  return false
end
local changes, wake, close, woken, stale, over = index_changes(), prefix .. 'wake', prefix .. 'close', {}, {}, {}

local due = redis.call('ZRANGE', wake, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)
for place, person in ipairs(index_read(prefix, due)) do
  local id = due[place]
  if not person then
    index_removes(changes, wake, id)
  else
    local tier, languages, turn, closes_at, ready_at = index_person(person)
    if ready_at > now then
      index_adds(changes, wake, ready_at, id)
    elseif now < closes_at then
      index_removes(changes, wake, id)
      index_into_ready(changes, prefix, id, tier, languages, closes_at, turn)
      woken[#woken + 1] = id
    else
      index_adds(changes, wake, again_at, id)
      stale[#stale + 1] = id
    end
  end
end

-- Whoever is away is told of when they come back; many of them must not make one sweep long.
local from, left, rounds = 0, limit, 10
repeat
  local page = redis.call('ZRANGE', close, '-inf', now, 'BYSCORE', 'LIMIT', from, left)
  local away = #page > 0 and redis.call('ZMSCORE', wake, unpack(page))
  for place, person in ipairs(index_read(prefix, page)) do
    local id = page[place]
    index_removes(changes, close, id)
    if person and not away[place] then
      local tier, languages = index_person(person)
      index_shelve(changes, prefix, id, tier, languages, again_at)
      over[#over + 1] = id
    end
  end
  from, left, rounds = from + #page, limit - #over, rounds - 1
until #page == 0 or left == 0 or rounds == 0
index_apply(changes, prefix)
for _, id in ipairs(over) do
  stale[#stale + 1] = id
end
return { woken, stale }
