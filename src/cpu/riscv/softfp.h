/* IEEE 754 arithmetic in integers, for half, single and double precision and all five rounding modes of RISC-V.
 *
 * It serves what the host's FPU has not (round to nearest, ties away from zero; fused multiply-add on old hosts) and is
 * the independent witness that tests hold the FPU against. Numbers are raw bits in the low end of a word.
 * A NaN result is always the canonical one; `flags` collects (by OR) what an operation raises; underflow is detected
 * after rounding.
 *
 * Threads: pure functions. Lifetime: none.
 * Source: IEEE 754-2008; The RISC-V Instruction Set Manual, volume I, "F" extension. */
#ifndef CPU_RISCV_SOFTFP_H
#define CPU_RISCV_SOFTFP_H

#include <stdbool.h>
#include <stdint.h>

/* Numbers of fcsr's frm and bits of its fflags. */
enum softfp_rounding { SOFTFP_RNE, SOFTFP_RTZ, SOFTFP_RDN, SOFTFP_RUP, SOFTFP_RMM };
enum softfp_flag { SOFTFP_NX = 1, SOFTFP_UF = 2, SOFTFP_OF = 4, SOFTFP_DZ = 8, SOFTFP_NV = 16 };

/* A number is 1 sign bit, `exponent_bits`, `fraction_bits`. */
struct softfp_format {
    unsigned exponent_bits, fraction_bits;
};
extern const struct softfp_format softfp_h, softfp_s, softfp_d;

uint64_t softfp_add(const struct softfp_format *format, unsigned rm, uint64_t a, uint64_t b, uint32_t *flags);
uint64_t softfp_sub(const struct softfp_format *format, unsigned rm, uint64_t a, uint64_t b, uint32_t *flags);
uint64_t softfp_mul(const struct softfp_format *format, unsigned rm, uint64_t a, uint64_t b, uint32_t *flags);
uint64_t softfp_div(const struct softfp_format *format, unsigned rm, uint64_t a, uint64_t b, uint32_t *flags);
uint64_t softfp_sqrt(const struct softfp_format *format, unsigned rm, uint64_t a, uint32_t *flags);

/* a * b + c, rounded once. The other three forms are this one with the sign of `a`, `c` or both turned: a NaN's sign has no
 * meaning. */
uint64_t softfp_fma(const struct softfp_format *format, unsigned rm, uint64_t a, uint64_t b, uint64_t c,
                    uint32_t *flags);

/* To a whole number of the same format. */
uint64_t softfp_round(const struct softfp_format *format, unsigned rm, uint64_t a, bool report_inexact,
                      uint32_t *flags);

uint64_t softfp_convert(const struct softfp_format *to, const struct softfp_format *from, unsigned rm,
                        uint64_t a, uint32_t *flags);

/* Integers: `bits` is 32 or 64. What does not fit saturates, NaN counts as the largest. Results are sign-extended from
 * `bits`, as RISC-V keeps them. */
uint64_t softfp_to_int(const struct softfp_format *format, unsigned rm, uint64_t a, unsigned bits,
                       bool is_signed, uint32_t *flags);
uint64_t softfp_from_signed(const struct softfp_format *format, unsigned rm, int64_t value, uint32_t *flags);
uint64_t softfp_from_unsigned(const struct softfp_format *format, unsigned rm, uint64_t value,
                              uint32_t *flags);

bool softfp_is_signaling(const struct softfp_format *format, uint64_t a);

/* One bit set, as fclass has it. */
unsigned softfp_class(const struct softfp_format *format, uint64_t a);

#endif
