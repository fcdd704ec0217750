/* Does the CPU have what an instruction needs? Private to cpu/riscv.
 *
 * Threads, lifetime: no state. */
#ifndef CPU_RISCV_EXTENSIONS_H
#define CPU_RISCV_EXTENSIONS_H

#include "isa/riscv/isa.h"
#include "isa/riscv/tables.h"

#define EXTENSION(name) (UINT64_C(1) << RV_EXT_##name)

/* The extensions, bits of enum rv_ext, whose instructions are illegal. A hint is an ordinary instruction without effect where
 * its extension is missing. */
static inline uint64_t extensions_missing(uint64_t present)
{
    const uint64_t all = UINT64_MAX >> (64 - RV_EXT_COUNT);
    return all & ~(present | EXTENSION(ZIHINTPAUSE) | EXTENSION(ZIHINTNTL) | EXTENSION(ZICBOP));
}

static inline bool extension_is_missing(const struct rv_insn *insn, uint64_t missing)
{
    uint64_t needed = UINT64_C(1) << rv_rows[insn->op].ext | UINT64_C(1) << rv_rows[insn->row].ext;
    if (insn->length == 2)
        needed |= EXTENSION(C);
    if (rv_rows[insn->op].ext == RV_EXT_ZICSR && insn->imm >= RV_CSR_FFLAGS && insn->imm <= RV_CSR_FCSR)
        needed |= EXTENSION(F);
    return needed & missing;
}

#endif
