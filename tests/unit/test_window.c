/* Windows: what is in them, with which rights, and that what was dropped is gone. */
#include "cpu/riscv/window.h"

#include "base/util.h"
#include "cpu/riscv/tlb.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE UINT64_C(4096)
#define RAM  UINT64_C(0x80000000)
enum { RAM_PAGES = 64 };

static struct gmem memory;
static struct windows windows;
static struct tlb_context owners[WINDOW_COUNT + 1];
static int pipes[2];

static int setup(void **state)
{
    struct guise_error err;
    (void)state;
    gmem_init(&memory);
    windows_init(&windows, 1);
    memset(owners, 0, sizeof(owners));
    if (pipe(pipes) || gmem_add(&memory, GMEM_RAM, RAM, RAM_PAGES * PAGE, &err))
        return -1;
    for (unsigned i = 0; i < RAM_PAGES; i++)
        memory.blocks[0].host[i * PAGE] = (uint8_t)i;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    windows_release(&windows);
    gmem_release(&memory);
    close(pipes[0]);
    close(pipes[1]);
    return 0;
}

static uint64_t page_of(unsigned number)
{
    return RAM + number % RAM_PAGES * PAGE;
}

static bool map(struct window *w, uint64_t gva, unsigned number, bool writable)
{
    return window_map(w, gva, &memory.blocks[0], page_of(number), writable);
}

/* The first byte there, or -1. The host's kernel looks, so that nothing faults. */
static int read_at(const struct window *w, uint64_t gva)
{
    uint8_t byte;
    if (write(pipes[1], w->base + gva, 1) != 1) {
        assert_int_equal(errno, EFAULT);
        return -1;
    }
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    return byte;
}

static bool write_at(const struct window *w, uint64_t gva, uint8_t byte)
{
    assert_int_equal(write(pipes[1], &byte, 1), 1);
    if (read(pipes[0], w->base + gva, 1) == 1)
        return true;
    assert_int_equal(errno, EFAULT);
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    return false;
}

static void test_rights(void **state)
{
    (void)state;
    struct window *w = windows_take(&windows, &owners[0]);
    assert_non_null(w);
    assert_ptr_equal(owners[0].window, w);
    assert_int_equal(read_at(w, 0x10000), -1);
    assert_true(map(w, 0x10000, 3, false));
    assert_int_equal(read_at(w, 0x10000), 3);
    assert_false(write_at(w, 0x10000, 77));
    assert_true(map(w, 0x10000, 3, true));
    assert_true(write_at(w, 0x10000, 77));
    assert_int_equal(memory.blocks[0].host[3 * PAGE], 77);
    assert_int_equal(w->count, 1);
    assert_int_equal(read_at(w, 0x0f000), -1);
    assert_int_equal(read_at(w, 0x11000), -1);
}

/* Nothing is around the user half, and its last page may be there. */
static void test_ends(void **state)
{
    (void)state;
    struct window *w = windows_take(&windows, &owners[0]);
    assert_true(map(w, 0, 1, true) && map(w, WINDOW_BYTES - PAGE, 2, true));
    assert_int_equal(read_at(w, WINDOW_BYTES - PAGE), 2);
    assert_int_equal(read_at(w, WINDOW_BYTES), -1);
    assert_int_equal(read_at(w, WINDOW_BYTES + WINDOW_GUARD - 1), -1);
    assert_int_equal(read_at(w, -UINT64_C(1)), -1);
    assert_int_equal(read_at(w, -WINDOW_GUARD), -1);
    window_drop(w, WINDOW_BYTES, UINT64_MAX);
    assert_int_equal(w->count, 2);
    window_drop(w, 1, UINT64_MAX);
    assert_int_equal(w->count, 0);
    assert_int_equal(read_at(w, 0), -1);
}

static bool is_slow(void *context, uint64_t gpa)
{
    return gpa == *(const uint64_t *)context;
}

static void test_slow_writes(void **state)
{
    (void)state;
    struct window *w = windows_take(&windows, &owners[0]);
    for (unsigned i = 0; i < RAM_PAGES; i++)
        assert_true(map(w, i * 3 * PAGE, i, i != 7));
    assert_true(map(w, 0x1000000, 5, true));
    uint64_t slow = page_of(5);
    window_slow_writes(w, is_slow, &slow);
    assert_false(write_at(w, 5 * 3 * PAGE, 0));
    assert_false(write_at(w, 0x1000000, 0));
    assert_true(write_at(w, 6 * 3 * PAGE, 6));
    slow = page_of(7);
    window_slow_writes(w, is_slow, &slow);
    assert_int_equal(read_at(w, 7 * 3 * PAGE), 7);
}

/* More contexts than windows: the one that has not been used for longest loses its own. */
static void test_owners(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WINDOW_COUNT; i++)
        assert_true(map(windows_take(&windows, &owners[i]), 0, i, true));
    assert_true(map(owners[0].window, PAGE, 0, true));
    struct window *w = windows_take(&windows, &owners[WINDOW_COUNT]);
    assert_null(owners[1].window);
    assert_ptr_equal(owners[WINDOW_COUNT].window, w);
    assert_int_equal(read_at(w, 0), -1);
    assert_int_equal(read_at(owners[0].window, PAGE), 0);
    window_free(w);
    assert_null(owners[WINDOW_COUNT].window);
    assert_ptr_equal(windows_take(&windows, &owners[1]), w);
}

/* When the host's mappings are used up there is room again, for all has gone. */
static void test_full(void **state)
{
    (void)state;
    windows.most = 100;
    struct window *w = windows_take(&windows, &owners[0]), *other = windows_take(&windows, &owners[1]);
    assert_true(map(other, 0, 9, false));
    for (unsigned i = 0; i < 150; i++)
        assert_true(map(w, 2 * i * PAGE, i, false));
    assert_true(windows.count <= windows.most);
    assert_int_equal(windows.count, w->count + other->count);
    assert_int_equal(read_at(w, 2 * 149 * PAGE), 149 % RAM_PAGES);
    assert_int_equal(read_at(w, 0), -1);
    assert_int_equal(read_at(other, 0), -1);
}

/* ---- Against a model ---- */

enum { MODEL_PAGES = 3000 };
static uint8_t model[MODEL_PAGES]; /* number + 1; 0: none */

/* Some of its pages are neighbours, others far apart. */
static uint64_t gva_of(unsigned i)
{
    return i < MODEL_PAGES / 2 ? i * PAGE : (i - MODEL_PAGES / 2) * UINT64_C(0x1003000) + 0x40000000;
}

static void drop(struct window *w, uint64_t first, uint64_t last)
{
    window_drop(w, first, last);
    for (unsigned i = 0; i < MODEL_PAGES; i++)
        if (gva_of(i) + PAGE > first && gva_of(i) <= last)
            model[i] = 0;
}

static void compare(const struct window *w)
{
    unsigned count = 0;
    for (unsigned i = 0; i < MODEL_PAGES; i++) {
        assert_int_equal(read_at(w, gva_of(i)), (int)model[i] - 1);
        count += model[i] != 0;
    }
    assert_int_equal(w->count, count);
}

static void test_random(void **state)
{
    (void)state;
    struct window *w = windows_take(&windows, &owners[0]);
    memset(model, 0, sizeof(model));
    srandom(1);
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (unsigned)random() % MODEL_PAGES, number = (unsigned)random() % RAM_PAGES;
        switch (random() % 16) {
        case 0: drop(w, gva_of(i), gva_of(i)); break;
        case 1: drop(w, gva_of(i) + 5, gva_of(i) + (uint64_t)random() % (64 * PAGE)); break;
        case 2:
            if (random() % 64 == 0)
                drop(w, gva_of(i), gva_of(i) + (uint64_t)random() * PAGE);
            break;
        default: assert_true(map(w, gva_of(i), number, true)); model[i] = (uint8_t)(number + 1);
        }
        if (step % 4000 == 0)
            compare(w);
    }
    compare(w);
    window_clear(w);
    memset(model, 0, sizeof(model));
    compare(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rights, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_owners, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random, setup, teardown),
    };
    return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
