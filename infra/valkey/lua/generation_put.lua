-- Everybody who speaks these languages has been put: from now on the index answers for them.
-- KEYS[1] prefix of the shard's keys
-- ARGV[1] owner  ARGV[2..] languages
-- Reply: 1 if this owner holds the rebuild, else 0
if not generation_rebuilt_by(KEYS[1], ARGV[1]) then
  return 0
end
redis.call('HSET', KEYS[1] .. 'generation', 'put:', '1')
for at = 2, #ARGV do
  redis.call('HSET', KEYS[1] .. 'generation', 'put:' .. ARGV[at], '1')
end
return 1
