/* The harts of a machine, for its own files: threads, and the states that the SBI's extension HSM gives them.
 *
 *   STOPPED ──hart_start──> START_PENDING ──its thread──> STARTED <──> SUSPENDED
 *      └──────────────────────── hart_stop ──────────────────┘
 *
 * Threads: `state`, `start` and `wants` change with the machine's lock held; `state` may be read without.
 * Lifetime: of the machine. */
#ifndef MACHINE_HARTS_H
#define MACHINE_HARTS_H

#include "machine/machine.h"
#include "machine/sbi_pmu.h"

#include <pthread.h>

/* As the SBI numbers them. */
enum hart_state {
    HART_STARTED = 0,
    HART_STOPPED = 1,
    HART_START_PENDING = 2,
    HART_SUSPENDED = 4,
};

/* How a hart starts. */
struct hart_start {
    enum priv mode;
    uint64_t pc, a1, a2; /* a0 is its number */
};

struct machine_hart {
    struct machine *machine;
    struct system_hart *hart;
    unsigned index;
    pthread_t thread;
    _Atomic enum hart_state state;
    struct hart_start start; /* of HART_START_PENDING */
    struct sbi_pmu pmu;
    struct clock_timer timer; /* kicks the hart when stimecmp is reached */
    pthread_mutex_t timer_lock;
    uint64_t calls, sleeps; /* counted for --stats */
};

struct machine {
    struct machine_config config;
    struct board *board;
    pthread_mutex_t lock;
    _Atomic enum machine_end end;
    unsigned count;   /* harts */
    unsigned running; /* threads that were made */
    struct machine_hart harts[LAYOUT_MAX_HARTS];
};

extern const struct system_ops harts_ops;

void harts_init(struct machine *machine);
void harts_release(struct machine *machine);

/* Makes the threads; `start` is for hart 0, or for all when they start in M-mode. */
int harts_run(struct machine *machine, const struct loader_start *start, struct guise_error *err);
void harts_join(struct machine *machine);

/* HART_STOPPED -> HART_START_PENDING; false when it is in another state. Any thread. */
bool hart_request_start(struct machine_hart *hart, const struct hart_start *start);

/* On the hart's own thread. */
void hart_stop(struct machine_hart *hart);

/* Sleeps until an interrupt is pending, or the machine ends. On the hart's own thread. */
void hart_suspend(struct machine_hart *hart);

/* As after reset, with what `start` says. On the hart's own thread. */
void hart_begin(struct machine_hart *hart, const struct hart_start *start);

#endif
