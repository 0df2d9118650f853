-- Keep the lease on a rebuild. A lease run out still counts while nobody else took it.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] owner  ARGV[2] lease_ms
-- Reply: 1 if still the owner, else 0
local key = KEYS[1] .. 'generation'
if not generation_rebuilt_by(KEYS[1], ARGV[1]) then
  return 0
end
redis.call('HSET', key, 'lease_until_ms', generation_now_ms() + tonumber(ARGV[2]))
return 1
