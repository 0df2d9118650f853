-- Append a message under the next number and hand it to the owner, if there is one.
-- KEYS: mailbox, messages   ARGV: session (16 bytes), message, most messages kept, keep_ms
-- Reply: the message's seq, or 0 when there is no mailbox.
local owner = redis.call('HMGET', KEYS[1], 'incarnation', 'node', 'epoch')
if not owner[1] then return 0 end
local seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], seq .. '-0', 'm', ARGV[2])
mailbox_keep(KEYS[1], KEYS[2], ARGV[4])
if owner[2] then mailbox_publish(owner[2], ARGV[1], owner[3], seq, ARGV[2]) end
return seq
