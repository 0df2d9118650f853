-- Append a message under the next number and hand it to the owner, if there is one.
-- KEYS: mailbox, messages, [told]   ARGV: session (16 bytes), message, most messages kept, keep_ms, caller's node, [version]
-- Reply: 1; {seq, epoch} when the caller's node is the owner, which then hands it on itself; 0 when there is no mailbox;
-- -1 when it already had this version or a later one.
if KEYS[3] then
  -- Also without a mailbox: what begins from a snapshot that had this version must not be told an older one later.
  if tonumber(redis.call('GET', KEYS[3]) or 0) >= tonumber(ARGV[6]) then return -1 end
  redis.call('SET', KEYS[3], ARGV[6], 'PX', ARGV[4])
end
return mailbox_append(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5])
