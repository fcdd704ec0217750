/* Register values that find mistakes: boundaries, special floating-point numbers, badly boxed ones.
 *
 * Threads: none. Lifetime: values only. */
#ifndef DIFF_VALUES_H
#define DIFF_VALUES_H

#include "rng.h"

enum value_kind { VALUE_INT, VALUE_DOUBLE, VALUE_SINGLE, VALUE_HALF, VALUE_KINDS };

/* A 64-bit register value; singles and halves are NaN-boxed, mostly. */
uint64_t value_random(struct rng *rng, enum value_kind kind);

#endif
