/* What the two engines that trust nobody have in common: lockstep.c for programs, lockstep_system.c for computers. Private
 * to cpu/riscv.
 * Threads: the hart's own. Lifetime: none. */
#ifndef CPU_RISCV_LOCKSTEP_H
#define CPU_RISCV_LOCKSTEP_H

#include "cpu/riscv/hart.h"
#include "cpu/riscv/lift.h"
#include "isa/riscv/isa.h"

struct buf;

/* All of a hart that units read or write. What few instructions change is apart. */
struct lockstep_fp {
    uint64_t f[32];
    uint32_t fcsr;
};

/* What units of a computer write of its privileged state, and the mode, which they read. */
enum lockstep_privileged {
    LOCKSTEP_MODE,
    LOCKSTEP_MSTATUS,
    LOCKSTEP_SSCRATCH,
    LOCKSTEP_SEPC,
    LOCKSTEP_SCAUSE,
    LOCKSTEP_STVAL,
    LOCKSTEP_PRIVILEGED_COUNT
};

struct lockstep_state {
    uint64_t x[32];
    uint64_t pc, reserve_address, reserve_value;
    uint64_t privileged[LOCKSTEP_PRIVILEGED_COUNT]; /* for the engine to note and restore; else 0 */
    const struct lockstep_fp *fp;                   /* borrows */
};

void lockstep_note(const struct hart *hart, struct lockstep_state *s, struct lockstep_fp *fp);
void lockstep_restore(struct hart *hart, const struct lockstep_state *s);

/* As hart_rounds_as_host(). */
static inline bool lockstep_rounds_as_host(const struct lockstep_state *s)
{
    return s->fp->fcsr >> 5 < 4;
}

/* The interpreter's way: states[steps] is after the last. */
struct lockstep_path {
    unsigned steps;
    struct lockstep_state states[LIFT_MAX_INSNS + 1];
    struct lockstep_fp fps[LIFT_MAX_INSNS + 1];
};

/* Where the way begins; and one step further. */
void lockstep_begin(struct lockstep_path *path, const struct hart *hart);
void lockstep_step(struct lockstep_path *path, const struct hart *hart, const struct rv_insn *insn);

/* Is the translation's state the interpreter's after `steps`? A translation that left an instruction to the interpreter
 * may have raised flags of that one already: `stop` is why it left, LIFT_STOP_COUNT for no such reason. */
bool lockstep_agrees(const struct lockstep_path *path, unsigned steps, const struct lockstep_state *jit,
                     enum lift_stop stop);

/* After which of at least `from` steps was the interpreter at this pc? False: no more. */
bool lockstep_find(const struct lockstep_path *path, unsigned from, uint64_t pc, unsigned *steps);

/* The state after `from` steps, where the translation began, and in what its state differs from the interpreter's. */
void lockstep_print(struct buf *out, const struct lockstep_path *path, unsigned from, unsigned steps,
                    const struct lockstep_state *jit);

/* Bytes that a load, store or atomic accesses. */
unsigned lockstep_access_size(const struct rv_insn *insn);

#endif
