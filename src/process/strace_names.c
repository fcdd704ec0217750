/* Names of flags and enumerations for --strace. */
#include "base/util.h"
#include "process/strace.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/memfd.h>
#include <linux/prctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct name {
    uint64_t value;
    const char *text;
};

#define NAME(x)           \
    {                     \
        (uint64_t)(x), #x \
    }

static const struct name open_names[] = {
    NAME(O_RDONLY),   NAME(O_WRONLY),
    NAME(O_RDWR),     NAME(O_CREAT),
    NAME(O_EXCL),     NAME(O_NOCTTY),
    NAME(O_TRUNC),    NAME(O_APPEND),
    NAME(O_NONBLOCK), NAME(O_SYNC),
    NAME(O_DSYNC),    NAME(O_ASYNC),
    NAME(O_DIRECT),   {0100000, "O_LARGEFILE"},
    NAME(O_TMPFILE),  NAME(O_DIRECTORY),
    NAME(O_NOFOLLOW), NAME(O_NOATIME),
    NAME(O_CLOEXEC),  NAME(O_PATH),
};

static const struct name at_names[] = {
    NAME(AT_SYMLINK_NOFOLLOW),      NAME(AT_REMOVEDIR),  NAME(AT_SYMLINK_FOLLOW),
    NAME(AT_NO_AUTOMOUNT),          NAME(AT_EMPTY_PATH), {0x2000, "AT_STATX_FORCE_SYNC"},
    {0x4000, "AT_STATX_DONT_SYNC"},
};

static const struct name at_access_names[] = {NAME(AT_SYMLINK_NOFOLLOW), NAME(AT_EACCESS),
                                              NAME(AT_EMPTY_PATH)};

static const struct name access_names[] = {NAME(R_OK), NAME(W_OK), NAME(X_OK)};

static const struct name prot_names[] = {NAME(PROT_READ), NAME(PROT_WRITE), NAME(PROT_EXEC),
                                         NAME(PROT_GROWSDOWN), NAME(PROT_GROWSUP)};

static const struct name map_names[] = {
    NAME(MAP_SHARED),    NAME(MAP_PRIVATE),   NAME(MAP_SHARED_VALIDATE), NAME(MAP_FIXED),
    NAME(MAP_ANONYMOUS), NAME(MAP_GROWSDOWN), NAME(MAP_DENYWRITE),       NAME(MAP_LOCKED),
    NAME(MAP_NORESERVE), NAME(MAP_POPULATE),  NAME(MAP_NONBLOCK),        NAME(MAP_STACK),
    NAME(MAP_HUGETLB),   NAME(MAP_SYNC),      NAME(MAP_FIXED_NOREPLACE),
};

static const struct name mremap_names[] = {NAME(MREMAP_MAYMOVE), NAME(MREMAP_FIXED), {4, "MREMAP_DONTUNMAP"}};

static const struct name madvise_names[] = {
    NAME(MADV_NORMAL),           NAME(MADV_RANDOM),
    NAME(MADV_SEQUENTIAL),       NAME(MADV_WILLNEED),
    NAME(MADV_DONTNEED),         NAME(MADV_FREE),
    NAME(MADV_REMOVE),           NAME(MADV_DONTFORK),
    NAME(MADV_DOFORK),           NAME(MADV_MERGEABLE),
    NAME(MADV_HUGEPAGE),         NAME(MADV_NOHUGEPAGE),
    NAME(MADV_DONTDUMP),         NAME(MADV_DODUMP),
    NAME(MADV_WIPEONFORK),       NAME(MADV_COLD),
    NAME(MADV_PAGEOUT),          {22, "MADV_POPULATE_READ"},
    {23, "MADV_POPULATE_WRITE"}, {25, "MADV_COLLAPSE"},
};

static const struct name clone_names[] = {
    NAME(SIGCHLD),
    NAME(CLONE_VM),
    NAME(CLONE_FS),
    NAME(CLONE_FILES),
    NAME(CLONE_SIGHAND),
    NAME(CLONE_PIDFD),
    NAME(CLONE_PTRACE),
    NAME(CLONE_VFORK),
    NAME(CLONE_PARENT),
    NAME(CLONE_THREAD),
    NAME(CLONE_NEWNS),
    NAME(CLONE_SYSVSEM),
    NAME(CLONE_SETTLS),
    NAME(CLONE_PARENT_SETTID),
    NAME(CLONE_CHILD_CLEARTID),
    NAME(CLONE_DETACHED),
    NAME(CLONE_UNTRACED),
    NAME(CLONE_CHILD_SETTID),
    NAME(CLONE_NEWCGROUP),
    NAME(CLONE_NEWUTS),
    NAME(CLONE_NEWIPC),
    NAME(CLONE_NEWUSER),
    NAME(CLONE_NEWPID),
    NAME(CLONE_NEWNET),
    NAME(CLONE_IO),
};

static const struct name wait_names[] = {
    NAME(WNOHANG),          NAME(WUNTRACED),
    NAME(WEXITED),          NAME(WCONTINUED),
    NAME(WNOWAIT),          {0x20000000, "__WNOTHREAD"},
    {0x40000000, "__WALL"}, {0x80000000, "__WCLONE"},
};

static const struct name clock_names[] = {
    NAME(CLOCK_REALTIME),          NAME(CLOCK_MONOTONIC),     NAME(CLOCK_PROCESS_CPUTIME_ID),
    NAME(CLOCK_THREAD_CPUTIME_ID), NAME(CLOCK_MONOTONIC_RAW), NAME(CLOCK_REALTIME_COARSE),
    NAME(CLOCK_MONOTONIC_COARSE),  NAME(CLOCK_BOOTTIME),      NAME(CLOCK_REALTIME_ALARM),
    NAME(CLOCK_BOOTTIME_ALARM),    NAME(CLOCK_TAI),
};

static const struct name family_names[] = {NAME(AF_UNSPEC),  NAME(AF_UNIX),   NAME(AF_INET), NAME(AF_INET6),
                                           NAME(AF_NETLINK), NAME(AF_PACKET), NAME(AF_ALG),  NAME(AF_VSOCK)};

static const struct name socket_type_names[] = {
    NAME(SOCK_STREAM),    NAME(SOCK_DGRAM),  NAME(SOCK_RAW),     NAME(SOCK_RDM),
    NAME(SOCK_SEQPACKET), NAME(SOCK_PACKET), NAME(SOCK_CLOEXEC), NAME(SOCK_NONBLOCK),
};

static const struct name level_names[] = {
    {SOL_SOCKET, "SOL_SOCKET"}, {0, "SOL_IP"},       {6, "SOL_TCP"},       {17, "SOL_UDP"},
    {41, "SOL_IPV6"},           {263, "SOL_PACKET"}, {270, "SOL_NETLINK"}, {279, "SOL_ALG"}};

static const struct name msg_names[] = {
    NAME(MSG_OOB),      NAME(MSG_PEEK), NAME(MSG_DONTROUTE),  NAME(MSG_CTRUNC),   NAME(MSG_TRUNC),
    NAME(MSG_DONTWAIT), NAME(MSG_EOR),  NAME(MSG_WAITALL),    NAME(MSG_CONFIRM),  NAME(MSG_ERRQUEUE),
    NAME(MSG_NOSIGNAL), NAME(MSG_MORE), NAME(MSG_WAITFORONE), NAME(MSG_FASTOPEN), NAME(MSG_CMSG_CLOEXEC),
};

static const struct name fcntl_names[] = {
    NAME(F_DUPFD),         NAME(F_GETFD),      NAME(F_SETFD),      NAME(F_GETFL),     NAME(F_SETFL),
    NAME(F_GETLK),         NAME(F_SETLK),      NAME(F_SETLKW),     NAME(F_SETOWN),    NAME(F_GETOWN),
    NAME(F_SETSIG),        NAME(F_GETSIG),     NAME(F_SETOWN_EX),  NAME(F_GETOWN_EX), NAME(F_OFD_GETLK),
    NAME(F_OFD_SETLK),     NAME(F_OFD_SETLKW), NAME(F_SETLEASE),   NAME(F_GETLEASE),  NAME(F_NOTIFY),
    NAME(F_DUPFD_CLOEXEC), NAME(F_SETPIPE_SZ), NAME(F_GETPIPE_SZ), NAME(F_ADD_SEALS), NAME(F_GET_SEALS),
};

static const struct name seek_names[] = {NAME(SEEK_SET), NAME(SEEK_CUR), NAME(SEEK_END), NAME(SEEK_DATA),
                                         NAME(SEEK_HOLE)};

static const struct name epoll_ctl_names[] = {NAME(EPOLL_CTL_ADD), NAME(EPOLL_CTL_DEL), NAME(EPOLL_CTL_MOD)};

static const struct name sigprocmask_names[] = {NAME(SIG_BLOCK), NAME(SIG_UNBLOCK), NAME(SIG_SETMASK)};

static const struct name resource_names[] = {
    NAME(RLIMIT_CPU),      NAME(RLIMIT_FSIZE), NAME(RLIMIT_DATA),   NAME(RLIMIT_STACK),
    NAME(RLIMIT_CORE),     NAME(RLIMIT_RSS),   NAME(RLIMIT_NPROC),  NAME(RLIMIT_NOFILE),
    NAME(RLIMIT_MEMLOCK),  NAME(RLIMIT_AS),    NAME(RLIMIT_LOCKS),  NAME(RLIMIT_SIGPENDING),
    NAME(RLIMIT_MSGQUEUE), NAME(RLIMIT_NICE),  NAME(RLIMIT_RTPRIO), NAME(RLIMIT_RTTIME),
};

static const struct name random_names[] = {NAME(GRND_NONBLOCK), NAME(GRND_RANDOM), NAME(GRND_INSECURE)};

static const struct name prctl_names[] = {
    NAME(PR_SET_PDEATHSIG),
    NAME(PR_GET_PDEATHSIG),
    NAME(PR_GET_DUMPABLE),
    NAME(PR_SET_DUMPABLE),
    NAME(PR_GET_KEEPCAPS),
    NAME(PR_SET_KEEPCAPS),
    NAME(PR_SET_NAME),
    NAME(PR_GET_NAME),
    NAME(PR_GET_SECCOMP),
    NAME(PR_SET_SECCOMP),
    NAME(PR_CAPBSET_READ),
    NAME(PR_CAPBSET_DROP),
    NAME(PR_GET_SECUREBITS),
    NAME(PR_SET_SECUREBITS),
    NAME(PR_SET_TIMERSLACK),
    NAME(PR_GET_TIMERSLACK),
    NAME(PR_SET_MM),
    NAME(PR_SET_CHILD_SUBREAPER),
    NAME(PR_GET_CHILD_SUBREAPER),
    NAME(PR_SET_NO_NEW_PRIVS),
    NAME(PR_GET_NO_NEW_PRIVS),
    NAME(PR_GET_TID_ADDRESS),
    NAME(PR_SET_THP_DISABLE),
    NAME(PR_GET_THP_DISABLE),
    NAME(PR_CAP_AMBIENT),
    {0x53564d41, "PR_SET_VMA"},
    {69, "PR_RISCV_V_SET_CONTROL"},
    {70, "PR_RISCV_V_GET_CONTROL"},
    {71, "PR_RISCV_SET_ICACHE_FLUSH_CTX"},
};

static const struct name cloexec_names[] = {
    NAME(O_CLOEXEC), NAME(O_NONBLOCK), NAME(O_DIRECT), {1, "EFD_SEMAPHORE"}};

static const struct name ioctl_names[] = {
    NAME(TCGETS),     NAME(TCSETS),     NAME(TCSETSW),   NAME(TCSETSF),           NAME(TIOCGWINSZ),
    NAME(TIOCSWINSZ), NAME(TIOCGPGRP),  NAME(TIOCSPGRP), NAME(TIOCSCTTY),         NAME(TIOCNOTTY),
    NAME(TIOCGPTN),   NAME(TIOCSPTLCK), NAME(FIONREAD),  NAME(FIONBIO),           NAME(FIOCLEX),
    NAME(FIONCLEX),   NAME(TIOCGSID),   NAME(TCFLSH),    {0x40049409, "FICLONE"},
};

static const struct name flock_names[] = {NAME(LOCK_SH), NAME(LOCK_EX), NAME(LOCK_UN), NAME(LOCK_NB)};

static const struct name rename_names[] = {
    {1, "RENAME_NOREPLACE"}, {2, "RENAME_EXCHANGE"}, {4, "RENAME_WHITEOUT"}};

static const struct name mfd_names[] = {
    NAME(MFD_CLOEXEC), NAME(MFD_ALLOW_SEALING), NAME(MFD_HUGETLB), {8, "MFD_NOEXEC_SEAL"}, {16, "MFD_EXEC"}};

/* The bits of `choice` hold one of the names that have no other bits; each other bit is a flag. */
struct name_set {
    const struct name *names;
    size_t count;
    uint64_t choice;
    const char *zero; /* the name of 0, or NULL */
};

#define SET(table, choice, zero)               \
    {                                          \
        table, ARRAY_SIZE(table), choice, zero \
    }
#define ONE UINT32_MAX

static const struct name_set sets[NAMES_COUNT] = {
    [NAMES_OPEN] = SET(open_names, O_ACCMODE, NULL),
    [NAMES_AT] = SET(at_names, 0, NULL),
    [NAMES_AT_ACCESS] = SET(at_access_names, 0, NULL),
    [NAMES_ACCESS] = SET(access_names, 0, "F_OK"),
    [NAMES_PROT] = SET(prot_names, 0, "PROT_NONE"),
    [NAMES_MAP] = SET(map_names, MAP_TYPE, NULL),
    [NAMES_MREMAP] = SET(mremap_names, 0, NULL),
    [NAMES_MADVISE] = SET(madvise_names, ONE, NULL),
    [NAMES_CLONE] = SET(clone_names, 0x7f, NULL),
    [NAMES_WAIT] = SET(wait_names, 0, NULL),
    [NAMES_CLOCK] = SET(clock_names, ONE, NULL),
    [NAMES_SOCKET_FAMILY] = SET(family_names, ONE, NULL),
    [NAMES_SOCKET_TYPE] = SET(socket_type_names, 0xf, NULL),
    [NAMES_SOCKET_LEVEL] = SET(level_names, ONE, NULL),
    [NAMES_MSG] = SET(msg_names, 0, NULL),
    [NAMES_FCNTL] = SET(fcntl_names, ONE, NULL),
    [NAMES_SEEK] = SET(seek_names, ONE, NULL),
    [NAMES_EPOLL_CTL] = SET(epoll_ctl_names, ONE, NULL),
    [NAMES_SIGPROCMASK] = SET(sigprocmask_names, ONE, NULL),
    [NAMES_RESOURCE] = SET(resource_names, ONE, NULL),
    [NAMES_RANDOM] = SET(random_names, 0, NULL),
    [NAMES_PRCTL] = SET(prctl_names, ONE, NULL),
    [NAMES_CLOEXEC] = SET(cloexec_names, 0, NULL),
    [NAMES_IOCTL] = SET(ioctl_names, ONE, NULL),
    [NAMES_FLOCK] = SET(flock_names, 0, NULL),
    [NAMES_RENAME] = SET(rename_names, 0, NULL),
    [NAMES_MFD] = SET(mfd_names, 0, NULL),
};

static bool name_fits(const struct name_set *set, const struct name *name, uint64_t value, uint64_t left)
{
    if (set->choice && !(name->value & ~set->choice))
        return (value & set->choice) == name->value;
    return name->value && (left & name->value) == name->value;
}

int strace_names(enum name_table table, uint64_t value, char *text, size_t size)
{
    const struct name_set *set = &sets[table];
    uint64_t left = value = (uint32_t)value;
    size_t length = 0;
    if (!value && set->zero)
        return snprintf(text, size, "%s", set->zero);
    text[0] = '\0';
    for (size_t i = 0; i < set->count && length < size; i++) {
        const struct name *name = &set->names[i];
        if (!name_fits(set, name, value, left))
            continue;
        length += (size_t)snprintf(text + length, size - length, "%s%s", length ? "|" : "", name->text);
        left &= ~name->value;
    }
    if ((left || !length) && length < size)
        length += (size_t)snprintf(text + length, size - length, "%s%#llx", length ? "|" : "",
                                   (unsigned long long)left);
    return (int)length;
}
