/* Finds out which way a loop goes, by going it. Private to cpu/riscv.
 * Threads, lifetime: the hart's own. */
#ifndef CPU_RISCV_RECORD_H
#define CPU_RISCV_RECORD_H

#include "cpu/riscv/hart.h"
#include "cpu/riscv/lift.h"

enum record_result {
    RECORD_LEFT,   /* the engine is left: hart->exit says why */
    RECORD_UNSURE, /* the hart has gone out of the loop, or other ways round than the first */
    RECORD_STEADY,
};

struct rv_insn;

/* How the interpreter of a process VM or of a computer executes the instruction at the hart's pc alone. */
struct record_steps {
    const union cell *(*find)(struct hart *hart, struct rv_insn *insn); /* NULL: there is none */
    void (*go)(struct hart *hart, const union cell *cell);              /* HART_PENDING_STEP stops it */
};

/* Interprets a hart that is at a way back to `head` for some rounds of the loop, and says which way each of them
 * went. Between code_enter() and code_leave(). Places are as units have them: hart.bias less than pc. */
enum record_result record_loop(struct hart *hart, const struct record_steps *steps, uint64_t head,
                               struct lift_way *way);

/* Where the way round leaves the path that the loop was translated with. */
enum record_result record_split(struct hart *hart, const struct record_steps *steps, uint64_t head,
                                uint64_t usual, uint64_t *split);

#endif
