/* The interrupt controller: gateways, priorities, claims. A model that knows nothing of words and bits agrees at
 * random. */
#include "devices/plic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fixture.h"
#include "state_check.h"

enum { CONTEXTS = 16 };

struct fixture {
    struct plic plic;
    struct test_lines lines;
};

static int start(void **state)
{
    static struct fixture f;
    struct irq_line lines[CONTEXTS];
    *state = &f;
    memset(&f.lines, 0, sizeof(f.lines));
    for (unsigned i = 0; i < CONTEXTS; i++)
        lines[i] = test_line(&f.lines, i);
    plic_init(&f.plic, CONTEXTS, lines);
    return 0;
}

static int stop(void **state)
{
    plic_release(&((struct fixture *)*state)->plic);
    return 0;
}

static void set_priority(struct fixture *f, unsigned source, uint32_t priority)
{
    test_write(&f->plic.region, source * 4, 4, priority);
}

static void enable(struct fixture *f, unsigned context, unsigned source, bool value)
{
    uint64_t at = 0x2000 + context * 0x80 + source / 32 * 4;
    uint64_t bit = 1ull << source % 32, old = test_read(&f->plic.region, at, 4);
    test_write(&f->plic.region, at, 4, value ? old | bit : old & ~bit);
}

static void set_threshold(struct fixture *f, unsigned context, uint32_t threshold)
{
    test_write(&f->plic.region, 0x200000 + context * 0x1000, 4, threshold);
}

static unsigned claim(struct fixture *f, unsigned context)
{
    return (unsigned)test_read(&f->plic.region, 0x200004 + context * 0x1000, 4);
}

static void complete(struct fixture *f, unsigned context, uint32_t source)
{
    test_write(&f->plic.region, 0x200004 + context * 0x1000, 4, source);
}

static void raise(struct fixture *f, unsigned source, bool level)
{
    struct irq_line line = plic_line(&f->plic, source);
    irq_set(&line, level);
}

static bool pending(struct fixture *f, unsigned source)
{
    return test_read(&f->plic.region, 0x1000 + source / 32 * 4, 4) >> source % 32 & 1;
}

static void an_interrupt_is_served(void **state)
{
    struct fixture *f = *state;
    set_priority(f, 10, 1);
    enable(f, 1, 10, true);
    raise(f, 10, true);
    assert_true(f->lines.level[1]);
    assert_false(f->lines.level[0]);
    assert_true(pending(f, 10));
    assert_int_equal(claim(f, 0), 0);
    assert_int_equal(claim(f, 1), 10);
    assert_false(f->lines.level[1]);
    assert_false(pending(f, 10));
    assert_int_equal(claim(f, 1), 0);
    raise(f, 10, false);
    complete(f, 1, 10);
    assert_false(f->lines.level[1]);
    raise(f, 10, true);
    assert_true(f->lines.level[1]);
}

static void a_line_that_stays_high_asks_again(void **state)
{
    struct fixture *f = *state;
    set_priority(f, 95, 7);
    enable(f, 15, 95, true);
    raise(f, 95, true);
    assert_int_equal(claim(f, 15), 95);
    raise(f, 95, false);
    raise(f, 95, true);
    assert_false(f->lines.level[15]);
    assert_false(pending(f, 95));
    complete(f, 15, 95);
    assert_true(f->lines.level[15]);
    assert_int_equal(claim(f, 15), 95);
}

static void a_request_that_went_through_stays(void **state)
{
    struct fixture *f = *state;
    set_priority(f, 3, 1);
    enable(f, 0, 3, true);
    raise(f, 3, true);
    raise(f, 3, false);
    assert_true(f->lines.level[0]);
    assert_int_equal(claim(f, 0), 3);
    complete(f, 0, 3);
    assert_false(f->lines.level[0]);
}

static void completion_needs_an_enabled_source(void **state)
{
    struct fixture *f = *state;
    set_priority(f, 3, 1);
    enable(f, 0, 3, true);
    raise(f, 3, true);
    assert_int_equal(claim(f, 0), 3);
    complete(f, 1, 3);
    complete(f, 0, 4);
    complete(f, 0, 0);
    complete(f, 0, 96);
    complete(f, 0, UINT32_MAX);
    enable(f, 0, 3, false);
    complete(f, 0, 3);
    assert_false(pending(f, 3));
    enable(f, 2, 3, true);
    complete(f, 2, 3);
    assert_true(pending(f, 3));
    assert_true(f->lines.level[2]);
}

static void the_highest_priority_is_first(void **state)
{
    struct fixture *f = *state;
    static const struct {
        unsigned source, priority;
    } sources[] = {{1, 0}, {40, 3}, {7, 2}, {64, 3}, {31, 3}, {90, 7}};
    static const unsigned order[] = {90, 31, 40, 64, 7, 0};
    for (unsigned i = 0; i < 6; i++) {
        set_priority(f, sources[i].source, sources[i].priority);
        enable(f, 5, sources[i].source, true);
        raise(f, sources[i].source, true);
    }
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(claim(f, 5), order[i]);
    assert_true(pending(f, 1));
    set_priority(f, 1, 1);
    assert_true(f->lines.level[5]);
}

static void a_threshold_keeps_the_line_low(void **state)
{
    struct fixture *f = *state;
    set_priority(f, 8, 3);
    enable(f, 4, 8, true);
    set_threshold(f, 4, 3);
    raise(f, 8, true);
    assert_false(f->lines.level[4]);
    set_threshold(f, 4, 2);
    assert_true(f->lines.level[4]);
    set_threshold(f, 4, 7);
    assert_false(f->lines.level[4]);
    assert_int_equal(claim(f, 4), 8);
}

static void registers_keep_what_they_have_bits_for(void **state)
{
    struct fixture *f = *state;
    const struct bus_region *r = &f->plic.region;
    static const struct {
        uint64_t address, value;
    } expected[] = {{0, 0},        {4, 7},        {95 * 4, 7},   {96 * 4, 0},   {0xffc, 0},  {0x2000, ~1u},
                    {0x2004, ~0u}, {0x2008, ~0u}, {0x200c, 0},   {0x2780, ~1u}, {0x2800, 0}, {0x1ffffc, 0},
                    {0x200000, 7}, {0x20f000, 7}, {0x20f008, 0}, {0x20fffc, 0}};
    for (unsigned i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        test_write(r, expected[i].address, 4, 0xffffffff);
        assert_int_equal(test_read(r, expected[i].address, 4), expected[i].value);
    }
    test_write(r, 0x1000, 4, 0xffffffff);
    assert_int_equal(test_read(r, 0x1000, 4), 0);
    struct bus_access access = {.address = PLIC_LENGTH(CONTEXTS), .size = 4};
    assert_int_equal(bus_region_access(r, &access), BUS_FAULT);
}

static void reset_keeps_the_devices_lines(void **state)
{
    struct fixture *f = *state;
    set_priority(f, 8, 3);
    set_priority(f, 9, 3);
    enable(f, 4, 8, true);
    raise(f, 8, true);
    raise(f, 9, true);
    assert_int_equal(claim(f, 4), 8);
    raise(f, 9, false);
    plic_reset(&f->plic);
    assert_true(pending(f, 8));
    assert_false(pending(f, 9));
    assert_false(f->lines.level[4]);
    assert_int_equal(claim(f, 4), 0);
}

/* ---- The model ---- */

struct model {
    unsigned priority[PLIC_SOURCES], threshold[CONTEXTS];
    bool level[PLIC_SOURCES], pending[PLIC_SOURCES], claimed[PLIC_SOURCES], enabled[CONTEXTS][PLIC_SOURCES];
};

static unsigned model_best(const struct model *m, unsigned context)
{
    unsigned best = 0;
    for (unsigned s = PLIC_SOURCES - 1; s; s--)
        if (m->pending[s] && m->enabled[context][s] && m->priority[s] && m->priority[s] >= m->priority[best])
            best = s;
    return best;
}

static void model_gate(struct model *m, unsigned source)
{
    if (m->level[source] && !m->claimed[source])
        m->pending[source] = true;
}

static void model_step(struct model *m, struct fixture *f, unsigned seed)
{
    srand(seed);
    unsigned what = (unsigned)rand() % 8, context = (unsigned)rand() % CONTEXTS,
             source = 1 + (unsigned)rand() % (PLIC_SOURCES - 1), value = (unsigned)rand() % 8;
    switch (what) {
    case 0:
        set_priority(f, source, value);
        m->priority[source] = value;
        break;
    case 1:
        set_threshold(f, context, value / 2);
        m->threshold[context] = value / 2;
        break;
    case 2:
        enable(f, context, source, value & 3);
        m->enabled[context][source] = value & 3;
        break;
    case 3:
    case 4:
        raise(f, source, value & 1);
        m->level[source] = value & 1;
        model_gate(m, source);
        break;
    case 5:
    case 6: {
        unsigned best = model_best(m, context);
        assert_int_equal(claim(f, context), best);
        m->pending[best] = false;
        m->claimed[best] = best;
        break;
    }
    default:
        complete(f, context, source);
        if (m->enabled[context][source]) {
            m->claimed[source] = false;
            model_gate(m, source);
        }
        break;
    }
}

static void a_model_agrees(void **state)
{
    struct fixture *f = *state;
    static struct model m;
    memset(&m, 0, sizeof(m));
    for (unsigned step = 0; step < 100000; step++) {
        model_step(&m, f, step);
        for (unsigned c = 0; c < CONTEXTS; c++)
            assert_int_equal(f->lines.level[c], m.priority[model_best(&m, c)] > m.threshold[c]);
    }
}

/* ---- State ---- */

static void the_state_is_described(void **state)
{
    (void)state;
    assert_state_covers(struct plic, &plic_state);
    assert_state_covers(struct plic_context, &plic_context_state);
}

static void states_round_trip(void **state)
{
    struct fixture *f = *state;
    static struct model m;
    static struct plic other;
    struct test_lines lines = {0};
    struct irq_line to[CONTEXTS];
    memset(&m, 0, sizeof(m));
    for (unsigned i = 0; i < CONTEXTS; i++)
        to[i] = test_line(&lines, i);
    plic_init(&other, CONTEXTS, to);
    for (unsigned step = 0; step < 2000; step++) {
        model_step(&m, f, step);
        if (step % 20 == 0) {
            assert_true(state_check_round_trip(&plic_state, &f->plic, &other));
            assert_memory_equal(lines.level, f->lines.level, CONTEXTS);
        }
    }
    plic_release(&other);
}

static void use(void *object)
{
    struct plic *p = object;
    for (unsigned i = 0; i < CONTEXTS; i++)
        assert_in_range(test_read(&p->region, 0x200004 + i * 0x1000, 4), 0, PLIC_SOURCES - 1);
}

static void hostile_states_are_refused(void **state)
{
    struct fixture *f = *state;
    uint64_t seed = 1;
    static struct plic random;
    random = f->plic;
    state_randomize(&plic_state, &random, &seed);
    assert_false(state_check_round_trip(&plic_state, &random, &f->plic));
    state_check_hostile(&plic_state, &f->plic, use);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(an_interrupt_is_served),
        TEST(a_line_that_stays_high_asks_again),
        TEST(a_request_that_went_through_stays),
        TEST(completion_needs_an_enabled_source),
        TEST(the_highest_priority_is_first),
        TEST(a_threshold_keeps_the_line_low),
        TEST(registers_keep_what_they_have_bits_for),
        TEST(reset_keeps_the_devices_lines),
        TEST(a_model_agrees),
        TEST(the_state_is_described),
        TEST(states_round_trip),
        TEST(hostile_states_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
