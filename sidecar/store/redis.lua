-- What a Redis does for the store: every call of a sidecar is one run of this, and a run is all or nothing.
--
-- A prediction has a number, in the order of arrival, with leading zeros so that texts sort as numbers do. While it is
-- kept it is in one of three sets: FRESH (it has pairs that are still to be read), DONE (labelled, and read), OPEN (the
-- others). When there are too many, DONE leaves first, then what is the oldest, where FRESH is as old as its last pair.
-- Then it is in GONE, and of it are left its ids. A pair is a label with a prediction, and leaves with that.
--
-- Nothing here loops over more than the call brought, or than BUDGET; where more is to do, the caller calls again.

local META, COUNTS, IDS, DOCUMENTS, NAMES, PAIRS, LOG, OPEN, FRESH, DONE, UNREAD, GONE, WAITING, QUEUE, SAVED, PLACES,
  LEASE = unpack(KEYS)

local BUDGET = 200 -- of predictions let go, forgotten or placed anew: some 3 ms
local SCHEMA = 1

local call, pack, unpacked = redis.call, cmsgpack.pack, cmsgpack.unpack

local taken = 1 -- of the arguments; the first is the call's name

local function take()
  taken = taken + 1
  return ARGV[taken]
end

local function take_number()
  return tonumber(take())
end

local meta = call('HMGET', META, 'schema', 'predictions', 'pairs', 'labels', 'settled', 'read')
if meta[1] and tonumber(meta[1]) > SCHEMA then
  return redis.error_reply('SCHEMA ' .. meta[1] .. ' is that of a later sidecar, expected ' .. SCHEMA .. ' at most')
end
local numbers = {}
for place, name in ipairs({'schema', 'predictions', 'pairs', 'labels', 'settled', 'read'}) do
  numbers[name] = tonumber(meta[place] or '0')
end
local counted = {}

local function count(name, by)
  counted[name] = (counted[name] or 0) + by
end

local function following(name)
  numbers[name] = numbers[name] + 1
  return string.format('%015.0f', numbers[name])
end

-- A value of a hash, packed; an empty table where there is none.
local function look(key, field)
  local data = call('HGET', key, field)
  return data and unpacked(data) or {}
end

local function put(key, field, values)
  if #values > 0 then
    call('HSET', key, field, pack(values))
  else
    call('HDEL', key, field)
  end
end

-- Pairs are {place, id, metric, rows, label, number of the prediction that came next}, ascending.
local function has(pairs_of, metric)
  for _, pair in ipairs(pairs_of) do
    if pair[3] == metric then
      return true
    end
  end
  return false
end

local function belongs(pairs_of)
  if #pairs_of > 0 and pairs_of[#pairs_of][1] > numbers.settled then
    return FRESH
  end
  return has(pairs_of, '') and DONE or OPEN
end

local function found(number)
  for _, set in ipairs({OPEN, FRESH, DONE}) do
    if call('ZSCORE', set, number) then
      return set
    end
  end
end

-- Puts a prediction into the set where it belongs now.
local function place(number, pairs_of)
  local from, to = found(number), belongs(pairs_of)
  if from ~= to then
    call('ZREM', from, number)
  end
  if to == FRESH then
    local last = pairs_of[#pairs_of]
    call('ZADD', FRESH, last[6], number)
    call('ZADD', UNREAD, last[1], number)
  elseif from ~= to then
    call('ZADD', to, number, number)
    call('ZREM', UNREAD, number)
  end
end

-- Joins a label with those predictions {number, rows} that have none of its metric; what became of it.
local function join(predictions, id, metric, rows, label)
  local status = 'duplicate'
  for _, prediction in ipairs(predictions) do
    local number, pairs_of = prediction[1], look(PAIRS, prediction[1])
    if not has(pairs_of, metric) then
      if prediction[2] == rows then
        following('pairs')
        pairs_of[#pairs_of + 1] = {numbers.pairs, id, metric, rows, label, numbers.predictions + 1}
        put(PAIRS, number, pairs_of)
        call('ZADD', LOG, numbers.pairs, numbers.pairs .. ':' .. number)
        place(number, pairs_of)
        count('awaiting', metric == '' and -1 or 0)
        status = 'joined'
      elseif status == 'duplicate' then
        status = 'malformed'
      end
    end
  end
  return status
end

-- What joined others by an id of this prediction comes before what waits for it.
local function inherit(prediction, ids, twins)
  local inherited = {}
  for twin in pairs(twins) do
    for _, pair in ipairs(look(PAIRS, twin)) do
      if ids[pair[2]] then
        inherited[#inherited + 1] = pair
      end
    end
  end
  table.sort(inherited, function(one, other) return one[1] < other[1] end)
  for _, pair in ipairs(inherited) do
    join({prediction}, pair[2], pair[3], pair[4], pair[5])
  end
end

-- Waiting labels are {order, metric, rows, label}.
local function meet(prediction, ids)
  local waiting = {}
  for id in pairs(ids) do
    for _, label in ipairs(look(WAITING, id)) do
      waiting[#waiting + 1] = {label[1], id, label[2], label[3], label[4]}
      call('ZREM', QUEUE, label[1] .. ':' .. id)
      call('HDEL', WAITING, id)
    end
  end
  table.sort(waiting, function(one, other) return one[1] < other[1] end)
  for _, label in ipairs(waiting) do
    count(join({prediction}, unpack(label, 2)), 1)
  end
end

-- Under an id stand {number, variant, rows} of all that have it, the gone included.
local function keep(now_s, names, variant, rows, document)
  local ids, called, twins = {}, {}, {}
  for place_of, id in ipairs(names) do
    ids[id] = true
    called[place_of] = look(IDS, id)
    for _, other in ipairs(called[place_of]) do
      if other[2] == variant then
        return count('repeated', 1)
      end
      twins[other[1]] = true
    end
  end
  local number = following('predictions')
  for place_of, id in ipairs(names) do
    local others = called[place_of]
    others[#others + 1] = {number, variant, rows}
    put(IDS, id, others)
  end
  call('HSET', NAMES, number, pack({now_s, names}))
  call('HSET', DOCUMENTS, number, document)
  call('ZADD', OPEN, number, number)
  count('predictions', 1)
  count('awaiting', 1)
  inherit({number, rows}, ids, twins)
  meet({number, rows}, ids)
end

local function wait(now_s, most, id, metric, rows, label)
  local waiting = look(WAITING, id)
  for _, other in ipairs(waiting) do
    if other[2] == metric then
      return 'duplicate'
    end
  end
  if call('ZCARD', QUEUE) >= most then
    return 'unknown'
  end
  local order = following('labels')
  waiting[#waiting + 1] = {order, metric, rows, label}
  put(WAITING, id, waiting)
  call('ZADD', QUEUE, now_s, order .. ':' .. id)
  return 'waiting'
end

local function add(now_s, most, id, metric, rows, label)
  local called = look(IDS, id)
  local present = {}
  for _, prediction in ipairs(called) do
    if call('HEXISTS', DOCUMENTS, prediction[1]) == 1 then
      present[#present + 1] = {prediction[1], prediction[3]}
      for _, pair in ipairs(look(PAIRS, prediction[1])) do
        if pair[2] == id and pair[3] == metric then
          return 'duplicate'
        end
      end
    end
  end
  if #present > 0 then
    return join(present, id, metric, rows, label)
  end
  return #called > 0 and 'expired' or wait(now_s, most, id, metric, rows, label)
end

local function let_go(number)
  local pairs_of = look(PAIRS, number)
  for _, pair in ipairs(pairs_of) do
    call('ZREM', LOG, pair[1] .. ':' .. number)
  end
  if not has(pairs_of, '') then
    count('missing', 1)
    count('awaiting', -1)
  end
  call('ZREM', found(number), number)
  call('ZREM', UNREAD, number)
  call('HDEL', PAIRS, number)
  call('HDEL', DOCUMENTS, number)
  call('ZADD', GONE, number, number)
end

local function forget(number)
  for _, id in ipairs(look(NAMES, number)[2]) do
    local left = {}
    for _, other in ipairs(look(IDS, id)) do
      left[#left + 1] = other[1] ~= number and other or nil
    end
    put(IDS, id, left)
  end
  call('HDEL', NAMES, number)
  call('ZREM', GONE, number)
end

local function first(set, most)
  return call('ZRANGE', set, 0, most - 1)
end

-- The first of a set, if it is so old.
local function old(set, now_s, age_s)
  return function()
    local number = first(set, 1)[1]
    return {number and now_s - look(NAMES, number)[1] >= age_s and number or nil}
  end
end

local function tired(now_s, wait_s)
  return function()
    local head = call('ZRANGE', QUEUE, 0, 0, 'WITHSCORES')
    return {head[1] and now_s - tonumber(head[2]) >= wait_s and head[1] or nil}
  end
end

local function unanswered(member)
  local order, id = string.match(member, '^(%d+):(.*)$')
  local left = {}
  for _, label in ipairs(look(WAITING, id)) do
    left[#left + 1] = label[1] ~= order and label or nil
  end
  put(WAITING, id, left)
  call('ZREM', QUEUE, member)
  count('unknown', 1)
end

-- Lets `act` have what `next` finds, so many at once, until there is no more or the budget is used up.
local function drain(budget, next, act)
  while budget > 0 do
    local members = next(budget)
    if #members == 0 then
      return budget
    end
    for _, member in ipairs(members) do
      act(member)
    end
    budget = budget - #members
  end
  return 0
end

-- Brings the sets in line with the place up to which everybody has read, which may also have gone back.
local function settle(budget)
  while budget > 0 and numbers.settled > numbers.read do
    local last = call('ZREVRANGEBYSCORE', LOG, numbers.settled, '(' .. numbers.read, 'LIMIT', 0, 1)[1]
    local pair, number = string.match(last or '', '^(%d+):(%d+)$')
    numbers.settled = pair and tonumber(pair) - 1 or numbers.read
    if number then
      place(number, look(PAIRS, number))
    end
    budget = budget - 1
  end
  numbers.settled = math.max(numbers.settled, numbers.read)
  for _, number in ipairs(call('ZRANGEBYSCORE', UNREAD, '-inf', numbers.settled, 'LIMIT', 0, budget)) do
    place(number, look(PAIRS, number))
    budget = budget - 1
  end
  return budget
end

local function crowded(rows)
  return function(most)
    local excess = math.min(call('HLEN', DOCUMENTS) - rows, most)
    if excess <= 0 then
      return {}
    end
    local done = first(DONE, excess)
    if #done > 0 then
      return done
    end
    local open, fresh = first(OPEN, 1)[1], call('ZRANGE', FRESH, 0, 0, 'WITHSCORES')
    local older = open and (not fresh[1] or tonumber(open) < tonumber(fresh[2]))
    return {older and open or fresh[1]}
  end
end

local function surplus(rows)
  return function(most)
    local excess = math.min(call('ZCARD', GONE) - rows, most)
    return excess > 0 and first(GONE, excess) or {}
  end
end

local calls = {}

function calls.keep()
  local now_s = take_number()
  while taken < #ARGV do
    local names = {}
    for place_of = 1, take_number() do
      names[place_of] = take()
    end
    keep(now_s, names, take(), take_number(), take())
  end
end

-- The budget that is left of this and the next, 0 where there may be more to do.
function calls.shrink()
  local rows = take_number()
  return drain(drain(BUDGET, crowded(rows), let_go), surplus(rows), forget)
end

function calls.tidy()
  local now_s, keep_s, rows, wait_s = take_number(), take_number(), take_number(), take_number()
  local budget = drain(settle(BUDGET), crowded(rows), let_go)
  for _, set in ipairs({DONE, OPEN}) do
    budget = drain(budget, old(set, now_s, keep_s), let_go)
  end
  budget = drain(drain(budget, old(GONE, now_s, 2 * keep_s), forget), surplus(rows), forget)
  return drain(budget, tired(now_s, wait_s), unanswered)
end

function calls.add()
  local now_s, most, statuses = take_number(), take_number(), {}
  while taken < #ARGV do
    local status = add(now_s, most, take(), take(), take_number(), take())
    count(status, status == 'waiting' and 0 or 1)
    statuses[#statuses + 1] = status
  end
  return statuses
end

-- Place, length of the prediction and of the label of each pair, packed; and behind each other what has these lengths:
-- two texts, which the client reads in a third of the time that an array of arrays takes it.
function calls.joined()
  local after, limit, sizes, parts = take(), take_number(), {}, {}
  for _, member in ipairs(call('ZRANGEBYSCORE', LOG, '(' .. after, '+inf', 'LIMIT', 0, math.min(limit, BUDGET))) do
    local place_of, number = string.match(member, '^(%d+):(%d+)$')
    for _, pair in ipairs(look(PAIRS, number)) do
      if pair[1] == tonumber(place_of) then
        parts[#parts + 1] = call('HGET', DOCUMENTS, number)
        parts[#parts + 1] = pair[5]
        sizes[#sizes + 1], sizes[#sizes + 2], sizes[#sizes + 3] = pair[1], #parts[#parts - 1], #pair[5]
      end
    end
  end
  return {pack(sizes), table.concat(parts)}
end

function calls.counts()
  return {call('HGETALL', COUNTS), call('ZCARD', QUEUE)}
end

-- 'began' for who leads from now on, 'leads' for who did before, 'follows'.
function calls.leads()
  local token, lease_ms = take(), take()
  if call('SET', LEASE, token, 'NX', 'PX', lease_ms) then
    return 'began'
  end
  return call('GET', LEASE) == token and call('PEXPIRE', LEASE, lease_ms) == 1 and 'leads' or 'follows'
end

function calls.leave()
  local token = take()
  return call('GET', LEASE) == token and call('DEL', LEASE) or 0
end

function calls.save()
  if call('GET', LEASE) ~= take() then
    return redis.error_reply('FENCED another sidecar leads, or nobody does; expected to be asked whether we do')
  end
  local name = take()
  call('HSET', SAVED, name, take())
  call('HSET', PLACES, name, take())
  numbers.read = math.huge
  for _, place_of in ipairs(call('HVALS', PLACES)) do
    numbers.read = math.min(numbers.read, tonumber(place_of))
  end
  return settle(BUDGET)
end

-- What is left of the budget, when a save has brought more to settle than one run may.
function calls.settle()
  return settle(BUDGET)
end

function calls.read()
  local name = take()
  return {call('HGET', SAVED, name), call('HGET', PLACES, name)}
end

local reply = calls[ARGV[1]]()

for name, by in pairs(counted) do
  if by ~= 0 then
    call('HINCRBY', COUNTS, name, by)
  end
end
numbers.schema = SCHEMA
for place_of, name in ipairs({'schema', 'predictions', 'pairs', 'labels', 'settled', 'read'}) do
  if numbers[name] ~= tonumber(meta[place_of] or '0') then
    call('HSET', META, name, string.format('%.0f', numbers[name]))
  end
end
return reply
