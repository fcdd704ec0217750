/* Virtual time, timers and counters. */
#include "test_clock.h"
#include "host/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void time_stands_still_when_stopped(void **state)
{
    (void)state;
    struct test_clock c;
    test_clock_init(&c, 5 * CLOCK_PER_SECOND);
    assert_int_equal(clock_now(&c.clock), 0);
    c.monotonic += 70;
    assert_int_equal(clock_now(&c.clock), 70);
    assert_int_equal(clock_wall(&c.clock), 5 * CLOCK_PER_SECOND + 70);
    clock_stop(&c.clock);
    c.monotonic += 1000;
    c.wall += 1070;
    assert_int_equal(clock_now(&c.clock), 70);
    clock_start(&c.clock);
    assert_int_equal(clock_now(&c.clock), 70);
    assert_int_equal(clock_wall(&c.clock), 5 * CLOCK_PER_SECOND + 1070);
    clock_start(&c.clock);
    c.monotonic += 1;
    assert_int_equal(clock_now(&c.clock), 71);
    clock_stop(&c.clock);
    clock_set(&c.clock, 1ull << 50);
    clock_start(&c.clock);
    c.monotonic += 9;
    assert_int_equal(clock_now(&c.clock), (1ull << 50) + 9);
    clock_release(&c.clock);
}

static void the_host_has_a_clock(void **state)
{
    (void)state;
    struct clock c;
    clock_init(&c, NULL);
    assert_int_equal(clock_now(&c), 0);
    clock_start(&c);
    usleep(2000);
    assert_in_range(clock_now(&c), 2000000, 60 * CLOCK_PER_SECOND);
    assert_true(clock_wall(&c) > 1700000000 * CLOCK_PER_SECOND);
    clock_release(&c);
}

struct fixture {
    struct test_clock c;
    struct clock_timer timers[3];
    char order[16];
    unsigned woken;
};

static void note(struct fixture *f, char name)
{
    size_t length = strlen(f->order);
    f->order[length] = name;
    f->order[length + 1] = 0;
}

static void expire_a(void *f)
{
    note(f, 'a');
}

static void expire_b(void *f)
{
    note(f, 'b');
}

/* Sets itself again, in the past as well. */
static void expire_c(void *object)
{
    struct fixture *f = object;
    note(f, 'c');
    clock_timer_set(&f->timers[2], 0);
}

static void on_wake(void *f)
{
    ((struct fixture *)f)->woken++;
}

static void fixture_init(struct fixture *f)
{
    void (*const expire[])(void *) = {expire_a, expire_b, expire_c};
    *f = (struct fixture){.woken = 0};
    test_clock_init(&f->c, 0);
    clock_set_wake(&f->c.clock, on_wake, f);
    for (int i = 0; i < 3; i++)
        clock_timer_init(&f->timers[i], &f->c.clock, NULL, expire[i], f);
}

static void timers_expire_in_order(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    assert_int_equal(clock_deadline(&f.c.clock), CLOCK_NEVER);
    clock_timer_set(&f.timers[0], 100);
    clock_timer_set(&f.timers[1], 200);
    assert_int_equal(f.woken, 1);
    clock_timer_set(&f.timers[1], 50);
    assert_int_equal(f.woken, 2);
    assert_int_equal(clock_deadline(&f.c.clock), 50);
    clock_timer_set(&f.timers[1], 70);
    clock_timer_set(&f.timers[1], 50);
    assert_int_equal(f.woken, 3);
    f.c.monotonic += 49;
    clock_run(&f.c.clock);
    assert_string_equal(f.order, "");
    f.c.monotonic += 1;
    clock_run(&f.c.clock);
    assert_string_equal(f.order, "b");
    assert_int_equal(clock_deadline(&f.c.clock), 100);
    clock_timer_set(&f.timers[1], 100);
    f.c.monotonic += 1000;
    clock_run(&f.c.clock);
    assert_string_equal(f.order, "bab");
    clock_timer_set(&f.timers[0], 2000);
    clock_timer_set(&f.timers[0], CLOCK_NEVER);
    clock_timer_set(&f.timers[0], CLOCK_NEVER);
    f.c.monotonic += 1000;
    clock_run(&f.c.clock);
    assert_string_equal(f.order, "bab");
    clock_release(&f.c.clock);
}

static void a_timer_cannot_keep_the_loop(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    clock_timer_set(&f.timers[2], 10);
    clock_timer_set(&f.timers[0], 20);
    f.c.monotonic += 30;
    clock_run(&f.c.clock);
    assert_string_equal(f.order, "ca");
    clock_run(&f.c.clock);
    assert_string_equal(f.order, "cac");
    clock_release(&f.c.clock);
}

/* Two threads set and stop a timer under its lock while a third runs the clock. */
struct race {
    struct clock clock;
    pthread_mutex_t lock;
    struct clock_timer timer;
    bool set; /* guarded by the lock: the timer is set and has not expired */
    _Atomic unsigned expired, wrong;
    _Atomic bool done;
};

static void race_expire(void *object)
{
    struct race *r = object;
    r->wrong += !r->set;
    r->set = false;
    r->expired++;
}

static void *race_run(void *object)
{
    struct race *r = object;
    while (!r->done)
        clock_run(&r->clock);
    return NULL;
}

static void a_stopped_timer_does_not_expire(void **state)
{
    (void)state;
    struct race r = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t thread;
    clock_init(&r.clock, NULL);
    clock_start(&r.clock);
    clock_timer_init(&r.timer, &r.clock, &r.lock, race_expire, &r);
    assert_int_equal(pthread_create(&thread, NULL, race_run, &r), 0);
    for (unsigned i = 0; i < 50000 || !r.expired; i++) {
        pthread_mutex_lock(&r.lock);
        r.set = i % 2 == 0;
        clock_timer_set(&r.timer, r.set ? clock_now(&r.clock) : CLOCK_NEVER);
        pthread_mutex_unlock(&r.lock);
        if (i % 64 == 0)
            usleep(1);
    }
    r.done = true;
    pthread_join(thread, NULL);
    assert_int_equal(r.wrong, 0);
    clock_release(&r.clock);
}

struct looped {
    struct clock clock;
    struct loop loop;
    struct clock_timer timer;
    uint64_t expired_at;
};

static void looped_expire(void *object)
{
    struct looped *l = object;
    l->expired_at = clock_now(&l->clock);
    loop_stop(&l->loop);
}

static void *looped_run(void *object)
{
    loop_run(&((struct looped *)object)->loop);
    return NULL;
}

/* The loop sleeps without a deadline, is told of one, and of a nearer one. */
static void a_loop_serves_the_clock(void **state)
{
    (void)state;
    struct looped l = {0};
    pthread_t thread;
    assert_int_equal(loop_init(&l.loop, NULL), 0);
    clock_init(&l.clock, NULL);
    clock_set_loop(&l.clock, &l.loop);
    clock_timer_init(&l.timer, &l.clock, NULL, looped_expire, &l);
    clock_timer_set(&l.timer, 1);
    assert_int_equal(pthread_create(&thread, NULL, looped_run, &l), 0);
    usleep(20000);
    assert_int_equal(l.expired_at, 0); /* the clock stands still */
    clock_timer_set(&l.timer, CLOCK_NEVER);
    clock_start(&l.clock);
    usleep(20000);
    clock_timer_set(&l.timer, clock_now(&l.clock) + 1000 * CLOCK_PER_SECOND);
    usleep(20000);
    uint64_t deadline = clock_now(&l.clock) + 10000000;
    clock_timer_set(&l.timer, deadline);
    pthread_join(thread, NULL);
    assert_in_range(l.expired_at, deadline, deadline + 100 * CLOCK_PER_SECOND);
    loop_release(&l.loop);
    clock_release(&l.clock);
}

static void ticks_follow_the_clock(void **state)
{
    (void)state;
    struct test_clock c;
    struct clock_ticks t;
    test_clock_init(&c, 0);
    clock_ticks_init(&t, &c.clock, 10000000);
    c.monotonic += 12345;
    assert_int_equal(clock_ticks_now(&t), 123);
    assert_int_equal(clock_ticks_when(&t, 124), 12400);
    assert_in_range(clock_ticks_when(&t, 123), 0, 12345);
    assert_in_range(clock_ticks_when(&t, 0), 0, 12345);
    assert_int_equal(clock_ticks_when(&t, UINT64_MAX), CLOCK_NEVER);
    clock_ticks_set(&t, 5);
    assert_int_equal(clock_ticks_now(&t), 5);
    assert_int_equal(clock_ticks_when(&t, 6), 12400);
    clock_ticks_set(&t, UINT64_MAX);
    assert_in_range(clock_ticks_when(&t, 3), 0, 12345);
    c.monotonic += 100;
    assert_int_equal(clock_ticks_now(&t), 0);
    assert_int_equal(clock_ticks_when(&t, 3), 12700);
    assert_int_equal(clock_ticks_wrap(&t), CLOCK_NEVER);
    clock_ticks_set(&t, UINT64_MAX - 1);
    assert_int_equal(clock_ticks_wrap(&t), 12600);
    assert_int_equal(clock_ticks_when(&t, UINT64_MAX), 12500);
    clock_release(&c.clock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_stands_still_when_stopped),  cmocka_unit_test(the_host_has_a_clock),
        cmocka_unit_test(timers_expire_in_order),          cmocka_unit_test(a_timer_cannot_keep_the_loop),
        cmocka_unit_test(a_stopped_timer_does_not_expire), cmocka_unit_test(a_loop_serves_the_clock),
        cmocka_unit_test(ticks_follow_the_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
