-- As mailbox_send, but once: what a client says again was sent before.
-- KEYS: mailbox, messages, relayed   ARGV: as of mailbox_send, without a version; relayed_ms
-- Reply: as of mailbox_send, -1 when it was sent before.
if not redis.call('SET', KEYS[3], '', 'NX', 'PX', ARGV[6]) then return -1 end
local reply = mailbox_append(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5])
if reply == 0 then redis.call('DEL', KEYS[3]) end
return reply
