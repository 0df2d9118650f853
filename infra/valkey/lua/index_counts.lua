-- People who may be asked now.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] shards
-- Reply: flat list of language, hot, cold, idle; nil while the index is not complete
local prefix = KEYS[1]
if generation_state(prefix, ARGV[1]) ~= 'complete' then
  return false
end
local counts = {}
for _, language in ipairs(redis.call('SMEMBERS', prefix .. 'languages')) do
  counts[#counts + 1] = language
  for _, tier in ipairs(INDEX_ALL_TIERS) do
    counts[#counts + 1] = redis.call('ZCARD', index_ready_key(prefix, tier, language))
  end
end
return counts
