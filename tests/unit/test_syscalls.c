/* The table of system calls against the host's own copy of the generic list, translations of structures, and calls with
 * arguments that no program gives. */
#include "cpu/riscv/code.h"
#include "isa/riscv/isa.h"
#include "process/guest_abi.h"
#include "process/serve.h"
#include "process/strace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- The list of Linux ---- */

struct listed {
    int number;
    const char *name;
};

const struct listed *generic_list(size_t *count);

static void has_a_row_for_every_number(void **state)
{
    (void)state;
    size_t count;
    const struct listed *list = generic_list(&count);
    assert_true(count > 300);
    for (size_t i = 0; i < count; i++) {
        const struct syscall_row *row = syscall_row((uint64_t)list[i].number);
        if (!strcmp(list[i].name, "ni_syscall")) /* given up by Linux */
            continue;
        if (!row->name)
            fail_msg("no row for %d, %s", list[i].number, list[i].name);
        assert_string_equal(row->name, list[i].name);
    }
}

static void rows_say_what_they_do(void **state)
{
    (void)state;
    unsigned known = 0;
    for (uint64_t i = 0; i < SYSCALL_COUNT; i++) {
        const struct syscall_row *row = syscall_row(i);
        if (!row->name)
            continue;
        known++;
        assert_int_equal(!!row->handler + (row->host >= 0) + !!row->error, 1);
        for (unsigned j = 0; j < 6; j++) {
            uint32_t arg = row->arg[j];
            bool by_count = ARG_CLASS(arg) > CLASS_FIXED;
            assert_true(j == 0 || ARG_PRINT(arg) == PRINT_NOTHING ||
                        ARG_PRINT(row->arg[j - 1]) != PRINT_NOTHING);
            if (by_count) /* by one that is there and is a value */
                assert_true(ARG_PRINT(row->arg[ARG_INDEX(arg)]) != PRINT_NOTHING &&
                            ARG_CLASS(row->arg[ARG_INDEX(arg)]) == CLASS_VALUE);
        }
    }
    assert_in_range(known, 310, 330);
}

static void unknown_numbers_have_no_name(void **state)
{
    (void)state;
    static const uint64_t numbers[] = {244, 257, 295, 423, SYSCALL_COUNT, 5000, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        assert_null(syscall_row(numbers[i])->name);
}

/* ---- A guest without code: its memory, and calls made for it ---- */

static struct {
    struct process_config config;
    struct process process;
    struct thread thread;
} vm;

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)info;
    if (!host_copy_fault(context))
        signal(number, SIG_DFL);
}

static void catch_faults(void)
{
    const struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

static int64_t call_number(uint64_t number, const uint64_t *args)
{
    bool restartable;
    vm.thread.hart.x[17] = number;
    memcpy(&vm.thread.hart.x[10], args, 6 * sizeof *args);
    return syscall_serve(&vm.thread, &restartable);
}

#define guest(number, ...) call_number(number, (const uint64_t[6]){__VA_ARGS__})

enum {
    G_FCNTL = 25,
    G_OPENAT = 56,
    G_CLOSE = 57,
    G_READ = 63,
    G_WRITE = 64,
    G_READV = 65,
    G_PSELECT6 = 72,
    G_PPOLL = 73,
    G_NEWFSTATAT = 79,
    G_FSTAT = 80,
    G_CLOCK_GETTIME = 113,
    G_SETUID = 146,
    G_SETRESUID = 147,
    G_GETRESUID = 148,
    G_GETGROUPS = 158,
    G_SETGROUPS = 159,
    G_UNAME = 160,
    G_GETUID = 174,
    G_MUNMAP = 215,
    G_MMAP = 222,
    G_EPOLL_CREATE1 = 20,
    G_EPOLL_CTL = 21,
    G_EPOLL_PWAIT = 22,
    G_PIPE2 = 59,
    G_DUP3 = 24,
    G_PRLIMIT64 = 261,
    G_HWPROBE = 258,
    G_CLOSE_RANGE = 436,
};

#define PAGES 16

static uint64_t memory; /* PAGES of the guest's, then a hole */

static int start(void **state)
{
    (void)state;
    static const struct code_ops ops = {.executable = mm_executable};
    struct guise_error err = {0};
    uint64_t extensions = 0;
    for (unsigned ext = 0; ext < RV_EXT_COUNT; ext++)
        extensions |= (uint64_t)1 << ext;
    vm.config = (struct process_config){
        .monitor_fd = -1, .report_fd = -1, .address_bits = 39, .extensions = extensions};
    vm.process = (struct process){.config = &vm.config, .sysroot_fd = -1, .thread_count = 1};
    pthread_mutex_init(&vm.process.lock, NULL);
    if (mm_new(&vm.process.mm, 39, &err) ||
        code_new(&vm.process.code, &ops, vm.process.mm, mm_base(vm.process.mm), extensions, &err))
        return -1;
    mm_set_code(vm.process.mm, vm.process.code);
    vm.thread.process = &vm.process;
    vm.thread.tid = getpid();
    vm.thread.hart.mem_base = mm_base(vm.process.mm);
    vm.thread.hart.mem_limit = mm_limit(vm.process.mm);
    int64_t address = guest(G_MMAP, 0, (PAGES + 1) * MM_PAGE, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1, 0);
    if (address < 0 || guest(G_MUNMAP, (uint64_t)address + PAGES * MM_PAGE, MM_PAGE))
        return -1;
    memory = (uint64_t)address;
    return 0;
}

static int end(void **state)
{
    (void)state;
    code_free(vm.process.code);
    mm_free(vm.process.mm);
    return 0;
}

static void put(uint64_t at, const void *data, size_t size)
{
    assert_int_equal(copy_to_guest(&vm.thread, memory + at, data, size), 0);
}

static void get(uint64_t at, void *data, size_t size)
{
    assert_int_equal(copy_from_guest(&vm.thread, data, memory + at, size), 0);
}

#define HOLE (memory + PAGES * MM_PAGE)

/* ---- Structures ---- */

static void stat_is_the_generic_one(void **state)
{
    (void)state;
    catch_faults();
    struct stat host;
    struct guest_stat generic;
    put(0, "/etc/passwd", 12);
    assert_int_equal(stat("/etc/passwd", &host), 0);
    assert_int_equal(guest(G_NEWFSTATAT, (uint64_t)AT_FDCWD, memory, memory + 256, 0), 0);
    get(256, &generic, sizeof generic);
    assert_int_equal(generic.ino, host.st_ino);
    assert_int_equal(generic.mode, host.st_mode);
    assert_int_equal(generic.nlink, host.st_nlink);
    assert_int_equal(generic.size, host.st_size);
    assert_int_equal(generic.blksize, host.st_blksize);
    assert_int_equal(generic.mtime_nsec, host.st_mtim.tv_nsec);
    assert_int_equal(guest(G_NEWFSTATAT, (uint64_t)AT_FDCWD, memory, HOLE - 100, 0), -EFAULT);
    assert_int_equal(guest(G_NEWFSTATAT, (uint64_t)AT_FDCWD, HOLE, memory, 0), -EFAULT);
}

/* More events than are translated at once, each with its data. */
static void epoll_events_are_spread(void **state)
{
    (void)state;
    catch_faults();
    enum { TUBES = 50 };
    int tubes[TUBES][2];
    bool seen[TUBES] = {false};
    int epoll = (int)guest(G_EPOLL_CREATE1, 0);
    for (uint64_t i = 0; i < TUBES; i++) {
        const struct guest_epoll_event event = {
            .events = EPOLLOUT, .pad = 7, .data = UINT64_C(0x123456789a) << 16 | i};
        assert_int_equal(guest(G_PIPE2, memory, 0), 0);
        get(0, tubes[i], sizeof tubes[i]);
        put(0, &event, sizeof event);
        assert_int_equal(guest(G_EPOLL_CTL, (uint64_t)epoll, EPOLL_CTL_ADD, (uint64_t)tubes[i][1], memory),
                         0);
    }
    assert_int_equal(guest(G_EPOLL_PWAIT, (uint64_t)epoll, memory, TUBES, 0, 0, 0), TUBES);
    for (uint64_t i = 0; i < TUBES; i++) {
        struct guest_epoll_event event;
        get(i * sizeof event, &event, sizeof event);
        assert_int_equal(event.events, EPOLLOUT);
        assert_int_equal(event.data >> 16, 0x123456789a);
        assert_true((event.data & 0xffff) < TUBES && !seen[event.data & 0xffff]);
        seen[event.data & 0xffff] = true;
    }
    assert_int_equal(guest(G_EPOLL_PWAIT, (uint64_t)epoll, memory, 0, 0, 0, 0), -EINVAL);
    assert_int_equal(guest(G_EPOLL_PWAIT, (uint64_t)epoll, memory, INT32_MAX, 0, 0, 0), -EINVAL);
    assert_int_equal(guest(G_EPOLL_PWAIT, (uint64_t)epoll, HOLE, 4, 0, 0, 0), -EFAULT);
    for (int i = 0; i < TUBES; i++) {
        close(tubes[i][0]);
        close(tubes[i][1]);
    }
    close(epoll);
}

static void semid_ds_has_no_padding(void **state)
{
    (void)state;
    struct semid_ds host = {
        .sem_otime = 11, .sem_ctime = 22, .sem_nsems = 33, .sem_perm = {.__key = 44, .mode = 0640}};
    struct guest_semid_ds generic = guest_semid_ds(&host);
    const uint64_t *words = (const uint64_t *)&generic;
    assert_int_equal(words[6], 11);
    assert_int_equal(words[7], 22);
    assert_int_equal(words[8], 33);
    struct semid_ds back = host_semid_ds(&generic);
    assert_int_equal(back.sem_otime, 11);
    assert_int_equal(back.sem_ctime, 22);
    assert_int_equal(back.sem_nsems, 33);
    assert_int_equal(back.sem_perm.__key, 44);
    assert_int_equal(back.sem_perm.mode, 0640);
}

static void uname_says_riscv64(void **state)
{
    (void)state;
    char names[6][65];
    assert_int_equal(guest(G_UNAME, memory), 0);
    get(0, names, sizeof names);
    assert_string_equal(names[0], "Linux");
    assert_string_equal(names[4], "riscv64");
}

/* ---- Vectors and pointers ---- */

static void vectors_are_checked(void **state)
{
    (void)state;
    catch_faults();
    int zero = open("/dev/zero", O_RDONLY);
    struct iovec good[2] = {{(void *)(memory + MM_PAGE), 8}, {(void *)(memory + 2 * MM_PAGE), 8}};
    struct iovec bad[2] = {{(void *)(memory + MM_PAGE), 8}, {(void *)(uintptr_t)&vm, 8}};
    struct iovec negative[1] = {{(void *)memory, SIZE_MAX}};
    put(0, good, sizeof good);
    assert_int_equal(guest(G_READV, (uint64_t)zero, memory, 2), 16);
    assert_int_equal(guest(G_READV, (uint64_t)zero, memory, 1025), -EINVAL);
    assert_int_equal(guest(G_READV, (uint64_t)zero, memory, UINT64_MAX), -EINVAL);
    assert_int_equal(guest(G_READV, (uint64_t)zero, HOLE, 1), -EFAULT);
    put(0, bad, sizeof bad); /* memory of the monitor */
    assert_int_equal(guest(G_READV, (uint64_t)zero, memory, 2), -EFAULT);
    put(0, negative, sizeof negative);
    assert_int_equal(guest(G_READV, (uint64_t)zero, memory, 1), -EINVAL);
    close(zero);
}

static void the_monitor_is_out_of_reach(void **state)
{
    (void)state;
    catch_faults();
    int zero = open("/dev/zero", O_RDONLY);
    uint64_t own = (uint64_t)&vm, limit = mm_limit(vm.process.mm);
    assert_int_equal(guest(G_READ, (uint64_t)zero, own, 8), -EFAULT);
    assert_int_equal(guest(G_READ, (uint64_t)zero, limit - 4, 8), -EFAULT);
    assert_int_equal(guest(G_READ, (uint64_t)zero, memory, UINT64_MAX), -EFAULT);
    assert_int_equal(guest(G_CLOCK_GETTIME, CLOCK_MONOTONIC, own), -EFAULT);
    assert_int_equal(guest(G_CLOCK_GETTIME, CLOCK_MONOTONIC, UINT64_MAX), -EFAULT);
    assert_int_equal(guest(G_CLOCK_GETTIME, 1000, memory), -EINVAL);
    close(zero);
}

/* Calls that neither end, nor stop, nor change anything for others. */
static bool may_be_fuzzed(const struct syscall_row *row)
{
    static const char *const never[] = {"kill",
                                        "tkill",
                                        "tgkill",
                                        "rt_sigqueueinfo",
                                        "rt_tgsigqueueinfo",
                                        "exit",
                                        "exit_group",
                                        "reboot",
                                        "execve",
                                        "execveat",
                                        "clone",
                                        "clone3",
                                        "rt_sigreturn",
                                        "rt_sigsuspend",
                                        "rt_sigtimedwait",
                                        "rt_sigaction",
                                        "rt_sigprocmask",
                                        "sigaltstack",
                                        "rt_sigpending",
                                        "ppoll",
                                        "pselect6",
                                        "epoll_pwait",
                                        "epoll_pwait2",
                                        "nanosleep",
                                        "clock_nanosleep",
                                        "read",
                                        "readv",
                                        "wait4",
                                        "waitid",
                                        "accept",
                                        "accept4",
                                        "futex",
                                        "futex_wait",
                                        "futex_waitv",
                                        "flock",
                                        "setitimer",
                                        "timer_create",
                                        "timer_settime",
                                        "mmap",
                                        "munmap",
                                        "mremap",
                                        "mprotect",
                                        "madvise",
                                        "brk",
                                        "shmat",
                                        "shmdt",
                                        "close",
                                        "close_range",
                                        "dup3",
                                        "vhangup",
                                        "sync",
                                        "syncfs",
                                        "unshare",
                                        "setns",
                                        "chroot",
                                        "chdir",
                                        "fchdir",
                                        "pivot_root",
                                        "mount",
                                        "umount2",
                                        "sethostname",
                                        "setdomainname",
                                        "settimeofday",
                                        "clock_settime",
                                        "adjtimex",
                                        "clock_adjtime",
                                        "swapon",
                                        "swapoff",
                                        "acct",
                                        "setpriority",
                                        "prlimit64",
                                        "setrlimit",
                                        "syslog",
                                        "personality",
                                        "prctl",
                                        "capset",
                                        "landlock_restrict_self",
                                        "setgroups",
                                        "setuid",
                                        "setgid",
                                        "setreuid",
                                        "setregid",
                                        "setresuid",
                                        "setresgid",
                                        "setfsuid",
                                        "setfsgid",
                                        "sched_setaffinity",
                                        "sched_setscheduler",
                                        "sched_setparam",
                                        "sched_setattr",
                                        "setpgid",
                                        "setsid",
                                        "mlockall",
                                        "pidfd_send_signal",
                                        "process_mrelease",
                                        "msgrcv",
                                        "semop",
                                        "semtimedop",
                                        "mseal",
                                        "fcntl",
                                        "ioctl",
                                        "umask",
                                        "move_pages",
                                        "migrate_pages",
                                        "mbind",
                                        "set_mempolicy",
                                        "remap_file_pages",
                                        "keyctl",
                                        "add_key",
                                        "request_key",
                                        "ioprio_set",
                                        "fanotify_mark",
                                        "quotactl",
                                        "vmsplice",
                                        "splice",
                                        "tee",
                                        "write",
                                        "writev",
                                        "pwrite64",
                                        "pwritev",
                                        "pwritev2",
                                        "fallocate",
                                        "ftruncate",
                                        "fchmod",
                                        "fchown",
                                        "fsetxattr",
                                        "sendfile",
                                        "copy_file_range",
                                        "process_vm_writev",
                                        "mq_timedreceive",
                                        "recvfrom",
                                        "recvmsg",
                                        "recvmmsg",
                                        "sendmmsg",
                                        "utimensat",
                                        "shmctl",
                                        "msgctl",
                                        "semctl",
                                        "setxattr",
                                        "lsetxattr"};
    for (size_t i = 0; i < ARRAY_SIZE(never); i++)
        if (!strcmp(row->name, never[i]))
            return false;
    return row->handler || row->host >= 0;
}

static uint64_t wild(uint64_t *random)
{
    static const uint64_t plain[] = {0,    1,         8,          4096,       1024,
                                     1025, INT32_MAX, UINT32_MAX, UINT64_MAX, UINT64_C(1) << 63};
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    uint64_t r = *random >> 33;
    switch (r % 5) {
    case 0: return plain[r / 5 % ARRAY_SIZE(plain)];
    case 1: return memory + r / 5 % (PAGES * MM_PAGE);
    case 2: return HOLE - r / 5 % 64;
    case 3: return mm_limit(vm.process.mm) - r / 5 % 64;
    default: return (uint64_t)&vm + r / 5 % sizeof vm;
    }
}

/* In a child, so that a crash of what serves the calls is seen as one. */
static void wild_arguments_do_no_harm(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        uint64_t random = 1;
        catch_faults();
        alarm(60);
        if (chdir("/") || close(0) || close(1))
            _exit(1);
        for (unsigned round = 0; round < 60; round++)
            for (uint64_t number = 0; number < SYSCALL_COUNT; number++) {
                const struct syscall_row *row = syscall_row(number);
                uint64_t args[6];
                for (unsigned i = 0; i < 6; i++)
                    args[i] = ARG_IS_FD(row->arg[i]) ? UINT64_MAX : wild(&random);
                if (row->name && may_be_fuzzed(row))
                    call_number(number, args);
            }
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* ---- Descriptors of the monitor ---- */

static void monitor_descriptors_do_not_exist(void **state)
{
    (void)state;
    catch_faults();
    int low = open("/dev/null", O_RDONLY), own = fcntl(low, F_DUPFD, 500), high = fcntl(low, F_DUPFD, 600);
    vm.config.monitor_fd = own;
    assert_int_equal(guest(G_CLOSE, (uint64_t)own), -EBADF);
    assert_int_equal(guest(G_DUP3, (uint64_t)low, (uint64_t)own, 0), -EBADF);
    assert_int_equal(guest(G_FSTAT, (uint64_t)own, memory), -EBADF);
    assert_int_equal(guest(G_FCNTL, (uint64_t)own, F_GETFD), -EBADF);
    assert_int_equal(guest(G_CLOSE_RANGE, (uint64_t)own - 1, UINT32_MAX, 0), 0);
    assert_true(fcntl(own, F_GETFD) >= 0);
    assert_int_equal(fcntl(high, F_GETFD), -1);
    assert_int_equal(guest(G_CLOSE_RANGE, (uint64_t)own, (uint64_t)own, 0), 0);
    assert_true(fcntl(own, F_GETFD) >= 0);
    assert_int_equal(guest(G_CLOSE_RANGE, 700, 600, 0), -EINVAL);
    vm.config.monitor_fd = -1;
    assert_int_equal(guest(G_CLOSE, (uint64_t)own), 0);
    close(low);
}

/* ---- Ids ---- */

static void check_uids(uint32_t real, uint32_t effective, uint32_t saved)
{
    uint32_t id[3];
    assert_int_equal(guest(G_GETRESUID, memory, memory + 4, memory + 8), 0);
    get(0, id, sizeof id);
    assert_int_equal(id[0], real);
    assert_int_equal(id[1], effective);
    assert_int_equal(id[2], saved);
}

static void kept_ids_follow_the_rules(void **state)
{
    (void)state;
    catch_faults();
    const uint32_t groups[2] = {7, 8};
    const uint64_t keep = UINT32_MAX;
    vm.config.fake_ids = true;
    vm.process.ids = (struct guest_ids){.known = true, .group_count = -1};
    put(64, groups, sizeof groups);
    assert_int_equal(guest(G_SETGROUPS, 2, memory + 64), 0);
    assert_int_equal(guest(G_GETGROUPS, 0, 0), 2);
    assert_int_equal(guest(G_GETGROUPS, 1, memory), -EINVAL);
    assert_int_equal(guest(G_SETRESUID, keep, 100, 0), 0);
    check_uids(0, 100, 0);
    assert_int_equal(guest(G_SETUID, 5), -EPERM);
    assert_int_equal(guest(G_SETUID, 0), 0);
    check_uids(0, 0, 0);
    assert_int_equal(guest(G_SETUID, 100), 0);
    check_uids(100, 100, 100);
    assert_int_equal(guest(G_GETUID, 0), 100);
    assert_int_equal(guest(G_SETUID, 0), -EPERM);
    assert_int_equal(guest(G_SETRESUID, 0, 0, 0), -EPERM);
    assert_int_equal(guest(G_SETGROUPS, 2, memory + 64), -EPERM);
    vm.config.fake_ids = false;
}

/* Sets a soft limit as a guest does; true if it reads back the same and the host has at least `least`. */
static bool takes_limit(unsigned resource, uint64_t soft, uint64_t least)
{
    uint64_t limit[2], now[2];
    struct rlimit host;
    assert_int_equal(guest(G_PRLIMIT64, 0, resource, 0, memory), 0);
    get(0, limit, sizeof limit);
    limit[0] = soft;
    put(0, limit, sizeof limit);
    assert_int_equal(guest(G_PRLIMIT64, 0, resource, memory, 0), 0);
    assert_int_equal(guest(G_PRLIMIT64, 0, resource, 0, memory + 64), 0);
    get(64, now, sizeof now);
    getrlimit((__rlimit_resource_t)resource, &host);
    return !memcmp(now, limit, sizeof now) && host.rlim_cur >= least;
}

static void limits_leave_the_monitor_its_share(void **state)
{
    (void)state;
    catch_faults();
    static const __rlimit_resource_t kinds[] = {RLIMIT_DATA, RLIMIT_STACK};
    const uint64_t wrong[2] = {2 << 20, 1 << 20};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct rlimit before;
        getrlimit(kinds[i], &before);
        bool large = takes_limit(kinds[i], 2 << 20, 2 << 20);
        bool small = takes_limit(kinds[i], 4096, 1 << 20);
        put(0, wrong, sizeof wrong);
        assert_int_equal(guest(G_PRLIMIT64, 0, kinds[i], memory, 0), -EINVAL);
        setrlimit(kinds[i], &before);
        assert_true(large && small);
    }
}

/* ---- RISC-V's own ---- */

static void hwprobe_tells_extensions(void **state)
{
    (void)state;
    catch_faults();
    struct {
        int64_t key;
        uint64_t value;
    } pairs[4] = {{3, 0}, {4, 0}, {6, 0}, {99, 5}};
    uint64_t cpus = 0;
    put(0, pairs, sizeof pairs);
    assert_int_equal(guest(G_HWPROBE, memory, 4, 0, 0, 0), 0);
    get(0, pairs, sizeof pairs);
    assert_int_equal(pairs[0].value, 1);
    assert_int_equal(pairs[1].value & 3, 3);      /* FD, C */
    assert_int_equal(pairs[1].value & 1 << 2, 0); /* no V */
    assert_true(pairs[1].value >> 35 & 1);        /* Zicond */
    assert_int_equal(pairs[2].value, 64);
    assert_int_equal(pairs[3].key, -1);
    assert_int_equal(pairs[3].value, 0);
    assert_int_equal(guest(G_HWPROBE, memory, 4, 0, 0, 2), -EINVAL);
    assert_int_equal(guest(G_HWPROBE, HOLE - 16, 2, 0, 0, 0), -EFAULT);
    assert_int_equal(guest(G_HWPROBE, memory, UINT64_MAX / 8, 0, 0, 0), -EFAULT);
    put(512, &cpus, sizeof cpus);
    assert_int_equal(guest(G_HWPROBE, memory, 1, 8, memory + 512, 0), -EINVAL);
    assert_int_equal(guest(G_HWPROBE, memory, 1, 8, memory + 512, 1), 0);
    get(512, &cpus, sizeof cpus);
    assert_true(cpus != 0);
}

/* ---- --strace ---- */

static void names_are_joined(void **state)
{
    (void)state;
    char text[128];
    strace_names(NAMES_OPEN, O_RDWR | O_CREAT | O_CLOEXEC, text, sizeof text);
    assert_string_equal(text, "O_RDWR|O_CREAT|O_CLOEXEC");
    strace_names(NAMES_PROT, 0, text, sizeof text);
    assert_string_equal(text, "PROT_NONE");
    strace_names(NAMES_MAP, MAP_PRIVATE | MAP_ANONYMOUS | 1u << 30, text, sizeof text);
    assert_string_equal(text, "MAP_PRIVATE|MAP_ANONYMOUS|0x40000000");
    strace_names(NAMES_AT, 0, text, sizeof text);
    assert_string_equal(text, "0");
    strace_names(NAMES_AT_ACCESS, AT_EACCESS | AT_SYMLINK_NOFOLLOW, text, sizeof text);
    assert_string_equal(text, "AT_SYMLINK_NOFOLLOW|AT_EACCESS");
    strace_names(NAMES_SEEK, 99, text, sizeof text);
    assert_string_equal(text, "0x63");
    strace_names(NAMES_CLONE, SIGCHLD | 0x4100, text, sizeof text);
    assert_string_equal(text, "SIGCHLD|CLONE_VM|CLONE_VFORK");
}

/* Makes a call with --strace and returns the line. */
static const char *traced(uint64_t number, const uint64_t *args)
{
    static char text[4096];
    int file = memfd_create("strace", 0);
    vm.config.report_fd = file;
    vm.config.strace = true;
    call_number(number, args);
    vm.config.strace = false;
    vm.config.report_fd = -1;
    ssize_t n = pread(file, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    close(file);
    return text;
}

#define trace(number, ...) traced(number, (const uint64_t[6]){__VA_ARGS__})

static void lines_are_as_of_strace(void **state)
{
    (void)state;
    catch_faults();
    int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDONLY);
    char want[128];
    put(0, "/nonexistent\n\"", 15);
    assert_string_equal(trace(G_OPENAT, (uint64_t)AT_FDCWD, memory, O_RDONLY | O_CLOEXEC),
                        "openat(AT_FDCWD, \"/nonexistent\\n\\\"\", O_RDONLY|O_CLOEXEC) = -1 ENOENT "
                        "(No such file or directory)\n");
    snprintf(want, sizeof want, "write(%d, \"/nonexistent\", 12) = 12\n", null);
    assert_string_equal(trace(G_WRITE, (uint64_t)null, memory, 12), want);
    snprintf(want, sizeof want, "read(%d, \"\\0\\0\\0\", 3) = 3\n", zero);
    assert_string_equal(trace(G_READ, (uint64_t)zero, memory + 64, 3), want);
    snprintf(want, sizeof want, "read(-1, %#llx, 3) = -1 EBADF (Bad file descriptor)\n",
             (unsigned long long)HOLE);
    assert_string_equal(trace(G_READ, (uint64_t)-1, HOLE, 3), want);
    assert_string_equal(trace(400, 1, 2, 3, 4, 5, 6),
                        "syscall_400(0x1, 0x2, 0x3, 0x4, 0x5, 0x6) = -1 ENOSYS (not known to Guise)\n");
    close(null);
    close(zero);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_a_row_for_every_number),
        cmocka_unit_test(rows_say_what_they_do),
        cmocka_unit_test(unknown_numbers_have_no_name),
        cmocka_unit_test(stat_is_the_generic_one),
        cmocka_unit_test(epoll_events_are_spread),
        cmocka_unit_test(semid_ds_has_no_padding),
        cmocka_unit_test(uname_says_riscv64),
        cmocka_unit_test(vectors_are_checked),
        cmocka_unit_test(the_monitor_is_out_of_reach),
        cmocka_unit_test(wild_arguments_do_no_harm),
        cmocka_unit_test(monitor_descriptors_do_not_exist),
        cmocka_unit_test(kept_ids_follow_the_rules),
        cmocka_unit_test(limits_leave_the_monitor_its_share),
        cmocka_unit_test(hwprobe_tells_extensions),
        cmocka_unit_test(names_are_joined),
        cmocka_unit_test(lines_are_as_of_strace),
    };
    return cmocka_run_group_tests(tests, start, end);
}
