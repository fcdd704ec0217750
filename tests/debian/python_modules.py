# program: python3
# reference: qemu
# timeout: 300
# Python in one process: the C modules and what they stand on.
import array, base64, binascii, bisect, bz2, cmath, collections, ctypes, ctypes.util, datetime, decimal, difflib, fractions
import functools, gc, hashlib, heapq, hmac, io, ipaddress, itertools, json, lzma, math, mmap, operator, os, pickle, platform
import random, re, sqlite3, ssl, statistics, string, struct, sys, tempfile, textwrap, traceback, unicodedata, uuid, xml.etree.ElementTree as ET, zlib

print(sys.maxsize, sys.byteorder, platform.machine(), sys.float_info.max, sys.hash_info.width)
print([f'{math.pi:.{n}f}' for n in range(1, 16, 5)], 0.1 + 0.2, 1e16 + 1, round(2.675, 2), float.hex(1 / 3), 2 ** 0.5)
print(math.fsum([0.1] * 10), math.gcd(2 ** 70, 6 ** 30), math.isqrt(10 ** 40), math.comb(60, 30), cmath.exp(1j * math.pi))
print(pow(3, 10 ** 5, 10 ** 9 + 7), hash(2 ** 61), -7 // 2, divmod(-7, 3), int('ff' * 30, 16) % 97, str(7 ** 500)[-30:])
decimal.getcontext().prec = 50
print(decimal.Decimal(2).sqrt(), decimal.Decimal(1) / 7, fractions.Fraction(1, 3) + fractions.Fraction(1, 6), statistics.stdev([1, 2, 4, 8]))
random.seed(42)
print(random.random(), random.randint(1, 10 ** 12), random.gauss(0, 1), random.sample(range(100), 5))
data = b''.join(struct.pack('<QdHb', i, i / 3, i % 65536, i % 128) for i in range(3000))
for name in ('md5', 'sha1', 'sha256', 'sha3_256', 'blake2b', 'blake2s', 'sha512'):
    print(name, hashlib.new(name, data).hexdigest()[:32])
print(hmac.new(b'key', data, 'sha256').hexdigest()[:16], zlib.crc32(data), zlib.adler32(data), binascii.crc_hqx(data, 0))
print(hashlib.pbkdf2_hmac('sha256', b'password', b'salt', 1000).hex()[:16], hashlib.scrypt(b'p', salt=b's', n=256, r=8, p=1).hex()[:16])
for module in (zlib, bz2, lzma):
    assert module.decompress(module.compress(data)) == data
print(base64.b85encode(data[:20]), base64.b64encode(data[:15]), pickle.loads(pickle.dumps({'a': [1, (2, 3)], 'b': {4}}))['a'])
print(json.dumps({'x': [1, 2.5, None, True, 'é']}, sort_keys=True), json.loads('[1e400, -0.0, "\\u263a"]'))
print(re.sub(r'(?P<y>\d{4})-(\d\d)', r'\2/\g<y>', 'on 2024-05 and 1999-12'), re.findall(r'(?<=a)b+|c', 'abbbcab'), bool(re.fullmatch(r'(a|b)*c', 'ab' * 500 + 'c')))
print(unicodedata.normalize('NFD', 'é').encode(), 'ß'.upper(), 'ǅ'.lower(), len('👩‍👩‍👧'), 'straße'.casefold(), unicodedata.name('☃'))
print(datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone.utc).timestamp(), datetime.date(2000, 1, 1) + datetime.timedelta(days=10000), datetime.datetime.fromisoformat('2011-11-04T00:05:23+04:00').isoformat())

connection = sqlite3.connect(':memory:')
connection.execute('create table t(a integer primary key, b real, c text)')
connection.executemany('insert into t values (?, ?, ?)', ((i, i / 7, f'row {i * 31 % 97}') for i in range(2000)))
connection.create_function('twice', 1, lambda x: x * 2)
print(connection.execute('select count(*), round(sum(b), 6), max(c), twice(21) from t').fetchone(), connection.execute('select c, count(*) from t group by c order by 2 desc, 1 limit 2').fetchall())

libc = ctypes.CDLL(None, use_errno=True)
libc.snprintf.restype = ctypes.c_int
buffer = ctypes.create_string_buffer(64)
print(libc.snprintf(buffer, ctypes.c_size_t(64), b'%d %s %.3f', ctypes.c_int(42), b'text', ctypes.c_double(2.5)), buffer.value)
COMPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
numbers = (ctypes.c_int * 8)(5, 3, 9, 1, 7, 2, 8, 4)
libc.qsort(numbers, ctypes.c_size_t(8), ctypes.c_size_t(4), COMPARE(lambda a, b: a[0] - b[0]))
print(list(numbers), libc.open(b'/no/such', 0), ctypes.get_errno())
class Pair(ctypes.Structure):
    _fields_ = [('quot', ctypes.c_int), ('rem', ctypes.c_int)]
libc.div.restype = Pair
result = libc.div(17, 5)
print(result.quot, result.rem, ctypes.sizeof(ctypes.c_long), ctypes.sizeof(ctypes.c_longdouble))
pow_ = ctypes.CDLL('libm.so.6').pow
pow_.restype, pow_.argtypes = ctypes.c_double, [ctypes.c_double, ctypes.c_double]
print(pow_(2, 0.5))

context = ssl.create_default_context()
print(ssl.OPENSSL_VERSION_INFO[0], context.verify_mode.name, len(context.get_ciphers()) > 5, len(ssl.RAND_bytes(16)))
with tempfile.TemporaryFile() as file:
    file.write(b'0' * 10000)
    file.flush()
    with mmap.mmap(file.fileno(), 0) as m:
        m[100:105] = b'hello'
        print(m.find(b'hello'), m.size())
root = ET.fromstring('<a><b x="1">t</b><b x="2"/></a>')
print([b.get('x') for b in root.iter('b')], ET.tostring(root), str(uuid.uuid5(uuid.NAMESPACE_DNS, 'example.org')))
print(list(difflib.unified_diff('abc', 'abd', lineterm=''))[-3:], textwrap.shorten('the quick brown fox jumps', 15), array.array('d', [1.5, 2.5]).tobytes().hex())

def depth(n):
    return 0 if n == 0 else 1 + depth(n - 1)
sys.setrecursionlimit(20000)
print(depth(9000))
try:
    def endless(): return endless()
    endless()
except RecursionError:
    print('RecursionError')
try:
    [][1]
except IndexError as error:
    print(traceback.format_exception_only(error))
def primes():
    sieve = bytearray(b'\1') * 30000
    for i in range(2, 30000):
        if sieve[i]:
            yield i
            sieve[i * i::i] = bytes(len(sieve[i * i::i]))
print(sum(primes()), functools.reduce(operator.xor, range(10000)), collections.Counter('mississippi').most_common(2), list(itertools.islice(itertools.permutations('abc'), 4)))
class Cycle:
    def __init__(self): self.me = self
for _ in range(5000): Cycle()
print(gc.collect() > 0, heapq.nsmallest(3, (x * 37 % 101 for x in range(100))), bisect.bisect([1, 2, 2, 3], 2))
