/* Messages to harts: what an IMSIC takes, what its files keep of it, and that none gets lost between threads. */
#include "devices/imsic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fixture.h"
#include "state_check.h"

enum { HARTS = 4 };
#define BASE UINT64_C(0x28000000)

struct fixture {
    struct imsic imsic;
    struct test_lines lines;
};

static int start(void **state)
{
    static struct fixture f;
    struct irq_line lines[HARTS];
    *state = &f;
    memset(&f.lines, 0, sizeof(f.lines));
    for (unsigned i = 0; i < HARTS; i++)
        lines[i] = test_line(&f.lines, i);
    imsic_init(&f.imsic, BASE, HARTS, lines);
    return 0;
}

static int stop(void **state)
{
    imsic_release(&((struct fixture *)*state)->imsic);
    return 0;
}

static void write_all(struct interrupt_file *file, unsigned number, uint64_t value)
{
    interrupt_file_write(file, number, value, UINT64_MAX);
}

/* Everything is enabled and delivered. */
static struct interrupt_file *open_file(struct fixture *f, unsigned hart)
{
    struct interrupt_file *file = &f->imsic.files[hart];
    write_all(file, INTERRUPT_FILE_DELIVERY, 1);
    for (unsigned i = 0; i < 2 * INTERRUPT_FILE_WORDS; i += 2)
        write_all(file, INTERRUPT_FILE_ENABLED + i, UINT64_MAX);
    return file;
}

static void a_message_is_pending_until_it_is_taken(void **state)
{
    struct fixture *f = *state;
    struct interrupt_file *file = open_file(f, 2);
    test_write(&f->imsic.region, 2 * IMSIC_PAGE, 4, 77);
    assert_true(f->lines.level[2]);
    assert_false(f->lines.level[1]);
    assert_int_equal(interrupt_file_top(file), 77);
    assert_int_equal(interrupt_file_read(file, INTERRUPT_FILE_PENDING + 2), 1 << (77 - 64));
    test_write(&f->imsic.region, 2 * IMSIC_PAGE, 4, 78);
    interrupt_file_clear(file, 77);
    assert_int_equal(interrupt_file_top(file), 78);
    assert_int_equal(f->lines.raised[2], 1);
    interrupt_file_clear(file, 78);
    assert_false(f->lines.level[2]);
}

static void other_writes_do_nothing(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint64_t address, value;
    } rows[] = {{0, 0}, {0, 256}, {0, 0x80000001}, {4, 1}, {4, 0x01000000}, {8, 1}, {0xffc, 1}};
    for (unsigned i = 0; i < HARTS; i++)
        open_file(f, i);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        test_write(&f->imsic.region, rows[i].address, 4, rows[i].value);
        assert_int_equal(test_read(&f->imsic.region, rows[i].address, 4), 0);
    }
    for (unsigned i = 0; i < HARTS; i++)
        assert_int_equal(f->lines.raised[i], 0);
    struct bus_access wide = {.size = 8, .is_write = true, .value = 1},
                      behind = {.address = HARTS * IMSIC_PAGE, .size = 4, .is_write = true, .value = 1};
    assert_int_equal(bus_region_access(&f->imsic.region, &wide), BUS_FAULT);
    assert_int_equal(bus_region_access(&f->imsic.region, &behind), BUS_FAULT);
}

static void messages_need_no_bus(void **state)
{
    struct fixture *f = *state;
    open_file(f, 3);
    assert_true(imsic_send(&f->imsic, BASE + 3 * IMSIC_PAGE, 255));
    assert_true(f->lines.level[3]);
    assert_true(imsic_send(&f->imsic, BASE + 4, 1)); /* big-endian messages go nowhere */
    assert_false(imsic_send(&f->imsic, BASE + HARTS * IMSIC_PAGE, 1));
    assert_false(imsic_send(&f->imsic, BASE - 4, 1));
    assert_false(f->lines.level[0]);
}

/* A write leaves alone what it does not name. */
static void a_write_keeps_what_has_arrived(void **state)
{
    struct fixture *f = *state;
    struct interrupt_file *file = open_file(f, 0);
    interrupt_file_send(file, 5);
    interrupt_file_write(file, INTERRUPT_FILE_PENDING, 0, 1 << 6);
    assert_int_equal(interrupt_file_top(file), 5);
    interrupt_file_write(file, INTERRUPT_FILE_PENDING, 1 << 4, 1 << 4);
    assert_int_equal(interrupt_file_top(file), 4);
}

static void the_first_before_the_threshold_counts(void **state)
{
    struct fixture *f = *state;
    struct interrupt_file *file = open_file(f, 0);
    for (unsigned identity = 255; identity; identity--) {
        interrupt_file_send(file, identity);
        assert_int_equal(interrupt_file_top(file), identity);
        write_all(file, INTERRUPT_FILE_THRESHOLD, identity);
        assert_int_equal(interrupt_file_top(file), 0);
        assert_false(f->lines.level[0]);
        write_all(file, INTERRUPT_FILE_THRESHOLD, 0);
        assert_true(f->lines.level[0]);
    }
}

/* ---- Threads ---- */

enum { SENDERS = 3, ROUNDS = 5000 };

struct race {
    struct interrupt_file file;
    _Atomic bool level;
    _Atomic bool sent[SENDERS]; /* and not taken yet */
};

struct sender {
    struct race *race;
    unsigned index;
};

static void race_line(void *race, unsigned number, bool level)
{
    (void)number;
    ((struct race *)race)->level = level;
}

static void *send_all(void *object)
{
    struct sender *s = object;
    for (unsigned i = 0; i < ROUNDS; i++) {
        while (s->race->sent[s->index])
            sched_yield();
        s->race->sent[s->index] = true;
        interrupt_file_send(&s->race->file, 60 + 3 * s->index);
    }
    return NULL;
}

/* The hart: waits for its line, takes what there is. */
static void take_all(struct race *r)
{
    for (unsigned taken = 0; taken < SENDERS * ROUNDS; taken++) {
        while (!r->level)
            sched_yield();
        unsigned identity = interrupt_file_top(&r->file);
        assert_true(identity >= 60 && (identity - 60) % 3 == 0 && (identity - 60) / 3 < SENDERS);
        assert_true(r->sent[(identity - 60) / 3]);
        interrupt_file_clear(&r->file, identity);
        r->sent[(identity - 60) / 3] = false;
    }
}

static void no_message_is_lost(void **state)
{
    static struct race race;
    pthread_t threads[SENDERS];
    struct sender senders[SENDERS];
    (void)state;
    interrupt_file_init(&race.file, (struct irq_line){.set = race_line, .controller = &race});
    write_all(&race.file, INTERRUPT_FILE_DELIVERY, 1);
    write_all(&race.file, INTERRUPT_FILE_ENABLED, UINT64_MAX);
    write_all(&race.file, INTERRUPT_FILE_ENABLED + 2, UINT64_MAX);
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){&race, i};
        assert_int_equal(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
    }
    take_all(&race);
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    assert_false(race.level);
    interrupt_file_release(&race.file);
}

/* ---- State ---- */

static void the_state_is_described(void **state)
{
    (void)state;
    assert_state_covers(struct imsic, &imsic_state);
    assert_state_covers(struct interrupt_file, &interrupt_file_state);
}

static void states_round_trip(void **state)
{
    struct fixture *f = *state;
    static struct imsic other;
    struct test_lines lines = {0};
    struct irq_line to[HARTS];
    for (unsigned i = 0; i < HARTS; i++)
        to[i] = test_line(&lines, i);
    imsic_init(&other, BASE, HARTS, to);
    open_file(f, 1);
    srand(1);
    for (unsigned step = 0; step < 200; step++) {
        struct interrupt_file *file = &f->imsic.files[rand() % HARTS];
        interrupt_file_send(file, (unsigned)rand() % 256);
        write_all(file, INTERRUPT_FILE_DELIVERY + (unsigned)rand() % 0x90, (unsigned)rand());
        assert_true(state_check_round_trip(&imsic_state, &f->imsic, &other));
        assert_memory_equal(lines.level, f->lines.level, HARTS);
    }
    imsic_release(&other);
}

static void use(void *object)
{
    struct imsic *s = object;
    for (unsigned i = 0; i < HARTS; i++)
        assert_in_range(interrupt_file_top(&s->files[i]), 0, 255);
}

static void hostile_states_are_refused(void **state)
{
    struct fixture *f = *state;
    static struct imsic bad;
    bad = f->imsic;
    bad.files[0].enabled[0] = 1; /* identity 0 */
    assert_false(state_check_round_trip(&imsic_state, &bad, &f->imsic));
    state_check_hostile(&imsic_state, &f->imsic, use);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(a_message_is_pending_until_it_is_taken),
        TEST(other_writes_do_nothing),
        TEST(messages_need_no_bus),
        TEST(a_write_keeps_what_has_arrived),
        TEST(the_first_before_the_threshold_counts),
        TEST(no_message_is_lost),
        TEST(the_state_is_described),
        TEST(states_round_trip),
        TEST(hostile_states_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
