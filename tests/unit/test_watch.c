/* Which pages are watched, when they are opened, and what a fence compares. Neither memory nor code: both are noted
 * here. */
#include "cpu/riscv/code.h"
#include "cpu/riscv/watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define PAGE  UINT64_C(4096)
#define PAGES 2048u
#define FIXED (PAGES - 1) /* a page that is executable and cannot change */

enum content { NO_CODE, SAME_CODE, OTHER_CODE };

struct code {
    struct watch watch;
    bool protected[PAGES], shared[PAGES];
    enum content content[PAGES];
    unsigned compared, dropped;
    bool whole; /* a run of protected pages is exposed at once */
};

static bool executable(void *context, uint64_t address, uint64_t *end, bool *changeable)
{
    (void)context;
    *end = (address / PAGE + 1) * PAGE;
    *changeable = address / PAGE != FIXED;
    return address / PAGE < PAGES;
}

static bool protect(void *context, uint64_t page)
{
    struct code *c = context;
    assert_int_equal(page % PAGE, 0);
    assert_false(c->protected[page / PAGE]);
    return c->protected[page / PAGE] = !c->shared[page / PAGE];
}

static bool unprotect(void *context, uint64_t page, uint64_t *start, uint64_t *end)
{
    struct code *c = context;
    uint64_t first = page / PAGE, last = first;
    while (c->whole && first && c->protected[first - 1])
        first--;
    while (c->whole && c->protected[last + 1])
        last++;
    memset(c->protected + first, 0, last - first + 1);
    *start = first * PAGE;
    *end = (last + 1) * PAGE;
    return page / PAGE != FIXED;
}

void code_drop(struct code *c, uint64_t start, uint64_t end)
{
    for (uint64_t i = start / PAGE; i < end / PAGE; i++)
        c->content[i] = NO_CODE;
    c->dropped++;
}

enum watch_state code_compare(struct code *c, uint64_t start, uint64_t end)
{
    enum content seen = NO_CODE;
    for (uint64_t i = start / PAGE; i < end / PAGE && i < PAGES; i++) {
        seen = c->content[i] > seen ? c->content[i] : seen;
        if (c->content[i] == OTHER_CODE)
            c->content[i] = NO_CODE;
    }
    c->compared++;
    return seen == NO_CODE ? WATCH_EMPTY : seen == SAME_CODE ? WATCH_SAME : WATCH_CHANGED;
}

static struct code subject;

static int setup(void **state)
{
    static const struct code_ops ops = {.executable = executable, .protect = protect, .unprotect = unprotect};
    memset(&subject, 0, sizeof(subject));
    watch_init(&subject.watch, &ops, &subject, &subject);
    *state = &subject;
    return 0;
}

static int teardown(void **state)
{
    watch_release(&((struct code *)*state)->watch);
    return 0;
}

/* Code is made of the page. */
static bool make(struct code *c, unsigned page)
{
    bool added = watch_add(&c->watch, page * PAGE + 100, page * PAGE + 200);
    c->content[page] = SAME_CODE;
    return added;
}

/* A store to the page: heard of if it faults. */
static bool store(struct code *c, unsigned page)
{
    bool faults = c->protected[page];
    if (faults)
        assert_true(watch_fault(&c->watch, page * PAGE + 123));
    assert_false(c->protected[page]);
    if (c->content[page] == SAME_CODE)
        c->content[page] = OTHER_CODE;
    return faults;
}

/* A fence; how many pages it compares. */
static unsigned fence(struct code *c)
{
    c->compared = 0;
    watch_fence(&c->watch, false);
    return c->compared;
}

static void pages_are_watched_from_the_first_code_on(void **state)
{
    struct code *c = *state;
    assert_false(watch_any(&c->watch));
    assert_true(make(c, 1));
    assert_true(c->protected[1]);
    assert_false(make(c, 1));
    assert_false(make(c, FIXED));
    assert_true(watch_add(&c->watch, 2 * PAGE - 2, 2 * PAGE + 2));
    assert_true(c->protected[2]);
    assert_int_equal(c->watch.watched, 2);
    assert_int_equal(fence(c), 0);
}

static void a_store_that_nobody_announces_drops_the_code(void **state)
{
    struct code *c = *state;
    make(c, 1);
    make(c, 2);
    assert_true(store(c, 1));
    assert_int_equal(c->dropped, 1);
    assert_false(store(c, 1));
    assert_true(make(c, 1));
    assert_true(c->protected[1] && c->protected[2]);
}

static void an_announced_store_waits_for_the_fence(void **state)
{
    struct code *c = *state;
    make(c, 1);
    make(c, 2);
    watch_announce(&c->watch, PAGE + 8, PAGE + 12);
    store(c, 1);
    assert_int_equal(c->dropped, 0);
    assert_int_equal(fence(c), 1);
    assert_int_equal(c->content[1], NO_CODE);
    assert_int_equal(fence(c), 1);
    assert_int_equal(fence(c), 0);
    assert_true(make(c, 1));
}

static void a_flush_without_a_range_announces_what_was_written(void **state)
{
    struct code *c = *state;
    make(c, 1);
    make(c, 2);
    store(c, 1);
    assert_int_equal(c->dropped, 1);
    watch_fence(&c->watch, true);
    make(c, 1);
    store(c, 1);
    assert_int_equal(c->dropped, 1);
    store(c, 2);
    assert_int_equal(c->dropped, 2);
}

static void an_announced_page_can_be_one_without_code(void **state)
{
    struct code *c = *state;
    watch_announce(&c->watch, 0, 3 * PAGE);
    make(c, 2);
    store(c, 2);
    assert_int_equal(c->dropped, 0);
    watch_announce(&c->watch, 0, UINT64_MAX); /* says nothing */
    assert_int_equal(c->watch.pages, 3);
}

static void a_quiet_page_is_watched_again(void **state)
{
    struct code *c = *state;
    unsigned fences = 0;
    watch_announce(&c->watch, PAGE, 2 * PAGE);
    make(c, 1);
    store(c, 1);
    c->content[1] = SAME_CODE; /* something else in the page was written */
    while (fence(c) && fences < 100)
        fences++;
    assert_in_range(fences, 2, 20);
    assert_true(c->protected[1]);
    store(c, 1);
    assert_int_equal(fence(c), 1);
    assert_int_equal(c->content[1], NO_CODE);
}

static uint64_t none_settled(void *context)
{
    (void)context;
    return UINT64_MAX;
}

/* Where protect() refuses for a while, a store may be heard of meanwhile; unprotect() is done for it, and nobody will tell that the
 * page can be watched. */
static void a_page_that_waits_is_tried_again_after_a_store(void **state)
{
    static const struct code_ops ops = {
        .executable = executable, .protect = protect, .unprotect = unprotect, .settled = none_settled};
    struct code *c = *state;
    unsigned fences = 0;
    watch_init(&c->watch, &ops, c, c);
    c->shared[1] = true;
    assert_false(make(c, 1));
    assert_int_equal(fence(c), 1);
    assert_true(watch_fault(&c->watch, PAGE));
    c->shared[1] = false;
    while (fence(c) && fences < 100)
        fences++;
    assert_true(c->protected[1] && fences < 100);
}

static void code_is_refreshed_where_a_page_is_open(void **state)
{
    struct code *c = *state;
    watch_announce(&c->watch, PAGE, 2 * PAGE);
    make(c, 1);
    watch_refresh(&c->watch, PAGE);
    assert_int_equal(c->compared, 0);
    store(c, 1);
    watch_refresh(&c->watch, PAGE + 50);
    assert_int_equal(c->content[1], NO_CODE);
}

static void what_cannot_be_watched_is_compared(void **state)
{
    struct code *c = *state;
    c->shared[1] = true;
    assert_false(make(c, 1));
    for (int i = 0; i < 50; i++)
        assert_int_equal(fence(c), 1);
    store(c, 1);
    fence(c);
    assert_int_equal(c->content[1], NO_CODE);
    fence(c);
    assert_int_equal(fence(c), 0);
    assert_false(make(c, 1));
    assert_int_equal(fence(c), 1);
}

static void very_many_of_those_are_compared_at_once(void **state)
{
    struct code *c = *state;
    for (unsigned i = 0; i < PAGES - 1; i++) {
        c->shared[i] = true;
        make(c, i);
    }
    store(c, 77);
    assert_int_equal(fence(c), 1);
    assert_int_equal(c->content[77], NO_CODE);
}

static void stores_and_code_do_not_alternate_for_ever(void **state)
{
    struct code *c = *state;
    unsigned turns = 0;
    do {
        make(c, 1);
    } while (store(c, 1) && ++turns < 100000);
    assert_in_range(turns, 10, 10000);
    assert_int_equal(fence(c), 1);
    assert_int_equal(c->content[1], NO_CODE);
}

static void mappings_change(void **state)
{
    struct code *c = *state;
    for (unsigned i = 1; i < 6; i++)
        make(c, i);
    watch_open(&c->watch, 2 * PAGE, 4 * PAGE);
    assert_false(c->protected[2] || c->protected[3]);
    assert_true(c->protected[1] && c->protected[4]);
    c->shared[2] = true;
    make(c, 2);
    watch_forget(&c->watch, 2 * PAGE - 1, 3 * PAGE + 1);
    assert_int_equal(c->watch.pages, 4);
    c->shared[2] = false;
    assert_true(make(c, 2));
}

static void a_run_that_is_exposed_as_one_is_open_as_one(void **state)
{
    struct code *c = *state;
    c->whole = true;
    for (unsigned i = 1; i < 6; i++)
        make(c, i);
    watch_announce(&c->watch, 0, 6 * PAGE);
    store(c, 3);
    store(c, 5);
    assert_int_equal(c->watch.watched, 0);
    assert_int_equal(fence(c), 5);
    assert_int_equal(c->content[5], NO_CODE);
}

static void other_faults_are_not_its_affair(void **state)
{
    struct code *c = *state;
    make(c, 1);
    assert_false(watch_fault(&c->watch, 3 * PAGE));
    assert_false(watch_fault(&c->watch, UINT64_MAX));
    store(c, 1);
    assert_true(watch_fault(&c->watch, PAGE)); /* of a thread that came second */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pages_are_watched_from_the_first_code_on, setup, teardown),
        cmocka_unit_test_setup_teardown(a_store_that_nobody_announces_drops_the_code, setup, teardown),
        cmocka_unit_test_setup_teardown(an_announced_store_waits_for_the_fence, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flush_without_a_range_announces_what_was_written, setup, teardown),
        cmocka_unit_test_setup_teardown(an_announced_page_can_be_one_without_code, setup, teardown),
        cmocka_unit_test_setup_teardown(a_quiet_page_is_watched_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_page_that_waits_is_tried_again_after_a_store, setup, teardown),
        cmocka_unit_test_setup_teardown(code_is_refreshed_where_a_page_is_open, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_watched_is_compared, setup, teardown),
        cmocka_unit_test_setup_teardown(very_many_of_those_are_compared_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(stores_and_code_do_not_alternate_for_ever, setup, teardown),
        cmocka_unit_test_setup_teardown(mappings_change, setup, teardown),
        cmocka_unit_test_setup_teardown(a_run_that_is_exposed_as_one_is_open_as_one, setup, teardown),
        cmocka_unit_test_setup_teardown(other_faults_are_not_its_affair, setup, teardown),
    };
    return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
