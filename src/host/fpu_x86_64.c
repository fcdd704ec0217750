#include "host/fpu.h"

#include <sys/platform/x86.h>

/* MXCSR: sticky flags in bits 0 to 5, of which 1 (denormal operand) means nothing to a guest; exception masks in 7 to 12,
 * rounding in 13 and 14. */
enum {
    MXCSR_IE = 1 << 0,
    MXCSR_ZE = 1 << 2,
    MXCSR_OE = 1 << 3,
    MXCSR_UE = 1 << 4,
    MXCSR_PE = 1 << 5,
    MXCSR_MASKS = 0x1f80,
    MXCSR_ROUNDING = 3 << 13,
};

static inline unsigned mxcsr_read(void)
{
    unsigned mxcsr;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    return mxcsr;
}

static inline void mxcsr_write(unsigned mxcsr)
{
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr) : "memory");
}

/* x86 counts nearest, down, up, toward zero. */
static unsigned mxcsr_rounding(enum fpu_rounding rounding)
{
    static const uint8_t code[] = {[FPU_NEAREST] = 0, [FPU_TOWARD_ZERO] = 3, [FPU_DOWN] = 1, [FPU_UP] = 2};
    return (unsigned)code[rounding] << 13;
}

static unsigned flags_from_mxcsr(unsigned mxcsr)
{
    return (mxcsr & MXCSR_PE ? FPU_INEXACT : 0u) | (mxcsr & MXCSR_UE ? FPU_UNDERFLOW : 0u) |
           (mxcsr & MXCSR_OE ? FPU_OVERFLOW : 0u) | (mxcsr & MXCSR_ZE ? FPU_DIVIDE_BY_ZERO : 0u) |
           (mxcsr & MXCSR_IE ? FPU_INVALID : 0u);
}

void fpu_enter(enum fpu_rounding rounding)
{
    mxcsr_write(MXCSR_MASKS | mxcsr_rounding(rounding));
}

unsigned fpu_leave(void)
{
    unsigned flags = fpu_flags();
    mxcsr_write(MXCSR_MASKS);
    return flags;
}

unsigned fpu_flags(void)
{
    return flags_from_mxcsr(mxcsr_read());
}

void fpu_set_flags(unsigned flags)
{
    const unsigned all = 0x3f;
    unsigned mxcsr = mxcsr_read() & ~all;
    mxcsr |= (flags & FPU_INEXACT ? MXCSR_PE : 0u) | (flags & FPU_UNDERFLOW ? MXCSR_UE : 0u) |
             (flags & FPU_OVERFLOW ? MXCSR_OE : 0u) | (flags & FPU_DIVIDE_BY_ZERO ? MXCSR_ZE : 0u) |
             (flags & FPU_INVALID ? MXCSR_IE : 0u);
    mxcsr_write(mxcsr);
}

void fpu_set_rounding(enum fpu_rounding rounding)
{
    mxcsr_write((mxcsr_read() & ~(unsigned)MXCSR_ROUNDING) | mxcsr_rounding(rounding));
}

bool fpu_has_fma(void)
{
    return CPU_FEATURE_ACTIVE(FMA);
}

bool fpu_has_half(void)
{
    return CPU_FEATURE_ACTIVE(F16C);
}

/* Written for the assembler and not as intrinsics, so that no file needs another instruction set than the baseline. */
float fpu_s_from_h(uint16_t bits)
{
    float value;
    __asm__ volatile("vmovd %1, %0\n\tvcvtph2ps %0, %0" : "=x"(value) : "r"((uint32_t)bits));
    return value;
}

uint16_t fpu_h_from_s(float value)
{
    enum { ROUND_AS_SET = 4 };
    uint32_t bits;
    __asm__ volatile("vinsertps $0x0e, %1, %1, %1\n\tvcvtps2ph %2, %1, %1\n\tvmovd %1, %0"
                     : "=r"(bits), "+x"(value)
                     : "i"(ROUND_AS_SET));
    return (uint16_t)bits;
}
