"""What runs inside Redis: the same counting as in memory, atomically.

Of each key there are two Redis keys, with one hash tag, so that a cluster keeps them
together: `…:used`, a hash from a limit's number to "window:used"; and `…:held`, a sorted
set of reservations by the time at which they run out. A reservation's member is
"name|limit:window:amount,…". The clock is the server's unless one is given: gateways
whose clocks differ still agree on the window. Numbers are doubles, exact below 2**53.
"""

from typing import Final

_SHARED: Final = """
local function time_ms(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function counter(limit)
  local text = redis.call('HGET', KEYS[1], limit)
  if not text then return nil end
  local window, used = string.match(text, '^(%d+):(-?%d+)$')
  return tonumber(window), tonumber(used)
end
local function write(limit, window, used)
  redis.call('HSET', KEYS[1], limit, string.format('%.0f:%.0f', window, used))
end
local function add(limit, window, amount)
  local current, used = counter(limit)
  if current == tonumber(window) then write(limit, current, used + amount) end
end
"""

# ARGV: clock or '', name, hold ms, idle ms, day of the floors, then for each limit
# number, cap, asked, floor, period ms (0: none), whether it is money.
# Returns: 1 or 0, granted money, clock, number of the limit that refused, then for each
# limit its window and what is used of it.
RESERVE: Final = (
    _SHARED
    + """
local now = time_ms(ARGV[1])
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)) do
  for limit, window, amount in string.gmatch(member, '(%d+):(%d+):(%d+)') do
    add(limit, window, -amount)
  end
  redis.call('ZREM', KEYS[2], member)
end
local counted, reply, grant = {}, {1, 0, now, 0}, nil
for at = 6, #ARGV, 6 do
  local limit, cap, asked = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local period, is_money = tonumber(ARGV[at + 4]), ARGV[at + 5] == '1'
  local window = 0
  if period > 0 then window = math.floor(now / period) end
  local current, used = counter(limit)
  if current ~= window then
    local is_of_floor = period == 0 or window == tonumber(ARGV[5])
    used = is_of_floor and tonumber(ARGV[at + 3]) or 0
  end
  local least = asked
  if is_money then
    grant = math.min(grant or asked, cap - used)
    least = 1
  end
  if used + least > cap then return {0, 0, now, tonumber(limit), window, used} end
  counted[#counted + 1] = {limit, window, used, asked, is_money}
end
local parts = {}
for _, one in ipairs(counted) do
  local amount = one[5] and grant or one[4]
  write(one[1], one[2], one[3] + amount)
  reply[#reply + 1] = one[2]
  reply[#reply + 1] = one[3] + amount
  if tonumber(one[1]) > 1 then
    parts[#parts + 1] = string.format('%s:%.0f:%.0f', one[1], one[2], amount)
  end
end
if #parts > 0 then
  local member = ARGV[2] .. '|' .. table.concat(parts, ',')
  redis.call('ZADD', KEYS[2], now + ARGV[3], member)
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
reply[2] = grant or 0
return reply
"""
)

# ARGV: member, whether it may have been settled already, then for each entry limit,
# window, reserved, used. A reservation that is gone has run out; told again, it may also
# have been settled by the first time, and nothing is counted twice.
SETTLE: Final = (
    _SHARED
    + """
local is_held = redis.call('ZREM', KEYS[2], ARGV[1]) == 1
if ARGV[2] == '1' and not is_held then return 0 end
for at = 3, #ARGV, 4 do
  local reserved = is_held and tonumber(ARGV[at + 2]) or 0
  add(ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 3]) - reserved)
end
return 1
"""
)
