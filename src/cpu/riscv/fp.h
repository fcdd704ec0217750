/* Floating-point instructions on register values: F, D, Zfa and Zfhmin.
 *
 * Every function takes and returns what a register holds: NaN-boxed 64 bits for single and half precision, raw bits for
 * double precision, sign-extended integers. Flags are left in the host's FPU or in hart->fflags; hart_fcsr() joins them.
 * `rm` is the mode to round in, 0 to 4: the caller has put hart->frm for the dynamic one and has trapped on the others.
 * What the host computes exactly as RISC-V would is inline; functions that end in _mode and the rest are out of line.
 *
 * Threads: a hart's own thread, between hart_fpu_enter() and hart_fpu_leave(). Lifetime: none.
 * Source: The RISC-V Instruction Set Manual, volume I: "F", "D", "Zfa" and "Zfhmin" extensions. */
#ifndef CPU_RISCV_FP_H
#define CPU_RISCV_FP_H

#include "base/util.h"
#include "cpu/riscv/hart.h"
#include "cpu/riscv/softfp.h"
#include "host/fpu.h"

#include <string.h>

#define FP_BOX_S UINT64_C(0xffffffff00000000)
#define FP_BOX_H UINT64_C(0xffffffffffff0000)
#define FP_NAN_S UINT32_C(0x7fc00000)
#define FP_NAN_D UINT64_C(0x7ff8000000000000)
#define FP_NAN_H UINT16_C(0x7e00)

/* Registers and bits. A register that does not hold a properly boxed number reads as the canonical NaN. */
static inline uint64_t fp_box_s(uint32_t bits)
{
    return FP_BOX_S | bits;
}

static inline uint64_t fp_box_h(uint16_t bits)
{
    return FP_BOX_H | bits;
}

static inline uint32_t fp_unbox_s(uint64_t reg)
{
    return likely(reg >= FP_BOX_S) ? (uint32_t)reg : FP_NAN_S;
}

static inline uint16_t fp_unbox_h(uint64_t reg)
{
    return likely(reg >= FP_BOX_H) ? (uint16_t)reg : FP_NAN_H;
}

/* Registers and host numbers. A NaN that an instruction makes is always the canonical one. */
static inline float fp_get_s(uint64_t reg)
{
    uint32_t bits = fp_unbox_s(reg);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline double fp_get_d(uint64_t reg)
{
    double value;
    memcpy(&value, &reg, sizeof value);
    return value;
}

static inline uint64_t fp_put_s(float value)
{
    uint32_t bits;
    if (unlikely(__builtin_isnan(value)))
        value = fpu_nan_s();
    memcpy(&bits, &value, sizeof bits);
    return fp_box_s(bits);
}

static inline uint64_t fp_put_d(double value)
{
    uint64_t bits;
    if (unlikely(__builtin_isnan(value)))
        value = fpu_nan_d();
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* fadd, fsub, fmul, fdiv */
#define FP_BINARY(op, f)                                                                         \
    uint64_t fp_##op##_##f##_mode(struct hart *hart, unsigned rm, uint64_t a, uint64_t b);       \
    static inline uint64_t fp_##op##_##f(struct hart *hart, unsigned rm, uint64_t a, uint64_t b) \
    {                                                                                            \
        if (unlikely(rm != hart->host_rm))                                                       \
            return fp_##op##_##f##_mode(hart, rm, a, b);                                         \
        return fp_put_##f(fpu_##op##_##f(fp_get_##f(a), fp_get_##f(b)));                         \
    }
FP_BINARY(add, s)
FP_BINARY(sub, s)
FP_BINARY(mul, s)
FP_BINARY(div, s)
FP_BINARY(add, d)
FP_BINARY(sub, d)
FP_BINARY(mul, d)
FP_BINARY(div, d)
#undef FP_BINARY

#define FP_SQRT(f)                                                                 \
    uint64_t fp_sqrt_##f##_mode(struct hart *hart, unsigned rm, uint64_t a);       \
    static inline uint64_t fp_sqrt_##f(struct hart *hart, unsigned rm, uint64_t a) \
    {                                                                              \
        if (unlikely(rm != hart->host_rm))                                         \
            return fp_sqrt_##f##_mode(hart, rm, a);                                \
        return fp_put_##f(fpu_sqrt_##f(fp_get_##f(a)));                            \
    }
FP_SQRT(s)
FP_SQRT(d)
#undef FP_SQRT

/* Infinity times zero is invalid even when a quiet NaN is added to it, which the host does not report. */
uint64_t fp_fused_nan_s(struct hart *hart, uint64_t a, uint64_t b);
uint64_t fp_fused_nan_d(struct hart *hart, uint64_t a, uint64_t b);

/* fmadd, fmsub, fnmsub, fnmadd */
#define FP_FUSED(op, f)                                                                                      \
    uint64_t fp_##op##_##f##_mode(struct hart *hart, unsigned rm, uint64_t a, uint64_t b, uint64_t c);       \
    static inline uint64_t fp_##op##_##f(struct hart *hart, unsigned rm, uint64_t a, uint64_t b, uint64_t c) \
    {                                                                                                        \
        if (unlikely(rm != hart->host_rm || !fpu_has_fma()))                                                 \
            return fp_##op##_##f##_mode(hart, rm, a, b, c);                                                  \
        __auto_type result = fpu_##op##_##f(fp_get_##f(a), fp_get_##f(b), fp_get_##f(c));                    \
        if (unlikely(__builtin_isnan(result)))                                                               \
            return fp_fused_nan_##f(hart, a, b);                                                             \
        return fp_put_##f(result);                                                                           \
    }
FP_FUSED(madd, s)
FP_FUSED(msub, s)
FP_FUSED(nmsub, s)
FP_FUSED(nmadd, s)
FP_FUSED(madd, d)
FP_FUSED(msub, d)
FP_FUSED(nmsub, d)
FP_FUSED(nmadd, d)
#undef FP_FUSED

/* feq, flt, fle, fltq, fleq: 0 or 1. */
#define FP_COMPARE(op, host, f)                                  \
    static inline uint64_t fp_##op##_##f(uint64_t a, uint64_t b) \
    {                                                            \
        return fpu_##host##_##f(fp_get_##f(a), fp_get_##f(b));   \
    }
FP_COMPARE(eq, equal, s)
FP_COMPARE(lt, less, s)
FP_COMPARE(le, less_equal, s)
FP_COMPARE(ltq, quiet_less, s)
FP_COMPARE(leq, quiet_less_equal, s)
FP_COMPARE(eq, equal, d)
FP_COMPARE(lt, less, d)
FP_COMPARE(le, less_equal, d)
FP_COMPARE(ltq, quiet_less, d)
FP_COMPARE(leq, quiet_less_equal, d)
#undef FP_COMPARE

/* fmin, fmax: the other operand when one is NaN. fminm, fmaxm: NaN then. Minus zero is below plus zero. */
uint64_t fp_min_nan_s(struct hart *hart, uint32_t a, uint32_t b);
uint64_t fp_min_nan_d(struct hart *hart, uint64_t a, uint64_t b);
uint64_t fp_minm_nan_s(struct hart *hart, uint32_t a, uint32_t b);
uint64_t fp_minm_nan_d(struct hart *hart, uint64_t a, uint64_t b);

static inline bool fp_is_nan_s(uint32_t bits)
{
    return bits << 1 > UINT32_C(0xff000000);
}

static inline bool fp_is_nan_d(uint64_t bits)
{
    return bits << 1 > UINT64_C(0xffe0000000000000);
}

/* Signed integers in the order of the numbers. */
static inline int32_t fp_order_s(uint32_t bits)
{
    return (int32_t)(bits ^ ((uint32_t)((int32_t)bits >> 31) >> 1));
}

static inline int64_t fp_order_d(uint64_t bits)
{
    return (int64_t)(bits ^ ((uint64_t)((int64_t)bits >> 63) >> 1));
}

#define FP_SELECT(op, compare, nan)                                               \
    static inline uint64_t fp_##op##_s(struct hart *hart, uint64_t a, uint64_t b) \
    {                                                                             \
        uint32_t x = fp_unbox_s(a), y = fp_unbox_s(b);                            \
        if (unlikely(fp_is_nan_s(x) || fp_is_nan_s(y)))                           \
            return nan##_s(hart, x, y);                                           \
        return fp_box_s(fp_order_s(x) compare fp_order_s(y) ? x : y);             \
    }                                                                             \
    static inline uint64_t fp_##op##_d(struct hart *hart, uint64_t a, uint64_t b) \
    {                                                                             \
        if (unlikely(fp_is_nan_d(a) || fp_is_nan_d(b)))                           \
            return nan##_d(hart, a, b);                                           \
        return fp_order_d(a) compare fp_order_d(b) ? a : b;                       \
    }
FP_SELECT(min, <, fp_min_nan)
FP_SELECT(max, >, fp_min_nan)
FP_SELECT(minm, <, fp_minm_nan)
FP_SELECT(maxm, >, fp_minm_nan)
#undef FP_SELECT

/* fsgnj, fsgnjn, fsgnjx */
#define FP_SIGN(op, sign)                                                             \
    static inline uint64_t fp_##op##_s(uint64_t reg_a, uint64_t reg_b)                \
    {                                                                                 \
        uint32_t a = fp_unbox_s(reg_a), b = fp_unbox_s(reg_b), s = UINT32_C(1) << 31; \
        return fp_box_s((a & ~s) | ((sign)&s));                                       \
    }                                                                                 \
    static inline uint64_t fp_##op##_d(uint64_t a, uint64_t b)                        \
    {                                                                                 \
        uint64_t s = UINT64_C(1) << 63;                                               \
        return (a & ~s) | ((sign)&s);                                                 \
    }
FP_SIGN(sgnj, b)
FP_SIGN(sgnjn, ~b)
FP_SIGN(sgnjx, a ^ b)
#undef FP_SIGN

uint64_t fp_class_s(uint64_t a);
uint64_t fp_class_d(uint64_t a);

/* fli: the constant of the instruction's rs1 field, 0 to 31. */
uint64_t fp_li_s(unsigned index);
uint64_t fp_li_d(unsigned index);

/* fround, froundnx: to a whole number of the same format. */
uint64_t fp_round_s(struct hart *hart, unsigned rm, uint64_t a);
uint64_t fp_round_d(struct hart *hart, unsigned rm, uint64_t a);
uint64_t fp_roundnx_s(struct hart *hart, unsigned rm, uint64_t a);
uint64_t fp_roundnx_d(struct hart *hart, unsigned rm, uint64_t a);

/* fcvtmod.w.d: always toward zero. */
uint64_t fp_cvtmod_w_d(struct hart *hart, uint64_t a);

/* fcvt.{w,l}.{s,d}. The host gives the smallest integer for all that does not fit; RISC-V saturates. */
uint64_t fp_cvt_w_s_mode(struct hart *hart, unsigned rm, uint64_t a);
uint64_t fp_cvt_w_d_mode(struct hart *hart, unsigned rm, uint64_t a);
uint64_t fp_cvt_l_s_mode(struct hart *hart, unsigned rm, uint64_t a);
uint64_t fp_cvt_l_d_mode(struct hart *hart, unsigned rm, uint64_t a);

#define FP_TO_SIGNED(to, type, min, max, f, negative)                                      \
    static inline uint64_t fp_cvt_##to##_##f(struct hart *hart, unsigned rm, uint64_t reg) \
    {                                                                                      \
        type result;                                                                       \
        if (likely(rm == SOFTFP_RTZ))                                                      \
            result = fpu_trunc_##to##_##f(fp_get_##f(reg));                                \
        else if (likely(rm == hart->host_rm))                                              \
            result = fpu_round_##to##_##f(fp_get_##f(reg));                                \
        else                                                                               \
            return fp_cvt_##to##_##f##_mode(hart, rm, reg);                                \
        if (unlikely(result == (min)) && !(negative))                                      \
            result = (max);                                                                \
        return (uint64_t)(int64_t)result;                                                  \
    }
#define FP_NEGATIVE_S (fp_unbox_s(reg) - UINT32_C(0x80000000) <= UINT32_C(0x7f800000))
#define FP_NEGATIVE_D (reg - UINT64_C(0x8000000000000000) <= UINT64_C(0x7ff0000000000000))
FP_TO_SIGNED(w, int32_t, INT32_MIN, INT32_MAX, s, FP_NEGATIVE_S)
FP_TO_SIGNED(l, int64_t, INT64_MIN, INT64_MAX, s, FP_NEGATIVE_S)
FP_TO_SIGNED(w, int32_t, INT32_MIN, INT32_MAX, d, FP_NEGATIVE_D)
FP_TO_SIGNED(l, int64_t, INT64_MIN, INT64_MAX, d, FP_NEGATIVE_D)
#undef FP_NEGATIVE_S
#undef FP_NEGATIVE_D
#undef FP_TO_SIGNED

/* fcvt.{wu,lu}.{s,d}: the host's signed conversion serves the numbers from plus zero to `limit`, a number's bits, beyond
 * which some mode would leave the range. */
uint64_t fp_cvt_wu_s_mode(struct hart *hart, unsigned rm, uint64_t a);
uint64_t fp_cvt_wu_d_mode(struct hart *hart, unsigned rm, uint64_t a);
uint64_t fp_cvt_lu_s_mode(struct hart *hart, unsigned rm, uint64_t a);
uint64_t fp_cvt_lu_d_mode(struct hart *hart, unsigned rm, uint64_t a);

#define FP_TO_UNSIGNED(to, type, f, bits, limit)                                           \
    static inline uint64_t fp_cvt_##to##_##f(struct hart *hart, unsigned rm, uint64_t reg) \
    {                                                                                      \
        int64_t result;                                                                    \
        if (likely((bits) <= (limit) && rm == SOFTFP_RTZ))                                 \
            result = fpu_trunc_l_##f(fp_get_##f(reg));                                     \
        else if (likely((bits) <= (limit) && rm == hart->host_rm))                         \
            result = fpu_round_l_##f(fp_get_##f(reg));                                     \
        else                                                                               \
            return fp_cvt_##to##_##f##_mode(hart, rm, reg);                                \
        return (uint64_t)(int64_t)(type)result;                                            \
    }
FP_TO_UNSIGNED(wu, int32_t, s, fp_unbox_s(reg), UINT32_C(0x4f7fffff)) /* 2^32 - 2^8 */
FP_TO_UNSIGNED(wu, int32_t, d, reg, UINT64_C(0x41efffffffe00000))     /* 2^32 - 1 */
FP_TO_UNSIGNED(lu, int64_t, s, fp_unbox_s(reg), UINT32_C(0x5effffff)) /* 2^63 - 2^39 */
FP_TO_UNSIGNED(lu, int64_t, d, reg, UINT64_C(0x43dfffffffffffff))     /* 2^63 - 2^10 */
#undef FP_TO_UNSIGNED

/* fcvt.{s,d}.{w,wu,l,lu} of an integer register. A number that the format holds exactly is the same in every mode.
 * What is above the host's signed range is halved, with the lost bit kept for rounding, then doubled, which is exact. */
uint64_t fp_cvt_s_l_mode(struct hart *hart, unsigned rm, uint64_t x);
uint64_t fp_cvt_s_lu_mode(struct hart *hart, unsigned rm, uint64_t x);
uint64_t fp_cvt_d_l_mode(struct hart *hart, unsigned rm, uint64_t x);
uint64_t fp_cvt_d_lu_mode(struct hart *hart, unsigned rm, uint64_t x);

static inline bool fp_fits_s(uint64_t x)
{
    return x + (UINT64_C(1) << 24) <= UINT64_C(1) << 25;
}

static inline bool fp_fits_d(uint64_t x)
{
    return x + (UINT64_C(1) << 53) <= UINT64_C(1) << 54;
}

#define FP_FROM_SIGNED(f)                                                              \
    static inline uint64_t fp_cvt_##f##_l(struct hart *hart, unsigned rm, uint64_t x)  \
    {                                                                                  \
        if (unlikely(rm != hart->host_rm && !fp_fits_##f(x)))                          \
            return fp_cvt_##f##_l_mode(hart, rm, x);                                   \
        return fp_put_##f(fpu_##f##_from_l((int64_t)x));                               \
    }                                                                                  \
    static inline uint64_t fp_cvt_##f##_w(struct hart *hart, unsigned rm, uint64_t x)  \
    {                                                                                  \
        return fp_cvt_##f##_l(hart, rm, (uint64_t)(int64_t)(int32_t)x);                \
    }                                                                                  \
    static inline uint64_t fp_cvt_##f##_wu(struct hart *hart, unsigned rm, uint64_t x) \
    {                                                                                  \
        return fp_cvt_##f##_l(hart, rm, (uint32_t)x);                                  \
    }                                                                                  \
    static inline uint64_t fp_cvt_##f##_lu(struct hart *hart, unsigned rm, uint64_t x) \
    {                                                                                  \
        if (likely((int64_t)x >= 0))                                                   \
            return fp_cvt_##f##_l(hart, rm, x);                                        \
        if (unlikely(rm != hart->host_rm))                                             \
            return fp_cvt_##f##_lu_mode(hart, rm, x);                                  \
        __auto_type half = fpu_##f##_from_l((int64_t)(x >> 1 | (x & 1)));              \
        return fp_put_##f(fpu_add_##f(half, half));                                    \
    }
FP_FROM_SIGNED(s)
FP_FROM_SIGNED(d)
#undef FP_FROM_SIGNED

/* Between formats. Widening is exact: `rm` is there for a uniform call. */
uint64_t fp_cvt_s_d_mode(struct hart *hart, unsigned rm, uint64_t a);

static inline uint64_t fp_cvt_s_d(struct hart *hart, unsigned rm, uint64_t a)
{
    if (unlikely(rm != hart->host_rm))
        return fp_cvt_s_d_mode(hart, rm, a);
    return fp_put_s(fpu_s_from_d(fp_get_d(a)));
}

static inline uint64_t fp_cvt_d_s(struct hart *hart, unsigned rm, uint64_t a)
{
    (void)hart, (void)rm;
    return fp_put_d(fpu_d_from_s(fp_get_s(a)));
}

uint64_t fp_cvt_s_h(struct hart *hart, unsigned rm, uint64_t a);
uint64_t fp_cvt_d_h(struct hart *hart, unsigned rm, uint64_t a);
uint64_t fp_cvt_h_s(struct hart *hart, unsigned rm, uint64_t a);
uint64_t fp_cvt_h_d(struct hart *hart, unsigned rm, uint64_t a);

#endif
