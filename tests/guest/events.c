/* poll, select, epoll, eventfd, inotify, pipes: how a program waits for what happens.
 * reference: native the host's own kernel is the judge
 */
#include "test.h"
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/select.h>
#include <sys/socket.h>

static void on_pipe(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
}

static void test_pipe(void)
{
    int tube[2];
    char text[100];
    MUST(pipe2(tube, O_NONBLOCK | O_CLOEXEC));
    EQ("O_CLOEXEC", fcntl(tube[0], F_GETFD), FD_CLOEXEC);
    ERR("empty", read(tube[0], text, 1), EAGAIN);
    EQ("write", write(tube[1], "abc", 3), 3);
    EQ("read", read(tube[0], text, 100), 3);
    long total = 0, n;
    static char block[4096];
    while ((n = write(tube[1], block, sizeof block)) > 0)
        total += n;
    OK("full", errno == EAGAIN && total >= 4096);
    ERR("write to the reading end", write(tube[0], "x", 1), EBADF);
    close(tube[1]);
    while ((n = read(tube[0], block, sizeof block)) > 0)
        total -= n;
    EQ("all of it comes out", total, 0);
    EQ("and then the end", n, 0);
    close(tube[0]);
    MUST(pipe(tube));
    close(tube[0]);
    handle(SIGPIPE, on_pipe, 0);
    ERR("no reader", write(tube[1], "x", 1), EPIPE);
    close(tube[1]);
    ERR("bad flags", pipe2(tube, 0x1), EINVAL);
    MUST(pipe2(tube, O_DIRECT));
    MUST(write(tube[1], "one", 3));
    MUST(write(tube[1], "two", 3));
    EQ("packet mode keeps packets apart", read(tube[0], text, 100), 3);
    close(tube[0]);
    close(tube[1]);
}

static void test_poll(void)
{
    int tube[2];
    MUST(pipe(tube));
    struct pollfd p[3] = {{tube[0], POLLIN, 0}, {tube[1], POLLOUT, 0}, {-1, POLLIN, 77}};
    EQ("poll", poll(p, 3, 1000), 1);
    OK("revents", p[0].revents == 0 && p[1].revents == POLLOUT && p[2].revents == 0);
    MUST(write(tube[1], "x", 1));
    EQ("both", poll(p, 3, 1000), 2);
    close(tube[1]);
    p[1].fd = 500;
    EQ("hang-up and a closed descriptor", poll(p, 2, 1000), 2);
    OK("their revents", p[0].revents == (POLLIN | POLLHUP) && p[1].revents == POLLNVAL);
    double start = now();
    EQ("time out", poll(NULL, 0, 50), 0);
    OK("it waited", now() - start >= 0.049);
    struct timespec t = {0, 1000000}, bad = {0, -1};
    EQ("ppoll", ppoll(p, 1, &t, NULL), 1);
    ERR("ppoll: bad time", ppoll(p, 1, &bad, NULL), EINVAL);
    ERR("too many", poll(p, 10000000, 0), EINVAL);
    fd_set in, out;
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(tube[0], &in);
    FD_SET(tube[0], &out);
    struct timeval tv = {5, 0};
    EQ("select", select(tube[0] + 1, &in, NULL, NULL, &tv), 1);
    OK("its set", FD_ISSET(tube[0], &in));
    OK("time left", tv.tv_sec <= 5 && tv.tv_sec >= 3);
    int closed = dup(tube[0]);
    close(closed);
    FD_SET(closed, &in);
    ERR("select: closed descriptor", select(closed + 1, &in, NULL, NULL, &tv), EBADF);
    ERR("select: negative count", select(-1, &in, NULL, NULL, &tv), EINVAL);
    t = (struct timespec){0, 20000000};
    EQ("pselect times out", pselect(0, NULL, NULL, NULL, &t, NULL), 0);
    EQ("pselect leaves the time alone", t.tv_nsec, 20000000);
    close(tube[0]);
}

static void *write_later(void *arg)
{
    sleep_ms(30);
    MUST(write(*(int *)arg, "12345678", 8));
    return NULL;
}

static void test_epoll(void)
{
    int ep = epoll_create1(EPOLL_CLOEXEC), tube[2], other[2];
    MUST(pipe2(tube, O_NONBLOCK));
    MUST(pipe(other));
    struct epoll_event in = {.events = EPOLLIN, .data.u64 = 0x1122334455667788}, got[4];
    EQ("add", epoll_ctl(ep, EPOLL_CTL_ADD, tube[0], &in), 0);
    ERR("add again", epoll_ctl(ep, EPOLL_CTL_ADD, tube[0], &in), EEXIST);
    in.data.u64 = 0xffffffff00000001;
    in.events = EPOLLIN | EPOLLET;
    EQ("add edge-triggered", epoll_ctl(ep, EPOLL_CTL_ADD, other[0], &in), 0);
    EQ("nothing yet", epoll_wait(ep, got, 4, 0), 0);
    MUST(write(tube[1], "x", 1));
    MUST(write(other[1], "x", 1));
    EQ("both", epoll_wait(ep, got, 4, 1000), 2);
    OK("64 bits of data",
       (got[0].data.u64 == 0x1122334455667788 && got[1].data.u64 == 0xffffffff00000001) ||
           (got[1].data.u64 == 0x1122334455667788 && got[0].data.u64 == 0xffffffff00000001));
    EQ("level-triggered stays", epoll_wait(ep, got, 4, 0), 1);
    EQ("its data", (long)got[0].data.u64, 0x1122334455667788);
    in.events = EPOLLIN | EPOLLONESHOT;
    in.data.u32 = 9;
    EQ("modify", epoll_ctl(ep, EPOLL_CTL_MOD, tube[0], &in), 0);
    EQ("one shot", epoll_wait(ep, got, 4, 0), 1);
    EQ("and no more", epoll_wait(ep, got, 4, 0), 0);
    EQ("delete", epoll_ctl(ep, EPOLL_CTL_DEL, tube[0], NULL), 0);
    ERR("delete again", epoll_ctl(ep, EPOLL_CTL_DEL, tube[0], NULL), ENOENT);
    ERR("a file", epoll_ctl(ep, EPOLL_CTL_ADD, open("/dev/null", O_RDONLY), &in), EPERM);
    ERR("itself", epoll_ctl(ep, EPOLL_CTL_ADD, ep, &in), EINVAL);
    ERR("bad operation", epoll_ctl(ep, 9, tube[0], &in), EINVAL);
    ERR("no room", epoll_wait(ep, got, 0, 0), EINVAL);
    struct timespec t = {0, 1000000};
    EQ("epoll_pwait2", syscall(SYS_epoll_pwait2, ep, got, 4, &t, NULL, 8), 0);
    struct epoll_event many[20];
    int pipes[20][2];
    for (int i = 0; i < 20; i++) {
        MUST(pipe(pipes[i]));
        in = (struct epoll_event){.events = EPOLLIN, .data.u64 = (uint64_t)i << 40 | (uint64_t)i};
        epoll_ctl(ep, EPOLL_CTL_ADD, pipes[i][0], &in);
        MUST(write(pipes[i][1], "x", 1));
    }
    EQ("twenty events at once", epoll_wait(ep, many, 20, 1000), 20);
    uint64_t sum = 0;
    for (int i = 0; i < 20; i++)
        sum += many[i].data.u64;
    EQ("and their data", sum, 190UL << 40 | 190);
    for (int i = 0; i < 20; i++)
        close(pipes[i][0]), close(pipes[i][1]);
    in = (struct epoll_event){.events = EPOLLIN, .data.fd = 3};
    epoll_ctl(ep, EPOLL_CTL_ADD, tube[0], &in);
    char c;
    while (read(tube[0], &c, 1) == 1)
        ;
    pthread_t thread;
    pthread_create(&thread, NULL, write_later, &tube[1]);
    EQ("waits for a thread", epoll_wait(ep, got, 1, 20000), 1);
    pthread_join(thread, NULL);
    close(ep);
}

static void test_eventfd(void)
{
    int fd = eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC);
    uint64_t value = 0;
    EQ("eventfd: initial value", read(fd, &value, 8) == 8 ? (long)value : -1, 3);
    ERR("eventfd: zero", read(fd, &value, 8), EAGAIN);
    value = 5;
    MUST(write(fd, &value, 8));
    MUST(write(fd, &value, 8));
    EQ("eventfd: sum", read(fd, &value, 8) == 8 ? (long)value : -1, 10);
    value = ~0UL;
    ERR("eventfd: too large", write(fd, &value, 8), EINVAL);
    value = ~0UL - 1;
    MUST(write(fd, &value, 8));
    value = 1;
    ERR("eventfd: overflow", write(fd, &value, 8), EAGAIN);
    ERR("eventfd: short", read(fd, &value, 4), EINVAL);
    close(fd);
    fd = eventfd(2, EFD_SEMAPHORE);
    EQ("eventfd: semaphore", read(fd, &value, 8) == 8 ? (long)value : -1, 1);
    ERR("eventfd: bad flags", eventfd(0, 0x10), EINVAL);
    close(fd);
}

static void test_inotify(void)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    int watch = inotify_add_watch(fd, ".", IN_CREATE | IN_DELETE | IN_MOVE | IN_CLOSE_WRITE);
    OK("watch", watch > 0);
    int file = open("watched", O_CREAT | O_WRONLY, 0600);
    close(file);
    rename("watched", "moved");
    unlink("moved");
    char buffer[4096] __attribute__((aligned(8)));
    ssize_t n = read(fd, buffer, sizeof buffer);
    uint32_t cookie = 0;
    for (ssize_t at = 0; at < n;) {
        struct inotify_event *e = (void *)(buffer + at);
        if (e->mask & IN_MOVED_FROM)
            cookie = e->cookie;
        say("  event %#x %s%s", e->mask, e->name,
            (e->mask & IN_MOVED_TO) && e->cookie == cookie ? " same cookie" : "");
        at += (ssize_t)(sizeof *e + e->len);
    }
    ERR("no more events", read(fd, buffer, sizeof buffer), EAGAIN);
    EQ("remove", inotify_rm_watch(fd, watch), 0);
    EQ("IN_IGNORED", read(fd, buffer, sizeof buffer), 16);
    ERR("bad watch", inotify_rm_watch(fd, 99), EINVAL);
    ERR("missing file", inotify_add_watch(fd, "none", IN_CREATE), ENOENT);
    close(fd);
}

int main(void)
{
    enter_scratch();
    test_pipe();
    test_poll();
    test_epoll();
    test_eventfd();
    test_inotify();
    leave_scratch();
    return test_end();
}
