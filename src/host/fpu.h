/* The host's floating-point unit, lent to a guest: control, sticky flags, and single instructions with exact effects.
 *
 * Between fpu_enter() and fpu_leave() the unit belongs to the guest: its rounding mode is the guest's and its sticky
 * flags collect the guest's exceptions. The operations below are single instructions that the compiler can neither fold,
 * drop, speculate nor move across a change of mode, which C's own arithmetic does not promise.
 * Subnormal numbers are honoured, exceptions never trap, and underflow is detected after rounding.
 *
 * Threads: all of it concerns the calling thread alone. Lifetime: none.
 * Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapters 10 and 14. */
#ifndef HOST_FPU_H
#define HOST_FPU_H

#include <stdbool.h>
#include <stdint.h>

/* Numbered as in RISC-V's fcsr, so that its flags and modes need no second translation. */
enum fpu_flag {
    FPU_INEXACT = 1,
    FPU_UNDERFLOW = 2,
    FPU_OVERFLOW = 4,
    FPU_DIVIDE_BY_ZERO = 8,
    FPU_INVALID = 16,
    FPU_ALL = 31
};
enum fpu_rounding { FPU_NEAREST, FPU_TOWARD_ZERO, FPU_DOWN, FPU_UP };

/* Gives the unit to the guest: the rounding mode is set, no flag is. */
void fpu_enter(enum fpu_rounding rounding);

/* Returns the flags raised since, and puts the unit back into the state that a C program starts with. */
unsigned fpu_leave(void);

unsigned fpu_flags(void);

/* Replaces them. */
void fpu_set_flags(unsigned flags);

/* Keeps the flags. */
void fpu_set_rounding(enum fpu_rounding rounding);

/* Fused multiply-add (fpu_madd_* and kin) exists. */
bool fpu_has_fma(void);

/* Half precision: fpu_s_from_h() and fpu_h_from_s() exist. */
bool fpu_has_half(void);
float fpu_s_from_h(uint16_t bits);
uint16_t fpu_h_from_s(float value);

/* Names end in the operands' precision: s single, d double. */

/* The positive quiet NaN without payload. The compiler does not know the value, so that the rare branch which wants it
 * stays a branch: a conditional move would lengthen the chain of every result. */
static inline float fpu_nan_s(void)
{
    float nan = __builtin_nanf("");
    __asm__ volatile("" : "+x"(nan));
    return nan;
}

static inline double fpu_nan_d(void)
{
    double nan = __builtin_nan("");
    __asm__ volatile("" : "+x"(nan));
    return nan;
}

#define FPU_BINARY(name, insn, type)                         \
    static inline type fpu_##name(type a, type b)            \
    {                                                        \
        __asm__ volatile(insn " %1, %0" : "+x"(a) : "x"(b)); \
        return a;                                            \
    }
FPU_BINARY(add_s, "addss", float)
FPU_BINARY(sub_s, "subss", float)
FPU_BINARY(mul_s, "mulss", float)
FPU_BINARY(div_s, "divss", float)
FPU_BINARY(add_d, "addsd", double)
FPU_BINARY(sub_d, "subsd", double)
FPU_BINARY(mul_d, "mulsd", double)
FPU_BINARY(div_d, "divsd", double)
#undef FPU_BINARY

/* The destination is tied to the source: the upper part comes from it and not from an unrelated, older result. */
#define FPU_UNARY(name, insn, type)                 \
    static inline type fpu_##name(type a)           \
    {                                               \
        __asm__ volatile(insn " %0, %0" : "+x"(a)); \
        return a;                                   \
    }
FPU_UNARY(sqrt_s, "sqrtss", float)
FPU_UNARY(sqrt_d, "sqrtsd", double)
#undef FPU_UNARY

/* madd: a*b + c; msub: a*b - c; nmsub: -(a*b) + c; nmadd: -(a*b) - c. Only where fpu_has_fma(). */
#define FPU_FUSED(name, insn, type)                                      \
    static inline type fpu_##name(type a, type b, type c)                \
    {                                                                    \
        __asm__ volatile(insn " %2, %1, %0" : "+x"(a) : "x"(b), "x"(c)); \
        return a;                                                        \
    }
FPU_FUSED(madd_s, "vfmadd213ss", float)
FPU_FUSED(msub_s, "vfmsub213ss", float)
FPU_FUSED(nmsub_s, "vfnmadd213ss", float)
FPU_FUSED(nmadd_s, "vfnmsub213ss", float)
FPU_FUSED(madd_d, "vfmadd213sd", double)
FPU_FUSED(msub_d, "vfmsub213sd", double)
FPU_FUSED(nmsub_d, "vfnmadd213sd", double)
FPU_FUSED(nmadd_d, "vfnmsub213sd", double)
#undef FPU_FUSED

/* Comparisons that are false for NaN. `less` and `less_equal` raise FPU_INVALID for any NaN, the others for signaling ones. */
#define FPU_COMPARE(name, insn, condition, type)                                      \
    static inline bool fpu_##name(type a, type b)                                     \
    {                                                                                 \
        bool result;                                                                  \
        __asm__ volatile(insn " %2, %1" : "=@cc" condition(result) : "x"(b), "x"(a)); \
        return result;                                                                \
    }
FPU_COMPARE(less_s, "comiss", "a", float)
FPU_COMPARE(less_equal_s, "comiss", "ae", float)
FPU_COMPARE(quiet_less_s, "ucomiss", "a", float)
FPU_COMPARE(quiet_less_equal_s, "ucomiss", "ae", float)
FPU_COMPARE(less_d, "comisd", "a", double)
FPU_COMPARE(less_equal_d, "comisd", "ae", double)
FPU_COMPARE(quiet_less_d, "ucomisd", "a", double)
FPU_COMPARE(quiet_less_equal_d, "ucomisd", "ae", double)
#undef FPU_COMPARE

#define FPU_EQUAL(name, insn, type)                                                            \
    static inline bool fpu_##name(type a, type b)                                              \
    {                                                                                          \
        bool equal, ordered;                                                                   \
        __asm__ volatile(insn " %3, %2" : "=@cce"(equal), "=@ccnp"(ordered) : "x"(a), "x"(b)); \
        return equal & ordered;                                                                \
    }
FPU_EQUAL(equal_s, "ucomiss", float)
FPU_EQUAL(equal_d, "ucomisd", double)
#undef FPU_EQUAL

/* To a signed integer, w of 32 or l of 64 bits; `trunc` rounds toward zero, `round` in the mode that is set.
 * What does not fit raises FPU_INVALID alone and gives the smallest integer. */
#define FPU_TO_INT(name, insn, from, to)                          \
    static inline to fpu_##name(from a)                           \
    {                                                             \
        to result;                                                \
        __asm__ volatile(insn " %1, %0" : "=r"(result) : "x"(a)); \
        return result;                                            \
    }
FPU_TO_INT(trunc_w_s, "cvttss2si", float, int32_t)
FPU_TO_INT(trunc_l_s, "cvttss2si", float, int64_t)
FPU_TO_INT(trunc_w_d, "cvttsd2si", double, int32_t)
FPU_TO_INT(trunc_l_d, "cvttsd2si", double, int64_t)
FPU_TO_INT(round_w_s, "cvtss2si", float, int32_t)
FPU_TO_INT(round_l_s, "cvtss2si", float, int64_t)
FPU_TO_INT(round_w_d, "cvtsd2si", double, int32_t)
FPU_TO_INT(round_l_d, "cvtsd2si", double, int64_t)
#undef FPU_TO_INT

/* The instructions keep the upper part of their destination: a zero spares a wait for an older result. */
#define FPU_CONVERT(name, insn, constraint, from, to)                    \
    static inline to fpu_##name(from a)                                  \
    {                                                                    \
        to result = 0;                                                   \
        __asm__ volatile(insn " %1, %0" : "+x"(result) : constraint(a)); \
        return result;                                                   \
    }
FPU_CONVERT(s_from_l, "cvtsi2ssq", "r", int64_t, float)
FPU_CONVERT(d_from_l, "cvtsi2sdq", "r", int64_t, double)
FPU_CONVERT(s_from_d, "cvtsd2ss", "x", double, float)
FPU_CONVERT(d_from_s, "cvtss2sd", "x", float, double)
#undef FPU_CONVERT

#endif
