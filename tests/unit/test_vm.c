/* The public library: properties, starting and waiting, errors of the start. */
#include <errno.h>
#include <fcntl.h>
#include <guise.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "rv_program.h"

static struct guise_vm *vm_for(const char *program)
{
    struct guise_vm *vm = guise_vm_new(GUISE_PROCESS);
    assert_non_null(vm);
    assert_int_equal(guise_vm_set(vm, "program", program, NULL), 0);
    return vm;
}

static void test_errors(void **state)
{
    (void)state;
    assert_string_equal(guise_error_name(GUISE_E_EXEC), "GUISE_E_EXEC");
    assert_string_equal(guise_error_name(GUISE_OK), "GUISE_OK");
    assert_int_equal(guise_error_status(GUISE_E_USAGE), 2);
    assert_int_equal(guise_error_status(GUISE_E_SYSTEM), 125);
    assert_int_equal(guise_error_status(GUISE_E_EXEC), 126);
    assert_int_equal(guise_error_status(GUISE_E_NOTFOUND), 127);
    assert_int_equal(guise_error_status(GUISE_OK), 0);
    assert_string_equal(guise_error_text(-1000), "no error");
}

static void test_properties(void **state)
{
    static const struct {
        const char *key, *value;
        int result;
    } cases[] = {
        {"engine", "interp", 0},
        {"engine", "steam", GUISE_E_CONFIG},
        {"strace", "on", 0},
        {"strace", "yes", GUISE_E_CONFIG},
        {"stats", "json", 0},
        {"stats", "xml", GUISE_E_CONFIG},
        {"address-bits", "39", 0},
        {"address-bits", "46", 0},
        {"address-bits", "47", GUISE_E_CONFIG},
        {"address-bits", "-40", GUISE_E_CONFIG},
        {"address-bits", "40 ", GUISE_E_CONFIG},
        {"env", "A=B", 0},
        {"env", "A", 0},
        {"env", "=B", GUISE_E_CONFIG},
        {"program", "", GUISE_E_CONFIG},
        {"colour", "red", GUISE_E_CONFIG},
    };
    (void)state;
    struct guise_vm *vm = guise_vm_new(GUISE_PROCESS);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct guise_error err = {0};
        assert_int_equal(guise_vm_set(vm, cases[i].key, cases[i].value, &err), cases[i].result);
        assert_int_equal(err.code, cases[i].result);
        assert_true(cases[i].result == 0 || strlen(err.text) > 0);
    }
    guise_vm_free(vm);
    guise_vm_free(NULL);
}

static void test_cpu(void **state)
{
    static const char *const good[] = {
        "max",        "rv64gc",         "RV64GC",   "rv64gc_zba_zbb",
        "rv64gc,zba", "max,zacas=off",  "max,-zba", "rv64i,+zba,zbb=on",
        "zba=off",    "rv64imac_zicsr",
    };
    static const char *const bad[] = {"",          "min",        "rv64gcq", "max,",   "max,zba=maybe",
                                      "max,i=off", "rv64gc_zzz", "rv32gc",  "max,sm", "rv64gc_svinval"};
    (void)state;
    struct guise_vm *vm = guise_vm_new(GUISE_PROCESS);
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(guise_vm_set(vm, "cpu", good[i], NULL), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(guise_vm_set(vm, "cpu", bad[i], NULL), GUISE_E_CONFIG);
    guise_vm_free(vm);
    assert_string_equal(guise_cpu_extension(0), "i");
    unsigned count = 0;
    while (guise_cpu_extension(count))
        count++;
    assert_true(count > 20 && count <= 64);
}

static void test_exit_status(void **state)
{
    char path[64];
    int status;
    (void)state;
    rv_program_write(path, rv_exit_42, sizeof(rv_exit_42));
    struct guise_vm *vm = vm_for(path);
    for (int i = 0; i < 2; i++) { /* the object can be used again */
        assert_int_equal(guise_vm_pid(vm), 0);
        assert_int_equal(guise_vm_start(vm, NULL), 0);
        assert_true(guise_vm_pid(vm) > 0);
        assert_int_equal(guise_vm_start(vm, NULL), GUISE_E_CONFIG);
        assert_int_equal(guise_vm_wait(vm, &status, NULL), 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    }
    assert_int_equal(guise_vm_wait(vm, &status, NULL), GUISE_E_CONFIG);
    guise_vm_free(vm);
    unlink(path);
}

static void test_signal(void **state)
{
    char path[64];
    int status;
    (void)state;
    rv_program_write(path, rv_illegal, sizeof(rv_illegal));
    struct guise_vm *vm = vm_for(path);
    assert_int_equal(guise_vm_start(vm, NULL), 0);
    assert_int_equal(guise_vm_wait(vm, &status, NULL), 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGILL);
    guise_vm_free(vm);
    unlink(path);
}

/* The program writes the first five bytes of its argv[0] to standard output. */
static void check_argv0(const char *const settings[][2], size_t count, const char *expected)
{
    char path[64], text[6] = "";
    int fds[2], status;
    rv_program_write(path, rv_write_argv0, sizeof(rv_write_argv0));
    struct guise_vm *vm = vm_for(path);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(guise_vm_set(vm, settings[i][0], settings[i][1], NULL), 0);
    assert_int_equal(pipe(fds), 0);
    int out = dup(STDOUT_FILENO);
    dup2(fds[1], STDOUT_FILENO);
    int r = guise_vm_start(vm, NULL);
    dup2(out, STDOUT_FILENO);
    close(out);
    close(fds[1]);
    assert_int_equal(r, 0);
    assert_int_equal(read(fds[0], text, 5), 5);
    close(fds[0]);
    assert_int_equal(guise_vm_wait(vm, &status, NULL), 0);
    assert_int_equal(status, 0);
    assert_string_equal(text, expected);
    guise_vm_free(vm);
    unlink(path);
}

static void test_arguments(void **state)
{
    static const char *const arg[][2] = {{"arg", "first"}, {"arg", "other"}};
    static const char *const argv0[][2] = {{"arg", "first"}, {"argv0", "again"}};
    (void)state;
    check_argv0(NULL, 0, "/tmp/"); /* the program's path */
    check_argv0(arg, 2, "first");
    check_argv0(argv0, 2, "again");
}

static void check_start_fails(const char *program, const char *key, const char *value, int code)
{
    struct guise_error err = {0};
    struct guise_vm *vm = vm_for(program);
    if (key)
        assert_int_equal(guise_vm_set(vm, key, value, NULL), 0);
    assert_int_equal(guise_vm_start(vm, &err), code);
    assert_int_equal(err.code, code);
    assert_true(strlen(err.text) > 0);
    assert_int_equal(guise_vm_pid(vm), 0);
    guise_vm_free(vm);
}

static void test_start_errors(void **state)
{
    char path[64];
    (void)state;
    rv_program_write(path, rv_exit_42, sizeof(rv_exit_42));
    check_start_fails("/nonexistent/program", NULL, NULL, GUISE_E_NOTFOUND);
    check_start_fails("no-such-program-in-path", NULL, NULL, GUISE_E_NOTFOUND);
    check_start_fails("/proc/self/exe", NULL, NULL, GUISE_E_EXEC);
    check_start_fails("/dev/null", NULL, NULL, GUISE_E_EXEC);
    check_start_fails("/", NULL, NULL, GUISE_E_EXEC);
    check_start_fails(path, "cwd", "/nonexistent", GUISE_E_NOTFOUND);
    check_start_fails(path, "sysroot", "/nonexistent", GUISE_E_NOTFOUND);
    check_start_fails(path, "root", "/nonexistent/", GUISE_E_NOTFOUND);
    check_start_fails(path, "root", "no-such:image", GUISE_E_NOTFOUND);
    check_start_fails(path, "root", "..:image", GUISE_E_CONFIG);
    check_start_fails(path, "bind", "/tmp", GUISE_E_CONFIG);
    unlink(path);
    struct guise_error err = {0};
    struct guise_vm *vm = guise_vm_new(GUISE_PROCESS);
    assert_int_equal(guise_vm_start(vm, &err), GUISE_E_CONFIG);
    guise_vm_free(vm);
}

static void test_images(void **state)
{
    char data[] = "/tmp/guise-test-XXXXXX", path[128];
    struct guise_image *images;
    size_t count;
    (void)state;
    assert_non_null(mkdtemp(data));
    setenv("GUISE_DATA", data, 1);
    assert_int_equal(guise_image_list(&images, &count, NULL), 0);
    assert_int_equal(count, 0);
    guise_images_free(images, count);
    const char *const made[] = {"images", "images/debian", "images/debian/trixie", "images/debian/.sid.new",
                                "images/debian/trixie/etc"};
    for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", data, made[i]);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    assert_int_equal(guise_image_list(&images, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_string_equal(images[0].name, "debian:trixie");
    guise_images_free(images, count);
    assert_int_equal(guise_image_remove("debian:sid", NULL), GUISE_E_NOTFOUND);
    assert_int_equal(guise_image_remove("../debian:trixie", NULL), GUISE_E_CONFIG);
    assert_int_equal(guise_image_remove("debian:.sid.new", NULL), GUISE_E_CONFIG);
    assert_int_equal(guise_image_remove("debian:trixie", NULL), 0);
    assert_int_equal(guise_image_list(&images, &count, NULL), 0);
    assert_int_equal(count, 0);
    guise_images_free(images, count);
    for (size_t i = 4; i-- > 0;) { /* one of them was removed */
        snprintf(path, sizeof(path), "%s/%s", data, made[i]);
        rmdir(path);
    }
    assert_int_equal(rmdir(data), 0);
    unsetenv("GUISE_DATA");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),       cmocka_unit_test(test_properties),
        cmocka_unit_test(test_cpu),          cmocka_unit_test(test_exit_status),
        cmocka_unit_test(test_signal),       cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_start_errors), cmocka_unit_test(test_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
