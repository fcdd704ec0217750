/* The real-time clock and the finisher. */
#include "devices/finisher.h"
#include "devices/rtc.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "fixture.h"
#include "state_check.h"
#include "test_clock.h"

enum {
    TIME_LOW = 0,
    TIME_HIGH = 4,
    ALARM_LOW = 8,
    ALARM_HIGH = 12,
    IRQ_ENABLED = 16,
    CLEAR_ALARM = 20,
    ALARM_STATUS = 24,
    CLEAR_INTERRUPT = 28
};

#define WALL ((uint64_t)1800000000 * CLOCK_PER_SECOND)

struct fixture {
    struct rtc rtc;
    struct test_clock time;
    struct test_lines lines;
};

static int start(void **state)
{
    static struct fixture f;
    *state = &f;
    memset(&f.lines, 0, sizeof(f.lines));
    test_clock_init(&f.time, WALL);
    rtc_init(&f.rtc, test_line(&f.lines, 0), &f.time.clock);
    return 0;
}

static int stop(void **state)
{
    struct fixture *f = *state;
    rtc_release(&f->rtc);
    clock_release(&f->time.clock);
    return 0;
}

static uint64_t get(struct fixture *f, unsigned reg)
{
    return test_read(&f->rtc.region, reg, 4);
}

static void put(struct fixture *f, unsigned reg, uint64_t value)
{
    test_write(&f->rtc.region, reg, 4, value & UINT32_MAX);
}

static uint64_t get_time(struct fixture *f)
{
    uint64_t low = get(f, TIME_LOW);
    return low | get(f, TIME_HIGH) << 32;
}

static void set_alarm(struct fixture *f, uint64_t at)
{
    put(f, ALARM_HIGH, at >> 32);
    put(f, ALARM_LOW, at);
}

static void it_tells_the_time(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(get_time(f), WALL);
    test_clock_pass(&f->time, 12345);
    assert_int_equal(get_time(f), WALL + 12345);
    get(f, TIME_LOW);
    test_clock_pass(&f->time, 1ull << 40);
    assert_int_equal(get(f, TIME_HIGH), WALL >> 32);
    assert_int_equal(get_time(f), WALL + 12345 + (1ull << 40));
}

static void it_can_be_set(void **state)
{
    struct fixture *f = *state;
    put(f, TIME_HIGH, 0x12);
    put(f, TIME_LOW, 0x34);
    assert_int_equal(get_time(f), 0x1200000034);
    test_clock_pass(&f->time, 10);
    assert_int_equal(get_time(f), 0x120000003e);
    rtc_reset(&f->rtc);
    assert_int_equal(get_time(f), 0x120000003e);
}

static void an_alarm_goes_off(void **state)
{
    struct fixture *f = *state;
    uint64_t at = WALL + 5 * CLOCK_PER_SECOND;
    put(f, IRQ_ENABLED, 1);
    set_alarm(f, at);
    assert_int_equal(get(f, ALARM_STATUS), 1);
    assert_int_equal(get(f, ALARM_LOW) | get(f, ALARM_HIGH) << 32, at);
    test_clock_pass(&f->time, 5 * CLOCK_PER_SECOND - 1);
    assert_false(f->lines.level[0]);
    test_clock_pass(&f->time, 1);
    assert_true(f->lines.level[0]);
    assert_int_equal(get(f, ALARM_STATUS), 0);
    put(f, CLEAR_INTERRUPT, 1);
    assert_false(f->lines.level[0]);
    test_clock_pass(&f->time, 50 * CLOCK_PER_SECOND);
    assert_int_equal(f->lines.raised[0], 1);
}

static void an_alarm_can_be_masked_cleared_or_past(void **state)
{
    struct fixture *f = *state;
    set_alarm(f, WALL + 1000);
    test_clock_pass(&f->time, 1000);
    assert_false(f->lines.level[0]);
    put(f, IRQ_ENABLED, 1);
    assert_true(f->lines.level[0]);
    put(f, CLEAR_INTERRUPT, 0);
    set_alarm(f, WALL + 2000);
    put(f, CLEAR_ALARM, 0);
    test_clock_pass(&f->time, 5000);
    assert_false(f->lines.level[0]);
    set_alarm(f, WALL);
    assert_true(f->lines.level[0]);
    put(f, CLEAR_INTERRUPT, 0);
    set_alarm(f, UINT64_MAX);
    test_clock_pass(&f->time, 5000);
    assert_false(f->lines.level[0]);
    assert_int_equal(get(f, ALARM_STATUS), 1);
}

static void setting_the_time_moves_the_alarm(void **state)
{
    struct fixture *f = *state;
    put(f, IRQ_ENABLED, 1);
    set_alarm(f, WALL + CLOCK_PER_SECOND);
    uint64_t to = WALL + CLOCK_PER_SECOND - 100;
    put(f, TIME_HIGH, to >> 32);
    put(f, TIME_LOW, to);
    test_clock_pass(&f->time, 99);
    assert_false(f->lines.level[0]);
    test_clock_pass(&f->time, 1);
    assert_true(f->lines.level[0]);
}

static void the_state_round_trips(void **state)
{
    struct fixture *f = *state;
    uint64_t seed = 1;
    assert_state_covers(struct rtc, &rtc_state);
    for (int i = 0; i < 1000; i++) {
        struct rtc random = f->rtc;
        state_randomize(&rtc_state, &random, &seed);
        assert_true(state_check_round_trip(&rtc_state, &random, &f->rtc));
        assert_int_equal(f->lines.level[0], random.irq_enabled && random.irq_pending);
    }
    rtc_reset(&f->rtc);
    state_check_hostile(&rtc_state, &f->rtc, NULL);
}

static void a_restored_alarm_goes_off(void **state)
{
    struct fixture *f = *state;
    struct buf out = {0};
    put(f, IRQ_ENABLED, 1);
    set_alarm(f, get_time(f) + 1000);
    state_save(&rtc_state, &f->rtc, &out);
    rtc_reset(&f->rtc);
    assert_int_equal(state_load(&rtc_state, &f->rtc, out.data, out.length, NULL, NULL), 0);
    buf_release(&out);
    test_clock_pass(&f->time, 1000);
    assert_true(f->lines.level[0]);
}

/* ---- Finisher ---- */

struct requests {
    unsigned count, status;
    enum finisher_request last;
};

static void on_request(void *machine, enum finisher_request request, unsigned status)
{
    struct requests *r = machine;
    *r = (struct requests){r->count + 1, status, request};
}

static void a_guest_ends_its_machine(void **state)
{
    (void)state;
    struct finisher f;
    struct requests r = {0};
    finisher_init(&f, on_request, &r);
    test_write(&f.region, 0, 4, 0x5555);
    assert_int_equal(r.count, 1);
    assert_int_equal(r.last, FINISHER_REQUEST_POWER_OFF);
    test_write(&f.region, 0, 4, 0x7777);
    assert_int_equal(r.last, FINISHER_REQUEST_REBOOT);
    test_write(&f.region, 0, 4, 0x2a3333);
    assert_int_equal(r.last, FINISHER_REQUEST_FAIL);
    assert_int_equal(r.status, 0x2a);
    test_write(&f.region, 0, 2, 0x5555);
    assert_int_equal(r.count, 4);
    test_write(&f.region, 0, 4, 0x1234);
    test_write(&f.region, 4, 4, 0x5555);
    test_write(&f.region, 2, 2, 0x5555);
    assert_int_equal(test_read(&f.region, 0, 4), 0);
    assert_int_equal(r.count, 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(it_tells_the_time),
        TEST(it_can_be_set),
        TEST(an_alarm_goes_off),
        TEST(an_alarm_can_be_masked_cleared_or_past),
        TEST(setting_the_time_moves_the_alarm),
        TEST(the_state_round_trips),
        TEST(a_restored_alarm_goes_off),
        cmocka_unit_test(a_guest_ends_its_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
