/* Random numbers that are the same for the same seed on every machine (SplitMix64).
 *
 * Threads: none. Lifetime: a plain value, seeded by rng_make(). */
#ifndef DIFF_RNG_H
#define DIFF_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
    uint64_t state;
};

static inline uint64_t rng_next(struct rng *rng)
{
    uint64_t z = rng->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* The generator for part `index` of what `seed` names: parts do not depend on one another. */
static inline struct rng rng_make(uint64_t seed, uint64_t index)
{
    struct rng outer = {seed};
    struct rng inner = {rng_next(&outer) ^ index};
    return (struct rng){rng_next(&inner)};
}

static inline unsigned rng_below(struct rng *rng, unsigned limit)
{
    return (unsigned)((rng_next(rng) >> 32) * limit >> 32);
}

static inline bool rng_percent(struct rng *rng, unsigned percent)
{
    return rng_below(rng, 100) < percent;
}

#endif
