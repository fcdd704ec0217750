/* Loops that get hot: what makes them quicker works beside the program, which must not notice.
 *
 * reference: self what other engines do with such loops is not the question
 */
#include "hot.h"
#include <pthread.h>

static bool right_heat = true;

/* ---- Processes ---- */

static void grandchild(void)
{
    _exit(heat(2) ? 3 : 4);
}

static void child(void)
{
    bool right = heat(2) && shell_status(in_child(grandchild)) == 3;
    _exit(right && heat(1) ? 5 : 6);
}

static void test_forks(void)
{
    bool right = true;
    for (int i = 0; i < 60; i++) {
        right &= heat(1);
        right &= shell_status(in_child(child)) == 5;
    }
    OK("forks while loops get hot", right);
    pid_t pids[20];
    for (int i = 0; i < 20; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            child();
        right &= heat(1);
    }
    for (int i = 0; i < 20; i++) {
        int status = 0;
        waitpid(pids[i], &status, 0);
        right &= shell_status(status) == 5;
    }
    OK("many at a time", right);
    pid_t pid = vfork();
    if (pid == 0)
        _exit(heat(5) ? 7 : 8);
    int status;
    waitpid(pid, &status, 0);
    EQ("loops of a vfork child", shell_status(status), 7);
    OK("and of its parent", heat(3));
}

static void killed(void)
{
    heat(3);
    raise(SIGTERM);
}

static void *leave_all(void *unused)
{
    heat(3);
    exit(9);
    return unused;
}

static void left_by_a_thread(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, leave_all, NULL);
    for (;;)
        heat(1);
}

static void *last_thread(void *unused)
{
    heat(5);
    return unused;
}

static void left_one_by_one(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, last_thread, NULL);
    heat(1);
    pthread_exit(NULL);
}

static void test_ends(void)
{
    EQ("a signal ends the process", shell_status(in_child(killed)), 128 + SIGTERM);
    EQ("a thread ends the process", shell_status(in_child(left_by_a_thread)), 9);
    EQ("the last thread ends it", shell_status(in_child(left_one_by_one)), 0);
}

/* ---- Signals ---- */

static volatile sig_atomic_t seen;

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
    seen++;
}

/* What every thread blocks waits, and comes to a thread of the program. */
static void test_signals(void)
{
    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    handle(SIGUSR1, on_signal, 0);
    sigprocmask(SIG_BLOCK, &set, NULL);
    right_heat &= heat(2);
    kill(getpid(), SIGUSR1);
    sigpending(&pending);
    OK("a blocked signal waits", sigismember(&pending, SIGUSR1) && !seen);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    EQ("and comes", seen, 1);
    for (int i = 0; i < 50; i++) {
        right_heat &= heat(1);
        kill(getpid(), SIGUSR1);
    }
    EQ("all come", seen, 51);
}

/* ---- Code that changes ---- */

static void *run_for_ever(void *loop)
{
    return (void *)((loop_fn *)loop)(-1);
}

/* A thread that is inside a hot loop sees its branch become nothing. */
static void test_change(void)
{
    const uint32_t nop = 0x00000013;
    bool left = true;
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        void *result;
        loop_fn *loop = new_loop();
        char *branch = (char *)loop + (loop_branch - loop_start);
        pthread_create(&thread, NULL, run_for_ever, (void *)loop);
        sleep_ms(i % 5 * 2);
        memcpy(branch, &nop, sizeof nop);
        __builtin___clear_cache(branch, branch + sizeof nop);
        pthread_join(thread, &result);
        left &= (long)result % 3 == 0;
    }
    OK("hot loops are left when they change", left);
}

static void *heat_some(void *unused)
{
    (void)unused;
    static __thread char *own;
    bool right = true;
    own = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 100; i++) { /* at the same place each time, with another sum */
        uint32_t addi = (uint32_t)(i & 0x7ff) << 20 | 0x00030313; /* addi t1, t1, i */
        memcpy(own, loop_start, (size_t)(loop_end - loop_start));
        memcpy(own + 12, &addi, sizeof addi);
        __builtin___clear_cache(own, own + STRIDE);
        right &= ((loop_fn *)(void *)own)(ROUNDS / 3) == (1 + i) * (ROUNDS / 3);
    }
    munmap(own, 4096);
    return right ? NULL : (void *)1;
}

static void test_threads(void)
{
    pthread_t threads[4];
    bool right = true;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, heat_some, NULL);
    for (int i = 0; i < 4; i++) {
        void *result;
        right &= heat(3);
        pthread_join(threads[i], &result);
        right &= !result;
    }
    OK("threads that rewrite hot loops", right);
}

int main(void)
{
    test_forks();
    test_ends();
    test_signals();
    test_change();
    test_threads();
    OK("all loops were right", right_heat);
    return test_end();
}
