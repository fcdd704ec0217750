-- Lua at work: tables, closures, strings, floating point, coroutines. arg[1]: rounds.
local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end

local function permute(a, n)
  if n == 0 then coroutine.yield(a) return end
  for i = 1, n do
    a[i], a[n] = a[n], a[i]
    permute(a, n - 1)
    a[i], a[n] = a[n], a[i]
  end
end

local check, state = 0, 1
local function random(limit)
  state = (state * 1103515245 + 12345) & 0x7fffffff
  return (state >> 8) % limit
end

for round = 1, tonumber(arg[1]) do
  local items = {}
  for i = 1, 2000 do items[i] = { key = random(10000), name = 'n' .. i } end
  table.sort(items, function(a, b) if a.key ~= b.key then return a.key < b.key end return a.name < b.name end)
  local sum = 0
  for i, item in ipairs(items) do sum = (sum * 7 + item.key * i + #item.name) % 1000003 end
  local count = 0
  for a in coroutine.wrap(function() permute({ 1, 2, 3, 4, 5, 6 }, 6) end) do count = count + a[1] * a[6] end
  local text = {}
  for i = 1, 500 do text[#text + 1] = string.format('%d:%s;', i, items[i].name:upper()) end
  local joined = table.concat(text)
  local digits = 0
  for d in joined:gmatch('%d+') do digits = digits + tonumber(d) end
  local real = 0.0
  for i = 1, 5000 do real = real + 1.0 / (i * i) end
  check = (check * 31 + sum + count + digits + #joined + fib(17) + math.floor(real * 1e6)) % 4294967291
end
print(check)
