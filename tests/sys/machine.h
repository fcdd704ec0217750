/* The smallest machine that runs driver.S: one hart, memory, a UART that only transmits, and the device that ends it.
 * With SYS_SMAIA the hart has an IMSIC.
 *
 * Threads: the one that runs it. Lifetime: machine_init() ... machine_release(). */
#ifndef SYS_MACHINE_H
#define SYS_MACHINE_H

#include "cpu/riscv/system.h"
#include "devices/imsic.h"
#include "layout.h"

#include <stdio.h>

struct machine {
    struct gmem memory;
    struct bus bus;
    struct bus_region uart, exit, mtimecmp;
    struct imsic imsic[SYS_LEVELS]; /* with SYS_SMAIA */
    bool has_imsic;
    struct system *system;
    struct system_hart *hart;
    FILE *output; /* borrows: what the guest sends */
    bool ended;   /* by the guest */
};

/* Returns 0, or -1 after it has said why on standard error. Borrows the options. */
int machine_init(struct machine *m, const struct sys_config *config, const struct engine_options *engine,
                 FILE *output);
void machine_release(struct machine *m);

/* Runs from the start of the RAM until the guest ends the machine: 0. A guest that does not is ended with the
 * process. */
int machine_run(struct machine *m);

#endif
