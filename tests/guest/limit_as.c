/* RLIMIT_AS and RLIMIT_DATA hold for the guest's memory and leave the monitor's alone.
 * reference: native qemu-user 7.2 ignores them
 */
#include "test.h"
#include <sys/mman.h>
#include <sys/resource.h>

static void *map(size_t size)
{
    return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void limit_memory(void)
{
    setrlimit(RLIMIT_AS, &(struct rlimit){1UL << 29, RLIM_INFINITY});
    void *small = map(1 << 20), *large = map(1UL << 30);
    int error = errno;
    void *block = malloc(1UL << 30);
    setrlimit(RLIMIT_AS, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
    void *after = map(1UL << 30);
    _exit(small != MAP_FAILED && large == MAP_FAILED && error == ENOMEM && !block && after != MAP_FAILED ? 1
                                                                                                         : 2);
}

static void limit_brk(void)
{
    char *start = sbrk(0);
    setrlimit(RLIMIT_DATA, &(struct rlimit){16 << 20, RLIM_INFINITY});
    bool small = brk(start + 4096) == 0, large = brk(start + (256 << 20)) == 0;
    _exit(small && !large && sbrk(0) == start + 4096 ? 1 : 2);
}

static void limit_and_exec(void)
{
    setrlimit(RLIMIT_AS, &(struct rlimit){1UL << 30, 1UL << 30});
    execl("/proc/self/exe", "limit_as", "limited", (char *)NULL);
    _exit(errno);
}

int main(int argc, char **argv)
{
    (void)argv;
    struct rlimit limit;
    if (argc > 1) {
        getrlimit(RLIMIT_AS, &limit);
        return limit.rlim_cur == 1UL << 30 && map(1UL << 31) == MAP_FAILED ? 1 : 2;
    }
    EQ("RLIMIT_AS", shell_status(in_child(limit_memory)), 1);
    EQ("RLIMIT_DATA", shell_status(in_child(limit_brk)), 1);
    EQ("across exec", shell_status(in_child(limit_and_exec)), 1);
    return test_end();
}
