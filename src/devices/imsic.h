/* RISC-V Incoming MSI Controllers of one privilege level: a page for each hart, and behind it the hart's interrupt
 * file.
 *
 * Threads: safe by itself; messages come from any thread, and go to the file with its lock alone.
 * Lifetime: imsic_init() ... imsic_release(); the harts borrow the files.
 * Source: The RISC-V Advanced Interrupt Architecture, version 1.0, chapter "Incoming MSI Controller (IMSIC)". */
#ifndef DEVICES_IMSIC_H
#define DEVICES_IMSIC_H

#include "bus/bus.h"
#include "bus/interrupt_file.h"

enum { IMSIC_MAX_HARTS = 64, IMSIC_PAGE = 4096 };

struct imsic {
    struct bus_region region; /* for the board to map */
    uint64_t base;            /* gpa of the region */
    unsigned count;           /* harts */
    struct interrupt_file files[IMSIC_MAX_HARTS];
};

/* For harts 0 to count - 1, at most IMSIC_MAX_HARTS. Copies the lines, one for each. */
void imsic_init(struct imsic *imsic, uint64_t base, unsigned count, const struct irq_line *lines);
void imsic_release(struct imsic *imsic);

/* A message to a gpa, without the bus; false: it is not for these. */
bool imsic_send(struct imsic *imsic, uint64_t address, uint32_t data);

extern const struct state_table imsic_state;

#endif
