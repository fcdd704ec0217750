/* What the generator must know of a row beyond its encoding, and choosing rows by name.
 *
 * Threads: none. Lifetime: constant tables. */
#ifndef DIFF_ROWS_H
#define DIFF_ROWS_H

#include "isa/riscv/isa.h"
#include "values.h"

enum row_class {
    ROW_PLAIN,    /* registers in, registers out; any operands will do */
    ROW_MEMORY,   /* loads and stores, also relative to sp; any alignment */
    ROW_CACHE,    /* operations on the cache block at rs1 */
    ROW_ATOMIC,   /* AMOs: rs1 is an aligned address */
    ROW_RESERVE,  /* LR and SC, always generated as a pair */
    ROW_BRANCH,   /* conditional */
    ROW_JUMP,     /* to a fixed place */
    ROW_INDIRECT, /* to the address in rs1 */
    ROW_CSR,
    ROW_ECALL,
    ROW_EBREAK,
    ROW_CLASSES,
};

enum row_class row_class(unsigned row);

/* Does the row write integer register rd (as opposed to a floating-point one, or none)? */
bool row_writes_x(unsigned row);

/* Is the operand in this slot (enum rv_slot of isa/riscv/tables.h) a floating-point register? */
bool row_reads_f(unsigned row, unsigned slot);
bool row_reads_x(unsigned row, unsigned slot);

/* The kind of value that the row's floating-point sources want. */
enum value_kind row_source_kind(unsigned row);

unsigned row_access_size(unsigned row); /* of an atomic, in bytes */

/* Random operands in every field of the word: an encoding that decodes to this very row. */
void row_random(unsigned row, struct rng *rng, struct rv_insn *insn);

/* Makes `insn` what its changed operands encode; returns false, and leaves it alone, when they have no encoding. */
bool row_adjust(struct rv_insn *insn);

/* Does the row match one of the comma-separated patterns: a shell pattern for its name, or @ and an extension's name? */
bool row_matches(unsigned row, const char *patterns);

#endif
