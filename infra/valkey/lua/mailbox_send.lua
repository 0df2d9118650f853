-- Append a message under the next number and hand it to the owner, if there is one.
-- KEYS: mailbox, messages, [told]   ARGV: session (16 bytes), message, most messages kept, keep_ms, [version]
-- Reply: the message's seq, 0 when there is no mailbox, -1 when it already had this version or a later one.
if KEYS[3] then
  -- Also without a mailbox: what begins from a snapshot that had this version must not be told an older one later.
  if tonumber(redis.call('GET', KEYS[3]) or 0) >= tonumber(ARGV[5]) then return -1 end
  redis.call('SET', KEYS[3], ARGV[5], 'PX', ARGV[4])
end
local owner = redis.call('HMGET', KEYS[1], 'incarnation', 'node', 'epoch')
if not owner[1] then return 0 end
local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], seq .. '-0', 'm', ARGV[2])
mailbox_keep(KEYS[1], KEYS[2], ARGV[4])
if owner[2] then mailbox_publish(owner[2], ARGV[1], owner[3], seq, ARGV[2]) end
return seq
