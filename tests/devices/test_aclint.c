/* Software and timer interrupts of four harts. */
#include "devices/aclint.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "fixture.h"
#include "state_check.h"
#include "test_clock.h"

enum { HARTS = 4, MSIP = 0, MTIP = 10, SSIP = 20, MTIME = 0x7ff8 };

struct fixture {
    struct aclint aclint;
    struct test_clock time;
    struct clock_ticks ticks; /* 10 MHz: 100 ns each */
    struct test_lines lines;
};

static int start(void **state)
{
    static struct fixture f;
    struct aclint_lines lines[HARTS];
    *state = &f;
    memset(&f.lines, 0, sizeof(f.lines));
    test_clock_init(&f.time, 0);
    clock_ticks_init(&f.ticks, &f.time.clock, 10000000);
    for (unsigned i = 0; i < HARTS; i++)
        lines[i] = (struct aclint_lines){.msip = test_line(&f.lines, MSIP + i),
                                         .mtip = test_line(&f.lines, MTIP + i),
                                         .ssip = test_line(&f.lines, SSIP + i)};
    aclint_init(&f.aclint, HARTS, lines, &f.time.clock, &f.ticks);
    return 0;
}

static int stop(void **state)
{
    struct fixture *f = *state;
    aclint_release(&f->aclint);
    clock_release(&f->time.clock);
    return 0;
}

static void machine_software_interrupts(void **state)
{
    struct fixture *f = *state;
    const struct bus_region *r = &f->aclint.mswi;
    test_write(r, 8, 4, 0xffffffff);
    assert_int_equal(test_read(r, 8, 4), 1);
    assert_true(f->lines.level[MSIP + 2]);
    assert_int_equal(test_read(r, 4, 4), 0);
    assert_false(f->lines.level[MSIP + 1]);
    test_write(r, 8, 4, 0xfffffffe);
    assert_int_equal(test_read(r, 8, 4), 0);
    assert_false(f->lines.level[MSIP + 2]);
    test_write(r, HARTS * 4, 4, 1);
    assert_int_equal(test_read(r, HARTS * 4, 4), 0);
    test_write(r, ACLINT_MSWI_LENGTH - 4, 4, 1);
    for (unsigned i = 0; i < TEST_LINES; i++)
        assert_int_equal(f->lines.raised[i], i == MSIP + 2);
}

static void supervisor_software_interrupts_are_edges(void **state)
{
    struct fixture *f = *state;
    test_write(&f->aclint.sswi, 12, 4, 1);
    test_write(&f->aclint.sswi, 12, 4, 3);
    test_write(&f->aclint.sswi, 12, 4, 2);
    test_write(&f->aclint.sswi, HARTS * 4, 4, 1);
    assert_int_equal(f->lines.raised[SSIP + 3], 2);
    assert_false(f->lines.level[SSIP + 3]);
    assert_int_equal(test_read(&f->aclint.sswi, 12, 4), 0);
}

static void the_timer_runs(void **state)
{
    struct fixture *f = *state;
    const struct bus_region *r = &f->aclint.mtimer;
    test_clock_pass(&f->time, 1050);
    assert_int_equal(test_read(r, MTIME, 8), 10);
    assert_int_equal(test_read(r, 8, 8), UINT64_MAX);
    test_write(r, 8, 8, 20);
    test_clock_pass(&f->time, 949);
    assert_false(f->lines.level[MTIP + 1]);
    test_clock_pass(&f->time, 1);
    assert_true(f->lines.level[MTIP + 1]);
    test_write(r, 8, 8, 21);
    assert_false(f->lines.level[MTIP + 1]);
    test_write(r, 8, 8, 20);
    assert_true(f->lines.level[MTIP + 1]);
    test_write(r, 8, 8, UINT64_MAX);
    assert_false(f->lines.level[MTIP + 1]);
    test_clock_pass(&f->time, CLOCK_PER_SECOND * 1000);
    assert_int_equal(f->lines.raised[MTIP + 1], 2);
    assert_int_equal(f->lines.raised[MTIP], 0);
    assert_int_equal(test_read(r, HARTS * 8, 8), 0);
    test_write(r, HARTS * 8, 8, 1);
}

static void registers_have_halves(void **state)
{
    struct fixture *f = *state;
    const struct bus_region *r = &f->aclint.mtimer;
    test_write(r, 16, 4, 0x11111111);
    assert_int_equal(test_read(r, 16, 8), 0xffffffff11111111);
    test_write(r, 20, 4, 0x22222222);
    assert_int_equal(test_read(r, 16, 8), 0x2222222211111111);
    assert_int_equal(test_read(r, 20, 4), 0x22222222);
    assert_int_equal(test_read(r, 16, 4), 0x11111111);
    test_write(r, MTIME + 4, 4, 0x22222222);
    assert_int_equal(test_read(r, MTIME, 8), 0x2222222200000000);
    assert_int_equal(clock_ticks_now(&f->ticks), 0x2222222200000000);
    test_write(r, MTIME, 4, 0x11111111);
    assert_true(f->lines.level[MTIP + 2]);
    assert_int_equal(test_read(r, MTIME + 4, 4), 0x22222222);
    test_write(r, MTIME, 8, 0);
    assert_false(f->lines.level[MTIP + 2]);
}

static void a_changed_counter_moves_the_deadline(void **state)
{
    struct fixture *f = *state;
    test_write(&f->aclint.mtimer, 0, 8, 1000);
    test_write(&f->aclint.mtimer, MTIME, 8, 990);
    test_clock_pass(&f->time, 999);
    assert_false(f->lines.level[MTIP]);
    test_clock_pass(&f->time, 1);
    assert_true(f->lines.level[MTIP]);
}

/* Found by fuzzing: the line stayed. */
static void a_counter_that_wraps_around_has_not_reached(void **state)
{
    struct fixture *f = *state;
    test_write(&f->aclint.mtimer, 0, 8, UINT64_MAX - 5);
    test_write(&f->aclint.mtimer, MTIME, 8, UINT64_MAX - 9);
    test_clock_pass(&f->time, 400);
    assert_true(f->lines.level[MTIP]);
    test_clock_pass(&f->time, 500);
    assert_true(f->lines.level[MTIP]);
    test_clock_pass(&f->time, 100);
    assert_int_equal(test_read(&f->aclint.mtimer, MTIME, 8), 0);
    assert_false(f->lines.level[MTIP]);
    test_write(&f->aclint.mtimer, 0, 8, 0);
    assert_true(f->lines.level[MTIP]);
}

static void reset_is_quiet(void **state)
{
    struct fixture *f = *state;
    test_write(&f->aclint.mswi, 0, 4, 1);
    test_write(&f->aclint.mtimer, 0, 8, 0);
    assert_true(f->lines.level[MSIP] && f->lines.level[MTIP]);
    aclint_reset(&f->aclint);
    assert_false(f->lines.level[MSIP] || f->lines.level[MTIP]);
    assert_int_equal(test_read(&f->aclint.mswi, 0, 4), 0);
}

/* ---- State ---- */

static void the_state_is_described(void **state)
{
    (void)state;
    assert_state_covers(struct aclint, &aclint_state);
    assert_state_covers(struct aclint_hart, &aclint_hart_state);
}

static void random_states_round_trip(void **state)
{
    struct fixture *f = *state;
    static struct aclint random;
    uint64_t seed = 1;
    for (int i = 0; i < 100; i++) {
        state_randomize(&aclint_state, &random, &seed);
        assert_true(state_check_round_trip(&aclint_state, &random, &f->aclint));
        for (unsigned h = 0; h < HARTS; h++)
            assert_int_equal(f->lines.level[MSIP + h], random.harts[h].msip);
    }
}

static void a_restored_timer_runs(void **state)
{
    struct fixture *f = *state;
    struct buf out = {0};
    test_write(&f->aclint.mtimer, 0, 8, 50);
    state_save(&aclint_state, &f->aclint, &out);
    aclint_reset(&f->aclint);
    assert_int_equal(clock_deadline(&f->time.clock), CLOCK_NEVER);
    assert_int_equal(state_load(&aclint_state, &f->aclint, out.data, out.length, NULL, NULL), 0);
    test_clock_pass(&f->time, 5000);
    assert_true(f->lines.level[MTIP]);
    state_check_hostile(&aclint_state, &f->aclint, NULL);
    buf_release(&out);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(machine_software_interrupts),
        TEST(supervisor_software_interrupts_are_edges),
        TEST(the_timer_runs),
        TEST(registers_have_halves),
        TEST(a_changed_counter_moves_the_deadline),
        TEST(a_counter_that_wraps_around_has_not_reached),
        TEST(reset_is_quiet),
        TEST(the_state_is_described),
        TEST(random_states_round_trip),
        TEST(a_restored_timer_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
