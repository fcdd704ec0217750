/* Bad pointers in every pointer argument of the system calls: always an errno, never the end of the monitor.
 * reference: native qemu-user 7.2 follows some of them
 * timeout: 120
 */
#include "test.h"
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { PAGE = 4096 };

/* What each letter of a signature says of its argument: i number, p path or other input, o output; capitals may be NULL.
 * The numbers before it stand for themselves. */
struct call {
    const char *name;
    long number;
    const char *kinds;
    long arguments[6];
    void (*prepare)(void);
};

static char *unmapped, *read_only, *edge; /* edge: one byte before an unmapped page */
static char buffer[8192];
static int file, directory, tube[2], pair[2], datagram[2], epoll, inotify, timer_fd, listener, client,
    message_queue, semaphores;
static timer_t timer;
static char path[] = "file";
static struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "sock"};

#define P(x) ((long)(x))

static void one_byte(void)
{
    char drain[64];
    while (read(tube[0], drain, sizeof drain) > 0)
        ;
    if (write(tube[1], "12345678", 8) != 8)
        say("BAD pipe");
}
static void one_datagram(void)
{
    char drain[64];
    while (recv(datagram[0], drain, sizeof drain, MSG_DONTWAIT) > 0)
        ;
    send(datagram[1], "12345678", 8, 0);
}
static void one_client(void)
{
    int peer;
    while ((peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
        close(peer);
    if (client >= 0)
        close(client);
    client = socket(AF_UNIX, SOCK_STREAM, 0);
    connect(client, (void *)&address, sizeof address);
}
static void one_child(void)
{
    while (waitpid(-1, NULL, 0) > 0)
        ;
    if (fork() == 0)
        _exit(0);
    siginfo_t info;
    waitid(P_ALL, 0, &info, WEXITED | WNOWAIT);
}
static void one_signal(void)
{
    raise(SIGUSR1);
}
static void rewind_directory(void)
{
    lseek(directory, 0, SEEK_SET);
}
static void one_message(void)
{
    struct {
        long type;
        char text[8];
    } message = {1, "message"};
    while (msgrcv(message_queue, &message, 8, 0, IPC_NOWAIT) > 0)
        ;
    message.type = 1;
    msgsnd(message_queue, &message, 8, 0);
}

static struct iovec vector = {buffer, 8};
static struct timespec instant = {0, 1};
static sigset_t set;
static struct epoll_event event = {.events = EPOLLIN};
static struct msghdr header;

#define CALL(name, kinds, ...)                         \
    {                                                  \
#name, SYS_##name, kinds, {__VA_ARGS__ }, NULL \
    }
#define CALL_WITH(prepare, name, kinds, ...)              \
    {                                                     \
#name, SYS_##name, kinds, {__VA_ARGS__ }, prepare \
    }

static struct call *calls(size_t *count)
{
    struct call table[] = {
        CALL_WITH(one_byte, read, "ioi", tube[0], P(buffer), 8),
        CALL(write, "ipi", tube[1], P(buffer), 8),
        CALL(pread64, "ioii", file, P(buffer), 8, 0),
        CALL(pwrite64, "ipii", file, P(buffer), 8, 0),
        CALL_WITH(one_byte, readv, "ipi", tube[0], P(&vector), 1),
        CALL(writev, "ipi", tube[1], P(&vector), 1),
        CALL(preadv, "ipiii", file, P(&vector), 1, 0, 0),
        CALL(pwritev, "ipiii", file, P(&vector), 1, 0, 0),
        CALL(openat, "ipi", AT_FDCWD, P(path), O_RDONLY),
        CALL(newfstatat, "ipoi", AT_FDCWD, P(path), P(buffer), 0),
        CALL(fstat, "io", file, P(buffer)),
        CALL(statx, "ipiio", AT_FDCWD, P(path), 0, 0x7ff, P(buffer)),
        CALL(statfs, "po", P(path), P(buffer)),
        CALL(fstatfs, "io", file, P(buffer)),
        CALL(getcwd, "oi", P(buffer), 4096),
        CALL(mkdirat, "ipi", AT_FDCWD, P("file"), 0777),
        CALL(mknodat, "ipii", AT_FDCWD, P("file"), S_IFIFO | 0600, 0),
        CALL(unlinkat, "ipi", AT_FDCWD, P("no"), 0),
        CALL(renameat2, "ipipi", AT_FDCWD, P("no"), AT_FDCWD, P("new"), 0),
        CALL(linkat, "ipipi", AT_FDCWD, P(path), AT_FDCWD, P("link"), 0),
        CALL(symlinkat, "pip", P("to"), AT_FDCWD, P("file")),
        CALL(readlinkat, "ipoi", AT_FDCWD, P("link"), P(buffer), 64),
        CALL(faccessat, "ipi", AT_FDCWD, P(path), R_OK),
        CALL(fchmodat, "ipi", AT_FDCWD, P(path), 0644),
        CALL(fchownat, "ipiii", AT_FDCWD, P(path), -1, -1, 0),
        CALL(utimensat, "ipPi", AT_FDCWD, P(path), P(&instant), 0),
        CALL(truncate, "pi", P(path), 100),
        CALL(chdir, "p", P(".")),
        CALL(chroot, "p", P("no")),
        CALL(pipe2, "oi", P(buffer), 0),
        CALL(getdents64, "ioi", directory, P(buffer), 4096),
        CALL(ppoll, "piPPi", P(buffer), 1, P(&instant), P(&set), 8),
        CALL(pselect6, "iPPPPP", 4, 0, 0, 0, P(&instant), 0),
        CALL(epoll_ctl, "iiip", epoll, EPOLL_CTL_MOD, tube[0], P(&event)),
        CALL_WITH(one_byte, epoll_pwait, "ioiiPi", epoll, P(buffer), 1, 0, P(&set), 8),
        CALL(nanosleep, "pO", P(&instant), P(buffer)),
        CALL(clock_nanosleep, "iipO", CLOCK_MONOTONIC, 0, P(&instant), P(buffer)),
        CALL(clock_gettime, "io", CLOCK_THREAD_CPUTIME_ID, P(buffer)),
        CALL(clock_getres, "iO", CLOCK_REALTIME, P(buffer)),
        CALL(gettimeofday, "OO", P(buffer), P(buffer + 100)),
        CALL(times, "O", P(buffer)),
        CALL(getrusage, "io", RUSAGE_SELF, P(buffer)),
        CALL(uname, "o", P(buffer)),
        CALL(sysinfo, "o", P(buffer)),
        CALL(getrlimit, "io", RLIMIT_NOFILE, P(buffer)),
        CALL(prlimit64, "iiPO", 0, RLIMIT_NOFILE, 0, P(buffer)),
        CALL(getitimer, "io", ITIMER_REAL, P(buffer)),
        CALL(setitimer, "iPO", ITIMER_REAL, P(buffer + 1000), P(buffer)),
        CALL(timer_create, "iPo", CLOCK_REALTIME, 0, P(buffer)),
        CALL(timer_gettime, "io", P(timer), P(buffer)),
        CALL(timer_settime, "iipO", P(timer), 0, P(buffer + 1000), P(buffer)),
        CALL(timerfd_settime, "iipO", timer_fd, 0, P(buffer + 1000), P(buffer)),
        CALL(timerfd_gettime, "io", timer_fd, P(buffer)),
        CALL(rt_sigaction, "iPOi", SIGUSR2, 0, P(buffer), 8),
        CALL(rt_sigprocmask, "iPOi", SIG_BLOCK, P(&set), P(buffer), 8),
        CALL(rt_sigpending, "oi", P(buffer), 8),
        CALL_WITH(one_signal, rt_sigtimedwait, "pOPi", P(&set), P(buffer), P(&instant), 8),
        CALL(rt_sigsuspend, "pi", 0, 8),
        CALL(rt_sigqueueinfo, "iip", 0, 0, 0),
        CALL(sigaltstack, "PO", 0, P(buffer)),
        CALL(signalfd4, "ipii", -1, P(&set), 8, 0),
        CALL(futex, "piiPii", P(buffer + 2000), FUTEX_WAIT, 0, P(&instant), 0, 0),
        CALL(sched_getaffinity, "iio", 0, 128, P(buffer)),
        CALL(sched_setaffinity, "iip", 0, 128, 0),
        CALL(sched_getparam, "io", 0, P(buffer)),
        CALL(sched_setparam, "ip", 0, P(buffer + 1000)),
        CALL(sched_rr_get_interval, "io", 0, P(buffer)),
        CALL(getcpu, "OOi", P(buffer), P(buffer + 8), 0),
        CALL(getrandom, "oii", P(buffer), 8, 0),
        CALL(getresuid, "ooo", P(buffer), P(buffer), P(buffer)),
        CALL(getresgid, "ooo", P(buffer), P(buffer), P(buffer)),
        CALL(prctl, "ipiii", PR_SET_NAME, P("name"), 0, 0, 0),
        CALL(prctl, "ioiii", PR_GET_NAME, P(buffer), 0, 0, 0),
        CALL_WITH(one_child, wait4, "iOiO", -1, P(buffer), 0, P(buffer + 100)),
        CALL_WITH(one_child, waitid, "iiOiO", P_ALL, 0, P(buffer), WEXITED, P(buffer + 200)),
        CALL(socketpair, "iiio", AF_UNIX, SOCK_STREAM, 0, P(buffer)),
        CALL(bind, "ipi", pair[0], P(&address), 20),
        CALL(connect, "ipi", pair[0], P(&address), 20),
        CALL_WITH(one_client, accept4, "iOoi", listener, P(buffer), P(buffer + 1000), 0),
        CALL(getsockname, "ioo", listener, P(buffer), P(buffer + 2020)),
        CALL(getpeername, "ioo", pair[0], P(buffer), P(buffer + 2020)),
        CALL(sendto, "ipiiPi", datagram[0], P(buffer), 8, MSG_DONTWAIT, 0, 16),
        CALL_WITH(one_datagram, recvfrom, "ioiiOO", datagram[0], P(buffer), 8, MSG_DONTWAIT, P(buffer + 100),
                  P(buffer + 2020)),
        CALL(sendmsg, "ipi", datagram[0], P(&header), MSG_DONTWAIT),
        CALL_WITH(one_datagram, recvmsg, "ipi", datagram[0], P(&header), MSG_DONTWAIT),
        CALL(sendmmsg, "ipii", datagram[0], P(&header), 1, MSG_DONTWAIT),
        CALL_WITH(one_datagram, recvmmsg, "ipiiP", datagram[0], P(&header), 1, MSG_DONTWAIT, 0),
        CALL(setsockopt, "iiipi", pair[0], SOL_SOCKET, SO_SNDBUF, P(buffer), 4),
        CALL(getsockopt, "iiioo", pair[0], SOL_SOCKET, SO_TYPE, P(buffer), P(&vector.iov_len)),
        CALL(getxattr, "ppii", P(path), P("user.no"), P(buffer), 64),
        CALL(setxattr, "pppii", P(path), P("bad"), P(buffer), 8, 0),
        CALL(inotify_add_watch, "ipi", inotify, P("."), IN_CREATE),
        CALL(memfd_create, "pi", P("name"), 0),
        CALL(mq_open, "piiP", P("no"), O_RDONLY, 0, 0),
        CALL(mq_unlink, "p", P("no")),
        CALL(msgsnd, "ipii", message_queue, P(buffer + 3000), 8, IPC_NOWAIT),
        CALL_WITH(one_message, msgrcv, "ioiii", message_queue, P(buffer), 8, 0, IPC_NOWAIT),
        CALL(msgctl, "iio", message_queue, IPC_STAT, P(buffer)),
        CALL(semop, "ipi", semaphores, P(buffer), 1),
        CALL(semctl, "iiio", semaphores, 0, IPC_STAT, P(buffer)),
        CALL(execve, "pPP", P("/proc/self/exe"), 0, 0),
        CALL(copy_file_range, "iPiPii", file, P(buffer + 1000), file, P(buffer + 1100), 0, 0),
        CALL(sendfile, "iiPi", tube[1], file, P(buffer + 1000), 8),
        CALL(mincore, "iio", P(edge) & -PAGE, PAGE, P(buffer)),
        CALL(fcntl, "iio", file, F_GETLK, P(buffer + 1000)),
        CALL(ioctl, "iio", tube[0], 0x541b, P(buffer)), /* FIONREAD */
        CALL(capget, "po", P(buffer + 1200), P(buffer)),
        CALL(process_vm_readv, "ipipii", getpid(), P(&vector), 1, P(&vector), 1, 0),
        CALL(clone3, "pi", 0, 88),

        CALL(openat2, "ippi", AT_FDCWD, P(path), P(buffer + 1300), 24),
        CALL(faccessat2, "ipii", AT_FDCWD, P(path), R_OK, 0),
    };
    static struct call copy[sizeof table / sizeof table[0]];
    memcpy(copy, table, sizeof table);
    *count = sizeof table / sizeof table[0];
    return copy;
}

/* How a call ended. One that met a bad page after the first byte may have moved that byte. */
static void report(const struct call *call, int argument, const char *kind, const void *pointer,
                   bool must_fault, long result, int error)
{
    char fact[128];
    const char *end = result != -1 ? "succeeds" : errno_name(error);
    if (pointer == edge && (result == 1 || (result == -1 && error == EFAULT)))
        end = "EFAULT or a part";
    snprintf(fact, sizeof fact, "%s argument %d %s: %s", call->name, argument + 1, kind, end);
    OK(fact, !must_fault || (result == -1 && error == EFAULT));
}

static void try(const struct call *call, int argument, const char *kind, const void *pointer, bool must_fault)
{
    long a[6];
    memcpy(a, call->arguments, sizeof a);
    a[argument] = P(pointer);
    memset(buffer, 0, sizeof buffer);
    *edge = 'a';
    *(unsigned *)(buffer + 1000) = 110;        /* the length of accept4; F_RDLCK is 0 */
    *(unsigned *)(buffer + 1200) = 0x20080522; /* capget's version */
    *(long *)(buffer + 3000) = 1;              /* a message's type */
    if (call->number == SYS_copy_file_range || call->number == SYS_sendfile || call->number == SYS_fcntl ||
        call->number == SYS_setitimer || call->number == SYS_timer_settime ||
        call->number == SYS_timerfd_settime || call->number == SYS_sched_setparam)
        *(unsigned *)(buffer + 1000) = 0;
    *(unsigned *)(buffer + 2020) = 110;
    vector = (struct iovec){buffer, 8};
    if (call->number == SYS_getsockopt)
        vector.iov_len = 4;
    header = (struct msghdr){.msg_iov = &vector, .msg_iovlen = 1};
    if (call->prepare)
        call->prepare();
    errno = 0;
    long result = syscall(call->number, a[0], a[1], a[2], a[3], a[4], a[5]);
    report(call, argument, kind, pointer, must_fault, result, errno);
}

static void try_all(const struct call *call, int argument)
{
    char kind = call->kinds[argument];
    bool out = kind == 'o' || kind == 'O', null_is_bad = kind == 'o' || kind == 'p';
    /* The kernel looks at these only when it has something to say. */
    bool lazy = call->number == SYS_nanosleep || call->number == SYS_clock_nanosleep ||
                call->number == SYS_process_vm_readv;
    if (null_is_bad)
        try(call, argument, "NULL", NULL, false);
    try(call, argument, "unmapped", unmapped, !lazy);
    try(call, argument, "page zero", (void *)64, !lazy);
    try(call, argument, "kernel half", (void *)0xffffffff80000000, !lazy);
    try(call, argument, "last page", (void *)0xfffffffffffff008, !lazy);
    try(call, argument, "no address", (void *)0x8000000000000000, !lazy);
    if (out)
        try(call, argument, "read-only", read_only, false);
    try(call, argument, "across a page end", edge, false);
}

static void set_up(void)
{
    struct sigevent none = {.sigev_notify = SIGEV_NONE};
    char *p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(p + PAGE, 2 * PAGE);
    unmapped = p + PAGE + 64;
    edge = p + PAGE - 1;
    read_only = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    enter_scratch();
    file = (int)MUST(open("file", O_RDWR | O_CREAT, 0644));
    MUST(ftruncate(file, 10000));
    MUST(symlink("somewhere", "link"));
    directory = (int)MUST(open(".", O_RDONLY | O_DIRECTORY));
    MUST(pipe2(tube, O_NONBLOCK));
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, datagram));
    MUST(bind(datagram[1], (struct sockaddr *)&(struct sockaddr_un){AF_UNIX, "name"}, sizeof address));
    epoll = (int)MUST(epoll_create1(0));
    MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, tube[0], &event));
    inotify = (int)MUST(inotify_init1(0));
    timer_fd = (int)MUST(timerfd_create(CLOCK_MONOTONIC, 0));
    MUST(timer_create(CLOCK_REALTIME, &none, &timer));
    listener = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    MUST(bind(listener, (void *)&address, sizeof address));
    MUST(listen(listener, 4));
    fcntl(listener, F_SETFL, O_NONBLOCK);
    client = -1;
    message_queue = (int)MUST(msgget(IPC_PRIVATE, 0600));
    semaphores = (int)MUST(semget(IPC_PRIVATE, 1, 0600));
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

int main(void)
{
    size_t count;
    set_up();
    struct call *table = calls(&count);
    for (size_t i = 0; i < count; i++)
        for (int argument = 0; table[i].kinds[argument]; argument++)
            if (table[i].kinds[argument] != 'i') {
                if (table[i].number == SYS_getdents64)
                    rewind_directory();
                try_all(&table[i], argument);
            }
    msgctl(message_queue, IPC_RMID, NULL);
    semctl(semaphores, 0, IPC_RMID);
    leave_scratch();
    return test_end();
}
