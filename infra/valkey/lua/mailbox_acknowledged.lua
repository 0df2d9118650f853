-- The client has everything up to a seq: forget it.
-- KEYS: mailbox, messages   ARGV: node, epoch, seq
-- Reply: how many messages went; 0 also when this is not the owner.
if not mailbox_is_owned(KEYS[1], ARGV[1], ARGV[2]) then return 0 end
return redis.call('XTRIM', KEYS[2], 'MINID', (tonumber(ARGV[3]) + 1) .. '-0')
