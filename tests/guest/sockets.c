/* Sockets on the loopback interface and in the file system: streams, datagrams, ancillary data, options.
 * reference: native qemu-user 7.2 translates few kinds of ancillary data
 */
#include "test.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static char text[4096];

static void *echo_server(void *arg)
{
    int fd = accept(*(int *)arg, NULL, NULL);
    char buffer[70000];
    ssize_t n;
    while ((n = recv(fd, buffer, sizeof buffer, 0)) > 0)
        for (ssize_t done = 0, m; done < n; done += m)
            if ((m = send(fd, buffer + done, (size_t)(n - done), MSG_NOSIGNAL)) < 0)
                return NULL;
    close(fd);
    return NULL;
}

static void test_tcp(int family)
{
    struct sockaddr_storage address = {.ss_family = (sa_family_t)family}, seen;
    struct sockaddr_in *v4 = (void *)&address;
    struct sockaddr_in6 *v6 = (void *)&address;
    socklen_t length = family == AF_INET ? sizeof *v4 : sizeof *v6, size = sizeof seen;
    if (family == AF_INET)
        v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        v6->sin6_addr = in6addr_loopback;
    int listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (listener < 0 || bind(listener, (void *)&address, length) < 0) {
        say("no such loopback address here");
        return;
    }
    EQ("SO_REUSEADDR", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
    EQ("listen", listen(listener, 5), 0);
    EQ("getsockname", getsockname(listener, (void *)&address, &size), 0);
    EQ("length of the address", size, length);
    OK("a port was chosen", v4->sin_port != 0);
    pthread_t thread;
    pthread_create(&thread, NULL, echo_server, &listener);
    int fd = socket(family, SOCK_STREAM, IPPROTO_TCP);
    EQ("connect", connect(fd, (void *)&address, length), 0);
    size = sizeof seen;
    EQ("getpeername", getpeername(fd, (void *)&seen, &size), 0);
    OK("the peer", memcmp(&seen, &address, length) == 0);
    static char big[200000], back[200000];
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)(i * 7 + i / 251);
    size_t sent = 0, got = 0;
    while (got < sizeof back) {
        struct pollfd p = {fd, (short)(POLLIN | (sent < sizeof big ? POLLOUT : 0)), 0};
        if (poll(&p, 1, 30000) != 1)
            break;
        ssize_t n = 0;
        if (p.revents & POLLIN)
            got += (n = recv(fd, back + got, sizeof back - got, MSG_DONTWAIT)) > 0 ? (size_t)n : 0;
        else
            sent += (n = send(fd, big + sent, sizeof big - sent, MSG_DONTWAIT)) > 0 ? (size_t)n : 0;
        if (n == 0 && (p.revents & POLLIN))
            break;
    }
    OK("200000 bytes echoed", got == sizeof back && memcmp(big, back, sizeof big) == 0);
    EQ("TCP_NODELAY", setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), 0);
    int value = 0;
    size = sizeof value;
    EQ("getsockopt", getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &size), 0);
    EQ("its value", value, 1);
    struct tcp_info info;
    size = sizeof info;
    EQ("TCP_INFO", getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
    EQ("its state", info.tcpi_state, 1);
    EQ("shutdown", shutdown(fd, SHUT_WR), 0);
    EQ("the other side ends too", recv(fd, text, 10, 0), 0);
    ERR("sending is over", send(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
    pthread_join(thread, NULL);
    close(fd);
    close(listener);
    fd = socket(family, SOCK_STREAM, 0);
    ERR("nobody listens any more", connect(fd, (void *)&address, length), ECONNREFUSED);
    close(fd);
}

static void test_udp(void)
{
    int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, from;
    socklen_t size = sizeof address;
    MUST(bind(a, (void *)&address, sizeof address));
    MUST(getsockname(a, (void *)&address, &size));
    EQ("sendto", sendto(b, "hello", 5, 0, (void *)&address, sizeof address), 5);
    size = sizeof from;
    memset(text, 0, 20);
    EQ("recvfrom", recvfrom(a, text, 20, 0, (void *)&from, &size), 5);
    STR("its bytes", text, "hello");
    OK("its sender",
       size == sizeof from && from.sin_family == AF_INET && from.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    MUST(connect(b, (void *)&address, sizeof address));
    MUST(send(b, "0123456789", 10, 0));
    EQ("MSG_TRUNC", recv(a, text, 4, MSG_TRUNC), 10);
    MUST(send(b, "peek", 4, 0));
    EQ("MSG_PEEK", recv(a, text, 10, MSG_PEEK), 4);
    EQ("and again", recv(a, text, 10, 0), 4);
    ERR("MSG_DONTWAIT", recv(a, text, 10, MSG_DONTWAIT), EAGAIN);
    struct timeval t = {0, 30000};
    MUST(setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
    struct timeval seen = {0};
    size = sizeof seen;
    MUST(getsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &seen, &size));
    OK("SO_RCVTIMEO", seen.tv_sec == 0 && seen.tv_usec >= 30000 && seen.tv_usec < 60000);
    ERR("times out", recv(a, text, 10, 0), EAGAIN);

    struct mmsghdr messages[3];
    struct iovec vectors[3] = {{"a", 1}, {"bb", 2}, {"ccc", 3}};
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < 3; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    EQ("sendmmsg", sendmmsg(b, messages, 3, 0), 3);
    EQ("its lengths", messages[0].msg_len * 100 + messages[1].msg_len * 10 + messages[2].msg_len, 123);
    char buffers[4][8];
    struct mmsghdr incoming[4];
    struct iovec in[4];
    memset(incoming, 0, sizeof incoming);
    for (int i = 0; i < 4; i++) {
        in[i] = (struct iovec){buffers[i], 8};
        incoming[i].msg_hdr = (struct msghdr){.msg_iov = &in[i], .msg_iovlen = 1};
    }
    EQ("recvmmsg", recvmmsg(a, incoming, 4, MSG_DONTWAIT, NULL), 3);
    EQ("its lengths", incoming[0].msg_len * 100 + incoming[1].msg_len * 10 + incoming[2].msg_len, 123);

    MUST(setsockopt(a, IPPROTO_IP, IP_PKTINFO, &one, sizeof one));
    MUST(setsockopt(a, SOL_SOCKET, SO_TIMESTAMP, &one, sizeof one));
    MUST(setsockopt(a, IPPROTO_IP, IP_RECVTTL, &one, sizeof one));
    MUST(send(b, "info", 4, 0));
    char control[256] __attribute__((aligned(8)));
    struct iovec vector = {text, 20};
    struct msghdr message = {.msg_name = &from,
                             .msg_namelen = sizeof from,
                             .msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    EQ("recvmsg", recvmsg(a, &message, 0), 4);
    EQ("length of the name", message.msg_namelen, sizeof from);
    int kinds = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
            kinds |= ((struct in_pktinfo *)CMSG_DATA(c))->ipi_addr.s_addr == htonl(INADDR_LOOPBACK) ? 1 : 0;
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMP)
            kinds |= ((struct timeval *)CMSG_DATA(c))->tv_sec > 1600000000 ? 2 : 0;
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL)
            kinds |= *(int *)CMSG_DATA(c) > 0 ? 4 : 0;
    }
    EQ("packet info, time stamp and ttl", kinds, 7);
    close(a);
    close(b);
}

static void send_fds(int socket, const int *fds, int count)
{
    char control[CMSG_SPACE(sizeof(int) * 3)] = {0};
    struct iovec vector = {"f", 1};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)count);
    EQ("sendmsg with descriptors", sendmsg(socket, &message, 0), 1);
}

static void test_ancillary(void)
{
    int pair[2], tube[2], one = 1;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    MUST(pipe(tube));
    int three[3] = {tube[1], tube[0], tube[1]};
    send_fds(pair[0], three, 3);
    char control[256] __attribute__((aligned(8)));
    struct iovec vector = {text, 10};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    EQ("recvmsg", recvmsg(pair[1], &message, MSG_CMSG_CLOEXEC), 1);
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    OK("SCM_RIGHTS",
       c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(12));
    int got[3];
    memcpy(got, CMSG_DATA(c), sizeof got);
    OK("new descriptors", got[0] != tube[1] && fcntl(got[2], F_GETFD) == FD_CLOEXEC);
    MUST(write(got[0], "through", 7));
    memset(text, 0, 20);
    EQ("that work", read(tube[0], text, 20), 7);
    send_fds(pair[0], three, 3);
    message = (struct msghdr){
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_LEN(4)};
    MUST(recvmsg(pair[1], &message, 0));
    OK("MSG_CTRUNC", (message.msg_flags & MSG_CTRUNC) != 0);
    MUST(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof one));
    MUST(write(pair[0], "c", 1));
    message = (struct msghdr){
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    MUST(recvmsg(pair[1], &message, 0));
    c = CMSG_FIRSTHDR(&message);
    struct ucred *credentials = c ? (struct ucred *)CMSG_DATA(c) : NULL;
    OK("SCM_CREDENTIALS",
       c && c->cmsg_type == SCM_CREDENTIALS && credentials->pid == getpid() && credentials->uid == getuid());
    struct ucred peer;
    socklen_t size = sizeof peer;
    EQ("SO_PEERCRED", getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &size), 0);
    OK("its pid", peer.pid == getpid());
    int bad = 999;
    char small[CMSG_SPACE(sizeof(int))] = {0};
    message = (struct msghdr){
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = small, .msg_controllen = sizeof small};
    c = CMSG_FIRSTHDR(&message);
    *c = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(c), &bad, sizeof bad);
    ERR("a closed descriptor", sendmsg(pair[0], &message, 0), EBADF);
    c->cmsg_len = 3;
    ERR("a malformed header", sendmsg(pair[0], &message, 0), EINVAL);
    close(pair[0]);
    close(pair[1]);
}

static void test_unix(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "stream"}, seen;
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    EQ("bind", bind(listener, (void *)&address, sizeof address), 0);
    ERR("bind again", bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&address, sizeof address), EADDRINUSE);
    EQ("listen", listen(listener, 3), 0);
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    EQ("connect", connect(client, (void *)&address, sizeof address), 0);
    int server = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    OK("accept4",
       server >= 0 && (fcntl(server, F_GETFL) & O_NONBLOCK) && fcntl(server, F_GETFD) == FD_CLOEXEC);
    socklen_t size = sizeof seen;
    EQ("getsockname", getsockname(listener, (void *)&seen, &size), 0);
    STR("its path", seen.sun_path, "stream");
    EQ("its length", size, (long)offsetof(struct sockaddr_un, sun_path) + 7);
    int ready = 0;
    MUST(write(client, "12345", 5));
    EQ("FIONREAD", ioctl(server, FIONREAD, &ready) == 0 ? ready : -1, 5);
    memcpy(address.sun_path, "\0abstract", 9);
    int abstract = socket(AF_UNIX, SOCK_DGRAM, 0);
    snprintf(address.sun_path + 1, 40, "guest-test-%d", getpid());
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(address.sun_path + 1));
    EQ("abstract name", bind(abstract, (void *)&address, length), 0);
    int sender = socket(AF_UNIX, SOCK_DGRAM, 0);
    EQ("sendto it", sendto(sender, "d", 1, 0, (void *)&address, length), 1);
    EQ("received", recv(abstract, text, 5, 0), 1);
    int type = 0;
    size = sizeof type;
    EQ("SO_TYPE", getsockopt(abstract, SOL_SOCKET, SO_TYPE, &type, &size) == 0 ? type : -1, SOCK_DGRAM);
    struct linger linger = {1, 5}, linger_seen = {0, 0};
    size = sizeof linger_seen;
    MUST(setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
    MUST(getsockopt(client, SOL_SOCKET, SO_LINGER, &linger_seen, &size));
    EQ("SO_LINGER", linger_seen.l_onoff * 10 + linger_seen.l_linger, 15);
    ERR("bad option", setsockopt(client, SOL_SOCKET, 9999, &type, sizeof type), ENOPROTOOPT);
    ERR("short option", setsockopt(client, SOL_SOCKET, SO_SNDBUF, &type, 1), EINVAL);
    ERR("not a socket", listen(0, 1), ENOTSOCK);
    ERR("bad family", socket(99, SOCK_STREAM, 0), EAFNOSUPPORT);
    ERR("bad type", socket(AF_INET, 99, 0), EINVAL);
    int packets[2];
    MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets));
    MUST(send(packets[0], "one", 3, 0));
    MUST(send(packets[0], "three", 5, MSG_EOR));
    EQ("SOCK_SEQPACKET keeps packets apart", recv(packets[1], text, 20, 0), 3);
    EQ("and their order", recv(packets[1], text, 20, 0), 5);
}

static void test_names(void)
{
    struct in_addr a;
    EQ("inet_pton", inet_pton(AF_INET, "127.0.0.1", &a), 1);
    char name[64];
    OK("gethostname", gethostname(name, sizeof name) == 0 && name[0]);
}

int main(void)
{
    enter_scratch();
    test_tcp(AF_INET);
    test_tcp(AF_INET6);
    test_udp();
    test_ancillary();
    test_unix();
    test_names();
    leave_scratch();
    return test_end();
}
