# Loops over integers and a dict, method calls.
import sys
def f(n):
    s = 0
    d = {}
    for i in range(n):
        s = (s * 31 + i) % 1000003
        d[s & 255] = d.get(s & 255, 0) + i % 7
    return s, sum(d.values())
class A:
    def __init__(self, x): self.x = x
    def step(self, y): self.x = (self.x * 3 + y) & 0xffff; return self.x
print(f(3000))
a = A(1)
print(sum(a.step(i) for i in range(3000)))
print(f(int(sys.argv[1])))
