-- The owner is alive: keep the mailbox, and say how far its numbers are.
-- KEYS: mailbox, messages   ARGV: node, epoch, keep_ms
-- Reply: the last seq, or -1 when this is not the owner (any more).
if not mailbox_is_owned(KEYS[1], ARGV[1], ARGV[2]) then return -1 end
mailbox_keep(KEYS[1], KEYS[2], ARGV[3])
return tonumber(redis.call('HGET', KEYS[1], 'seq'))
