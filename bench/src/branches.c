/* Branches, predictable and not. */
#include "kernel.h"

#include <string.h>

static uint64_t sieve(unsigned scale)
{
    enum { LIMIT = 100000 };
    uint8_t *composite = claim(LIMIT);
    uint64_t hash = 0;
    for (unsigned round = 0; round < scale; round++) {
        unsigned count = 0;
        memset(composite, 0, LIMIT);
        for (unsigned i = 2; i < LIMIT; i++) {
            if (composite[i])
                continue;
            count++;
            for (unsigned j = 2 * i; j < LIMIT; j += i)
                composite[j] = 1;
        }
        hash = mix(hash, count);
    }
    return hash;
}

static uint64_t binary_search(unsigned scale)
{
    enum { COUNT = 1 << 14 };
    uint32_t *a = claim(COUNT * sizeof(*a)), state = 5;
    uint64_t hash = 0;
    for (uint32_t i = 0; i < COUNT; i++)
        a[i] = i * 7 + (i & 3);
    for (unsigned i = 0; i < scale * 1000; i++) {
        uint32_t key = next_random(&state) % (COUNT * 7), low = 0, high = COUNT;
        while (low < high) {
            uint32_t middle = (low + high) / 2;
            if (a[middle] < key)
                low = middle + 1;
            else
                high = middle;
        }
        hash += low;
    }
    return hash;
}

static unsigned place_queens(unsigned all, unsigned columns, unsigned left, unsigned right)
{
    unsigned count = 0;
    if (columns == all)
        return 1;
    for (unsigned free = all & ~(columns | left | right); free; free &= free - 1) {
        unsigned bit = free & -free;
        count += place_queens(all, columns | bit, (left | bit) << 1, (right | bit) >> 1);
    }
    return count;
}

static uint64_t queens(unsigned scale)
{
    uint64_t hash = 0;
    for (unsigned round = 0; round < scale; round++)
        hash = mix(hash, place_queens((1u << (7 + round % 3)) - 1, 0, 0, 0));
    return hash;
}

static uint64_t collatz(unsigned scale)
{
    uint64_t longest = 0, at = 0;
    for (uint64_t n = 1; n < scale * 1000ul; n++) {
        uint64_t length = 0;
        for (uint64_t x = n; x != 1; length++)
            x = x & 1 ? 3 * x + 1 : x / 2;
        if (length > longest) {
            longest = length;
            at = n;
        }
    }
    return mix(longest, at);
}

static uint64_t life(unsigned scale)
{
    enum { SIDE = 64 };
    static uint8_t field[2][SIDE][SIDE];
    uint32_t state = 77;
    for (unsigned i = 0; i < SIDE * SIDE; i++)
        field[0][i / SIDE][i % SIDE] = next_random(&state) & 1;
    for (unsigned round = 0; round < scale; round++) {
        uint8_t(*old)[SIDE] = field[round & 1], (*new)[SIDE] = field[~round & 1];
        for (unsigned y = 1; y < SIDE - 1; y++)
            for (unsigned x = 1; x < SIDE - 1; x++) {
                unsigned n = 0;
                for (unsigned i = 0; i < 9; i++)
                    if (i != 4 && old[y + i / 3 - 1][x + i % 3 - 1])
                        n++;
                new[y][x] = n == 3 || (n == 2 && old[y][x]);
            }
    }
    uint64_t hash = 0;
    for (unsigned i = 0; i < SIDE * SIDE; i++)
        hash = mix(hash, field[scale & 1][i / SIDE][i % SIDE]);
    return hash;
}

const struct kernel kernels[] = {
    {"sieve", sieve},   {"binary-search", binary_search},
    {"queens", queens}, {"collatz", collatz},
    {"life", life},     {NULL, NULL},
};
