/* What the targets share as programs of their own, without libFuzzer: random inputs that a number repeats.
 * Threads: none. Lifetime: nothing is kept. */
#ifndef FUZZ_DRIVER_H
#define FUZZ_DRIVER_H

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* splitmix64 */
static inline uint64_t fuzz_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15;
    uint64_t z = *state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* The command line says how many runs there are, and the seed of the first. `run` makes the input of one, and runs it. */
typedef void fuzz_run(uint64_t seed, void *context);

static inline void fuzz_drive(const char *name, int argc, char **argv, fuzz_run *run, void *context)
{
    uint64_t runs = argc > 1 ? strtoull(argv[1], NULL, 0) : 1000000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    for (uint64_t i = 0; i < runs; i++)
        run(seed + i, context);
    printf("%s: %" PRIu64 " runs from seed %" PRIu64 "\n", name, runs, seed);
}

/* For targets whose input is steps of two words each: some of them. */
static inline void fuzz_steps(uint64_t seed, void *context)
{
    enum { STEPS = 64, STEP_WORDS = 2 };
    uint64_t words[STEPS * STEP_WORDS];
    size_t count = (1 + fuzz_random(&seed) % STEPS) * STEP_WORDS;
    (void)context;
    for (size_t i = 0; i < count; i++)
        words[i] = fuzz_random(&seed);
    LLVMFuzzerTestOneInput((const uint8_t *)words, count * sizeof(words[0]));
}

#endif
