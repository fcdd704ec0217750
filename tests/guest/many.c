/* More threads and processes than a machine likes: an errno, and everything works afterwards.
 * timeout: 180
 * not under: thread, whose run time ends the process when memory mappings run out
 * reference: self under qemu-user thousands of threads take minutes
 */
#include "test.h"
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum { WANTED = 10000 };

static int gate, arrived;

static void *wait_at_gate(void *arg)
{
    __atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&gate, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, &gate, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    return arg;
}

static void test_threads(void)
{
    static pthread_t threads[WANTED];
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 32768 > PTHREAD_STACK_MIN ? 32768 : (size_t)PTHREAD_STACK_MIN);
    pthread_attr_setguardsize(&attr, 0);
    long made = 0;
    int error = 0;
    while (made < WANTED && error == 0)
        if ((error = pthread_create(&threads[made], &attr, wait_at_gate, (void *)made)) == 0)
            made++;
    OK("all threads, or EAGAIN", made == WANTED || error == EAGAIN);
    OK("a fair number of them", made >= 100);
    __atomic_store_n(&gate, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &gate, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    long right = 0;
    for (long i = 0; i < made; i++) {
        void *result;
        right += pthread_join(threads[i], &result) == 0 && result == (void *)i;
    }
    OK("all of them ran and were joined", right == made && arrived == made);
}

static void limited_fork(void)
{
    if (geteuid() == 0 && setuid(65534) != 0)
        _exit(EAGAIN);
    struct rlimit limit = {1, 1};
    setrlimit(RLIMIT_NPROC, &limit);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    _exit(child == -1 ? errno : 200);
}

static void limited_thread(void)
{
    if (geteuid() == 0 && setuid(65534) != 0)
        _exit(EAGAIN);
    struct rlimit limit = {1, 1};
    setrlimit(RLIMIT_NPROC, &limit);
    pthread_t thread;
    _exit(pthread_create(&thread, NULL, wait_at_gate, NULL));
}

/* An ordinary user who may have 200 processes wants WANTED. Those that there are end in order, and then there is room. */
static void want_too_many(void)
{
    int tube[2], made = 0, right = 0, status;
    char c;
    if (pipe(tube) || (geteuid() == 0 && setuid(65534) != 0))
        _exit(2);
    setrlimit(RLIMIT_NPROC, &(struct rlimit){200, 200});
    pid_t child = 0;
    for (; made < WANTED && (child = fork()) > 0; made++)
        ;
    if (child == 0) {
        close(tube[1]);
        _exit(read(tube[0], &c, 1) == 0 ? 17 : 18);
    }
    bool refused = errno == EAGAIN;
    if (made == 0) /* the user has 200 already */
        _exit(refused ? 1 : 4);
    close(tube[1]);
    while (wait(&status) > 0)
        right += shell_status(status) == 17;
    child = fork();
    if (child == 0)
        _exit(19);
    waitpid(child, &status, 0);
    _exit(refused && right == made && shell_status(status) == 19 ? 1 : 3);
}

static void test_processes(void)
{
    enum { CHILDREN = 300 };
    int tube[2];
    static pid_t children[CHILDREN];
    int made = 0;
    MUST(pipe(tube));
    while (made < CHILDREN) {
        pid_t child = fork();
        if (child == 0) {
            char c;
            close(tube[1]);
            _exit(read(tube[0], &c, 1) == 0 ? 17 : 18);
        }
        if (child < 0)
            break;
        children[made++] = child;
    }
    OK("all processes, or EAGAIN", made == CHILDREN || errno == EAGAIN || errno == ENOMEM);
    close(tube[1]);
    int right = 0;
    for (int i = 0; i < made; i++) {
        int status;
        right += waitpid(children[i], &status, 0) == children[i] && WEXITSTATUS(status) == 17;
    }
    EQ("all of them lived and ended", right, made);
    EQ("fork beyond RLIMIT_NPROC", shell_status(in_child(limited_fork)), EAGAIN);
    EQ("10,000 processes wanted, 200 allowed", shell_status(in_child(want_too_many)), 1);
    EQ("pthread_create beyond RLIMIT_NPROC", shell_status(in_child(limited_thread)), EAGAIN);
}

static void *return_arg(void *arg)
{
    return arg;
}

static void test_churn(void)
{
    long sum = 0;
    for (long i = 0; i < 3000; i++) {
        pthread_t thread;
        void *result;
        if (pthread_create(&thread, NULL, return_arg, (void *)1) != 0)
            break;
        pthread_join(thread, &result);
        sum += (long)result;
    }
    EQ("3000 threads in a row", sum, 3000);
    int ends = 0;
    for (int i = 0; i < 200; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(i & 127);
        int status;
        ends += waitpid(child, &status, 0) == child && WEXITSTATUS(status) == (i & 127);
    }
    EQ("200 processes in a row", ends, 200);
}

int main(void)
{
    test_processes();
    test_threads();
    test_churn();
    return test_end();
}
