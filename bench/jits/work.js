/* Maps, lists, virtual calls, strings, recursion: much code that is compiled, little that runs for long. */
const n = +process.argv[2] || 200000;
const m = new Map();
for (let i = 0; i < n; i++) { const k = 'k' + (i % 5000); m.set(k, (m.get(k) || 0) + 1); }
class C { constructor(r) { this.r = r; } area() { return Math.PI * this.r * this.r; } }
class S { constructor(a) { this.a = a; } area() { return this.a * this.a; } }
const l = []; for (let i = 0; i < n; i++) l.push(i % 3 ? new S(i) : new C(i));
let s = 0; for (const x of l) s += x.area();
function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
console.log(m.size, Math.floor(s / 1e9), fib(27), JSON.stringify(l.slice(0, 1000)).length);
