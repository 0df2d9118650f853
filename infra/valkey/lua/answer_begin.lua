-- Take a client message in hand, unless it was answered or somebody has it in theirs.
-- KEYS: answer   ARGV: doing_ms
-- Reply: nil when it is ours to do now; '' while somebody else is doing it; else the answer given.
return redis.call('SET', KEYS[1], '', 'NX', 'GET', 'PX', ARGV[1])
