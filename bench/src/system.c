/* The way into the system and back: system calls, time, pipes, mappings, signals. */
#include "kernel.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint64_t null_call(unsigned scale)
{
    uint64_t same = 0;
    long parent = syscall(SYS_getppid);
    for (unsigned i = 0; i < scale * 1000; i++)
        same += syscall(SYS_getppid) == parent;
    return same;
}

static uint64_t clock_reads(unsigned scale)
{
    struct timespec now, before = {0, 0};
    uint64_t forward = 0;
    for (unsigned i = 0; i < scale * 1000; i++) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        forward +=
            now.tv_sec > before.tv_sec || (now.tv_sec == before.tv_sec && now.tv_nsec >= before.tv_nsec);
        before = now;
    }
    return forward;
}

static uint64_t pipe_bytes(unsigned scale)
{
    int ends[2];
    char data[512];
    uint64_t sum = 0;
    memset(data, 3, sizeof(data));
    if (pipe(ends) < 0)
        return 0;
    for (unsigned i = 0; i < scale * 100; i++) {
        sum += (uint64_t)write(ends[1], data, sizeof(data));
        sum += (uint64_t)read(ends[0], data, sizeof(data)) + (uint64_t)data[i % 512];
    }
    return sum;
}

static uint64_t files(unsigned scale)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < scale * 100; i++) {
        struct stat status;
        char byte = 1;
        int fd = open("/dev/zero", O_RDONLY);
        sum += fd >= 0 && read(fd, &byte, 1) == 1 && fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) &&
               byte == 0;
        close(fd);
    }
    return sum;
}

static uint64_t mappings(unsigned scale)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < scale * 100; i++) {
        char *memory = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            return 0;
        memory[i % 16384] = 1;
        sum += (uint64_t)memory[i % 16384];
        munmap(memory, 16384);
    }
    return sum;
}

static volatile sig_atomic_t taken;

static void take(int number)
{
    taken += number;
}

static uint64_t signals(unsigned scale)
{
    signal(SIGUSR1, take);
    taken = 0;
    for (unsigned i = 0; i < scale * 100; i++)
        raise(SIGUSR1);
    return (uint64_t)taken / SIGUSR1;
}

const struct kernel kernels[] = {
    {"null-call", null_call}, {"clock", clock_reads}, {"pipe", pipe_bytes}, {"files", files},
    {"mappings", mappings},   {"signals", signals},   {NULL, NULL},
};
