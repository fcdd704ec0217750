/* Copies of guest memory that a translation runs on after the interpreter has done the same for real (lockstep_system.c). Private
 * to cpu/riscv.
 *
 *   interpreter's accesses ──shadow_load(), shadow_store()──> frames: what each byte was when it was first accessed, and
 *                                                              what it became by which step
 *   translation ──table──> frames ──shadow_agrees()──> as the interpreter left it?
 *
 * A frame stands for a page of the host's memory, so what is mapped twice is one. Bytes that the interpreter did not access
 * hold a pattern: who reads them reads nothing likely, and who writes to them is found out. A byte that was stored to first is
 * another one before: a store that is left out is found out, too.
 *
 * Threads: the hart's own. Lifetime: shadow_new() ... shadow_free(); a record lasts until shadow_clear(). */
#ifndef CPU_RISCV_SHADOW_H
#define CPU_RISCV_SHADOW_H

#include "cpu/riscv/tlb.h"

#include <stdbool.h>
#include <stdint.h>

struct shadow;

/* NULL when there is no memory. */
struct shadow *shadow_new(void);
void shadow_free(struct shadow *shadow);

/* ---- What the interpreter did, in order; an access lies within a page, whose address at the host is `page` ---- */

/* More is recorded, after the translation's turn, too. */
void shadow_record(struct shadow *shadow);

/* Bytes that step number `step` read, or wrote. False: the record has no place for it, or the same byte was not the same
 * before, because somebody else has written to it. */
bool shadow_load(struct shadow *shadow, const uint8_t *page, uint64_t gva, const void *bytes, unsigned size,
                 unsigned step);
bool shadow_store(struct shadow *shadow, const uint8_t *page, uint64_t gva, const void *bytes, unsigned size,
                  unsigned step);

/* Bytes that it might have written: who writes what is there makes no difference. */
bool shadow_touch(struct shadow *shadow, const uint8_t *page, uint64_t gva, unsigned size, unsigned step);

/* ---- The translation's turn, from the state after `steps` steps on ---- */

/* The table to look up pages in. Without `whole` it is empty: each access is asked for. The frames are as the translation left them
 * the last time. */
struct tlb_entry *shadow_table(struct shadow *shadow, unsigned steps, bool whole);

/* It has left the step number `step` to the interpreter. */
void shadow_skip(struct shadow *shadow, unsigned step);

/* Where the bytes are, when all of them were accessed and, `to_write`, some of their page written to; else NULL. */
uint8_t *shadow_find(struct shadow *shadow, uint64_t gva, unsigned size, bool to_write);

/* The frame that the page shows, if the interpreter has accessed it and, `to_write`, written to it; else NULL. */
uint8_t *shadow_page(struct shadow *shadow, uint64_t gva, bool to_write);

/* Are the frames as the interpreter's memory was after `steps` steps? Asked for no fewer steps than the last time. `gva`: of
 * the first byte that is not, as one of its pages has it. */
bool shadow_agrees(struct shadow *shadow, unsigned steps, uint64_t *gva);

/* The byte as it is, and as it should be. */
void shadow_difference(struct shadow *shadow, uint64_t gva, uint8_t *is, uint8_t *should);

void shadow_clear(struct shadow *shadow);

#endif
