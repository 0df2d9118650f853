-- Keep the answer given to a client message.
-- KEYS: answer   ARGV: answer, keep_ms
-- Reply: nothing of use.
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
