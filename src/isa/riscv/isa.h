/* The RISC-V instruction set: decoder, disassembler and encoder over the description in riscv.isa.
 *
 * riscv.isa has one row per instruction. The build turns it into rv_rows.h (the enumerators and the lists RV_ROWS and
 * RV_COMPRESSED_ROWS) and rv_tables.inc (masks, matches, operands, decode buckets). Nothing here has state: every
 * function may be called by any thread.
 * Source: The RISC-V Instruction Set Manual, volumes I (unprivileged) and II (privileged). */
#ifndef ISA_RISCV_ISA_H
#define ISA_RISCV_ISA_H

#include "rv_rows.h" /* generated: enum rv_op { RV_INVALID, RV_ADDI, ..., RV_OP_COUNT, ..., RV_ROW_COUNT }, rv_ext, rv_csr */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rv_flag {
    RV_BRANCH = 1 << 0, /* conditional, pc-relative */
    RV_JUMP = 1 << 1,   /* unconditional */
    RV_LOAD = 1 << 2,
    RV_STORE = 1 << 3,
    RV_TRAP = 1 << 4, /* may trap other than by memory access */
    RV_END = 1 << 5,  /* ends a unit */
    RV_FP = 1 << 6,   /* reads or writes floating-point state */
    RV_FRD = 1 << 7,  /* rd is a floating-point register; found from the operands, not written in riscv.isa */
};

/* The extensions before these privileged ones are what a process VM may have. */
#define RV_EXT_PROGRAM_COUNT RV_EXT_SM

/* One decoded instruction. Operands that the row has not are 0, or what it has in their place. A compressed
 * instruction is decoded into the operation it expands to; `row` keeps how it was written. From rs1 to imm the members
 * lie as the decoder gathers them (tables.h). */
struct rv_insn {
    uint16_t op;  /* enum rv_op, an uncompressed row; RV_INVALID when the word is no instruction */
    uint16_t row; /* enum rv_op as written; equals `op` for a 4-byte instruction */
    uint8_t rs1;  /* 0..31, integer, floating-point or (later) vector register as the row says; for CSR
                     immediates the 5-bit zero-extended value */
    uint8_t rd, rs2;
    union {
        uint8_t rm;  /* floating point: rounding mode field; atomics: aq << 1 | rl */
        uint8_t aux; /* fence: pred << 4 | succ (fm is in imm); mop.r, mop.rr, c.mop: the number */
    };
    union {
        int32_t imm;  /* sign-extended immediate, shift amount, CSR number */
        uint32_t rs3; /* fused multiply-add */
    };
    uint8_t length; /* bytes: 2 or 4 */
    uint32_t word;  /* as fetched; upper half 0 for 2 bytes */
};

/* Decodes the instruction at the low end of `word` (for a 2-byte one the upper half is ignored).
 * Returns its length, or 0 when it is no instruction: then op is RV_INVALID and length still says 2 or 4. */
int rv_decode(uint32_t word, struct rv_insn *insn);

/* The word for insn->row and its operands (the exact inverse of rv_decode() for rows it produced); operands out of
 * range are cut to their field. */
uint32_t rv_encode(const struct rv_insn *insn);

/* GNU syntax, e.g. "addi\ta0,a0,-1"; branch targets as absolute addresses for an instruction at `pc`. Returns as snprintf. */
int rv_disasm(const struct rv_insn *insn, uint64_t pc, char *text, size_t size);

const char *rv_op_name(unsigned op);      /* "c.addi" */
unsigned rv_op_flags(unsigned op);        /* enum rv_flag */
enum rv_ext rv_op_ext(unsigned op);       /* a compressed row needs its own and that of what it expands to */
const char *rv_ext_name(enum rv_ext ext); /* "zba" */

#endif
