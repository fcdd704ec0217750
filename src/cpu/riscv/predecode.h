/* From guest bytes to the cells of a unit. Private to cpu/riscv. */
#ifndef CPU_RISCV_PREDECODE_H
#define CPU_RISCV_PREDECODE_H

#include "cpu/riscv/unit.h"

/* A unit under construction: two cells for an instruction at most, a counter and an end. */
struct draft {
    /* Set by the caller: one instruction alone; begins with a CELL_COUNT of that many times; ...; whose handlers. */
    bool single, counted;
    enum {
        DRAFT_FLAT,
        DRAFT_PAGED,
        DRAFT_CROSSING
    } place; /* unit.h; crossing: `single`, from the end of a page on */
    int32_t threshold;
    const struct interp_table *interp;
    union cell cells[2 * UNIT_INSNS + 3];
    struct cell_info infos[2 * UNIT_INSNS + 3];
    uint64_t pc;
    unsigned cell_count, insns, bytes;
    unsigned branches;
};

/* Predecodes from the `size` bytes of guest code at `pc` until an instruction that ends a unit, the end of the bytes or
 * the longest unit. Instructions whose extension is not in `extensions` become illegal ones. Returns
 * false when there is not even one whole instruction. */
bool predecode(struct draft *draft, const uint8_t *code, unsigned size, uint64_t pc, uint64_t extensions);

/* The unit that the draft makes: its size, with or without the guest's bytes; and its contents. `source`: those
 * bytes, or NULL when they cannot change. */
size_t draft_unit_bytes(const struct draft *draft, bool changeable);
void draft_fill_unit(const struct draft *draft, struct unit *unit, const uint8_t *source);

#endif
