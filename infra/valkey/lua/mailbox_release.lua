-- The socket is gone: nobody owns the mailbox, which is kept for a resume.
-- KEYS: mailbox, messages   ARGV: node, epoch, keep_ms
-- Reply: 1, or 0 when this was not the owner (any more).
if not mailbox_is_owned(KEYS[1], ARGV[1], ARGV[2]) then return 0 end
redis.call('HDEL', KEYS[1], 'node')
mailbox_keep(KEYS[1], KEYS[2], ARGV[3])
return 1
