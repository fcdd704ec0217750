/* System calls that a signal interrupts: EINTR or restart, what is left of the time, stop and continue.
 * timeout: 120
 * reference: native qemu-user 7.2 does not restart calls after SIGSTOP and SIGCONT */
#include "test.h"
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/socket.h>

static volatile int handled;

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
    handled++;
}

static int tube[2];
static sem_t semaphore;
static int word;
static pid_t locker;

/* Each call blocks until helped. Returns 0 or the errno. */
static int call_read(void)
{
    char c;
    return read(tube[0], &c, 1) == 1 ? 0 : errno;
}
static int call_wait(void)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        char c;
        _exit(read(tube[0], &c, 1) == 1 ? 0 : 1);
    }
    int result = waitpid(child, &status, 0) == child ? 0 : errno;
    if (result) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    return result;
}
static int call_poll(void)
{
    struct pollfd p = {.fd = tube[0], .events = POLLIN};
    return poll(&p, 1, 20000) == 1 ? 0 : errno;
}
static int call_select(void)
{
    fd_set set;
    FD_ZERO(&set);
    FD_SET(tube[0], &set);
    struct timeval t = {20, 0};
    return select(tube[0] + 1, &set, NULL, NULL, &t) == 1 ? 0 : errno;
}
static int call_epoll(void)
{
    int fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(fd, EPOLL_CTL_ADD, tube[0], &event);
    int result = epoll_wait(fd, &event, 1, 20000) == 1 ? 0 : errno;
    close(fd);
    return result;
}
static int call_futex(void)
{
    return syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0) == 0 ? 0 : errno;
}
static int call_futex_timed(void)
{
    struct timespec t = {20, 0};
    return syscall(SYS_futex, &word, FUTEX_WAIT, 0, &t, NULL, 0) == 0 ? 0 : errno;
}
static int call_sem(void)
{
    return sem_wait(&semaphore) == 0 ? 0 : errno;
}
static int call_nanosleep(void)
{
    struct timespec t = {20, 0}, left = {-1, 0};
    int result = nanosleep(&t, &left) == 0 ? 0 : errno;
    return result == EINTR && (left.tv_sec < 0 || left.tv_sec > 19) ? -1 : result;
}
static int call_clock_nanosleep(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += 20;
    return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}
static int call_pause(void)
{
    return pause() == 0 ? 0 : errno;
}
static int call_flock(void)
{
    int fd = open("lock", O_RDWR);
    int result = flock(fd, LOCK_EX) == 0 ? 0 : errno;
    close(fd);
    return result;
}
static int call_setlkw(void)
{
    int fd = open("lock2", O_RDWR);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int result = fcntl(fd, F_SETLKW, &lock) == 0 ? 0 : errno;
    close(fd);
    return result;
}
static int call_accept(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    listen(fd, 1);
    struct sockaddr sa = {.sa_family = AF_UNIX};
    close(fd);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(fd, &sa, sizeof sa.sa_family);
    listen(fd, 1);
    int peer = accept(fd, NULL, NULL);
    int result = peer >= 0 ? 0 : errno;
    close(fd);
    return result;
}

static void help(void)
{
    word = 1;
    syscall(SYS_futex, &word, FUTEX_WAKE, 9, NULL, NULL, 0);
    sem_post(&semaphore);
    if (write(tube[1], "x", 1) != 1)
        say("BAD helper cannot write");
    if (locker)
        kill(locker, SIGKILL);
}

struct job {
    pthread_t target;
    pid_t tid;
    bool with_help;
};

/* Sends the signal when the target sleeps, and, for calls that restart, what they wait for after the handler ran. */
static void *disturb(void *arg)
{
    struct job *job = arg;
    wait_asleep(getpid(), job->tid);
    pthread_kill(job->target, SIGUSR1);
    if (job->with_help) {
        while (!handled)
            sleep_ms(1);
        wait_asleep(getpid(), job->tid);
        help();
    }
    return NULL;
}

static int interrupted(int (*call)(void), int flags, bool with_help)
{
    pthread_t thread;
    struct job job = {.target = pthread_self(), .tid = gettid(), .with_help = with_help};
    handled = 0;
    word = 0;
    handle(SIGUSR1, on_signal, flags);
    pthread_create(&thread, NULL, disturb, &job);
    int result = call();
    pthread_join(thread, NULL);
    if (handled != 1)
        say("BAD the handler ran %d times", handled);
    return result;
}

static void drain(void)
{
    char c[16];
    fcntl(tube[0], F_SETFL, O_NONBLOCK);
    while (read(tube[0], c, sizeof c) > 0)
        ;
    fcntl(tube[0], F_SETFL, 0);
    while (sem_trywait(&semaphore) == 0)
        ;
}

static void hold_locks(void)
{
    int ready[2];
    MUST(pipe(ready));
    locker = fork();
    if (locker == 0) {
        int fd = open("lock", O_RDWR | O_CREAT, 0600), fd2 = open("lock2", O_RDWR | O_CREAT, 0600);
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        flock(fd, LOCK_EX);
        fcntl(fd2, F_SETLK, &lock);
        if (write(ready[1], "x", 1) == 1)
            for (;;)
                pause();
    }
    char c;
    MUST(read(ready[0], &c, 1));
    close(ready[0]);
    close(ready[1]);
}

static void drop_locks(void)
{
    kill(locker, SIGKILL);
    waitpid(locker, NULL, 0);
    locker = 0;
}

static const struct {
    const char *name;
    int (*call)(void);
    int restarts; /* with SA_RESTART: 1 restarts, 0 EINTR */
    bool locks;
} calls[] = {
    {"read", call_read, 1, false},
    {"waitpid", call_wait, 1, false},
    {"poll", call_poll, 0, false},
    {"select", call_select, 0, false},
    {"epoll_wait", call_epoll, 0, false},
    {"futex", call_futex, 1, false},
    {"futex with a timeout", call_futex_timed, 0, false},
    {"sem_wait", call_sem, 1, false},
    {"nanosleep", call_nanosleep, 0, false},
    {"clock_nanosleep", call_clock_nanosleep, 0, false},
    {"pause", call_pause, 0, false},
    {"flock", call_flock, 1, true},
    {"F_SETLKW", call_setlkw, 1, true},
    {"accept", call_accept, 2, false},
};

static void test_calls(void)
{
    for (unsigned i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        char fact[80];
        for (int restart = 0; restart < 2; restart++) {
            if (restart && calls[i].restarts == 2)
                continue;
            bool again = restart && calls[i].restarts == 1;
            if (calls[i].locks)
                hold_locks();
            int result = interrupted(calls[i].call, restart ? SA_RESTART : 0, again);
            if (calls[i].locks)
                drop_locks();
            drain();
            snprintf(fact, sizeof fact, "%s%s", calls[i].name, restart ? " with SA_RESTART" : "");
            EQ(fact, result, again ? 0 : EINTR);
        }
    }
}

/* A signal with no handler interrupts nothing that anyone can see. */
static void test_ignored(void)
{
    signal(SIGUSR1, SIG_IGN);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        wait_asleep(parent, parent);
        kill(parent, SIGUSR1);
        kill(parent, SIGCHLD);
        sleep_ms(100);
        _exit(write(tube[1], "x", 1) == 1 ? 0 : 1);
    }
    EQ("ignored signals do not end poll", call_poll(), 0);
    waitpid(child, NULL, 0);
    drain();
}

static int sleeper_status(pid_t child)
{
    int status;
    wait_asleep(child, child);
    kill(child, SIGSTOP);
    waitpid(child, &status, WUNTRACED);
    if (!WIFSTOPPED(status))
        return -1;
    kill(child, SIGCONT);
    waitpid(child, &status, 0);
    return shell_status(status);
}

static void test_stop(void)
{
    pid_t child = fork();
    if (child == 0) {
        struct timespec t = {0, 400000000};
        double start = now();
        int result = nanosleep(&t, NULL);
        _exit(result == 0 && now() - start >= 0.4 ? 0 : 1);
    }
    EQ("nanosleep goes on after SIGSTOP and SIGCONT", sleeper_status(child), 0);
    child = fork();
    if (child == 0) {
        struct pollfd p = {.fd = tube[0], .events = POLLIN};
        _exit(poll(&p, 1, 400) == 0 ? 0 : 1);
    }
    EQ("poll goes on after SIGSTOP and SIGCONT", sleeper_status(child), 0);
    child = fork();
    if (child == 0) {
        int local = 0;
        struct timespec t = {0, 400000000};
        long result = syscall(SYS_futex, &local, FUTEX_WAIT, 0, &t, NULL, 0);
        _exit(result == -1 && errno == ETIMEDOUT ? 0 : 1);
    }
    EQ("a timed futex goes on after SIGSTOP and SIGCONT", sleeper_status(child), 0);
}

static void on_write(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
    handled++;
    if (write(tube[1], "h", 1) != 1)
        _exit(97);
}

/* The race that pselect and ppoll exist for: the signal is pending before the call. */
static void test_atomic_masks(void)
{
    sigset_t set, empty;
    sigemptyset(&set);
    sigemptyset(&empty);
    sigaddset(&set, SIGUSR1);
    handle(SIGUSR1, on_write, SA_RESTART);
    sigprocmask(SIG_BLOCK, &set, NULL);
    struct pollfd p = {.fd = tube[0], .events = POLLIN};
    struct timespec t = {20, 0};
    raise(SIGUSR1);
    handled = 0;
    ERR("ppoll sees a pending signal", ppoll(&p, 1, &t, &empty), EINTR);
    EQ("ppoll ran the handler", handled, 1);
    drain();
    raise(SIGUSR1);
    fd_set read_set;
    FD_ZERO(&read_set);
    FD_SET(tube[0], &read_set);
    ERR("pselect sees a pending signal", pselect(tube[0] + 1, &read_set, NULL, NULL, &t, &empty), EINTR);
    EQ("pselect ran the handler", handled, 2);
    drain();
    int fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(fd, EPOLL_CTL_ADD, tube[0], &event);
    raise(SIGUSR1);
    ERR("epoll_pwait sees a pending signal", epoll_pwait(fd, &event, 1, 20000, &empty), EINTR);
    EQ("epoll_pwait ran the handler", handled, 3);
    drain();
    sigset_t after;
    sigprocmask(SIG_BLOCK, NULL, &after);
    OK("the mask is back", sigismember(&after, SIGUSR1));
    raise(SIGUSR1);
    EQ("an event that is there comes before the mask matters", write(tube[1], "y", 1), 1);
    int result = ppoll(&p, 1, &t, &set);
    EQ("ppoll with the signal blocked", result, 1);
    EQ("no handler", handled, 3);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    EQ("delivered when unblocked", handled, 4);
}

int main(void)
{
    enter_scratch();
    MUST(pipe(tube));
    sem_init(&semaphore, 0, 0);
    test_calls();
    test_ignored();
    test_stop();
    test_atomic_masks();
    leave_scratch();
    return test_end();
}
