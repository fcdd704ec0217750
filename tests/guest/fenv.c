/* Floating point as C sees it: rounding modes, exception flags, denormals, special values, libm.
 */
#include "test.h"
#include <fenv.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>

#pragma STDC FENV_ACCESS ON

static uint64_t bits(double x)
{
    uint64_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static uint32_t bits32(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static const struct {
    int mode;
    const char *name;
} modes[] = {{FE_TONEAREST, "nearest"}, {FE_TOWARDZERO, "zero"}, {FE_DOWNWARD, "down"}, {FE_UPWARD, "up"}};

static const double values[] = {0.0,          -0.0,    1.0,      -1.0,     1.0 / 3,   2.5,
                                -2.5,         0.1,     1e300,    1e-300,   DBL_MAX,   DBL_MIN,
                                5e-324,       -5e-324, 2.2e-308, INFINITY, -INFINITY, NAN,
                                16777217,     0.5,     1.5,      -0.5,     1e18,      9007199254740993.0,
                                4294967295.5, -3.7};
enum { VALUES = sizeof values / sizeof values[0] };

/* One line for each operation and mode: a checksum of all results and all flags, and some results in the open. */
#define CHECKSUM(sum, value) ((sum) = ((sum) ^ (value)) * 0x100000001b3UL)

static void sweep(const char *name, double (*operation)(double, double))
{
    for (unsigned m = 0; m < 4; m++) {
        uint64_t results = 0xcbf29ce484222325, flags = results;
        fesetround(modes[m].mode);
        for (int i = 0; i < VALUES; i++)
            for (int k = 0; k < VALUES; k++) {
                feclearexcept(FE_ALL_EXCEPT);
                volatile double a = values[i], b = values[k];
                double r = operation(a, b);
                CHECKSUM(results, bits(r));
                CHECKSUM(flags, (uint64_t)fetestexcept(FE_ALL_EXCEPT));
            }
        fesetround(FE_TONEAREST);
        say("%s %s: results %016" PRIx64 " flags %016" PRIx64, name, modes[m].name, results, flags);
    }
}

static void sweep32(const char *name, float (*operation)(float, float))
{
    for (unsigned m = 0; m < 4; m++) {
        uint64_t results = 0xcbf29ce484222325, flags = results;
        for (int i = 0; i < VALUES; i++)
            for (int k = 0; k < VALUES; k++) {
                volatile float a = (float)values[i], b = (float)values[k];
                fesetround(modes[m].mode);
                feclearexcept(FE_ALL_EXCEPT);
                float r = operation(a, b);
                CHECKSUM(results, bits32(r));
                CHECKSUM(flags, (uint64_t)fetestexcept(FE_ALL_EXCEPT));
                fesetround(FE_TONEAREST);
            }
        say("%s %s: results %016" PRIx64 " flags %016" PRIx64, name, modes[m].name, results, flags);
    }
}

#define BINARY(type, name, expression) \
    static type name(type a, type b)   \
    {                                  \
        volatile type r = expression;  \
        return r;                      \
    }
BINARY(double, add, a + b)
BINARY(double, subtract, a - b)
BINARY(double, multiply, a *b)
BINARY(double, divide, a / b)
BINARY(double, root, sqrt(a + b))
BINARY(double, fused, fma(a, b, a))
BINARY(double, minimum, fmin(a, b))
BINARY(double, maximum, fmax(a, b))
BINARY(double, compare, (double)((a < b) + 2 * (a == b) + 4 * (a > b) + 8 * (a <= b)))
BINARY(double, quiet, (double)(isless(a, b) + 2 * isgreaterequal(a, b) + 4 * isunordered(a, b)))
BINARY(double, to_int, (double)((int)a + (int)b))
BINARY(double, to_long, (double)(long)a)
BINARY(double, to_unsigned, (double)((unsigned)a ^ (unsigned)b))
BINARY(double, to_unsigned_long, (double)(unsigned long)a)
BINARY(double, round_int, (double)lrint(a))
BINARY(double, nearby, nearbyint(a))
BINARY(double, narrow, (double)(float)a)
BINARY(double, copy_sign, copysign(a, b))
BINARY(float, add_f, a + b)
BINARY(float, multiply_f, a *b)
BINARY(float, divide_f, a / b)
BINARY(float, root_f, sqrtf(a + b))
BINARY(float, fused_f, fmaf(a, b, b))

static void test_flags(void)
{
    feclearexcept(FE_ALL_EXCEPT);
    EQ("cleared", fetestexcept(FE_ALL_EXCEPT), 0);
    feraiseexcept(FE_DIVBYZERO | FE_INVALID);
    EQ("raised", fetestexcept(FE_ALL_EXCEPT), FE_DIVBYZERO | FE_INVALID);
    fenv_t saved;
    feholdexcept(&saved);
    EQ("held", fetestexcept(FE_ALL_EXCEPT), 0);
    feraiseexcept(FE_OVERFLOW);
    feupdateenv(&saved);
    OK("updated", fetestexcept(FE_OVERFLOW) && fetestexcept(FE_DIVBYZERO));
    feclearexcept(FE_ALL_EXCEPT);
    for (unsigned i = 0; i < 4; i++) {
        fesetround(modes[i].mode);
        EQ(modes[i].name, fegetround(), modes[i].mode);
    }
    fesetround(FE_TONEAREST);
    volatile double zero = 0, one = 1, tiny = DBL_MIN, r;
    r = one / zero;
    EQ("division by zero", fetestexcept(FE_ALL_EXCEPT), FE_DIVBYZERO);
    feclearexcept(FE_ALL_EXCEPT);
    r = zero / zero;
    EQ("invalid", fetestexcept(FE_ALL_EXCEPT), FE_INVALID);
    EQ("canonical NaN", bits(r), 0x7ff8000000000000);
    feclearexcept(FE_ALL_EXCEPT);
    r = tiny / 3;
    EQ("underflow", fetestexcept(FE_ALL_EXCEPT), FE_UNDERFLOW | FE_INEXACT);
    feclearexcept(FE_ALL_EXCEPT);
    r = tiny / 2;
    EQ("an exact denormal raises nothing", fetestexcept(FE_ALL_EXCEPT), 0);
    r = DBL_MAX;
    r = r * 2;
    EQ("overflow", fetestexcept(FE_ALL_EXCEPT), FE_OVERFLOW | FE_INEXACT);
    feclearexcept(FE_ALL_EXCEPT);
}

static void test_denormals(void)
{
    volatile double d = DBL_MIN;
    int steps = 0;
    while (d > 0) {
        d = d / 2;
        steps++;
    }
    EQ("halvings of DBL_MIN to zero", steps, 53);
    volatile float f = FLT_MIN;
    steps = 0;
    while (f > 0) {
        f = f / 2;
        steps++;
    }
    EQ("halvings of FLT_MIN to zero", steps, 24);
    volatile double tiny = 5e-324;
    EQ("denormal + denormal", bits(tiny + tiny), 2);
    EQ("denormal * 2^1074", bits(tiny * 0x1p1023 * 0x1p51), bits(1.0));
    EQ("no flush to zero", bits(tiny * 1.0), 1);
}

static void *thread_modes(void *arg)
{
    int inherited = fegetround();
    fesetround(FE_DOWNWARD);
    volatile double one = 1, three = 3;
    uint64_t low = bits(one / three);
    *(int *)arg = low == 0x3fd5555555555555 && fegetround() == FE_DOWNWARD;
    return (void *)(long)inherited;
}

static volatile int mode_in_handler;

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
    mode_in_handler = fegetround();
    fesetround(FE_DOWNWARD);
    feraiseexcept(FE_INVALID);
}

static void test_scope(void)
{
    pthread_t thread;
    int right = 0;
    void *inherited;
    fesetround(FE_UPWARD);
    pthread_create(&thread, NULL, thread_modes, &right);
    pthread_join(thread, &inherited);
    EQ("a thread inherits the rounding mode", (long)inherited, FE_UPWARD);
    OK("and has its own", right && fegetround() == FE_UPWARD);
    feclearexcept(FE_ALL_EXCEPT);
    handle(SIGUSR1, on_signal, 0);
    raise(SIGUSR1);
    EQ("a handler's mode ends with it", fegetround(), FE_UPWARD);
    EQ("and so do its flags", fetestexcept(FE_ALL_EXCEPT), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(fegetround() == FE_UPWARD);
    int status;
    waitpid(child, &status, 0);
    EQ("fork keeps the mode", WEXITSTATUS(status), 1);
    fesetround(FE_TONEAREST);
}

static void test_library(void)
{
    static const double xs[] = {0.1, 0.5, 1, 2, 10, 100.25, 1e-10, 1e5};
    for (unsigned i = 0; i < sizeof xs / sizeof xs[0]; i++) {
        volatile double x = xs[i];
        say("%a: sin %a cos %a tan %a exp %a log %a pow %a cbrt %a tgamma %a erf %a", x, sin(x), cos(x),
            tan(x), exp(-x), log(x), pow(x, 1.7), cbrt(x), tgamma(x), erf(x));
        say("%.17g %Lg %.3f %e %g", x, (long double)x / 3, x, x, x);
    }
    volatile long double q = 1.0L / 3;
    say("quad %.33Lg %La", q, q * q);
    say("strtod %a %a %a", strtod("0.1", NULL), strtod("4.9e-324", NULL),
        strtod("1.7976931348623159e308", NULL));
}

int main(void)
{
    static const struct {
        const char *name;
        double (*operation)(double, double);
    } doubles[] = {{"add", add},          {"sub", subtract},
                   {"mul", multiply},     {"div", divide},
                   {"sqrt", root},        {"fma", fused},
                   {"min", minimum},      {"max", maximum},
                   {"compare", compare},  {"quiet", quiet},
                   {"int", to_int},       {"long", to_long},
                   {"uint", to_unsigned}, {"ulong", to_unsigned_long},
                   {"lrint", round_int},  {"nearbyint", nearby},
                   {"narrow", narrow},    {"copysign", copy_sign}};
    static const struct {
        const char *name;
        float (*operation)(float, float);
    } floats[] = {
        {"addf", add_f}, {"mulf", multiply_f}, {"divf", divide_f}, {"sqrtf", root_f}, {"fmaf", fused_f}};
    for (unsigned i = 0; i < sizeof doubles / sizeof doubles[0]; i++)
        sweep(doubles[i].name, doubles[i].operation);
    for (unsigned i = 0; i < sizeof floats / sizeof floats[0]; i++)
        sweep32(floats[i].name, floats[i].operation);
    test_flags();
    test_denormals();
    test_scope();
    test_library();
    return test_end();
}
