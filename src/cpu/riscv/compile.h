/* Loops are compiled beside the harts: a hart asks, goes on in the units that it has, and takes what was made when
 * it comes by again. Private to cpu/riscv.
 *
 *   hart, with the code's lock          thread, without any              hart, with the code's lock
 *   compile_ask()  ── way, bytes ──>  lifts and assembles in a  ── unit ──>  compile_made()  compares bytes, publishes
 *                                     chunk that it was lent                 compile_next()
 *
 * The thread sees no guest memory, only the bytes that the hart has executed, and publishes nothing: whether they
 * are still what is there is looked at, under the lock, by who takes the unit. So guest code may change meanwhile,
 * and processes fork.
 *
 * Threads: the code's lock is held around all of it. Lifetime: compile_init() ... compile_release(). */
#ifndef CPU_RISCV_COMPILE_H
#define CPU_RISCV_COMPILE_H

#include "cpu/riscv/engine.h"
#include "cpu/riscv/lift.h"
#include "host/worker.h"
#include "jit/cache.h"

/* What each unit is made for and with; constant from the first request on. */
struct compile_target {
    struct jit_cache *cache;
    const struct jit_machine *machine;
    const struct jit_thunks *thunks;
    struct jit_modes modes;
    struct lift_limits limits;
};

struct compile_job {
    uint64_t pc;
    struct lift_way way;
    struct lift_result lifted;
    enum compile_result { COMPILE_MADE, COMPILE_NO_LOOP, COMPILE_NO_ROOM } result;
    uint64_t ticks;       /* host_ticks() that it took */
    struct jit_room room; /* of COMPILE_MADE: for jit_cache_add() */
    struct jit_result made;
    struct jit_site sites[2 * IR_MAX_EXITS]; /* of `made` */
};

struct compile_bench;

struct compile {
    enum engine_threads threads;
    struct compile_target target;
    struct host_worker worker;
    struct compile_bench *bench; /* owned; NULL until the first request */
    int pid;                     /* of the process whose thread it is */
    uint64_t asked;              /* requests */
    uint64_t ticks;              /* of those that were taken */
};

/* Borrows what the target refers to. */
void compile_init(struct compile *compile, enum engine_threads threads, const struct compile_target *target);
void compile_release(struct compile *compile);

/* Asks for the loop at `pc`, on behalf of a hart of process `pid`. False: nobody can make it now but the hart
 * itself. */
bool compile_ask(struct compile *compile, int pid, uint64_t pc, const struct lift_way *way);

/* The oldest request that the thread is done with, or NULL; it is there until compile_next(). */
const struct compile_job *compile_made(const struct compile *compile);
void compile_next(struct compile *compile);

/* Without the code's lock: as host_worker_pause(). */
void compile_pause(struct compile *compile);
void compile_resume(struct compile *compile);

/* As host_worker_fork_prepare(). The child has asked for nothing. */
void compile_fork_prepare(struct compile *compile);
void compile_fork_done(struct compile *compile, bool child);

#endif
