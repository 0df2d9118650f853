-- Which life of the shard's data this is, and how far its rebuild has come. Begins a new life when there is none, or not
-- of this server or number of shards.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] shards  ARGV[2] a random id, taken if there is none
-- Reply: {server run id, generation id, 'absent' | 'rebuilding' | 'complete'}
index_settle(KEYS[1], ARGV[1], ARGV[2])
return { generation_server(), redis.call('HGET', KEYS[1] .. 'generation', 'id'), generation_state(KEYS[1], ARGV[1]) }
