/* Memory for code made at run time: what is written at one address is executed at the other, neither is ever both, and a
 * child of fork() has none of it. */
#include "host/code_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE ((size_t)1 << 20)

typedef int function(void);

/* mov eax, value; ret */
static void put_function(uint8_t *at, int value)
{
    *at++ = 0xb8;
    memcpy(at, &value, sizeof(value));
    at[sizeof(value)] = 0xc3;
}

static int call(const uint8_t *at)
{
    function *f;
    memcpy(&f, &at, sizeof(f));
    return f();
}

/* The rights ("rw-s") of the mapping that holds the address, "" when there is none. */
static void find_rights(const void *address, char rights[5])
{
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    strcpy(rights, "");
    while (fgets(line, sizeof(line), maps)) {
        unsigned long start, end;
        char found[5];
        if (sscanf(line, "%lx-%lx %4s", &start, &end, found) == 3 && (unsigned long)address >= start &&
            (unsigned long)address < end)
            strcpy(rights, found);
    }
    fclose(maps);
}

static void executes_what_is_written(void **state)
{
    (void)state;
    struct host_code_memory m;
    assert_int_equal(host_code_memory_map(&m, SIZE, NULL), 0);
    for (int i = 0; i < 3; i++) {
        put_function(m.write + SIZE - 64, i);
        assert_int_equal(call(m.exec + SIZE - 64), i);
    }
    host_code_memory_unmap(&m);
    assert_null(m.write);
}

static void is_never_both(void **state)
{
    (void)state;
    struct host_code_memory m;
    char rights[5];
    assert_int_equal(host_code_memory_map(&m, SIZE, NULL), 0);
    find_rights(m.write, rights);
    assert_string_equal(rights, "rw-s");
    find_rights(m.exec, rights);
    assert_string_equal(rights, "r-xs");
    host_code_memory_unmap(&m);
}

static int child_check(struct host_code_memory *m, const uint8_t *write, const uint8_t *exec)
{
    char rights[5];
    find_rights(write, rights);
    if (*rights)
        return 1;
    find_rights(exec, rights);
    if (*rights)
        return 2;
    host_code_memory_forget(m);
    if (host_code_memory_map(m, SIZE, NULL))
        return 3;
    put_function(m->write, 7);
    return call(m->exec) == 7 ? 0 : 4;
}

static void child_has_its_own(void **state)
{
    (void)state;
    struct host_code_memory m;
    int status;
    assert_int_equal(host_code_memory_map(&m, SIZE, NULL), 0);
    put_function(m.write, 5);
    pid_t pid = fork();
    if (pid == 0)
        _exit(child_check(&m, m.write, m.exec));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(call(m.exec), 5);
    host_code_memory_unmap(&m);
}

/* Neither a limit on files nor one on descriptors stands in the way. */
static void needs_no_file(void **state)
{
    (void)state;
    struct host_code_memory m;
    struct rlimit size, files;
    getrlimit(RLIMIT_FSIZE, &size);
    getrlimit(RLIMIT_NOFILE, &files);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){0, size.rlim_max}), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, files.rlim_max}), 0);
    int r = host_code_memory_map(&m, SIZE, NULL);
    setrlimit(RLIMIT_FSIZE, &size);
    setrlimit(RLIMIT_NOFILE, &files);
    assert_int_equal(r, 0);
    host_code_memory_unmap(&m);
}

static void says_what_to_do(void **state)
{
    (void)state;
    struct host_code_memory m;
    struct guise_error err = {0};
    assert_int_equal(host_code_memory_map(&m, (size_t)1 << 62, &err), GUISE_E_NOMEM);
    assert_non_null(strstr(err.text, "--engine=interp"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(executes_what_is_written), cmocka_unit_test(is_never_both),
        cmocka_unit_test(child_has_its_own),        cmocka_unit_test(needs_no_file),
        cmocka_unit_test(says_what_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
