/* siglongjmp and longjmp out of signal handlers, also deep, also from loops and alternate stacks.
 */
#include "test.h"
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/time.h>

static sigjmp_buf back;
static jmp_buf plain;
static volatile int faults, ticks;

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    faults++;
    siglongjmp(back, number);
}

static void on_alarm(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
    ticks++;
    siglongjmp(back, 1);
}

static void test_faults(void)
{
    static volatile char *const wild = (char *)16;
    char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    handle(SIGSEGV, on_fault, 0);
    for (volatile int i = 0; i < 2000; i++)
        if (sigsetjmp(back, 1) == 0) {
            if (i & 1)
                *wild = 1;
            else
                page[i & 4095] = 1;
            say("BAD the store went through");
        }
    EQ("2000 faults jumped out of", faults, 2000);
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    OK("the mask is restored by siglongjmp", !sigismember(&mask, SIGSEGV));
    munmap(page, 4096);
}

static void test_alarms(void)
{
    struct itimerval timer = {.it_value = {0, 2000}}, off = {0};
    handle(SIGALRM, on_alarm, 0);
    double sum = 0;
    for (volatile int i = 0; i < 50; i++)
        if (sigsetjmp(back, 1) == 0) {
            setitimer(ITIMER_REAL, &timer, NULL);
            for (volatile double x = 1;; x += 1)
                sum += 1 / x;
        }
    setitimer(ITIMER_REAL, &off, NULL);
    EQ("50 endless loops left by siglongjmp", ticks, 50);
    ticks = 0;
    for (volatile int i = 0; i < 50; i++)
        if (sigsetjmp(back, 1) == 0) {
            setitimer(ITIMER_REAL, &timer, NULL);
            for (;;)
                getppid();
        }
    EQ("50 loops of system calls left by siglongjmp", ticks, 50);
    ticks = 0;
    for (volatile int i = 0; i < 20; i++)
        if (sigsetjmp(back, 1) == 0) {
            setitimer(ITIMER_REAL, &timer, NULL);
            for (;;)
                pause();
        }
    EQ("20 blocked calls left by siglongjmp", ticks, 20);
}

static void on_plain(int number, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    longjmp(plain, number);
}

static void test_plain(void)
{
    sigset_t set;
    handle(SIGUSR1, on_plain, 0);
    if (setjmp(plain) == 0)
        raise(SIGUSR1);
    sigprocmask(SIG_BLOCK, NULL, &set);
    OK("longjmp leaves the signal blocked", sigismember(&set, SIGUSR1));
    sigemptyset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
}

static sigjmp_buf levels[6];
static volatile int level;

static void on_level(int number, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    int mine = level++;
    if (mine < 5 && sigsetjmp(levels[mine], 1) == 0)
        raise(number);
    if (mine > 0)
        siglongjmp(levels[mine - 1], 1);
}

static void test_nested(void)
{
    handle(SIGUSR2, on_level, SA_NODEFER);
    raise(SIGUSR2);
    EQ("six nested handlers unwound one by one", level, 6);
}

static char alternate[65536];

static int overflow(int depth)
{
    volatile char frame[512];
    frame[0] = (char)depth;
    return overflow(depth + 1) + frame[0];
}

static void test_altstack(void)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, after;
    sigaltstack(&stack, NULL);
    handle(SIGSEGV, on_fault, SA_ONSTACK);
    faults = 0;
    for (volatile int i = 0; i < 5; i++)
        if (sigsetjmp(back, 1) == 0)
            overflow(0);
    EQ("five stack overflows survived", faults, 5);
    sigaltstack(NULL, &after);
    EQ("off the alternate stack", after.ss_flags, 0);
}

int main(void)
{
    test_faults();
    test_alarms();
    test_plain();
    test_nested();
    test_altstack();
    return test_end();
}
