-- Which life of the shard's data this is, and how far its rebuild has come. Begins a new life when the key is missing.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] a random id, taken if there is none
-- Reply: {server run id, generation id, 'absent' | 'rebuilding' | 'complete'}
local key = KEYS[1] .. 'generation'
redis.call('HSETNX', key, 'id', ARGV[1])
return { generation_server(), redis.call('HGET', key, 'id'), generation_state(KEYS[1]) }
