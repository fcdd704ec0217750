/* x86-64 instructions as bytes, for emission from the last to the first. Private to the target.
 *
 * An opcode is one number: prefix << 16 | map << 8 | byte, where prefix is 0, 0x66, 0xf2 or 0xf3 and map 0 for
 * one-byte opcodes, 1 for 0f, 2 for 0f 38, 3 for 0f 3a.
 * Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, chapter 2. */
#ifndef JIT_X86_64_ENCODE_H
#define JIT_X86_64_ENCODE_H

#include "jit/assembler.h"

/* Instruction sets beyond x86-64-v1 that the host has, and may use. */
enum x86_feature { X86_BMI1 = 1, X86_BMI2 = 2, X86_LZCNT = 4, X86_POPCNT = 8, X86_AVX = 16, X86_FMA = 32 };

static inline bool x86_has(const struct jit_assembler *as, enum x86_feature feature)
{
    return as->features & feature;
}

enum x86_reg { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, XMM0 = JIT_FP };

#define X86(prefix, map, byte) ((uint32_t)(prefix) << 16 | (uint32_t)(map) << 8 | (uint32_t)(byte))
#define X86_W                  0x1000000u /* 64-bit operands */
#define X86_B                  0x2000000u /* byte registers: sil, dil and so on want a prefix */

/* Memory: [base + index * 2^scale + disp], absolute with no base, or relative to the instruction's end when `target`
 * is set. */
struct x86_mem {
    int8_t base, index; /* -1: none */
    uint8_t scale;
    bool guest; /* in the guest's memory: through gs when that does not start at 0 */
    int32_t disp;
    const void *target;
};

#define X86_STATE(offset) ((struct x86_mem){.base = RBP, .index = -1, .disp = (offset)})
#define X86_AT(address)   ((struct x86_mem){.base = -1, .index = -1, .target = (address)})

enum x86_condition {
    X86_O,
    X86_NO,
    X86_C,
    X86_NC,
    X86_E,
    X86_NE,
    X86_BE,
    X86_A,
    X86_S,
    X86_NS,
    X86_P,
    X86_NP,
    X86_L,
    X86_GE,
    X86_LE,
    X86_G
};

/* Register and register, memory; `size` bytes of immediate follow (0, 1 or 4). */
void x86_rr(struct jit_assembler *as, uint32_t op, unsigned reg, unsigned rm);
void x86_rm(struct jit_assembler *as, uint32_t op, unsigned reg, struct x86_mem mem);
void x86_rri(struct jit_assembler *as, uint32_t op, unsigned reg, unsigned rm, int32_t imm, unsigned size);
void x86_rmi(struct jit_assembler *as, uint32_t op, unsigned reg, struct x86_mem mem, int32_t imm,
             unsigned size);

/* With a third register (VEX). */
void x86_vex(struct jit_assembler *as, uint32_t op, unsigned reg, unsigned second, unsigned rm);
void x86_vex_m(struct jit_assembler *as, uint32_t op, unsigned reg, unsigned second, struct x86_mem mem);

/* Of the vector unit, in the form that the host has: reg = second op rm with AVX, else reg = reg op rm. `second` is 0 where the
 * operation has no such operand. */
void x86_sse(struct jit_assembler *as, uint32_t op, unsigned reg, unsigned second, unsigned rm);
void x86_sse_m(struct jit_assembler *as, uint32_t op, unsigned reg, unsigned second, struct x86_mem mem);

void x86_bytes(struct jit_assembler *as, const char *bytes, unsigned size);

/* X86_MOV, X86_MOV_STORE of 8 bytes of the state: as x86_rm() with X86_STATE(offset), in fewer steps, for there are many. */
void x86_mov_state(struct jit_assembler *as, unsigned op, unsigned reg, int32_t offset);

void x86_mov_imm(struct jit_assembler *as, unsigned reg, int64_t value);

/* Jumps to exec addresses. */
void x86_jmp(struct jit_assembler *as, const void *target);
void x86_jcc(struct jit_assembler *as, enum x86_condition condition, const void *target);
void x86_call(struct jit_assembler *as, const void *target);

/* A link's stub, at the end of the cold code, whatever is being written: goes to the `link` thunk with the number. */
void x86_cold_link(struct jit_assembler *as, uint32_t number);

/* The same, placed so that the displacement is never torn: returns its exec address. */
uint8_t *x86_jmp_site(struct jit_assembler *as, const void *target);
uint8_t *x86_jcc_site(struct jit_assembler *as, enum x86_condition condition, const void *target);
uint8_t *x86_call_site(struct jit_assembler *as, const void *target);

void x86_nop(struct jit_assembler *as, unsigned size);

static inline bool x86_fits32(int64_t value)
{
    return value == (int32_t)value;
}

#endif
