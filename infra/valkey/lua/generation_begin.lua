-- Take the lease on rebuilding a shard, if it needs that and nobody is at it.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] a random generation id, taken if there is none  ARGV[2] owner  ARGV[3] lease_ms
-- Reply: 1 if taken, else 0
local prefix, key = KEYS[1], KEYS[1] .. 'generation'
if generation_state(prefix) ~= 'absent' then
  return 0
end
local former = redis.call('HGET', key, 'server')
if former and former ~= generation_server() then
  -- A restart or failover brought back data of unknown age: what is ready or waits must come from Postgres alone.
  for _, language in ipairs(redis.call('SMEMBERS', prefix .. 'languages')) do
    redis.call('UNLINK', index_ready_key(prefix, 'hot', language), index_ready_key(prefix, 'cold', language),
      index_ready_key(prefix, 'idle', language))
  end
  redis.call('UNLINK', prefix .. 'wake', prefix .. 'close')
end
redis.call('HSETNX', key, 'id', ARGV[1])
redis.call('HSET', key, 'server', generation_server(), 'state', 'rebuilding', 'owner', ARGV[2], 'lease_until_ms',
  generation_now_ms() + tonumber(ARGV[3]))
return 1
