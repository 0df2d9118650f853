-- Begin a new incarnation, unless a newer owner has the mailbox. A missing or older one (wipe, failover) is taken.
-- KEYS: mailbox, messages   ARGV: session (16 bytes), node, new incarnation, keep_ms, epoch held so far
-- Reply: the new owner epoch, or nil when there is a newer owner.
local owner = redis.call('HMGET', KEYS[1], 'node', 'epoch')
if owner[2] and tonumber(owner[2]) > tonumber(ARGV[5]) then return false end
if owner[1] and owner[1] ~= ARGV[2] then mailbox_publish(owner[1], ARGV[1], owner[2], '-', '') end
local epoch = mailbox_next_epoch(ARGV[5])
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[1], 'incarnation', ARGV[3], 'seq', 0, 'epoch', epoch, 'node', ARGV[2])
mailbox_keep(KEYS[1], KEYS[2], ARGV[4])
return epoch
