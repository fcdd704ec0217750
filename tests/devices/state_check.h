/* Proofs about state tables, for the tests of whoever has one. Include after cmocka.h. */
#ifndef TESTS_STATE_CHECK_H
#define TESTS_STATE_CHECK_H

#include "bus/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __has_builtin
#if __has_builtin(__builtin_clear_padding)
#define CLEAR_PADDING(object) __builtin_clear_padding(object)
#endif
#endif

/* Each byte of `type` is described by `table` exactly once or is padding. Compilers that cannot tell what padding is
 * are asked for less: no byte is described twice. */
#ifdef CLEAR_PADDING
#define assert_state_covers(type, table)                                       \
    do {                                                                       \
        type *object_ = malloc(sizeof(type));                                  \
        memset((void *)object_, 0xff, sizeof(type));                           \
        CLEAR_PADDING(object_);                                                \
        state_check_covers(table, sizeof(type), (const void *)object_, #type); \
        free(object_);                                                         \
    } while (0)
#else
#define assert_state_covers(type, table)                          \
    do {                                                          \
        uint8_t *nothing_ = calloc(1, sizeof(type));              \
        state_check_covers(table, sizeof(type), nothing_, #type); \
        free(nothing_);                                           \
    } while (0)
#endif

static inline void state_check_covers(const struct state_table *table, size_t size,
                                      const uint8_t *significant, const char *type)
{
    assert_int_equal(table->size, size);
    size_t gap = state_first_gap(table, significant);
    if (gap != size)
        fail_msg("%s: byte %zu is not described exactly once", type, gap);
}

/* What is saved of `from`, loaded into `to`, and saved again is the same. Returns false when `to` refuses it. */
static inline bool state_check_round_trip(const struct state_table *table, const void *from, void *to)
{
    struct buf first = {0}, second = {0};
    size_t used = 0;
    state_save(table, from, &first);
    bool loaded = !state_load(table, to, first.data, first.length, &used, NULL);
    if (loaded) {
        assert_int_equal(used, first.length);
        state_save(table, to, &second);
        assert_int_equal(second.length, first.length);
        assert_memory_equal(second.data, first.data, first.length);
    }
    buf_release(&first);
    buf_release(&second);
    return loaded;
}

/* No record that is cut short or has a byte changed does worse than be refused. Calls `use` on what was accepted. */
static inline void state_check_hostile(const struct state_table *table, void *object,
                                       void (*use)(void *object))
{
    struct buf good = {0};
    state_save(table, object, &good);
    for (size_t length = 0; length < good.length; length += 1 + length / 16)
        assert_int_not_equal(state_load(table, object, good.data, length, NULL, NULL), 0);
    for (size_t i = 0; i < good.length; i += 1 + good.length / 4096) {
        char old = good.data[i];
        good.data[i] = (char)(old ^ (1 << i % 8));
        if (!state_load(table, object, good.data, good.length, NULL, NULL) && use)
            use(object);
        good.data[i] = old;
    }
    assert_int_equal(state_load(table, object, good.data, good.length, NULL, NULL), 0);
    buf_release(&good);
}

#endif
