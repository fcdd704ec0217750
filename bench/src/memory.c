/* Memory: copies, streams, dependent loads in and out of the caches, the C library's string functions. */
#include "kernel.h"

#include <string.h>

static uint64_t copy(unsigned scale)
{
    enum { SIZE = 1 << 20 };
    uint8_t *from = claim(SIZE + 64), *to = claim(SIZE + 64);
    memset(from, 7, SIZE + 64);
    for (unsigned round = 0; round < scale; round++) {
        from[round % SIZE]++;
        memcpy(to + round % 8, from + round % 16, SIZE);
        memmove(from + 8, to, SIZE / 4);
    }
    return mix(to[SIZE / 2], from[SIZE / 3]);
}

static uint64_t stream(unsigned scale)
{
    enum { COUNT = 1 << 17 };
    uint64_t *a = claim(COUNT * 8), *b = claim(COUNT * 8), *c = claim(COUNT * 8);
    for (unsigned i = 0; i < COUNT; i++)
        b[i] = i;
    for (unsigned round = 0; round < scale; round++) {
        for (unsigned i = 0; i < COUNT; i++)
            a[i] = b[i] + 3 * c[i];
        for (unsigned i = 0; i < COUNT; i++)
            c[i] = a[i] ^ round;
    }
    return mix(a[COUNT / 2], c[COUNT - 1]);
}

/* One cycle through all of `count` cells, in random order. */
static uint64_t chase(unsigned count, unsigned long steps)
{
    uint32_t *next = claim(count * sizeof(*next)), state = 4321, at = 0;
    for (unsigned i = 0; i < count; i++)
        next[i] = i;
    for (unsigned i = count - 1; i > 0; i--) {
        unsigned j = next_random(&state) % i;
        uint32_t t = next[i];
        next[i] = next[j];
        next[j] = t;
    }
    for (unsigned long i = 0; i < steps; i++)
        at = next[at];
    return at;
}

static uint64_t chase_near(unsigned scale)
{
    return chase(1 << 12, scale * 100000ul);
}

static uint64_t chase_far(unsigned scale)
{
    return chase(1 << 20, scale * 100000ul);
}

static uint64_t strings(unsigned scale)
{
    enum { SIZE = 4096 };
    char *a = claim(SIZE + 1), *b = claim(SIZE + 1);
    uint64_t hash = 0;
    memset(a, 'x', SIZE);
    for (unsigned round = 0; round < scale; round++) {
        unsigned at = round * 2654435761u % SIZE;
        a[at] = 'y';
        strcpy(b, a);
        hash = mix(hash, (uint64_t)((char *)memchr(a, 'y', SIZE) - a));
        hash = mix(hash, strlen(b + at % 16) + (uint64_t)(strcmp(a, b) == 0));
        b[SIZE - 1 - at % 100] = 'z';
        hash = mix(hash, (uint64_t)(strcmp(a, b) < 0) + (strstr(b, "xzx") != NULL));
        a[at] = 'x';
    }
    return hash;
}

/* Byte by byte and unaligned: what compilers cannot turn into blocks. */
static uint64_t bytes(unsigned scale)
{
    enum { SIZE = 1 << 14 };
    uint8_t *a = claim(SIZE + 8);
    uint64_t hash = 0;
    for (unsigned round = 0; round < scale; round++) {
        uint8_t carry = (uint8_t)round;
        for (unsigned i = 0; i < SIZE; i++)
            carry = a[i] = (uint8_t)(a[i] + carry * 3 + 1);
        for (unsigned i = 1; i < SIZE - 8; i += 5) {
            uint64_t word;
            memcpy(&word, a + i, sizeof(word));
            hash += word;
        }
    }
    return hash;
}

const struct kernel kernels[] = {
    {"copy", copy},
    {"stream", stream},
    {"chase-near", chase_near},
    {"chase-far", chase_far},
    {"strings", strings},
    {"bytes", bytes},
    {NULL, NULL},
};
