-- Tables, recursion, strings.
local n = tonumber(arg[1]) or 2000000
local t = {}
for i = 1, n do t[i % 1000 + 1] = (t[i % 1000 + 1] or 0) * 3 % 65521 + i end
local s = 0 for i = 1, #t do s = s + t[i] end
local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
local parts = {} for i = 1, 20000 do parts[i] = tostring(i * 7 % 31) end
print(s, fib(27), #table.concat(parts))
