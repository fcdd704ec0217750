/* Floating-point instructions: every one against a witness that shares no arithmetic with it, in every rounding mode, with
 * every static mode under every dynamic one; then what x86 and RISC-V do differently, by hand. */
#include "cpu/riscv/fp.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { NX = SOFTFP_NX, UF = SOFTFP_UF, OF = SOFTFP_OF, DZ = SOFTFP_DZ, NV = SOFTFP_NV };
enum { RNE = SOFTFP_RNE, RTZ = SOFTFP_RTZ, RDN = SOFTFP_RDN, RUP = SOFTFP_RUP, RMM = SOFTFP_RMM, MODES = 5 };

/* A row is run once as the guest would, and once by its witness, which leaves its flags in hart->fflags. */
typedef uint64_t evaluate(struct hart *hart, unsigned rm, const uint64_t *v);

struct row {
    const char *name;
    const char *operands; /* one letter each: h, s, d, or x for an integer */
    evaluate *guest, *witness;
};

struct outcome {
    uint64_t value;
    uint32_t flags;
};

static struct outcome run_guest(evaluate *guest, unsigned frm, unsigned rm, const uint64_t *v)
{
    struct hart hart = {.frm = frm};
    hart_fpu_enter(&hart);
    struct outcome outcome = {.value = guest(&hart, rm, v)};
    outcome.flags = hart_fcsr(&hart) & 0x1f;
    hart_fpu_leave(&hart);
    if (hart.fflags != outcome.flags || hart.frm != frm)
        fail_msg("fcsr is %#x inside and %#x outside", outcome.flags, hart.fflags);
    return outcome;
}

static struct outcome run_witness(evaluate *witness, unsigned rm, const uint64_t *v)
{
    struct hart hart = {.frm = rm};
    struct outcome outcome = {.value = witness(&hart, rm, v)};
    outcome.flags = hart.fflags;
    return outcome;
}

/* Operands as the manual says they are read. */
static uint64_t bits_d(uint64_t reg)
{
    return reg;
}

static uint64_t bits_s(uint64_t reg)
{
    return reg >> 32 == 0xffffffff ? reg & 0xffffffff : 0x7fc00000;
}

static uint64_t bits_h(uint64_t reg)
{
    return reg >> 16 == 0xffffffffffff ? reg & 0xffff : 0x7e00;
}

static uint64_t reg_d(uint64_t bits)
{
    return bits;
}

static uint64_t reg_s(uint64_t bits)
{
    return bits | 0xffffffff00000000;
}

static uint64_t reg_h(uint64_t bits)
{
    return bits | 0xffffffffffff0000;
}

/* Single precision is widened, which is exact and keeps order, sign and class but subnormality. */
static double number_d(uint64_t reg)
{
    double value;
    memcpy(&value, &reg, sizeof value);
    return value;
}

static double number_s(uint64_t reg)
{
    uint32_t bits = (uint32_t)bits_s(reg);
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

static bool quiet_d(uint64_t reg)
{
    return reg >> 51 & 1;
}

static bool quiet_s(uint64_t reg)
{
    return bits_s(reg) >> 22 & 1;
}

#define GUEST(op, ...)                                                            \
    static uint64_t guest_##op(struct hart *hart, unsigned rm, const uint64_t *v) \
    {                                                                             \
        (void)hart, (void)rm;                                                     \
        return fp_##op(__VA_ARGS__);                                              \
    }
#define WITNESS(op, expression)                                                     \
    static uint64_t witness_##op(struct hart *hart, unsigned rm, const uint64_t *v) \
    {                                                                               \
        (void)hart, (void)rm;                                                       \
        return expression;                                                          \
    }

/* Arithmetic. */
#define ARITHMETIC(f, sign)                                                                               \
    GUEST(add_##f, hart, rm, v[0], v[1])                                                                  \
    GUEST(sub_##f, hart, rm, v[0], v[1])                                                                  \
    GUEST(mul_##f, hart, rm, v[0], v[1])                                                                  \
    GUEST(div_##f, hart, rm, v[0], v[1])                                                                  \
    GUEST(sqrt_##f, hart, rm, v[0])                                                                       \
    GUEST(madd_##f, hart, rm, v[0], v[1], v[2])                                                           \
    GUEST(msub_##f, hart, rm, v[0], v[1], v[2])                                                           \
    GUEST(nmsub_##f, hart, rm, v[0], v[1], v[2])                                                          \
    GUEST(nmadd_##f, hart, rm, v[0], v[1], v[2])                                                          \
    WITNESS(add_##f, reg_##f(softfp_add(&softfp_##f, rm, bits_##f(v[0]), bits_##f(v[1]), &hart->fflags))) \
    WITNESS(sub_##f, reg_##f(softfp_sub(&softfp_##f, rm, bits_##f(v[0]), bits_##f(v[1]), &hart->fflags))) \
    WITNESS(mul_##f, reg_##f(softfp_mul(&softfp_##f, rm, bits_##f(v[0]), bits_##f(v[1]), &hart->fflags))) \
    WITNESS(div_##f, reg_##f(softfp_div(&softfp_##f, rm, bits_##f(v[0]), bits_##f(v[1]), &hart->fflags))) \
    WITNESS(sqrt_##f, reg_##f(softfp_sqrt(&softfp_##f, rm, bits_##f(v[0]), &hart->fflags)))               \
    WITNESS(madd_##f, fused_##f(hart, rm, v, 0, 0))                                                       \
    WITNESS(msub_##f, fused_##f(hart, rm, v, 0, sign))                                                    \
    WITNESS(nmsub_##f, fused_##f(hart, rm, v, sign, 0))                                                   \
    WITNESS(nmadd_##f, fused_##f(hart, rm, v, sign, sign))

#define FUSED(f)                                                                                        \
    static uint64_t fused_##f(struct hart *hart, unsigned rm, const uint64_t *v, uint64_t turn_product, \
                              uint64_t turn_addend)                                                     \
    {                                                                                                   \
        return reg_##f(softfp_fma(&softfp_##f, rm, bits_##f(v[0]) ^ turn_product, bits_##f(v[1]),       \
                                  bits_##f(v[2]) ^ turn_addend, &hart->fflags));                        \
    }
FUSED(s)
FUSED(d)
ARITHMETIC(s, UINT64_C(1) << 31)
ARITHMETIC(d, UINT64_C(1) << 63)

/* Comparisons, minima and maxima: the witness works on C's numbers. */
enum relation { EQUAL, LESS, LESS_EQUAL };

static uint64_t compare(struct hart *hart, enum relation relation, bool signal_any, double a, double b,
                        bool quiet)
{
    if (isnan(a) || isnan(b)) {
        if (signal_any || !quiet)
            hart->fflags |= NV;
        return 0;
    }
    return relation == EQUAL ? a == b : relation == LESS ? a < b : a <= b;
}

/* Which operand fmin or fmax picks; 2 for the canonical NaN. */
static int pick(struct hart *hart, bool maximum, bool nan_wins, double a, double b, bool quiet)
{
    if (!quiet)
        hart->fflags |= NV;
    if (isnan(a) || isnan(b))
        return nan_wins || (isnan(a) && isnan(b)) ? 2 : isnan(a);
    if (a == b)
        return (signbit(a) != 0) == maximum;
    return (a > b) == !maximum;
}

#define SELECTION(f, nan)                                                                                 \
    static bool all_quiet_##f(const uint64_t *v)                                                          \
    {                                                                                                     \
        return (!isnan(number_##f(v[0])) || quiet_##f(v[0])) &&                                           \
               (!isnan(number_##f(v[1])) || quiet_##f(v[1]));                                             \
    }                                                                                                     \
    static uint64_t compare_##f(struct hart *hart, enum relation relation, bool signal_any,               \
                                const uint64_t *v)                                                        \
    {                                                                                                     \
        return compare(hart, relation, signal_any, number_##f(v[0]), number_##f(v[1]), all_quiet_##f(v)); \
    }                                                                                                     \
    static uint64_t pick_##f(struct hart *hart, bool maximum, bool nan_wins, const uint64_t *v)           \
    {                                                                                                     \
        int which = pick(hart, maximum, nan_wins, number_##f(v[0]), number_##f(v[1]), all_quiet_##f(v));  \
        return reg_##f(which == 2 ? nan : bits_##f(v[which]));                                            \
    }                                                                                                     \
    GUEST(eq_##f, v[0], v[1])                                                                             \
    GUEST(lt_##f, v[0], v[1])                                                                             \
    GUEST(le_##f, v[0], v[1])                                                                             \
    GUEST(ltq_##f, v[0], v[1])                                                                            \
    GUEST(leq_##f, v[0], v[1])                                                                            \
    GUEST(min_##f, hart, v[0], v[1])                                                                      \
    GUEST(max_##f, hart, v[0], v[1])                                                                      \
    GUEST(minm_##f, hart, v[0], v[1])                                                                     \
    GUEST(maxm_##f, hart, v[0], v[1])                                                                     \
    WITNESS(eq_##f, compare_##f(hart, EQUAL, false, v))                                                   \
    WITNESS(lt_##f, compare_##f(hart, LESS, true, v))                                                     \
    WITNESS(le_##f, compare_##f(hart, LESS_EQUAL, true, v))                                               \
    WITNESS(ltq_##f, compare_##f(hart, LESS, false, v))                                                   \
    WITNESS(leq_##f, compare_##f(hart, LESS_EQUAL, false, v))                                             \
    WITNESS(min_##f, pick_##f(hart, false, false, v))                                                     \
    WITNESS(max_##f, pick_##f(hart, true, false, v))                                                      \
    WITNESS(minm_##f, pick_##f(hart, false, true, v))                                                     \
    WITNESS(maxm_##f, pick_##f(hart, true, true, v))
SELECTION(s, 0x7fc00000)
SELECTION(d, 0x7ff8000000000000)

/* Signs and classes. */
static uint64_t class_of(bool negative, int class, bool quiet)
{
    switch (class) {
    case FP_NAN: return quiet ? 1 << 9 : 1 << 8;
    case FP_INFINITE: return negative ? 1 << 0 : 1 << 7;
    case FP_NORMAL: return negative ? 1 << 1 : 1 << 6;
    case FP_SUBNORMAL: return negative ? 1 << 2 : 1 << 5;
    default: return negative ? 1 << 3 : 1 << 4;
    }
}

#define SIGNS(f, type, sign)                                                                \
    GUEST(sgnj_##f, v[0], v[1])                                                             \
    GUEST(sgnjn_##f, v[0], v[1])                                                            \
    GUEST(sgnjx_##f, v[0], v[1])                                                            \
    GUEST(class_##f, v[0])                                                                  \
    WITNESS(sgnj_##f, reg_##f((bits_##f(v[0]) & ((sign)-1)) + (bits_##f(v[1]) & (sign))))   \
    WITNESS(sgnjn_##f, reg_##f((bits_##f(v[0]) & ((sign)-1)) + (~bits_##f(v[1]) & (sign)))) \
    WITNESS(sgnjx_##f, reg_##f(bits_##f(v[0]) ^ (bits_##f(v[1]) & (sign))))                 \
    WITNESS(class_##f,                                                                      \
            class_of((bits_##f(v[0]) & (sign)) != 0, fpclassify((type)number_##f(v[0])), quiet_##f(v[0])))
SIGNS(s, float, UINT64_C(1) << 31)
SIGNS(d, double, UINT64_C(1) << 63)

/* Conversions. */
#define CONVERSIONS(f)                                                                                   \
    GUEST(cvt_w_##f, hart, rm, v[0])                                                                     \
    GUEST(cvt_wu_##f, hart, rm, v[0])                                                                    \
    GUEST(cvt_l_##f, hart, rm, v[0])                                                                     \
    GUEST(cvt_lu_##f, hart, rm, v[0])                                                                    \
    GUEST(cvt_##f##_w, hart, rm, v[0])                                                                   \
    GUEST(cvt_##f##_wu, hart, rm, v[0])                                                                  \
    GUEST(cvt_##f##_l, hart, rm, v[0])                                                                   \
    GUEST(cvt_##f##_lu, hart, rm, v[0])                                                                  \
    GUEST(round_##f, hart, rm, v[0])                                                                     \
    GUEST(roundnx_##f, hart, rm, v[0])                                                                   \
    WITNESS(cvt_w_##f, softfp_to_int(&softfp_##f, rm, bits_##f(v[0]), 32, true, &hart->fflags))          \
    WITNESS(cvt_wu_##f, softfp_to_int(&softfp_##f, rm, bits_##f(v[0]), 32, false, &hart->fflags))        \
    WITNESS(cvt_l_##f, softfp_to_int(&softfp_##f, rm, bits_##f(v[0]), 64, true, &hart->fflags))          \
    WITNESS(cvt_lu_##f, softfp_to_int(&softfp_##f, rm, bits_##f(v[0]), 64, false, &hart->fflags))        \
    WITNESS(cvt_##f##_w, reg_##f(softfp_from_signed(&softfp_##f, rm, (int32_t)v[0], &hart->fflags)))     \
    WITNESS(cvt_##f##_wu, reg_##f(softfp_from_unsigned(&softfp_##f, rm, (uint32_t)v[0], &hart->fflags))) \
    WITNESS(cvt_##f##_l, reg_##f(softfp_from_signed(&softfp_##f, rm, (int64_t)v[0], &hart->fflags)))     \
    WITNESS(cvt_##f##_lu, reg_##f(softfp_from_unsigned(&softfp_##f, rm, v[0], &hart->fflags)))           \
    WITNESS(roundnx_##f, round_through_integer_##f(hart, rm, v[0]))                                      \
    WITNESS(round_##f, without_inexact(hart, round_through_integer_##f(hart, rm, v[0])))

static uint64_t without_inexact(struct hart *hart, uint64_t value)
{
    hart->fflags &= ~(uint32_t)NX;
    return value;
}

/* Small enough numbers go to an integer and back, the others are whole, infinite or NaN. */
#define ROUND_THROUGH_INTEGER(f)                                                                        \
    static uint64_t round_through_integer_##f(struct hart *hart, unsigned rm, uint64_t reg)             \
    {                                                                                                   \
        double number = number_##f(reg);                                                                \
        if (!(fabs(number) < 0x1p60))                                                                   \
            return reg_##f(softfp_convert(&softfp_##f, &softfp_##f, rm, bits_##f(reg), &hart->fflags)); \
        uint64_t whole = softfp_to_int(&softfp_##f, rm, bits_##f(reg), 64, true, &hart->fflags);        \
        double result = copysign((double)(int64_t)whole, number);                                       \
        memcpy(&whole, &result, sizeof whole);                                                          \
        return reg_##f(softfp_convert(&softfp_##f, &softfp_d, rm, whole, &hart->fflags));               \
    }
ROUND_THROUGH_INTEGER(s)
ROUND_THROUGH_INTEGER(d)
CONVERSIONS(s)
CONVERSIONS(d)

static uint64_t modular(struct hart *hart, uint64_t reg)
{
    double number = number_d(reg);
    softfp_to_int(&softfp_d, RTZ, reg, 32, true, &hart->fflags);
    return isfinite(number) ? (uint64_t)(int64_t)(int32_t)(int64_t)fmod(trunc(number), 0x1p32) : 0;
}
GUEST(cvtmod_w_d, hart, v[0])
WITNESS(cvtmod_w_d, modular(hart, v[0]))

#define CONVERT(to, from)                    \
    GUEST(cvt_##to##_##from, hart, rm, v[0]) \
    WITNESS(cvt_##to##_##from,               \
            reg_##to(softfp_convert(&softfp_##to, &softfp_##from, rm, bits_##from(v[0]), &hart->fflags)))
CONVERT(s, d)
CONVERT(d, s)
CONVERT(s, h)
CONVERT(d, h)
CONVERT(h, s)
CONVERT(h, d)

#define ROW(operands, op)                       \
    {                                           \
#op, operands, guest_##op, witness_##op \
    }
static const struct row rows[] = {
    ROW("ss", add_s),    ROW("ss", sub_s),    ROW("ss", mul_s),    ROW("ss", div_s),    ROW("s", sqrt_s),
    ROW("dd", add_d),    ROW("dd", sub_d),    ROW("dd", mul_d),    ROW("dd", div_d),    ROW("d", sqrt_d),
    ROW("sss", madd_s),  ROW("sss", msub_s),  ROW("sss", nmsub_s), ROW("sss", nmadd_s), ROW("ddd", madd_d),
    ROW("ddd", msub_d),  ROW("ddd", nmsub_d), ROW("ddd", nmadd_d), ROW("ss", eq_s),     ROW("ss", lt_s),
    ROW("ss", le_s),     ROW("ss", ltq_s),    ROW("ss", leq_s),    ROW("dd", eq_d),     ROW("dd", lt_d),
    ROW("dd", le_d),     ROW("dd", ltq_d),    ROW("dd", leq_d),    ROW("ss", min_s),    ROW("ss", max_s),
    ROW("ss", minm_s),   ROW("ss", maxm_s),   ROW("dd", min_d),    ROW("dd", max_d),    ROW("dd", minm_d),
    ROW("dd", maxm_d),   ROW("ss", sgnj_s),   ROW("ss", sgnjn_s),  ROW("ss", sgnjx_s),  ROW("dd", sgnj_d),
    ROW("dd", sgnjn_d),  ROW("dd", sgnjx_d),  ROW("s", class_s),   ROW("d", class_d),   ROW("s", round_s),
    ROW("s", roundnx_s), ROW("d", round_d),   ROW("d", roundnx_d), ROW("s", cvt_w_s),   ROW("s", cvt_wu_s),
    ROW("s", cvt_l_s),   ROW("s", cvt_lu_s),  ROW("d", cvt_w_d),   ROW("d", cvt_wu_d),  ROW("d", cvt_l_d),
    ROW("d", cvt_lu_d),  ROW("x", cvt_s_w),   ROW("x", cvt_s_wu),  ROW("x", cvt_s_l),   ROW("x", cvt_s_lu),
    ROW("x", cvt_d_w),   ROW("x", cvt_d_wu),  ROW("x", cvt_d_l),   ROW("x", cvt_d_lu),  ROW("d", cvtmod_w_d),
    ROW("d", cvt_s_d),   ROW("s", cvt_d_s),   ROW("h", cvt_s_h),   ROW("h", cvt_d_h),   ROW("s", cvt_h_s),
    ROW("d", cvt_h_d),
};

/* The static mode under a dynamic one: equal, and the neighbour, which may be one that the host has not or none at all. */
static void check_row(const struct row *row, const uint64_t *v)
{
    for (unsigned rm = 0; rm < MODES; rm++) {
        struct outcome want = run_witness(row->witness, rm, v);
        for (unsigned frm = rm; frm <= rm + 1; frm++) {
            struct outcome got = run_guest(row->guest, frm, rm, v);
            if (got.value == want.value && got.flags == want.flags)
                continue;
            fail_msg(
                "%s rm %u frm %u of %016llx %016llx %016llx: %016llx flags %02x, expected %016llx flags %02x",
                row->name, rm, frm, (unsigned long long)v[0], (unsigned long long)v[1],
                (unsigned long long)v[2], (unsigned long long)got.value, got.flags,
                (unsigned long long)want.value, want.flags);
        }
    }
}

/* Special operands. Positive ones: each is used with either sign. */
static const uint64_t special_d[] = {
    0,
    1, /* smallest subnormal */
    2,
    0x0008000000000000, /* half of the smallest normal */
    0x000fffffffffffff, /* largest subnormal */
    0x0010000000000000, /* smallest normal */
    0x0010000000000001,
    0x3690000000000000, /* 2^-150, half of single's smallest subnormal */
    0x380fffffe0000000, /* between single's largest subnormal and smallest normal */
    0x3e60000000000000, /* 2^-25, half of half precision's smallest subnormal */
    0x3ca0000000000000, /* 2^-53 */
    0x3cb0000000000000, /* 2^-52 */
    0x3fdfffffffffffff, /* below 0.5 */
    0x3fe0000000000000, /* 0.5 */
    0x3fefffffffffffff, /* below 1 */
    0x3ff0000000000000, /* 1 */
    0x3ff0000000000001,
    0x3ff8000000000000, /* 1.5 */
    0x4004000000000000, /* 2.5 */
    0x40effe0000000000, /* 65520, half precision's overflow */
    0x41dfffffffc00000, /* 2^31 - 1 */
    0x41dfffffffe00000, /* 2^31 - 1/2 */
    0x41e0000000000000, /* 2^31 */
    0x41e0000000100000, /* 2^31 + 1/2 */
    0x41efffffffe00000, /* 2^32 - 1 */
    0x41effffffff00000, /* 2^32 - 1/2 */
    0x41f0000000000000, /* 2^32 */
    0x43dfffffffffffff, /* below 2^63 */
    0x43e0000000000000, /* 2^63 */
    0x43efffffffffffff, /* below 2^64 */
    0x43f0000000000000, /* 2^64 */
    0x47efffffe0000000, /* single's largest */
    0x47effffff0000000, /* where rounding to single overflows */
    0x7fdfffffffffffff,
    0x7fefffffffffffff, /* largest */
    0x7ff0000000000000, /* infinity */
    0x7ff0000000000001, /* signaling */
    0x7ff4000000000000,
    0x7ff8000000000000, /* quiet */
    0x7ffc0000deadbeef,
};
static const uint64_t special_s[] = {
    0,          1,          2,          0x00400000, 0x007fffff, 0x00800000, 0x00800001, 0x33000000,
    0x337fffff, 0x33800000, 0x34000000, 0x387fe000, 0x387ff000, 0x38800000, 0x3effffff, 0x3f000000,
    0x3f7fffff, 0x3f800000, 0x3f800001, 0x3fc00000, 0x40200000, 0x477fefff, 0x477ff000, 0x4effffff,
    0x4f000000, 0x4f7fffff, 0x4f800000, 0x5effffff, 0x5f000000, 0x5f7fffff, 0x5f800000, 0x7effffff,
    0x7f7fffff, 0x7f800000, 0x7f800001, 0x7fa00000, 0x7fc00000, 0x7fdeadbe,
};
static const uint64_t special_h[] = {0,      1,      2,      0x0200, 0x03ff, 0x0400, 0x3800, 0x3c00,
                                     0x3c01, 0x7bff, 0x7c00, 0x7c01, 0x7d00, 0x7e00, 0x7eef};
static const uint64_t special_x[] = {
    0,          1,          0x00ffffff,         0x01000000,         0x01000001,         0x01000003,
    0x7fffffbf, 0x7fffffff, 0x80000000,         0xffffff7f,         0xffffff80,         0xffffffff,
    1ull << 32, 1ull << 53, (1ull << 53) + 1,   (1ull << 53) + 3,   0x7fffffbfffffffff, 0x7ffffffffffffdff,
    1ull << 62, INT64_MAX,  0x8000000000000000, 0x8000000000000400, 0x8000008000000000, 0xfffffffffffffbff,
};

static size_t special_count(char kind)
{
    switch (kind) {
    case 'h': return 2 * ARRAY_SIZE(special_h) + 1;
    case 's': return 2 * ARRAY_SIZE(special_s) + 1;
    case 'd': return 2 * ARRAY_SIZE(special_d);
    case 'x': return 2 * ARRAY_SIZE(special_x);
    default: return 1;
    }
}

/* The last one of a boxed format is not properly boxed. */
static uint64_t special(char kind, size_t i)
{
    switch (kind) {
    case 'h':
        return i == 2 * ARRAY_SIZE(special_h) ? 0xffffffff00003c00 : reg_h(special_h[i / 2] | (i % 2) << 15);
    case 's':
        return i == 2 * ARRAY_SIZE(special_s) ? 0xfffffffe3f800000 : reg_s(special_s[i / 2] | (i % 2) << 31);
    case 'd': return special_d[i / 2] | (uint64_t)(i % 2) << 63;
    case 'x': return i % 2 ? -special_x[i / 2] : special_x[i / 2];
    default: return 0;
    }
}

static void test_special_operands(void **state)
{
    (void)state;
    for (const struct row *row = rows; row < rows + ARRAY_SIZE(rows); row++) {
        char kinds[4] = "";
        strcpy(kinds, row->operands);
        /* Three operands: a part of the cube that still meets every pair. */
        size_t step = kinds[2] ? 7 : 1, count = special_count(kinds[0]);
        for (size_t i = 0; i < count; i++)
            for (size_t j = 0; j < special_count(kinds[1]); j++)
                for (size_t k = (i + j) % step; k < special_count(kinds[2]); k += step)
                    check_row(row,
                              (uint64_t[]){special(kinds[0], i), special(kinds[1], j), special(kinds[2], k)});
    }
}

/* Random operands, always the same. Uniform bits would seldom meet: exponents are often near each other or near an end,
 * fractions often have long runs, which makes ties and carries. */
static uint64_t random_bits(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static uint64_t random_number(uint64_t *seed, const struct softfp_format *format)
{
    uint64_t choice = random_bits(seed), fraction = random_bits(seed);
    uint64_t top = (1u << format->exponent_bits) - 1, bias = top / 2, near = choice >> 16 & 63;
    uint64_t exponents[] = {choice >> 32 & top, bias + near % bias - near % bias / 2, near % 4,
                            top - 1 - near % 4, bias + near % bias};
    uint64_t exponent = exponents[(choice & 15) % ARRAY_SIZE(exponents)] & top;
    unsigned run = choice >> 8 & 63;
    if (choice & 0x10)
        fraction = choice & 0x20 ? ~UINT64_C(0) << run : UINT64_C(1) << run;
    if (choice & 0x40)
        fraction ^= choice >> 48 & 7;
    fraction &= (UINT64_C(1) << format->fraction_bits) - 1;
    return (choice >> 63) << (format->exponent_bits + format->fraction_bits) |
           exponent << format->fraction_bits | fraction;
}

static uint64_t random_operand(uint64_t *seed, char kind)
{
    uint64_t choice = random_bits(seed);
    if (choice % 8 == 0)
        return special(kind, (choice >> 8) % special_count(kind));
    switch (kind) {
    case 'h': return reg_h(random_number(seed, &softfp_h));
    case 's': return reg_s(random_number(seed, &softfp_s));
    case 'd': return random_number(seed, &softfp_d);
    case 'x': return random_bits(seed) >> (choice >> 8 & 63);
    default: return 0;
    }
}

static void test_random_operands(void **state)
{
#ifdef __OPTIMIZE__
    enum { ROUNDS = 5000 };
#else
    enum { ROUNDS = 1000 };
#endif
    uint64_t seed = 1;
    (void)state;
    for (const struct row *row = rows; row < rows + ARRAY_SIZE(rows); row++) {
        char kinds[4] = "";
        strcpy(kinds, row->operands);
        for (int i = 0; i < ROUNDS; i++) {
            uint64_t a = random_operand(&seed, kinds[0]), b = random_operand(&seed, kinds[1]);
            check_row(row, (uint64_t[]){a, b, random_operand(&seed, kinds[2])});
        }
    }
}

/* Every half-precision number, widened and back. */
static void test_half_precision_round_trip(void **state)
{
    (void)state;
    for (uint64_t bits = 0; bits <= 0xffff; bits++) {
        uint64_t back = (bits & 0x7fff) > 0x7c00 ? 0x7e00 : bits;
        struct outcome single = run_guest(guest_cvt_s_h, RNE, RNE, (uint64_t[]){reg_h(bits)});
        struct outcome whole = run_guest(guest_cvt_d_h, RNE, RNE, (uint64_t[]){reg_h(bits)});
        assert_int_equal(run_guest(guest_cvt_h_s, RUP, RUP, &single.value).value, reg_h(back));
        assert_int_equal(run_guest(guest_cvt_h_d, RDN, RDN, &whole.value).value, reg_h(back));
    }
}

/* Ties away from zero has no host to compare with. A double carries any single's conversion exactly, so the nearer of
 * the two candidates, which the host does agree on, can be seen. */
static void test_ties_away_is_nearest(void **state)
{
    uint64_t seed = 2;
    unsigned ties = 0;
    (void)state;
    for (int i = 0; i < 100000; i++) {
        uint64_t a = random_number(&seed, &softfp_d);
        if (i % 2) /* a tie, or next to one */
            a = (a & ~UINT64_C(0x1fffffff)) | (UINT64_C(0x10000000) + (uint64_t)(i / 2 % 3) - 1);
        double exact = fabs(number_d(a));
        if (!(exact < 0x1.fffffep127) || exact < 0x1p-149)
            continue;
        a &= INT64_MAX;
        double down = number_s(run_guest(guest_cvt_s_d, RDN, RDN, &a).value);
        double up = number_s(run_guest(guest_cvt_s_d, RUP, RUP, &a).value);
        double want = exact - down < up - exact ? down : up;
        ties += down != up && exact - down == up - exact;
        assert_true(number_s(run_guest(guest_cvt_s_d, RMM, RMM, &a).value) == want);
        a |= UINT64_C(1) << 63;
        assert_true(number_s(run_guest(guest_cvt_s_d, RMM, RMM, &a).value) == -want);
    }
    assert_true(ties > 1000);
}

/* The same for products of singles, which a double holds exactly. */
static void test_ties_away_of_products(void **state)
{
    uint64_t seed = 3;
    (void)state;
    for (int i = 0; i < 100000; i++) {
        uint64_t a = random_number(&seed, &softfp_s) & INT32_MAX,
                 b = random_number(&seed, &softfp_s) & INT32_MAX;
        uint64_t v[] = {reg_s(a), reg_s(b)};
        double exact = number_s(v[0]) * number_s(v[1]);
        if (!(exact < 0x1.fffffep127) || exact < 0x1p-149)
            continue;
        double down = number_s(run_guest(guest_mul_s, RDN, RDN, v).value);
        double up = number_s(run_guest(guest_mul_s, RUP, RUP, v).value);
        double want = exact - down < up - exact ? down : up;
        assert_true(number_s(run_guest(guest_mul_s, RMM, RMM, v).value) == want);
    }
}

/* By hand: where a host's answer would be wrong. */
struct vector {
    evaluate *guest;
    unsigned rm;
    uint64_t v[3];
    uint64_t value;
    uint32_t flags;
};

#define S(bits)    (0xffffffff00000000 | UINT64_C(bits))
#define H(bits)    (0xffffffffffff0000 | UINT64_C(bits))
#define D_NAN      0x7ff8000000000000
#define D_ONE      0x3ff0000000000000
#define D_INF      0x7ff0000000000000
#define D_SNAN     0x7ff0000000000001
#define D_PAYLOAD  0xfff8000000001234
#define D_SIGN     0x8000000000000000
#define D_MAX      0x7fefffffffffffff
#define D_HALF     0x3fe0000000000000
#define NEG(value) ((value) | D_SIGN)

static const struct vector vectors[] = {
    /* NaN results are canonical, payloads are dropped, only signaling ones are invalid. */
    {guest_add_d, RNE, {D_PAYLOAD, D_ONE}, D_NAN, 0},
    {guest_add_d, RNE, {D_SNAN, D_ONE}, D_NAN, NV},
    {guest_sub_d, RNE, {D_INF, D_INF}, D_NAN, NV},
    {guest_mul_d, RNE, {0, NEG(D_INF)}, D_NAN, NV},
    {guest_div_d, RNE, {0, 0}, D_NAN, NV},
    {guest_div_d, RNE, {NEG(D_ONE), 0}, NEG(D_INF), DZ},
    {guest_div_d, RNE, {D_INF, 0}, D_INF, 0},
    {guest_sqrt_d, RNE, {NEG(D_ONE)}, D_NAN, NV},
    {guest_sqrt_d, RNE, {D_SIGN}, D_SIGN, 0},
    {guest_sqrt_s, RNE, {S(0xbf800000)}, S(0x7fc00000), NV},
    {guest_cvt_s_d, RNE, {D_PAYLOAD}, S(0x7fc00000), 0},
    {guest_cvt_d_s, RNE, {S(0xff800001)}, D_NAN, NV},
    {guest_cvt_d_s, RNE, {S(0xffc12345)}, D_NAN, 0},
    {guest_cvt_h_s, RNE, {S(0xffc12345)}, H(0x7e00), 0},
    {guest_cvt_h_d, RNE, {D_SNAN}, H(0x7e00), NV},
    {guest_cvt_s_h, RNE, {H(0xfd00)}, S(0x7fc00000), NV},
    /* A register that does not hold a boxed number is a NaN, a quiet one. */
    {guest_add_s, RNE, {0x3f800000, S(0x3f800000)}, S(0x7fc00000), 0},
    {guest_add_s, RNE, {S(0x3f800000), 0xfffffffe3f800000}, S(0x7fc00000), 0},
    {guest_eq_s, RNE, {0x3f800000, 0x3f800000}, 0, 0},
    {guest_min_s, RNE, {0x3f800000, S(0x40000000)}, S(0x40000000), 0},
    {guest_sgnj_s, RNE, {0x3f800000, S(0xbf800000)}, S(0xffc00000), 0},
    {guest_sgnjx_s, RNE, {S(0x3f800000), D_SIGN}, S(0x3f800000), 0},
    {guest_class_s, RNE, {0x3f800000}, 1 << 9, 0},
    {guest_cvt_w_s, RTZ, {0x3f800000}, INT32_MAX, NV},
    {guest_cvt_s_h, RNE, {S(0x00003c00)}, S(0x7fc00000), 0},
    /* Infinity times zero is invalid whatever is added. */
    {guest_madd_d, RNE, {D_INF, 0, D_NAN}, D_NAN, NV},
    {guest_nmsub_d, RNE, {0, NEG(D_INF), D_PAYLOAD}, D_NAN, NV},
    {guest_madd_d, RNE, {D_INF, D_ONE, D_NAN}, D_NAN, 0},
    {guest_msub_d, RNE, {D_INF, D_ONE, D_INF}, D_NAN, NV},
    {guest_madd_s, RNE, {S(0x7f800000), S(0), S(0x7fc00000)}, S(0x7fc00000), NV},
    /* Signs of zero: the product is turned before it is added. */
    {guest_madd_d, RNE, {D_ONE, D_ONE, NEG(D_ONE)}, 0, 0},
    {guest_madd_d, RDN, {D_ONE, D_ONE, NEG(D_ONE)}, D_SIGN, 0},
    {guest_nmadd_d, RNE, {D_ONE, D_ONE, NEG(D_ONE)}, 0, 0},
    {guest_nmadd_d, RDN, {D_ONE, D_ONE, NEG(D_ONE)}, D_SIGN, 0},
    {guest_nmsub_d, RNE, {D_ONE, D_ONE, D_ONE}, 0, 0},
    {guest_nmadd_d, RNE, {0, D_ONE, 0}, D_SIGN, 0},
    {guest_nmsub_d, RNE, {0, D_ONE, 0}, 0, 0},
    {guest_sub_d, RDN, {D_ONE, D_ONE}, D_SIGN, 0},
    {guest_add_d, RMM, {D_ONE, NEG(D_ONE)}, 0, 0},
    /* Minimum and maximum. */
    {guest_min_d, RNE, {0, D_SIGN}, D_SIGN, 0},
    {guest_max_d, RNE, {D_SIGN, 0}, 0, 0},
    {guest_min_d, RNE, {D_SNAN, D_ONE}, D_ONE, NV},
    {guest_max_d, RNE, {D_ONE, D_PAYLOAD}, D_ONE, 0},
    {guest_min_d, RNE, {D_PAYLOAD, D_PAYLOAD}, D_NAN, 0},
    {guest_minm_d, RNE, {D_ONE, D_PAYLOAD}, D_NAN, 0},
    {guest_maxm_s, RNE, {S(0x7f800001), S(0)}, S(0x7fc00000), NV},
    /* Comparisons. */
    {guest_eq_d, RNE, {D_NAN, D_ONE}, 0, 0},
    {guest_eq_d, RNE, {D_SNAN, D_ONE}, 0, NV},
    {guest_lt_d, RNE, {D_NAN, D_ONE}, 0, NV},
    {guest_le_d, RNE, {D_ONE, D_NAN}, 0, NV},
    {guest_ltq_d, RNE, {D_NAN, D_ONE}, 0, 0},
    {guest_leq_d, RNE, {D_SIGN, 0}, 1, 0},
    /* To integers: saturated and invalid, or inexact, never both. */
    {guest_cvt_w_d, RTZ, {0x41e0000000000000}, INT32_MAX, NV},
    {guest_cvt_w_d, RTZ, {0xc1e00000001fffff}, (uint64_t)INT32_MIN, NX},
    {guest_cvt_w_d, RTZ, {0xc1e0000000200000}, (uint64_t)INT32_MIN, NV},
    {guest_cvt_w_d, RTZ, {0xc1e0000000000000}, (uint64_t)INT32_MIN, 0},
    {guest_cvt_w_d, RTZ, {D_PAYLOAD}, INT32_MAX, NV},
    {guest_cvt_l_d, RTZ, {NEG(D_INF)}, (uint64_t)INT64_MIN, NV},
    {guest_cvt_l_d, RUP, {D_NAN}, INT64_MAX, NV},
    {guest_cvt_wu_d, RTZ, {0x41e8000000000000}, 0xffffffffc0000000, 0}, /* 3 * 2^30, sign-extended */
    {guest_cvt_wu_d, RTZ, {NEG(D_HALF)}, 0, NX},
    {guest_cvt_wu_d, RDN, {NEG(D_HALF)}, 0, NV},
    {guest_cvt_wu_d, RMM, {NEG(D_HALF)}, 0, NV},
    {guest_cvt_wu_d, RNE, {NEG(D_HALF)}, 0, NX},
    {guest_cvt_wu_d, RNE, {NEG(D_ONE)}, 0, NV},
    {guest_cvt_wu_d, RUP, {0x41effffffff00000}, UINT64_MAX, NV}, /* 2^32 - 1/2 */
    {guest_cvt_wu_d, RTZ, {0x41effffffff00000}, UINT64_MAX, NX},
    {guest_cvt_lu_d, RTZ, {0x43efffffffffffff}, 0xfffffffffffff800, 0},
    {guest_cvt_lu_d, RTZ, {0x43f0000000000000}, UINT64_MAX, NV},
    {guest_cvt_lu_s, RTZ, {S(0xffc00000)}, UINT64_MAX, NV},
    {guest_cvt_w_s, RMM, {S(0x40200000)}, 3, NX}, /* 2.5 */
    {guest_cvt_w_s, RNE, {S(0x40200000)}, 2, NX},
    {guest_cvt_l_s, RMM, {S(0xbf000000)}, UINT64_MAX, NX},
    /* From integers, the upper half of the unsigned ones too. */
    {guest_cvt_d_lu, RNE, {UINT64_MAX}, 0x43f0000000000000, NX},
    {guest_cvt_d_lu, RTZ, {UINT64_MAX}, 0x43efffffffffffff, NX},
    {guest_cvt_d_lu, RNE, {0x8000000000000400}, 0x43e0000000000000, NX},
    {guest_cvt_d_lu, RMM, {0x8000000000000400}, 0x43e0000000000001, NX},
    {guest_cvt_d_lu, RNE, {0x8000000000000401}, 0x43e0000000000001, NX},
    {guest_cvt_s_wu, RNE, {0xffffffffffffffff}, S(0x4f800000), NX},
    {guest_cvt_s_w, RUP, {0x01000001}, S(0x4b800001), NX},
    {guest_cvt_d_w, RNE, {0x12345678ffffffff}, NEG(D_ONE), 0},
    /* Modular: the low 32 bits of the whole part. */
    {guest_cvtmod_w_d, RTZ, {0x41f0000000300000}, 1 + 2, NV}, /* 2^32 + 3 */
    {guest_cvtmod_w_d, RTZ, {0xc1effffffff00000}, 1, NV},     /* -(2^32 - 1/2) */
    {guest_cvtmod_w_d, RTZ, {0xbff8000000000000}, UINT64_MAX, NX},
    {guest_cvtmod_w_d, RTZ, {D_INF}, 0, NV},
    /* Rounding to a whole number tells of it only if asked, and keeps the sign of zero. */
    {guest_round_d, RNE, {NEG(D_HALF)}, D_SIGN, 0},
    {guest_roundnx_d, RMM, {NEG(D_HALF)}, NEG(D_ONE), NX},
    {guest_round_d, RNE, {D_SNAN}, D_NAN, NV},
    /* Tininess is judged after rounding: the first is rounded up to the smallest normal number and is not tiny, the second is. */
    {guest_mul_d, RNE, {0x0010000000000000, 0x3fefffffffffffff}, 0x0010000000000000, UF | NX},
    {guest_madd_d, RNE, {0x0010000000000000, D_ONE, NEG(0x0000000000000000)}, 0x0010000000000000, 0},
    {guest_cvt_s_d, RNE, {0x380fffffffffffff}, S(0x00800000), NX},
    {guest_cvt_s_d, RNE, {0x380fffffe0000000}, S(0x00800000), UF | NX},
    {guest_cvt_s_d, RUP, {0x380ffffff0000000}, S(0x00800000), NX},
    {guest_cvt_s_d, RMM, {0x380ffffff0000000}, S(0x00800000), NX},
    /* Overflow goes where the mode says. */
    {guest_add_d, RTZ, {D_MAX, D_MAX}, D_MAX, OF | NX},
    {guest_add_d, RDN, {NEG(D_MAX), NEG(D_MAX)}, NEG(D_INF), OF | NX},
    {guest_add_d, RMM, {D_MAX, D_MAX}, D_INF, OF | NX},
    /* A double to half in one rounding: by way of single this one would be a tie. */
    {guest_cvt_h_d, RNE, {0x3ff0020000000001}, H(0x3c01), NX},
    {guest_cvt_h_d, RNE, {0x3ff0020000000000}, H(0x3c00), NX},
    {guest_cvt_h_s, RNE, {S(0x477ff000)}, H(0x7c00), OF | NX}, /* 65520 */
    {guest_cvt_h_s, RNE, {S(0x477fefff)}, H(0x7bff), NX},
    {guest_cvt_h_s, RTZ, {S(0x33000000)}, H(0x0000), UF | NX}, /* 2^-25 */
    {guest_cvt_h_s, RMM, {S(0x33000000)}, H(0x0001), UF | NX},
};

static void test_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        const struct vector *vector = &vectors[i];
        for (unsigned frm = 0; frm < 8; frm++) {
            struct outcome got = run_guest(vector->guest, frm, vector->rm, vector->v);
            if (got.value != vector->value || got.flags != vector->flags)
                fail_msg("vector %zu under frm %u: %016llx flags %02x, expected %016llx flags %02x", i, frm,
                         (unsigned long long)got.value, got.flags, (unsigned long long)vector->value,
                         vector->flags);
        }
    }
}

static void test_constants(void **state)
{
    static const double constants[] = {-1,   0,      0x1p-16, 0x1p-15, 0x1p-8, 0x1p-7, 0.0625,  0.125,
                                       0.25, 0.3125, 0.375,   0.4375,  0.5,    0.625,  0.75,    0.875,
                                       1,    1.25,   1.5,     1.75,    2,      2.5,    3,       4,
                                       8,    16,     128,     256,     32768,  65536,  INFINITY};
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(constants); i++) {
        if (i == 1)
            continue;
        assert_true(number_d(fp_li_d(i)) == constants[i]);
        assert_true(number_s(fp_li_s(i)) == constants[i]);
    }
    assert_int_equal(fp_li_d(1), 0x0010000000000000);
    assert_int_equal(fp_li_s(1), S(0x00800000));
    assert_int_equal(fp_li_d(31), D_NAN);
    assert_int_equal(fp_li_s(31), S(0x7fc00000));
}

/* fcsr while the guest has the FPU: flags of both origins add up, stay through a change of mode, and go when written. */
static void test_fcsr(void **state)
{
    struct hart hart = {.frm = RUP, .fflags = DZ};
    (void)state;
    hart_fpu_enter(&hart);
    assert_int_equal(hart.host_rm, RUP);
    assert_int_equal(hart_fcsr(&hart), RUP << 5 | DZ);
    assert_int_equal(fp_add_d(&hart, RUP, D_ONE, 1), 0x3ff0000000000001);
    assert_int_equal(hart_fcsr(&hart), RUP << 5 | DZ | NX);
    assert_int_equal(fp_add_d(&hart, RNE, D_MAX, D_MAX), D_INF);
    assert_int_equal(fp_cvt_wu_d(&hart, RTZ, NEG(D_ONE)), 0);
    assert_int_equal(hart_fcsr(&hart), RUP << 5 | DZ | NX | OF | NV);
    assert_int_equal(fp_add_d(&hart, RUP, D_ONE, 1), 0x3ff0000000000001); /* the mode is back */

    hart_set_fcsr(&hart, 0xffffff00 | 7 << 5 | UF);
    assert_int_equal(hart.host_rm, HART_RM_NONE);
    assert_int_equal(hart_fcsr(&hart), 7 << 5 | UF);
    hart_set_fcsr(&hart, RTZ << 5 | UF);
    assert_int_equal(hart.host_rm, RTZ);
    assert_int_equal(hart_fcsr(&hart), RTZ << 5 | UF);
    assert_int_equal(fp_add_d(&hart, RTZ, D_ONE, NEG(1)), 0x3fefffffffffffff);

    hart_set_fcsr(&hart, RMM << 5);
    assert_int_equal(hart.host_rm, HART_RM_NONE);
    assert_int_equal(hart_fcsr(&hart), RMM << 5);
    assert_int_equal(fp_add_d(&hart, RMM, D_ONE, 0x3ca0000000000000), 0x3ff0000000000001);
    assert_int_equal(fp_add_d(&hart, RNE, D_ONE, 0x3ca0000000000000), D_ONE);
    assert_int_equal(hart_fcsr(&hart), RMM << 5 | NX);
    hart_fpu_leave(&hart);
    assert_int_equal(hart.fflags, NX);
    hart_fpu_enter(&hart);
    assert_int_equal(hart_fcsr(&hart), RMM << 5 | NX);
    hart_fpu_leave(&hart);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_constants),
        cmocka_unit_test(test_fcsr),
        cmocka_unit_test(test_special_operands),
        cmocka_unit_test(test_random_operands),
        cmocka_unit_test(test_half_precision_round_trip),
        cmocka_unit_test(test_ties_away_is_nearest),
        cmocka_unit_test(test_ties_away_of_products),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
