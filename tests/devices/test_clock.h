/* A clock whose time a test sets. */
#ifndef TESTS_TEST_CLOCK_H
#define TESTS_TEST_CLOCK_H

#include "bus/clock.h"

struct test_clock {
    struct clock clock;
    uint64_t monotonic, wall; /* what the source says; ns */
};

static inline uint64_t test_clock_monotonic(void *object)
{
    return ((struct test_clock *)object)->monotonic;
}

static inline uint64_t test_clock_wall(void *object)
{
    return ((struct test_clock *)object)->wall;
}

/* Running, at 0. */
static inline void test_clock_init(struct test_clock *c, uint64_t wall)
{
    struct clock_source source = {test_clock_monotonic, test_clock_wall, c};
    c->monotonic = 1000;
    c->wall = wall;
    clock_init(&c->clock, &source);
    clock_start(&c->clock);
}

/* Lets time pass, from one deadline to the next, and expires what is due. */
static inline void test_clock_pass(struct test_clock *c, uint64_t ns)
{
    uint64_t end = clock_now(&c->clock) + ns, deadline;
    while ((deadline = clock_deadline(&c->clock)) <= end) {
        uint64_t now = clock_now(&c->clock), step = deadline > now ? deadline - now : 0;
        c->monotonic += step;
        c->wall += step;
        clock_run(&c->clock);
        ns -= step;
    }
    c->monotonic += ns;
    c->wall += ns;
    clock_run(&c->clock);
}

#endif
