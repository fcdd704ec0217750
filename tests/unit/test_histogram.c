/* Medians of histograms, beside those of the values themselves. */
#include "../diff/rng.h"
#include "base/histogram.h"
#include "base/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void median_is(const struct histogram *h, uint64_t value)
{
    uint64_t median = histogram_median(h), distance = median > value ? median - value : value - median;
    assert_true(distance <= value / 8);
}

static void single_values(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++)
        for (uint64_t below = 0; below < 3; below++) {
            struct histogram h = {0};
            uint64_t value = (UINT64_C(1) << bit) - below;
            histogram_add(&h, value, 1);
            median_is(&h, value);
        }
}

static void nothing(void **state)
{
    (void)state;
    const struct histogram h = {0};
    assert_int_equal(histogram_median(&h), 0);
}

static void weights(void **state)
{
    (void)state;
    struct histogram h = {0};
    histogram_add(&h, 1000, 10);
    histogram_add(&h, 10, 9);
    median_is(&h, 1000);
    histogram_add(&h, 20, 2);
    median_is(&h, 20);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void many_values(void **state)
{
    (void)state;
    struct rng rng = rng_make(1, 0);
    uint64_t values[1001];
    for (unsigned round = 0; round < 100; round++) {
        struct histogram h = {0};
        for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
            values[i] = rng_next(&rng) >> (round % 60);
            histogram_add(&h, values[i], 1);
        }
        qsort(values, ARRAY_SIZE(values), sizeof(values[0]), by_size);
        median_is(&h, values[ARRAY_SIZE(values) / 2]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_values),
        cmocka_unit_test(nothing),
        cmocka_unit_test(weights),
        cmocka_unit_test(many_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
