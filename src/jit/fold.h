/* Folding: what makes an instruction simpler before it is made. Private to src/jit.
 *
 * Threads, lifetime: as struct ir. */
#ifndef JIT_FOLD_H
#define JIT_FOLD_H

#include "jit/ir.h"

/* The instruction that ir_emit() is asked for; rules rewrite it. */
struct fold {
    struct ir *ir;
    enum ir_op op;
    enum ir_type type;
    ir_ref a, b;
};

/* The value it has already; or 0, and *want, perhaps rewritten, is to be made. */
ir_ref fold(struct fold *want);

#endif
