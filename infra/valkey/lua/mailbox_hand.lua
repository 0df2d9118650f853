-- Hand an unnumbered message to the owner, if there is one now; it is not kept.
-- KEYS: mailbox   ARGV: session (16 bytes), message
-- Reply: 1 when it was handed on, else 0.
local owner = redis.call('HMGET', KEYS[1], 'node', 'epoch')
if not owner[1] then return 0 end
mailbox_publish(owner[1], ARGV[1], owner[2], '*', ARGV[2])
return 1
