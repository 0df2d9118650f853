-- Forget people entirely; unknown ones are ignored.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1..] 16-byte ids
-- Reply: number of people forgotten
local prefix, known = KEYS[1], 0
for _, id in ipairs(ARGV) do
  local person = index_read(prefix, id)
  if person then
    index_out_of_ready(prefix, id, person)
    known = known + redis.call('HDEL', prefix .. 'people', id)
  end
  redis.call('ZREM', prefix .. 'wake', id)
end
return known
