/* How often values occurred, on a logarithmic scale: eight steps to an octave, so that what is read from it is right within
 * an eighth.
 *
 * Threads: none. Lifetime: {0} is empty; owns nothing. */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdint.h>

/* Values below 8 have a step each; of the others the highest bit and the three behind it tell. */
#define HISTOGRAM_STEPS (8 + 61 * 8)

struct histogram {
    uint64_t total, count[HISTOGRAM_STEPS];
};

void histogram_add(struct histogram *h, uint64_t value, uint64_t times);

/* Half of the values are not above it; 0 when there is none. */
uint64_t histogram_median(const struct histogram *h);

#endif
