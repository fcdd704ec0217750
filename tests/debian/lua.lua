-- program: lua5.4
-- reference: qemu
-- Lua: integers and floats, strings, tables, coroutines, metatables, garbage collection.
print(_VERSION, math.maxinteger, math.mininteger, 7 // 2, -7 // 2, 7 % -3, 2 ^ 0.5, 1e15, 1e16, 0x7fffffffffffffff + 1)
print(string.format('%5.2f|%-5d|%x|%q|%a', 3.14159, 42, 255, 'a\n"b"', 1 / 3), #'héllo', ('x'):rep(5, ','))
print(('key = value'):match('(%w+)%s*=%s*(%w+)'), ('hello world'):gsub('o', '0'), ('%d'):format(3), tostring(1e100))
local t = {} for i = 1, 1000 do t[i] = (i * 7919) % 1009 end table.sort(t) print(t[1], t[500], t[1000], #t, table.concat(t, ',', 1, 5))
local function gen(n) return coroutine.wrap(function() for i = 1, n do coroutine.yield(i * i) end end) end
local s = 0 for v in gen(1000) do s = s + v end print(s)
local V = {} V.__index = V V.__add = function(a, b) return setmetatable({ x = a.x + b.x }, V) end V.__tostring = function(a) return 'V(' .. a.x .. ')' end V.__lt = function(a, b) return a.x < b.x end
print(tostring(setmetatable({ x = 1 }, V) + setmetatable({ x = 2 }, V)), setmetatable({ x = 1 }, V) < setmetatable({ x = 2 }, V))
print(pcall(error, { code = 1 }), select(2, pcall(error, 'message', 0)), select('#', 1, nil, 3))
local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end print(fib(22))
local sieve, count = {}, 0 for i = 2, 20000 do if not sieve[i] then count = count + 1 for j = i * i, 20000, i do sieve[j] = true end end end print(count)
local garbage = 0 for i = 1, 50000 do local x = { i, tostring(i), { i } } garbage = garbage + #x[2] end collectgarbage() print(garbage)
print(string.pack('<i4d', 7, 1.5):byte(1, -1)) print(string.unpack('<i4d', string.pack('<i4d', -7, 2.5)))
print(math.sin(1), math.exp(1), math.log(10), math.fmod(-7, 3), math.tointeger(3.0), 1 // 0.0, -1 // 0.0, 0 / 0 ~= 0 / 0)
print(utf8.char(9731, 128512), utf8.len('héllo'), os.time({ year = 2020, month = 1, day = 1, hour = 12 }) > 0, os.getenv('NO_SUCH_THING'))
local f = assert(io.tmpfile()) for i = 1, 1000 do f:write(i, '\n') end f:seek('set') local sum = 0 for n in f:lines('n') do sum = sum + n end print(sum)
goto done do print('skipped') end ::done:: print(load('return 6 * 7')(), #arg)
