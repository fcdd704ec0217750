/* RLIMIT_AS, RLIMIT_DATA and RLIMIT_STACK hold for the guest's memory, in children and in programs that it starts, and leave
 * the monitor's own needs alone.
 * reference: native qemu-user 7.2 ignores them
 * not under: address thread, whose shadow memory is over every limit
 */
#include "test.h"
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define MB(n) ((size_t)(n) << 20)

static void *map_with(size_t size, int prot)
{
    return mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void *map(size_t size)
{
    return map_with(size, PROT_READ | PROT_WRITE);
}

static void set(int resource, size_t soft)
{
    if (setrlimit((__rlimit_resource_t)resource, &(struct rlimit){soft, RLIM_INFINITY}))
        _exit(77);
}

static bool no_memory(void *result)
{
    return result == MAP_FAILED && errno == ENOMEM;
}

static void limit_memory(void)
{
    set(RLIMIT_AS, MB(512));
    void *small = map(MB(1)), *large = map(MB(1024));
    bool refused = no_memory(large);
    void *block = malloc(MB(1024));
    set(RLIMIT_AS, RLIM_INFINITY);
    void *after = map(MB(1024));
    _exit(small != MAP_FAILED && refused && !block && after != MAP_FAILED ? 1 : 2);
}

static void limit_growth(void)
{
    char *p = map(MB(4));
    set(RLIMIT_AS, MB(256));
    bool refused = no_memory(mremap(p, MB(4), MB(512), MREMAP_MAYMOVE));
    p = mremap(p, MB(4), MB(8), MREMAP_MAYMOVE);
    bool replaced =
        p != MAP_FAILED && mmap(p, MB(8), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p;
    bool shared = no_memory(mmap(NULL, MB(512), PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    _exit(refused && replaced && shared ? 1 : 2);
}

static void limit_brk(void)
{
    char *start = sbrk(0);
    set(RLIMIT_DATA, MB(16));
    bool small = brk(start + 4096) == 0, large = brk(start + MB(256)) == 0;
    _exit(small && !large && sbrk(0) == start + 4096 ? 1 : 2);
}

static void limit_data(void)
{
    char *constant = map_with(MB(256), PROT_READ);
    set(RLIMIT_DATA, MB(64));
    bool refused = no_memory(map(MB(256)));
    bool readable = map_with(MB(256), PROT_READ) != MAP_FAILED;
    bool kept = mprotect(constant, MB(256), PROT_READ | PROT_WRITE) == -1 && errno == ENOMEM;
    bool shared =
        mmap(NULL, MB(256), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
    _exit(refused && readable && kept && shared ? 1 : 2);
}

static void *answer(void *arg)
{
    *(int *)arg = 42;
    return NULL;
}

/* All that is allowed is used: what the monitor needs for code that runs for the first time, for threads and for
 * processes is not taken from that. */
static void use_everything(void)
{
    static char stack[MB(1)] __attribute__((aligned(4096)));
    char *volatile own = malloc(100000); /* what libc needs for a thread */
    set(RLIMIT_AS, MB(128));
    for (size_t size = MB(64); size >= 4096; size /= 2)
        while (map(size) != MAP_FAILED)
            ;
    free(own);
    char text[64];
    int value = 0;
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setstack(&attr, stack, sizeof stack);
    bool made = pthread_create(&thread, &attr, answer, &value) == 0 && pthread_join(thread, NULL) == 0;
    snprintf(text, sizeof text, "%.6f %a", 1.0 / 3, 1.0 / 3);
    pid_t child = fork();
    int status = -1;
    if (child == 0)
        _exit(strtod(text, NULL) > 0.3 ? 9 : 8);
    waitpid(child, &status, 0);
    _exit(made && value == 42 && shell_status(status) == 9 ? 1 : 2);
}

static void limit_and_fork(void)
{
    set(RLIMIT_AS, MB(256));
    pid_t child = fork();
    int status;
    if (child == 0)
        _exit(no_memory(map(MB(512))) ? 1 : 2);
    waitpid(child, &status, 0);
    _exit(shell_status(status));
}

static void limit_and_exec(void)
{
    setrlimit(RLIMIT_AS, &(struct rlimit){MB(1024), MB(1024)});
    setrlimit(RLIMIT_DATA, &(struct rlimit){MB(512), MB(768)});
    setrlimit(RLIMIT_STACK, &(struct rlimit){MB(3), RLIM_INFINITY});
    execl("/proc/self/exe", "limit_as", "limited", (char *)NULL);
    _exit(errno);
}

/* Between vfork() and execve() the limit is the child's alone. */
static void limit_in_vfork(void)
{
    int status = -1;
    pid_t child = vfork();
    if (child == 0)
        limit_and_exec();
    waitpid(child, &status, 0);
    struct rlimit limit;
    getrlimit(RLIMIT_AS, &limit);
    _exit(shell_status(status) == 1 && limit.rlim_cur == RLIM_INFINITY && map(MB(2048)) != MAP_FAILED ? 1
                                                                                                      : 2);
}

static bool limit_is(int resource, size_t soft, size_t hard)
{
    struct rlimit limit;
    return getrlimit((__rlimit_resource_t)resource, &limit) == 0 && limit.rlim_cur == soft &&
           limit.rlim_max == hard;
}

static int limited(void)
{
    if (!limit_is(RLIMIT_AS, MB(1024), MB(1024)) || !limit_is(RLIMIT_DATA, MB(512), MB(768)))
        return 3;
    if (!limit_is(RLIMIT_STACK, MB(3), RLIM_INFINITY))
        return 4;
    if (!no_memory(map(MB(768))))
        return 5;
    return no_memory(map_with(MB(2048), PROT_READ)) && map(MB(32)) != MAP_FAILED ? 1 : 6;
}

static void read_back(void)
{
    static const size_t values[] = {0, 4096, 12345, MB(1), MB(100), MB(4096)};
    static const int kinds[] = {RLIMIT_DATA, RLIMIT_STACK, RLIMIT_AS};
    for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++)
        for (unsigned k = 0; k < 3; k++) {
            set(kinds[k], values[i]);
            bool same = limit_is(kinds[k], values[i], RLIM_INFINITY);
            set(kinds[k], RLIM_INFINITY);
            if (!same)
                _exit(2);
        }
    _exit(1);
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        return limited();
    EQ("limits are read back as they were set", shell_status(in_child(read_back)), 1);
    EQ("RLIMIT_AS", shell_status(in_child(limit_memory)), 1);
    EQ("RLIMIT_AS and mappings that grow", shell_status(in_child(limit_growth)), 1);
    EQ("RLIMIT_DATA and the heap", shell_status(in_child(limit_brk)), 1);
    EQ("RLIMIT_DATA and mappings", shell_status(in_child(limit_data)), 1);
    EQ("nothing is left", shell_status(in_child(use_everything)), 1);
    EQ("across fork", shell_status(in_child(limit_and_fork)), 1);
    EQ("across exec", shell_status(in_child(limit_and_exec)), 1);
    EQ("between vfork and exec", shell_status(in_child(limit_in_vfork)), 1);
    return test_end();
}
