#include "base/histogram.h"

enum { STEP_BITS = 3, STEPS = 1 << STEP_BITS };

static unsigned step_of(uint64_t value)
{
    if (value < STEPS)
        return (unsigned)value;
    unsigned shift = 63 - STEP_BITS - (unsigned)__builtin_clzll(value);
    return (shift + 1) * STEPS + (unsigned)(value >> shift & (STEPS - 1));
}

/* The step has the values from `first` on, `width` of them. */
static uint64_t first_of(unsigned step, uint64_t *width)
{
    unsigned shift = step < STEPS ? 0 : step / STEPS - 1;
    *width = UINT64_C(1) << shift;
    return step < STEPS ? step : (uint64_t)(STEPS + step % STEPS) << shift;
}

void histogram_add(struct histogram *h, uint64_t value, uint64_t times)
{
    h->total += times;
    h->count[step_of(value)] += times;
}

/* Values are taken to be spread evenly over their step. */
uint64_t histogram_median(const struct histogram *h)
{
    uint64_t below = 0, width;
    unsigned step = 0;
    while (step < HISTOGRAM_STEPS - 1 && 2 * (below + h->count[step]) < h->total)
        below += h->count[step++];
    uint64_t first = first_of(step, &width), count = h->count[step];
    return count ? first + (uint64_t)((unsigned __int128)width * (h->total / 2 - below) / count) : first;
}
