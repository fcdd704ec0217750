/* Units made by chance, for comparing two ways to execute them: every one is well-formed and ends. */
#ifndef TESTS_JIT_RANDOM_UNIT_H
#define TESTS_JIT_RANDOM_UNIT_H

#include "jit/evaluate.h"

/* Pinned a0 ... a3 and fa0, fa1; in memory t0, t1, ft0. */
enum { UNIT_SLOTS = 9, UNIT_CALLS = 2 };
extern const struct ir_machine unit_machine;
extern jit_call *const unit_calls[UNIT_CALLS];

struct random_unit {
    uint64_t seed;   /* moves on; not 0 */
    unsigned length; /* how many steps */
    bool floating, memory, calls, fused;
    uint64_t window; /* address of the memory that accesses are in: window_size bytes, a power of two */
    unsigned window_size;
    bool faults; /* some accesses are just behind the window */
    bool spans;  /* of paged memory */
    bool loop;   /* as often as the machine's last slot, an integer, says; nothing else touches that */
};

uint64_t random_next(uint64_t *seed);

/* A number that finds mistakes: small, a power of two, near a limit, or any. */
uint64_t random_value(uint64_t *seed);

/* The same for the register of a floating-point slot: boxed singles, doubles, NaNs, zeros. */
uint64_t random_float(uint64_t *seed);

/* Makes a unit at `pc`. With ir->no_fold every instruction stays as it was chosen. */
void random_unit(struct ir *ir, const struct ir_machine *machine, uint64_t pc, struct random_unit *options);

/* Makes the unit again in `to`, through ir_emit() and ir_set(). */
void unit_rebuild(const struct ir *from, struct ir *to);

#endif
