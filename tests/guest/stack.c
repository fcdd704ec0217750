/* The stack: growth, deep recursion, its end, guard pages, and contexts of one's own (ucontext, setjmp).
 */
#include "test.h"
#include <pthread.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <ucontext.h>

static char alternate[65536] __attribute__((aligned(16)));
static sigjmp_buf back;
static volatile int fault_code;
static volatile unsigned long fault_sp, fault_address;

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    char here;
    fault_sp = (unsigned long)&here;
    fault_code = info->si_code;
    fault_address = (unsigned long)info->si_addr;
    siglongjmp(back, 1);
}

static __attribute__((noinline)) long descend(long depth)
{
    volatile char frame[1000];
    frame[0] = (char)depth;
    frame[999] = 1;
    return depth == 0 ? 0 : descend(depth - 1) + frame[999];
}

static __attribute__((noinline)) long forever(long depth)
{
    volatile char frame[200];
    frame[0] = (char)depth;
    return forever(depth + 1) + frame[0];
}

static void test_growth(void)
{
    EQ("6 MiB of recursion", descend(6000), 6000);
    EQ("again", descend(6000), 6000);
    volatile char *big = alloca(4 << 20);
    big[0] = 5;
    big[(4 << 20) - 1] = 6;
    EQ("a 4 MiB array", big[0] + big[(4 << 20) - 1], 11);
}

static void test_limit(void)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    sigaltstack(&stack, NULL);
    handle(SIGSEGV, on_fault, SA_ONSTACK);
    for (volatile int i = 0; i < 3; i++)
        if (sigsetjmp(back, 1) == 0)
            forever(0);
        else
            OK("endless recursion ends on the alternate stack",
               fault_sp >= (unsigned long)alternate &&
                   fault_sp < (unsigned long)alternate + sizeof alternate);
    unsigned long top = (unsigned long)__builtin_frame_address(0);
    OK("near the stack's limit", top - fault_address > (7UL << 20) && top - fault_address < (9UL << 20));
}

static void die_deep(void)
{
    signal(SIGSEGV, SIG_DFL);
    forever(0);
}

static void die_without_altstack(void)
{
    stack_t off = {.ss_flags = SS_DISABLE};
    sigaltstack(&off, NULL);
    handle(SIGSEGV, on_fault, 0);
    forever(0);
}

static void *overflow_thread(void *arg)
{
    static char mine[65536] __attribute__((aligned(16)));
    stack_t stack = {.ss_sp = mine, .ss_size = sizeof mine};
    sigaltstack(&stack, NULL);
    if (sigsetjmp(back, 1) == 0)
        forever(0);
    *(int *)arg =
        fault_sp >= (unsigned long)mine && fault_sp < (unsigned long)mine + sizeof mine ? fault_code : -1;
    return NULL;
}

static void test_threads(void)
{
    pthread_t thread;
    int result = 0;
    pthread_create(&thread, NULL, overflow_thread, &result);
    pthread_join(thread, NULL);
    EQ("a thread runs into its guard page", result, SEGV_ACCERR);
    EQ("endless recursion without a handler", shell_status(in_child(die_deep)), 128 + SIGSEGV);
    EQ("a handler without a stack to run on", shell_status(in_child(die_without_altstack)), 128 + SIGSEGV);
}

static ucontext_t main_context, contexts[3];
static char stacks[3][65536] __attribute__((aligned(16)));
static int trace[64], trace_length;

static void routine(int a, int b)
{
    for (int i = 0; i < 5; i++) {
        trace[trace_length++] = a * 100 + b * 10 + i;
        swapcontext(&contexts[a], &contexts[(a + 1) % 3]);
    }
}

static void test_contexts(void)
{
    for (int i = 0; i < 3; i++) {
        getcontext(&contexts[i]);
        contexts[i].uc_stack.ss_sp = stacks[i];
        contexts[i].uc_stack.ss_size = sizeof stacks[i];
        contexts[i].uc_link = &main_context;
        makecontext(&contexts[i], (void (*)(void))routine, 2, i, 9 - i);
    }
    swapcontext(&main_context, &contexts[0]);
    bool right = trace_length == 15;
    for (int i = 0; i < 15; i++)
        right &= trace[i] == (i % 3) * 100 + (9 - i % 3) * 10 + i / 3;
    OK("three contexts take turns", right);
    volatile int visits = 0;
    getcontext(&main_context);
    if (visits++ < 1000)
        setcontext(&main_context);
    EQ("setcontext in a loop", visits, 1001);
}

static jmp_buf jump;

static __attribute__((noinline)) void thrower(int depth)
{
    volatile char pad[100];
    pad[0] = 1;
    if (depth == 0)
        longjmp(jump, 7);
    thrower(depth - 1);
    pad[1] = 1;
}

static void test_jumps(void)
{
    volatile int sum = 0;
    volatile double kept = 1.5;
    for (volatile int i = 0; i < 1000; i++) {
        int value = setjmp(jump);
        if (value == 0)
            thrower(i % 50);
        else
            sum += value;
    }
    EQ("longjmp from many depths", sum, 7000);
    OK("locals are kept", kept == 1.5);
    EQ("longjmp with 0 gives 1", ({
           volatile int seen = setjmp(jump);
           if (seen == 0)
               longjmp(jump, 0);
           seen;
       }),
       1);
}

static void test_rlimit(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_STACK, &limit);
    EQ("RLIMIT_STACK", limit.rlim_cur, 8 << 20);
}

int main(void)
{
    test_growth();
    test_limit();
    test_threads();
    test_contexts();
    test_jumps();
    test_rlimit();
    return test_end();
}
