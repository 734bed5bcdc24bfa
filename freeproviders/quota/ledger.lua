-- The decisions of a ledger, as freeproviders/quota/book.py makes them, in one call on Redis or Valkey.
--
-- KEYS[1] is the beginning of all names of the ledger. ARGV[1] is the step as JSON; ARGV[2] is the
-- time, "" for the server's own. Numbers are answered as text, since integers are all that Redis has.

local prefix = KEYS[1]
local step = cjson.decode(ARGV[1])
local GRAIN = 2 ^ -20
local LATENESS = 0.25
local DAY = 86400
local LEARNED = 7 * 86400
local KEPT = 40 * 86400 -- seconds without use after which a pool is forgotten
local INF = math.huge
local KEPT_PLACE = 8
local NEAR = 90
local LONGEST_LINE = 256
local TURN = 1

local function text(number) return string.format('%.17g', number) end
local function whole(amount) return math.ceil(amount / GRAIN) * GRAIN end

local function time()
  local now
  if ARGV[2] ~= '' then
    now = tonumber(ARGV[2])
  else
    local parts = redis.call('TIME')
    now = tonumber(parts[1]) + tonumber(parts[2]) / 1000000
  end
  local seen = tonumber(redis.call('GET', prefix .. 'seen') or '0')
  if now > seen then
    redis.call('SET', prefix .. 'seen', text(now))
    return now
  end
  -- The server's clock was set back. A clock that was far ahead for a moment is not waited for.
  return seen - now > DAY and now or seen
end

local now = time()

-- Windows ------------------------------------------------------------------------------------------

local function margin(facts) return math.min(1, facts.period / 60) end

local function border_from(facts, moment)
  for _, border in ipairs(facts.borders) do
    if border >= moment then return border end
  end
  return moment + facts.period
end

local function cutoff(pool)
  local facts = pool.facts
  if facts.kind == 'rolling' then
    local gone = now - facts.period
    if not pool.border or now < pool.border + margin(facts) then return gone end
    return math.max(gone, pool.border - margin(facts))
  elseif facts.kind == 'calendar' then
    local last = -INF
    for _, border in ipairs(facts.borders) do
      if border <= now - 5 then last = border end
    end
    return last - 5
  elseif facts.kind == 'lease' then
    return now
  end
  return -INF
end

local function free_at(pool, at)
  local facts = pool.facts
  if facts.kind == 'rolling' then
    local gone = at + facts.period
    if not pool.border or at > pool.border - margin(facts) then return gone end
    return math.min(gone, pool.border + margin(facts))
  elseif facts.kind == 'calendar' then
    return border_from(facts, at + 5) + 5
  elseif facts.kind == 'lease' then
    return at
  end
  return INF
end

-- Pools: a hash of the state, a sorted set of the calls by their moments, a hash of their amounts ----

local FIELDS = {'used', 'running', 'cap', 'cap_at', 'left', 'as_of', 'told', 'until', 'probe', 'border'}
local pools = {}

local function load(facts)
  local key = prefix .. facts.key
  if pools[key] then return pools[key] end
  local pool = {key = key, calls = key .. ':calls', amounts = key .. ':amounts', facts = facts}
  local values = redis.call('HMGET', key, 'cap_source', unpack(FIELDS))
  pool.cap_source = values[1] or ''
  for number, field in ipairs(FIELDS) do
    pool[field] = values[number + 1] and tonumber(values[number + 1])
  end
  pool.used = pool.used or 0
  pool.running = pool.running or 0
  pool.as_of = pool.as_of or 0
  pool.told = pool.told or 0
  pool.cap_at = pool.cap_at or 0
  pool['until'] = pool['until'] or INF
  pool.probe = pool.probe or INF
  pools[key] = pool
  return pool
end

local function save(pool)
  local values, gone = {'cap_source', pool.cap_source, 'facts', pool.facts.rule}, {}
  for _, field in ipairs(FIELDS) do
    local value = pool[field]
    if value and value ~= INF then
      values[#values + 1] = field
      values[#values + 1] = text(value)
    else
      gone[#gone + 1] = field
    end
  end
  redis.call('HSET', pool.key, unpack(values))
  if #gone > 0 then redis.call('HDEL', pool.key, unpack(gone)) end
  for _, key in ipairs({pool.key, pool.calls, pool.amounts}) do redis.call('EXPIRE', key, KEPT) end
  redis.call('ZADD', prefix .. 'pools', text(now), pool.facts.key)
end

local function read(value) -- "amount open"
  local amount, open = string.match(value, '^(%S+) (%d)$')
  return tonumber(amount), open == '1'
end

-- Visits the calls later than a moment, the oldest first, until the visitor returns true.
local function each(pool, after, visit)
  local from = after == -INF and '-inf' or '(' .. text(after)
  local start = 0
  while true do
    local found = redis.call('ZRANGEBYSCORE', pool.calls, from, '+inf', 'WITHSCORES', 'LIMIT', start, 100)
    for number = 1, #found, 2 do
      local amount, open = read(redis.call('HGET', pool.amounts, found[number]))
      if visit(tonumber(found[number + 1]), found[number], amount, open) then return end
    end
    if #found < 200 then return end
    start = start + 100
  end
end

local function add(pool, at, call, amount, open)
  redis.call('ZADD', pool.calls, text(at), call)
  redis.call('HSET', pool.amounts, call, text(amount) .. (open and ' 1' or ' 0'))
  pool.used = pool.used + amount
  if open then pool.running = pool.running + amount end
end

local function pull(pool, call)
  local value = redis.call('HGET', pool.amounts, call)
  if not value then return nil end
  local at = tonumber(redis.call('ZSCORE', pool.calls, call))
  local amount, open = read(value)
  redis.call('ZREM', pool.calls, call)
  redis.call('HDEL', pool.amounts, call)
  pool.used = pool.used - amount
  if open then pool.running = pool.running - amount end
  return at, amount, open
end

-- Decisions ------------------------------------------------------------------------------------------

local function cap_of(pool) return pool.cap or pool.facts.cap or INF end

local function left_of(pool)
  if not pool.left then return INF end
  if pool.facts.kind == 'rolling' and pool.facts.reset == 'refill' then
    return pool.left + math.max(0, now - pool.told) * cap_of(pool) / pool.facts.period
  end
  return pool.left
end

local function pass_time(pool)
  local facts = pool.facts
  local last = cutoff(pool)
  if last > -INF then
    local back = facts.kind == 'rolling' and (facts.reset == 'rolling' or facts.reset == 'unknown')
    while true do
      local found = redis.call('ZRANGEBYSCORE', pool.calls, '-inf', text(last), 'LIMIT', 0, 100)
      for _, call in ipairs(found) do
        local at, amount = pull(pool, call)
        if back and pool.left and at <= pool.as_of then pool.left = pool.left + amount end
      end
      if #found < 100 then break end
    end
  end
  if pool.left then
    if pool['until'] <= now or (pool.probe <= now and facts.metric ~= 'requests') then
      pool.left, pool['until'], pool.probe = nil, INF, INF
    elseif pool.probe <= now then
      pool.left, pool.probe = math.max(pool.left, 1), INF
    end
  end
  if pool.cap and now > pool.cap_at + LEARNED then pool.cap, pool.cap_source = nil, '' end
end

local function freed(pool, need, known)
  local moment = INF
  each(pool, -INF, function(at, _, amount)
    if at > known then return true end
    need = need - amount
    if need <= 0 then
      moment = free_at(pool, at)
      return true
    end
  end)
  return moment
end

local function back_in(pool, amount, cap)
  local facts = pool.facts
  local back = now
  local need = pool.used + amount - cap
  if need > 0 then back = freed(pool, need, INF) end
  if pool.left then
    need = math.max(amount, GRAIN) - left_of(pool)
    if need > 0 then
      local moment = pool['until']
      if facts.kind == 'rolling' and facts.reset == 'refill' then
        moment = math.min(moment, now + need * facts.period / cap_of(pool))
      elseif facts.kind == 'rolling' and facts.reset ~= 'fixed' then
        moment = math.min(moment, freed(pool, need, pool.as_of))
      end
      if amount <= 1 or facts.metric ~= 'requests' then moment = math.min(moment, pool.probe) end
      back = math.max(back, moment)
    end
  end
  return back - now
end

local function early(pool, after)
  if pool.running <= 0 then return after end
  local kind = pool.facts.kind
  if pool.facts.metric == 'requests' and (kind == 'rolling' or kind == 'calendar') and not pool.left then
    return math.max(0, after - step.transit * (1 + LATENESS))
  end
  return 0
end

-- The line: of those who wait, by the ids of their tries, since and until when, and what of each pool --

local line = nil

local function load_line()
  if line then return line end
  line = {}
  local found = redis.call('HGETALL', prefix .. 'line')
  for number = 1, #found, 2 do
    local place = cjson.decode(found[number + 1])
    place.since, place.kept = tonumber(place.since), tonumber(place.kept)
    line[found[number]] = place
  end
  return line
end

local left = false -- whether somebody has left the line who took nothing, so that others may have room

local function leave(call, has_taken)
  if load_line()[call] then
    line[call] = nil
    redis.call('HDEL', prefix .. 'line', call)
    left = left or not has_taken
  end
end

local function ahead_of(pool)
  local own = load_line()[step.id or '']
  local sum = 0
  for call, place in pairs(line) do
    local before = not own or place.since < own.since or (place.since == own.since and call < step.id)
    if place.kept > now and before and place.wanted[pool.facts.key] then
      sum = sum + tonumber(place.wanted[pool.facts.key])
    end
  end
  return sum
end

local function stand(full, firm)
  local number = 0
  for call, place in pairs(load_line()) do
    if place.kept <= now and call ~= step.id then
      leave(call)
    else
      number = number + 1
    end
  end
  local own = line[step.id]
  if firm > NEAR or (not own and number >= LONGEST_LINE) then return false end
  local wanted = own and own.wanted or {}
  for key, amount in pairs(full) do wanted[key] = text(amount) end
  local since = own and own.since or now
  line[step.id] = {since = since, kept = now + KEPT_PLACE, wanted = wanted}
  local place = {since = text(since), kept = text(now + KEPT_PLACE), wanted = wanted}
  redis.call('HSET', prefix .. 'line', step.id, cjson.encode(place))
  redis.call('EXPIRE', prefix .. 'line', DAY)
  return true
end

local function fits(pool, amount, cap)
  local has = left_of(pool)
  return pool.used + amount <= cap and (not pool.left or (amount <= has and has > 0))
end

local function judge()
  local last, which, firm = nil, nil, 0
  local full = {}
  for number, facts in ipairs(step.claims) do
    local pool = load(facts)
    pass_time(pool)
    local amount = facts.kind == 'gate' and 0 or whole(facts.amount)
    local cap = cap_of(pool)
    if step.keep > 0 and facts.kind ~= 'lease' and (not facts.period or facts.period >= DAY) then
      cap = cap * (1 - step.keep)
    end
    if amount > cap then return {'small', number, text(cap)} end
    local ahead = amount > 0 and ahead_of(pool) or 0
    if not fits(pool, amount + ahead, cap) then
      local after, soon = 0, 0
      if not fits(pool, amount, cap) then
        after = math.max(back_in(pool, amount, cap), 0)
        soon = early(pool, after)
      end
      if ahead > 0 then -- when there is room for them too; they may leave before
        local turn = back_in(pool, math.min(amount + ahead, cap), cap)
        after = math.max(after, turn > 0 and turn or TURN)
      end
      if amount > 0 then full[facts.key] = amount end
      if not last or after > last then last, which = after, number end
      firm = math.max(firm, soon)
    end
  end
  if last then
    local lined = step.waits and stand(full, firm)
    return {'refused', which, text(last), text(firm), lined and 1 or 0}
  end
  return nil
end

local function take()
  local refusal = not step.force and judge()
  if not refusal or refusal[5] ~= 1 then leave(step.id, not refusal) end
  if refusal then return refusal end
  for _, facts in ipairs(step.claims) do
    local amount = facts.kind == 'gate' and 0 or whole(facts.amount)
    if amount > 0 then
      local pool = load(facts)
      local at = now + step.transit * (1 + LATENESS)
      if facts.kind == 'lease' or facts.counted == 'end' then at = now + step.lease end
      add(pool, at, step.id, amount, true)
      if pool.left then pool.left = pool.left - amount end
    end
  end
  return {'granted'}
end

local function move(arrived)
  local moment = now - step.ago
  for _, facts in ipairs(step.claims) do
    if facts.kind ~= 'gate' and facts.counted ~= 'end' and facts.metric ~= 'concurrency' then
      local pool = load(facts)
      pass_time(pool)
      local at, amount, open = pull(pool, step.id)
      if not at and not arrived and facts.amount > 0 then
        -- Its process stood still for so long that its place was given to others.
        at, amount, open = -INF, whole(facts.amount), true
        if pool.left then pool.left = pool.left - amount end
      end
      if at then
        at = arrived and math.min(at, moment) or math.max(at, moment + step.transit)
        add(pool, at, step.id, amount, open and not (arrived and facts.metric == 'requests'))
      end
    end
  end
end

local function renew()
  for _, facts in ipairs(step.claims) do
    if facts.kind ~= 'gate' and (facts.counted == 'end' or facts.metric == 'concurrency') then
      local pool = load(facts)
      pass_time(pool)
      local at, amount, open = pull(pool, step.id)
      if at then add(pool, math.max(at, now + step.lease), step.id, amount, open) end
    end
  end
end

local function settle()
  for _, facts in ipairs(step.claims) do
    local pool = load(facts)
    pass_time(pool)
    local at, amount = pull(pool, step.id)
    if at then
      local taken = amount
      if facts.metric == 'concurrency' or not step.spent then
        taken = 0
      elseif facts.metric ~= 'requests' then
        taken = whole(math.max(0, step.spent[facts.metric] or amount))
      end
      if taken > 0 then
        add(pool, facts.counted == 'end' and now - step.ago or at, step.id, taken, false)
      end
      local more = taken - amount
      if pool.left and (more > 0 or at > pool.as_of) then pool.left = pool.left - more end
    end
  end
end

local function bound(pool, said, reset)
  local facts = pool.facts
  local as_of, told = now - step.sent_ago, now - step.ago
  local remaining = math.floor(said.remaining / GRAIN) * GRAIN
  local own = facts.counted == 'admission' and step.id or ''
  local away = 0
  each(pool, as_of, function(_, call, amount)
    if call ~= own then away = away + amount end
  end)
  local left = remaining - away
  if pool.left then
    local before = left_of(pool)
    if (remaining >= before and before >= left) or (as_of < pool.as_of and remaining < before) then return end
  end
  pool.left, pool.as_of, pool.told, pool.probe = left, as_of, told, INF
  if facts.kind == 'rolling' and (facts.reset == 'rolling' or facts.reset == 'refill') then
    pool['until'] = told + facts.period
    if reset and facts.reset == 'rolling' then pool.probe = reset + said.resolution end
  elseif reset then
    pool['until'] = reset + math.max(margin({period = facts.period or INF}), said.resolution)
  else
    local border = pool.border
    pool.border = nil
    pool['until'] = free_at(pool, told)
    pool.border = border
  end
end

local function adopt()
  local told = now - step.ago
  for _, said in ipairs(step.said) do
    for _, facts in ipairs(step.claims) do
      if facts.metric == said.metric and facts.same_per[said.number] then
        local pool = load(facts)
        pass_time(pool)
        local reset = said.reset_in and told + said.reset_in
        if facts.kind == 'gate' then
          if said.remaining == 0 and reset then
            pool.left, pool.as_of, pool.told, pool['until'], pool.probe = 0, told, told, reset, INF
          end
        else
          if said.cap and said.cap > 0 then
            pool.cap, pool.cap_source, pool.cap_at = said.cap, step.source, now
          end
          if facts.kind == 'rolling' and facts.reset == 'fixed' and reset then
            -- A border that is not known well enough for so short a period frees nothing.
            pool.border = said.resolution <= margin(facts) and reset or nil
          end
          if said.remaining and facts.kind ~= 'lease' then bound(pool, said, reset) end
        end
      end
    end
  end
end

local function standing(facts)
  local pool = load(facts)
  pass_time(pool)
  local cap = cap_of(pool)
  local back = ''
  if pool.left and left_of(pool) < cap - pool.used then
    back = text(math.min(pool['until'], pool.probe))
  else
    each(pool, -INF, function(at, _, _, open)
      -- Of a call that runs, nobody knows the end.
      local lasts = open and at > now and (facts.counted == 'end' or facts.metric == 'concurrency')
      if not lasts then back = text(free_at(pool, at)) end
      return true
    end)
  end
  local left = math.max(0, math.min(cap - pool.used, left_of(pool)))
  return {
    text(pool.used), text(pool.running), text(left), back, pool.cap and text(pool.cap) or '', pool.cap_source,
    text(pool.cap_at),
  }
end

local function standings()
  local found = {}
  for _, facts in ipairs(step.claims) do
    if step.op == 'standing' or facts.kind ~= 'gate' then found[#found + 1] = standing(facts) end
  end
  return {'standing', found}
end

-- Notes: a hash of each, and a sorted set of their names by the moments at which they expire ----------

local CLEARED = DAY
local notes = prefix .. 'notes'

local function note_of(name)
  local found = redis.call('HMGET', prefix .. name, 'version', 'text', 'at', 'until')
  if not found[1] or (found[4] ~= '' and tonumber(found[4]) <= now) then return {} end
  return {found[1], found[2], text(math.max(0, now - tonumber(found[3])))}
end

local function save_note(name, version, said, at, keep)
  local key = prefix .. name
  local ends = keep and text(now + keep) or ''
  redis.call('HSET', key, 'version', version, 'text', said, 'at', text(at), 'until', ends)
  redis.call('ZADD', notes, keep and ends or '+inf', name)
  if keep then redis.call('EXPIRE', key, math.ceil(keep) + 1) else redis.call('PERSIST', key) end
end

local function write_note()
  local there = note_of(step.name)
  if (there[1] or '') ~= step.over then return {'note', there} end
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', notes, '-inf', text(now))) do
    redis.call('DEL', prefix .. name)
    redis.call('ZREM', notes, name)
  end
  save_note(step.name, step.version, step.text, now - step.ago, step.keep)
  return {'note', {step.version, step.text, text(step.ago)}}
end

local function clear_notes(service)
  for _, name in ipairs(redis.call('ZRANGE', notes, 0, -1)) do
    local about = cjson.decode(name)[2]
    if about == service or string.sub(about, 1, #service + 1) == service .. ' ' then
      save_note(name, step.version, '', now, CLEARED)
    end
  end
end

-- The step -------------------------------------------------------------------------------------------

-- A client whose clock is wrong has sent the calendar of another time: it is told the time.
for _, facts in ipairs(step.claims) do
  if facts.borders and not (facts.borders[1] <= now - 5 and now < facts.borders[#facts.borders]) then
    return {'time', text(now)}
  end
end

local answer = nil
if step.op == 'take' then
  answer = take()
elseif step.op == 'leave' then
  leave(step.id)
elseif step.op == 'look' then
  answer = judge()
elseif step.op == 'sent' then
  move(false)
elseif step.op == 'received' then
  move(true)
elseif step.op == 'renew' then
  renew()
elseif step.op == 'settle' then
  settle()
  if step.tell then answer = standings() end
elseif step.op == 'adopt' then
  adopt()
elseif step.op == 'standing' then
  answer = standings()
elseif step.op == 'notes' then
  local found = {}
  for number, name in ipairs(step.names) do found[number] = note_of(name) end
  answer = {'notes', found}
elseif step.op == 'note' then
  answer = write_note()
elseif step.op == 'forget' then
  if step.service then clear_notes(step.service) end
  for _, facts in ipairs(step.claims) do
    local key = prefix .. facts.key
    redis.call('DEL', key, key .. ':calls', key .. ':amounts')
    redis.call('ZREM', prefix .. 'pools', facts.key)
  end
  answer = {'forgotten', #step.claims}
end
if step.op ~= 'forget' then
  for _, pool in pairs(pools) do save(pool) end
end
if step.by or left then redis.call('PUBLISH', prefix .. 'freed', step.by or step.me) end
return answer or {'done'}
