#include "base/histogram.h"

enum { STEP_BITS = 3, STEPS = 1 << STEP_BITS };

static unsigned step_of(uint64_t value)
{
    if (value < STEPS)
        return (unsigned)value;
    unsigned shift = 63 - STEP_BITS - (unsigned)__builtin_clzll(value);
    return (shift + 1) * STEPS + (unsigned)(value >> shift & (STEPS - 1));
}

/* The value in the middle of the step. */
static uint64_t middle_of(unsigned step)
{
    if (step < STEPS)
        return step;
    unsigned shift = step / STEPS - 1;
    uint64_t first = (uint64_t)(STEPS + step % STEPS) << shift;
    return first + ((UINT64_C(1) << shift) >> 1);
}

void histogram_add(struct histogram *h, uint64_t value, uint64_t times)
{
    h->total += times;
    h->count[step_of(value)] += times;
}

uint64_t histogram_median(const struct histogram *h)
{
    uint64_t below = 0;
    unsigned step = 0;
    while (step < HISTOGRAM_STEPS - 1 && 2 * (below + h->count[step]) < h->total)
        below += h->count[step++];
    return middle_of(step);
}
