-- Forget a shard that is counted no more.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] how many shards there were
-- Reply: 1 if it was dropped, 0 if it is of another number of shards
if redis.call('HGET', KEYS[1] .. 'generation', 'shards') ~= ARGV[1] then
  return 0
end
index_empty(KEYS[1])
redis.call('DEL', KEYS[1] .. 'generation')
return 1
