/* The smallest machine that runs driver.S: one hart of integer instructions over the privileged architecture of
 * cpu/riscv, memory, a UART that only transmits, and the device that ends it. No engine: each instruction is fetched,
 * translated and decoded anew, so that what is tested is cpu/riscv/sys.h, mmu.h and pmp.h alone.
 *
 * Threads: none. Lifetime: machine_init() ... machine_release(). */
#ifndef SYS_MACHINE_H
#define SYS_MACHINE_H

#include "cpu/riscv/mmu.h"
#include "layout.h"

#include <stdio.h>

struct machine {
    struct hart_sys sys;
    uint64_t x[32];
    uint64_t pc;
    uint32_t fcsr;
    uint64_t retired;
    uint8_t *ram; /* owned */
    FILE *uart;   /* borrows */
    bool ended;   /* by the guest */
    bool failed;  /* at an instruction that the machine does not have */
};

/* Returns 0, or -1 when there is no memory. */
int machine_init(struct machine *m, const struct sys_config *config, FILE *uart);
void machine_release(struct machine *m);

/* Runs from the start of the RAM. Returns 0 when the guest ended it, -1 after `limit` instructions or at an
 * instruction that the machine does not have. */
int machine_run(struct machine *m, uint64_t limit);

#endif
