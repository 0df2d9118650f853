-- Move people whose moment has come from wake to ready; find those whose window has ended.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] now  ARGV[2] at most how many of each kind  ARGV[3] when people with a window ended are told again if nobody
-- put them back with new edges (the one told may have died)
-- Reply: {ids woken, ids stale}; nil while the index is not complete
local prefix, now, limit, again_at = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if not generation_is_complete(prefix) then
  return false
end
local woken, stale = {}, {}

local function report_stale(id, person)
  index_shelve(prefix, id, person, again_at)
  stale[#stale + 1] = id
end

for _, id in ipairs(redis.call('ZRANGE', prefix .. 'wake', '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)) do
  local person = index_read(prefix, id)
  if not person then
    redis.call('ZREM', prefix .. 'wake', id)
  elseif index_window_over(person, now) and index_ready_at(person) <= now then
    report_stale(id, person)
  elseif index_place(prefix, id, person, now) then
    woken[#woken + 1] = id
  end
end

for _, id in ipairs(redis.call('ZRANGE', prefix .. 'close', '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)) do
  local person = index_read(prefix, id)
  if person then
    report_stale(id, person)
  else
    redis.call('ZREM', prefix .. 'close', id)
  end
end
return { woken, stale }
