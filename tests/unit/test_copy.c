/* Copies across the edge of what is mapped, with every size, and every place of the edge. */
#include "mm_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define PAGE 4096

/* A page that may be used, followed by one that may not. */
static char *edge(void)
{
    char *page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(page != MAP_FAILED);
    assert_int_equal(mprotect(page + PAGE, PAGE, PROT_NONE), 0);
    return page;
}

static void fill(char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 7 + 1);
}

static void copies_all(void **state)
{
    enter(state);
    char from[700], to[702];
    fill(from, sizeof(from));
    for (size_t size = 0; size < sizeof(from); size++) {
        memset(to, 0, sizeof(to));
        assert_int_equal(host_copy(to + 1, from, size), 0);
        assert_memory_equal(to + 1, from, size);
        assert_int_equal(to[0], 0);
        assert_int_equal(to[size + 1], 0);
    }
}

static void stops_at_a_bad_source(void **state)
{
    enter(state);
    char *page = edge(), to[700];
    fill(page, PAGE);
    for (size_t size = 1; size < 600; size += size < 64 ? 1 : 17) {
        for (size_t good = 0; good <= size; good++) {
            memset(to, 0, sizeof(to));
            assert_int_equal(host_copy(to, page + PAGE - good, size), size - good);
            assert_memory_equal(to, page + PAGE - good, good);
            assert_int_equal(to[good], 0);
        }
    }
    munmap(page, 2 * PAGE);
}

static void stops_at_a_bad_target(void **state)
{
    enter(state);
    char *page = edge(), from[700];
    fill(from, sizeof(from));
    for (size_t size = 1; size < 600; size += size < 64 ? 1 : 17) {
        for (size_t good = 0; good <= size; good++) {
            memset(page, 0, PAGE);
            assert_int_equal(host_copy(page + PAGE - good, from, size), size - good);
            assert_memory_equal(page + PAGE - good, from, good);
        }
    }
    munmap(page, 2 * PAGE);
}

static void copies_strings(void **state)
{
    enter(state);
    char *page = edge(), to[32];
    memset(page, 'x', PAGE);
    assert_int_equal(host_copy_string(to, "hello", sizeof(to)), 5);
    assert_string_equal(to, "hello");
    assert_int_equal(host_copy_string(to, "hello", 6), 5);
    assert_int_equal(host_copy_string(to, "hello", 5), 5); /* no room for the NUL */
    assert_int_equal(host_copy_string(to, "hello", 0), 0);
    assert_int_equal(host_copy_string(to, page + PAGE - 4, sizeof(to)), -1);
    assert_int_equal(host_copy_string(to, page + PAGE - 4, 4), 4);
    assert_int_equal(host_copy_string(page + PAGE - 4, "hello", sizeof(to)), -1);
    assert_int_equal(host_copy_string(to, NULL, sizeof(to)), -1);
    munmap(page, 2 * PAGE);
}

static void leaves_other_faults_alone(void **state)
{
    enter(state);
    ucontext_t context = {0};
    context.uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)leaves_other_faults_alone;
    assert_false(host_copy_fault(&context));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_all),
        cmocka_unit_test(stops_at_a_bad_source),
        cmocka_unit_test(stops_at_a_bad_target),
        cmocka_unit_test(copies_strings),
        cmocka_unit_test(leaves_other_faults_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
