-- Take the lease on rebuilding a shard, if it needs that and nobody is at it.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] shards  ARGV[2] a random generation id, taken if there is none  ARGV[3] owner  ARGV[4] lease_ms
-- Reply: how many shards there were before (0: not known) if taken, else nil
local prefix, key = KEYS[1], KEYS[1] .. 'generation'
index_settle(prefix, ARGV[1], ARGV[2])
if generation_state(prefix, ARGV[1]) ~= 'absent' then
  return false
end
redis.call('HSET', key, 'state', 'rebuilding', 'owner', ARGV[3], 'lease_until_ms',
  generation_now_ms() + tonumber(ARGV[4]))
return tonumber(redis.call('HGET', key, 'before'))
