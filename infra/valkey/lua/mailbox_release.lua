-- The socket is gone: nobody owns the mailbox, which is kept for a resume.
-- KEYS: mailbox, messages   ARGV: epoch, keep_ms
-- Reply: 1, also when the mailbox itself is gone; 0 when there is a newer owner.
local stored = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
if stored > tonumber(ARGV[1]) then return 0 end
if stored == tonumber(ARGV[1]) then
  redis.call('HDEL', KEYS[1], 'node')
  mailbox_keep(KEYS[1], KEYS[2], ARGV[2])
end
return 1
