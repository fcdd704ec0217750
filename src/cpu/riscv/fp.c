#include "cpu/riscv/fp.h"

#include <assert.h>

static_assert((int)SOFTFP_NX == FPU_INEXACT && (int)SOFTFP_UF == FPU_UNDERFLOW &&
                  (int)SOFTFP_OF == FPU_OVERFLOW && (int)SOFTFP_DZ == FPU_DIVIDE_BY_ZERO &&
                  (int)SOFTFP_NV == FPU_INVALID,
              "the host reports flags as fflags has them");
static_assert((int)SOFTFP_RNE == FPU_NEAREST && (int)SOFTFP_RTZ == FPU_TOWARD_ZERO &&
                  (int)SOFTFP_RDN == FPU_DOWN && (int)SOFTFP_RUP == FPU_UP,
              "the host counts its modes as frm does");

enum { FCSR_FLAGS = 0x1f, FCSR_RM_SHIFT = 5, FCSR_RM = 7 };

/* Modes that the host has not leave it at nearest. */
static enum fpu_rounding host_rounding(const struct hart *hart)
{
    return hart->host_rm == HART_RM_NONE ? FPU_NEAREST : (enum fpu_rounding)hart->host_rm;
}

static void choose_host_rounding(struct hart *hart)
{
    hart->host_rm = hart->frm <= SOFTFP_RUP ? hart->frm : HART_RM_NONE;
}

void hart_fpu_enter(struct hart *hart)
{
    choose_host_rounding(hart);
    fpu_enter(host_rounding(hart));
}

void hart_fpu_leave(struct hart *hart)
{
    hart->fflags |= fpu_leave();
}

uint32_t hart_fcsr(const struct hart *hart)
{
    return hart->frm << FCSR_RM_SHIFT | hart->fflags | fpu_flags();
}

void hart_set_fcsr(struct hart *hart, uint32_t fcsr)
{
    hart->frm = fcsr >> FCSR_RM_SHIFT & FCSR_RM;
    hart->fflags = fcsr & FCSR_FLAGS;
    hart_fpu_enter(hart);
}

/* A host operation in a mode that the host is not in; none of these comes here for RMM. */
#define IN_MODE(hart, rm, operation)               \
    ({                                             \
        fpu_set_rounding((enum fpu_rounding)(rm)); \
        __auto_type result_ = (operation);         \
        fpu_set_rounding(host_rounding(hart));     \
        result_;                                   \
    })

/* A register's bits for softfp, and back, named by the format. */
static uint64_t unbox_s(uint64_t reg)
{
    return fp_unbox_s(reg);
}

static uint64_t unbox_d(uint64_t reg)
{
    return reg;
}

static uint64_t box_s(uint64_t bits)
{
    return fp_box_s((uint32_t)bits);
}

static uint64_t box_d(uint64_t bits)
{
    return bits;
}

#define BINARY_MODE(op, f)                                                                           \
    uint64_t fp_##op##_##f##_mode(struct hart *hart, unsigned rm, uint64_t a, uint64_t b)            \
    {                                                                                                \
        if (rm == SOFTFP_RMM)                                                                        \
            return box_##f(softfp_##op(&softfp_##f, rm, unbox_##f(a), unbox_##f(b), &hart->fflags)); \
        return fp_put_##f(IN_MODE(hart, rm, fpu_##op##_##f(fp_get_##f(a), fp_get_##f(b))));          \
    }
BINARY_MODE(add, s)
BINARY_MODE(sub, s)
BINARY_MODE(mul, s)
BINARY_MODE(div, s)
BINARY_MODE(add, d)
BINARY_MODE(sub, d)
BINARY_MODE(mul, d)
BINARY_MODE(div, d)

#define SQRT_MODE(f)                                                                   \
    uint64_t fp_sqrt_##f##_mode(struct hart *hart, unsigned rm, uint64_t a)            \
    {                                                                                  \
        if (rm == SOFTFP_RMM)                                                          \
            return box_##f(softfp_sqrt(&softfp_##f, rm, unbox_##f(a), &hart->fflags)); \
        return fp_put_##f(IN_MODE(hart, rm, fpu_sqrt_##f(fp_get_##f(a))));             \
    }
SQRT_MODE(s)
SQRT_MODE(d)

static bool is_zero_times_infinity(const struct softfp_format *format, uint64_t a, uint64_t b)
{
    enum { INFINITIES = 1 << 0 | 1 << 7, ZEROS = 1 << 3 | 1 << 4 }; /* as fclass has them */
    unsigned both = softfp_class(format, a) | softfp_class(format, b);
    return (both & INFINITIES) && (both & ZEROS);
}

uint64_t fp_fused_nan_s(struct hart *hart, uint64_t a, uint64_t b)
{
    if (is_zero_times_infinity(&softfp_s, unbox_s(a), unbox_s(b)))
        hart->fflags |= SOFTFP_NV;
    return fp_box_s(FP_NAN_S);
}

uint64_t fp_fused_nan_d(struct hart *hart, uint64_t a, uint64_t b)
{
    if (is_zero_times_infinity(&softfp_d, a, b))
        hart->fflags |= SOFTFP_NV;
    return FP_NAN_D;
}

/* For RMM and for hosts without the instruction, which come here in every mode. */
#define FUSED_MODE(op, f, turn_product, turn_addend)                                                         \
    uint64_t fp_##op##_##f##_mode(struct hart *hart, unsigned rm, uint64_t a, uint64_t b, uint64_t c)        \
    {                                                                                                        \
        if (rm == SOFTFP_RMM || !fpu_has_fma())                                                              \
            return box_##f(softfp_fma(&softfp_##f, rm, unbox_##f(a) ^ (turn_product), unbox_##f(b),          \
                                      unbox_##f(c) ^ (turn_addend), &hart->fflags));                         \
        __auto_type result = IN_MODE(hart, rm, fpu_##op##_##f(fp_get_##f(a), fp_get_##f(b), fp_get_##f(c))); \
        return __builtin_isnan(result) ? fp_fused_nan_##f(hart, a, b) : fp_put_##f(result);                  \
    }
#define SIGN_S (UINT64_C(1) << 31)
#define SIGN_D (UINT64_C(1) << 63)
FUSED_MODE(madd, s, 0, 0)
FUSED_MODE(msub, s, 0, SIGN_S)
FUSED_MODE(nmsub, s, SIGN_S, 0)
FUSED_MODE(nmadd, s, SIGN_S, SIGN_S)
FUSED_MODE(madd, d, 0, 0)
FUSED_MODE(msub, d, 0, SIGN_D)
FUSED_MODE(nmsub, d, SIGN_D, 0)
FUSED_MODE(nmadd, d, SIGN_D, SIGN_D)

#define MIN_NAN(f, type, nan)                                                           \
    uint64_t fp_min_nan_##f(struct hart *hart, type a, type b)                          \
    {                                                                                   \
        fp_minm_nan_##f(hart, a, b);                                                    \
        type other = fp_is_nan_##f(a) ? b : a;                                          \
        return box_##f(fp_is_nan_##f(other) ? nan : other);                             \
    }                                                                                   \
    uint64_t fp_minm_nan_##f(struct hart *hart, type a, type b)                         \
    {                                                                                   \
        if (softfp_is_signaling(&softfp_##f, a) || softfp_is_signaling(&softfp_##f, b)) \
            hart->fflags |= SOFTFP_NV;                                                  \
        return box_##f(nan);                                                            \
    }
MIN_NAN(s, uint32_t, FP_NAN_S)
MIN_NAN(d, uint64_t, FP_NAN_D)

uint64_t fp_class_s(uint64_t a)
{
    return softfp_class(&softfp_s, unbox_s(a));
}

uint64_t fp_class_d(uint64_t a)
{
    return softfp_class(&softfp_d, a);
}

/* The table of fli. The second entry is the smallest normal number of the format. */
#define LI_CONSTANTS(smallest)                                                                         \
    {                                                                                                  \
        -1.0, smallest, 0x1p-16, 0x1p-15, 0x1p-8, 0x1p-7, 0x1p-4, 0x1p-3,               /* 0 to 7 */   \
            0.25, 0.3125, 0.375, 0.4375, 0.5, 0.625, 0.75, 0.875,                       /* 8 to 15 */  \
            1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0,                                   /* 16 to 23 */ \
            8.0, 16.0, 128.0, 256.0, 0x1p15, 0x1p16, __builtin_inf(), __builtin_nan("") /* 24 to 31 */ \
    }

uint64_t fp_li_s(unsigned index)
{
    static const float constants[32] = LI_CONSTANTS(0x1p-126);
    return fp_put_s(constants[index]);
}

uint64_t fp_li_d(unsigned index)
{
    static const double constants[32] = LI_CONSTANTS(0x1p-1022);
    return fp_put_d(constants[index]);
}

#define ROUND(op, f, report_inexact)                                                                \
    uint64_t fp_##op##_##f(struct hart *hart, unsigned rm, uint64_t a)                              \
    {                                                                                               \
        return box_##f(softfp_round(&softfp_##f, rm, unbox_##f(a), report_inexact, &hart->fflags)); \
    }
ROUND(round, s, false)
ROUND(round, d, false)
ROUND(roundnx, s, true)
ROUND(roundnx, d, true)

#define TO_INT_MODE(to, f, bits, is_signed)                                                  \
    uint64_t fp_cvt_##to##_##f##_mode(struct hart *hart, unsigned rm, uint64_t a)            \
    {                                                                                        \
        return softfp_to_int(&softfp_##f, rm, unbox_##f(a), bits, is_signed, &hart->fflags); \
    }
TO_INT_MODE(w, s, 32, true)
TO_INT_MODE(l, s, 64, true)
TO_INT_MODE(wu, s, 32, false)
TO_INT_MODE(lu, s, 64, false)
TO_INT_MODE(w, d, 32, true)
TO_INT_MODE(l, d, 64, true)
TO_INT_MODE(wu, d, 32, false)
TO_INT_MODE(lu, d, 64, false)

uint64_t fp_cvtmod_w_d(struct hart *hart, uint64_t a)
{
    enum { FRACTION_BITS = 52, BIAS = 1023, FIELD = 0x7ff };
    int exponent = (int)(a >> FRACTION_BITS & FIELD) - BIAS;
    uint64_t leading_one = UINT64_C(1) << FRACTION_BITS, significand = (a & (leading_one - 1)) | leading_one;
    fp_cvt_w_d(hart, SOFTFP_RTZ, a); /* the flags are those of this one */
    if (exponent < 0 || exponent >= FRACTION_BITS + 32)
        return 0; /* a fraction, a multiple of 2^32, infinity or NaN */
    uint64_t magnitude = exponent < FRACTION_BITS ? significand >> (FRACTION_BITS - exponent)
                                                  : significand << (exponent - FRACTION_BITS);
    return (uint64_t)(int64_t)(int32_t)(a >> 63 ? -magnitude : magnitude);
}

#define FROM_INT_MODE(f, from, convert, type)                                       \
    uint64_t fp_cvt_##f##_##from##_mode(struct hart *hart, unsigned rm, uint64_t x) \
    {                                                                               \
        return box_##f(convert(&softfp_##f, rm, (type)x, &hart->fflags));           \
    }
FROM_INT_MODE(s, l, softfp_from_signed, int64_t)
FROM_INT_MODE(s, lu, softfp_from_unsigned, uint64_t)
FROM_INT_MODE(d, l, softfp_from_signed, int64_t)
FROM_INT_MODE(d, lu, softfp_from_unsigned, uint64_t)

uint64_t fp_cvt_s_d_mode(struct hart *hart, unsigned rm, uint64_t a)
{
    if (rm == SOFTFP_RMM)
        return box_s(softfp_convert(&softfp_s, &softfp_d, rm, a, &hart->fflags));
    return fp_put_s(IN_MODE(hart, rm, fpu_s_from_d(fp_get_d(a))));
}

uint64_t fp_cvt_s_h(struct hart *hart, unsigned rm, uint64_t a)
{
    if (fpu_has_half())
        return fp_put_s(fpu_s_from_h(fp_unbox_h(a)));
    return box_s(softfp_convert(&softfp_s, &softfp_h, rm, fp_unbox_h(a), &hart->fflags));
}

uint64_t fp_cvt_d_h(struct hart *hart, unsigned rm, uint64_t a)
{
    if (fpu_has_half())
        return fp_put_d(fpu_d_from_s(fpu_s_from_h(fp_unbox_h(a))));
    return softfp_convert(&softfp_d, &softfp_h, rm, fp_unbox_h(a), &hart->fflags);
}

static bool is_nan_h(uint16_t bits)
{
    return (bits & 0x7fff) > 0x7c00;
}

uint64_t fp_cvt_h_s(struct hart *hart, unsigned rm, uint64_t a)
{
    if (rm != hart->host_rm || !fpu_has_half())
        return fp_box_h((uint16_t)softfp_convert(&softfp_h, &softfp_s, rm, fp_unbox_s(a), &hart->fflags));
    uint16_t bits = fpu_h_from_s(fp_get_s(a));
    return fp_box_h(is_nan_h(bits) ? FP_NAN_H : bits);
}

/* The host would have to pass through single precision and round twice. */
uint64_t fp_cvt_h_d(struct hart *hart, unsigned rm, uint64_t a)
{
    return fp_box_h((uint16_t)softfp_convert(&softfp_h, &softfp_d, rm, a, &hart->fflags));
}
