/* The textual form of a unit, for people, dumps and tests. One instruction a line:
 *
 *   unit 0x10000
 *   r0 i64 get a5
 *   pc 0x10004
 *   r2 i64 add r0, 16 for a5        the value's number, type, operation, operands; `for`: the slot it is made for
 *   set a5, r2
 *   r4 pair r0, 1
 *   r5 i64 select r2, r4
 *   br r5 -> go 0x10040
 *   exit -> call 0x10100 return 0x1000c check ra
 *
 * Other ways out: `exit r5 -> indirect`, `exit r5 -> indirect-call return 0x1000c check ra`, `exit r5 -> return check
 * ra`, `exit -> stop 3 0x1000c`; `br r5 -> go 0x10000 count 5` is counted and leaves with reason 5, and
 * `br r5 -> go 0x20000 far` leads to another page. Constants are numbers; what has no result has its type only where it is
 * not the usual one; `-` is an operand that is missing. What follows a # is not read.
 *
 * Threads: none. Lifetime: nothing is kept. */
#ifndef JIT_TEXT_H
#define JIT_TEXT_H

#include <guise.h>

#include "base/buf.h"
#include "jit/ir.h"

void ir_print(const struct ir *ir, struct buf *out);

/* Reads what ir_print() writes; the unit is the same but for the numbers of constants. 0, or GUISE_E_CONFIG with the
 * line and what is wrong there. Whether the unit makes sense is ir_verify()'s to say. */
int ir_parse(struct ir *ir, const struct ir_machine *machine, const char *text, struct guise_error *err);

#endif
