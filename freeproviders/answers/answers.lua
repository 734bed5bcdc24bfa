-- The answers of several machines, on Redis or Valkey; each call is done whole or not at all.
--
-- KEYS[1] is the beginning of all names. ARGV[1] says what to do, the rest is its own. An entry is
-- one text: "<state> <tries> <written at> <number of its run>", a line's end, and its value. Each
-- run has its entries by time, and its counts. What belongs to no run has the number 0.

local prefix = KEYS[1]
local RUNS = prefix .. 'runs' -- numbers by name
local HEAD = '^(%a+) (%d+) ([^ ]+) (%d+)\n'
local LONGEST_HEAD = 120

local function entry_of(key) return prefix .. 'entry:' .. key end
local function facts_of(number) return prefix .. 'run:' .. number end
local function times_of(number) return prefix .. 'times:' .. number end

local function now()
  local parts = redis.call('TIME')
  return tonumber(parts[1]) + tonumber(parts[2]) / 1000000
end

local function number_of(name, began)
  if name == '' then
    return '0'
  end
  local number = redis.call('HGET', RUNS, name)
  if not number then
    number = tostring(redis.call('INCR', prefix .. 'last run'))
    redis.call('HSET', RUNS, name, number)
    redis.call('HSET', facts_of(number), 'name', name, 'source', '', 'began', began)
  end
  return number
end

local function count(number, state, entries, bytes)
  redis.call('HINCRBY', facts_of(number), 'count ' .. state, entries)
  redis.call('HINCRBY', facts_of(number), 'bytes', bytes)
end

local function forget(key)
  local head = redis.call('GETRANGE', entry_of(key), 0, LONGEST_HEAD)
  local state, _, _, number = head:match(HEAD)
  if state then
    local _, last = head:find(HEAD)
    count(number, state, -1, last - redis.call('STRLEN', entry_of(key)))
    redis.call('ZREM', times_of(number), key)
    redis.call('DEL', entry_of(key))
  end
end

local function put()
  local moment = string.format('%.6f', now())
  for at = 2, #ARGV, 6 do
    local key, state, tries, written, run, value = unpack(ARGV, at, at + 5)
    local number = number_of(run, moment)
    local head = redis.call('GETRANGE', entry_of(key), 0, LONGEST_HEAD)
    if head:match('^%a+') ~= 'done' then
      forget(key)
      if written == '' then
        written = moment
      end
      local text = state .. ' ' .. tries .. ' ' .. written .. ' ' .. number .. '\n' .. value
      redis.call('SET', entry_of(key), text)
      redis.call('ZADD', times_of(number), written, key)
      count(number, state, 1, #value)
    end
  end
end

local function begin()
  local name, source, rows, began = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
  if began == '' then
    began = string.format('%.6f', now())
  end
  local number = number_of(name, began)
  redis.call('HSET', facts_of(number), 'source', source)
  if rows ~= '' then
    redis.call('HSET', facts_of(number), 'rows', rows)
  end
end

local function kept()
  local found = {}
  local numbers = redis.call('HVALS', RUNS)
  numbers[#numbers + 1] = '0'
  for _, number in ipairs(numbers) do
    local times = times_of(number)
    local first = redis.call('ZRANGE', times, 0, 0, 'WITHSCORES')[2]
    local latest = redis.call('ZRANGE', times, -1, -1, 'WITHSCORES')[2]
    if first or number ~= '0' then
      found[#found + 1] = { redis.call('HGETALL', facts_of(number)), first or '', latest or '' }
    end
  end
  return found
end

-- Delete some entries, the oldest first, and the runs that are empty then; return their number.
-- ARGV: the run's name, whether it is one run, the seconds that are spared, the most at once.
local function delete()
  local until_then = ARGV[4] == '' and '+inf' or string.format('%.6f', now() - tonumber(ARGV[4]))
  local left = tonumber(ARGV[5])
  local numbers = {}
  if ARGV[3] == '' then
    numbers = redis.call('HVALS', RUNS)
    numbers[#numbers + 1] = '0'
  elseif ARGV[2] == '' then
    numbers = { '0' }
  else
    numbers = { redis.call('HGET', RUNS, ARGV[2]) or nil }
  end
  local deleted = 0
  for _, number in ipairs(numbers) do
    local times = times_of(number)
    local keys = redis.call('ZRANGEBYSCORE', times, '-inf', until_then, 'LIMIT', 0, left - deleted)
    for _, key in ipairs(keys) do
      forget(key)
      redis.call('ZREM', times, key) -- also where a server has thrown the entry away
    end
    deleted = deleted + #keys
    local name, began = unpack(redis.call('HMGET', facts_of(number), 'name', 'began'))
    local is_young = until_then ~= '+inf' and began and tonumber(began) > tonumber(until_then)
    if redis.call('EXISTS', times) == 0 and not is_young then
      redis.call('DEL', facts_of(number))
      if name then
        redis.call('HDEL', RUNS, name)
      end
    end
  end
  return deleted
end

local function forget_all()
  for at = 2, #ARGV do
    forget(ARGV[at])
  end
end

local acts = { put = put, forget = forget_all, begin = begin, kept = kept, delete = delete }
return acts[ARGV[1]]()
