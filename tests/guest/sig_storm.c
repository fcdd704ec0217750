/* Signals that come at the worst moments: none is lost, none comes twice, and the mask is always the right one.
 * reference: native qemu-user 7.2 loses some
 * timeout: 120
 */
#include "test.h"
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/time.h>

enum { ROUNDS = 1500 };

extern char **environ;
static volatile sig_atomic_t pings, alarms;
static sigset_t ping_set;

static void on_ping(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
    pings++;
}

static void on_alarm(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
    alarms++;
}

static void start_alarms(int microseconds)
{
    const struct itimerval often = {{0, microseconds}, {0, microseconds}};
    handle(SIGALRM, on_alarm, SA_RESTART);
    setitimer(ITIMER_REAL, &often, NULL);
}

static void stop_alarms(void)
{
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
}

static void wait_suspend(const sigset_t *mask)
{
    sigsuspend(mask);
}

static void wait_poll(const sigset_t *mask)
{
    ppoll(NULL, 0, NULL, mask);
}

static void wait_info(const sigset_t *mask)
{
    (void)mask;
    siginfo_t info;
    if (sigwaitinfo(&ping_set, &info) == SIGUSR1)
        pings++;
}

/* Answers each ping, while a timer interrupts. Exit status: 0, 1 the mask was lost, 2 a ping came twice. */
static void answer(void (*wait)(const sigset_t *), int to)
{
    sigset_t none, mask;
    sigemptyset(&none);
    start_alarms(300);
    for (int i = 0; i < ROUNDS;) {
        wait(&none);
        sigprocmask(SIG_BLOCK, NULL, &mask);
        if (!sigismember(&mask, SIGUSR1))
            _exit(1);
        if (pings > i + 1)
            _exit(2);
        if (pings == i + 1) {
            i++;
            if (write(to, "x", 1) != 1)
                _exit(3);
        }
    }
    _exit(0);
}

static void test_ping(const char *what, void (*wait)(const sigset_t *))
{
    int tube[2], status = -1, answered = 0;
    char c;
    MUST(pipe(tube));
    handle(SIGUSR1, on_ping, 0);
    sigprocmask(SIG_BLOCK, &ping_set, NULL);
    pings = 0;
    pid_t child = fork();
    if (child == 0) {
        close(tube[0]);
        answer(wait, tube[1]);
    }
    close(tube[1]);
    while (answered < ROUNDS && kill(child, SIGUSR1) == 0 && read(tube[0], &c, 1) == 1)
        answered++;
    waitpid(child, &status, 0);
    close(tube[0]);
    sigprocmask(SIG_UNBLOCK, &ping_set, NULL);
    EQ(what, status, 0);
    EQ("all are answered", answered, ROUNDS);
}

static volatile int stop;
static volatile int wrong;

/* Short system calls, locks and memory, all the time. */
static void *work(void *arg)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    int tube[2];
    char text[8];
    if (pipe(tube))
        wrong++;
    while (!stop) {
        pthread_mutex_lock(&lock);
        void *block = malloc((size_t)(random() % 5000));
        pthread_mutex_unlock(&lock);
        if (write(tube[1], "abc", 3) != 3 || read(tube[0], text, 3) != 3)
            wrong++;
        free(block);
    }
    close(tube[0]);
    close(tube[1]);
    return arg;
}

static int end_of(pid_t child)
{
    int status = -1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return shell_status(status);
}

static void *make_children(void *self)
{
    for (int i = 0; i < 15; i++) {
        pid_t child = fork();
        if (child == 0) {
            free(malloc(100000));
            _exit(7);
        }
        wrong += end_of(child) != 7;
        int error = posix_spawn(&child, self, NULL, NULL, (char *[]){self, "spawned", NULL}, environ);
        wrong += error || end_of(child) != 9;
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t workers[4], makers[2];
    char self[] = "/proc/self/exe", path[4096] = "";
    if (readlink(self, path, sizeof path - 1) < 0)
        say("BAD readlink");
    start_alarms(500);
    for (int i = 0; i < 4; i++)
        pthread_create(&workers[i], NULL, work, NULL);
    for (int i = 0; i < 2; i++)
        pthread_create(&makers[i], NULL, make_children, path);
    for (int i = 0; i < 2; i++)
        pthread_join(makers[i], NULL);
    stop = 1;
    for (int i = 0; i < 4; i++)
        pthread_join(workers[i], NULL);
    stop_alarms();
    EQ("forks and spawns among busy threads and alarms", wrong, 0);
    OK("there were alarms", alarms > 10);
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        return 9;
    sigemptyset(&ping_set);
    sigaddset(&ping_set, SIGUSR1);
    test_ping("sigsuspend", wait_suspend);
    test_ping("ppoll", wait_poll);
    test_ping("sigwaitinfo", wait_info);
    test_threads();
    return test_end();
}
