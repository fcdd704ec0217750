/* Where units are: in chunks of memory, and in a table by pc. Private to cpu/riscv.
 *
 * A chunk is aligned to its size, so that a cell's address tells its chunk, and the chunk's index tells its unit.
 *
 * Threads: look-ups take no lock; all else is its owner's. Memory that harts may be using is freed by the owner when
 * none is left that may. Lifetime: unit_chunk_new() ... unit_chunks_free(); unit_table_new() ... unit_tables_free(). */
#ifndef CPU_RISCV_UNIT_STORE_H
#define CPU_RISCV_UNIT_STORE_H

#include "base/util.h"
#include "cpu/riscv/unit.h"

#include <stdatomic.h>

#define UNIT_CHUNK_BYTES     (64u << 10)
#define UNIT_CHUNK_MAX_UNITS (UNIT_CHUNK_BYTES / 128)

struct unit_chunk {
    struct unit_chunk *next;
    uint32_t used;
    _Atomic uint32_t unit_count;          /* grows while harts read it (code_locate) */
    uint32_t units[UNIT_CHUNK_MAX_UNITS]; /* offsets of the units, ascending */
};

struct unit_table {
    struct unit_table *retired_next;
    uint64_t mask;
    struct unit *_Atomic buckets[];
};

static inline struct cell_info *unit_infos(const struct unit *u)
{
    return (struct cell_info *)&u->cells[u->cell_count];
}

static inline uint8_t *unit_source(const struct unit *u)
{
    return (uint8_t *)&unit_infos(u)[u->cell_count];
}

/* NULL when memory is short. */
struct unit_chunk *unit_chunk_new(void);
void unit_chunks_free(struct unit_chunk *chunk);
void unit_chunk_clear(struct unit_chunk *c);

static inline bool unit_chunk_has_room(const struct unit_chunk *c, size_t size)
{
    return c->used + size <= UNIT_CHUNK_BYTES && c->unit_count < UNIT_CHUNK_MAX_UNITS;
}

/* Room for a unit at the chunk's end, until unit_chunk_publish() for its maker alone. */
struct unit *unit_chunk_take(struct unit_chunk *c, size_t size);

/* The chunk's last unit is whole: code_locate() may find it. */
void unit_chunk_publish(struct unit_chunk *c);

/* NULL when memory is short. */
struct unit_table *unit_table_new(void);
void unit_tables_free(struct unit_table *table);

/* A larger table with the units of the old one, which look-ups may go on using: those that then miss a unit, because
 * it has changed buckets under them, look again under the owner's lock. */
struct unit_table *unit_table_grown(struct unit_table *old);

static inline struct unit *_Atomic *unit_table_bucket(struct unit_table *t, uint64_t pc)
{
    return &t->buckets[(pc >> 1 ^ pc >> 13) & t->mask];
}

static inline struct unit *unit_table_find(struct unit_table *t, uint64_t pc)
{
    struct unit *u = atomic_load_explicit(unit_table_bucket(t, pc), memory_order_acquire);
    while (u && u->pc != pc)
        u = atomic_load_explicit(&u->next, memory_order_acquire);
    return u;
}

void unit_table_insert(struct unit_table *t, struct unit *u);
void unit_table_remove(struct unit_table *t, struct unit *u);

#endif
