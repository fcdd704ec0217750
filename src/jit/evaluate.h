/* Executes a unit's IR directly, slowly and plainly: what host code has to agree with.
 *
 * Threads: none of its own. Lifetime: borrows everything during the call.
 * Source: ops.def; for floating point The RISC-V Instruction Set Manual, volume I, chapters "F" and "D", and IEEE
 * 754-2019. */
#ifndef JIT_EVALUATE_H
#define JIT_EVALUATE_H

#include "jit/machine.h"

/* What a unit is executed in. */
struct ir_world {
    /* Memory, little-endian; false: there is none. Atomics are a load and a store. */
    bool (*load)(void *context, uint64_t address, unsigned size, uint64_t *value);
    bool (*store)(void *context, uint64_t address, unsigned size, uint64_t value);
    void *context;
    jit_call *const *calls; /* by number */
    uint32_t upper;         /* what the undefined upper half of i32 results holds */
    bool stop;              /* asks it to stop: POLL leaves */
    /* May these bytes be accessed by one look-up (HOST)? NULL: all there are. */
    bool (*reach)(void *context, uint64_t address, unsigned size, bool write);
};

enum ir_ending_kind {
    IR_LEFT,    /* through `exit`, of the instruction `at`; or by HOST */
    IR_FAULTED, /* `at` could not access `address` */
    IR_UNABLE,  /* `at` needs what this host has not: fused multiplication, calls of a world without them */
};

struct ir_ending {
    enum ir_ending_kind kind;
    ir_ref at;
    unsigned exit;
    uint64_t pc;      /* where the guest goes on; IR_FAULTED: where it is */
    uint64_t address; /* IR_FAULTED */
};

/* `slots` has each slot's value at the unit's entry and gets those at its end. The host's rounding mode and flags are
 * used as they are: fpu_enter() and fpu_leave() are the caller's. */
struct ir_ending ir_run(const struct ir *ir, const struct ir_world *world, uint64_t *slots);

#endif
