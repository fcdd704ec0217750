# Python at work: arithmetic, dictionaries, strings, classes, recursion, JSON, sorting, a heap. argv[1]: rounds.
import heapq
import json
import sys
import zlib


class Vector:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __add__(self, other):
        return Vector(self.x + other.x, self.y + other.y)

    def dot(self, other):
        return self.x * other.x + self.y * other.y


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def words(count):
    state = 1
    for _ in range(count):
        state = state * 1103515245 + 12345 & 0x7fffffff
        yield f'w{state >> 8 & 1023}'


def once(number):
    counts = {}
    for word in words(4000):
        counts[word] = counts.get(word, 0) + 1
    ranking = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:20]
    total = Vector(0, 0)
    for i in range(4000):
        total = total + Vector(i, i * 0.5)
    heap = [(i * 7919 % 1009, i) for i in range(1500)]
    heapq.heapify(heap)
    order = [heapq.heappop(heap)[1] for _ in range(700)]
    text = json.dumps({'ranking': ranking, 'order': order, 'number': number, 'dot': total.dot(total)})
    back = json.loads(text)
    big = pow(3, 2000 + number, 10 ** 60 + 7)
    return zlib.crc32((text + str(big) + str(fib(15)) + str(len(back['order']))).encode())


check = 0
for number in range(int(sys.argv[1])):
    check = check * 31 + once(number) & 0xffffffff
print(check)
