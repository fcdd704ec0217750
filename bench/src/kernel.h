/* A benchmark program is a list of kernels. main() in kernel.c runs the one named by its first argument, `scale` times
 * some work that the kernel chooses, and prints a checksum, which must not depend on the machine.
 *
 * Threads: none. Lifetime: static data. */
#ifndef BENCH_KERNEL_H
#define BENCH_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kernel {
    const char *name;
    uint64_t (*run)(unsigned scale);
};

extern const struct kernel kernels[]; /* ends with a NULL name */

static inline uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static inline uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Memory that is there until the program ends. */
void *claim(size_t size);

#endif
