/* Sockets: messages, and options whose value has pointers inside. */
#include "process/serve.h"

#include <limits.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

/* ---- Messages ---- */

/* struct msghdr of the guest and its translation. */
struct message {
    struct msghdr guest, host;
    struct iovec vector[VECTOR_MAX];
};

static int message_from_guest(const struct thread *t, struct message *m, uint64_t gva)
{
    if (copy_from_guest(t, &m->guest, gva, sizeof m->guest))
        return -EFAULT;
    m->host = m->guest;
    if (m->guest.msg_iovlen > VECTOR_MAX)
        return -EMSGSIZE;
    int error = vector_from_guest(t, (uint64_t)m->guest.msg_iov, m->guest.msg_iovlen, m->vector);
    if (error)
        return error;
    uint64_t name_size = MIN(m->guest.msg_namelen, (socklen_t)sizeof(struct sockaddr_storage));
    m->host.msg_name = guest_pointer(t, (uint64_t)m->guest.msg_name, name_size);
    m->host.msg_iov = m->vector;
    m->host.msg_control = guest_pointer(t, (uint64_t)m->guest.msg_control, m->guest.msg_controllen);
    return 0;
}

static int64_t send_message(struct thread *t, int fd, uint64_t gva, uint64_t flags)
{
    struct message m;
    int error = message_from_guest(t, &m, gva);
    return error ? error : host_call(t, SYS_sendmsg, fd, &m.host, flags);
}

/* The kernel writes back the lengths and the flags, nothing else of the structure. */
static int64_t receive_message(struct thread *t, int fd, uint64_t gva, uint64_t flags)
{
    struct message m;
    int error = message_from_guest(t, &m, gva);
    if (error)
        return error;
    int64_t result = host_call(t, SYS_recvmsg, fd, &m.host, flags);
    if (result < 0)
        return result;
    m.guest.msg_namelen = m.host.msg_namelen;
    m.guest.msg_controllen = m.host.msg_controllen;
    m.guest.msg_flags = m.host.msg_flags;
    return copy_to_guest(t, gva, &m.guest, sizeof m.guest) ? -EFAULT : result;
}

int64_t call_sendmsg(struct thread *t, const struct sysargs *args)
{
    return send_message(t, (int)args->a[0], args->a[1], args->a[2]);
}

int64_t call_recvmsg(struct thread *t, const struct sysargs *args)
{
    return receive_message(t, (int)args->a[0], args->a[1], args->a[2]);
}

/* Of an array of messages, one at a time as the kernel does it: the array's elements of 64 bytes end with the length. */
enum { MMSGHDR_SIZE = sizeof(struct mmsghdr), MMSGHDR_LENGTH = offsetof(struct mmsghdr, msg_len) };

static int put_length(const struct thread *t, uint64_t element, int64_t length)
{
    uint32_t value = (uint32_t)length;
    return copy_to_guest(t, element + MMSGHDR_LENGTH, &value, sizeof value);
}

int64_t call_sendmmsg(struct thread *t, const struct sysargs *args)
{
    int64_t count = MIN((uint32_t)args->a[2], (uint32_t)VECTOR_MAX), done = 0, result = 0;
    for (; done < count; done++) {
        uint64_t element = args->a[1] + (uint64_t)done * MMSGHDR_SIZE;
        result = send_message(t, (int)args->a[0], element, args->a[3]);
        if (result >= 0)
            result = put_length(t, element, result);
        if (result < 0)
            break;
    }
    return done ? done : result;
}

static int64_t nanoseconds(const struct timespec *time)
{
    return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return nanoseconds(&time);
}

/* What is left until `deadline`, written to the guest's timeout. */
static bool time_is_over(const struct thread *t, uint64_t gva, int64_t deadline)
{
    int64_t left = deadline - now();
    if (left < 0)
        left = 0;
    const struct timespec rest = {left / 1000000000, left % 1000000000};
    return copy_to_guest(t, gva, &rest, sizeof rest) || !left;
}

static int deadline_from_guest(const struct thread *t, uint64_t gva, int64_t *deadline)
{
    struct timespec timeout;
    if (copy_from_guest(t, &timeout, gva, sizeof timeout))
        return -EFAULT;
    if (timeout.tv_sec < 0 || timeout.tv_nsec < 0 || timeout.tv_nsec >= 1000000000)
        return -EINVAL;
    *deadline = timeout.tv_sec > INT32_MAX ? INT64_MAX : now() + nanoseconds(&timeout);
    return 0;
}

int64_t call_recvmmsg(struct thread *t, const struct sysargs *args)
{
    int64_t count = MIN((uint32_t)args->a[2], (uint32_t)VECTOR_MAX), done = 0, result = 0,
            deadline = INT64_MAX;
    uint64_t flags = args->a[3];
    int error = args->a[4] ? deadline_from_guest(t, args->a[4], &deadline) : 0;
    if (error)
        return error;
    while (done < count) {
        uint64_t element = args->a[1] + (uint64_t)done * MMSGHDR_SIZE;
        result = receive_message(t, (int)args->a[0], element, flags & ~(uint64_t)MSG_WAITFORONE);
        if (result >= 0)
            result = put_length(t, element, result);
        if (result < 0)
            break;
        done++;
        if (flags & MSG_WAITFORONE)
            flags |= MSG_DONTWAIT;
        if (args->a[4] && time_is_over(t, args->a[4], deadline))
            break;
    }
    return done ? done : result;
}

/* ---- Options ---- */

/* Levels and names that libc's headers may not have. */
enum {
    LEVEL_RDS = 276,
    LEVEL_XDP = 283,
    IPTABLES_REPLACE = 64,
    ARPTABLES_REPLACE = 96,
    EBTABLES_FIRST = 128,
    EBTABLES_LAST = 131,
    TCP_ZEROCOPY = 35,
    SCTP_CONNECTX3 = 111,
};

static bool is_netfilter(int level, int name)
{
    if (level == IPPROTO_IP)
        return name == IPTABLES_REPLACE || name == ARPTABLES_REPLACE ||
               (name >= EBTABLES_FIRST && name <= EBTABLES_LAST);
    return level == IPPROTO_IPV6 && name == IPTABLES_REPLACE;
}

/* Values with pointers or addresses inside that nobody but the kernel's own tools use. */
static bool option_is_refused(int level, int name)
{
    return level == LEVEL_RDS || level == LEVEL_XDP || is_netfilter(level, name) ||
           (level == IPPROTO_TCP && name == TCP_ZEROCOPY) ||
           (level == IPPROTO_SCTP && name == SCTP_CONNECTX3);
}

static bool option_is_filter(int level, int name, uint64_t size)
{
    return (level == SOL_SOCKET && (name == SO_ATTACH_FILTER || name == SO_ATTACH_REUSEPORT_CBPF)) ||
           (level == SOL_PACKET && name == PACKET_FANOUT_DATA && size == sizeof(struct sock_fprog));
}

static int64_t set_filter(struct thread *t, const struct sysargs *args)
{
    struct sock_fprog program;
    if ((uint32_t)args->a[4] != sizeof program)
        return -EINVAL;
    if (copy_from_guest(t, &program, args->a[3], sizeof program))
        return -EFAULT;
    program.filter = guest_pointer(t, (uint64_t)program.filter, program.len * sizeof *program.filter);
    return host_call(t, SYS_setsockopt, (int)args->a[0], (int)args->a[1], (int)args->a[2], &program,
                     sizeof program);
}

int64_t call_setsockopt(struct thread *t, const struct sysargs *args)
{
    int level = (int)args->a[1], name = (int)args->a[2];
    uint64_t size = (uint32_t)args->a[4];
    if (option_is_refused(level, name))
        return -ENOPROTOOPT;
    if (option_is_filter(level, name, size))
        return set_filter(t, args);
    return host_call(t, SYS_setsockopt, (int)args->a[0], level, name, guest_pointer(t, args->a[3], size),
                     size);
}

int64_t call_getsockopt(struct thread *t, const struct sysargs *args)
{
    int level = (int)args->a[1], name = (int)args->a[2];
    int32_t size;
    if (option_is_refused(level, name))
        return -ENOPROTOOPT;
    if (copy_from_guest(t, &size, args->a[4], sizeof size))
        return -EFAULT;
    if (size < 0)
        return -EINVAL;
    bool filter = level == SOL_SOCKET && name == SO_GET_FILTER; /* its length counts instructions */
    uint64_t bytes = (uint64_t)size * (filter ? sizeof(struct sock_filter) : 1);
    int64_t result = host_call(t, SYS_getsockopt, (int)args->a[0], level, name,
                               guest_pointer(t, args->a[3], bytes), &size);
    if (result < 0)
        return result;
    return copy_to_guest(t, args->a[4], &size, sizeof size) ? -EFAULT : result;
}
