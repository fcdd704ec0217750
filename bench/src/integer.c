/* Integer work: hash tables, sorting, checksums and digests, compression, and a mix of small typical tasks. */
#include "kernel.h"

#include <stdlib.h>
#include <string.h>

enum { BUFFER = 1 << 16 };

/* Text-like bytes: words from a small vocabulary, so that there is something to compress. */
static uint8_t *make_text(size_t size)
{
    static const char *const words[] = {"the ",   "guest ", "host ",     "register ", "of ",   "a ",
                                        "memory", " page ", "is\n",      "moved, ",   "trap ", "while ",
                                        "0x1f ",  "and ",   "returned ", "to "};
    uint8_t *text = claim(size);
    uint32_t state = 12345;
    for (size_t at = 0; at < size;) {
        const char *word = words[next_random(&state) >> 7 & 15];
        size_t length = strlen(word);
        if (length > size - at)
            length = size - at;
        memcpy(text + at, word, length);
        at += length;
    }
    return text;
}

/* ---- Open-addressed hash table ---- */

enum { SLOTS = 1 << 14 };

static uint64_t hash_table(unsigned scale)
{
    uint32_t *keys = claim(SLOTS * sizeof(*keys));
    uint32_t *counts = claim(SLOTS * sizeof(*counts));
    uint64_t probes = 0;
    for (unsigned round = 0; round < scale; round++) {
        uint32_t state = round + 1;
        memset(keys, 0, SLOTS * sizeof(*keys));
        for (unsigned i = 0; i < 3 * SLOTS / 2; i++) {
            uint32_t key = next_random(&state) % (SLOTS / 2) + 1;
            uint32_t slot = key * 2654435761u >> 18;
            while (keys[slot] && keys[slot] != key) {
                slot = (slot + 1) & (SLOTS - 1);
                probes++;
            }
            keys[slot] = key;
            counts[slot]++;
        }
    }
    uint64_t hash = probes;
    for (unsigned i = 0; i < SLOTS; i++)
        hash = mix(hash, counts[i]);
    return hash;
}

/* ---- Sorting ---- */

static void sort_range(uint32_t *a, long low, long high)
{
    while (high - low > 12) {
        uint32_t pivot = a[low + (high - low) / 2];
        long i = low, j = high;
        while (i <= j) {
            while (a[i] < pivot)
                i++;
            while (a[j] > pivot)
                j--;
            if (i <= j) {
                uint32_t t = a[i];
                a[i++] = a[j];
                a[j--] = t;
            }
        }
        if (j - low < high - i) {
            sort_range(a, low, j);
            low = i;
        } else {
            sort_range(a, i, high);
            high = j;
        }
    }
    for (long i = low + 1; i <= high; i++) {
        uint32_t value = a[i];
        long j = i;
        for (; j > low && a[j - 1] > value; j--)
            a[j] = a[j - 1];
        a[j] = value;
    }
}

static uint64_t sorting(unsigned scale)
{
    enum { COUNT = 20000 };
    uint32_t *a = claim(COUNT * sizeof(*a));
    uint64_t hash = 0;
    for (unsigned round = 0; round < scale; round++) {
        uint32_t state = round + 99;
        for (unsigned i = 0; i < COUNT; i++)
            a[i] = next_random(&state);
        sort_range(a, 0, COUNT - 1);
        hash = mix(hash, a[COUNT / 3] + a[COUNT / 2]);
    }
    return hash;
}

/* ---- CRC-32, table driven ---- */

static uint64_t crc32(unsigned scale)
{
    uint32_t table[256], crc = UINT32_MAX;
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (unsigned bit = 0; bit < 8; bit++)
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320u : 0);
    }
    const uint8_t *text = make_text(BUFFER);
    for (unsigned round = 0; round < scale; round++)
        for (unsigned i = 0; i < BUFFER; i++)
            crc = crc >> 8 ^ table[(crc ^ text[i]) & 255];
    return ~crc;
}

/* ---- SHA-256 (FIPS 180-4); its constants are computed ---- */

static uint32_t rotate(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

/* The first 32 bits of the fraction of the root of n, by bisection in integers: cube root or square root. */
static uint32_t root_fraction(uint32_t n, bool cube)
{
    uint64_t low = 0, high = UINT64_C(1) << 36;
    while (high - low > 1) {
        uint64_t middle = (low + high) / 2;
        __extension__ typedef unsigned __int128 wide;
        wide square = (wide)middle * middle;
        bool above = cube ? (square >> 32) * middle >= (wide)n << 64 : square >= (wide)n << 64;
        if (above)
            high = middle;
        else
            low = middle;
    }
    return (uint32_t)low;
}

struct sha256 {
    uint32_t constant[64], state[8];
};

static void sha256_init(struct sha256 *s)
{
    unsigned found = 0;
    for (uint32_t n = 2; found < 64; n++) {
        bool prime = true;
        for (uint32_t d = 2; d * d <= n; d++)
            prime &= n % d != 0;
        if (!prime)
            continue;
        if (found < 8)
            s->state[found] = root_fraction(n, false);
        s->constant[found++] = root_fraction(n, true);
    }
}

static void sha256_block(struct sha256 *s, const uint8_t *block)
{
    uint32_t w[64], v[8];
    for (unsigned i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (unsigned i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7] +
               (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
    }
    memcpy(v, s->state, sizeof(v));
    for (unsigned i = 0; i < 64; i++) {
        uint32_t e = v[4], a = v[0];
        uint32_t t = v[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & v[5]) ^ (~e & v[6])) +
                     s->constant[i] + w[i];
        uint32_t u =
            (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof(*v));
        v[4] += t;
        v[0] = t + u;
    }
    for (unsigned i = 0; i < 8; i++)
        s->state[i] += v[i];
}

static uint64_t sha256(unsigned scale)
{
    struct sha256 s;
    const uint8_t *text = make_text(BUFFER);
    sha256_init(&s);
    for (unsigned round = 0; round < scale; round++)
        for (unsigned at = 0; at < BUFFER; at += 64)
            sha256_block(&s, text + at);
    return (uint64_t)s.state[0] << 32 | s.state[7];
}

/* ---- Lempel-Ziv: literals and (distance, length) pairs found through a hash of four bytes ---- */

static uint32_t load32(const uint8_t *p)
{
    uint32_t value;
    memcpy(&value, p, sizeof(value));
    return value;
}

static size_t compress(const uint8_t *in, size_t size, uint8_t *out, uint16_t *heads)
{
    uint8_t *start = out;
    memset(heads, 0, 4096 * sizeof(*heads));
    for (size_t at = 0; at < size;) {
        size_t length = 0, from = 0;
        if (at + 4 <= size) {
            uint16_t *head = &heads[load32(in + at) * 2654435761u >> 20];
            from = *head;
            *head = (uint16_t)at;
            while (from < at && at + length < size && length < 255 && in[from + length] == in[at + length])
                length++;
        }
        if (length < 5) {
            *out++ = 0;
            *out++ = in[at++];
            continue;
        }
        *out++ = (uint8_t)length;
        *out++ = (uint8_t)(at - from);
        *out++ = (uint8_t)((at - from) >> 8);
        at += length;
    }
    return (size_t)(out - start);
}

static size_t expand(const uint8_t *in, size_t size, uint8_t *out)
{
    uint8_t *start = out;
    for (const uint8_t *end = in + size; in < end;) {
        unsigned length = *in++;
        if (!length) {
            *out++ = *in++;
            continue;
        }
        const uint8_t *from = out - (in[0] | in[1] << 8);
        in += 2;
        while (length--)
            *out++ = *from++;
    }
    return (size_t)(out - start);
}

static uint64_t lempel_ziv(unsigned scale)
{
    const uint8_t *text = make_text(BUFFER);
    uint8_t *packed = claim(2 * BUFFER), *back = claim(BUFFER);
    uint16_t *heads = claim(4096 * sizeof(*heads));
    uint64_t hash = 0;
    for (unsigned round = 0; round < scale; round++) {
        size_t size = compress(text, BUFFER, packed, heads);
        hash = mix(hash, size);
        hash = mix(hash, expand(packed, size, back));
        hash = mix(hash, (uint64_t)memcmp(text, back, BUFFER));
    }
    return hash;
}

/* ---- A mix: numbers scanned by a state machine, a linked list, a small matrix, a checksum of it all ---- */

enum state { SKIP, SIGN, DIGITS, FRACTION, BAD };

static enum state step(enum state state, int c)
{
    switch (state) {
    case SKIP: return c == '-' ? SIGN : c >= '0' && c <= '9' ? DIGITS : c == ' ' ? SKIP : BAD;
    case SIGN: return c >= '0' && c <= '9' ? DIGITS : BAD;
    case DIGITS: return c >= '0' && c <= '9' ? DIGITS : c == '.' ? FRACTION : c == ' ' ? SKIP : BAD;
    case FRACTION: return c >= '0' && c <= '9' ? FRACTION : c == ' ' ? SKIP : BAD;
    default: return c == ' ' ? SKIP : BAD;
    }
}

struct node {
    struct node *next;
    int value;
};

static struct node *reverse(struct node *list)
{
    struct node *done = NULL;
    while (list) {
        struct node *next = list->next;
        list->next = done;
        done = list;
        list = next;
    }
    return done;
}

static uint64_t assorted(unsigned scale)
{
    enum { NODES = 64, SIDE = 12 };
    static const char numbers[] = "12 -7.25 x9 3.5 -- 10000 -0.125 7e2 42 1. 99 -5 6.5.4 0 ";
    static struct node nodes[NODES];
    static int a[SIDE][SIDE], b[SIDE][SIDE];
    uint64_t hash = 0;
    for (int i = 0; i < NODES; i++)
        nodes[i] = (struct node){i + 1 < NODES ? &nodes[i + 1] : NULL, i * 37 % NODES};
    struct node *list = nodes;
    for (unsigned round = 0; round < scale; round++) {
        unsigned seen[5] = {0};
        enum state state = SKIP;
        for (const char *p = numbers; *p; p++)
            seen[state = step(state, *p)]++;
        list = reverse(list);
        int found = 0;
        for (const struct node *n = list; n; n = n->next)
            found += n->value == (int)(round % NODES) ? 100 : n->value & 1;
        for (int i = 0; i < SIDE; i++)
            for (int j = 0; j < SIDE; j++) {
                int sum = (int)(round & 15);
                for (int k = 0; k < SIDE; k++)
                    sum += a[i][k] * b[k][j] + (i ^ j);
                a[i][j] = (int16_t)sum;
                b[j][i] = (int16_t)(sum >> 3 ^ (int)round);
            }
        hash = mix(hash, seen[DIGITS] * 31u + seen[BAD]);
        hash = mix(hash, (uint64_t)(found + a[SIDE - 1][0]));
    }
    return hash;
}

/* ---- 64-bit arithmetic: modular powers with 128-bit products ---- */

static uint64_t modular(unsigned scale)
{
    __extension__ typedef unsigned __int128 wide;
    uint64_t modulus = UINT64_C(0xffffffffffffffc5), hash = 1;
    for (unsigned round = 0; round < scale; round++) {
        uint64_t base = hash | 3, power = 1;
        for (uint64_t e = UINT64_C(0xfedcba9876543211); e; e >>= 1) {
            if (e & 1)
                power = (uint64_t)((wide)power * base >> 7) % modulus;
            base = (base >> 32) * (base & UINT32_MAX) % modulus + base / 3;
        }
        hash = mix(hash, power);
    }
    return hash;
}

const struct kernel kernels[] = {
    {"hash-table", hash_table}, {"sort", sorting},      {"crc32", crc32},     {"sha256", sha256},
    {"lempel-ziv", lempel_ziv}, {"assorted", assorted}, {"modular", modular}, {NULL, NULL},
};
