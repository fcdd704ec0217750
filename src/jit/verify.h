/* Checks that a unit is well-formed: what ir.h and ops.def say, including that nobody reads the undefined upper half
 * of an i32 result.
 *
 * Threads: none. Lifetime: nothing is kept. */
#ifndef JIT_VERIFY_H
#define JIT_VERIFY_H

#include <guise.h>

#include "jit/ir.h"

/* Before the back end has had it. 0, or GUISE_E_CONFIG with the instruction and what is wrong with it. */
int ir_verify(const struct ir *ir, struct guise_error *err);

#endif
