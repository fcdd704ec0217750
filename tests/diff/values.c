#include "values.h"

#include <stddef.h>

/* An IEEE 754 binary format of `bits` bits in all, `fraction` of them for the fraction. */
struct format {
    unsigned bits, fraction;
};
static const struct format half = {16, 10};
static const struct format single = {32, 23};
static const struct format twice = {64, 52};

static uint64_t ones(unsigned count)
{
    return count >= 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

static unsigned exponent_bias(struct format f)
{
    return (unsigned)ones(f.bits - f.fraction - 2);
}

/* Biased exponents that matter for conversions: around 1, the integer widths, the fraction's width and both ends. */
static uint64_t exponent_random(struct rng *rng, struct format f)
{
    static const int near[] = {0,  1,  7,  8,  10, 11,  15,  16,  23,   24,   31,   32,
                               52, 53, 63, 64, -1, -14, -24, -25, -126, -149, -150, 127};
    unsigned bias = exponent_bias(f);
    unsigned top = 2 * bias + 1;
    int exponent = (int)bias;
    switch (rng_below(rng, 5)) {
    case 0: return rng_below(rng, top + 1);
    case 1: return rng_below(rng, 4);
    case 2: return top - rng_below(rng, 4);
    case 3: exponent += near[rng_below(rng, sizeof(near) / sizeof(near[0]))]; break;
    default: exponent += (int)rng_below(rng, 9) - 4; break;
    }
    if (exponent < 0)
        return 0;
    return (unsigned)exponent > top ? top : (uint64_t)exponent;
}

/* Fractions around the rounding points of a narrower format, runs of ones and zeros, or anything. */
static uint64_t fraction_random(struct rng *rng, struct format f)
{
    unsigned bit = rng_below(rng, f.fraction);
    uint64_t fraction = rng_next(rng);
    switch (rng_below(rng, 6)) {
    case 0: fraction = 0; break;
    case 1: fraction = UINT64_MAX << bit; break;
    case 2: fraction = ones(bit); break;
    case 3: fraction = (fraction << bit) + rng_below(rng, 3) - 1; break;
    case 4: fraction = (UINT64_C(1) << bit) + rng_below(rng, 3) - 1; break;
    default: break;
    }
    return fraction & ones(f.fraction);
}

/* Zero, the smallest and largest subnormal and normal number, infinity, quiet and signaling NaNs. */
static uint64_t special_random(struct rng *rng, struct format f)
{
    uint64_t infinity = ones(f.bits - 1) & ~ones(f.fraction);
    uint64_t quiet = UINT64_C(1) << (f.fraction - 1);
    uint64_t payload = fraction_random(rng, f) & (quiet - 1);
    switch (rng_below(rng, 10)) {
    case 0: return 0;
    case 1: return 1;
    case 2: return ones(f.fraction);
    case 3: return UINT64_C(1) << f.fraction;
    case 4: return infinity - 1;
    case 5: return infinity;
    case 6: return infinity | quiet;
    case 7: return infinity | quiet | payload;
    case 8: return infinity | payload | 1;
    default: return (uint64_t)exponent_bias(f) << f.fraction;
    }
}

static uint64_t float_random(struct rng *rng, struct format f)
{
    uint64_t sign = rng_percent(rng, 50) ? UINT64_C(1) << (f.bits - 1) : 0;
    if (rng_percent(rng, 25))
        return sign | special_random(rng, f);
    uint64_t exponent = exponent_random(rng, f); /* one after the other: the same in every compiler */
    uint64_t fraction = fraction_random(rng, f);
    return sign | exponent << f.fraction | fraction;
}

/* One in twelve is boxed wrongly, by as little as one bit. */
static uint64_t boxed_random(struct rng *rng, struct format f)
{
    uint64_t box = ~ones(f.bits);
    switch (rng_below(rng, 24)) {
    case 0: box &= rng_next(rng); break;
    case 1: box &= ~(UINT64_C(1) << (f.bits + rng_below(rng, 64 - f.bits))); break;
    default: break;
    }
    return box | float_random(rng, f);
}

static uint64_t int_random(struct rng *rng)
{
    unsigned bit = rng_below(rng, 64);
    uint64_t around = rng_below(rng, 5) - UINT64_C(2);
    switch (rng_below(rng, 8)) {
    case 0: return around;
    case 1: return (UINT64_C(1) << bit) + around;
    case 2: return (UINT64_MAX << bit) + around;
    case 3: return (rng_percent(rng, 50) ? UINT64_C(0x7fffffff) : UINT64_C(0xffffffff80000000)) + around;
    case 4: return (uint64_t)(int32_t)rng_next(rng);
    case 5: return UINT64_C(0x0101010101010101) * (rng_next(rng) & 0xff);
    case 6: return (ones(rng_below(rng, 65)) << bit);
    default: return rng_next(rng);
    }
}

uint64_t value_random(struct rng *rng, enum value_kind kind)
{
    switch (kind) {
    case VALUE_DOUBLE: return float_random(rng, twice);
    case VALUE_SINGLE: return boxed_random(rng, single);
    case VALUE_HALF: return boxed_random(rng, half);
    default: return int_random(rng);
    }
}
