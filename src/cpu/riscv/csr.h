/* Control and status registers that user mode sees: fflags, frm, fcsr, cycle, time, instret.
 * Threads: the hart's own, between hart_fpu_enter() and hart_fpu_leave().
 * Source: The RISC-V Instruction Set Manual, volume I: "Zicsr", "Zicntr", "F". */
#ifndef CPU_RISCV_CSR_H
#define CPU_RISCV_CSR_H

#include "cpu/riscv/hart.h"

/* False when there is no such register, or it may not be written. `retired` is the hart's exact instruction count. */
bool csr_read(struct hart *hart, unsigned number, uint64_t retired, uint64_t *value);
bool csr_write(struct hart *hart, unsigned number, uint64_t value);

#endif
