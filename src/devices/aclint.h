/* RISC-V Advanced Core Local Interruptor: software interrupts for M mode (MSWI) and S mode (SSWI), timer (MTIMER).
 * Mapped one after the other, MSWI and MTIMER are what SiFive's CLINT is.
 *
 * Threads: safe by itself, with a lock for each hart, so that harts do not wait for each other.
 * Lifetime: aclint_init() ... aclint_release().
 * Source: RISC-V Advanced Core Local Interruptor Specification 1.0-rc4, chapters 2 to 4. */
#ifndef DEVICES_ACLINT_H
#define DEVICES_ACLINT_H

#include "bus/bus.h"
#include "bus/clock.h"
#include "bus/irq.h"
#include "bus/state.h"

enum { ACLINT_MAX_HARTS = 64 };

#define ACLINT_MSWI_LENGTH   0x4000
#define ACLINT_MTIMER_LENGTH 0x8000
#define ACLINT_SSWI_LENGTH   0x4000

/* Where a hart's interrupts go. */
struct aclint_lines {
    struct irq_line msip, mtip;
    struct irq_line ssip; /* edges: set and unset at once */
};

struct aclint_hart {
    pthread_mutex_t lock;
    struct aclint_lines lines;
    struct clock_timer timer;
    struct clock_ticks *time;
    uint64_t mtimecmp;
    bool msip;
};

struct aclint {
    struct bus_region mswi, mtimer, sswi; /* for the board to map */
    struct clock_ticks *time;
    unsigned count;
    struct aclint_hart harts[ACLINT_MAX_HARTS];
};

/* For harts 0 to count - 1, at most ACLINT_MAX_HARTS. Borrows the clock and the counter, which is mtime and which the
 * harts read as their `time`; copies the lines. */
void aclint_init(struct aclint *aclint, unsigned count, const struct aclint_lines *lines, struct clock *clock,
                 struct clock_ticks *time);
void aclint_release(struct aclint *aclint);

/* mtime is the board's to reset. */
void aclint_reset(struct aclint *aclint);

extern const struct state_table aclint_state, aclint_hart_state;

#endif
