-- Move people whose moment has come from wake to ready; find those whose window has ended.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] shards  ARGV[2] now  ARGV[3] at most how many of each kind  ARGV[4] when people with a window ended are told
-- again if nobody put them back with new edges (the one told may have died)
-- Reply: {ids woken, ids stale}; nil while the index does not answer for anybody
local prefix, now, limit, again_at = KEYS[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if not generation_answers(prefix, ARGV[1]) then
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
  redis.call('ZREM', prefix .. 'close', id)
  local person = index_read(prefix, id)
  if person then
    report_stale(id, person)
  end
end
return { woken, stale }
