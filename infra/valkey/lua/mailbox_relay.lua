-- As mailbox_send, but once: what a client says again was sent before.
-- KEYS: mailbox, messages, relayed   ARGV: as of mailbox_send, without a version; relayed_ms
-- Reply: as of mailbox_send, -1 when it was sent before.
if redis.call('EXISTS', KEYS[3]) == 1 then return -1 end
local reply = mailbox_append(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5])
if reply ~= 0 then redis.call('SET', KEYS[3], '', 'PX', ARGV[6]) end
return reply
