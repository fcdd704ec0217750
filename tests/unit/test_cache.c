/* The code cache with units made by hand: a unit is
 *
 *   hot   entry: mov eax, VALUE; jmp link (or ret)          cold   stub: mov eax, STUB | link's number; ret
 *
 * so that calling its entry tells where its links lead. A buried one returns DEAD. */
#include "jit/cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { STUB = 1 << 30, DEAD = -1, HOT_BYTES = 16, COLD_BYTES = 16, VALUE_BYTES = 5 };

void __wrap_jit_bury(uint8_t *entry);

static uint8_t *put_value(uint8_t *at, int value)
{
    *at = 0xb8; /* mov eax, value */
    memcpy(at + 1, &value, sizeof(value));
    return at + VALUE_BYTES;
}

void __wrap_jit_bury(uint8_t *entry)
{
    *put_value(entry, DEAD) = 0xc3;
}

typedef int function(void);

static int call(const struct jit_unit *unit)
{
    function *f;
    memcpy(&f, &unit->entry, sizeof(f));
    return f();
}

struct fixture {
    struct jit_cache *cache;
    unsigned evicted;
};

static void on_evicted(void *context, struct jit_unit *unit)
{
    assert_false(unit->dead);
    ((struct fixture *)context)->evicted++;
}

static const struct jit_cache_ops ops = {.evicted = on_evicted};

static void start(struct fixture *f, size_t size)
{
    *f = (struct fixture){.cache = NULL};
    assert_int_equal(jit_cache_new(&f->cache, size, &ops, f, NULL), 0);
}

/* Makes a unit of `size` bytes of hot code that returns `value` or, with a link, follows it. */
static struct jit_result make(const struct jit_room *room, unsigned first, struct jit_site *site, uint64_t pc,
                              int value, bool link, size_t size)
{
    uint8_t *entry = room->hot - size, *stub = room->cold;
    *put_value(stub, STUB | (int)first) = 0xc3;
    uint8_t *at = put_value(entry, value);
    *at = link ? 0xe9 : 0xc3;
    *site = (struct jit_site){.field = at + 1 + room->to_exec, .stub = stub + room->to_exec, .pc = pc + 1000};
    jit_patch(at + 1, room->to_exec, site->stub);
    return (struct jit_result){
        .room = {room->cold + COLD_BYTES, entry, room->to_exec},
        .entry = entry + room->to_exec,
        .site_count = link,
        .sites = site,
    };
}

static struct jit_unit *record(struct fixture *f, const struct jit_room *room, uint64_t pc)
{
    struct jit_unit *unit = jit_cache_record(f->cache, room, sizeof(*unit) + pc % 100);
    assert_non_null(unit);
    memset(unit, 0xaa, sizeof(*unit) + pc % 100);
    return unit;
}

/* NULL: no room. */
static struct jit_unit *add(struct fixture *f, uint64_t pc, int value, bool link, size_t size)
{
    struct jit_room room;
    struct jit_site site;
    unsigned first;
    if (!jit_cache_room(f->cache, &room, &first))
        return NULL;
    struct jit_result made = make(&room, first, &site, pc, value, link, size);
    struct jit_unit *unit = record(f, &room, pc);
    assert_true(jit_cache_add(f->cache, unit, &room, &made, pc));
    assert_int_equal(unit->first_site, first);
    return unit;
}

static void links_are_tied_and_untied(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, 0);
    struct jit_unit *a = add(&f, 0x1000, 1, true, HOT_BYTES), *b = add(&f, 0x2000, 2, false, HOT_BYTES),
                    *c = add(&f, 0x3000, 3, true, HOT_BYTES);
    assert_int_equal(call(a), STUB | (int)a->first_site);
    assert_int_equal(jit_cache_link_pc(f.cache, c->first_site), 0x3000 + 1000);
    jit_cache_tie(f.cache, a->first_site, b);
    jit_cache_tie(f.cache, c->first_site, a);
    assert_int_equal(call(a), 2);
    assert_int_equal(call(c), 2);
    jit_cache_kill(f.cache, b);
    assert_int_equal(call(b), DEAD);
    assert_int_equal(call(c), STUB | (int)a->first_site);
    jit_cache_tie(f.cache, a->first_site, b); /* a hart was late */
    assert_int_equal(call(a), STUB | (int)a->first_site);
    jit_cache_tie(f.cache, a->first_site, a); /* to itself */
    jit_cache_kill(f.cache, a);
    assert_int_equal(call(a), DEAD);
    assert_int_equal(call(c), STUB | (int)c->first_site);
    assert_int_equal(jit_cache_stats(f.cache).tied, 3);
    jit_cache_free(f.cache);
}

static void link_can_change_its_end(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, 0);
    struct jit_unit *a = add(&f, 0x1000, 1, true, HOT_BYTES), *b = add(&f, 0x2000, 2, false, HOT_BYTES),
                    *c = add(&f, 0x2000, 3, false, HOT_BYTES);
    jit_cache_tie(f.cache, a->first_site, b);
    jit_cache_tie(f.cache, a->first_site, c);
    assert_int_equal(call(a), 3);
    jit_cache_kill(f.cache, b);
    assert_int_equal(call(a), 3);
    jit_cache_kill(f.cache, c);
    assert_int_equal(call(a), STUB | (int)a->first_site);
    jit_cache_free(f.cache);
}

static void addresses_lead_to_units(void **state)
{
    (void)state;
    struct fixture f;
    struct jit_unit *units[40];
    start(&f, 0);
    for (unsigned i = 0; i < 40; i++)
        units[i] = add(&f, i, (int)i, true, HOT_BYTES + 2 * i);
    for (unsigned i = 0; i < 40; i++) {
        const struct jit_room *room = &units[i]->room;
        assert_ptr_equal(jit_cache_locate(f.cache, units[i]->entry), units[i]);
        assert_ptr_equal(jit_cache_locate(f.cache, room->hot - 1 + room->to_exec), units[i]);
        assert_ptr_equal(jit_cache_locate(f.cache, room->cold + room->to_exec), units[i]);
        assert_ptr_equal(jit_cache_locate(f.cache, room->cold + COLD_BYTES - 1 + room->to_exec), units[i]);
    }
    const struct jit_room *last = &units[39]->room;
    assert_null(jit_cache_locate(f.cache, last->cold + COLD_BYTES + last->to_exec));
    assert_null(jit_cache_locate(f.cache, units[39]->entry - 1));
    assert_null(jit_cache_locate(f.cache, jit_cache_shared(f.cache).cold + last->to_exec));
    assert_null(jit_cache_locate(f.cache, &f));
    assert_true(jit_cache_holds(f.cache, units[0]->entry));
    assert_false(jit_cache_holds(f.cache, &f));
    jit_cache_free(f.cache);
}

/* Four chunks; the oldest dies when the last one is begun, and is used again. */
static void oldest_chunk_dies(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, (size_t)512 << 10);
    struct jit_unit *first = add(&f, 0, 0, true, 40000), *unit = first, *at_low = NULL;
    unsigned count = 1;
    while (!jit_cache_is_low(f.cache)) {
        unit = add(&f, count, (int)count, true, 40000);
        assert_non_null(unit);
        count++;
    }
    at_low = unit;
    jit_cache_tie(f.cache, at_low->first_site, first);
    assert_int_equal(call(at_low), STUB | (int)first->first_site);
    jit_cache_tie(f.cache, first->first_site, at_low);
    int chunk = jit_cache_evict(f.cache);
    assert_int_equal(chunk, 0);
    assert_int_equal(call(first), DEAD);
    assert_int_equal(call(at_low), STUB | (int)at_low->first_site);
    assert_in_range(f.evicted, 1, count - 1);
    assert_int_equal(jit_cache_stats(f.cache).released, 0);
    assert_false(jit_cache_is_low(f.cache)); /* one is on its way */
    unsigned evicted = f.evicted;
    while (add(&f, count, 0, true, 40000))
        count++;
    jit_cache_reuse(f.cache, chunk);
    assert_int_equal(jit_cache_stats(f.cache).released, evicted);
    jit_cache_kill(f.cache, at_low); /* the dead chunk's links are no longer in its list */
    assert_int_equal(call(at_low), DEAD);
    unit = add(&f, 77, 78, false, HOT_BYTES);
    assert_int_equal(call(unit), 78);
    assert_ptr_equal(jit_cache_locate(f.cache, unit->entry), unit);
    assert_int_equal(jit_cache_stats(f.cache).evictions, 1);
    jit_cache_free(f.cache);
}

/* The smallest cache is one chunk: all of it dies at once. */
static void single_chunk_is_flushed(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, 1);
    unsigned count = 0;
    assert_true(!jit_cache_is_low(f.cache));
    while (add(&f, count, (int)count, true, 40000))
        count++;
    assert_in_range(count, 1, 8);
    assert_true(jit_cache_is_low(f.cache));
    assert_int_equal(jit_cache_evict(f.cache), 0);
    assert_int_equal(f.evicted, count);
    assert_int_equal(jit_cache_evict(f.cache), -1);
    assert_null(add(&f, 0, 0, false, HOT_BYTES));
    jit_cache_reuse(f.cache, 0);
    assert_non_null(add(&f, 0, 0, false, HOT_BYTES));
    jit_cache_free(f.cache);
}

/* After a fork there is nothing to evict: a full cache's memory is not there. */
static void child_evicts_nothing(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, 1);
    while (add(&f, 0, 0, false, 40000))
        ;
    assert_true(jit_cache_is_low(f.cache));
    jit_cache_fork_child(f.cache);
    assert_false(jit_cache_is_mapped(f.cache));
    assert_false(jit_cache_is_low(f.cache));
    assert_int_equal(jit_cache_map(f.cache, NULL), 0);
    assert_non_null(add(&f, 0, 0, false, HOT_BYTES));
    jit_cache_free(f.cache);
}

static void links_fill_a_chunk(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, 0);
    struct jit_unit *unit, *last = NULL;
    unsigned seen = 0;
    do {
        unit = add(&f, seen, 1, true, HOT_BYTES);
        if (last)
            jit_cache_tie(f.cache, last->first_site, unit);
        last = unit;
    } while (++seen < 100000);
    assert_int_equal(call(unit), STUB | (int)unit->first_site);
    assert_true(unit->first_site >> 16 > 0);
    jit_cache_free(f.cache);
}

/* Units are made one after the other in a chunk that is lent, while others are made and added elsewhere, and added
 * later. */
static void lent_chunk_is_filled_apart(void **state)
{
    enum { COUNT = 5 };
    (void)state;
    struct fixture f;
    struct jit_room room, at[COUNT];
    struct jit_site sites[COUNT];
    struct jit_result made[COUNT];
    struct jit_unit *units[COUNT];
    unsigned first;
    start(&f, 0);
    assert_true(jit_cache_lend(f.cache, &room, &first));
    for (unsigned i = 0; i < COUNT; i++) {
        assert_true(jit_cache_has_room(&room, first + i));
        at[i] = room;
        made[i] = make(&room, first + i, &sites[i], i, (int)i, true, HOT_BYTES);
        room = made[i].room;
        assert_non_null(add(&f, 50 + i, 0, true, HOT_BYTES));
    }
    for (unsigned i = 0; i < COUNT; i++) {
        units[i] = record(&f, &at[i], i);
        assert_true(jit_cache_add(f.cache, units[i], &at[i], &made[i], i));
        assert_int_equal(units[i]->first_site, first + i);
        assert_ptr_equal(jit_cache_locate(f.cache, units[i]->entry), units[i]);
        assert_int_equal(call(units[i]), STUB | (int)(first + i));
    }
    jit_cache_tie(f.cache, units[0]->first_site, units[COUNT - 1]);
    assert_int_equal(call(units[0]), STUB | (int)(first + COUNT - 1));
    jit_cache_free(f.cache);
}

/* One that was made behind a unit that was not added cannot be added either; the chunk goes on where the last one
 * was. */
static void forgotten_unit_takes_those_behind_it(void **state)
{
    (void)state;
    struct fixture f;
    struct jit_room room, again;
    struct jit_site sites[2];
    unsigned first, first_again;
    start(&f, 0);
    assert_true(jit_cache_lend(f.cache, &room, &first));
    struct jit_result forgotten = make(&room, first, &sites[0], 1, 1, true, HOT_BYTES);
    struct jit_result behind = make(&forgotten.room, first + 1, &sites[1], 2, 2, true, HOT_BYTES);
    assert_false(jit_cache_add(f.cache, record(&f, &forgotten.room, 2), &forgotten.room, &behind, 2));
    assert_true(jit_cache_lend(f.cache, &again, &first_again));
    assert_ptr_equal(again.hot, room.hot);
    assert_int_equal(first_again, first);
    jit_cache_free(f.cache);
}

static void small_cache_lends_nothing(void **state)
{
    (void)state;
    struct fixture f;
    struct jit_room room;
    unsigned first;
    start(&f, (size_t)512 << 10);
    assert_false(jit_cache_lend(f.cache, &room, &first));
    jit_cache_free(f.cache);
}

/* What is lent is not evicted; when it is full, it is as any other chunk. */
static void lent_chunk_becomes_full(void **state)
{
    (void)state;
    struct fixture f;
    struct jit_room room;
    struct jit_site site;
    unsigned first, chunk, count = 0;
    start(&f, (size_t)8 << 20);
    assert_true(jit_cache_lend(f.cache, &room, &first));
    chunk = first >> 16;
    assert_int_equal(jit_cache_evict(f.cache), -1);
    while (first >> 16 == chunk) {
        struct jit_result made = make(&room, first, &site, count, 0, true, 40000);
        assert_true(jit_cache_add(f.cache, record(&f, &room, count), &room, &made, count));
        count++;
        assert_true(jit_cache_lend(f.cache, &room, &first));
    }
    assert_int_equal(jit_cache_evict(f.cache), (int)chunk);
    assert_int_equal(f.evicted, count);
    jit_cache_free(f.cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links_are_tied_and_untied),
        cmocka_unit_test(link_can_change_its_end),
        cmocka_unit_test(addresses_lead_to_units),
        cmocka_unit_test(oldest_chunk_dies),
        cmocka_unit_test(single_chunk_is_flushed),
        cmocka_unit_test(links_fill_a_chunk),
        cmocka_unit_test(child_evicts_nothing),
        cmocka_unit_test(lent_chunk_is_filled_apart),
        cmocka_unit_test(forgotten_unit_takes_those_behind_it),
        cmocka_unit_test(small_cache_lends_nothing),
        cmocka_unit_test(lent_chunk_becomes_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
