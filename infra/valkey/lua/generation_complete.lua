-- Everybody has been put: from now on the index answers.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] owner
-- Reply: 1 if this owner held the rebuild, else 0
local key = KEYS[1] .. 'generation'
if not generation_rebuilt_by(KEYS[1], ARGV[1]) then
  return 0
end
redis.call('HSET', key, 'state', 'complete')
redis.call('HDEL', key, 'owner', 'lease_until_ms')
return 1
