/* What the IR has no operation for: functions of register values, which know no hart. */
#include "cpu/riscv/fp.h"
#include "cpu/riscv/lift_row.h"
#include "host/atomic.h"

static unsigned __int128 carryless(uint64_t a, uint64_t b)
{
    unsigned __int128 product = 0, addend = a;
    for (; b; b >>= 1, addend <<= 1)
        product ^= addend & -(unsigned __int128)(b & 1);
    return product;
}

/* Software rounding gives its flags to the host's FPU, as all of translated code does. */
static void raise_flags(uint32_t flags)
{
    if (flags & SOFTFP_NX)
        fpu_trunc_w_d(0.5);
    if (flags & SOFTFP_NV)
        fpu_trunc_w_d(fpu_nan_d());
}

static uint64_t to_int(const struct softfp_format *format, uint64_t rm, uint64_t a, unsigned bits,
                       bool is_signed)
{
    uint32_t flags = 0;
    uint64_t result = softfp_to_int(format, (unsigned)rm, a, bits, is_signed, &flags);
    raise_flags(flags);
    return result;
}

static uint64_t round_to_whole(const struct softfp_format *format, uint64_t rm, uint64_t a,
                               bool report_inexact)
{
    uint32_t flags = 0;
    uint64_t result = softfp_round(format, (unsigned)rm, a, report_inexact, &flags);
    raise_flags(flags);
    return result;
}

#define CALL_FUNCTION(name, value)                                       \
    static uint64_t call_##name(uint64_t a, uint64_t b, uint64_t unused) \
    {                                                                    \
        (void)a, (void)b, (void)unused;                                  \
        return (uint64_t)(value);                                        \
    }
LIFT_CALLS(CALL_FUNCTION)

#define CALL_ENTRY(name, value) [LIFT_CALL_##name] = call_##name,
jit_call *const lift_calls[] = {LIFT_CALLS(CALL_ENTRY)};
