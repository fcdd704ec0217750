/* Guest physical memory: bounds, read-only blocks, and dirty pages of which none is lost. */
#include "bus/gmem.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define RAM   0x80000000ull
#define PAGES 130
#define ROM   0x1000ull

static int start(void **state)
{
    static struct gmem m;
    *state = &m;
    gmem_init(&m);
    return gmem_add(&m, GMEM_RAM, RAM, PAGES * GMEM_PAGE, NULL) ||
           gmem_add(&m, GMEM_ROM, ROM, GMEM_PAGE, NULL);
}

static int stop(void **state)
{
    gmem_release(*state);
    return 0;
}

static void slices_stay_within_a_block(void **state)
{
    struct gmem *m = *state;
    uint64_t end = RAM + PAGES * GMEM_PAGE;
    uint8_t *first = gmem_slice(m, RAM, 1, GMEM_READ);
    assert_non_null(first);
    assert_ptr_equal(gmem_slice(m, end - 8, 8, GMEM_WRITE), first + PAGES * GMEM_PAGE - 8);
    assert_non_null(gmem_slice(m, end - 1, 0, GMEM_READ));
    assert_null(gmem_slice(m, end - 8, 9, GMEM_READ));
    assert_null(gmem_slice(m, end, 0, GMEM_READ));
    assert_null(gmem_slice(m, RAM - 1, 2, GMEM_READ));
    assert_null(gmem_slice(m, RAM + 8, UINT64_MAX, GMEM_READ));
    assert_null(gmem_slice(m, RAM + 8, -(RAM + 8), GMEM_READ));
    assert_null(gmem_slice(m, 0, 1, GMEM_READ));
    assert_null(gmem_slice(m, UINT64_MAX, 1, GMEM_READ));
}

static void rom_is_loaded_and_then_read(void **state)
{
    struct gmem *m = *state;
    uint32_t word = 0x13, back = 0;
    assert_false(gmem_write(m, ROM, &word, sizeof(word)));
    assert_null(gmem_slice(m, ROM, 4, GMEM_WRITE));
    assert_true(gmem_load(m, ROM + 4, &word, sizeof(word)));
    assert_true(gmem_read(m, ROM + 4, &back, sizeof(back)));
    assert_int_equal(back, word);
    assert_false(gmem_load(m, ROM + GMEM_PAGE - 2, &word, sizeof(word)));
}

static void blocks_do_not_meet(void **state)
{
    struct gmem *m = *state;
    static const uint64_t bad[][2] = {{RAM, GMEM_PAGE},
                                      {RAM - GMEM_PAGE, 2 * GMEM_PAGE},
                                      {RAM + (PAGES - 1) * GMEM_PAGE, GMEM_PAGE},
                                      {RAM - GMEM_PAGE, 400 * GMEM_PAGE},
                                      {0x100, GMEM_PAGE},
                                      {0x10000, 0x100},
                                      {0x10000, 0},
                                      {-(2 * GMEM_PAGE), 3 * GMEM_PAGE}};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct guise_error err = {0};
        assert_int_equal(gmem_add(m, GMEM_RAM, bad[i][0], bad[i][1], &err), GUISE_E_CONFIG);
        assert_true(err.text[0]);
    }
    assert_int_equal(gmem_add(m, GMEM_RAM, RAM + PAGES * GMEM_PAGE, GMEM_PAGE, NULL), 0);
    assert_int_equal(gmem_add(m, GMEM_RAM, -GMEM_PAGE, GMEM_PAGE, NULL), 0);
    assert_int_equal(gmem_find(m, UINT64_MAX)->base, -GMEM_PAGE);
    assert_null(gmem_slice(m, RAM + PAGES * GMEM_PAGE - 4, 8, GMEM_READ));
    for (unsigned i = 1; i < m->count; i++)
        assert_true(m->blocks[i - 1].base < m->blocks[i].base);
}

static void memory_is_a_file_that_cannot_shrink(void **state)
{
    const struct gmem_block *b = gmem_find(*state, RAM);
    char back[6] = "";
    assert_true(gmem_write(*state, RAM + 2 * GMEM_PAGE, "hello", 6));
    assert_int_equal(pread(b->fd, back, 6, 2 * (off_t)GMEM_PAGE), 6);
    assert_string_equal(back, "hello");
    assert_int_equal(ftruncate(b->fd, 0), -1);
}

/* The pages that a watcher finds dirty, ended by -1. */
static void assert_dirty(struct gmem *m, enum gmem_watcher watcher, const int *pages)
{
    uint64_t bits[(PAGES + 63) / 64] = {0}, expected[(PAGES + 63) / 64] = {0}, count = 0;
    for (; pages[count] >= 0; count++)
        expected[pages[count] / 64] |= 1ull << pages[count] % 64;
    assert_int_equal(gmem_take_dirty(gmem_find(m, RAM), watcher, bits), count);
    assert_memory_equal(bits, expected, sizeof(bits));
}

static void writes_are_marked(void **state)
{
    struct gmem *m = *state;
    assert_dirty(m, GMEM_WATCH_SAVE, (int[]){-1});
    gmem_slice(m, RAM + 5 * GMEM_PAGE, 100, GMEM_READ);
    gmem_slice(m, RAM + 6 * GMEM_PAGE, 0, GMEM_WRITE);
    assert_dirty(m, GMEM_WATCH_SAVE, (int[]){-1});
    gmem_slice(m, RAM + 7 * GMEM_PAGE - 1, 2, GMEM_WRITE);
    gmem_slice(m, RAM + 64 * GMEM_PAGE, GMEM_PAGE, GMEM_WRITE);
    gmem_mark(m, RAM + (PAGES - 1) * GMEM_PAGE, 1);
    assert_dirty(m, GMEM_WATCH_SAVE, (int[]){6, 7, 64, PAGES - 1, -1});
    assert_dirty(m, GMEM_WATCH_SAVE, (int[]){-1});
    assert_dirty(m, GMEM_WATCH_CODE, (int[]){6, 7, 64, PAGES - 1, -1});
    gmem_write(m, RAM, "x", 1);
    assert_dirty(m, GMEM_WATCH_CODE, (int[]){0, -1});
    assert_dirty(m, GMEM_WATCH_SAVE, (int[]){0, -1});
}

enum { ROUNDS = 20000 };

static void *write_numbers(void *m)
{
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        _Atomic uint64_t *to = gmem_slice(m, RAM + i % PAGES * GMEM_PAGE, 8, GMEM_READ);
        atomic_store_explicit(to, i, memory_order_relaxed);
        gmem_mark(m, RAM + i % PAGES * GMEM_PAGE, 8);
    }
    return NULL;
}

/* Copies of pages that were taken because they were dirty end as the pages are. */
static void no_write_is_lost(void **state)
{
    struct gmem *m = *state;
    uint64_t copies[PAGES] = {0};
    pthread_t writer;
    bool last = false;
    assert_int_equal(pthread_create(&writer, NULL, write_numbers, m), 0);
    do {
        uint64_t bits[(PAGES + 63) / 64] = {0};
        last = pthread_tryjoin_np(writer, NULL) == 0;
        gmem_take_dirty(gmem_find(m, RAM), GMEM_WATCH_SAVE, bits);
        for (unsigned i = 0; i < PAGES; i++)
            if (bits[i / 64] >> i % 64 & 1)
                copies[i] =
                    atomic_load_explicit((_Atomic uint64_t *)gmem_slice(m, RAM + i * GMEM_PAGE, 8, GMEM_READ),
                                         memory_order_relaxed);
    } while (!last);
    for (unsigned i = 0; i < PAGES; i++)
        assert_int_equal(copies[i], *(uint64_t *)gmem_slice(m, RAM + i * GMEM_PAGE, 8, GMEM_READ));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(slices_stay_within_a_block, start, stop),
        cmocka_unit_test_setup_teardown(rom_is_loaded_and_then_read, start, stop),
        cmocka_unit_test_setup_teardown(blocks_do_not_meet, start, stop),
        cmocka_unit_test_setup_teardown(memory_is_a_file_that_cannot_shrink, start, stop),
        cmocka_unit_test_setup_teardown(writes_are_marked, start, stop),
        cmocka_unit_test_setup_teardown(no_write_is_lost, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
