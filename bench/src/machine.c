/* What a kernel and its devices are asked for, inside a computer: processes, page faults, pipes, system calls, a disk. */
#define _GNU_SOURCE
#include "kernel.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE  4096
#define BLOCK (1 << 20)
#define DISK  "/dev/vdb"

static uint64_t nothing(unsigned scale)
{
    return scale;
}

static uint64_t fork_exec(unsigned scale)
{
    uint64_t ended = 0;
    for (unsigned i = 0; i < scale; i++) {
        pid_t child = fork();
        if (child == 0) {
            close(STDOUT_FILENO);
            execl("/proc/self/exe", "machine", "nothing", "0", (char *)NULL);
            _exit(1);
        }
        int status;
        ended += waitpid(child, &status, 0) == child && status == 0;
    }
    return ended;
}

static uint64_t faults(unsigned scale)
{
    const size_t size = (size_t)1000 * PAGE;
    uint64_t sum = 0;
    for (unsigned i = 0; i < scale; i++) {
        char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            return 0;
        for (size_t at = 0; at < size; at += PAGE)
            sum += (uint64_t)(memory[at] = (char)(1 + (at & 7)));
        munmap(memory, size);
    }
    return sum;
}

static void echo(int in, int out)
{
    char byte;
    while (read(in, &byte, 1) == 1 && write(out, &byte, 1) == 1)
        ;
    _exit(0);
}

static uint64_t ping_pong(unsigned scale)
{
    int to[2], from[2];
    uint64_t sum = 0;
    if (pipe(to) < 0 || pipe(from) < 0)
        return 0;
    pid_t child = fork();
    if (child == 0) {
        close(to[1]);
        echo(to[0], from[1]);
    }
    for (unsigned i = 0; i < scale * 1000; i++) {
        char byte = (char)(i & 7), back = 0;
        if (write(to[1], &byte, 1) == 1 && read(from[0], &back, 1) == 1)
            sum += (uint64_t)back + 1;
    }
    close(to[1]);
    waitpid(child, NULL, 0);
    return sum;
}

static uint64_t system_calls(unsigned scale)
{
    uint64_t same = 0;
    long parent = syscall(SYS_getppid);
    for (unsigned i = 0; i < scale * 1000; i++)
        same += syscall(SYS_getppid) == parent;
    return same;
}

/* ---- The disk: without the guest's cache ---- */

static int open_disk(uint8_t **buffer, off_t *size)
{
    int fd = open(DISK, O_RDWR | O_DIRECT);
    if (fd < 0 || posix_memalign((void **)buffer, PAGE, BLOCK)) {
        perror(DISK);
        exit(1);
    }
    *size = lseek(fd, 0, SEEK_END);
    return fd;
}

static uint64_t disk_read(unsigned scale)
{
    uint8_t *buffer;
    off_t size;
    uint64_t sum = 0;
    int fd = open_disk(&buffer, &size);
    for (unsigned i = 0; i < scale; i++)
        for (off_t at = 0; at < size; at += BLOCK)
            sum += (uint64_t)pread(fd, buffer, BLOCK, at) + buffer[at / BLOCK];
    return sum;
}

static uint64_t disk_random(unsigned scale)
{
    uint8_t *buffer;
    off_t size;
    uint32_t state = 1;
    uint64_t sum = 0;
    int fd = open_disk(&buffer, &size);
    for (unsigned i = 0; i < scale * 1000; i++)
        sum +=
            (uint64_t)pread(fd, buffer, PAGE, (off_t)(next_random(&state) % (uint64_t)(size / PAGE)) * PAGE);
    return sum;
}

static uint64_t disk_write(unsigned scale)
{
    uint8_t *buffer;
    off_t size;
    uint32_t state = 1;
    uint64_t sum = 0;
    int fd = open_disk(&buffer, &size);
    for (unsigned i = 0; i < scale * 100; i++) {
        off_t at = (off_t)(next_random(&state) % (uint64_t)(size / PAGE)) * PAGE;
        sum += (uint64_t)pwrite(fd, buffer, PAGE, at) + (uint64_t)(fsync(fd) == 0);
    }
    return sum;
}

const struct kernel kernels[] = {
    {"nothing", nothing},         {"fork-exec", fork_exec},       {"faults", faults},
    {"ping-pong", ping_pong},     {"system-calls", system_calls}, {"disk-read", disk_read},
    {"disk-random", disk_random}, {"disk-write", disk_write},     {NULL, NULL},
};
