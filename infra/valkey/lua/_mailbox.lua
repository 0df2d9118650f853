-- Helpers of the mailbox functions. A mailbox is a hash {incarnation, seq, epoch, node?} and a stream of `<seq>-0 m <message>`.

-- Tell the owning node: 16 bytes of session, owner epoch, kind, message. Kind: a seq, '*' unnumbered, '-' taken over.
local function mailbox_publish(node, session, epoch, kind, message)
  redis.call('PUBLISH', node, session .. epoch .. ' ' .. kind .. ' ' .. message)
end

-- The next owner epoch, as text: above the one given, and above those of a life of the data that was wiped.
local function mailbox_next_epoch(epoch)
  local time = redis.call('TIME')
  local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
  return string.format('%.0f', math.max((tonumber(epoch) or 0) + 1, now_us))
end

local function mailbox_is_owned(mailbox, node, epoch)
  local owner = redis.call('HMGET', mailbox, 'node', 'epoch')
  return owner[1] == node and owner[2] == epoch
end

-- Both keys live and die together.
local function mailbox_keep(mailbox, messages, keep_ms)
  redis.call('PEXPIRE', mailbox, keep_ms)
  redis.call('PEXPIRE', messages, keep_ms)
end

-- Append a message and hand it to the owner, unless that is the caller's own node. Replies of mailbox_send.
local function mailbox_append(mailbox, messages, session, message, kept_max, keep_ms, caller)
  local owner = redis.call('HMGET', mailbox, 'incarnation', 'node', 'epoch')
  if not owner[1] then return 0 end
  local seq = redis.call('HINCRBY', mailbox, 'seq', 1)
  redis.call('XADD', messages, 'MAXLEN', '~', kept_max, seq .. '-0', 'm', message)
  if not owner[2] then
    mailbox_keep(mailbox, messages, keep_ms)
  elseif redis.call('PTTL', messages) < 0 then -- new; from now on its owner's beats keep it
    redis.call('PEXPIRE', messages, keep_ms)
  end
  if owner[2] == caller then return { seq, tonumber(owner[3]) } end
  if owner[2] then mailbox_publish(owner[2], session, owner[3], seq, message) end
  return 1
end
