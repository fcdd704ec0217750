/* A machine: a board with something loaded into its memory, and its life. Each hart has a thread of its own; timers,
 * consoles, networks and disks are served by the event loop, on the thread that calls machine_run().
 *
 *   machine_run() ── event loop ── clock, backends ──> devices
 *     └─ hart 0 .. n: system_hart_run() ── exits ──> sbi_call(), sleep, machine_stop()
 *
 * Threads: machine_stop() any; the rest one, the event loop's.
 * Lifetime: machine_new(), machine_run() once, machine_free(). What the configuration names outlives it. */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H

#include "machine/board.h"
#include "machine/loader.h"

/* Why it ended. */
enum machine_end {
    MACHINE_RUNS,
    MACHINE_POWER_OFF, /* by the guest */
    MACHINE_REBOOT,    /* by the guest, which wants to start anew */
    MACHINE_FAILURE,   /* by the guest, which says that something is wrong */
    MACHINE_STOPPED,   /* by its owner */
    MACHINE_BROKEN,    /* the engine is at fault, and has said how */
};

struct machine_config {
    struct board_config board; /* without `firmware`, `ops`, `request`, `owner` */
    struct loader_files files;
};

struct machine_stats {
    uint64_t instructions;  /* retired by all harts */
    uint64_t calls, sleeps; /* of the SBI; WFI */
    uint64_t exits[ENGINE_EXIT_COUNT];
    uint64_t window_pages, refused; /* direct code: struct system_direct */
};

struct machine;

/* Makes the board and loads what is to run. *out gets an owned machine. */
int machine_new(struct machine **out, const struct machine_config *config, struct guise_error *err);
void machine_free(struct machine *machine);

/* Runs until the machine ends; the loop runs meanwhile. GUISE_E_SYSTEM when there are no threads. */
int machine_run(struct machine *machine, enum machine_end *end, struct guise_error *err);

/* Ends it, soon; the first reason counts. */
void machine_stop(struct machine *machine, enum machine_end end);

/* After machine_run(). */
struct machine_stats machine_stats(const struct machine *machine);

const struct board *machine_board(const struct machine *machine);

#endif
