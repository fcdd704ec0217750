/* The host's copy of the list of system calls that new architectures have: another source than syscalls.def. */
#include <bits/wordsize.h>
#include <stddef.h>
#include <string.h>

struct listed {
    int number;
    const char *name;
};

const struct listed *generic_list(size_t *count);

#undef __BITS_PER_LONG
#define __BITS_PER_LONG 64
#define __ARCH_WANT_NEW_STAT
#define __ARCH_WANT_SET_GET_RLIMIT
#define __ARCH_WANT_SYS_CLONE3
#define __ARCH_WANT_MEMFD_SECRET
#define __SYSCALL(number, function) {number, #function},

static struct listed list[] = {
#include <asm-generic/unistd.h>
};

/* Kernel functions that are not called as the system call is. */
static const char *const renamed[][2] = {
    {"newuname", "uname"},      {"newfstat", "fstat"},         {"umount", "umount2"},
    {"sendfile64", "sendfile"}, {"fadvise64_64", "fadvise64"},
};

static const char *plain_name(const char *function)
{
    const char *name = function + strlen("sys_");
    for (size_t i = 0; i < sizeof renamed / sizeof *renamed; i++)
        if (!strcmp(name, renamed[i][0]))
            return renamed[i][1];
    return name;
}

const struct listed *generic_list(size_t *count)
{
    *count = sizeof list / sizeof *list;
    for (size_t i = 0; i < *count; i++)
        if (!strncmp(list[i].name, "sys_", 4))
            list[i].name = plain_name(list[i].name);
    return list;
}
