/* Programs that become unusable while they are loaded: a clear error, and the caller has its signals again. */
#include "elf_sample.h"
#include "process/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* The file to cut when the program is mapped; the linker puts this wrapper in the place of mm_mmap(). */
static int cut_fd = -1;

int64_t __real_mm_mmap(struct mm *mm, uint64_t address, uint64_t length, int prot, int flags, int fd,
                       uint64_t offset);
int64_t __wrap_mm_mmap(struct mm *mm, uint64_t address, uint64_t length, int prot, int flags, int fd,
                       uint64_t offset);

int64_t __wrap_mm_mmap(struct mm *mm, uint64_t address, uint64_t length, int prot, int flags, int fd,
                       uint64_t offset)
{
    if (cut_fd >= 0 && ftruncate(cut_fd, 0))
        fail_msg("ftruncate");
    return __real_mm_mmap(mm, address, length, prot, flags, fd, offset);
}

static void before_load(int number)
{
    (void)number;
}

static void a_file_that_is_cut_while_it_is_loaded(void **state)
{
    (void)state;
    char path[] = "/tmp/guise-test-XXXXXX";
    char *arguments[] = {path, NULL};
    struct elf_sample sample;
    struct sigaction action;
    sigset_t mask;
    struct guise_error err = {0};
    elf_sample_make(&sample, ET_EXEC, 0x10000, NULL);
    cut_fd = mkstemp(path);
    assert_true(cut_fd >= 0);
    assert_int_equal(write(cut_fd, &sample, sizeof(sample)), sizeof(sample));
    const struct process_config config = {.program = path,
                                          .argv = arguments,
                                          .envp = arguments + 1,
                                          .address_bits = 39,
                                          .monitor_fd = -1,
                                          .report_fd = -1};
    signal(SIGSEGV, before_load);
    signal(SIGBUS, before_load);
    int status = process_exec(&config, &err);
    assert_true(status < 0);
    assert_int_equal(err.code, status);
    assert_non_null(strstr(err.text, path));
    sigaction(SIGSEGV, NULL, &action);
    assert_ptr_equal(action.sa_handler, before_load);
    sigaction(SIGBUS, NULL, &action);
    assert_ptr_equal(action.sa_handler, before_load);
    sigprocmask(SIG_BLOCK, NULL, &mask);
    assert_false(sigismember(&mask, SIGUSR1));
    close(cut_fd);
    cut_fd = -1;
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_is_cut_while_it_is_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
