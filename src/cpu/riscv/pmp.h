/* Physical memory protection: which physical addresses an access may reach in which mode.
 *
 * Threads: the hart's own.
 * Source: The RISC-V Instruction Set Manual, volume II, "Physical Memory Protection". The grain is four bytes;
 * addresses are below 2^56. */
#ifndef CPU_RISCV_PMP_H
#define CPU_RISCV_PMP_H

#include "cpu/riscv/sys.h"

/* What `mode` may do with all of `size` bytes at `gpa`, as PMP_R | PMP_W | PMP_X: one access, so the first entry that
 * matches any byte decides. */
unsigned pmp_rights(const struct hart_sys *sys, uint64_t gpa, uint64_t size, enum priv mode);

/* Does one answer of pmp_rights() hold for every access within these bytes? Then it may be remembered with their
 * translation. */
bool pmp_is_uniform(const struct hart_sys *sys, uint64_t gpa, uint64_t size);

/* pmpcfg0, pmpcfg2 as CSRs; pmpaddr0..15. A write to what is locked is ignored. */
uint64_t pmp_read_cfg(const struct hart_sys *sys, unsigned index);
void pmp_write_cfg(struct hart_sys *sys, unsigned index, uint64_t value);
void pmp_write_address(struct hart_sys *sys, unsigned index, uint64_t value);

#endif
