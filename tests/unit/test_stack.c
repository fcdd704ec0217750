/* The initial stack as a program finds it, and the files of /proc that show it. */
#include "mm_fixture.h"

#include "isa/riscv/isa.h"
#include "process/path.h"
#include "process/procfs.h"
#include "process/stack.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char *arguments[] = {"prog", "one", "", NULL};
static char *environment[] = {"A=1", "HOME=/root", NULL};

static const struct elf_image image = {.entry = 0x5000,
                                       .program_entry = 0x4000,
                                       .base = 0x3000,
                                       .phdr = 0x2040,
                                       .phnum = 7,
                                       .start_code = 0x2000,
                                       .end_code = 0x2800};

struct guest {
    struct process_config config;
    struct process p;
    uint64_t sp;
};

static void build(struct guest *g, void **state, char **argv, char **envp)
{
    *g = (struct guest){.config = {.program = "./prog", .argv = argv, .envp = envp, .address_bits = 39}};
    g->config.extensions =
        1u << RV_EXT_I | 1u << RV_EXT_M | 1u << RV_EXT_C | 1u << RV_EXT_ZBA | 1u << RV_EXT_ZICSR;
    g->p = (struct process){
        .config = &g->config, .mm = enter(state), .exe = "/bin/prog", .sysroot_fd = -1, .vdso_base = 0x7000};
    struct guise_error err = {0};
    if (stack_build(&g->p, &image, &g->sp, &err))
        fail_msg("%s", err.text);
}

static uint64_t word(const struct guest *g, size_t index)
{
    uint64_t value;
    assert_int_equal(mm_read(g->p.mm, &value, g->sp + index * 8, 8), 0);
    return value;
}

static void expect_text(const struct guest *g, uint64_t at, const char *text)
{
    char bytes[64];
    assert_true(strlen(text) < sizeof(bytes));
    assert_int_equal(mm_read(g->p.mm, bytes, at, strlen(text) + 1), 0);
    assert_string_equal(bytes, text);
}

static uint64_t aux(const struct guest *g, size_t start, uint64_t type)
{
    for (size_t i = start; word(g, i); i += 2)
        if (word(g, i) == type)
            return word(g, i + 1);
    return UINT64_MAX;
}

/* ---- The stack ---- */

static void has_everything(void **state)
{
    struct guest g;
    char random[16], zeros[16] = {0};
    build(&g, state, arguments, environment);
    assert_int_equal(g.sp % 16, 0);
    assert_int_equal(word(&g, 0), 3);
    expect_text(&g, word(&g, 1), "prog");
    expect_text(&g, word(&g, 2), "one");
    expect_text(&g, word(&g, 3), "");
    assert_int_equal(word(&g, 4), 0);
    expect_text(&g, word(&g, 5), "A=1");
    expect_text(&g, word(&g, 6), "HOME=/root");
    assert_int_equal(word(&g, 7), 0);
    assert_int_equal(aux(&g, 8, AT_SYSINFO_EHDR), 0x7000);
    assert_int_equal(aux(&g, 8, AT_PHDR), 0x2040);
    assert_int_equal(aux(&g, 8, AT_PHENT), 56);
    assert_int_equal(aux(&g, 8, AT_PHNUM), 7);
    assert_int_equal(aux(&g, 8, AT_BASE), 0x3000);
    assert_int_equal(aux(&g, 8, AT_ENTRY), 0x4000);
    assert_int_equal(aux(&g, 8, AT_PAGESZ), 4096);
    assert_int_equal(aux(&g, 8, AT_UID), getuid());
    assert_int_equal(aux(&g, 8, AT_HWCAP), 1 << ('i' - 'a') | 1 << ('m' - 'a') | 1 << ('c' - 'a'));
    assert_int_equal(aux(&g, 8, 51 /* AT_MINSIGSTKSZ */), 1088);
    expect_text(&g, aux(&g, 8, AT_EXECFN), "./prog");
    assert_int_equal(mm_read(g.p.mm, random, aux(&g, 8, AT_RANDOM), 16), 0);
    assert_memory_not_equal(random, zeros, 16);

    struct mm_region r;
    assert_true(mm_find(g.p.mm, g.sp, &r));
    assert_string_equal(r.name, "[stack]");
    assert_true(r.growsdown);
    assert_int_equal(r.end, mm_layout(g.p.mm)->stack_top);
    assert_int_equal(word(&g, 1), g.p.arg_start);
    assert_int_equal(word(&g, 5), g.p.env_start);
}

static void stays_aligned(void **state)
{
    char *list[8] = {0};
    for (size_t count = 0; count < 7; count++) {
        struct guest g;
        mm_free(*state);
        *state = new_mm();
        for (size_t i = 0; i < count; i++)
            list[i] = &"abcdefg"[i];
        build(&g, state, list, environment + count % 2);
        assert_int_equal(g.sp % 16, 0);
        assert_int_equal(word(&g, 0), count);
        assert_int_equal(aux(&g, count + 5 - count % 2, AT_PHNUM), 7);
    }
}

static void refuses_long_lists(void **state)
{
    struct guest g = {.config = {.program = "./prog", .envp = environment}};
    struct guise_error err = {0};
    char *big = malloc((128 << 10) + 1), *one[] = {big, NULL}, **many = calloc(4097, sizeof(*many));
    memset(big, 'x', 128 << 10);
    big[128 << 10] = 0;
    g.p = (struct process){.config = &g.config, .mm = enter(state)};
    g.config.argv = one;
    assert_int_equal(stack_build(&g.p, &image, &g.sp, &err), GUISE_E_EXEC);
    assert_string_equal(err.text, "./prog: argument list too long");
    big[(128 << 10) - 1] = 0; /* 131,072 bytes with the NUL: the longest string there is */
    assert_int_equal(stack_build(&g.p, &image, &g.sp, &err), 0);
    for (size_t i = 0; i < 4096; i++)
        many[i] = big + 120000; /* 45 MB in all */
    g.config.argv = many;
    assert_int_equal(stack_build(&g.p, &image, &g.sp, &err), GUISE_E_EXEC);
    free(many);
    free(big);
}

/* ---- /proc ---- */

static size_t read_file(struct guest *g, int dirfd, const char *path, char *text, size_t size)
{
    int64_t fd = -1;
    assert_true(procfs_open(&g->p, dirfd, path, O_RDONLY | O_CLOEXEC, &fd));
    assert_true(fd >= 0);
    assert_int_equal(fcntl((int)fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    assert_int_equal(fcntl((int)fd, F_GETFD), FD_CLOEXEC);
    ssize_t n = read((int)fd, text, size - 1);
    assert_true(n >= 0);
    text[n] = 0;
    close((int)fd);
    return (size_t)n;
}

static void shows_the_guest(void **state)
{
    struct guest g;
    char text[8192], path[64];
    build(&g, state, arguments, environment);
    assert_int_equal(read_file(&g, AT_FDCWD, "/proc/self/cmdline", text, sizeof(text)), 10);
    assert_memory_equal(text, "prog\0one\0", 10);
    snprintf(path, sizeof(path), "/proc/%d/./environ", getpid());
    assert_int_equal(read_file(&g, AT_FDCWD, path, text, sizeof(text)), 15);
    assert_memory_equal(text, "A=1\0HOME=/root", 15);
    assert_int_equal(read_file(&g, AT_FDCWD, "/proc/thread-self/auxv", text, sizeof(text)),
                     g.p.auxv_words * 8);
    assert_memory_equal(text, g.p.auxv, g.p.auxv_words * 8);
    int directory = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    read_file(&g, directory, "../maps", text, sizeof(text));
    assert_non_null(strstr(text, "[stack]\n"));
    assert_null(strstr(text, "test_stack")); /* nothing of the monitor */
    close(directory);

    /* A title set by the guest, longer than its arguments: on into the environment. */
    assert_int_equal(mm_write(g.p.mm, g.p.arg_start, "a longer title", 15), 0);
    assert_int_equal(read_file(&g, AT_FDCWD, "/proc/self/cmdline", text, sizeof(text)), 14);
    assert_string_equal(text, "a longer title");
}

static void shows_stat_and_cpuinfo(void **state)
{
    struct guest g;
    char text[65536], *at;
    unsigned long values[52] = {0};
    build(&g, state, arguments, environment);
    read_file(&g, AT_FDCWD, "/proc/self/stat", text, sizeof(text));
    assert_int_equal(atoi(text), getpid());
    at = strrchr(text, ')') + 4;
    for (unsigned field = 4; field <= 52; field++)
        values[field - 1] = strtoul(at, &at, 10);
    assert_int_equal(values[23 - 1], mm_size(g.p.mm));
    assert_int_equal(values[26 - 1], image.start_code);
    assert_int_equal(values[28 - 1], g.sp);
    assert_int_equal(values[48 - 1], g.p.arg_start);
    assert_int_equal(values[51 - 1], g.p.env_end);
    assert_string_equal(at, "\n");
    read_file(&g, AT_FDCWD, "/proc/cpuinfo", text, sizeof(text));
    assert_non_null(strstr(text, "processor\t: 0\nhart\t\t: 0\nisa\t\t: rv64imc_zicsr_zba\nmmu\t\t: sv39\n"));
}

static void follows_exe(void **state)
{
    struct guest g;
    char target[64], path[PATH_SIZE];
    int64_t length = 0;
    build(&g, state, arguments, environment);
    assert_true(procfs_readlink(&g.p, AT_FDCWD, "/proc/self/exe", target, sizeof(target), &length));
    assert_int_equal(length, 9);
    assert_memory_equal(target, "/bin/prog", 9);
    assert_true(procfs_readlink(&g.p, AT_FDCWD, "/proc/self/exe", target, 4, &length));
    assert_int_equal(length, 4);
    assert_true(procfs_follow(&g.p, AT_FDCWD, "/proc/../proc/thread-self/exe", path));
    assert_string_equal(path, "/bin/prog");
    assert_false(procfs_follow(&g.p, AT_FDCWD, "/proc/1/exe", path));
    assert_false(procfs_follow(&g.p, AT_FDCWD, "/etc/exe", path));
    assert_false(procfs_open(&g.p, AT_FDCWD, "/proc/1/maps", O_RDONLY, &length));
    assert_false(procfs_open(&g.p, AT_FDCWD, "/proc/self/limits", O_RDONLY, &length));
    assert_false(procfs_open(&g.p, AT_FDCWD, "/tmp/maps", O_RDONLY, &length));
    assert_false(procfs_open(&g.p, AT_FDCWD, "/proc/self/maps", O_RDWR, &length));
}

/* ---- The sysroot ---- */

static void resolves_in_the_sysroot(void **state)
{
    char directory[] = "/tmp/guise-test-XXXXXX", path[PATH_SIZE], expected[64];
    (void)state;
    assert_non_null(mkdtemp(directory));
    struct process p = {.sysroot_fd = open(directory, O_PATH | O_CLOEXEC)};
    assert_int_equal(mkdirat(p.sysroot_fd, "lib", 0755), 0);
    close(openat(p.sysroot_fd, "lib/a", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    assert_int_equal(symlinkat("/lib/a", p.sysroot_fd, "link"), 0);
    snprintf(expected, sizeof(expected), "%s/lib/a", directory);
    path_resolve(&p, strcpy(path, "/link"));
    assert_string_equal(path, expected);
    path_resolve(&p, strcpy(path, "/../../lib/./a"));
    assert_string_equal(path, expected);
    path_resolve(&p, strcpy(path, "/etc/passwd"));
    assert_string_equal(path, "/etc/passwd");
    path_resolve(&p, strcpy(path, "lib/a"));
    assert_string_equal(path, "lib/a");
    unlinkat(p.sysroot_fd, "link", 0);
    unlinkat(p.sysroot_fd, "lib/a", 0);
    unlinkat(p.sysroot_fd, "lib", AT_REMOVEDIR);
    close(p.sysroot_fd);
    rmdir(directory);
    p.sysroot_fd = -1;
    path_resolve(&p, strcpy(path, "/lib/a"));
    assert_string_equal(path, "/lib/a");
}

#define MM_TEST(name) cmocka_unit_test_setup_teardown(name, mm_setup, mm_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MM_TEST(has_everything),
        MM_TEST(stays_aligned),
        MM_TEST(refuses_long_lists),
        MM_TEST(shows_the_guest),
        MM_TEST(shows_stat_and_cpuinfo),
        MM_TEST(follows_exe),
        cmocka_unit_test(resolves_in_the_sysroot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
