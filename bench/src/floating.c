/* Floating point in double and single precision: n-body, spectral norm, Mandelbrot set, matrix product, sums.
 *
 * Compiled with -ffp-contract=off: results are the same bits everywhere. */
#include "kernel.h"

#include <math.h>
#include <string.h>

#define REAL    double
#define NAME(x) x##_double
#define ROOT    sqrt
#include "floating.inc"
#undef REAL
#undef NAME
#undef ROOT

#define REAL    float
#define NAME(x) x##_single
#define ROOT    sqrtf
#include "floating.inc"

/* Conversions between integers and both precisions, comparisons and minima. */
static uint64_t conversions(unsigned scale)
{
    uint64_t sum = 0;
    double most = 0;
    for (unsigned i = 0; i < scale * 1000; i++) {
        float f = (float)(int)(i * 2654435761u);
        double d = (double)f / 3 + (double)sum;
        sum += (uint64_t)(int64_t)d & 0xffff;
        most = d > most ? d : most;
        sum ^= (uint32_t)(int32_t)(float)(d * 1e-9);
    }
    return mix(sum, (uint64_t)most);
}

const struct kernel kernels[] = {
    {"nbody-double", nbody_double},     {"spectral-double", spectral_double},
    {"fractal-double", fractal_double}, {"matrix-double", matrix_double},
    {"nbody-single", nbody_single},     {"spectral-single", spectral_single},
    {"fractal-single", fractal_single}, {"matrix-single", matrix_single},
    {"conversions", conversions},       {NULL, NULL},
};
