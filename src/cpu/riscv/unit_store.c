#include "cpu/riscv/unit_store.h"

#include <stdlib.h>

#define TABLE_FIRST_BITS 10

void unit_chunk_clear(struct unit_chunk *c)
{
    c->used = (uint32_t)ALIGN_UP(sizeof(*c), sizeof(union cell));
    c->unit_count = 0;
}

struct unit_chunk *unit_chunk_new(void)
{
    struct unit_chunk *c = aligned_alloc(UNIT_CHUNK_BYTES, UNIT_CHUNK_BYTES);
    if (c) {
        c->next = NULL;
        unit_chunk_clear(c);
    }
    return c;
}

struct unit *unit_chunk_take(struct unit_chunk *c, size_t size)
{
    uint32_t index = atomic_load_explicit(&c->unit_count, memory_order_relaxed);
    struct unit *u = (struct unit *)((char *)c + c->used);
    c->units[index] = c->used;
    c->used += (uint32_t)size;
    return u;
}

void unit_chunk_publish(struct unit_chunk *c)
{
    atomic_fetch_add_explicit(&c->unit_count, 1, memory_order_release);
}

void unit_chunks_free(struct unit_chunk *chunk)
{
    while (chunk) {
        struct unit_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}

void unit_tables_free(struct unit_table *table)
{
    while (table) {
        struct unit_table *next = table->retired_next;
        free(table);
        table = next;
    }
}

const struct unit *code_locate(const union cell *cell, struct cell_info *info)
{
    const struct unit_chunk *c =
        (const struct unit_chunk *)((uintptr_t)cell & ~(uintptr_t)(UNIT_CHUNK_BYTES - 1));
    uint32_t offset = (uint32_t)((uintptr_t)cell - (uintptr_t)c);
    uint32_t low = 0, high = atomic_load_explicit(&c->unit_count, memory_order_acquire);
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (c->units[middle] <= offset)
            low = middle;
        else
            high = middle;
    }
    const struct unit *u = (const struct unit *)((const char *)c + c->units[low]);
    *info = unit_infos(u)[cell - u->cells];
    return u;
}

static struct unit_table *new_table(unsigned bits)
{
    struct unit_table *t = calloc(1, sizeof(*t) + (sizeof(t->buckets[0]) << bits));
    if (t)
        t->mask = (UINT64_C(1) << bits) - 1;
    return t;
}

struct unit_table *unit_table_new(void)
{
    return new_table(TABLE_FIRST_BITS);
}

void unit_table_insert(struct unit_table *t, struct unit *u)
{
    struct unit *_Atomic *bucket = unit_table_bucket(t, u->pc);
    atomic_store_explicit(&u->next, atomic_load_explicit(bucket, memory_order_relaxed), memory_order_relaxed);
    atomic_store_explicit(bucket, u, memory_order_release);
}

void unit_table_remove(struct unit_table *t, struct unit *u)
{
    struct unit *_Atomic *at = unit_table_bucket(t, u->pc);
    struct unit *v;
    while ((v = atomic_load_explicit(at, memory_order_relaxed)) != u) {
        if (!v)
            return;
        at = &v->next;
    }
    atomic_store_explicit(at, atomic_load_explicit(&u->next, memory_order_relaxed), memory_order_release);
}

struct unit_table *unit_table_grown(struct unit_table *old)
{
    struct unit_table *t = new_table((unsigned)__builtin_ctzll(old->mask + 1) + 2);
    for (uint64_t i = 0; t && i <= old->mask; i++) {
        struct unit *u = old->buckets[i], *next;
        for (; u; u = next) {
            next = u->next;
            unit_table_insert(t, u);
        }
    }
    return t;
}
