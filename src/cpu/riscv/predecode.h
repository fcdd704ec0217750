/* From guest bytes to the cells of a unit. Private to cpu/riscv. */
#ifndef CPU_RISCV_PREDECODE_H
#define CPU_RISCV_PREDECODE_H

#include "cpu/riscv/unit.h"

/* A unit under construction: two cells for an instruction at most, a counter and an end. */
struct draft {
    /* Set by the caller: one instruction alone; begins with a CELL_COUNT of that many times. */
    bool single, counted;
    int32_t threshold;
    const struct interp_table *interp;
    union cell cells[2 * UNIT_INSNS + 3];
    struct cell_info infos[2 * UNIT_INSNS + 3];
    unsigned cell_count, insns, bytes;
    unsigned branches;
};

/* Predecodes from the `size` bytes of guest code at `pc` until an instruction that ends a unit, the end of the bytes or
 * the longest unit. Instructions whose extension is not in `extensions` become illegal ones. Returns
 * false when there is not even one whole instruction. */
bool predecode(struct draft *draft, const uint8_t *code, unsigned size, uint64_t pc, uint64_t extensions);

#endif
