/* State tables: what is saved comes back, versions meet, and nothing wrong gets in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "state_check.h"

struct part {
    uint16_t a;
    uint64_t b;
};

struct thing {
    void *wiring;
    uint8_t byte;
    uint16_t half;
    uint32_t words[3];
    uint64_t large;
    bool flag;
    struct part parts[2];
    uint8_t index; /* below 16 */
    uint32_t derived;
};

static const struct state_field part_fields[] = {F_U16(struct part, a), F_U64(struct part, b)};
static const struct state_table part_state = {
    .name = "part", .version = 1, .size = sizeof(struct part), STATE_FIELDS(part_fields)};

static const struct state_field thing_fields[] = {
    F_TRANSIENT(struct thing, wiring),
    F_U8(struct thing, byte),
    F_U16(struct thing, half),
    F_U32(struct thing, words),
    F_U64(struct thing, large),
    F_BOOL(struct thing, flag),
    F_U8(struct thing, index, .max = 15, .since = 2),
    F_STRUCT(struct thing, parts, struct part, part_state),
    F_TRANSIENT(struct thing, derived),
};

/* The parts are in order. */
static bool thing_check(const void *object)
{
    const struct thing *t = object;
    return t->parts[0].b <= t->parts[1].b;
}

static void thing_loaded(void *object)
{
    struct thing *t = object;
    t->derived = t->words[0] + 1;
}

static const struct state_table thing_state = {.name = "thing",
                                               .version = 2,
                                               .size = sizeof(struct thing),
                                               STATE_FIELDS(thing_fields),
                                               .check = thing_check,
                                               .loaded = thing_loaded};

/* As version 1 had it: other fields first, no index. */
static const struct state_field old_fields[] = {
    F_U64(struct thing, large), F_STRUCT(struct thing, parts, struct part, part_state),
    F_U8(struct thing, byte),   F_U16(struct thing, half),
    F_U32(struct thing, words), F_BOOL(struct thing, flag),
};
static const struct state_table old_state = {
    .name = "thing", .version = 1, .size = sizeof(struct thing), STATE_FIELDS(old_fields)};

static const struct thing sample = {.byte = 1,
                                    .half = 0x203,
                                    .words = {4, 5, 0xffffffff},
                                    .large = 1ull << 63,
                                    .flag = true,
                                    .index = 15,
                                    .parts = {{6, 7}, {8, 9}}};

static void a_record_brings_everything_back(void **state)
{
    (void)state;
    struct thing t = {.wiring = &t};
    struct buf out = {0};
    size_t used;
    state_save(&thing_state, &sample, &out);
    buf_add(&out, "more", 4);
    assert_int_equal(state_load(&thing_state, &t, out.data, out.length, &used, NULL), 0);
    assert_int_equal(used, out.length - 4);
    assert_int_equal(t.byte, 1);
    assert_int_equal(t.half, 0x203);
    assert_memory_equal(t.words, sample.words, sizeof(t.words));
    assert_int_equal(t.large, 1ull << 63);
    assert_true(t.flag);
    assert_int_equal(t.index, 15);
    assert_int_equal(t.parts[1].a, 8);
    assert_int_equal(t.parts[1].b, 9);
    assert_int_equal(t.derived, 5);
    assert_ptr_equal(t.wiring, &t);
    buf_release(&out);
}

static void random_states_round_trip(void **state)
{
    (void)state;
    uint64_t seed = 1;
    unsigned loaded = 0;
    for (int i = 0; i < 1000; i++) {
        struct thing from = {0}, to = {0};
        state_randomize(&thing_state, &from, &seed);
        assert_true(from.index <= 15);
        bool round = state_check_round_trip(&thing_state, &from, &to);
        assert_int_equal(round, thing_check(&from));
        loaded += round;
    }
    assert_in_range(loaded, 300, 700);
}

static void an_old_record_leaves_what_is_new(void **state)
{
    (void)state;
    struct thing t = {.index = 3};
    struct buf out = {0};
    state_save(&old_state, &sample, &out);
    assert_int_equal(state_load(&thing_state, &t, out.data, out.length, NULL, NULL), 0);
    assert_int_equal(t.index, 3);
    assert_int_equal(t.large, sample.large);
    assert_int_equal(t.parts[0].b, 7);
    buf_release(&out);
}

static void assert_refused(const struct state_table *as, const struct state_table *table,
                           const struct thing *from, const char *text)
{
    struct thing t = {.byte = 77, .large = 5}, before = t;
    struct guise_error err = {0};
    struct buf out = {0};
    state_save(as, from, &out);
    assert_int_equal(state_load(table, &t, out.data, out.length, NULL, &err), GUISE_E_CONFIG);
    assert_non_null(strstr(err.text, text));
    assert_memory_equal(&t, &before, sizeof(t));
    buf_release(&out);
}

static void what_is_wrong_is_refused(void **state)
{
    (void)state;
    struct thing t = sample;
    t.index = 16;
    assert_refused(&thing_state, &thing_state, &t, "thing.index: out of range");
    t = sample;
    t.parts[0].b = 10;
    assert_refused(&thing_state, &thing_state, &t, "contradicts itself");
    memset(&t.flag, 2, 1);
    assert_refused(&thing_state, &thing_state, &t, "thing.flag: out of range");
    assert_refused(&thing_state, &old_state, &sample, "newer");
    assert_refused(&part_state, &thing_state, &sample, "another device");

    struct state_table table = thing_state;
    table.count = 7; /* all but the parts and what is derived */
    assert_refused(&table, &thing_state, &sample, "thing.parts: missing");
    assert_refused(&thing_state, &table, &sample, "thing.parts: not known");
    static const struct state_field twice[] = {F_U8(struct thing, byte), F_U8(struct thing, byte)};
    static const struct state_field other[] = {F_U16(struct thing, half)};
    table = thing_state;
    table.fields = twice;
    table.count = 2;
    assert_refused(&table, &thing_state, &sample, "thing.byte: twice");
    struct state_field renamed = other[0];
    renamed.name = "byte";
    table.fields = &renamed;
    table.count = 1;
    assert_refused(&table, &thing_state, &sample, "thing.byte: of another type");
}

static void hostile_records_are_refused(void **state)
{
    (void)state;
    struct thing t = sample;
    state_check_hostile(&thing_state, &t, NULL);
}

static void state_is_printed(void **state)
{
    (void)state;
    struct buf out = {0};
    state_print(&thing_state, &sample, "t.", &out);
    assert_non_null(strstr(out.data, "t.byte = 0x1\n"));
    assert_non_null(strstr(out.data, "t.words[2] = 0xffffffff\n"));
    assert_non_null(strstr(out.data, "t.parts[1].b = 0x9\n"));
    assert_null(strstr(out.data, "wiring"));
    buf_release(&out);
}

static void gaps_are_found(void **state)
{
    (void)state;
    uint8_t all[sizeof(struct thing)];
    assert_state_covers(struct thing, &thing_state);
    assert_state_covers(struct part, &part_state);
    memset(all, 1, sizeof(all));
    memset(all + offsetof(struct thing, byte) + 1, 0, 1);
    struct state_table table = thing_state;
    table.fields++;
    table.count--;
    assert_int_equal(state_first_gap(&table, all), 0);
    assert_int_equal(state_first_gap(&part_state, (uint8_t[sizeof(struct part)]){1, 1, 1}), 2);
    static const struct state_field twice[] = {F_U16(struct part, a), F_U64(struct part, b),
                                               F_TRANSIENT(struct part, b)};
    table = part_state;
    table.fields = twice;
    table.count = 3;
    assert_int_equal(state_first_gap(&table, (uint8_t[sizeof(struct part)]){1, 1}), offsetof(struct part, b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_brings_everything_back),
        cmocka_unit_test(random_states_round_trip),
        cmocka_unit_test(an_old_record_leaves_what_is_new),
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(hostile_records_are_refused),
        cmocka_unit_test(state_is_printed),
        cmocka_unit_test(gaps_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
